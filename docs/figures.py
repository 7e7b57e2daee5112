"""The paper's figures, drawn from the curves that ship: `python -m docs.figures`.

Figures 1 and 2 are drawn from the curves of one dataset. Figures 3, 4 and 5 need an evaluation, each dataset held out
in its turn and policies trained on the others: `lamps evaluate` makes it in `--out` (minutes), and does only what is
missing there.

    python -m docs.figures                   all five
    python -m docs.figures --only 1,2        seconds
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from lamps_core.meta_dataset import read_tasks
from lamps_core.objectives import parse_objectives
from lamps_core.reports.evaluation_figures import loss_figure, reward_figure, time_figure
from lamps_core.reports.figures import Axes2D, DrawnCandidate, curve_figure, front_figure
from lamps_core.reports.inline_svg import standalone_svg
from lamps_core.resources import data_path

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from lamps_core.task import Task

Row = dict[str, Any]
FOLDER = Path(__file__).parent / "figures"
DATASET = "hate_speech"
METHODS = "exhaustive,oracle,blind,zigzag,cheapest,portfolio,forecast,distral,ppo"
EVALUATION = (
    *("lamps", "evaluate", "--curves", "shipped", "--methods", METHODS),
    *("--repeats", "1", "--train-steps", "16384"),  # a minute of training, and far from enough
)
_SECONDS = "Training seconds"
_LOSS = "Test loss"


def drawn(task: Task) -> list[DrawnCandidate]:
    """The candidates of a task as the figures draw them, the front from the least loss on."""
    ranks = {place: rank for rank, place in enumerate(_front(task))}
    return [
        DrawnCandidate(
            name=name,
            number=place + 1,
            standing="front" if place in ranks else "complete",
            rank=ranks.get(place, 0),
            objectives={
                "test_loss": float(task.final[place, 0]),
                "train_seconds": float(task.final[place, 1]),
            },
            steps=tuple(range(task.rows[place])),
            losses=tuple(task.losses[place, : task.rows[place]].tolist()),
            seconds=tuple(task.values[place, : task.rows[place], 1].tolist()),
        )
        for place, name in enumerate(task.candidates)
    ]


def _front(task: Task) -> list[int]:
    places = np.flatnonzero(task.on_front)
    return [int(place) for place in places[np.argsort(task.final[places, 0])]]


def front(task: Task) -> str:
    """Figure 1: the front, and the hypervolume that it dominates up to the reference point."""
    axes = Axes2D(across="train_seconds", across_title=_SECONDS, up="test_loss", up_title=_LOSS)
    loss, seconds = task.reference.tolist()
    return front_figure(drawn(task), axes, reference=(seconds, loss))


def curves(task: Task) -> str:
    """Figure 2: the learning curves over landmark steps."""
    return curve_figure(drawn(task), against="step", loss_title=_LOSS)


def shipped_task() -> Task:
    """The curves that ship of `DATASET`."""
    tasks = read_tasks(data_path("curves"), parse_objectives())
    return next(task for task in tasks if task.dataset == DATASET)


def evaluate(out: Path) -> Row:
    """Run the evaluation behind Figures 3, 4 and 5, and read what came of it."""
    lamps = str(Path(sys.executable).with_name("lamps"))
    subprocess.run([lamps, *EVALUATION[1:], "--out", str(out)], check=True)
    result: Row = json.loads((out / "evaluation.json").read_text(encoding="utf-8"))
    return result


def write(folder: Path, name: str, svg: str | None) -> None:
    """A figure as a file of its own."""
    if svg is None:
        raise SystemExit(f"{name}.svg: there is nothing to draw")
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.svg").write_text(standalone_svg(svg) + "\n", encoding="utf-8")
    print(folder / f"{name}.svg")


OF_CURVES: dict[str, tuple[str, Callable[[Task], str]]] = {
    "1": ("front", front),
    "2": ("landmark-curves", curves),
}
OF_AN_EVALUATION: dict[str, tuple[str, Callable[[Row], str | None]]] = {
    "3": ("time-to-98", time_figure),
    "4": ("hypervolume-loss", loss_figure),
    "5": ("reward", reward_figure),
}


def main(arguments: Sequence[str] | None = None) -> int:
    """The command of this module; returns its exit code."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--only", default="1,2,3,4,5", help="numbers of the paper's figures, with commas")
    parser.add_argument("--out", type=Path, default=Path("runs/figures"), help="folder of the evaluation")
    parser.add_argument("--into", type=Path, default=FOLDER, help="folder of the figures")
    parsed = parser.parse_args(arguments)
    numbers = parsed.only.split(",")
    if unknown := [number for number in numbers if number not in OF_CURVES | OF_AN_EVALUATION]:
        parser.error(f"--only {','.join(unknown)}: the paper's figures are 1 to 5")
    for name, draw in (OF_CURVES[number] for number in numbers if number in OF_CURVES):
        write(parsed.into, name, draw(shipped_task()))
    wanted = [OF_AN_EVALUATION[number] for number in numbers if number in OF_AN_EVALUATION]
    result = evaluate(parsed.out) if wanted else {}
    for name, draw_result in wanted:
        write(parsed.into, name, draw_result(result))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())

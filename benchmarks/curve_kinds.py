"""What kinds of made curves share: the steps of a curve, files of them, and the command that writes a kind.

A kind is a function of a seed that draws the rows of one dataset after another. Owns no law of losses or seconds.
"""

from __future__ import annotations

import argparse
import itertools
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import pyarrow as pa
import pyarrow.parquet as pq

from lamps_core.curves.schema import CURVE_SCHEMA
from lamps_core.files import safe_name
from lamps_core.landmarks import landmark_rows

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

Rows: TypeAlias = list[dict[str, Any]]
Kind: TypeAlias = Callable[[int], Iterator[Rows]]
Seconds: TypeAlias = Callable[[int], tuple[float, float]]

MOST_LANDMARKS, PATIENCE = 16, 3
LEAST_LOSS = 1e-4


@dataclass(frozen=True)
class Corpus:
    """A dataset of which there are only facts.

    Attributes:
        name: of the dataset.
        rows: to train on.
        classes: as many labels.
        tokens: of a text, where a kind asks for them.
        floor: what a usual model comes down to, in losses of a uniform guess, where a kind asks for it.
    """

    name: str
    rows: int
    classes: int
    tokens: int = 0
    floor: float = 0.0

    @property
    def guess(self) -> float:
        """Cross-entropy of a uniform guess."""
        return math.log(self.classes)

    def landmarks(self, *, least: int) -> tuple[int, ...]:
        """Rows of each landmark: as many as leave the first one its least rows, 16 at most."""
        count = MOST_LANDMARKS
        while count > 1 and self.rows >> (count - 1) < least:
            count -= 1
        return landmark_rows(self.rows, landmarks=count)


@dataclass(frozen=True)
class Course:
    """How one model goes over one dataset.

    Attributes:
        landmarks: rows of each.
        zero_shot: loss before any training.
        loss: after so many rows seen, in so many epochs (0: before the last landmark).
        seconds: of training on so many rows, and of the whole step.
        epochs: at most.
    """

    landmarks: tuple[int, ...]
    zero_shot: float
    loss: Callable[[int, int], float]
    seconds: Seconds
    epochs: int = 10

    def step(self, rows: int, seen: int, epoch: int) -> dict[str, Any]:
        """What a step over so many rows measures; seconds are drawn before the loss."""
        train, whole = self.seconds(rows)
        loss = self.loss(seen, epoch) if seen else self.zero_shot
        return {"test_loss": loss, "train_seconds": train, "step_seconds": whole, "train_rows": rows}


def steady(second: float, loading: float, evaluating: float) -> Seconds:
    """Seconds that are the same at each step.

    Args:
        second: to train on a row.
        loading: seconds before.
        evaluating: seconds after.
    """
    return lambda rows: (second * rows, second * rows + loading + evaluating)


def curve_rows(dataset: str, model: str, parameters: int, course: Course) -> Rows:
    """One curve: zero-shot, the landmarks, then full epochs until the loss was no better PATIENCE times."""
    steps, seen = [course.step(0, 0, 0)], 0
    for place, rows in enumerate(course.landmarks, 1):
        seen += rows
        steps.append(course.step(rows, seen, int(place == len(course.landmarks))))
    least, worse, epoch = steps[-1]["test_loss"], 0, 1
    while epoch < course.epochs and worse < PATIENCE:
        epoch += 1
        seen += course.landmarks[-1]
        steps.append(course.step(course.landmarks[-1], seen, epoch))
        worse = 0 if steps[-1]["test_loss"] < least else worse + 1
        least = min(least, steps[-1]["test_loss"])
    named = {"dataset": dataset, "model": model, "seed": 0, "parameters": parameters, "source": "simulated"}
    return [
        named
        | step
        | {
            "step": number,
            "test_loss": max(step["test_loss"], LEAST_LOSS),
            "complete": number == len(steps) - 1,
        }
        for number, step in enumerate(steps)
    ]


def with_landmarks(rows: Rows, most: int) -> Rows:
    """Curves as a campaign of fewer landmarks records them: without the smallest subsets, which see hardly a row.

    Args:
        rows: of one dataset, with `train_rows`.
        most: K; curves of no more landmarks are left as they are.
    """
    kept = []
    for _, curve in itertools.groupby(rows, key=lambda row: row["model"]):
        steps = list(curve)
        every = max(row["train_rows"] for row in steps)
        landmarks = next(row["step"] for row in steps if row["train_rows"] == every)
        left_out = max(landmarks - most, 0)
        kept += [steps[0], *(row | {"step": row["step"] - left_out} for row in steps[left_out + 1 :])]
    return kept


def write_datasets(datasets: Iterable[Rows], folder: Path) -> int:
    """Write the rows of each into a file of its own, in the columns that they have.

    Args:
        datasets: rows of one dataset each.
        folder: made where it is missing.

    Returns:
        How many datasets there were.
    """
    folder.mkdir(parents=True, exist_ok=True)
    count = 0
    for rows in datasets:
        schema = pa.schema([field for field in CURVE_SCHEMA if field.name in rows[0]])
        path = folder / f"{safe_name(rows[0]['dataset'])}.parquet"
        pq.write_table(pa.Table.from_pylist(rows, schema=schema), path)
        count += 1
    return count


def write_kind(about: str, kinds: Mapping[str, Kind]) -> None:
    """The command of a module of kinds: write one, and say what."""
    parser = argparse.ArgumentParser(description=about.splitlines()[0])
    parser.add_argument("kind", choices=kinds)
    parser.add_argument("--out", type=Path, required=True, help="a new folder")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    began = time.process_time()
    count = write_datasets(kinds[given.kind](given.seed), given.out)
    print(f"{given.out}: {count} datasets of {given.kind}; {time.process_time() - began:.0f} s of CPU")

"""Losses of language models that others fine-tuned, as curves to search: 30 models on FLAN, Gigaword and WMT19.

From the tables that go with Lin et al., "Selecting Large Language Model to Fine-tune via Rectified Scaling Law", 2024:
`benchmark/flan.csv`, `gigaword.csv` and `wmt19.csv` in the repository linhaowei1/Fine-tuning-Scaling-Law. They are not
part of this project: fetch them, and give their folder. A row is a model; a column, what its test loss was after so
many training rows, 0 to 1,638,400 (fine-tuned anew for each). Each table makes three datasets: all of its columns, and
those that end 4 and 16 times sooner.

The losses are measured. **The seconds are not**: nobody wrote them down. A row costs what the parameters say (of a
switch transformer, those of the experts that work), times a factor that is a model's own everywhere, and each step
evaluates 1,000 rows and loads for 5 seconds.

    python -m benchmarks.published_curves FOLDER --out DIR
    python -m benchmarks.universal --curves DIR
"""

from __future__ import annotations

import argparse
import csv
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.curve_kinds import write_datasets
from benchmarks.unseen_curves import SECONDS_A_ROW, beside_training
from lamps_core.errors import BadInput

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from benchmarks.curve_kinds import Rows

TABLES = ("flan", "gigaword", "wmt19")
SOONER = (0, 2, 4)  # columns left out at the end, of which each doubles the rows
NAME, SIZE = "config name", "size"
MIXTURES, WORKING = "switch-base", 300e6  # parameters that work on one token
SPEEDS, CLOCK = 0.25, 0.03  # deviations: of a model's seconds everywhere, and of each step's


def write_published(tables: Path, folder: Path) -> None:
    """Write a file a dataset.

    Args:
        tables: a folder of CSV files.
        folder: made where it is missing.

    Raises:
        BadInput: a table is missing or has other columns; nothing is written.
    """
    write_datasets(_datasets({name: _models(tables / f"{name}.csv") for name in TABLES}), folder)


def _datasets(tables: Mapping[str, Sequence[Mapping[str, str]]]) -> Iterator[Rows]:
    """The rows of each dataset."""
    chance = np.random.default_rng(0)
    speeds: dict[str, float] = {}
    for name, models in tables.items():
        for model in sorted(row[NAME] for row in models):
            speeds.setdefault(model, float(np.exp(SPEEDS * chance.standard_normal())))
        columns = sorted((column for column in models[0] if column.isdigit()), key=int)
        for sooner in SOONER:
            seen = columns[: len(columns) - sooner]
            dataset = f"{name}-{seen[-1]}"
            yield [row for model in models for row in _curve(dataset, model, seen, speeds, chance)]


def _models(path: Path) -> list[dict[str, str]]:
    if not path.is_file():
        raise BadInput(f"{path}: no such table: fetch {', '.join(TABLES)} (.csv) into one folder")
    with path.open(newline="", encoding="utf-8") as file:
        models = list(csv.DictReader(file))
    if not models or not {NAME, SIZE, "0"} <= models[0].keys():
        raise BadInput(
            f"{path}: no table of losses: it needs the columns {NAME!r}, {SIZE!r} and numbers of rows"
        )
    return models


def _curve(
    dataset: str,
    model: Mapping[str, str],
    columns: Sequence[str],
    speeds: Mapping[str, float],
    chance: np.random.Generator,
) -> Iterator[dict[str, Any]]:
    """The rows of one model's curve."""
    parameters = float(model[SIZE])
    working = WORKING if MIXTURES in model[NAME] else parameters
    second = SECONDS_A_ROW * working / 1e9 * speeds[model[NAME]]
    beside = beside_training(second)
    for step, column in enumerate(columns):
        train = second * int(column) * float(np.exp(CLOCK * chance.standard_normal()))
        yield {
            "dataset": dataset,
            "model": model[NAME],
            "seed": 0,
            "step": step,
            "test_loss": float(model[column]),
            "train_seconds": train,
            "step_seconds": train + beside,
            "parameters": int(parameters),
            "complete": column == columns[-1],
            "source": "imported",
        }


def main() -> None:
    """Write, and say what."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("tables", type=Path, help="a folder of the three CSV files")
    parser.add_argument("--out", type=Path, required=True, help="a new folder")
    given = parser.parse_args()
    try:
        write_published(given.tables, given.out)
    except BadInput as error:
        parser.error(str(error))
    print(f"{given.out}: {len(TABLES) * len(SOONER)} datasets")


if __name__ == "__main__":
    main()

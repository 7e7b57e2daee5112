"""What tests of a campaign share: small datasets, quick options, and rows without what a clock measured."""

from __future__ import annotations

import csv
from typing import TYPE_CHECKING, Any

import pyarrow.dataset

from tests.conftest import topic_rows

if TYPE_CHECKING:
    from pathlib import Path

QUICK_OPTIONS = ("--landmarks", "2", "--max-epochs", "2")
STEPS_EACH = 4  # zero-shot, half of the rows, all of them twice
MEASURED = frozenset(
    {
        "train_seconds", "step_seconds", "cpu_seconds", "eval_rows_per_second", "peak_memory_bytes", "created_at",
    }
)  # fmt: skip


def write_datasets(folder: Path, names: tuple[str, ...] = ("first", "second"), *, rows: int = 90) -> str:
    """CSV files of `phrase,topic`, as `--datasets` takes them."""
    paths = []
    for seed, name in enumerate(names):
        path = folder / f"{name}.csv"
        with path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(["phrase", "topic"])
            writer.writerows(topic_rows(rows, seed=seed))
        paths.append(str(path))
    return ",".join(paths)


def campaign_arguments(datasets: str, models: str, curves: Path | str, *more: str) -> list[str]:
    """A quick campaign; an option given again in `more` takes the place of the one here."""
    options = {
        "--datasets": datasets,
        "--models": models,
        "--input-col": "phrase",
        "--target-col": "topic",
        "--curves": str(curves),
        "--landmarks": "2",
        "--max-epochs": "2",
    }
    given = {option for option in more if option.startswith("--")}
    kept = [word for pair in options.items() if pair[0] not in given for word in pair]
    return ["campaign", *kept, *more]


def rows_of(curves: Path) -> list[dict[str, Any]]:
    """Every row as an outside reader sees it, by key."""
    rows = pyarrow.dataset.dataset(curves).to_table().to_pylist()
    return sorted(rows, key=key_of)


def key_of(row: dict[str, Any]) -> tuple[str, str, int, int]:
    return row["dataset"], row["model"], row["seed"], row["step"]


def facts(curves: Path) -> list[dict[str, Any]]:
    """Every row, less what a clock or the memory of a process says."""
    return [{name: value for name, value in row.items() if name not in MEASURED} for row in rows_of(curves)]

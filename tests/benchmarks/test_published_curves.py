"""Tables of losses that others measured become curves."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from benchmarks.published_curves import TABLES, write_published
from lamps_core.errors import BadInput
from lamps_core.meta_dataset import read_tasks
from lamps_core.objectives import parse_objectives

if TYPE_CHECKING:
    from pathlib import Path

COLUMNS = [0, *(200 * 2**place for place in range(6))]


def write_tables(folder: Path) -> None:
    for name in TABLES:
        lines = [",".join(["config name", *map(str, COLUMNS), "size", "family"])]
        for place, model in enumerate(["lab/small", "lab/large", "google/switch-base-8"]):
            losses = [str(4.0 - place - 0.1 * column) for column in range(len(COLUMNS))]
            lines.append(",".join([model, *losses, str(10 ** (8 + place)), "lab"]))
        (folder / f"{name}.csv").write_text("\n".join(lines), encoding="utf-8")


def test_each_table_is_three_datasets_with_the_losses_that_were_measured(tmp_path: Path) -> None:
    write_tables(tmp_path)
    write_published(tmp_path, tmp_path / "curves")
    tasks = {task.dataset: task for task in read_tasks(tmp_path / "curves", parse_objectives())}
    assert sorted(tasks) == sorted(f"{name}-{last}" for name in TABLES for last in (400, 1600, 6400))
    task = tasks["flan-1600"]
    assert task.complete.all()
    losses = dict(zip(task.candidates, task.losses, strict=True))
    assert losses["lab/small"] == pytest.approx([4.0, 3.9, 3.8, 3.7, 3.6])
    seconds = dict(zip(task.candidates, task.values[:, -1, 1], strict=True))
    # Few of a mixture's experts work: it costs less than its size says.
    assert seconds["lab/small"] < seconds["google/switch-base-8"] < seconds["lab/large"]


def test_a_folder_without_a_table_is_refused_by_the_name_of_the_file(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"flan\.csv: no such table"):
        write_published(tmp_path, tmp_path / "curves")
    (tmp_path / "flan.csv").write_text("a,b\n1,2\n", encoding="utf-8")
    with pytest.raises(BadInput, match="no table of losses"):
        write_published(tmp_path, tmp_path / "other")

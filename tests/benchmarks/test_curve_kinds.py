"""The steps of made curves, and the files of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow.parquet as pq
import pytest

from benchmarks.curve_kinds import Corpus, Course, curve_rows, steady, with_landmarks, write_datasets

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def course(loss: Callable[[int, int], float], *, epochs: int = 10) -> Course:
    return Course((25, 50, 100), 3.0, loss, steady(0.5, 2.0, 1.0), epochs)


def test_a_corpus_has_as_many_landmarks_as_leave_the_first_its_least_rows() -> None:
    assert Corpus("few", 100, 2).landmarks(least=25) == (25, 50, 100)
    assert Corpus("few", 100, 2).landmarks(least=26) == (50, 100)
    assert Corpus("few", 3, 2).landmarks(least=4) == (3,)
    assert len(Corpus("many", 10**6, 2).landmarks(least=1)) == 16


def test_a_loss_that_grows_ends_a_curve_after_three_epochs_more_and_one_that_falls_at_the_most() -> None:
    rows = curve_rows("d", "m", 7, course(lambda _, epoch: 1.0 + epoch))
    assert [row["test_loss"] for row in rows] == [3.0, 1.0, 1.0, 2.0, 3.0, 4.0, 5.0]
    assert [row["train_rows"] for row in rows] == [0, 25, 50, 100, 100, 100, 100]
    assert [row["step_seconds"] for row in rows[:2]] == [3.0, 15.5]
    assert [row["complete"] for row in rows] == [False] * 6 + [True]
    rows = curve_rows("d", "m", 7, course(lambda seen, _: 100 / seen, epochs=5))
    assert [row["test_loss"] for row in rows] == [3.0] + [
        100 / seen for seen in (25, 75, 175, 275, 375, 475, 575)
    ]


def test_fewer_landmarks_are_the_largest_ones_under_numbers_without_a_gap() -> None:
    long = curve_rows("d", "a", 7, course(lambda seen, _: 100 / seen))
    short = curve_rows("d", "b", 7, Course((100,), 3.0, lambda seen, _: 50 / seen, steady(0.5, 2.0, 1.0), 10))
    cut = with_landmarks(long + short, 2)
    assert [row["step"] for row in cut] == [*range(len(long) - 1), *range(len(short))]
    assert [row["train_rows"] for row in cut[:3]] == [0, 50, 100]
    assert cut[1] == long[2] | {"step": 1}
    assert with_landmarks(long + short, 3) == long + short


def test_a_file_holds_the_columns_that_rows_have_under_a_name_without_folders(tmp_path: Path) -> None:
    rows = curve_rows("maker/data", "m", 7, course(lambda seen, _: 1 / seen))
    assert write_datasets([rows], tmp_path) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["maker--data.parquet"]
    table = pq.read_table(tmp_path / "maker--data.parquet")
    assert set(table.column_names) == set(rows[0])
    assert table["test_loss"].to_pylist() == pytest.approx([row["test_loss"] for row in rows])

"""Curves of kinds that no policy was trained on."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from benchmarks.curve_kinds import write_datasets
from benchmarks.unseen_curves import DATASETS, KINDS
from lamps_core.meta_dataset import read_tasks
from lamps_core.objectives import parse_objectives

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(("kind", "count"), [("language-models", 30), ("many-language-models", 70)])
def test_language_models_are_as_many_as_are_said_and_the_same_for_a_seed(
    kind: str, count: int, tmp_path: Path
) -> None:
    for folder in ("one", "two"):
        write_datasets(KINDS[kind](4), tmp_path / folder)
    tasks = read_tasks(tmp_path / "one", parse_objectives())
    again = read_tasks(tmp_path / "two", parse_objectives())
    assert len(tasks) == DATASETS
    for task, same in zip(tasks, again, strict=True):
        assert len(set(task.candidates)) == count
        assert task.complete.all()
        assert np.array_equal(task.losses, same.losses)
        assert 1 <= task.on_front.sum() < count

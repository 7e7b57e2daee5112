"""Meta-datasets of others, in which a number is 0, a curve is one row, or a loss is a million."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch

from lamps_core.errors import BadInput
from lamps_core.meta_dataset import read_tasks
from lamps_core.objectives import parse_objectives
from lamps_core.policies.loading import load_universal
from lamps_core.policies.trained import load_policy_file
from lamps_core.policy_training.algorithms import algorithm
from lamps_core.policy_training.training_run import TrainingRun
from tests.meta_datasets import family_rows, family_tasks, write_meta_dataset
from tests.replays import play_out
from tests.static_order import STATIC_ORDER

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

Rows = list[dict[str, Any]]


def changed(rows: Rows, where: Callable[[dict[str, Any]], bool], **values: float) -> Rows:
    return [row | values if where(row) else row for row in rows]


def of_candidate_2(row: dict[str, Any]) -> bool:
    return str(row["model"]) == "candidate-02"


ODD: dict[str, Callable[[Rows], Rows]] = {
    "a candidate costs nothing": lambda rows: changed(
        rows, of_candidate_2, train_seconds=0.0, step_seconds=0.0
    ),
    "a zero-shot evaluation costs nothing": lambda rows: changed(
        rows, lambda row: row["step"] == 0, step_seconds=0.0
    ),
    "a candidate has no parameters": lambda rows: changed(rows, of_candidate_2, parameters=0),
    "none has parameters": lambda rows: changed(rows, lambda row: True, parameters=0),
    "a loss is 0": lambda rows: changed(
        rows, lambda row: of_candidate_2(row) and row["step"] > 1, test_loss=0.0
    ),
    "a candidate diverges": lambda rows: changed(
        rows, lambda row: of_candidate_2(row) and row["step"] > 1, test_loss=1e6
    ),
    "a candidate is evaluated and never trained": lambda rows: [
        row for row in rows if not of_candidate_2(row) or row["step"] == 0
    ],
}


def test_forecast_refuses_a_policy_to_begin_with_rather_than_ignore_it() -> None:
    tasks = family_tasks(2, 3)
    file = STATIC_ORDER.train(tasks, seed=0, run=TrainingRun())
    with pytest.raises(BadInput, match="--warm-start is for distral, ppo, not for forecast"):
        algorithm("forecast").train(tasks, seed=0, run=TrainingRun(warm_start=file))


@pytest.mark.filterwarnings("error::RuntimeWarning")
@pytest.mark.parametrize("odd", ODD)
def test_forecast_learns_from_odd_curves_and_searches_them_to_their_end(tmp_path: Path, odd: str) -> None:
    write_meta_dataset(tmp_path, ODD[odd](family_rows(3, 6)))
    tasks = read_tasks(tmp_path, parse_objectives())
    run, threads, before = TrainingRun(), [], torch.get_num_threads()
    run.tell = lambda *_: threads.append(torch.get_num_threads())
    file = algorithm("forecast").train(tasks[1:], seed=0, run=run)
    assert set(threads) == {1}  # with two, on a busy machine, each waits for the other: ten times as long
    assert torch.get_num_threads() == before
    assert all(np.isfinite(array).all() for array in file.weights.values())
    play_out(tasks[0], load_policy_file(file, name="forecast"))


@pytest.mark.filterwarnings("error::RuntimeWarning")
@pytest.mark.parametrize("odd", ODD)
def test_universal_searches_odd_curves_to_their_end(tmp_path: Path, odd: str) -> None:
    write_meta_dataset(tmp_path, ODD[odd](family_rows(1, 6)))
    (task,) = read_tasks(tmp_path, parse_objectives())
    play_out(task, load_universal(task.objectives))

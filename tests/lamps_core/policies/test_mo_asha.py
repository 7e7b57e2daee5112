from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from lamps_core import front
from lamps_core.meta_dataset import read_tasks
from lamps_core.objectives import parse_objectives
from lamps_core.policies.mo_asha import ETA, RUNGS, MultiObjectiveAsha, ranks
from lamps_core.replay import ReplayedSearch
from tests.meta_datasets import curve_rows, family_rows, made_task, write_meta_dataset

if TYPE_CHECKING:
    from pathlib import Path

    from lamps_core.task import Task


def choices(task: Task) -> list[int]:
    """Every step until all curves have ended."""
    search, policy, chosen = ReplayedSearch(task), MultiObjectiveAsha(), []
    while search.mask.any():
        chosen.append(policy.select(search.observation()))
        search.step(chosen[-1])
    return chosen


@given(arrays(np.float64, st.tuples(st.integers(1, 12), st.integers(1, 3)), elements=st.integers(-3, 3)))
def test_ranks_go_layer_by_layer(points: np.ndarray) -> None:
    place = ranks(points)
    assert sorted(place.tolist()) == list(range(len(points)))
    left = np.argsort(place)
    while len(left):
        size = int(front.non_dominated(points[left]).sum())
        assert front.non_dominated(points[left])[:size].all()  # the layer stands first
        left = left[size:]


def test_inside_a_layer_the_least_loss_comes_first_and_then_the_farthest() -> None:
    # One layer; spans 4 and 400. From (0, 400) the farthest is (4, 0), then (2, 200), midway between both.
    points = np.array([[1.0, 310.0], [4.0, 0.0], [0.0, 400.0], [2.0, 200.0]])
    assert ranks(points).tolist() == [3, 1, 0, 2]
    assert ranks(points * [1.0, 1e-6]).tolist() == [3, 1, 0, 2]  # units do not matter
    assert ranks(np.array([[np.nan, 1.0], [5.0, 2.0]])).tolist() == [1, 0]


def task_of(folder: Path, losses: dict[str, list[float]]) -> Task:
    """A task of such curves, each of steps that are dearer than those of the one before."""
    rows = [
        row
        for index, (name, curve) in enumerate(losses.items())
        for row in curve_rows("d", name, losses=curve, train=[0.0] + [1.0 + index] * (len(curve) - 1))
    ]
    (task,) = read_tasks(write_meta_dataset(folder, rows), parse_objectives())
    return task


def test_of_three_at_a_rung_the_worst_is_stopped_and_goes_on_last(tmp_path: Path) -> None:
    curves = {"a": [2.0, 1.9, 1.5, 1.4], "b": [2.0, 1.8, 1.2, 1.1], "c": [2.0, 1.9, 1.7, 1.6]}
    # The cheapest first; c is dominated at step 2, the first rung, where a and b went on.
    assert RUNGS[0] == 2
    assert choices(task_of(tmp_path / "three", curves)) == [0, 0, 0, 1, 1, 1, 2, 2, 2]
    another = {**curves, "d": [2.0, 1.9, 1.1, 1.0]}
    # c is stopped there: d, which is dearer, ends before c goes on.
    assert choices(task_of(tmp_path / "another", another)) == [0, 0, 0, 1, 1, 1, 2, 2, 3, 3, 3, 2]
    better = {**curves, "b": [2.0, 1.8, 1.6, 1.1], "c": [2.0, 1.9, 1.3, 1.2], "d": [2.0, 1.9, 1.7, 0.1]}
    # c joins a on the layer of step 2; d is the last of four there, stopped, and ends when nothing else is left.
    assert choices(task_of(tmp_path / "four", better)) == [0, 0, 0, 1, 1, 1, 2, 2, 2, 3, 3, 3]


@given(made_task())
def test_memory_changes_no_choice(task: Task) -> None:
    search, policy = ReplayedSearch(task), MultiObjectiveAsha()
    while search.mask.any():
        observation = search.observation()
        chosen = policy.select(observation)
        assert MultiObjectiveAsha().select(observation) == chosen
        search.step(chosen)


@pytest.mark.slow
def test_it_stops_whom_syne_tune_stops(tmp_path: Path) -> None:
    """Syne Tune's scheduler, driven one trial after another on the same curves.

    Its own priority hands out sorted indices where its scheduler compares ranks (0.16: `NonDominatedPriority`),
    so the ranks are put together here from its `nondominated_sort` and `compute_epsilon_net`.
    """
    pytest.importorskip("syne_tune")
    from syne_tune.backend.trial_status import Trial
    from syne_tune.optimizer.scheduler import SchedulerDecision
    from syne_tune.optimizer.schedulers.multiobjective.moasha import MOASHA
    from syne_tune.optimizer.schedulers.multiobjective.multiobjective_priority import MOPriority
    from syne_tune.optimizer.schedulers.multiobjective.non_dominated_priority import (
        compute_epsilon_net,
        nondominated_sort,
    )

    class Ranks(MOPriority):  # type: ignore[misc, unused-ignore]
        def priority_unsafe(self, objectives: np.ndarray) -> np.ndarray:
            place, before = np.empty(len(objectives)), 0
            for unordered in nondominated_sort(objectives, dim=0, flatten=False):
                layer = np.sort(unordered)
                extent = np.ptp(objectives[layer], axis=0)
                scaled = objectives[layer] / np.where(extent > 0, extent, 1.0)
                place[layer] = before + compute_epsilon_net(scaled, dim=0)
                before += len(layer)
            return place

    (task,) = read_tasks(write_meta_dataset(tmp_path, family_rows(1, 40, steps=9)), parse_objectives())
    scheduler = MOASHA(
        config_space={},
        metrics=["loss", "seconds"],
        time_attr="step",
        multiobjective_priority=Ranks(),
        max_t=2**5 + 1,
        grace_period=RUNGS[0],
        reduction_factor=ETA,
    )
    theirs: list[int] = []
    for candidate in np.argsort(task.epoch_cost, kind="stable").tolist():
        trial = Trial(candidate, {}, creation_time=None)
        scheduler.on_trial_add(trial)
        for step in range(1, task.rows[candidate]):
            theirs.append(candidate)
            loss, seconds = task.values[candidate, step]
            reported: dict[str, Any] = {"step": step, "loss": loss, "seconds": seconds}
            if scheduler.on_trial_result(trial, reported) == SchedulerDecision.STOP:
                break
    ours = choices(task)
    assert ours[: len(theirs)] == theirs
    assert len(theirs) < len(ours) - 20  # some were stopped

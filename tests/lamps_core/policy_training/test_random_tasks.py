"""Tasks of many kinds to learn from."""

from __future__ import annotations

import numpy as np
import pytest

from lamps_core.policy_training.random_tasks import random_task


@pytest.mark.parametrize("seed", range(12))
def test_random_tasks_are_tasks(seed: int) -> None:
    task = random_task(seed)
    seen = np.arange(task.losses.shape[1]) < task.rows[:, None]
    assert (task.losses[seen] > 0).all()
    assert np.isfinite(task.losses[seen]).all()
    assert (task.step_seconds[:, 1:][seen[:, 1:]] > 0).all()
    assert (task.step_seconds[:, 0] >= 0).all()
    assert np.isnan(task.losses[~seen]).all()
    assert len(set(task.candidates)) == len(task.candidates)
    assert task.on_front.any()
    assert task.hypervolume > 0
    assert random_task(seed).losses.tobytes() == task.losses.tobytes()


def test_in_some_of_them_an_evaluation_costs_nothing() -> None:
    free = np.array([(random_task(seed).step_seconds[:, 0] == 0.0).all() for seed in range(100)])
    assert 0.05 < free.mean() < 0.3


def test_in_some_of_them_the_last_doubling_brings_as_much_as_any() -> None:
    last, most = [], []
    for seed in range(200):
        task = random_task(seed)
        if (task.rows == task.rows[0]).all():
            drops = -np.diff(np.log(task.losses), axis=1).mean(axis=0)[1:]
            last.append(drops[-1])
            most.append(drops.max())
    steady = np.array(last) > 0.5 * np.array(most)
    assert 0.1 < steady.mean() < 0.7


def test_they_differ_in_what_a_zero_shot_loss_says_of_the_end() -> None:
    told = []
    for seed in range(60):
        task = random_task(seed)
        first, end = np.log(task.losses[:, 0]), np.log(task.final[:, 0])
        told.append((first.std() / end.std(), np.corrcoef(first, end)[0, 1]))
    apart, alike = np.array(told).T
    assert apart.min() < 0.1
    assert apart.max() > 1.0
    assert alike.min() < 0.0
    assert alike.max() > 0.7

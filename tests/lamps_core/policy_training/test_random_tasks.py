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
    assert (task.step_seconds[seen] > 0).all()
    assert np.isnan(task.losses[~seen]).all()
    assert len(set(task.candidates)) == len(task.candidates)
    assert task.on_front.any()
    assert task.hypervolume > 0
    assert random_task(seed).losses.tobytes() == task.losses.tobytes()


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

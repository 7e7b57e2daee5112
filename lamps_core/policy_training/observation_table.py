"""All that a `PoolLayout` can show of a batch of tasks, computed once: an observation is then a choice of rows."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from lamps_core.policies.pool_layout import PoolLayout, Vector
    from lamps_core.policy_training.task_batch import TaskBatch


def observation_table(layout: PoolLayout, tasks: TaskBatch) -> Vector:
    """(T, L, m, n + 1) what is shown of each candidate after each row.

    Args:
        layout: of a pool policy, over the candidates of the tasks.
        tasks: T of them.
    """
    absent = tasks.rows == 0
    losses, step_seconds, parameters, epoch_cost = (
        np.where(absent, np.nan, values)
        for values in (
            tasks.losses[:, :, 0],
            tasks.step_seconds[:, :, 0],
            tasks.parameters,
            tasks.epoch_cost,
        )
    )
    scale = layout.scale(
        losses=losses, step_seconds=step_seconds, parameters=parameters, epoch_cost=epoch_cost
    )
    steps = np.where(absent[:, None], -1, np.arange(tasks.values.shape[2])[:, None])  # (T, L, m)
    return layout.encode(tasks.values.transpose(0, 2, 1, 3), steps, scale[:, None])

"""Tasks of different candidates and lengths as arrays of one shape, over one list of candidates.

A candidate that a task lacks has no rows there and can never be chosen. Knows nothing of episodes.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lamps_core.task import BoolArray, FloatArray, IntArray, Task


@dataclass(frozen=True, kw_only=True)
class TaskBatch:
    """T tasks over the same m candidates, at most L rows a curve, with n objectives.

    Attributes:
        candidates: (m,) names.
        rows: (T, m) rows that a search sees of each curve; 0 where a task lacks the candidate.
        complete: (T, m) which curves met their stopping criterion in those rows.
        on_front: (T, m) which are Pareto-optimal.
        values: (T, m, L, n) minimised objectives after each row; behind a curve's end its last ones.
        losses: (T, m, L) evaluation losses; behind a curve's end the last one.
        step_seconds: (T, m, L) cost of each row; 0 behind a curve's end.
        parameters: (T, m) of each candidate; 1 where a task lacks it.
        epoch_cost: (T, m) expected cost of an epoch, relative to each other; 1 where a task lacks the candidate.
    """

    candidates: tuple[str, ...]
    rows: IntArray
    complete: BoolArray
    on_front: BoolArray
    values: FloatArray
    losses: FloatArray
    step_seconds: FloatArray
    parameters: FloatArray
    epoch_cost: FloatArray

    def __len__(self) -> int:
        return len(self.rows)

    @cached_property
    def zero_shot_seconds(self) -> FloatArray:
        """(T,) what evaluating every candidate before its first step costs."""
        total: FloatArray = self.step_seconds[:, :, 0].sum(axis=1)
        return total

    @cached_property
    def final(self) -> FloatArray:
        """(T, m, n) minimised objectives after the last row; infinite for a candidate that never completes."""
        last: FloatArray = self.values[:, :, -1]
        return np.where(self.complete[:, :, None], last, np.inf)


def candidates_of(tasks: Sequence[Task]) -> tuple[str, ...]:
    """Every candidate of some tasks, sorted by name."""
    return tuple(sorted({name for task in tasks for name in task.candidates}))


def stack(tasks: Sequence[Task], candidates: Sequence[str] | None = None) -> TaskBatch:
    """Bring tasks into one shape.

    Args:
        tasks: with the same number of objectives.
        candidates: the list to order them by; by default that of `candidates_of`.

    Raises:
        ValueError: no task, a task with a candidate that is not in the list, or different objectives.
    """
    if not tasks:
        raise ValueError("no task to stack")
    names = tuple(candidates or candidates_of(tasks))
    if len({task.values.shape[2] for task in tasks}) > 1:
        raise ValueError("the tasks differ in their objectives")
    place = {name: index for index, name in enumerate(names)}
    count, longest = len(names), max(task.values.shape[1] for task in tasks)
    batch = TaskBatch(
        candidates=names,
        rows=np.zeros((len(tasks), count), dtype=np.int64),
        complete=np.zeros((len(tasks), count), dtype=bool),
        on_front=np.zeros((len(tasks), count), dtype=bool),
        values=np.zeros((len(tasks), count, longest, tasks[0].values.shape[2])),
        losses=np.zeros((len(tasks), count, longest)),
        step_seconds=np.zeros((len(tasks), count, longest)),
        parameters=np.ones((len(tasks), count)),
        epoch_cost=np.ones((len(tasks), count)),
    )
    for index, task in enumerate(tasks):
        try:
            columns = [place[name] for name in task.candidates]
        except KeyError as error:
            raise ValueError(
                f"dataset {task.dataset!r} has candidate {error}, which is not in the list"
            ) from error
        seen = np.minimum(np.arange(longest), task.rows[:, None] - 1)  # (m, L)
        rows = np.arange(len(task.rows))[:, None]
        batch.rows[index, columns] = task.playable_rows
        batch.complete[index, columns] = task.complete & (task.playable_rows == task.rows)
        batch.on_front[index, columns] = task.on_front
        batch.values[index, columns] = task.values[rows, seen]
        batch.losses[index, columns] = task.losses[rows, seen]
        batch.step_seconds[index, columns, : task.step_seconds.shape[1]] = task.step_seconds
        batch.parameters[index, columns] = task.parameters
        batch.epoch_cost[index, columns] = task.epoch_cost
    return batch

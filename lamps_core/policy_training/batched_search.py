"""Hundreds of replayed searches at once, one task each, as numpy arrays.

The same rules as `replay.ReplayedSearch`: a property test holds the two equal. Knows nothing of rewards, networks or
frameworks.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from lamps_core.policy_training.task_batch import TaskBatch
    from lamps_core.task import BoolArray, FloatArray, IntArray


class BatchedSearch:
    """E searches after their zero-shot evaluations.

    Attributes:
        tasks: what is searched.
        task: (E,) which task each search is on.
        row: (E, m) the last row seen of each curve.
        spent_seconds: (E,) cost so far.
        complete: (E, m) which candidates met their stopping criterion.
        left: (E,) Pareto-optimal candidates that are not complete yet; 0 ends an episode.
    """

    def __init__(self, tasks: TaskBatch, searches: int) -> None:
        """Begin with every search on task 0; `restart` says which ones it is to be.

        Args:
            tasks: what is searched.
            searches: E.
        """
        self.tasks = tasks
        count = len(tasks.candidates)
        self.task: IntArray = np.zeros(searches, dtype=np.int64)
        self.row: IntArray = np.zeros((searches, count), dtype=np.int64)
        self.spent_seconds: FloatArray = np.zeros(searches)
        self.complete: BoolArray = np.zeros((searches, count), dtype=bool)
        self.left: IntArray = np.zeros(searches, dtype=np.int64)
        self.restart(np.arange(searches), np.zeros(searches, dtype=np.int64))

    def restart(self, searches: IntArray, tasks: IntArray) -> None:
        """Begin some searches anew.

        Args:
            searches: (k,) which of the E.
            tasks: (k,) the task of each.
        """
        self.task[searches] = tasks
        self.row[searches] = 0
        self.spent_seconds[searches] = self.tasks.zero_shot_seconds[tasks]
        self.complete[searches] = self.tasks.complete[tasks] & (self.tasks.rows[tasks] == 1)
        self.left[searches] = (self.tasks.on_front[tasks] & ~self.complete[searches]).sum(axis=1)

    def mask(self) -> BoolArray:
        """(E, m) which candidates have a recorded step left."""
        mask: BoolArray = self.row < self.tasks.rows[self.task] - 1
        return mask

    def step(self, chosen: IntArray) -> IntArray:
        """One more landmark step of one candidate of each search.

        Args:
            chosen: (E,) candidates, each with a step left.

        Returns:
            (k,) the searches in which that candidate is now complete.
        """
        every = np.arange(len(chosen))
        self.row[every, chosen] += 1
        row = self.row[every, chosen]
        self.spent_seconds += self.tasks.step_seconds[self.task, chosen, row]
        last = row == self.tasks.rows[self.task, chosen] - 1
        done = np.flatnonzero(last & self.tasks.complete[self.task, chosen])
        self.complete[done, chosen[done]] = True
        self.left[done] -= self.tasks.on_front[self.task[done], chosen[done]]
        return done

    def values(self) -> FloatArray:
        """(E, m, n) minimised objectives so far; meaningless where a task lacks the candidate."""
        every, candidate = np.ogrid[: len(self.row), : self.row.shape[1]]
        return self.tasks.values[self.task[every], candidate, self.row]

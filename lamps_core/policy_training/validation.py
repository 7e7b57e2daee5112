"""How good a policy is while it learns: greedy searches on datasets kept out of its training.

Owns which datasets those are and the score. Knows nothing of networks: it is given what chooses.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from lamps_core import front
from lamps_core.policy_training.batched_search import BatchedSearch
from lamps_core.policy_training.task_batch import stack

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from lamps_core.task import BoolArray, FloatArray, IntArray, Task

    Choose = Callable[[BatchedSearch], IntArray]

FEWEST_DATASETS = 4  # with fewer, each is worth more in training than as a judge
SHARE = 0.15


def split_tasks(tasks: Sequence[Task], *, seed: int) -> tuple[list[Task], list[Task]]:
    """Tasks to train on, and tasks to judge by: whole datasets, none where there are fewer than four.

    Args:
        tasks: of a meta-dataset.
        seed: of the choice.
    """
    datasets = sorted({task.dataset for task in tasks})
    if len(datasets) < FEWEST_DATASETS:
        return list(tasks), []
    count = max(1, round(SHARE * len(datasets)))
    kept = set(np.random.default_rng(seed).choice(datasets, count, replace=False).tolist())
    return (
        [task for task in tasks if task.dataset not in kept],
        [task for task in tasks if task.dataset in kept],
    )


class Validation:
    """Searches on tasks kept out of the training; the score is the mean of `speed` over them, from 0 to 1."""

    def __init__(self, tasks: Sequence[Task], candidates: Sequence[str]) -> None:
        """Prepare the tasks.

        Args:
            tasks: at least one.
            candidates: the list by which what chooses names them.
        """
        self._tasks = list(tasks)
        self._batch = stack(tasks, candidates)

    def score(self, choose: Choose) -> float:
        """The mean of `speed` over the tasks.

        Args:
            choose: (E,) candidates that may be chosen, of E searches.
        """
        search = BatchedSearch(self._batch, len(self._tasks))
        search.restart(np.arange(len(self._tasks)), np.arange(len(self._tasks)))
        curves = [_Curve(task, search.spent_seconds[index]) for index, task in enumerate(self._tasks)]
        running = search.left > 0
        while running.any():
            complete = search.complete.copy()
            chosen = choose(search)
            for index in search.step(chosen):
                if running[index] and not complete[index, chosen[index]]:
                    final = self._batch.final[index]
                    curves[index].tell(search.spent_seconds[index], final, search.complete[index])
            running &= search.left > 0
            # One that has ended begins anew, unheard, until all have.
            ended = np.flatnonzero(search.left == 0)
            search.restart(ended, ended)
        return float(np.mean([curve.speed() for curve in curves]))


class _Curve:
    """The share of the hypervolume over the time spent, of one search."""

    def __init__(self, task: Task, seconds: float) -> None:
        self._task = task
        self._seconds, self._shares = [seconds], [0.0]

    def tell(self, seconds: float, final: FloatArray, complete: BoolArray) -> None:
        reached = front.hypervolume(final[complete], self._task.reference)
        self._seconds.append(seconds)
        self._shares.append(reached / self._task.hypervolume)

    def speed(self) -> float:
        """The mean share of the hypervolume over the logarithm of the time, zero-shot to exhaustive."""
        return speed(np.array(self._seconds), np.array(self._shares), self._task.exhaustive_seconds)


def speed(seconds: FloatArray, shares: FloatArray, exhaustive_seconds: float) -> float:
    """How early a search reached its hypervolume: 1 at once, 0 never.

    Args:
        seconds: (p,) ascending: when the share changed; the first is the end of the zero-shot evaluations.
        shares: (p,) of the hypervolume from then on.
        exhaustive_seconds: what fine-tuning everything costs.

    >>> speed(np.array([1.0, 10.0]), np.array([0.0, 1.0]), 100.0)
    0.5
    """
    edges = np.log(np.minimum(np.append(seconds, exhaustive_seconds), exhaustive_seconds))
    whole = edges[-1] - edges[0]
    return float((shares * np.diff(edges)).sum() / whole) if whole > 0 else float(shares[-1])

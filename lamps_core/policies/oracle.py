"""`oracle`: knows the task, so it fine-tunes the Pareto-optimal candidates alone (paper, Section 6.1).

The paper leaves the order of the front open; here the greatest gain in hypervolume per second comes first,
which is what its figures reward. A yardstick, not a method to use; greedy, so that a luckier order can reach a
share of the hypervolume sooner.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from lamps_core.policies.gains import hypervolume_gains

if TYPE_CHECKING:
    from lamps_core.policies.protocol import Observation
    from lamps_core.task import FloatArray, IntArray, Task


class Oracle:
    """Each time the incomplete front candidate that gains most per second still to spend, to its end.

    What a candidate gains depends on the complete ones alone, and what it still costs falls with its every
    step: the one chosen stays the best until it is complete.
    """

    name = "oracle"

    def __init__(self, task: Task) -> None:
        """Look the answers up.

        Args:
            task: the very task that is searched.
        """
        self._task = task
        self._index = {name: index for index, name in enumerate(task.candidates)}
        self._gains: dict[bytes, FloatArray] = {}
        # (m, L) seconds of the rows behind each row.
        self._remaining = task.step_seconds[:, ::-1].cumsum(axis=1)[:, ::-1] - task.step_seconds

    def select(self, observation: Observation) -> int:
        """The best front candidate that may be chosen; when the front is complete, anything."""
        place = np.array([self._index[name] for name in observation.names])
        left = np.flatnonzero(observation.mask & self._task.on_front[place])
        if len(left) == 0:
            return int(np.argmax(observation.mask))
        gains = self._gains_over(place[observation.complete])[place[left]]
        seconds = self._remaining[place[left], observation.steps[left]]
        with np.errstate(divide="ignore", invalid="ignore"):
            rate = np.where(gains > 0.0, gains / seconds, 0.0)
        # A candidate that is equal to a complete one gains nothing: the cheapest of those comes first.
        return int(left[np.lexsort((seconds, -rate))[0]])

    def _gains_over(self, complete: IntArray) -> FloatArray:
        """(m,) what each front candidate adds to the complete ones; 0 for all others."""
        key = np.sort(complete).tobytes()
        if key not in self._gains:
            task = self._task
            known = complete[task.complete[complete]]
            self._gains = {key: np.zeros(len(task.rows))}
            self._gains[key][task.on_front] = hypervolume_gains(
                task.final[task.on_front], task.final[known], task.reference
            )
        return self._gains[key]

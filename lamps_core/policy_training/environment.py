"""The search as a reinforcement learning environment (paper, Section 5): one episode is one search on one task.

Owns what Gymnasium asks for. What is seen, what a step costs and what is earned stand in `pool_layout`, `replay`
and `rewards`. Trainings run `vector_environment`, which is the same, hundreds at once; tests and benchmarks hold it
to this one. An episode ends when all Pareto-optimal candidates are complete: only the training knows when that is,
the policy never sees it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import gymnasium
import numpy as np

from lamps_core.policies.pool_layout import PoolLayout
from lamps_core.policy_training.rewards import OPTIMUM, Equation, Rewards
from lamps_core.replay import ReplayedSearch

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lamps_core.policies.pool_layout import Vector
    from lamps_core.task import BoolArray, Task


class SearchEnvironment(gymnasium.Env["Vector", np.int64]):
    """One task; an action is a candidate of the pool, which gets one more landmark step."""

    def __init__(
        self,
        task: Task,
        *,
        candidates: Sequence[str] | None = None,
        equation: Equation = "7",
        optimum: float = OPTIMUM,
    ) -> None:
        """Make the environment of a task.

        Args:
            task: with a Pareto-optimal candidate that is not complete before its first step.
            candidates: the pool; by default the task's own.
            equation: of the reward.
            optimum: what the best episode earns.

        Raises:
            ValueError: there is nothing to search for in the task.
        """
        check_searchable([task])
        self.layout = PoolLayout(
            tuple(candidates or task.candidates), tuple(one.column for one in task.objectives)
        )
        self.observation_space = gymnasium.spaces.Box(-np.inf, np.inf, (self.layout.size,), np.float32)
        self.action_space = gymnasium.spaces.Discrete(len(self.layout.candidates))
        self.task = task
        self._place = self.layout.places(task.candidates)
        self._own = {place: index for index, place in enumerate(self._place)}
        self._rewards = Rewards.of([task], equation=equation, optimum=optimum)
        self.search = ReplayedSearch(task)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Vector, dict[str, Any]]:
        """The state after all zero-shot evaluations; nothing in it is random."""
        super().reset(seed=seed, options=options)
        self.search = ReplayedSearch(self.task)
        return self._observe(), {}

    def step(self, action: np.int64) -> tuple[Vector, float, bool, bool, dict[str, Any]]:
        """One landmark step of a candidate.

        Raises:
            ValueError: the candidate is masked.
        """
        if not self.action_masks()[action]:
            raise ValueError(f"{self.layout.candidates[action]} is masked: it is complete, or absent")
        self.search.step(self._own[int(action)])
        ended = not (self.task.on_front & ~self.search.complete).any()
        return self._observe(), self._reward() if ended else 0.0, ended, False, {}

    def action_masks(self) -> BoolArray:
        """(m,) which candidates of the pool may get a step."""
        mask = np.zeros(len(self.layout.candidates), dtype=bool)
        mask[self._place] = self.search.mask
        return mask

    def _observe(self) -> Vector:
        return self.layout.vector(self.search.observation())

    def _reward(self) -> float:
        complete, seconds = self.search.complete.sum(keepdims=True), np.array([self.search.spent_seconds])
        return float(self._rewards.final(np.zeros(1, dtype=np.int64), complete, seconds)[0])


def searchable(task: Task) -> bool:
    """Whether an episode has a step at all: some Pareto-optimal candidate is not complete from the start."""
    return bool((task.on_front & (task.rows > 1)).any())


def check_searchable(tasks: Sequence[Task]) -> None:
    """Raise ValueError for a task whose episodes would be over before their first step."""
    for task in tasks:
        if not searchable(task):
            raise ValueError(f"dataset {task.dataset!r}: every Pareto-optimal candidate has a single row")

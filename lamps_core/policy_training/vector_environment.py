"""Hundreds of episodes at once as one vectorised environment of stable-baselines3, in numpy.

The same as as many `environment.SearchEnvironment`s, each on one task: a property test holds them equal. An
observation is a choice of rows from a table made once, and a step changes one candidate's part of it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import gymnasium
import numpy as np
from stable_baselines3.common.vec_env import VecEnv

from lamps_core.policies.pool_layout import PoolLayout
from lamps_core.policy_training.batched_search import BatchedSearch
from lamps_core.policy_training.environment import check_searchable
from lamps_core.policy_training.observation_table import observation_table
from lamps_core.policy_training.rewards import OPTIMUM, Equation, Rewards
from lamps_core.policy_training.task_batch import stack

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    import numpy.typing as npt

    from lamps_core.policies.pool_layout import Vector
    from lamps_core.task import BoolArray, IntArray, Task


class VectorSearchEnvironment(VecEnv):
    """E = T * k episodes: the first k on task 0, the next k on task 1, and so on, for ever.

    Attributes:
        layout: of the observations.
        observations: (E, size) what is seen now; changed in place by every step.
        masks: (E, m) what may be chosen now; changed in place by every step.
    """

    def __init__(
        self,
        tasks: Sequence[Task],
        *,
        episodes_each: int = 1,
        candidates: Sequence[str] | None = None,
        equation: Equation = "7",
        optimum: float = OPTIMUM,
    ) -> None:
        """Begin all episodes.

        Args:
            tasks: T of them, with the same objectives.
            episodes_each: k, at once on each task.
            candidates: the pool; by default all that occur.
            equation: of the reward.
            optimum: what the best episode earns.

        Raises:
            ValueError: as `task_batch.stack`; there is nothing to search for in a task.
        """
        check_searchable(tasks)
        batch = stack(tasks, candidates)
        self.layout = PoolLayout(batch.candidates, tuple(one.column for one in tasks[0].objectives))
        self._table = observation_table(self.layout, batch)
        self._rewards = Rewards.of(tasks, equation=equation, optimum=optimum)
        self._task_of = np.repeat(np.arange(len(tasks)), episodes_each)
        self._search = BatchedSearch(batch, len(self._task_of))
        self._complete: IntArray = np.zeros(len(self._task_of), dtype=np.int64)
        count, pool = len(self._task_of), len(self.layout.candidates)
        self.observations: Vector = np.zeros((count, self.layout.size), dtype=np.float32)
        self._parts = self.observations.reshape(count, pool, self.layout.features)
        self.masks: BoolArray = np.zeros((count, pool), dtype=bool)
        self._length: IntArray = np.zeros(count, dtype=np.int64)
        self._every = np.arange(count)
        self._actions: IntArray = np.zeros(count, dtype=np.int64)
        self.render_mode = None
        super().__init__(
            count,
            gymnasium.spaces.Box(-np.inf, np.inf, (self.layout.size,), np.float32),
            gymnasium.spaces.Discrete(pool),
        )
        self._begin(self._every)

    def reset(self) -> Vector:
        """Begin all episodes anew."""
        self._begin(self._every)
        return self.observations.copy()

    def advance(self, actions: IntArray) -> tuple[npt.NDArray[np.float32], BoolArray]:
        """One step of every episode, without the copies and dictionaries of `step`.

        An episode that ends begins anew at once.

        Args:
            actions: (E,) candidates that are not masked.

        Returns:
            (E,) rewards and (E,) whether an episode ended; what is seen then is in `observations` and `masks`.
        """
        rewards, ended = self._act(actions)
        if len(ended):
            self._begin(ended)
        dones = np.zeros(self.num_envs, dtype=bool)
        dones[ended] = True
        return rewards, dones

    def step_async(self, actions: IntArray) -> None:
        """Take the actions; the work is done in `step_wait`."""
        self._actions = np.asarray(actions, dtype=np.int64)

    def step_wait(self) -> tuple[Vector, npt.NDArray[np.float32], BoolArray, list[dict[str, Any]]]:
        """What the actions led to, in the words of stable-baselines3."""
        rewards, ended = self._act(self._actions)
        infos: list[dict[str, Any]] = [{} for _ in range(self.num_envs)]
        dones = np.zeros(self.num_envs, dtype=bool)
        for index in ended:
            dones[index] = True
            infos[index] = {
                "terminal_observation": self.observations[index].copy(),
                "TimeLimit.truncated": False,
                "episode": {"r": float(rewards[index]), "l": int(self._length[index])},
            }
        if len(ended):
            self._begin(ended)
        return self.observations.copy(), rewards, dones, infos

    def action_masks(self) -> BoolArray:
        """(E, m) what may be chosen."""
        return self.masks

    def _act(self, actions: IntArray) -> tuple[npt.NDArray[np.float32], IntArray]:
        """(E,) rewards, and which episodes ended."""
        if not self.masks[self._every, actions].all():
            raise ValueError("an action is masked: its candidate is complete, or absent")
        search = self._search
        self._complete[search.step(actions)] += 1
        self._length += 1
        row = search.row[self._every, actions]
        self._parts[self._every, actions] = self._table[search.task, row, actions]
        self.masks[self._every, actions] = row < search.tasks.rows[search.task, actions] - 1
        ended = np.flatnonzero(search.left == 0)
        rewards = np.zeros(self.num_envs, dtype=np.float32)
        if len(ended):
            rewards[ended] = self._rewards.final(
                search.task[ended], self._complete[ended], search.spent_seconds[ended]
            )
        return rewards, ended

    def _begin(self, episodes: IntArray) -> None:
        search = self._search
        search.restart(episodes, self._task_of[episodes])
        self._complete[episodes] = search.complete[episodes].sum(axis=1)
        self._length[episodes] = 0
        self._parts[episodes] = self._table[self._task_of[episodes], 0]
        self.masks[episodes] = search.tasks.rows[self._task_of[episodes]] > 1

    # What follows is asked for by stable-baselines3.

    def close(self) -> None:
        """Nothing is held."""

    def has_attr(self, attr_name: str) -> bool:
        """Whether an episode can be asked for it."""
        return attr_name == "action_masks" or hasattr(self, attr_name)

    def get_attr(self, attr_name: str, indices: int | Iterable[int] | None = None) -> list[Any]:
        """An attribute, the same for each of the episodes."""
        return [getattr(self, attr_name) for _ in self._chosen(indices)]

    def set_attr(self, attr_name: str, value: Any, indices: int | Iterable[int] | None = None) -> None:
        """Refused: an episode has none of its own."""
        raise NotImplementedError(f"an episode has no {attr_name} of its own")

    def env_method(
        self, method_name: str, *_: Any, indices: int | Iterable[int] | None = None, **__: Any
    ) -> list[Any]:
        """`action_masks` of each of the episodes."""
        if method_name != "action_masks":
            raise AttributeError(f"an episode has no method {method_name}")
        return [self.masks[index].copy() for index in self._chosen(indices)]

    def env_is_wrapped(self, wrapper_class: type, indices: int | Iterable[int] | None = None) -> list[bool]:
        """Never."""
        return [False for _ in self._chosen(indices)]

    def _chosen(self, indices: int | Iterable[int] | None) -> list[int]:
        if indices is None:
            return list(range(self.num_envs))
        return [indices] if isinstance(indices, int) else list(indices)

"""A search on recorded curves: the same observations, mask and accounting as a real one, and no fine-tuning.

Every method is judged by this one harness, so that differences between methods are theirs alone. Knows
nothing of how a policy decides or of who reads the result.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from lamps_core import front
from lamps_core.objectives import bounds_of
from lamps_core.policies import Observation

if TYPE_CHECKING:
    from lamps_core.meta_dataset import FloatArray, Task
    from lamps_core.policies import Policy

_ROUNDING = 1e-12  # relative: a share of the hypervolume that is reached but for the last digits


@dataclass(frozen=True, kw_only=True)
class Replay:
    """What a policy reached, and when.

    Attributes:
        spent_seconds: (p,) cost so far when the hypervolume grew, ascending.
        share: (p,) hypervolume of the complete candidates from then on, as a share of what all reach together.
        steps: landmark steps after the zero-shot ones.
        total_seconds: cost of all of them, zero-shot included.
    """

    spent_seconds: FloatArray
    share: FloatArray
    steps: int
    total_seconds: float

    def seconds_to(self, share: float) -> float | None:
        """The cost at which a share of the hypervolume was first reached; None if it never was."""
        reached = np.flatnonzero(self.share >= share * (1.0 - _ROUNDING))
        return float(self.spent_seconds[reached[0]]) if len(reached) else None


class ReplayedSearch:
    """Algorithm 1 on recorded curves, after its zero-shot evaluations (line 3)."""

    def __init__(self, task: Task) -> None:
        self.task = task
        self.spent_seconds = task.zero_shot_seconds
        self.row = np.zeros(len(task.rows), dtype=np.int64)  # (m,) the last row seen of each curve
        self.complete = task.complete & (task.rows == 1)
        self.steps = 0
        self._losses: list[tuple[float, ...]] = [(float(loss),) for loss in task.losses[:, 0]]
        self._seconds: list[tuple[float, ...]] = [(float(first),) for first in task.step_seconds[:, 0]]
        self._objectives = task.values[:, 0].copy()
        self._curves = [curve[:1] for curve in task.values]

    @property
    def mask(self) -> np.ndarray:
        """(m,) which candidates have a recorded step left, and have passed no bound of a growing cost."""
        mask: np.ndarray = self.row < self.task.playable_rows - 1
        return mask

    def observation(self) -> Observation:
        """What a policy sees now; the share of a budget is 0, as there is none."""
        return Observation(
            names=self.task.candidates,
            objectives=self._objectives.copy(),
            steps=self.row.copy(),
            parameters=self.task.parameters,
            epoch_cost=self.task.epoch_cost,
            losses=tuple(self._losses),
            step_seconds=tuple(self._seconds),
            complete=self.complete.copy(),
            mask=self.mask,
            decision=len(self.task.rows) + self.steps,
            spent_seconds=self.spent_seconds,
            budget_share=0.0,
            curves=tuple(self._curves),
            bounds=bounds_of(self.task.objectives),
        )

    def step(self, candidate: int) -> None:
        """One more landmark step of a candidate that may run."""
        self.row[candidate] += 1
        row = self.row[candidate]
        seconds = float(self.task.step_seconds[candidate, row])
        self.spent_seconds += seconds
        self.steps += 1
        self._losses[candidate] += (float(self.task.losses[candidate, row]),)
        self._seconds[candidate] += (seconds,)
        self._objectives[candidate] = self.task.values[candidate, row]
        self._curves[candidate] = self.task.values[candidate, : row + 1]
        if row == self.task.rows[candidate] - 1:
            self.complete[candidate] = self.task.complete[candidate]


def replay(task: Task, policy: Policy) -> Replay:
    """Run a policy on a task until nothing more can be gained.

    Args:
        task: the recorded curves.
        policy: asked before every step.

    Raises:
        ValueError: the policy chose a candidate that may not run.
    """
    search = ReplayedSearch(task)
    spent, shares = [search.spent_seconds], [_share(task, search.complete)]
    while shares[-1] < 1.0 - _ROUNDING:
        observation = search.observation()
        if not observation.mask.any():
            break
        chosen = policy.select(observation)
        if not observation.mask[chosen]:
            raise ValueError(f"policy {policy.name} chose {observation.names[chosen]}, which is masked")
        before = search.complete.copy()
        search.step(chosen)
        if search.complete[chosen] and not before[chosen] and _new(task, chosen, before):
            spent.append(search.spent_seconds)
            shares.append(_share(task, search.complete))
    return Replay(
        spent_seconds=np.array(spent),
        share=np.array(shares),
        steps=search.steps,
        total_seconds=search.spent_seconds,
    )


def _new(task: Task, candidate: int, complete: np.ndarray) -> bool:
    """Whether no complete candidate weakly dominates this one, so that the hypervolume may grow."""
    return not (task.final[complete] <= task.final[candidate]).all(axis=1).any()


def _share(task: Task, complete: np.ndarray) -> float:
    if not complete.any():
        return 0.0
    return front.hypervolume(task.final[complete], task.reference) / task.hypervolume

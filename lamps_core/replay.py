"""A search on recorded curves: the same observations, mask and accounting as a real one, and no fine-tuning.

Every method is judged by this one harness, so that differences between methods are theirs alone. Steps can run on
several simulated devices at once. Knows nothing of how a policy decides or of who reads the result.
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from lamps_core import front
from lamps_core.objectives import bounds_of
from lamps_core.policies.protocol import Observation

if TYPE_CHECKING:
    from lamps_core.policies.protocol import Policy
    from lamps_core.task import FloatArray, Task

_ROUNDING = 1e-12  # relative: a share of the hypervolume that is reached but for the last digits


@dataclass(frozen=True, kw_only=True)
class Replay:
    """What a policy reached, and when.

    Attributes:
        spent_seconds: (p,) when the hypervolume grew, ascending: seconds since the search began, by a clock that only
            its steps move. With one device that is what the search has cost by then; with more, it has cost more.
        share: (p,) hypervolume of the complete candidates from then on, as a share of what all reach together.
        steps: landmark steps that ended, after the zero-shot ones.
        total_seconds: cost of all of them on all devices together, zero-shot included.
    """

    spent_seconds: FloatArray
    share: FloatArray
    steps: int
    total_seconds: float

    def seconds_to(self, share: float) -> float | None:
        """When a share of the hypervolume was first reached; None if it never was."""
        reached = np.flatnonzero(self.share >= share * (1.0 - _ROUNDING))
        return float(self.spent_seconds[reached[0]]) if len(reached) else None


class ReplayedSearch:
    """Algorithm 1 on recorded curves, after its zero-shot evaluations (line 3)."""

    def __init__(self, task: Task) -> None:
        self.task = task
        self.spent_seconds = task.zero_shot_seconds
        self.row = np.zeros(len(task.rows), dtype=np.int64)  # (m,) the last row seen of each curve
        self.complete = task.complete & (task.rows == 1)
        self.pending = np.zeros(len(task.rows), dtype=bool)  # (m,) whose next step runs
        self.steps = 0
        self._losses: list[tuple[float, ...]] = [(float(loss),) for loss in task.losses[:, 0]]
        self._seconds: list[tuple[float, ...]] = [(float(first),) for first in task.step_seconds[:, 0]]
        self._objectives = task.values[:, 0].copy()
        self._curves = [curve[:1] for curve in task.values]

    @property
    def mask(self) -> np.ndarray:
        """(m,) which candidates have a recorded step left, have passed no bound of a growing cost, and are idle."""
        mask: np.ndarray = (self.row < self.task.playable_rows - 1) & ~self.pending
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
            pending=self.pending.copy(),
            decision=len(self.task.rows) + self.steps + int(self.pending.sum()),
            spent_seconds=self.spent_seconds,
            budget_share=0.0,
            curves=tuple(self._curves),
            bounds=bounds_of(self.task.objectives),
            landmarks=self.task.landmarks,
        )

    def start(self, candidate: int) -> float:
        """Begin one more landmark step of a candidate that may run; returns the seconds it will take."""
        self.pending[candidate] = True
        return float(self.task.step_seconds[candidate, self.row[candidate] + 1])

    def step(self, candidate: int) -> None:
        """Take in that one more landmark step of a candidate, already started or not, is done."""
        self.pending[candidate] = False
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


def replay(task: Task, policy: Policy, *, devices: int = 1) -> Replay:
    """Run a policy on a task until nothing more can be gained.

    Whenever a device is free the policy is asked for a step of a candidate that has none running; the step ends after
    its recorded seconds. The policy is first asked when all zero-shot evaluations are done, as in `search`.

    Args:
        task: the recorded curves.
        policy: asked before every step.
        devices: steps that run at once, all alike.

    Raises:
        ValueError: the policy chose a candidate that may not run.
    """
    search = ReplayedSearch(task)
    clock = zero_shot_clock(task, devices)
    spent, shares = [clock], [_share(task, search.complete)]
    running: list[tuple[float, int, int]] = []  # a heap of (end, which of the steps begun, candidate)
    begun = 0
    while shares[-1] < 1.0 - _ROUNDING:
        while len(running) < devices and (chosen := _chosen(search, policy)) is not None:
            heapq.heappush(running, (clock + search.start(chosen), begun, chosen))
            begun += 1
        if not running:
            break
        clock, _, ended = heapq.heappop(running)
        before = search.complete.copy()
        search.step(ended)
        if search.complete[ended] and not before[ended] and _new(task, ended, before):
            spent.append(clock)
            shares.append(_share(task, search.complete))
    return Replay(
        spent_seconds=np.array(spent),
        share=np.array(shares),
        steps=search.steps,
        total_seconds=search.spent_seconds,
    )


def zero_shot_clock(task: Task, devices: int) -> float:
    """When every candidate has been evaluated: each in its turn on the first device that is free (Graham 1966)."""
    free = [(0.0, device) for device in range(devices)]
    evaluated_on = np.empty(len(task.rows), dtype=np.int64)
    for candidate, seconds in enumerate(task.step_seconds[:, 0].tolist()):
        at, evaluated_on[candidate] = heapq.heappop(free)
        heapq.heappush(free, (at + seconds, int(evaluated_on[candidate])))
    # Summed as `Task.zero_shot_seconds`, so that one device gives that very number.
    return max(float(task.step_seconds[evaluated_on == device, 0].sum()) for device in range(devices))


def _chosen(search: ReplayedSearch, policy: Policy) -> int | None:
    """What the policy wants next; None where no candidate may run."""
    observation = search.observation()
    if not observation.mask.any():
        return None
    chosen = policy.select(observation)
    if not observation.mask[chosen]:
        raise ValueError(f"policy {policy.name} chose {observation.names[chosen]}, which is masked")
    return chosen


def _new(task: Task, candidate: int, complete: np.ndarray) -> bool:
    """Whether no complete candidate weakly dominates this one, so that the hypervolume may grow."""
    return not (task.final[complete] <= task.final[candidate]).all(axis=1).any()


def _share(task: Task, complete: np.ndarray) -> float:
    if not complete.any():
        return 0.0
    return front.hypervolume(task.final[complete], task.reference) / task.hypervolume

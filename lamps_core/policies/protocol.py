"""What a policy is, and what it sees.

A policy is any object with a `name` and a `select`; it sees an `Observation` and answers with a candidate's
index. Masking is the caller's: a candidate that may not be chosen is False in `Observation.mask`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol

from lamps_core.landmarks import LANDMARKS

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np


@dataclass(frozen=True, kw_only=True)
class Observation:
    """What a policy sees before each action (paper, Section 5), of m candidates and n objectives.

    Attributes:
        names: (m,) candidate names.
        objectives: (m, n) minimised values so far; NaN where unknown.
        steps: (m,) landmark steps done, the zero-shot evaluation not counted; -1 before it.
        parameters: (m,) parameters of each candidate; NaN before its zero-shot evaluation.
        epoch_cost: (m,) expected cost of one full training epoch, relative to the others' (counted operations, not the
            clock, so that its noise changes no decision); NaN where unknown.
        losses: (m,) evaluation losses of each curve so far.
        step_seconds: (m,) seconds of each step so far.
        complete: (m,) True where the stopping criterion is met.
        mask: (m,) True where a step may be started.
        pending: (m,) True where a step runs now, of which nothing is known yet; its mask is False.
        decision: number of outcomes so far, and of steps that run: seeds a random policy, so that a resumed search
            decides alike.
        spent_seconds: cost so far.
        budget_share: share of the budget spent, 0 to 1; 0 without a budget.
        curves: (m,) of (steps + 1, n) minimised objectives after each step so far, the last row as in `objectives`;
            NaN where unknown. Empty where whoever observes keeps none: policies that read the past refuse that.
        bounds: (n,) f_max of each objective, minimised; infinite where there is none. Empty where none has one.
        landmarks: K, after which each step is a full epoch.
    """

    names: tuple[str, ...]
    objectives: np.ndarray
    steps: np.ndarray
    parameters: np.ndarray
    epoch_cost: np.ndarray
    losses: tuple[tuple[float, ...], ...]
    step_seconds: tuple[tuple[float, ...], ...]
    complete: np.ndarray
    mask: np.ndarray
    pending: np.ndarray
    decision: int
    spent_seconds: float
    budget_share: float
    curves: tuple[np.ndarray, ...] = ()
    bounds: tuple[float, ...] = ()
    landmarks: int = LANDMARKS

    def of(self, places: Sequence[int] | np.ndarray) -> Observation:
        """The same search seen of some candidates, in the order of their places; what was spent is spent."""
        return replace(
            self,
            names=tuple(self.names[place] for place in places),
            objectives=self.objectives[places],
            steps=self.steps[places],
            parameters=self.parameters[places],
            epoch_cost=self.epoch_cost[places],
            losses=tuple(self.losses[place] for place in places),
            step_seconds=tuple(self.step_seconds[place] for place in places),
            complete=self.complete[places],
            mask=self.mask[places],
            pending=self.pending[places],
            curves=tuple(self.curves[place] for place in places) if self.curves else (),
        )


class Policy(Protocol):
    """The interface of every policy, fixed or learned."""

    @property
    def name(self) -> str:
        """What the policy is called in results."""
        ...

    def select(self, observation: Observation) -> int:
        """The index of the candidate to run one more step of; its `mask` is True.

        Called only while at least one candidate may be chosen.
        """
        ...

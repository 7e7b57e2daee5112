"""A task: the recorded curves of one dataset under one seed, as arrays, with what follows from them.

Knows nothing of how curves are read, nor of policies.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from lamps_core import front
from lamps_core.landmarks import LANDMARKS

if TYPE_CHECKING:
    from collections.abc import Collection

    import numpy.typing as npt

    from lamps_core.objectives import Objective

    FloatArray = npt.NDArray[np.float64]
    IntArray = npt.NDArray[np.int64]
    BoolArray = npt.NDArray[np.bool_]


LARGEST = (
    1e50  # that is counted with: a hypervolume is a product of as many as there are objectives, six at most
)
TOO_LARGE = "its numbers are too large to be counted with: is one of them a placeholder, such as 1e300?"


def countable(numbers: npt.ArrayLike) -> bool:
    """Whether all are numbers that can be counted with, not what somebody puts where there is none."""
    return bool((np.abs(np.asarray(numbers, dtype=np.float64)) <= LARGEST).all())


@dataclass(frozen=True, kw_only=True)
class Task:
    """The curves of m candidates on one dataset, at most L rows each, with n objectives.

    A curve without a complete row is a candidate that fails after its last one: its steps cost what they cost,
    and it never enters the front.

    Attributes:
        dataset: its name.
        seed: of the curves.
        source: `measured`, `simulated` or `imported`.
        candidates: (m,) names.
        objectives: what is minimised.
        rows: (m,) rows of each curve, at least 1.
        complete: (m,) which curves met their stopping criterion, with every objective known there.
        values: (m, L, n) minimised objectives after each row; NaN where unknown and behind a curve's end.
        losses: (m, L) evaluation losses in nats; NaN behind a curve's end.
        step_seconds: (m, L) cost of each row; 0 behind a curve's end.
        parameters: (m,) of each candidate.
        epoch_cost: (m,) expected cost of a full epoch relative to each other: its recorded operations, else
            the parameters, which they are proportional to.
        landmarks: K of the curves, after which each row is a full epoch.
    """

    dataset: str
    seed: int
    source: str
    candidates: tuple[str, ...]
    objectives: tuple[Objective, ...]
    rows: IntArray
    complete: BoolArray
    values: FloatArray
    losses: FloatArray
    step_seconds: FloatArray
    parameters: FloatArray
    epoch_cost: FloatArray
    landmarks: int = LANDMARKS

    @cached_property
    def final(self) -> FloatArray:
        """(m, n) minimised objectives of the complete candidates; NaN for the others."""
        last = self.values[np.arange(len(self.rows)), self.rows - 1]
        return np.where(self.complete[:, None], last, np.nan)

    @cached_property
    def reference(self) -> FloatArray:
        """(n,) reference point over the complete candidates."""
        return front.reference_point(self.final[self.complete], self.bounds)

    def of(self, names: Collection[str]) -> Task:
        """The same dataset as if it had no candidates but these."""
        kept = np.flatnonzero([name in names for name in self.candidates])
        longest = int(self.rows[kept].max(initial=1))
        return replace(
            self,
            candidates=tuple(self.candidates[index] for index in kept),
            rows=self.rows[kept],
            complete=self.complete[kept],
            values=self.values[kept, :longest],
            losses=self.losses[kept, :longest],
            step_seconds=self.step_seconds[kept, :longest],
            parameters=self.parameters[kept],
            epoch_cost=self.epoch_cost[kept],
        )

    @property
    def bounds(self) -> list[float | None]:
        """f_max of each objective, minimised."""
        return [objective.bound for objective in self.objectives]

    @cached_property
    def on_front(self) -> BoolArray:
        """(m,) the Pareto-optimal candidates: complete, within the bounds, dominated by no other."""
        mask = np.zeros(len(self.rows), dtype=bool)
        usable = np.flatnonzero(self.complete)
        within = usable[front.feasible(self.final[usable], self.bounds)]
        if len(within):
            mask[within[front.non_dominated(self.final[within])]] = True
        return mask

    @cached_property
    def playable_rows(self) -> IntArray:
        """(m,) rows that a search sees of each curve: none after a growing cost has passed its bound."""
        playable = self.rows.copy()
        for column, objective in enumerate(self.objectives):
            if objective.monotone and objective.bound is not None:
                past = self.values[:, :, column] > objective.bound
                playable = np.where(past.any(axis=1), np.minimum(playable, past.argmax(axis=1) + 1), playable)
        return playable

    @cached_property
    def hypervolume(self) -> float:
        """What all complete candidates reach together."""
        return front.hypervolume(self.final[self.complete], self.reference)

    @cached_property
    def unsearchable_reason(self) -> str | None:
        """Why there is nothing to search here, in words; None where there is."""
        if not self.complete.any():
            return "no curve is complete: at least two must have a last row that says so"
        if not countable([*self.final[self.complete].ravel(), self.exhaustive_seconds]):
            return TOO_LARGE
        if not self.on_front.any():
            return f"no complete candidate is within the bounds ({self._bounds_told}): widen them"
        return self._flat

    @property
    def _flat(self) -> str | None:
        """Why the complete candidates span no hypervolume that can be counted, in words; None where they do."""
        if not np.isfinite(self.hypervolume):
            return TOO_LARGE
        if self.hypervolume > 0.0:
            return None
        count = int(self.complete.sum())
        if count == 1:
            return "one complete candidate spans no hypervolume: complete others, or give every objective a bound"
        return (
            f"its {count} complete candidates span no hypervolume{self._alike}: "
            "add candidates that differ, or give every objective a bound"
        )

    @property
    def _bounds_told(self) -> str:
        bounded = [(one, one.bound) for one in self.objectives if one.bound is not None]
        return ", ".join(f"{one.column}={one.natural(bound):g}" for one, bound in bounded)

    @property
    def _alike(self) -> str:
        """The first objective without a bound in which all complete candidates are equal, in words; else empty."""
        for objective, values in zip(self.objectives, self.final[self.complete].T, strict=True):
            if objective.bound is None and np.ptp(values) == 0.0:
                return f" (all have {objective.column} {objective.natural(values[0]):g})"
        return ""

    @cached_property
    def zero_shot_seconds(self) -> float:
        """What evaluating every candidate before its first step costs."""
        return float(self.step_seconds[:, 0].sum())

    @cached_property
    def exhaustive_seconds(self) -> float:
        """What every recorded step costs together."""
        return float(self.step_seconds.sum())

    @cached_property
    def curve_seconds(self) -> FloatArray:
        """(m,) what each curve costs after its zero-shot evaluation."""
        return self.step_seconds[:, 1:].sum(axis=1)

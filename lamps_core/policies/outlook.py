"""What is still to be won: from forecasts of the complete objectives to hypervolume gained, candidate by candidate.

Any policy that forecasts what complete candidates come to ends here. A candidate with a step running is taken to end
where it is expected to (the "Kriging believer" of Ginsbourger, Le Riche and Carraro, "Kriging is well-suited to
parallelize optimization", 2010), so that the others are judged by what they add to it. Knows nothing of how objectives
are forecast, nor of when a search should stop.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from lamps_core import front
from lamps_core.policies.gains import hypervolume_gains

if TYPE_CHECKING:
    from lamps_core.policies.protocol import Observation
    from lamps_core.task import FloatArray


@dataclass(frozen=True)
class Outlook:
    """What running each of m candidates to its end is expected to bring, and to cost.

    Both hypervolumes are shares of one and the same: of the box between the best expected objectives and the reference
    point, or of what all candidates are expected to reach together.

    Attributes:
        gain: (m,) hypervolume gained over the complete ones, and over what the running ones are expected to reach.
        seconds: (m,) of steps still to run.
        reached: hypervolume of the complete ones.
    """

    gain: FloatArray
    seconds: FloatArray
    reached: float


@dataclass(frozen=True)
class GainBox:
    """Where gains are counted: the box between the best expected objectives and the reference point.

    Attributes:
        reference: (n,) its upper corner: the bounds, else by the rule of the contract over what is expected.
        scale: (n,) its edges.
        complete: (c, n) the complete candidates, the reference point at 0 and the box's edges 1.
        believed: (p, n) where the running ones are expected to end.
    """

    reference: FloatArray
    scale: FloatArray
    complete: FloatArray
    believed: FloatArray

    def gains(self, points: FloatArray) -> FloatArray:
        """(...) hypervolume that each of (..., n) minimised points alone would add."""
        flat = ((points - self.reference) / self.scale).reshape(-1, len(self.reference))
        others = np.concatenate([self.complete, self.believed])
        return hypervolume_gains(flat, others, np.zeros(len(self.reference))).reshape(points.shape[:-1])

    @property
    def reached(self) -> float:
        """Hypervolume of the complete ones."""
        corner = np.zeros(len(self.reference))
        missed = hypervolume_gains(corner[None] - 1.0, self.complete, corner)  # of the whole box
        return 1.0 - float(missed[0])


def gain_box(observation: Observation, mean: FloatArray) -> GainBox:
    """The box of what is expected.

    Args:
        observation: of m candidates and n objectives.
        mean: (m, n) expected objectives of the complete curves; those of complete candidates as they are.
    """
    evaluated, pending = observation.steps >= 0, observation.pending
    usable = evaluated & (observation.mask | observation.complete | pending)
    if not usable.any():
        usable = evaluated
    worst, best = np.nanmax(mean[usable], axis=0), np.nanmin(mean[usable], axis=0)
    bounds = np.array(observation.bounds or [np.inf] * len(worst))
    reference, scale = front.unit_box(worst, best, bounds)
    known = np.isfinite(mean).all(axis=1)
    return GainBox(
        reference=reference,
        scale=scale,
        complete=(mean[known & observation.complete] - reference) / scale,
        believed=(mean[known & pending] - reference) / scale,
    )


def outlook_of(observation: Observation, mean: FloatArray, draws: FloatArray, seconds: FloatArray) -> Outlook:
    """Turn forecasts into gains.

    Args:
        observation: of m candidates and n objectives.
        mean: (m, n) expected objectives of the complete curves; those of complete candidates as they are.
        draws: (m, k, n) equally likely ones.
        seconds: (m,) expected until each curve is complete.
    """
    box = gain_box(observation, mean)
    return Outlook(box.gains(draws).mean(axis=1), seconds, box.reached)

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

from lamps_core.policies.gains import hypervolume_gains

if TYPE_CHECKING:
    from lamps_core.meta_dataset import FloatArray
    from lamps_core.policies import Observation


@dataclass(frozen=True)
class Outlook:
    """What running each of m candidates to its end is expected to bring, and to cost.

    Hypervolumes are shares of the box between the best expected objectives and the reference point.

    Attributes:
        gain: (m,) hypervolume gained over the complete ones, and over what the running ones are expected to reach.
        seconds: (m,) of steps still to run.
        reached: hypervolume of the complete ones.
    """

    gain: FloatArray
    seconds: FloatArray
    reached: float


def outlook_of(observation: Observation, mean: FloatArray, draws: FloatArray, seconds: FloatArray) -> Outlook:
    """Turn forecasts into gains.

    Args:
        observation: of m candidates and n objectives.
        mean: (m, n) expected objectives of the complete curves; those of complete candidates as they are.
        draws: (m, k, n) equally likely ones.
        seconds: (m,) expected until each curve is complete.
    """
    evaluated, pending = observation.steps >= 0, observation.pending
    usable = evaluated & (observation.mask | observation.complete | pending)
    if not usable.any():
        usable = evaluated
    worst, best = np.nanmax(mean[usable], axis=0), np.nanmin(mean[usable], axis=0)
    bounds = np.array(observation.bounds or [np.inf] * len(worst))
    reference = np.where(np.isfinite(bounds), bounds, worst + 0.1 * (worst - best))
    scale = np.where(reference > best, reference - best, 1.0)
    known = np.isfinite(mean).all(axis=1)
    complete = (mean[known & observation.complete] - reference) / scale
    believed = (mean[known & pending] - reference) / scale
    points, corner = (draws - reference) / scale, np.zeros(len(reference))
    gains = hypervolume_gains(
        points.reshape(-1, len(corner)), np.concatenate([complete, believed]), corner
    ).reshape(points.shape[:2])
    missed = float(hypervolume_gains(corner[None] - 1.0, complete, corner)[0])  # of the whole box
    return Outlook(gains.mean(axis=1), seconds, 1.0 - missed)

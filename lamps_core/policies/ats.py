"""`ats`: accept, then stop: losses extrapolated by the rectified scaling law, the best of them fully fine-tuned.

Lin, Huang, Ye, Chen, Wang, Li, Ma, Wan, Zou and Liang, "Selecting Large Language Model to Fine-tune via Rectified
Scaling Law", 2024, Algorithm 1: log loss is linear in log data once a candidate is past its flat "pre-power" phase.
From the largest subset downward, a subset is accepted while it lies within delta standard deviations of the line
through those accepted before it; the first that does not stops the fit. K = 3 and delta = 5 are the paper's. Adapted:

- The data of a step are all the rows trained on so far, repeated ones too (up to four epochs they are nearly as good
  as fresh ones: Muennighoff et al., "Scaling data-constrained language models", 2023), and the line is read at the end
  that curves are expected to have. A rising line is no law of learning: the loss is then expected to stay.
- The paper gives every model the same share of the data and then trains the one with the least predicted loss. Here
  each candidate gets four landmarks, the fewest that can stop a fit, the cheapest candidate first; then, step by step,
  the candidate whose predicted objectives add most hypervolume to the complete ones per second still to spend, its
  line fitted anew as its curve grows. Objectives that are no loss come from `extrapolation`. One whose step is running
  counts as complete at what is predicted of it.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from lamps_core.landmarks import LANDMARKS
from lamps_core.policies.expected_cost import epochs_after, expected_cost
from lamps_core.policies.extrapolation import LEAST_LOSS, LOSS, extrapolated
from lamps_core.policies.gains import hypervolume_gains
from lamps_core.policies.ordered import ascending_cost
from lamps_core.policies.stopping import LEAST_SECONDS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lamps_core.objectives import Objective
    from lamps_core.policies.protocol import Observation

POINTS = 3  # k, accepted unseen
DELTA = 5.0
_LANDMARKS = POINTS + 1  # of every candidate, before any is fully fine-tuned
_EXACT = 1e-12  # a spread of residuals below this is rounding: three points on a line


class AcceptThenStop:
    """A few landmarks of every candidate, then those that their extrapolated losses speak for."""

    name = "ats"

    def __init__(self, objectives: Sequence[Objective]) -> None:
        """Take what the observations are about.

        Args:
            objectives: those of the observations, in order.
        """
        self._objectives = tuple(objectives)
        self._losses = [i for i, objective in enumerate(objectives) if objective.column == LOSS]

    def select(self, observation: Observation) -> int:
        """A candidate short of its landmarks, else the greatest predicted gain per second; else the cheapest."""
        early = observation.mask & (observation.steps < _LANDMARKS)
        if early.any():
            return next(int(index) for index in ascending_cost(observation.epoch_cost) if early[index])
        seen = extrapolated(observation, self._objectives)
        choices = np.flatnonzero(seen.open)
        if len(choices) == 0:
            return int(np.argmax(observation.mask))
        mean, ends = seen.mean.copy(), expected_cost(observation).steps
        # One that runs its last early landmark has no line yet: its extrapolation stands.
        fitted = np.flatnonzero(seen.open | (seen.pending & (observation.steps > POINTS)))
        predicted = [
            predicted_loss(observation.losses[c], float(ends[c]), observation.landmarks) for c in fitted
        ]
        for column in self._losses:
            mean[fitted, column] = predicted
        seconds = np.maximum(seen.remaining_seconds[choices], LEAST_SECONDS)
        gains = hypervolume_gains(mean[choices], mean[seen.known | seen.pending], seen.reference)
        return int(choices[np.lexsort((seconds, -gains / seconds))[0]])


@lru_cache(maxsize=4096)
def predicted_loss(losses: tuple[float, ...], end: float, landmarks: int = LANDMARKS) -> float:
    """The loss at the end of a curve, by the line through its accepted points.

    Args:
        losses: of the curve so far, step 0 (no data, so no point) first; at least two training steps.
        end: the last step the curve is expected to have.
        landmarks: K.
    """
    data = [math.log(epochs) for epochs in epochs_after(np.arange(1, len(losses)), landmarks).tolist()]
    logarithm = [math.log(max(loss, LEAST_LOSS)) for loss in losses[1:]]
    first = first_accepted(data, logarithm)
    slope, intercept = _line(data[first:], logarithm[first:])
    at_end = intercept + slope * math.log(float(epochs_after(end, landmarks)))
    return math.exp(min(at_end, logarithm[-1]))


def first_accepted(x: Sequence[float], y: Sequence[float]) -> int:
    """The index of the earliest accepted point; 0 where there are too few to stop."""
    first = max(len(x) - POINTS, 0)
    while first > 0:
        slope, intercept = _line(x[first:], y[first:])
        # The mean residual of a least-squares line is 0.
        spread = math.sqrt(
            sum((b - intercept - slope * a) ** 2 for a, b in zip(x[first:], y[first:], strict=True))
        )
        spread = max(spread / math.sqrt(len(x) - first), _EXACT)
        if abs(y[first - 1] - intercept - slope * x[first - 1]) / spread > DELTA:
            break
        first -= 1
    return first


def _line(x: Sequence[float], y: Sequence[float]) -> tuple[float, float]:
    """Slope and intercept by least squares; a single point has no slope."""
    middle, level = sum(x) / len(x), sum(y) / len(y)
    square = sum((a - middle) ** 2 for a in x)
    slope = sum((a - middle) * (b - level) for a, b in zip(x, y, strict=True)) / square if square else 0.0
    return slope, level - slope * middle

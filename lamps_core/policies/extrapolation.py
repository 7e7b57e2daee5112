"""What each candidate's objectives will be when its curve is complete: a mean and a variance for each.

- An objective that is summed over the curve (training time) grows with the rows still to train on.
- A constant (parameters) is known after the zero-shot step.
- Any other, as the test loss, is a Wiener process over landmark steps (Rasmussen and Williams, "Gaussian Processes
  for Machine Learning", 2006, appendix B.2) whose drift and variance at each step are those of the candidates
  that took it: the curves share what a step brings, as in freeze-thaw optimization (Swersky, Snoek and Adams,
  2014), and an early curve is worth little. A loss is positive, so it is its logarithm that drifts.

Knows nothing of hypervolume, nor of training tasks.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from lamps_core import front
from lamps_core.objectives import SECONDS
from lamps_core.policies.expected_cost import epochs_after, expected_cost, shrunken_rate

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    from lamps_core.objectives import Objective
    from lamps_core.policies.expected_cost import ExpectedCost
    from lamps_core.policies.protocol import Observation

    FloatArray = npt.NDArray[np.float64]
    BoolArray = npt.NDArray[np.bool_]
    IntArray = npt.NDArray[np.int64]

LOSS = "test_loss"
LEAST_LOSS = 1e-4  # nats: 0 has no logarithm, and curves that low differ in noise
_TRUST = 2  # candidates' worth of belief in the prior of a step
_LOSS_DRIFT, _LOSS_SPREAD = -0.1, 0.2  # of log loss at a landmark: to about 0.4 of the first loss, within 0.6
_SPREAD = 0.2  # of any other objective, in standard deviations over the candidates
_LATER = 0.25  # the share of both that a further full epoch has
_LENGTH_SPREAD = 0.3  # of what is left of a curve: when early stopping ends it


@dataclass(frozen=True, kw_only=True)
class Extrapolation:
    """What is expected of m candidates in n objectives.

    Attributes:
        mean: (m, n) of the minimised objectives when complete.
        variance: (m, n) 0 where known.
        remaining_seconds: (m,) until complete.
        known: (m,) complete, with every objective known.
        open: (m,) may be given a step, with every mean known.
        pending: (m,) has a step running, with every mean known: judged as if it were complete there.
        reference: (n,) reference point: the bounds, else by the rule of the contract over what is expected.
    """

    mean: FloatArray
    variance: FloatArray
    remaining_seconds: FloatArray
    known: BoolArray
    open: BoolArray
    pending: BoolArray
    reference: FloatArray


def extrapolated(observation: Observation, objectives: Sequence[Objective]) -> Extrapolation:
    """Extrapolate every curve.

    Args:
        observation: with its `curves`.
        objectives: those of the observation, in order.

    Raises:
        ValueError: the observation has no curves, or other objectives.
    """
    if len(observation.curves) != len(observation.names):
        raise ValueError("extrapolation needs the curves of its observation")
    if observation.objectives.shape[1] != len(objectives):
        raise ValueError(f"{observation.objectives.shape[1]} objectives are observed, not {len(objectives)}")
    cost = expected_cost(observation)
    curves = _Curves.of(observation)
    columns = [_column(objective, index, curves, cost) for index, objective in enumerate(objectives)]
    mean, variance = np.stack([c[0] for c in columns], axis=1), np.stack([c[1] for c in columns], axis=1)
    mean[observation.complete] = observation.objectives[observation.complete]
    variance[observation.complete] = 0.0
    usable = ~np.isnan(mean).any(axis=1)
    known, open_ones = observation.complete & usable, observation.mask & usable
    pending = observation.pending & usable
    return Extrapolation(
        mean=mean,
        variance=variance,
        remaining_seconds=cost.remaining_seconds,
        known=known,
        open=open_ones,
        pending=pending,
        reference=_reference(mean[known | open_ones | pending], objectives),
    )


def _reference(points: FloatArray, objectives: Sequence[Objective]) -> FloatArray:
    bounds = [objective.bound for objective in objectives]
    if len(points) == 0:
        return np.array([0.0 if bound is None else bound for bound in bounds])
    return front.reference_point(points, bounds)


@dataclass(frozen=True)
class _Curves:
    """All curves end to end.

    Attributes:
        values: (r, n) rows of all curves.
        owner: (r,) whose row it is.
        step: (r,) its landmark step.
        last: (m,) the landmark step of each candidate's last row; -1 without one.
        landmarks: K.
    """

    values: FloatArray
    owner: IntArray
    step: IntArray
    last: IntArray
    landmarks: int

    @classmethod
    def of(cls, observation: Observation) -> _Curves:
        lengths = np.array([len(curve) for curve in observation.curves])
        values = np.concatenate(observation.curves)
        owner = np.repeat(np.arange(len(lengths)), lengths)
        step = np.arange(len(values)) - (lengths.cumsum() - lengths)[owner]
        return cls(values, owner, step, lengths - 1, observation.landmarks)

    def at(self, column: int, *, first: bool = False) -> FloatArray:
        """(m,) an objective at the last row of each curve, or at its first; NaN without one."""
        found = np.full(len(self.last), np.nan)
        rows = self.step == 0 if first else self.step == self.last[self.owner]
        found[self.owner[rows]] = self.values[rows, column]
        return found


def _column(
    objective: Objective, column: int, curves: _Curves, cost: ExpectedCost
) -> tuple[FloatArray, FloatArray]:
    """(m,) mean and (m,) variance of one objective."""
    if objective.aggregate == "sum":
        return _grown(objective, column, curves, cost)
    if objective.constant:
        value = curves.at(column)
        return value, np.zeros_like(value)
    return _drifted(objective, column, curves, cost)


def _grown(
    objective: Objective, column: int, curves: _Curves, cost: ExpectedCost
) -> tuple[FloatArray, FloatArray]:
    """A sum: what it is now, and what the epochs still to come add."""
    now = curves.at(column)
    added = now - curves.at(column, first=True)
    epochs = np.where(np.isnan(added), 0.0, epochs_after(curves.last, curves.landmarks))
    # Where nobody has trained: the expected training time, else counted operations, whose unit does not matter.
    scale = cost.epoch_seconds if objective.column in SECONDS else cost.relative_epoch
    if (epochs > 0).any():
        rate = shrunken_rate(np.nan_to_num(added), epochs, cost.relative_epoch, default=0.0)
    else:
        rate = scale
    coming = cost.epochs * rate
    return now + coming, (_LENGTH_SPREAD * coming) ** 2


def _drifted(
    objective: Objective, column: int, curves: _Curves, cost: ExpectedCost
) -> tuple[FloatArray, FloatArray]:
    """A Wiener process with a drift and a variance for each step, shared by all candidates."""
    now = curves.at(column)
    values = curves.values[:, column]
    logarithmic = objective.column == LOSS
    if logarithmic:
        values, now = np.log(np.maximum(values, LEAST_LOSS)), np.log(np.maximum(now, LEAST_LOSS))
        drift, spread = _LOSS_DRIFT, _LOSS_SPREAD
    else:
        known = now[~np.isnan(now)]
        drift, spread = 0.0, _SPREAD * (float(known.std()) if len(known) else 0.0)
    horizon = max(int(np.ceil(cost.steps.max(initial=1.0))), int(curves.last.max(initial=0)))
    means, variances = _steps(values, curves, horizon, (drift, spread))
    mean = now + _between(means, curves.last, cost.steps)
    variance = _between(variances, curves.last, cost.steps)
    if not logarithmic:
        return mean, variance
    # The moments of a log-normal number; one that may be wrong by more than a factor of e is not known better.
    variance = np.minimum(variance, 1.0)
    level = np.exp(mean + variance / 2.0)
    return level, level**2 * np.expm1(variance)


def _steps(
    values: FloatArray, curves: _Curves, horizon: int, prior: tuple[float, float]
) -> tuple[FloatArray, FloatArray]:
    """(horizon,) mean and variance of what each step adds, from the candidates that took it and a prior."""
    taken = np.flatnonzero(curves.step > 0)
    added = values[taken] - values[taken - 1]
    taken, added = taken[~np.isnan(added)], added[~np.isnan(added)]
    which = curves.step[taken] - 1
    share = np.where(np.arange(horizon) < curves.landmarks, 1.0, _LATER)
    drift, variance = prior[0] * share, (prior[1] * share) ** 2
    count = np.bincount(which, minlength=horizon) + _TRUST
    means = (np.bincount(which, added, minlength=horizon) + _TRUST * drift) / count
    squares = np.bincount(which, (added - means[which]) ** 2, minlength=horizon)
    return means, (squares + _TRUST * variance) / count


def _between(per_step: FloatArray, done: IntArray, until: FloatArray) -> FloatArray:
    """(m,) the sum over the steps after those done up to the end, a part of a step counting in part."""
    total = np.concatenate([[0.0], per_step.cumsum()])
    end: FloatArray = np.interp(until, np.arange(len(total)), total)
    return end - total[np.maximum(done, 0)]

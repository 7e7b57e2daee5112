"""Learning curves -> the input of a `curve_network`: one token a candidate, in which everything is relative.

Numbers are logarithms, less the mean curve, divided by how far curves lie apart; rows count by how far their subsets
stand apart. Knows nothing of networks.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from lamps_core.landmarks import LANDMARKS
from lamps_core.policies.expected_cost import usual_length

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lamps_core.policies.candidate_features import Features
    from lamps_core.task import BoolArray, FloatArray, IntArray

GRID = np.array([*range(13), 14, 16, 20, 24, 32, 40, 50])  # rows of each curve that stand in its token
LENGTH_TRUST = 0.25  # curves that this counts as
LEAST_APART = 0.03  # curves are taken to lie apart by this at least
MOST_APART = 6.0  # times how far curves lie apart: a number beyond says no more than that
OUTLIER = 4.0  # median distances: beyond, a distance counts no more in how far curves lie apart
MOST_DROP = 3.0  # of a row, in logarithms, in the mean curve
END_TRUST = 0.5  # complete curves that weigh as much as no further drop at all


@dataclass(frozen=True)
class Observed:
    """The tokens of m curves, and what turns the network's answers back into numbers.

    Attributes:
        tokens: (m, inputs).
        now: (m,) the last value of each curve; where there is none, that of the mean curve.
        base: (m,) what the answer 0 means: a curve that goes on as those that are complete did.
        apart: what the answer 1 is on top of that.
    """

    tokens: FloatArray
    now: FloatArray
    base: FloatArray
    apart: float


def observed(
    curves: Sequence[FloatArray],
    complete: BoolArray,
    features: Features,
    *,
    grows_with_size: bool,
) -> Observed:
    """Turn curves of eight landmarks into tokens.

    Args:
        curves: see `CurveForecaster.forecast`.
        complete: see there.
        features: see there.
        grows_with_size: the number is a cost, and those of two candidates may be as far apart as their sizes before
            a row shows it: a zero-shot evaluation may take the same time for all.
    """
    rows = np.array([len(curve) - 1 for curve in curves])
    values = padded(curves)
    mean, steps, reached = _mean_curve(values)
    distance = np.where(np.isfinite(values), values - mean, np.nan)
    by_size = features.size * (features.spread if grows_with_size else 0.0)
    apart = float(np.hypot(_apart(distance), by_size.std()))
    length = expected_length(rows, complete)
    row, own = np.maximum(rows, 0), np.arange(len(rows))
    now = np.where(np.isfinite(values[own, row]), values[own, row], mean[row])
    drop, spread = _further_drop(values, now, row, complete)
    relative = partial(_relative, apart=apart)
    earlier = [np.maximum(row - back, 0) for back in (1, 2, 4)]
    columns = [
        *_on_grid(distance, steps, apart),
        relative(now - mean[row]),
        *(relative(now - _or(values[own, place], now)) for place in earlier),
        *(relative(mean[row] - mean[place]) for place in earlier),
        relative(now - now.min()),
        relative(now - mean[0]),
        relative(mean[row] - mean[-1]),
        place_of(row) / place_of(np.array(length)),
        row / length,
        np.log1p(row),
        complete,
        rows > 0,
        complete.mean(),
        np.log1p(complete.sum()),
        relative(drop),
        relative(spread),
        np.where(complete, relative(now - (now[complete].mean() if complete.any() else 0.0)), 0.0),
        features.size,
        features.spread,
        relative(by_size),
        np.log(apart),
        np.log(len(rows)),
        np.log(length),
        (rows > 0).mean(),
        reached[row] / len(rows),
    ]
    tokens = np.empty((len(rows), len(columns)))
    for place, one in enumerate(columns):
        tokens[:, place] = one
    return Observed(tokens, now, now + drop, apart)


INPUTS = 3 * len(GRID) + 28


def padded(curves: Sequence[FloatArray]) -> FloatArray:
    """(m, L) with NaN behind each curve's end; L is at least 1."""
    values = np.full((len(curves), max(1, *(len(curve) for curve in curves))), np.nan)
    for place, curve in enumerate(curves):
        values[place, : len(curve)] = curve
    return values


def _mean_curve(values: FloatArray) -> tuple[FloatArray, FloatArray, IntArray]:
    """The mean curve, from mean increments over the curves that took them, so that those that run on do not bend it.

    Returns:
        (L,) mean curve; (L,) its increments, the first 0; (L,) how many curves took each.
    """
    known = np.isfinite(values)
    both = known[:, 1:] & known[:, :-1]
    taken = np.where(both, np.clip(np.diff(values, axis=1), -MOST_DROP, MOST_DROP), 0.0)
    count = both.sum(axis=0)
    steps = np.concatenate([[0.0], taken.sum(axis=0) / np.maximum(count, 1)])
    begun = int(known.any(axis=0).argmax())  # a zero-shot evaluation that costs nothing has no logarithm
    first = float(values[known[:, begun], begun].mean()) if known.any() else 0.0
    return first + np.cumsum(steps), steps, np.concatenate([[0], count])


def _apart(distance: FloatArray) -> float:
    """The root mean square distance of curves from the mean one; a distance beyond OUTLIER counts as OUTLIER."""
    cells = distance[np.isfinite(distance)]
    most = OUTLIER * float(np.median(np.abs(cells))) + 1e-3 if len(cells) else 0.0
    square = float(np.square(np.clip(cells, -most, most)).mean()) if len(cells) else 0.0
    return float(np.sqrt(square + LEAST_APART**2))


def _relative(values: FloatArray, *, apart: float) -> FloatArray:
    return np.asarray(np.clip(values / apart, -MOST_APART, MOST_APART))


def _or(values: FloatArray, others: FloatArray) -> FloatArray:
    return np.where(np.isfinite(values), values, others)


def _on_grid(distance: FloatArray, steps: FloatArray, apart: float) -> list[FloatArray]:
    """Distances to the mean curve at the rows of GRID, which of them are known, and the mean curve between them."""
    there = GRID[: np.searchsorted(GRID, distance.shape[1])]
    far = np.zeros((len(GRID), len(distance)))
    known = np.zeros_like(far)
    known[: len(there)] = np.isfinite(distance[:, there]).T
    far[: len(there)] = _relative(np.nan_to_num(distance[:, there]).T, apart=apart)
    between = np.zeros(len(GRID))
    between[1 : len(there)] = _relative(np.diff(np.cumsum(steps)[there]), apart=apart)
    return [*far, *known, *between]


def _further_drop(
    values: FloatArray, now: FloatArray, row: IntArray, complete: BoolArray
) -> tuple[FloatArray, FloatArray]:
    """(m,) median and deviation of what complete curves still lost after the row at which each candidate is."""
    drop, spread = np.zeros(len(row)), np.zeros(len(row))
    for place in np.unique(row[~complete]):
        lost = now[complete & (row > place)] - values[complete & (row > place), place]
        lost = lost[np.isfinite(lost)]
        if len(lost):
            here = (row == place) & ~complete
            drop[here] = np.median(lost) * len(lost) / (len(lost) + END_TRUST)
            spread[here] = lost.std()
    return drop, spread


def place_of(row: FloatArray | IntArray) -> FloatArray:
    """A row's place on an axis on which doubling subsets are equally far apart, as are epochs 2, 4, 8 after them."""
    row = np.asarray(row, dtype=np.float64)
    further = np.maximum(row - LANDMARKS, 0.0)
    return np.asarray(np.minimum(row, LANDMARKS) + 2.0 * np.log2(1.0 + further / 2.0))


def expected_length(rows: IntArray, complete: BoolArray) -> float:
    """Expected rows of a complete curve after its first, from the curves that have ended and those longer already."""
    ended = rows[complete & (rows > 0)].astype(np.float64)
    mean = (LENGTH_TRUST * usual_length() + ended.sum()) / (LENGTH_TRUST + len(ended))
    if len(ended) == 0:
        mean = max(mean, float(rows.max(initial=0)) + 1.0)
    return float(max(mean, 1.0))

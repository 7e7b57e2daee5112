"""What each candidate is needed for, over many equally likely ways in which a search may end.

In one scenario the complete objectives of all candidates are known, and with them the front, its reference point and
the order in which the Oracle would run what is missing. A candidate is needed for the hypervolume that it adds there:
of two that would do, only one is needed, and none where GOAL of the hypervolume is reached without it. Over
scenarios, that is what running it is expected to bring (as in Thompson sampling, which acts by one scenario at a
time: Russo et al., "A tutorial on Thompson sampling", 2018).

Owns how scenarios are judged. Knows nothing of how they are drawn.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
from scipy.stats import qmc

from lamps_core import front

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lamps_core.task import BoolArray, FloatArray, IntArray

GOAL = 0.98  # of the hypervolume: where searches are compared, and where most are ended
POINTS = 512  # a Sobol' sequence of them counts hypervolumes: 1 % off with two objectives, 3 % with three


def needed(
    final: FloatArray,
    seconds: FloatArray,
    *,
    ended: BoolArray,
    open_: BoolArray,
    bounds: Sequence[float],
) -> FloatArray:
    """(s, m) share of the hypervolume that each open candidate adds, in s scenarios; 0 for the others.

    Args:
        final: (s, m, n) minimised complete objectives; those of candidates neither ended nor open say nothing.
        seconds: (s, m) still to run.
        ended: (m,) complete candidates, and those whose next step runs: they need not be chosen.
        open_: (m,) candidates that may be chosen.
        bounds: (n,) reference point, infinite where the user gave none.

    >>> final = np.array([[[1.0, 1.0], [0.0, 5.0], [0.1, 5.0], [5.0, 0.0]]])
    >>> needs = needed(final, np.ones((1, 4)), ended=np.array([True, False, False, False]),
    ...               open_=np.array([False, True, True, True]), bounds=(10.0, 10.0))
    >>> (needs > 0).tolist()
    [[False, True, False, True]]
    """
    counted = ended | open_
    points = _in_the_box(final, counted, bounds)
    reached: BoolArray = np.asarray(_covered(points, _first(_front(points, ended))).any(axis=1))
    places = _first(_front(points, counted) & open_)
    adds = _covered(points, places)
    left = np.take_along_axis(seconds, places, axis=1)
    whole = (reached | adds.any(axis=1)).sum(axis=1)
    goal = GOAL * whole
    needs = np.zeros(seconds.shape)
    unfinished = np.flatnonzero(reached.sum(axis=1) < goal)
    while len(unfinished):
        more = (adds[unfinished] & ~reached[unfinished, None]).sum(axis=2)
        best = (more / left[unfinished]).argmax(axis=1)
        gained = more[np.arange(len(unfinished)), best]
        unfinished, best, gained = unfinished[gained > 0], best[gained > 0], gained[gained > 0]
        needs[unfinished, places[unfinished, best]] = gained / whole[unfinished]
        reached[unfinished] |= adds[unfinished, best]
        unfinished = unfinished[reached[unfinished].sum(axis=1) < goal[unfinished]]
    return needs


def _in_the_box(final: FloatArray, counted: BoolArray, bounds: Sequence[float]) -> FloatArray:
    """(s, m, n) objectives, the best that counts in each scenario at 0 and its reference point at 1.

    All are outside the unit box where none of them keeps to the bounds.
    """
    known = final[:, counted]
    worst, best = known.max(axis=1), known.min(axis=1)
    _, scale = front.unit_box(worst, best, bounds)
    outside = (best > np.asarray(bounds)).any(axis=1, keepdims=True)[..., None]
    return np.asarray((final - best[:, None]) / scale[:, None] + 2.0 * outside)


def _front(points: FloatArray, among: BoolArray) -> BoolArray:
    """(s, m) mask: candidates of `among` that no other of them dominates; of equal points only the first."""
    on_front = np.zeros(points.shape[:2], dtype=bool)
    some = points[:, among]
    no_worse = np.ones((*some.shape[:2], some.shape[1]), dtype=bool)  # [s, i, j]: i is nowhere worse than j
    better = np.zeros_like(no_worse)
    for column in range(points.shape[2]):
        values = some[:, :, column]
        no_worse &= values[:, :, None] <= values[:, None]
        better |= values[:, :, None] < values[:, None]
    earlier = np.triu(np.ones(some.shape[1:2] * 2, dtype=bool), k=1)
    on_front[:, among] = ~(no_worse & (better | earlier)).any(axis=1)
    return on_front


def _first(chosen: BoolArray) -> IntArray:
    """(s, f) places of the chosen ones of each scenario; -1 behind them where there are fewer."""
    most = max(1, int(chosen.sum(axis=1).max()))
    places = np.argsort(~chosen, axis=1, kind="stable")[:, :most]
    return np.where(np.take_along_axis(chosen, places, axis=1), places, -1)


def _covered(points: FloatArray, places: IntArray) -> BoolArray:
    """(s, f, POINTS) which sample points of the unit box each chosen candidate dominates; place -1 covers none."""
    covered = np.repeat(places[..., None] >= 0, POINTS, axis=2)
    chosen = np.take_along_axis(points, places[..., None], axis=1)
    for column, spots in enumerate(_spots(points.shape[2]).T):
        covered &= chosen[:, :, column, None] <= spots
    return covered


@lru_cache
def _spots(objectives: int) -> FloatArray:
    """(POINTS, n) spread evenly over the unit box."""
    return np.asarray(qmc.Sobol(objectives, rng=np.random.default_rng(0)).random(POINTS))

"""Gaussian processes over learning curves of any candidates: what a curve's last value will be, given all so far.

Where `curve_process` knows its candidates by name, this knows them by their size, by how alike their names are, and by
the rows seen. A number y of candidate i at the place u of its curve is (in logarithms, less the mean over
candidates of the first row)

    y[i, u] = profile(u) + sum of terms, each a Gaussian process with the covariance
              A(u) A(u') Matern_5/2(|u - u'|) P(i, i'),   A(u) = exp(a + b u)

with P = 1 (shared by all), x_i x_i' (along the size), a smooth function of the size, the likeness of names, and twice
one for each candidate alone. How strong each term is differs from one meta-dataset to another, so there is not one
kernel but a library of them, each fitted to one dataset: a world. Before each forecast the worlds are weighed by
the marginal likelihood of what has been seen, and the likeliest few are averaged (Bayesian model averaging; Rasmussen
and Williams 2006, chapter 5; curves of many models: Swersky, Snoek and Adams 2014).

Owns the model of one number and what it forecasts. How it is learned stands in `world_learning`.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from scipy.linalg import solve_triangular

from lamps_core.policies.expected_cost import FURTHER_EPOCHS, LANDMARKS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from lamps_core.meta_dataset import BoolArray, FloatArray, IntArray

TERMS = 6  # shared, size, smooth in size, names, own slow, own fast
NODES = 33  # of the grid on which u lies
STAGES = 3  # only evaluated, begun, half-way
HALF_WAY = 0.5
FREEDOM = 20.0  # observations' worth of belief in the scale of a world
AVERAGED = 4  # likeliest worlds
MOST_WEIGHED = 120  # points by which the worlds are weighed
TEMPER = 0.5  # of the likelihood: the model is not the truth
SIZE_LENGTH = 0.7  # of the smooth function, in standard deviations of the size
USUAL_LENGTH = float(LANDMARKS + FURTHER_EPOCHS)  # of a curve, in rows behind the first
LENGTH_TRUST = 0.25  # curves that this counts as
JITTER = 1e-6
LOOKS = np.array([1, 2, 4, 8])  # rows further on at which a candidate may be looked at again


@dataclass(frozen=True)
class Features:
    """What is known of m candidates beside their curves.

    Attributes:
        size: (m,) logarithm of the expected cost of an epoch, with mean 0 and deviation 1 (0 where all are equal).
        likeness: (m, m) of names, 1 on the diagonal, positive semidefinite.
    """

    size: FloatArray
    likeness: FloatArray

    def terms(self, first: IntArray, second: IntArray) -> FloatArray:
        """(TERMS, p, q) P of every pair of candidates."""
        x, z = self.size[first][:, None], self.size[second][None]
        same = (first[:, None] == second[None]).astype(np.float64)
        return np.stack(
            [
                np.ones_like(same),
                x * z,
                np.exp(-0.5 * ((x - z) / SIZE_LENGTH) ** 2),
                self.likeness[np.ix_(first, second)],
                same,
                same,
            ]
        )

    def alone(self) -> FloatArray:
        """(TERMS, m) P of every candidate with itself."""
        told = np.ones((TERMS, len(self.size)))
        told[1] = self.size**2
        return told


@dataclass(frozen=True)
class Forecast:
    """Of the complete value of m candidates.

    Attributes:
        mean: (m,).
        deviation: (m,) standard deviation.
        errors: (m, levels) quantiles of (complete value - mean) / deviation.
        on_the_way: (m, looks) mean of the number LOOKS rows further on.
        told: (m, looks) correlation of the number there with the complete value: 1 tells all of it.
    """

    mean: FloatArray
    deviation: FloatArray
    errors: FloatArray
    on_the_way: FloatArray
    told: FloatArray


@dataclass(frozen=True)
class Seen:
    """Points of curves, all arrays (p,).

    Attributes:
        candidate: whose curve.
        node: of the grid.
        value: the number there.
    """

    candidate: IntArray
    node: IntArray
    value: FloatArray

    def some(self, most: int) -> Seen:
        """At most so many of them, spread evenly over all."""
        if len(self.node) <= most:
            return self
        kept = np.unique(np.linspace(0, len(self.node) - 1, most).round().astype(np.int64))
        return Seen(self.candidate[kept], self.node[kept], self.value[kept])


@dataclass(frozen=True)
class _Asked:
    """What a forecast is made of: points less the profile, (m, looks + 1) nodes, the end last."""

    seen: Seen
    looks: IntArray
    features: Features

    @cached_property
    def pairs(self) -> FloatArray:
        """Of seen points."""
        return self.features.terms(self.seen.candidate, self.seen.candidate)

    @cached_property
    def _whose(self) -> IntArray:
        return np.repeat(np.arange(len(self.looks)), self.looks.shape[1])

    @cached_property
    def across(self) -> FloatArray:
        """Of looks with seen points."""
        return self.features.terms(self._whose, self.seen.candidate)

    @cached_property
    def ends(self) -> FloatArray:
        """Of ends with looks."""
        return self.features.terms(np.arange(len(self.looks)), self._whose)


@dataclass(frozen=True)
class _Posterior:
    """Of one world: (m, looks + 1) means, (m,) variance of the end, (m, looks + 1) share of it that a look tells."""

    mean: FloatArray
    variance: FloatArray
    told: FloatArray


@dataclass(frozen=True, kw_only=True)
class CurveWorlds:
    """The library for one number, learned.

    Attributes:
        profile: (NODES,) mean over worlds.
        kernel: (K, TERMS, 3) log amplitude at u = 0, its change to u = 1, log length scale.
        noise: (K, 2) log deviation at u = 0 and its change to u = 1.
        errors: (STAGES, levels) quantiles of (complete value - mean) / deviation by stage.
    """

    profile: FloatArray
    kernel: FloatArray
    noise: FloatArray
    errors: FloatArray

    @cached_property
    def _tables(self) -> FloatArray:
        return _tables(self.kernel)

    def arrays(self) -> dict[str, FloatArray]:
        """Everything learned, by name."""
        return {one.name: getattr(self, one.name) for one in fields(self)}

    def forecast(self, curves: Sequence[FloatArray], complete: BoolArray, features: Features) -> Forecast:
        """What the complete values will be, and what looks at further rows would tell of them.

        Args:
            curves: (m,) of the number after each row so far; NaN where unknown.
            complete: (m,) whose last row is the complete value.
            features: of the candidates.
        """
        seen, level = points_of(curves, complete)
        rows = np.array([len(curve) - 1 for curve in curves])
        further = node_of(rows[:, None] + LOOKS, expected_length(rows, complete))
        looks = np.concatenate([further, np.full((len(rows), 1), NODES - 1)], axis=1)  # the end comes last
        asked = _Asked(
            Seen(seen.candidate, seen.node, seen.value - level - self.profile[seen.node]), looks, features
        )
        chosen, weight = self._likeliest(asked.seen, features)
        found = [self._posterior(world, asked) for world in chosen]
        mean = np.average([one.mean for one in found], axis=0, weights=weight)
        apart = np.array([one.mean[:, -1] - one.mean[:, -1].mean() for one in found])
        apart -= np.average(apart, axis=0, weights=weight)
        variance = np.average(apart**2 + [one.variance for one in found], axis=0, weights=weight)
        told = np.average([one.told for one in found], axis=0, weights=weight)
        mean += level + self.profile[looks]
        return Forecast(
            mean[:, -1],
            np.sqrt(variance),
            self.errors[stage_of(rows)],
            mean[:, :-1],
            np.sqrt(np.clip(told[:, :-1], 0.0, 1.0)),
        )

    def _posterior(self, world: int, asked: _Asked) -> _Posterior:
        """What one world makes of it (Rasmussen and Williams 2006, equations 2.23 and 2.24)."""
        table, seen, looks = self._tables[world], asked.seen, asked.looks
        count = len(looks)
        covariance = _assembled(table, asked.pairs, seen.node, seen.node)
        covariance[np.diag_indices(len(seen.node))] += self._noise(seen.node)[world]
        lower = np.linalg.cholesky(covariance)
        across = _assembled(table, asked.across, looks.ravel(), seen.node)
        half = solve_triangular(
            lower, np.concatenate([seen.value[:, None], across.T], axis=1), lower=True, check_finite=False
        )
        values, known = half[:, 0], half[:, 1:]
        # A Student-t process (Shah, Wilson and Ghahramani 2014): curves that lie closer together, or farther apart,
        # than those of the world are forecast with less, or more, doubt.
        scale = (FREEDOM + float(values @ values)) / (FREEDOM + len(values))
        ends = known.reshape(-1, *looks.shape)[:, :, -1]
        # (m, m, looks + 1): the end of one candidate and each look at another
        left = _assembled(table, asked.ends, np.full(count, NODES - 1), looks.ravel()) - ends.T @ known
        left = left.reshape(count, *looks.shape)
        own = np.arange(count)
        # What is not known of all candidates alike moves the reference point along and decides nothing: the doubt that
        # counts is that in the distance to the mean.
        between = left[:, :, -1]
        apart = between[own, own] - between.mean(axis=0) - between.mean(axis=1) + between.mean()
        apart = np.maximum(apart, JITTER)
        prior = np.einsum("jml,jm->ml", table[:, looks, looks], asked.features.alone())
        there = np.maximum(prior - (known**2).sum(axis=0).reshape(looks.shape), JITTER)
        there += self._noise(looks.ravel())[world].reshape(looks.shape)
        told = (left[own, own] - left.mean(axis=0)) ** 2 / there / apart[:, None]
        return _Posterior((known.T @ values).reshape(looks.shape), scale * apart, told)

    def _likeliest(self, seen: Seen, features: Features) -> tuple[IntArray, FloatArray]:
        """Places of a few worlds and their weights."""
        seen = seen.some(MOST_WEIGHED)
        pairs = features.terms(seen.candidate, seen.candidate)
        covariance = _assembled(self._tables, pairs, seen.node, seen.node)  # (K, p, p)
        place = np.arange(len(seen.node))
        covariance[:, place, place] += self._noise(seen.node)
        lower = np.linalg.cholesky(covariance)
        surprise = (np.linalg.solve(lower, seen.value[:, None])[..., 0] ** 2).sum(axis=1)
        # Student-t: the scale of a world is not known better than FREEDOM observations would tell.
        found = -np.log(lower[:, place, place]).sum(axis=1) - 0.5 * (FREEDOM + len(place)) * np.log1p(
            surprise / FREEDOM
        )
        order = np.argsort(-found, kind="stable")[:AVERAGED]
        weight = np.exp(TEMPER * (found[order] - found[order[0]]))
        return order, weight / weight.sum()

    def _noise(self, node: IntArray) -> FloatArray:
        """(K, p) variance that noise adds at some nodes."""
        told: FloatArray = np.exp(2 * (self.noise[:, :1] + self.noise[:, 1:] * node / (NODES - 1)))
        return told + JITTER


def _tables(kernel: FloatArray) -> FloatArray:
    """(K, TERMS, NODES, NODES) A(u) A(u') Matern(|u - u'|) on the grid: what of each covariance depends on u."""
    grid = np.linspace(0.0, 1.0, NODES)
    scaled = 5**0.5 * np.abs(grid[:, None] - grid) / np.exp(kernel[..., 2])[..., None, None]
    amplitude = np.exp(kernel[..., :1] + kernel[..., 1:2] * grid)
    told: FloatArray = (1 + scaled + scaled**2 / 3) * np.exp(-scaled)
    return told * amplitude[..., :, None] * amplitude[..., None, :]


def _assembled(table: FloatArray, pairs: FloatArray, first: IntArray, second: IntArray) -> FloatArray:
    """(..., p, q) covariance: table (..., TERMS, NODES, NODES), pairs (TERMS, p, q)."""
    flat = table.reshape(*table.shape[:-2], NODES * NODES)
    where = (first[:, None] * NODES + second).ravel()
    total: FloatArray = np.zeros((*table.shape[:-3], *pairs.shape[1:]))
    for term in range(len(pairs)):
        total += np.take(flat[..., term, :], where, axis=-1).reshape(total.shape) * pairs[term]
    return total


def place_of(row: FloatArray | IntArray) -> FloatArray:
    """How far a row stands: doubling subsets are equally far apart, and so are full epochs 2, 4, 8 behind them."""
    row = np.asarray(row, dtype=np.float64)
    further = np.maximum(row - LANDMARKS, 0.0)
    return np.asarray(np.minimum(row, LANDMARKS) + 2.0 * np.log2(1.0 + further / 2.0))


def expected_length(rows: IntArray, complete: BoolArray) -> float:
    """Rows behind the first of a complete curve, from those that have ended and those that are longer already."""
    ended = rows[complete & (rows > 0)].astype(np.float64)
    mean = (LENGTH_TRUST * USUAL_LENGTH + ended.sum()) / (LENGTH_TRUST + len(ended))
    if len(ended) == 0:
        mean = max(mean, float(rows.max(initial=0)) + 1.0)
    return float(max(mean, 1.0))


def node_of(rows: IntArray, length: float) -> IntArray:
    """(p,) nodes of unfinished rows: the last but one at most."""
    share = place_of(rows) / place_of(np.array(length))
    return np.minimum(np.round(share * (NODES - 1)), NODES - 2).astype(np.int64)


def points_of(curves: Sequence[FloatArray], complete: BoolArray) -> tuple[Seen, float]:
    """The rows that say the most, of each curve: the first, the middle one, the last two, and the complete value.

    Returns:
        The points, without those that are not known; the mean over candidates of the first row.
    """
    rows = {}
    for place, curve in enumerate(curves):
        last = len(curve) - 1
        if last >= 0:
            # Beside a complete value, the row before it says little more.
            rows[place] = np.array(
                [0, last // 2, last] if complete[place] else [0, last // 2, max(last - 1, 0), last]
            )
    return points_at(curves, complete, rows)


def points_at(
    curves: Sequence[FloatArray], complete: BoolArray, rows: Mapping[int, IntArray]
) -> tuple[Seen, float]:
    """Some rows of some curves on the grid; a complete value stands at its end.

    Args:
        curves: (m,) of the number after each row so far.
        complete: (m,) whose last row is the complete value.
        rows: of each curve that is looked at, ascending, the last one among them; repeats count once.

    Returns:
        The points, without those that are not known; the mean over candidates of the first row.
    """
    length = expected_length(np.array([len(curve) - 1 for curve in curves]), complete)
    candidate, node, value = [], [], []
    for place, wanted in rows.items():
        picked = np.unique(wanted)
        at = node_of(picked, length)
        if complete[place]:
            at[-1] = NODES - 1
        candidate += [place] * len(picked)
        node += list(at)
        value += list(curves[place][picked])
    seen = Seen(np.array(candidate), np.array(node), np.array(value, dtype=np.float64))
    known = np.isfinite(seen.value)
    first = seen.value[known & (seen.node == 0)]
    level = float(first.mean()) if len(first) else 0.0
    return Seen(seen.candidate[known], seen.node[known], seen.value[known]), level


def stage_of(rows: IntArray) -> IntArray:
    """(m,) which of the STAGES each curve is in."""
    share = place_of(rows) / place_of(np.array(USUAL_LENGTH))
    return (rows > 0).astype(np.int64) + ((rows > 0) & (share >= HALF_WAY))

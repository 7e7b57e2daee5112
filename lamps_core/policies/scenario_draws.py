"""Forecasts of complete values -> scenarios of how all candidates end, by the same random numbers before every step.

Also by how much to widen the deviations of forecasts, from how wrong the first ones were. Knows nothing of what is
needed in a scenario (`scenarios`), nor of what a candidate is run for.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.special import ndtri

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lamps_core.policies.curve_network import Forecast
    from lamps_core.task import BoolArray, FloatArray

SCENARIOS = 256
TRUSTED = 6.0  # candidates' worth of belief that forecasts of losses are as good as they say
BY_CHANCE = 1.6  # times that they may be further off than they say before they are doubted
MOST_DOUBTED = 3.0  # times
MOST_OFF = 5.0  # deviations that one candidate counts as
LEAST_NEWS = 0.1  # of a first doubt's variance: no candidate has brought less news


@dataclass(frozen=True)
class NormalDraws:
    """Standard normal numbers that make scenarios: the same before every step, in whatever order candidates come.

    Attributes:
        own: (s, m) of each candidate alone.
        shared: (s, factors) of the factors.
        look: (s, m) of what a look says beside the end.
    """

    own: FloatArray
    shared: FloatArray
    look: FloatArray

    @classmethod
    def of(cls, names: Sequence[str], factors: int, seed: int) -> NormalDraws:
        """For m candidates: each column a permutation of the same quantiles (a Latin hypercube, McKay et al. 1979)."""
        generator, rank = np.random.default_rng(seed), np.argsort(np.argsort(names))
        levels = ndtri((np.arange(SCENARIOS) + 0.5) / SCENARIOS)
        own, shared, look = (
            np.stack([generator.permutation(levels) for _ in range(columns)], axis=1)
            for columns in (len(names), factors, len(names))
        )
        return cls(own[:, rank], shared, look[:, rank])


@dataclass(frozen=True)
class Draws:
    """Scenarios of one number.

    Attributes:
        mean: (m,) of the complete value.
        ends: (s, m) complete values.
        news: (s, m) distance of each end from its mean, less what all candidates share, in standard deviations.
    """

    mean: FloatArray
    ends: FloatArray
    news: FloatArray

    def less(self, number: float) -> Draws:
        """The same scenarios with `number` subtracted from every value."""
        return Draws(self.mean - number, self.ends - number, self.news)

    def wider(self, factor: float) -> FloatArray:
        """(s, m) ends, `factor` times as far from their mean."""
        return self.mean + factor * (self.ends - self.mean)


def draw_scenarios(forecast: Forecast, draws: NormalDraws) -> Draws:
    """Normal scenarios of a forecast.

    Its deviations were learned as the scale of a Student's t. Scenarios are normal all the same: with its heavy tails,
    far more candidates come out excellent than ever do, and searches looked at nearly all of them.
    """
    open_ = (forecast.own > 0.0) | (forecast.shared != 0.0).any(axis=1)
    news, ends = np.zeros(draws.own.shape), np.repeat(forecast.mean[None], SCENARIOS, axis=0)
    if open_.any():
        own, shared = forecast.own[open_], forecast.shared[open_]
        apart = draws.own[:, open_] * own + draws.shared @ shared.T
        level = apart.mean(axis=1, keepdims=True)
        news[:, open_] = (apart - level) / forecast.relative_deviation(open_)
        ends[:, open_] += apart
    return Draws(forecast.mean, ends, news)


def overconfidence_factor(first: Forecast, now: Forecast, begun: BoolArray) -> float:
    """What the deviations of a forecast should be multiplied by, as the first forecast turned out too sure of itself.

    While a candidate runs, its expected complete value moves. Where deviations are right, the square of that move is on
    average the variance that the new rows took away. Where values have moved further than chance explains (BY_CHANCE),
    all deviations are widened by as much. They are never narrowed: with narrower ones, searches left good candidates.

    Args:
        first: of the zero-shot evaluations.
        now: of the curves so far.
        begun: (m,) who has run since then.

    Returns:
        From 1 to MOST_DOUBTED.
    """
    if begun.sum() < 2:
        return 1.0
    before = np.square(first.relative_deviation(begun))
    news = np.maximum(before - np.square(now.relative_deviation(begun)), LEAST_NEWS * before)
    moved = (now.mean - first.mean)[begun]
    level = np.average(moved, weights=1.0 / news)
    off = np.minimum(np.square(moved - level) / news, MOST_OFF**2)
    wrong = np.sqrt((TRUSTED + off.sum()) / (TRUSTED + len(off) - 1))
    return float(np.clip(wrong / BY_CHANCE, 1.0, MOST_DOUBTED))

"""Forecasts of complete values -> scenarios of how all candidates end, the same chances before every step.

Also how far forecasts are to be doubted, from what became of the first ones. Knows nothing of what is needed in a
scenario (`scenarios`), nor of what a candidate is run for.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.special import ndtri

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lamps_core.meta_dataset import BoolArray, FloatArray
    from lamps_core.policy_training.curve_network import Forecast

SCENARIOS = 256
TRUSTED = 6.0  # candidates' worth of belief that forecasts of losses are as good as they tell
BY_CHANCE = 1.6  # times that they may be further off than told before they are doubted
MOST_DOUBTED = 3.0  # times
MOST_OFF = 5.0  # deviations that one candidate counts as
LEAST_NEWS = 0.1  # of a first doubt's variance: no candidate has brought less news


@dataclass(frozen=True)
class Chances:
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
    def of(cls, names: Sequence[str], factors: int, seed: int) -> Chances:
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
        news: (s, m) each in deviations from its mean, less what all candidates have in common.
    """

    mean: FloatArray
    ends: FloatArray
    news: FloatArray

    def less(self, number: float) -> Draws:
        """The same draws, a number lower."""
        return Draws(self.mean - number, self.ends - number, self.news)

    def wider(self, factor: float) -> FloatArray:
        """(s, m) ends, farther from their mean."""
        return self.mean + factor * (self.ends - self.mean)


def drawn(forecast: Forecast, chances: Chances) -> Draws:
    """Normal scenarios of a forecast.

    Its deviations were learned as the scale of a Student's t, but scenarios with those tails, in which far more
    candidates turn out to be wonders than ever do, had searches look at nearly all of them.
    """
    open_ = (forecast.own > 0.0) | (forecast.shared != 0.0).any(axis=1)
    news, ends = np.zeros(chances.own.shape), np.repeat(forecast.mean[None], SCENARIOS, axis=0)
    if open_.any():
        own, shared = forecast.own[open_], forecast.shared[open_]
        apart = chances.own[:, open_] * own + chances.shared @ shared.T
        level = apart.mean(axis=1, keepdims=True)
        news[:, open_] = (apart - level) / forecast.apart(open_)
        ends[:, open_] += apart
    return Draws(forecast.mean, ends, news)


def doubt_of(first: Forecast, now: Forecast, begun: BoolArray) -> float:
    """Factor, 1 to MOST_DOUBTED, by which to widen the forecast's deviations, from how far forecasts moved.

    Where the deviations are right, the expected value of a candidate moves, from the first forecast to now, by about as
    much as its variance has shrunk. Where values moved further than chance explains, all deviations are widened.
    Deviations that proved too wide are kept: with narrower ones, searches left good candidates.

    Args:
        first: of the zero-shot evaluations.
        now: of the curves so far.
        begun: (m,) who has run since then.
    """
    if begun.sum() < 2:
        return 1.0
    before = np.square(first.apart(begun))
    news = np.maximum(before - np.square(now.apart(begun)), LEAST_NEWS * before)
    moved = (now.mean - first.mean)[begun]
    level = np.average(moved, weights=1.0 / news)
    off = np.minimum(np.square(moved - level) / news, MOST_OFF**2)
    wrong = np.sqrt((TRUSTED + off.sum()) / (TRUSTED + len(off) - 1))
    return float(np.clip(wrong / BY_CHANCE, 1.0, MOST_DOUBTED))

"""A Gaussian process over learning curves: what a curve's last value will be, given all curves so far.

A number y of candidate i on dataset t after row s is (in logarithms where it is a cost or a loss)

    y[t, i, s] = profile[s] + effect[i, s] + shared_t(s) + slope_t(s) x_i + factors_t(s) . f_i
                 + own_(t, i)(s) + spread_t(s) e_i + noise(s)

profile and effect are averages over the training tasks; e_i is the candidate's effect at the end of its curve, x_i its
cost, f_i its loadings on the main components of what is left. The terms with t are Gaussian processes over the
progress u(s), each with a Matern 5/2 kernel and an amplitude exp(a + b u) (Rasmussen and Williams 2006, chapters 4 and
5; for curves of many models, Swersky, Snoek and Adams, "Freeze-Thaw Bayesian Optimization", 2014). Their 17 numbers
maximise the marginal likelihood of each training task under a profile and effects averaged over the others: what is
not known of a new dataset is not known there either.

Owns the model of one number, and what it forecasts. How it is learned stands in `curve_learning`. Knows nothing of
hypervolumes, policies or files.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

import numpy as np
import torch

from lamps_core.one_thread import one_thread

if TYPE_CHECKING:
    from lamps_core.task import BoolArray, FloatArray, IntArray

FACTORS = 3
TERMS = 5  # with an amplitude and a length scale each
HALF_WAY = 0.5  # progress from which errors are counted apart
STAGES = 3  # only evaluated, begun, half-way
FREEDOM = 20.0  # observations' worth of belief in the learned amplitudes
JITTER = 1e-6


@dataclass(frozen=True)
class Profile:
    """Averages over tasks: `profile` (L + 1,), `effect` (m, L + 1) and `factors` (m, FACTORS)."""

    profile: FloatArray
    effect: FloatArray
    factors: FloatArray


@dataclass(frozen=True)
class Points:
    """Places (candidate, entry) at which the process is looked at.

    All arrays are (p,) but for `factors` (p, FACTORS), `levels` (L + 1,), the progress of each entry, and `chosen`
    (p, L + 1), which is 1 at the entry of a place.
    """

    candidate: torch.Tensor
    levels: torch.Tensor
    chosen: torch.Tensor
    progress: torch.Tensor
    cost: torch.Tensor
    factors: torch.Tensor
    effect: torch.Tensor


@dataclass(frozen=True)
class EndForecast:
    """Of the complete value of m candidates.

    Attributes:
        mean: (m,).
        deviation: (m,) standard deviation.
        errors: (m, levels) equally likely values of (complete value - mean) / deviation.
    """

    mean: FloatArray
    deviation: FloatArray
    errors: FloatArray


@dataclass(frozen=True, kw_only=True)
class CurveProcess:
    """The model of one number, learned.

    Attributes:
        progress: (L + 1,) u of each row: 0 at the zero-shot evaluation, 1 at the complete value.
        profile: (L + 1,) mean over tasks and candidates.
        effect: (m, L + 1) of each candidate, shrunk towards 0.
        factors: (m, FACTORS) loadings.
        cost_scale: (1,) standard deviation of the logarithm of the expected cost of an epoch.
        kernel: (TERMS, 3) as `curve_learning.START`.
        noise: (2,) as `curve_learning.START_NOISE`.
        errors: (STAGES, levels) quantiles of (complete value - mean) / deviation by stage.
    """

    progress: FloatArray
    profile: FloatArray
    effect: FloatArray
    factors: FloatArray
    cost_scale: FloatArray
    kernel: FloatArray
    noise: FloatArray
    errors: FloatArray

    def arrays(self) -> dict[str, FloatArray]:
        """Everything learned, by name."""
        return {one.name: getattr(self, one.name) for one in fields(self)}

    def shapes(self, candidates: int) -> dict[str, tuple[int, ...]]:
        """What the shape of each array is to be, given as many entries and levels as there are.

        Args:
            candidates: m.
        """
        entries = max(2, self.progress.size)  # evaluated, and complete
        return {
            "progress": (entries,),
            "profile": (entries,),
            "effect": (candidates, entries),
            "factors": (candidates, FACTORS),
            "cost_scale": (1,),
            "kernel": (TERMS, 3),
            "noise": (2,),
            "errors": (STAGES, max(1, self.errors.size // STAGES)),
        }

    @one_thread()
    def forecast(
        self, values: FloatArray, row: IntArray, log_cost: FloatArray, complete: BoolArray
    ) -> EndForecast:
        """What the complete values will be.

        Args:
            values: (m, L' + 1) the number after each row so far, the complete value behind them; anything where
                it is not seen yet. L' may differ from the L learned from.
            row: (m,) the last row seen; -1 where there is no such candidate.
            log_cost: (m,) logarithm of the expected cost of an epoch.
            complete: (m,) whose complete value is known.
        """
        candidate, entry = self._seen(row, complete, values.shape[1])
        known = self._entry(entry, values.shape[1])
        residual = values[candidate, entry] - self.profile[known] - self.effect[candidate, known]
        usable = np.isfinite(residual)
        candidate, known, residual = candidate[usable], known[usable], residual[usable]
        here = Profile(self.profile, self.effect, self.factors)
        cost = centred(log_cost, row >= 0) / self.cost_scale
        seen = points_at(here, self.progress, cost, candidate, known)
        every = np.arange(len(row))
        ends = points_at(here, self.progress, cost, every, np.full(len(row), len(self.progress) - 1))
        kernel, noise = torch.from_numpy(self.kernel), torch.from_numpy(self.noise)
        with torch.no_grad():
            lower = torch.linalg.cholesky(covariance(kernel, seen, seen) + noise_of(noise, seen.progress))
            across = covariance(kernel, ends, seen)
            weights = torch.cholesky_solve(torch.from_numpy(residual)[:, None], lower)
            mean = self.profile[-1] + self.effect[:, -1] + (across @ weights)[:, 0].numpy()
            explained = torch.linalg.solve_triangular(lower, across.T, upper=False).square().sum(0)
            variance = (_variance(kernel, ends) - explained).clamp(min=JITTER).numpy()
            # A Student-t process (Shah, Wilson and Ghahramani 2014): a dataset whose curves lie closer together, or
            # farther apart, than those learned from is forecast with less, or more, doubt.
            surprise = float(residual @ weights[:, 0].numpy())
            variance *= (FREEDOM + surprise) / (FREEDOM + len(residual))
        return EndForecast(mean, np.sqrt(variance), self.errors[self.stage(row)])

    def _seen(self, row: IntArray, complete: BoolArray, entries: int) -> tuple[IntArray, IntArray]:
        """Candidates and entries to condition on: of each curve its first row, its last two, and its complete value."""
        there, before = np.flatnonzero(row >= 0), np.flatnonzero(row >= 2)
        begun, ended = np.flatnonzero(row >= 1), np.flatnonzero(complete)
        candidate = np.concatenate([there, begun, before, ended])
        first = np.zeros(len(there), dtype=np.int64)
        ends = np.full(len(ended), entries - 1)
        return candidate, np.concatenate([first, row[begun], row[before] - 1, ends])

    def _entry(self, entry: IntArray, entries: int) -> IntArray:
        """The places of some entries in the arrays learned: a row beyond the longest curve counts as its last."""
        last = len(self.progress) - 1
        return np.where(entry == entries - 1, last, np.minimum(entry, last - 1))

    def stage(self, row: IntArray) -> IntArray:
        """(m,) which of the STAGES each candidate is in after its last row seen."""
        progress = self.progress[np.minimum(np.maximum(row, 0), len(self.progress) - 2)]
        return (row > 0).astype(np.int64) + ((row > 0) & (progress >= HALF_WAY))


def centred(log_cost: FloatArray, present: BoolArray) -> FloatArray:
    """(m,) less the mean over the candidates that are there; 0 for the others."""
    return np.where(present, log_cost - (log_cost[present].mean() if present.any() else 0.0), 0.0)


def points_at(
    profile: Profile, progress: FloatArray, cost: FloatArray, candidate: IntArray, entry: IntArray
) -> Points:
    """The (p,) places of some candidates and entries, with what the kernels look at."""
    effect = profile.effect[:, -1] - profile.effect[:, -1].mean()
    tensors = (progress[entry], cost[candidate], profile.factors[candidate], effect[candidate])
    return Points(
        torch.from_numpy(candidate),
        torch.from_numpy(progress),
        torch.from_numpy(np.eye(len(progress))[entry]),
        *(torch.from_numpy(np.ascontiguousarray(one)) for one in tensors),
    )


def _amplitudes(kernel: torch.Tensor, progress: torch.Tensor) -> torch.Tensor:
    """(terms, p) of each term of the sum."""
    return torch.exp(kernel[:, :1] + kernel[:, 1:2] * progress)


def along(kernel: torch.Tensor, levels: torch.Tensor) -> torch.Tensor:
    """(terms, q, q) what of each term's covariance depends on the progress alone, at (q,) levels of it."""
    distance = (levels[:, None] - levels[None]).abs()
    scaled = 5**0.5 * distance / torch.exp(kernel[:, 2])[:, None, None]
    amplitude = _amplitudes(kernel, levels)
    matern = (1 + scaled + scaled.square() / 3) * torch.exp(-scaled)
    return amplitude[:, :, None] * amplitude[:, None, :] * matern


def covariance(kernel: torch.Tensor, first: Points, second: Points) -> torch.Tensor:
    """(p, q) without noise."""
    # What depends on progress is computed once for each pair of entries: there are far fewer than pairs of points.
    by_entry = along(kernel, first.levels)  # (5, L + 1, L + 1)
    pairs = torch.stack(
        [
            torch.ones(len(first.cost), len(second.cost), dtype=torch.float64),
            first.cost[:, None] * second.cost[None],
            first.factors @ second.factors.T,
            (first.candidate[:, None] == second.candidate[None]).double(),
            first.effect[:, None] * second.effect[None],
        ]
    )
    return (first.chosen @ by_entry @ second.chosen.T * pairs).sum(0)


def _variance(kernel: torch.Tensor, points: Points) -> torch.Tensor:
    """(p,) the diagonal of `covariance`."""
    ones = torch.ones_like(points.cost)
    own = torch.stack([ones, points.cost**2, points.factors.square().sum(1), ones, points.effect**2])
    return (_amplitudes(kernel, points.progress).square() * own).sum(0)


def noise_of(noise: torch.Tensor, progress: torch.Tensor) -> torch.Tensor:
    """(p, p) the diagonal that noise adds to a covariance of points at (p,) progress."""
    return torch.diag(torch.exp(2 * (noise[0] + noise[1] * progress)) + JITTER)

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

Owns the model of one number. Knows nothing of hypervolumes, policies or files.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

import numpy as np
import torch

from lamps_core.policy_training.one_thread import one_thread

if TYPE_CHECKING:
    from lamps_core.meta_dataset import BoolArray, FloatArray, IntArray

FACTORS = 3
OUTLIER = 4.0  # robust standard deviations: a curve that diverged says nothing of the others
HALF_WAY = 0.5  # progress from which errors are counted apart
STAGES = 3  # only evaluated, begun, half-way
LEVELS = 16  # quantiles kept of an error
FREEDOM = 20.0  # observations' worth of belief in the learned amplitudes
# [shared, slope, factors, own, spread] by [log amplitude at u = 0, its change to u = 1, log length scale].
START = ((-1.0, 0.0, 0.0), (-2.5, 0.5, 0.0), (-0.5, 0.0, 0.0), (-2.0, 0.0, -0.5), (-1.0, 0.0, 0.0))
START_NOISE = (-3.5, 0.0)
PRIOR_WEIGHT = 0.02  # of the squared distance to START: it decides only where the curves say nothing
JITTER = 1e-6
UPDATES, LEARNING_RATE, TASKS_AN_UPDATE = 120, 0.05, 3
AVERAGED = (
    60  # of the last updates, whose numbers are averaged (Polyak and Juditsky 1992): each saw a few curves
)
MOST_CURVES = 60  # of a task in one update: the cost grows with their cube


@dataclass(frozen=True, kw_only=True)
class Curves:
    """One number of T tasks, m candidates and L rows each; the entry behind the last row is the complete value.

    Attributes:
        values: (T, m, L + 1); behind a curve's end its last value, NaN where unknown.
        rows: (T, m) rows of each curve; 0 where a task lacks the candidate.
        log_cost: (T, m) logarithm of the expected cost of an epoch.
    """

    values: FloatArray
    rows: IntArray
    log_cost: FloatArray


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
class Forecast:
    """Of the complete value of m candidates.

    Attributes:
        mean: (m,).
        deviation: (m,) standard deviation.
        errors: (m, LEVELS) equally likely values of (complete value - mean) / deviation.
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
        kernel: (5, 3) as START.
        noise: (2,) as START_NOISE.
        errors: (STAGES, LEVELS) quantiles of (complete value - mean) / deviation by stage.
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

    @one_thread()
    def forecast(
        self, values: FloatArray, row: IntArray, log_cost: FloatArray, complete: BoolArray
    ) -> Forecast:
        """What the complete values will be.

        Args:
            values: (m, L' + 1) the number after each row so far, the complete value behind them; anything where
                it is not seen yet. L' may differ from the L learned from.
            row: (m,) the last row seen; -1 where there is no such candidate.
            log_cost: (m,) as `Curves`.
            complete: (m,) whose complete value is known.
        """
        candidate, entry = self._seen(row, complete, values.shape[1])
        known = self._entry(entry, values.shape[1])
        residual = values[candidate, entry] - self.profile[known] - self.effect[candidate, known]
        usable = np.isfinite(residual)
        candidate, known, residual = candidate[usable], known[usable], residual[usable]
        here = Profile(self.profile, self.effect, self.factors)
        cost = _centred(log_cost, row >= 0) / self.cost_scale
        seen = _points(here, self.progress, cost, candidate, known)
        every = np.arange(len(row))
        ends = _points(here, self.progress, cost, every, np.full(len(row), len(self.progress) - 1))
        kernel, noise = torch.from_numpy(self.kernel), torch.from_numpy(self.noise)
        with torch.no_grad():
            lower = torch.linalg.cholesky(_covariance(kernel, seen, seen) + _noise(noise, seen))
            across = _covariance(kernel, ends, seen)
            weights = torch.cholesky_solve(torch.from_numpy(residual)[:, None], lower)
            mean = self.profile[-1] + self.effect[:, -1] + (across @ weights)[:, 0].numpy()
            explained = torch.linalg.solve_triangular(lower, across.T, upper=False).square().sum(0)
            variance = (_variance(kernel, ends) - explained).clamp(min=JITTER).numpy()
            # A Student-t process (Shah, Wilson and Ghahramani 2014): a dataset whose curves lie closer together, or
            # farther apart, than those learned from is forecast with less, or more, doubt.
            surprise = float(residual @ weights[:, 0].numpy())
            variance *= (FREEDOM + surprise) / (FREEDOM + len(residual))
        return Forecast(mean, np.sqrt(variance), self.errors[self._stage(row)])

    def _seen(self, row: IntArray, complete: BoolArray, entries: int) -> tuple[IntArray, IntArray]:
        """Candidates and entries that say the most: the first row, the last two, and the complete value."""
        there, before = np.flatnonzero(row >= 0), np.flatnonzero(row >= 2)
        begun, ended = np.flatnonzero(row >= 1), np.flatnonzero(complete)
        candidate = np.concatenate([there, begun, before, ended])
        first = np.zeros(len(there), dtype=np.int64)
        ends = np.full(len(ended), entries - 1)
        return candidate, np.concatenate([first, row[begun], row[before] - 1, ends])

    def _entry(self, entry: IntArray, entries: int) -> IntArray:
        """The same entries in the arrays learned: a row beyond the longest curve counts as its last."""
        last = len(self.progress) - 1
        return np.where(entry == entries - 1, last, np.minimum(entry, last - 1))

    def _stage(self, row: IntArray) -> IntArray:
        progress = self.progress[np.minimum(np.maximum(row, 0), len(self.progress) - 2)]
        return (row > 0).astype(np.int64) + ((row > 0) & (progress >= HALF_WAY))


def progress_of(seconds: FloatArray, rows: IntArray) -> FloatArray:
    """Where each row stands on the way to the complete value, by the logarithm of what was spent.

    Doubling subsets are equally far apart, and so are full epochs 8, 16 and 32.

    Args:
        seconds: (T, m, L) cost of each row; 0 behind a curve's end.
        rows: (T, m) rows of each curve.

    Returns:
        (L + 1,) ascending from 0 to 1.

    >>> progress_of(np.array([[[1.0, 2.0, 2.0, 4.0, 8.0]]]), np.array([[5]])).round(2).tolist()
    [0.0, 0.23, 0.42, 0.62, 0.81, 1.0]
    """
    spent = np.cumsum(seconds[:, :, 1:], axis=2)
    curves = (rows > 1) & (spent[:, :, -1:].sum(axis=2) > 0.0)  # one that cost nothing has no way to stand on
    if not curves.any():
        return np.linspace(0.0, 1.0, seconds.shape[2] + 1)
    share = np.log(np.maximum(spent[curves] / spent[curves][:, -1:], 1e-12)).mean(axis=0)  # (L - 1,), up to 0
    steps = max(1, int(np.median(rows[curves])) - 1)
    spacing = max(-float(share[0]), 1e-9) / steps
    position = np.concatenate([[share[0] - 1.2 * spacing - 1e-9], share, [1.2 * spacing]])
    return np.asarray(np.maximum.accumulate((position - position[0]) / (position[-1] - position[0])))


def learn(curves: Curves, progress: FloatArray, *, seed: int) -> CurveProcess:
    """Fit the process to recorded curves, on the processor, in seconds.

    Args:
        curves: one number.
        progress: (L + 1,) as `progress_of`.
        seed: of the subsets of curves that each update looks at.
    """
    generator = np.random.default_rng(seed)
    count = len(curves.values)
    present = curves.rows > 0
    without = [
        _profile(curves, [other for other in range(count) if other != task] or [task])
        for task in range(count)
    ]
    residuals = [_residual(one, profile) for one, profile in zip(curves.values, without, strict=True)]
    costs = np.stack([_centred(one, there) for one, there in zip(curves.log_cost, present, strict=True)])
    scale = float(costs[present].std()) or 1.0
    start = torch.tensor(START, dtype=torch.float64), torch.tensor(START_NOISE, dtype=torch.float64)
    kernel, noise = (one.clone().requires_grad_() for one in start)
    optimiser = torch.optim.Adam([kernel, noise], lr=LEARNING_RATE)
    averages = [torch.zeros_like(one) for one in start]
    for update in range(UPDATES):
        loss = PRIOR_WEIGHT * ((kernel - start[0]).square().sum() + (noise - start[1]).square().sum())
        for task in generator.choice(count, size=min(TASKS_AN_UPDATE, count), replace=False):
            candidate, entry = _some_state(curves.rows[task], curves.values.shape[2], generator)
            residual = residuals[task][candidate, entry]
            usable = np.isfinite(residual)
            points = _points(without[task], progress, costs[task] / scale, candidate[usable], entry[usable])
            loss = loss + _negative_log_likelihood(kernel, noise, points, torch.from_numpy(residual[usable]))
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        if update >= UPDATES - AVERAGED:
            for average, now in zip(averages, (kernel, noise), strict=True):
                average.add_(now.detach() / AVERAGED)
    whole = _profile(curves, list(range(count)))
    learned = {
        "progress": progress,
        "cost_scale": np.array([scale]),
        "kernel": averages[0].numpy(),
        "noise": averages[1].numpy(),
    }
    judged = [_process(one, learned, np.zeros((STAGES, LEVELS))) for one in without]
    return _process(whole, learned, _errors(judged, curves, generator))


def _process(profile: Profile, learned: dict[str, FloatArray], errors: FloatArray) -> CurveProcess:
    return CurveProcess(
        profile=profile.profile, effect=profile.effect, factors=profile.factors, errors=errors, **learned
    )


def _profile(curves: Curves, tasks: list[int]) -> Profile:
    """Averages over some tasks; an effect is shrunk by how much it varies from task to task."""
    values, present = curves.values[tasks], (curves.rows > 0)[tasks]
    values = np.where(present[:, :, None], values, np.nan)
    middle = _mean(values, axis=1)  # (T, L + 1)
    apart = _clipped(values - middle[:, None])
    times = present.sum(axis=0)[:, None]  # (m, 1)
    effect = _mean(apart, axis=0)
    left = np.nan_to_num(apart - effect)
    own = (left**2).sum(axis=(0, 1)) / max(1, int(present.sum()) - len(effect))
    between = np.maximum((effect**2).mean(axis=0) - own / max(1.0, float(times.mean())), 1e-9)
    shrunk = effect * times / (times + own / between + 1e-9)
    factors = np.zeros((len(effect), FACTORS))
    _, size, direction = np.linalg.svd(left[:, :, -1], full_matrices=False)
    kept = min(FACTORS, len(size))
    factors[:, :kept] = direction[:kept].T * size[:kept] / np.sqrt(len(tasks))
    return Profile(_mean(middle, axis=0), shrunk, factors)


def _clipped(apart: FloatArray) -> FloatArray:
    """Residuals (T, m, L + 1) with what lies far from the others of its task and entry drawn in."""
    with np.errstate(all="ignore"):
        known = np.isfinite(apart).any(axis=1, keepdims=True)
        filled = np.where(known, apart, 0.0)
        middle = np.nanmedian(filled, axis=1, keepdims=True)
        width = OUTLIER * 1.4826 * np.nanmedian(np.abs(filled - middle), axis=1, keepdims=True) + 1e-9
    return np.clip(apart, middle - width, middle + width)


def _residual(values: FloatArray, profile: Profile) -> FloatArray:
    """(m, L + 1) of one task, without outliers."""
    left = values - profile.profile - profile.effect
    shared = _mean(left[None], axis=1)
    return _clipped(left[None] - shared)[0] + shared[0]


def _mean(values: FloatArray, axis: int) -> FloatArray:
    """The mean of what is known; 0 where nothing is."""
    known = np.isfinite(values)
    total: FloatArray = np.where(known, values, 0.0).sum(axis=axis) / np.maximum(known.sum(axis=axis), 1)
    return total


def _centred(log_cost: FloatArray, present: BoolArray) -> FloatArray:
    return np.where(present, log_cost - (log_cost[present].mean() if present.any() else 0.0), 0.0)


def _some_state(rows: IntArray, entries: int, generator: np.random.Generator) -> tuple[IntArray, IntArray]:
    """Points of some curves as a search might have seen them, and their complete values."""
    there = generator.permutation(np.flatnonzero(rows > 0))
    there = there[: int(generator.integers(min(10, len(there)), min(MOST_CURVES, len(there)) + 1))]
    row = np.where(generator.random(len(there)) < 0.6, generator.integers(0, rows[there]), 0)
    candidate = np.concatenate([there, there[row >= 1], there[row >= 2], there])
    ends = np.full(len(there), entries - 1)
    return candidate, np.concatenate([row * 0, row[row >= 1], row[row >= 2] - 1, ends])


def _points(
    profile: Profile, progress: FloatArray, cost: FloatArray, candidate: IntArray, entry: IntArray
) -> Points:
    effect = profile.effect[:, -1] - profile.effect[:, -1].mean()
    tensors = (progress[entry], cost[candidate], profile.factors[candidate], effect[candidate])
    return Points(
        torch.from_numpy(candidate),
        torch.from_numpy(progress),
        torch.from_numpy(np.eye(len(progress))[entry]),
        *(torch.from_numpy(np.ascontiguousarray(one)) for one in tensors),
    )


def _amplitudes(kernel: torch.Tensor, progress: torch.Tensor) -> torch.Tensor:
    """(5, p) of each term of the sum."""
    return torch.exp(kernel[:, :1] + kernel[:, 1:2] * progress)


def _covariance(kernel: torch.Tensor, first: Points, second: Points) -> torch.Tensor:
    """(p, q) without noise."""
    # What depends on progress is computed once for each pair of entries: there are far fewer than pairs of points.
    distance = (first.levels[:, None] - first.levels[None]).abs()
    scaled = 5**0.5 * distance / torch.exp(kernel[:, 2])[:, None, None]
    amplitude = _amplitudes(kernel, first.levels)
    matern = (1 + scaled + scaled.square() / 3) * torch.exp(-scaled)  # (5, L + 1, L + 1)
    by_entry = amplitude[:, :, None] * amplitude[:, None, :] * matern
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
    """(p,) the diagonal of `_covariance`."""
    ones = torch.ones_like(points.cost)
    own = torch.stack([ones, points.cost**2, points.factors.square().sum(1), ones, points.effect**2])
    return (_amplitudes(kernel, points.progress).square() * own).sum(0)


def _noise(noise: torch.Tensor, points: Points) -> torch.Tensor:
    return torch.diag(torch.exp(2 * (noise[0] + noise[1] * points.progress)) + JITTER)


def _negative_log_likelihood(
    kernel: torch.Tensor, noise: torch.Tensor, points: Points, residual: torch.Tensor
) -> torch.Tensor:
    """Of one task's points, divided by their number (Rasmussen and Williams 2006, equation 2.30)."""
    lower = torch.linalg.cholesky(_covariance(kernel, points, points) + _noise(noise, points))
    weights = torch.cholesky_solve(residual[:, None], lower)
    return (0.5 * residual @ weights[:, 0] + lower.diagonal().log().sum()) / len(residual)


def _errors(judged: list[CurveProcess], curves: Curves, generator: np.random.Generator) -> FloatArray:
    """Quantiles of the errors, each task forecast by a process that has not averaged over it.

    The errors of real curves have a long tail on one side (some fine-tunes fail) and a narrow middle.
    """
    found: list[list[FloatArray]] = [[] for _ in range(STAGES)]
    for process, values, rows, cost in zip(judged, curves.values, curves.rows, curves.log_cost, strict=True):
        for _ in range(4):
            complete = (generator.random(len(rows)) < generator.uniform(0.0, 0.3)) & (rows > 0)
            begun = generator.random(len(rows)) < 0.4
            row = np.where(begun, generator.integers(0, np.maximum(rows - 1, 1)), 0)
            row = np.where(complete, rows - 1, np.where(rows > 0, row, -1))
            told = process.forecast(values, row, cost, complete)
            error = (values[:, -1] - told.mean) / told.deviation
            open_ = (rows > 0) & ~complete & np.isfinite(error)
            for stage in range(STAGES):
                found[stage].append(error[open_ & (process._stage(row) == stage)])
    levels = (np.arange(LEVELS) + 0.5) / LEVELS
    normal = torch.special.ndtri(torch.from_numpy(levels)).numpy()
    pooled = [np.concatenate(one) for one in found]
    return np.stack([np.quantile(one, levels) if len(one) >= 4 * LEVELS else normal for one in pooled])

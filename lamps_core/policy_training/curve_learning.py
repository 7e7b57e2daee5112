"""Recorded curves -> a `CurveProcess`: averages over training datasets, and 17 numbers by marginal likelihood.

Each training dataset is explained under a profile and effects averaged over the others. Owns how the model is fitted
and how its errors are counted. Knows nothing of what is forecast for.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import torch

from lamps_core.policies.curve_process import (
    FACTORS,
    STAGES,
    CurveProcess,
    Points,
    Profile,
    centred,
    covariance,
    noise_of,
    points_at,
)

if TYPE_CHECKING:
    from lamps_core.task import BoolArray, FloatArray, IntArray

OUTLIER = 4.0  # robust standard deviations: a curve that diverged says nothing of the others
LEVELS = 16  # quantiles kept of an error
# [shared, slope, factors, own, spread] by [log amplitude at u = 0, its change to u = 1, log length scale].
START = ((-1.0, 0.0, 0.0), (-2.5, 0.5, 0.0), (-0.5, 0.0, 0.0), (-2.0, 0.0, -0.5), (-1.0, 0.0, 0.0))
START_NOISE = (-3.5, 0.0)
PRIOR_WEIGHT = 0.02  # of the squared distance to START: it decides only where the curves say nothing
UPDATES, LEARNING_RATE, TASKS_AN_UPDATE = 120, 0.05, 3
# Of the last updates, whose numbers are averaged: each saw a few curves (Polyak and Juditsky 1992).
AVERAGED = 60
LEAST_FACTOR = 1e-6  # relative to the largest: a smaller component is rounding
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


def progress_of(seconds: FloatArray, rows: IntArray) -> FloatArray:
    """Where each row stands on the way to the complete value, by the logarithm of what was spent.

    Doubling subsets are equally far apart, and so are full epochs 8, 16 and 32.

    Args:
        seconds: (T, m, L) cost of each row; 0 behind a curve's end.
        rows: (T, m) rows of each curve.

    Returns:
        (L + 1,) ascending from 0 to 1.

    >>> progress_of(np.array([[[1.0, 2.0, 2.0, 4.0, 8.0]]]), np.array([[5]])).round(2).tolist()
    [0.0, 0.19, 0.4, 0.6, 0.81, 1.0]
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
    costs = np.stack([centred(one, there) for one, there in zip(curves.log_cost, present, strict=True)])
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
            points = points_at(without[task], progress, costs[task] / scale, candidate[usable], entry[usable])
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


def with_candidate(process: CurveProcess, curves: Curves) -> CurveProcess:
    """Know one more candidate; everything learned of the others, and the kernel numbers, stay as they are.

    Its effect is its mean distance from the others of each task, shrunk as theirs were; its loadings are those that
    best explain, by the components that theirs span, what is left of its complete values.

    Args:
        process: learned from the same curves without the last candidate.
        curves: of the number that it follows; the last candidate is the new one.
    """
    entries = len(process.progress)
    rows = np.concatenate([curves.values[:, :, : entries - 1], curves.values[:, :, -1:]], axis=2)
    present = curves.rows > 0
    values = np.where(present[:, :, None], rows, np.nan)
    apart = _clipped(values - _mean(values[:, :-1], axis=1)[:, None])
    effects = _Effects.of(apart[:, :-1], present[:, :-1])
    own = _mean(apart[:, -1], axis=0)
    left = np.nan_to_num(apart[:, -1, -1] - own[-1])
    scores = effects.left[:, :, -1] @ np.linalg.pinv(process.factors.T, rcond=LEAST_FACTOR)  # (T, FACTORS)
    loadings = np.linalg.pinv(scores, rcond=LEAST_FACTOR) @ left
    return replace(
        process,
        effect=np.vstack([process.effect, effects.shrunk(own, present[:, -1].sum())]),
        factors=np.vstack([process.factors, loadings]),
    )


def _profile(curves: Curves, tasks: list[int]) -> Profile:
    """Averages over some tasks; an effect is shrunk by how much it varies from task to task."""
    values, present = curves.values[tasks], (curves.rows > 0)[tasks]
    values = np.where(present[:, :, None], values, np.nan)
    middle = _mean(values, axis=1)  # (T, L + 1)
    effects = _Effects.of(_clipped(values - middle[:, None]), present)
    factors = np.zeros((len(effects.mean), FACTORS))
    _, size, direction = np.linalg.svd(effects.left[:, :, -1], full_matrices=False)
    kept = min(FACTORS, len(size))
    factors[:, :kept] = direction[:kept].T * size[:kept] / np.sqrt(len(tasks))
    return Profile(_mean(middle, axis=0), effects.shrunk(effects.mean, present.sum(axis=0)[:, None]), factors)


@dataclass(frozen=True)
class _Effects:
    """How candidates differ from the mean of each task.

    Attributes:
        mean: (m, L + 1) over tasks.
        left: (T, m, L + 1) beside it.
        doubt: (L + 1,) tasks at which an effect counts half.
    """

    mean: FloatArray
    left: FloatArray
    doubt: FloatArray

    @classmethod
    def of(cls, apart: FloatArray, present: BoolArray) -> _Effects:
        mean = _mean(apart, axis=0)
        left = np.nan_to_num(apart - mean)
        own = (left**2).sum(axis=(0, 1)) / max(1, int(present.sum()) - len(mean))
        times = float(present.sum(axis=0).mean())
        between = np.maximum((mean**2).mean(axis=0) - own / max(1.0, times), 1e-9)
        return cls(mean, left, own / between)

    def shrunk(self, effect: FloatArray, times: IntArray) -> FloatArray:
        """An effect seen on so many tasks, drawn towards 0."""
        return effect * times / (times + self.doubt + 1e-9)


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


def _some_state(rows: IntArray, entries: int, generator: np.random.Generator) -> tuple[IntArray, IntArray]:
    """Points of some curves as a search might have seen them, and their complete values."""
    there = generator.permutation(np.flatnonzero(rows > 0))
    there = there[: int(generator.integers(min(10, len(there)), min(MOST_CURVES, len(there)) + 1))]
    row = np.where(generator.random(len(there)) < 0.6, generator.integers(0, rows[there]), 0)
    candidate = np.concatenate([there, there[row >= 1], there[row >= 2], there])
    ends = np.full(len(there), entries - 1)
    return candidate, np.concatenate([row * 0, row[row >= 1], row[row >= 2] - 1, ends])


def _negative_log_likelihood(
    kernel: torch.Tensor, noise: torch.Tensor, points: Points, residual: torch.Tensor
) -> torch.Tensor:
    """Of one task's points, divided by their number (Rasmussen and Williams 2006, equation 2.30)."""
    lower = torch.linalg.cholesky(covariance(kernel, points, points) + noise_of(noise, points.progress))
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
            forecast = process.forecast(values, row, cost, complete)
            error = (values[:, -1] - forecast.mean) / forecast.deviation
            open_ = (rows > 0) & ~complete & np.isfinite(error)
            for stage in range(STAGES):
                found[stage].append(error[open_ & (process.stage(row) == stage)])
    levels = (np.arange(LEVELS) + 0.5) / LEVELS
    normal = torch.special.ndtri(torch.from_numpy(levels)).numpy()
    pooled = [np.concatenate(one) for one in found]
    return np.stack([np.quantile(one, levels) if len(one) >= 4 * LEVELS else normal for one in pooled])

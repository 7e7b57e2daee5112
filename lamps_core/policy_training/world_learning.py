"""Tasks -> the library of `curve_worlds`: one kernel a task by marginal likelihood, and how wrong forecasts are.

Owns how the model is fitted. Knows nothing of what is forecast for.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import torch
from scipy.cluster.vq import kmeans2

from lamps_core.policy_training.curve_process import along, noise_of
from lamps_core.policy_training.curve_worlds import (
    NODES,
    STAGES,
    TERMS,
    CurveWorlds,
    Features,
    Seen,
    points_at,
    stage_of,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from lamps_core.meta_dataset import BoolArray, FloatArray, IntArray

# Quantiles kept of an error: the tails, in which the wonders and the failures are, more finely than the middle.
LEVELS = np.array(
    [0.002, 0.006, 0.015, 0.03, 0.06, 0.11, 0.19, 0.3, 0.45, 0.6, 0.74, 0.85, 0.92, 0.96, 0.985, 0.996]
)
# By term [log amplitude at u = 0, its change to u = 1, log length scale]; the order is that of `curve_worlds.TERMS`.
START = (
    (-1.0, 0.5, 0.0),
    (-2.5, 0.7, 0.0),
    (-2.5, 0.7, 0.0),
    (-2.5, 0.7, 0.0),
    (-2.0, 0.7, 1.0),
    (-2.5, 0.3, -1.0),
)
START_NOISE = (-3.5, 0.0)
PRIOR_WEIGHT = 0.3  # of the squared distance to START, in points: it decides where curves say nothing
MOST_JUDGED = 60  # tasks whose forecasts are compared with what came
FEWEST_ERRORS = 500  # for quantiles of their own
UPDATES, LEARNING_RATE = 60, 0.12
MOST_CURVES = 32  # of a task: the cost grows with their cube
ROWS = 4  # looked at of each curve, beside its complete value
OUTLIER = 5.0  # deviations: a curve that diverged says nothing of the others


@dataclass(frozen=True)
class Lesson:
    """One number of one task.

    Attributes:
        curves: (m,) of the number after each row; NaN where unknown.
        complete: (m,) whose last row is the complete value.
        features: of the candidates.
    """

    curves: Sequence[FloatArray]
    complete: BoolArray
    features: Features


def learn(
    lessons: Sequence[Lesson], *, kept: int, seed: int, tell: Callable[[float], None] | None = None
) -> CurveWorlds:
    """Fit the library.

    Args:
        lessons: one a world.
        kept: worlds in the library: those in the middle of as many clusters.
        seed: of what is looked at.
        tell: called with the share that is done.
    """
    generator = np.random.default_rng(seed)
    seen = [_points(lesson, generator) for lesson in lessons]
    profile = _profile(seen)
    kernel, noise = [], []
    for place, (lesson, points) in enumerate(zip(lessons, seen, strict=True)):
        fitted = fit(points, lesson.features, profile)
        kernel.append(fitted[0])
        noise.append(fitted[1])
        if tell is not None:
            tell((place + 1) / len(lessons) * 0.8)
    kept_ones = _typical(np.array(kernel), np.array(noise), kept, seed)
    library = CurveWorlds(
        profile=profile,
        kernel=np.array(kernel)[kept_ones],
        noise=np.array(noise)[kept_ones],
        errors=np.tile(_normal_quantiles(), (STAGES, 1)),
    )
    judged = generator.permutation(len(lessons))[:MOST_JUDGED]
    return replace(library, errors=_errors(library, kept_ones, lessons, judged, generator))


def _typical(kernel: FloatArray, noise: FloatArray, kept: int, seed: int) -> IntArray:
    """Places of the worlds nearest to the means of clusters (Lloyd's algorithm, k-means++ from a seed)."""
    if len(kernel) <= kept:
        return np.arange(len(kernel))
    told = np.concatenate([kernel.reshape(len(kernel), -1), noise], axis=1)
    means, _ = kmeans2(told, kept, minit="++", seed=seed)
    apart = ((told[:, None] - means[None]) ** 2).sum(axis=2)
    return np.unique(apart.argmin(axis=0))


def _points(lesson: Lesson, generator: np.random.Generator) -> Seen:
    """Places all along some curves, less the mean of their first row."""
    usable = np.flatnonzero([len(curve) > 1 for curve in lesson.curves])
    rows = {
        int(place): np.linspace(0, len(lesson.curves[place]) - 1, ROWS + 1).round().astype(np.int64)
        for place in generator.permutation(usable)[:MOST_CURVES]
    }
    seen, level = points_at(lesson.curves, lesson.complete, rows)
    return replace(seen, value=seen.value - level)


def _profile(seen: Sequence[Seen]) -> FloatArray:
    """(NODES,) the mean over worlds of the mean over candidates, each world interpolated to the grid."""
    grid = np.arange(NODES)
    each = []
    for points in seen:
        there = np.unique(points.node)
        mean = np.array([np.median(points.value[points.node == node]) for node in there])
        each.append(np.interp(grid, there, mean))
    return np.asarray(np.mean(each, axis=0))


def fit(points: Seen, features: Features, profile: FloatArray) -> tuple[FloatArray, FloatArray]:
    """The kernel (TERMS, 3) and noise (2,) of one world, by marginal likelihood from START on."""
    residual = points.value - profile[points.node]
    middle = np.median(residual)
    width = OUTLIER * (1.4826 * np.median(np.abs(residual - middle)) + 1e-3)
    told = torch.from_numpy(np.clip(residual, middle - width, middle + width))
    pairs = torch.from_numpy(features.terms(points.candidate, points.candidate))
    u = torch.from_numpy(points.node / (NODES - 1))
    start = torch.tensor(START, dtype=torch.float64), torch.tensor(START_NOISE, dtype=torch.float64)
    kernel, noise = (one.clone().requires_grad_() for one in start)
    optimiser = torch.optim.Adam([kernel, noise], lr=LEARNING_RATE)
    for _ in range(UPDATES):
        lower = torch.linalg.cholesky((along(kernel, u) * pairs).sum(0) + noise_of(noise, u))
        half = torch.linalg.solve_triangular(lower, told[:, None], upper=False)
        loss = 0.5 * half.square().sum() + lower.diagonal().log().sum()
        prior = (kernel - start[0]).square().sum() + (noise - start[1]).square().sum()
        loss = loss + PRIOR_WEIGHT * prior
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    return kernel.detach().numpy().reshape(TERMS, 3), noise.detach().numpy()


def _errors(
    library: CurveWorlds,
    kept: IntArray,
    lessons: Sequence[Lesson],
    judged: IntArray,
    generator: np.random.Generator,
) -> FloatArray:
    """(STAGES, levels) quantiles of the errors, each task forecast without the world that was fitted to it.

    Errors of all candidates alike decide nothing: those in the distance to the mean are counted.
    """
    found: list[list[FloatArray]] = [[] for _ in range(STAGES)]
    for place in judged:
        lesson, others = lessons[place], kept != place
        if not others.any():
            others[:] = True
        without = replace(library, kernel=library.kernel[others], noise=library.noise[others])
        rows = np.array([len(curve) - 1 for curve in lesson.curves])
        final = np.array([curve[-1] if len(curve) else np.nan for curve in lesson.curves])
        for _ in range(3):
            complete = (
                lesson.complete & (rows > 0) & (generator.random(len(rows)) < generator.uniform(0.0, 0.3))
            )
            begun = generator.random(len(rows)) < 0.4
            row = np.where(begun, generator.integers(0, np.maximum(rows, 1)), 0)
            row = np.where(complete, rows, row)
            told = without.forecast(
                [curve[: last + 1] for curve, last in zip(lesson.curves, row, strict=True)],
                complete,
                lesson.features,
            )
            error = final - told.mean
            error = (error - np.nanmean(np.where(lesson.complete, error, np.nan))) / told.deviation
            open_ = lesson.complete & ~complete & np.isfinite(error)
            for stage in range(STAGES):
                found[stage].append(error[open_ & (stage_of(row) == stage)])
    pooled = [np.concatenate(one) for one in found]
    return np.stack(
        [np.quantile(one, LEVELS) if len(one) >= FEWEST_ERRORS else _normal_quantiles() for one in pooled]
    )


def _normal_quantiles() -> FloatArray:
    return np.asarray(torch.special.ndtri(torch.from_numpy(LEVELS)).numpy())

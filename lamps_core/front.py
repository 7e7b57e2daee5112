"""Section 3 of the paper in numbers: dominance, the front, its hypervolume, the bound on lambda of Theorem 1.

Every objective is to be minimised. BoTorch, which maximises, does the counting; the sign is turned in one
place here, and arithmetic is in float64. Knows nothing of models, curves or column names.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt
    import torch

    FloatArray = npt.NDArray[np.float64]
    BoolArray = npt.NDArray[np.bool_]

# Imports of torch and BoTorch stand inside the functions that need them: together they take 1.6 s from a warm
# disk, which a command that only parses its input or reads curves should not pay.


def weakly_dominates(first: npt.ArrayLike, second: npt.ArrayLike) -> bool:
    """Definition 1: whether `first` is nowhere worse (larger) than `second`.

    Args:
        first: (n,) objectives.
        second: (n,) objectives.

    Raises:
        ValueError: NaN, or different lengths.

    >>> weakly_dominates([1.0, 2.0], [1.0, 2.0]), weakly_dominates([1.0, 2.0], [0.5, 3.0])
    (True, False)
    """
    return bool((_vector(first) <= _vector(second, like=first)).all())


def dominates(first: npt.ArrayLike, second: npt.ArrayLike) -> bool:
    """Definition 2: whether `first` is nowhere worse than `second`, and somewhere better (smaller).

    Args:
        first: (n,) objectives.
        second: (n,) objectives.

    Raises:
        ValueError: NaN, or different lengths.

    >>> dominates([1.0, 2.0], [1.0, 3.0]), dominates([1.0, 2.0], [1.0, 2.0])
    (True, False)
    """
    return weakly_dominates(first, second) and not weakly_dominates(second, first)


def non_dominated(points: npt.ArrayLike) -> BoolArray:
    """Definition 3: which points no other point dominates.

    Points that are equal do not dominate each other: all of them stay, or none.

    Args:
        points: (m, n) objectives.

    Returns:
        (m,) mask. O(m^2 n).

    Raises:
        ValueError: NaN, or not two-dimensional.

    >>> non_dominated([[1.0, 3.0], [2.0, 2.0], [2.0, 3.0], [1.0, 3.0]]).tolist()
    [True, True, False, True]
    """
    from botorch.utils.multi_objective.pareto import is_non_dominated

    mask: BoolArray = is_non_dominated(_to_maximise(_matrix(points)), deduplicate=False).numpy()
    return mask


def feasible(points: npt.ArrayLike, bounds: Sequence[float | None]) -> BoolArray:
    """The constraints of equation 1: which points are at or below every bound.

    Args:
        points: (m, n) objectives.
        bounds: f_max of each objective; None where there is none.

    Returns:
        (m,) mask.

    Raises:
        ValueError: NaN, or not one bound an objective.

    >>> feasible([[1.0, 5.0], [2.0, 3.0]], [None, 4.0]).tolist()
    [False, True]
    """
    limits = np.array([np.inf if bound is None else bound for bound in bounds], dtype=np.float64)
    within: BoolArray = np.all(_matrix(points, objectives=len(bounds)) <= _vector(limits), axis=1)
    return within


def _above(worst: FloatArray, best: FloatArray) -> FloatArray:
    """The reference point where there is no bound, of the worst and the best values."""
    return worst + 0.1 * (worst - best)


def unit_box(
    worst: FloatArray, best: FloatArray, bounds: Sequence[float] | FloatArray
) -> tuple[FloatArray, FloatArray]:
    """The reference point, and the scale that maps the best values to 0 and the reference point to 1.

    Args:
        worst: (..., n) worst values.
        best: (..., n) best values.
        bounds: (n,) infinite where there is none.

    Returns:
        (..., n) reference point; (..., n) its distance from the best values, 1 where there is none.
    """
    corner = np.where(np.isfinite(bounds), bounds, _above(worst, best))
    return corner, np.where(corner > best, corner - best, 1.0)


def reference_point(points: npt.ArrayLike, bounds: Sequence[float | None]) -> FloatArray:
    """The corner r above the hypervolume: the user's f_max, else worst + 0.1 * (worst - best) over points.

    An objective in which all points are equal has r on top of them, so that their hypervolume is 0.

    Args:
        points: (m, n) objectives of the complete candidates, dominated ones included.
        bounds: f_max of each objective; None where the user gave none.

    Returns:
        (n,) reference point.

    Raises:
        ValueError: NaN, not one bound an objective, or no finite points where a bound is missing.

    >>> reference_point([[1.0, 30.0], [2.0, 10.0]], [None, 60.0]).tolist()
    [2.1, 60.0]
    """
    values = _matrix(points, objectives=len(bounds))
    open_columns = [column for column, bound in enumerate(bounds) if bound is None]
    if open_columns and (len(values) == 0 or not np.isfinite(values[:, open_columns]).all()):
        raise ValueError("a reference point needs finite points, or a bound on every objective")
    reference = np.array([np.nan if bound is None else bound for bound in bounds], dtype=np.float64)
    for column in open_columns:
        worst, best = values[:, column].max(), values[:, column].min()
        reference[column] = _above(worst, best)
    return _vector(reference)


def hypervolume(points: npt.ArrayLike, reference: npt.ArrayLike) -> float:
    """Definition 4: the volume weakly dominated by the points and bounded above by the reference point.

    Only points p <= r count; one that touches r in some objective has a box of no volume. BoTorch follows
    Fonseca, Paquete and Lopez-Ibanez (2006): O(m^(n - 2) log m), after the O(m^2 n) of `non_dominated`.

    Args:
        points: (m, n) objectives.
        reference: (n,) reference point r.

    Raises:
        ValueError: NaN, different numbers of objectives, a reference or a point below it that is not finite.

    >>> hypervolume([[1.0, 2.0], [2.0, 1.0], [9.0, 0.0]], [3.0, 3.0])
    3.0
    """
    from botorch.utils.multi_objective.hypervolume import Hypervolume

    corner = _vector(reference)
    counted = _below(points, corner)
    if len(counted) == 0:
        return 0.0
    # Dominated points and repetitions add nothing, and each costs BoTorch a node of its lists.
    counted = np.unique(counted[non_dominated(counted)], axis=0)
    return float(Hypervolume(ref_point=_to_maximise(corner)).compute(_to_maximise(counted)))


def hypervolume_gain(point: npt.ArrayLike, points: npt.ArrayLike, reference: npt.ArrayLike) -> float:
    """Delta H(point | points): the hypervolume that a point adds to others.

    The point's own box less what the others take of it, which is the hypervolume of max(point, other) over
    the others (While, Bradstreet and Barone, "A fast way of calculating exact hypervolumes", 2012). The
    difference of two whole hypervolumes is the same number with its small digits lost: this one is exactly 0
    for a point that another weakly dominates.

    Args:
        point: (n,) objectives.
        points: (m, n) objectives of the others.
        reference: (n,) reference point r.

    Raises:
        ValueError: as `hypervolume`.

    >>> hypervolume_gain([1.0, 2.0], [[2.0, 1.0]], [3.0, 3.0])
    1.0
    """
    corner = _vector(reference)
    box = _vector(point, like=corner)
    taken = np.maximum(box, _below(points, corner))
    return max(0.0, hypervolume(box[None], corner) - hypervolume(taken, corner))


def largest_lambda(points: npt.ArrayLike, reference: npt.ArrayLike) -> float:
    """The right-hand side of Theorem 1, equation 4: min of Delta H(x | X) over x in X*, X in X* without x.

    X* are the Pareto-optimal points of problem 1, which asks for p <= r. The hypervolume is submodular (a box
    meets at least as much of a larger union), so a point gains least beside all the others: the minimum over
    subsets X is at X = X* without x, and m gains are enough where the formula names m 2^(m - 1).

    At lambda equal to this number, X* shares the maximum of equation 3 with X* without that x; below it, X*
    is the only maximum. It is 0, so that no lambda > 0 will do, where X* holds two equal points (each adds
    nothing to the other) or a point that touches r (its box has no volume). Points behind r break a bound and
    are no candidates. Where nothing is left, every lambda > 0 selects the empty X*: the minimum is infinite.

    Args:
        points: (m, n) objectives of all candidates, dominated ones included.
        reference: (n,) reference point r.

    Raises:
        ValueError: as `hypervolume`.

    >>> largest_lambda([[1.0, 2.0], [2.0, 0.5], [2.0, 2.5]], [3.0, 3.0])
    1.0
    """
    within = _below(points, _vector(reference))
    front = within[non_dominated(within)]
    gains = (
        hypervolume_gain(point, np.delete(front, index, axis=0), reference)
        for index, point in enumerate(front)
    )
    return min(gains, default=math.inf)


def _below(points: npt.ArrayLike, corner: FloatArray) -> FloatArray:
    """The points p <= r, all finite."""
    if not np.isfinite(corner).all():
        raise ValueError(f"the reference point {corner.tolist()} is not finite")
    values = _matrix(points, objectives=len(corner))
    counted = values[(values <= corner).all(axis=1)]
    if not np.isfinite(counted).all():
        raise ValueError("a point at minus infinity has no finite hypervolume")
    return counted


def _matrix(points: npt.ArrayLike, *, objectives: int | None = None) -> FloatArray:
    values = np.asarray(points, dtype=np.float64)
    if values.size == 0 and values.ndim < 3:
        # An empty list has lost its number of columns on the way here.
        values = values.reshape(0, objectives or values.shape[-1])
    if values.ndim != 2 or (objectives is not None and values.shape[1] != objectives):
        raise ValueError(f"points of shape {values.shape} are not (m, {objectives or 'n'})")
    return _without_nan(values)


def _vector(objectives: npt.ArrayLike, *, like: npt.ArrayLike | None = None) -> FloatArray:
    values = np.asarray(objectives, dtype=np.float64)
    if values.ndim != 1 or (like is not None and values.shape != np.shape(like)):
        raise ValueError(
            f"objectives of shape {values.shape} are not ({'n' if like is None else np.size(like)},)"
        )
    return _without_nan(values)


def _without_nan(values: FloatArray) -> FloatArray:
    if np.isnan(values).any():
        raise ValueError("NaN among the objectives: leave out what is not known")
    return values


def _to_maximise(values: FloatArray) -> torch.Tensor:
    """The one place where the sign is turned; a copy, so that no input is shared with torch."""
    import torch

    return torch.as_tensor(-values, dtype=torch.double)

"""What points would add to the hypervolume of others, for many points at once.

`front.hypervolume_gain` answers for one point; a policy asks for every candidate before every step. BoTorch's
box decomposition of the space that the others leave uncovered is made once for all of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt

    FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Boxes:
    """The space below a reference point that no point weakly dominates, in BoTorch's signs (it maximises).

    Attributes:
        lower: (b, n) corners.
        upper: (b, n) corners; infinite where no point limits them.
    """

    lower: FloatArray
    upper: FloatArray


def uncovered(points: FloatArray, reference: FloatArray) -> Boxes:
    """Cut the uncovered space into boxes.

    Lacour, Klamroth and Fonseca, "A box decomposition algorithm to compute the hypervolume indicator", 2017, as
    BoTorch has it. Points change when a candidate completes and the reference point at every step, so the space
    is cut once for a set of points, from a corner behind all of them, and then clipped.

    Args:
        points: (m, n) minimised objectives, finite; m may be 0.
        reference: (n,) reference point.
    """
    lower, upper = _cut(np.ascontiguousarray(points).tobytes(), len(reference))
    lower = np.maximum(lower, -reference)
    some = (upper > lower).all(axis=1)
    return Boxes(lower[some], upper[some])


@lru_cache(maxsize=64)
def _cut(points: bytes, objectives: int) -> tuple[FloatArray, FloatArray]:
    values = -np.frombuffer(points).reshape(-1, objectives)
    if objectives == 1 or len(values) == 0:
        # BoTorch counts two objectives or more.
        best = values.max(axis=0, initial=-np.inf)
        return best[None], np.full((1, objectives), np.inf)
    import torch
    from botorch.utils.multi_objective.box_decompositions.non_dominated import (
        FastNondominatedPartitioning,
    )

    # BoTorch loses no digit of a point to this corner: it takes minima and maxima alone.
    behind = values.min(axis=0) - 1.0 - np.abs(values).max(axis=0)
    bounds = FastNondominatedPartitioning(
        ref_point=torch.from_numpy(behind), Y=torch.from_numpy(values)
    ).hypercell_bounds.numpy()
    return np.where(bounds[0] <= behind, -np.inf, bounds[0]), bounds[1]


def hypervolume_gains(candidates: FloatArray, points: FloatArray, reference: FloatArray) -> FloatArray:
    """(p,) hypervolume that each candidate alone would add to the points.

    Args:
        candidates: (p, n) minimised objectives, finite.
        points: (m, n) minimised objectives of the others, m may be 0.
        reference: (n,) reference point.

    >>> hypervolume_gains(np.array([[1.0, 2.0], [2.5, 2.0]]), np.array([[2.0, 1.0]]), np.array([3.0, 3.0])).tolist()
    [1.0, 0.0]
    """
    boxes = uncovered(points, reference)
    reached = np.minimum(-candidates[:, None, :], boxes.upper) - boxes.lower
    gains: FloatArray = np.maximum(reached, 0.0).prod(axis=2).sum(axis=1)
    return gains

"""What points would add to the hypervolume of others, for many points at once.

`front.hypervolume_gain` answers for one point; a policy asks for every candidate before every step. BoTorch's
box decomposition of the space that the others leave uncovered is made once for all of them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt
    from botorch.utils.multi_objective.box_decompositions.non_dominated import (
        FastNondominatedPartitioning,
    )

    FloatArray = npt.NDArray[np.float64]


def uncovered(points: FloatArray, reference: FloatArray) -> FastNondominatedPartitioning:
    """The boxes that no point weakly dominates, below the reference point, in BoTorch's signs (it maximises).

    Lacour, Klamroth and Fonseca, "A box decomposition algorithm to compute the hypervolume indicator", 2017;
    O(m log m) boxes' work for two objectives, O(m^floor(n / 2) n) for n.

    Args:
        points: (m, n) minimised objectives, m may be 0.
        reference: (n,) reference point.
    """
    import torch
    from botorch.utils.multi_objective.box_decompositions.non_dominated import (
        FastNondominatedPartitioning,
    )

    return FastNondominatedPartitioning(
        ref_point=torch.as_tensor(-reference, dtype=torch.double),
        Y=torch.as_tensor(-points.reshape(-1, len(reference)), dtype=torch.double),
    )


def hypervolume_gains(candidates: FloatArray, points: FloatArray, reference: FloatArray) -> FloatArray:
    """(p,) hypervolume that each candidate alone would add to the points.

    Args:
        candidates: (p, n) minimised objectives, finite.
        points: (m, n) minimised objectives of the others, m may be 0.
        reference: (n,) reference point.

    >>> hypervolume_gains(np.array([[1.0, 2.0], [2.5, 2.0]]), np.array([[2.0, 1.0]]), np.array([3.0, 3.0])).tolist()
    [1.0, 0.0]
    """
    lower, upper = uncovered(points, reference).hypercell_bounds.numpy()  # (boxes, n) each
    reached = np.minimum(-candidates[:, None, :], upper) - lower
    gains: FloatArray = np.maximum(reached, 0.0).prod(axis=2).sum(axis=1)
    return gains

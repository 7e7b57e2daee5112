"""`ehvi`: the greatest expected hypervolume improvement per second still to spend, over extrapolated curves.

Emmerich, Deutz and Klinkenberg, "Hypervolume-based expected improvement", 2011, by BoTorch's analytic acquisition
(exact for independent Gaussians: Daulton, Balandat and Bakshy, "Differentiable expected hypervolume improvement",
2020); per expected cost as Snoek, Larochelle and Adams, "Practical Bayesian optimization of machine learning
algorithms", 2012. The Gaussians are those of `extrapolation`; one step is run, then all is asked again. Candidates with
a step running count as complete at their means (Ginsbourger, Le Riche and Carraro, "Kriging is well-suited to
parallelize optimization", 2010).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from botorch.acquisition.multi_objective.analytic import ExpectedHypervolumeImprovement
from botorch.models.model import Model

from lamps_core.policies.extrapolation import extrapolated
from lamps_core.policies.gains import uncovered
from lamps_core.policies.stopping import LEAST_SECONDS

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    from lamps_core.objectives import Objective
    from lamps_core.policies.protocol import Observation

    FloatArray = npt.NDArray[np.float64]


class ExpectedImprovement:
    """Chooses by expected hypervolume improvement over the complete candidates, per expected second."""

    name = "ehvi"

    def __init__(self, objectives: Sequence[Objective]) -> None:
        """Take what the observations are about.

        Args:
            objectives: those of the observations, in order.
        """
        self._objectives = tuple(objectives)

    def select(self, observation: Observation) -> int:
        """The greatest improvement per second; the cheapest where nothing is expected to improve."""
        seen = extrapolated(observation, self._objectives)
        choices = np.flatnonzero(seen.open)
        if len(choices) == 0:
            return int(np.argmax(observation.mask))
        seconds = np.maximum(seen.remaining_seconds[choices], LEAST_SECONDS)
        others = seen.mean[seen.known | seen.pending]
        improvement = expected_improvements(
            seen.mean[choices], seen.variance[choices], others, seen.reference
        )
        return int(choices[np.lexsort((seconds, -improvement / seconds))[0]])


def expected_improvements(
    mean: FloatArray, variance: FloatArray, points: FloatArray, reference: FloatArray
) -> FloatArray:
    """(p,) expected hypervolume that each Gaussian adds to the points, as a share of the space they span.

    Args:
        mean: (p, n) of minimised objectives.
        variance: (p, n) of independent objectives.
        points: (m, n) the complete candidates; m may be 0.
        reference: (n,) reference point.
    """
    # Nats and seconds are brought to one scale, on which BoTorch's least variance (1e-9) is as good as none.
    extent = reference - np.minimum(mean.min(axis=0), points.min(axis=0, initial=np.inf))
    scale = np.where(extent > 0.0, extent, 1.0)
    boxes = uncovered(points, reference)
    lower, upper = (boxes.lower + reference) / scale, (boxes.upper + reference) / scale
    mean, variance = (reference - mean) / scale, variance / scale**2
    if len(reference) == 1:
        # BoTorch counts two objectives or more: one that is 1 better than its reference everywhere changes nothing.
        lower, upper = _with_column(lower, 0.0), _with_column(upper, np.inf)
        mean, variance = _with_column(mean, 1.0), _with_column(variance, 0.0)
    acquisition = ExpectedHypervolumeImprovement(
        model=_Gaussians(mean, variance),
        ref_point=[0.0] * mean.shape[1],
        partitioning=_Partitioning(torch.from_numpy(np.stack([lower, upper]))),
    )
    with torch.no_grad():
        found: FloatArray = acquisition(torch.arange(len(mean), dtype=torch.double)[:, None, None]).numpy()
    return np.maximum(found, 0.0)


def _with_column(values: FloatArray, constant: float) -> FloatArray:
    return np.pad(values, ((0, 0), (0, 1)), constant_values=constant)


class _Partitioning:
    """Boxes that are already cut, as the acquisition asks for them."""

    def __init__(self, bounds: torch.Tensor) -> None:
        self._bounds = bounds  # (2, boxes, n)
        self.num_outcomes = bounds.shape[-1]
        self.pareto_Y = bounds.new_empty((0, self.num_outcomes))  # only checked against the reference point

    def get_hypercell_bounds(self) -> torch.Tensor:
        """Lower and upper corners."""
        return self._bounds


@dataclass(frozen=True)
class _Moments:
    """A posterior of which the acquisition reads no more than this; (b, 1, n) each."""

    mean: torch.Tensor
    variance: torch.Tensor


class _Gaussians(Model):
    """A BoTorch model whose inputs are the candidates' numbers and whose posteriors are given."""

    def __init__(self, mean: FloatArray, variance: FloatArray) -> None:
        super().__init__()
        self._moments = torch.from_numpy(np.stack([mean, variance]))

    @property
    def num_outputs(self) -> int:
        """n."""
        return int(self._moments.shape[-1])

    @property
    def batch_shape(self) -> torch.Size:
        """One model."""
        return torch.Size([])

    def posterior(self, X: torch.Tensor, **_options: Any) -> _Moments:  # noqa: N803 (BoTorch's name)
        """Mean and variance of the candidates numbered in X, (b, 1, 1)."""
        mean, variance = self._moments[:, X[..., 0].long()]
        return _Moments(mean, variance)

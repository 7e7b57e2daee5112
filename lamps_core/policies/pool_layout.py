"""What a pool policy is shown, as one flat vector: in an environment, in hundreds at once, in a live search.

The paper (Section 5) shows, for every candidate, its objectives so far and the steps that it has done. Datasets
differ by orders of magnitude in both loss and time, so each objective is shown relative to a scale of the dataset,
fixed by the zero-shot evaluations: nothing that a search has not seen enters. The pool is a fixed list of
candidates; one that is absent, or not evaluated yet, is all zeros. Owns this and nothing else; needs only numpy.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from lamps_core.errors import BadInput
from lamps_core.objectives import DOLLARS, SECONDS, SHARES
from lamps_core.prices import GPU_HOUR_PRICE

if TYPE_CHECKING:
    import numpy.typing as npt

    from lamps_core.policies.protocol import Observation
    from lamps_core.task import FloatArray, IntArray

    Vector = npt.NDArray[np.float32]

# A cost grows a thousandfold along a search, a loss falls to a tenth: the first is compressed, asinh(1000) = 7.6,
# so that both are about 1 at most, as a network of tanh likes it.
COMPRESSION = 4.0
STEPS = 10.0  # steps are shown in tens; a curve of the paper has at most 18 rows


@dataclass(frozen=True)
class PoolLayout:
    """Where each candidate and objective stands in the vector.

    Attributes:
        candidates: (m,) names, the pool.
        objectives: (n,) columns of the curve schema.
    """

    candidates: tuple[str, ...]
    objectives: tuple[str, ...]

    @property
    def features(self) -> int:
        """How many numbers are shown of each candidate: its n objectives, and its steps."""
        return len(self.objectives) + 1

    @property
    def size(self) -> int:
        """Length of the vector."""
        return len(self.candidates) * self.features

    @cached_property
    def _places(self) -> dict[str, int]:
        return {name: index for index, name in enumerate(self.candidates)}

    def places(self, names: tuple[str, ...]) -> list[int]:
        """The place in the pool of each of some candidates.

        Raises:
            BadInput: one that is not in it.
        """
        unknown = [name for name in names if name not in self._places]
        if unknown:
            raise BadInput(f"this policy does not know the candidate {unknown[0]}: leave it out")
        return [self._places[name] for name in names]

    def vector(self, observation: Observation) -> Vector:
        """(m * (n + 1),) what is shown of one search, whichever of the pool it has, in whichever order."""
        shown = np.zeros((len(self.candidates), self.features), dtype=np.float32)
        scale = self.scale(
            losses=_first(observation.losses),
            step_seconds=_first(observation.step_seconds),
            parameters=observation.parameters,
            epoch_cost=observation.epoch_cost,
        )
        places = self.places(observation.names)
        shown[places] = self.encode(observation.objectives, observation.steps, scale)
        return shown.reshape(-1)

    def scale(
        self, *, losses: FloatArray, step_seconds: FloatArray, parameters: FloatArray, epoch_cost: FloatArray
    ) -> FloatArray:
        """(..., n) the scale of each objective on a dataset.

        Args:
            losses: (..., m) of the zero-shot evaluations; NaN where there is none yet, here and below.
            step_seconds: (..., m) of the zero-shot evaluations.
            parameters: (..., m) of each candidate.
            epoch_cost: (..., m) expected cost of an epoch of each.
        """
        scales = []
        for column in self.objectives:
            if column == "test_loss":
                scales.append(_median(losses))
            elif column in SECONDS:
                scales.append(_median(step_seconds))
            elif column == DOLLARS:
                # The price does not stand in a layout. Another one moves all numbers alike, in training as after it.
                scales.append(_median(step_seconds) * GPU_HOUR_PRICE / 3600.0)
            elif column == "train_flops":
                scales.append(_median(epoch_cost))
            elif column == "parameters":
                scales.append(_median(parameters))
            else:
                scales.append(np.ones(losses.shape[:-1]))
        return np.stack(scales, axis=-1)

    def encode(self, objectives: FloatArray, steps: IntArray, scale: FloatArray) -> Vector:
        """(..., m, n + 1) what is shown of each candidate.

        Args:
            objectives: (..., m, n) minimised values so far.
            steps: (..., m) landmark steps done; -1 before the zero-shot evaluation.
            scale: (..., n) see `scale`.
        """
        relative = objectives / scale[..., None, :]
        for index, column in enumerate(self.objectives):
            if column != "test_loss" and column not in SHARES:
                relative[..., index] = np.arcsinh(relative[..., index]) / COMPRESSION
        rows = (steps + 1) / STEPS
        seen = np.concatenate([relative, rows[..., None]], axis=-1)
        return np.where(rows[..., None] > 0, np.nan_to_num(seen, posinf=0.0, neginf=0.0), 0.0).astype(
            np.float32
        )


def _first(curves: tuple[tuple[float, ...], ...]) -> FloatArray:
    return np.array([curve[0] if curve else np.nan for curve in curves], dtype=np.float64)


def _median(values: FloatArray) -> FloatArray:
    """The median of what is known; 1 where that is nothing, or not above 0."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # all NaN: nothing is evaluated yet
        middle = np.nanmedian(np.asarray(values, dtype=np.float64), axis=-1)
    return np.where(middle > 0, middle, 1.0)

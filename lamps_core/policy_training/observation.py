"""What a pool policy is shown, as one flat vector: in an environment, in hundreds at once, in a live search.

The paper (Section 5) shows, for every candidate, its objectives so far and the steps that it has done. Datasets
differ by orders of magnitude in both loss and time, so each objective is told relative to a scale of the dataset,
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

    from lamps_core.policies import Observation
    from lamps_core.policy_training.task_batch import TaskBatch
    from lamps_core.task import FloatArray, IntArray

    Vector = npt.NDArray[np.float32]

# A cost grows a thousandfold along a search, a loss falls to a tenth: the first is compressed, asinh(1000) = 7.6,
# so that both are about 1 at most, as a network of tanh likes it.
COMPRESSION = 4.0
STEPS = 10.0  # steps are told in tens; a curve of the paper has at most 18 rows


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
        """Numbers told of each candidate: its n objectives, and its steps."""
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
        told = np.zeros((len(self.candidates), self.features), dtype=np.float32)
        scale = self._scale(
            losses=_first(observation.losses),
            step_seconds=_first(observation.step_seconds),
            parameters=observation.parameters,
            epoch_cost=observation.epoch_cost,
        )
        places = self.places(observation.names)
        told[places] = self._features(observation.objectives, observation.steps, scale)
        return told.reshape(-1)

    def table(self, tasks: TaskBatch) -> Vector:
        """(T, L, m, n + 1) what is told of each candidate after each row: an observation is a choice among these."""
        absent = tasks.rows == 0
        known = [
            np.where(absent, np.nan, values)
            for values in (
                tasks.losses[:, :, 0],
                tasks.step_seconds[:, :, 0],
                tasks.parameters,
                tasks.epoch_cost,
            )
        ]
        scale = self._scale(losses=known[0], step_seconds=known[1], parameters=known[2], epoch_cost=known[3])
        steps = np.where(absent[:, None], -1, np.arange(tasks.values.shape[2])[:, None])  # (T, L, m)
        return self._features(tasks.values.transpose(0, 2, 1, 3), steps, scale[:, None])

    def _scale(
        self, *, losses: FloatArray, step_seconds: FloatArray, parameters: FloatArray, epoch_cost: FloatArray
    ) -> FloatArray:
        """(..., n) the scale of each objective on a dataset, from (..., m) what the zero-shot evaluations told."""
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

    def _features(self, objectives: FloatArray, steps: IntArray, scale: FloatArray) -> Vector:
        """(..., m, n + 1) from (..., m, n) objectives, (..., m) steps done, (..., n) scales."""
        told = objectives / scale[..., None, :]
        for index, column in enumerate(self.objectives):
            if column != "test_loss" and column not in SHARES:
                told[..., index] = np.arcsinh(told[..., index]) / COMPRESSION
        rows = (steps + 1) / STEPS
        seen = np.concatenate([told, rows[..., None]], axis=-1)
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

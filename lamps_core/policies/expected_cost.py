"""What a candidate still costs, from what a real search has seen: its clock so far and counted operations.

A landmark step takes a fixed part (load, evaluate, save: what the zero-shot step took) and a part for training,
proportional to its rows: D_1, twice as many at each further landmark, all of them from step K on. Knows nothing
of losses. How long curves are is not known before one ends.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from lamps_core.landmarks import LANDMARKS

if TYPE_CHECKING:
    import numpy.typing as npt

    from lamps_core.policies.protocol import Observation

    FloatArray = npt.NDArray[np.float64]

FURTHER_EPOCHS = 4  # patience is 3: a curve that stops improving at step K + 1 ends at K + 4
_TRUST = 1 / 8  # epochs of a candidate's own clock that weigh as much as what the others' clocks say of it
# Before any clock: three times the operations a row, on four times the rows, less loading.
_EPOCH_TO_ZERO_SHOT = 4.0


def epochs_after(steps: npt.ArrayLike, landmarks: int = LANDMARKS) -> FloatArray:
    """Epochs' worth of rows trained on by the end of a step: 1/128, 3/128, ... 255/128 at step 8, then one a step.

    Args:
        steps: landmark steps done.
        landmarks: K.

    >>> epochs_after([0, 1, 2, 8, 10]).tolist()
    [0.0, 0.0078125, 0.0234375, 1.9921875, 3.9921875]
    """
    done = np.maximum(np.asarray(steps, dtype=np.float64), 0.0)
    doubling = np.minimum(done, landmarks)
    epochs: FloatArray = (2.0**doubling - 1.0) * 2.0 ** (1 - landmarks) + (done - doubling)
    return epochs


def usual_length(landmarks: int = LANDMARKS) -> int:
    """Landmark steps of a curve, before any has ended."""
    return landmarks + FURTHER_EPOCHS


@dataclass(frozen=True, kw_only=True)
class ExpectedCost:
    """Expected length and remaining cost of m candidates.

    Attributes:
        steps: (m,) landmark steps at the end of the curve; those done, where it is complete.
        epochs: (m,) epochs' worth of rows still to train on.
        epoch_seconds: (m,) training seconds of a full epoch.
        remaining_seconds: (m,) of all the steps left.
        relative_epoch: (m,) operations of an epoch relative to each other; their median where unknown.
    """

    steps: FloatArray
    epochs: FloatArray
    epoch_seconds: FloatArray
    remaining_seconds: FloatArray
    relative_epoch: FloatArray


def expected_cost(observation: Observation) -> ExpectedCost:
    """From the steps' seconds so far, the expected operations, and the lengths of the curves that have ended."""
    done = np.maximum(observation.steps, 0).astype(np.float64)
    steps = _expected_steps(observation, done)
    relative = _without_nan(observation.epoch_cost)
    clocks = observation.step_seconds
    fixed = np.array([clock[0] if clock else 0.0 for clock in clocks])
    spent = np.array([sum(clock[1:]) for clock in clocks])
    trained = np.maximum(spent - done * fixed, 0.0)
    epochs_done = epochs_after(done, observation.landmarks)
    epoch_seconds = shrunken_rate(trained, epochs_done, relative, default=_default_rate(fixed, relative))
    epochs = epochs_after(steps, observation.landmarks) - epochs_done
    return ExpectedCost(
        steps=steps,
        epochs=epochs,
        epoch_seconds=epoch_seconds,
        remaining_seconds=(steps - done) * fixed + epochs * epoch_seconds,
        relative_epoch=relative,
    )


def shrunken_rate(
    total: FloatArray, epochs: FloatArray, relative: FloatArray, *, default: float
) -> FloatArray:
    """(m,) what an epoch adds to a total, each candidate's own clock leaning on the others'.

    Args:
        total: (m,) what training has added so far.
        epochs: (m,) epochs trained; 0 where nothing is known.
        relative: (m,) operations of an epoch.
        default: per operation, while nobody has trained.
    """
    operations = float((epochs * relative).sum())
    pooled = float(total[epochs > 0].sum()) / operations if operations > 0.0 else default
    return np.where(epochs > 0, total, 0.0) / (epochs + _TRUST) + pooled * relative * _TRUST / (
        epochs + _TRUST
    )


def _expected_steps(observation: Observation, done: FloatArray) -> FloatArray:
    ended = done[observation.complete]
    mean = (usual_length(observation.landmarks) + ended.sum()) / (1 + len(ended))
    steps: FloatArray = np.where(observation.complete, done, np.maximum(mean, done + 1.0))
    return steps


def _default_rate(fixed: FloatArray, relative: FloatArray) -> float:
    seconds, operations = float(fixed.sum()), float(relative.sum())
    return _EPOCH_TO_ZERO_SHOT * seconds / operations if seconds > 0.0 and operations > 0.0 else 1.0


def _without_nan(cost: FloatArray) -> FloatArray:
    known = cost[~np.isnan(cost)]
    return np.where(np.isnan(cost), np.median(known) if len(known) else 1.0, cost)

"""A search of K landmarks seen as one of another K, for policies that were trained with that.

Doubling subsets are nested, so that the largest ones of K landmarks are those of a smaller K: landmarks are alike when
they are counted from the last one. What one search has and the other has not are the smallest subsets, which see hardly
a row.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from lamps_core.policies.protocol import Observation
    from lamps_core.task import FloatArray


def with_landmarks(observation: Observation, landmarks: int) -> Observation:
    """The same search as one of so many landmarks would see it; as it is where it has so many.

    Args:
        observation: of a search; not changed.
        landmarks: K of the other.
    """
    missing = landmarks - observation.landmarks
    if missing < 0:
        return _without_smallest(observation, -missing)
    return _with_smaller(observation, missing) if missing else observation


def _without_smallest(observation: Observation, left_out: int) -> Observation:
    """Without so many of the smallest subsets.

    A candidate that is among them stands at its zero-shot evaluation until it is past them. Their seconds count to the
    first step that is kept.
    """
    kept = [
        _kept_rows(step, complete, left_out)
        for step, complete in zip(observation.steps.tolist(), observation.complete.tolist(), strict=True)
    ]
    curves = tuple(curve[rows] for curve, rows in zip(observation.curves, kept, strict=False))
    objectives = observation.objectives
    if curves:
        last = [curve[-1] if len(curve) else now for curve, now in zip(curves, objectives, strict=True)]
        objectives = np.array(last, dtype=objectives.dtype).reshape(objectives.shape)
    return replace(
        observation,
        landmarks=observation.landmarks - left_out,
        steps=np.array([len(rows) - 1 for rows in kept], dtype=observation.steps.dtype),
        objectives=objectives,
        curves=curves,
        losses=tuple(
            tuple(losses[row] for row in rows) for losses, rows in zip(observation.losses, kept, strict=True)
        ),
        step_seconds=tuple(
            _merged(seconds, rows) for seconds, rows in zip(observation.step_seconds, kept, strict=True)
        ),
    )


def _kept_rows(step: int, complete: bool, left_out: int) -> list[int]:
    """The rows of a curve up to a step that are kept; the end of a complete one always is."""
    if step > 0 and complete:
        left_out = min(left_out, step - 1)
    return [row for row in range(step + 1) if row == 0 or row > left_out]


def _merged(seconds: tuple[float, ...], rows: list[int]) -> tuple[float, ...]:
    """Seconds of each row that is kept and of those left out before it."""
    return tuple(sum(seconds[before + 1 : row + 1]) for before, row in zip([-1, *rows], rows, strict=False))


def _with_smaller(observation: Observation, more: int) -> Observation:
    """With so many subsets more before the first one, on the way from the zero-shot evaluation to it.

    Values and seconds of the first step are shared out among them evenly.
    """
    return replace(
        observation,
        landmarks=observation.landmarks + more,
        steps=np.where(observation.steps > 0, observation.steps + more, observation.steps),
        curves=tuple(_filled(curve, more) for curve in observation.curves),
        losses=tuple(tuple(_filled(np.array(losses), more).tolist()) for losses in observation.losses),
        step_seconds=tuple(_shared_out(seconds, more) for seconds in observation.step_seconds),
    )


def _filled(curve: FloatArray, more: int) -> FloatArray:
    """A curve with so many rows more between its first two, if it has two."""
    if len(curve) < 2:
        return curve
    return np.concatenate([curve[:1], np.linspace(curve[0], curve[1], more + 2)[1:-1], curve[1:]])


def _shared_out(seconds: tuple[float, ...], more: int) -> tuple[float, ...]:
    """Seconds of each row, those of the second shared with so many rows more before it, if there are two."""
    if len(seconds) < 2:
        return seconds
    return (seconds[0], *[seconds[1] / (more + 1)] * (more + 1), *seconds[2:])

"""What tells one meta-dataset from another, as sixteen hex digits.

Owns what counts as another one: for the card of a policy, and for work that goes on where it was left. Knows nothing
of either.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import fields
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from lamps_core.task import Task

_ALONG_THE_CURVES = ("rows", "complete", "values", "step_seconds")  # arrays of a task


def objectives_fingerprint(tasks: Sequence[Task]) -> str:
    """Changes when the objectives along the curves do, or the seconds of the steps: what the card of a policy holds.

    Args:
        tasks: in any order.
    """
    return _digest(_told(tasks, _ALONG_THE_CURVES))


def curves_fingerprint(tasks: Sequence[Task]) -> str:
    """Changes when anything does that is known of the curves; losses, sizes and expected costs as well.

    An interrupted evaluation or training goes on with the same alone.

    Args:
        tasks: in any order.
    """
    arrays = [one.name for one in fields(tasks[0]) if isinstance(getattr(tasks[0], one.name), np.ndarray)]
    unknown = (_bytes(np.isnan(getattr(task, name))) for task in _sorted(tasks) for name in arrays)
    return _digest([*_told(tasks, arrays), *unknown])


def _told(tasks: Sequence[Task], arrays: Sequence[str]) -> Iterator[bytes]:
    for task in _sorted(tasks):
        columns = [one.column for one in task.objectives]
        yield json.dumps([task.dataset, task.seed, task.source, task.candidates, columns]).encode()
        yield from (_bytes(np.nan_to_num(getattr(task, name))) for name in arrays)


def _sorted(tasks: Sequence[Task]) -> list[Task]:
    return sorted(tasks, key=lambda one: (one.dataset, one.seed))


def _bytes(array: np.ndarray) -> bytes:
    return np.ascontiguousarray(array).tobytes()


def _digest(parts: Iterable[bytes]) -> str:
    told = hashlib.sha256()
    for part in parts:
        told.update(part)
    return told.hexdigest()[:16]

"""Fingerprints of a meta-dataset: sixteen hex digits that change when it does.

Owns what counts as a change: for the card of a policy, and for interrupted work that resumes. Knows nothing of either.
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
    """Hash of the objective values and step seconds of all curves; policy cards store it as `meta_dataset`.

    Args:
        tasks: in any order.
    """
    return _digest(_told(tasks, _ALONG_THE_CURVES))


def curves_fingerprint(tasks: Sequence[Task]) -> str:
    """Hash of every array of every task; an interrupted run resumes only if it is unchanged.

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

"""Prefect task of an evaluation: one method on one held-out dataset."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from prefect import task

from lamps_core.evaluation.unit import Unit
from lamps_core.evaluation.worker import workers_of
from tasks.retries import RETRIED


@task(name="evaluate-method", task_run_name="{unit.name}", **RETRIED)
def evaluate_unit(unit: Unit, key: str, evaluation: str, folder: Path) -> dict[str, Any]:
    """Train a method where it is to be trained, and replay it, in a process of its own.

    Args:
        unit: the method, the dataset, the repeats.
        key: of the unit, under which its progress is told.
        evaluation: names the processes of this evaluation.
        folder: of a training's checkpoints: a training that was killed goes on from there.

    Returns:
        The unit's part of `evaluation.json`.

    Raises:
        BadInput: the method does not fit the dataset; not retried.
        LampsError: it failed, and would again; not retried.
        WorkerDied: its process died; retried with back-off.
    """
    return workers_of(evaluation).run(unit, key=key, folder=folder)

"""Prefect tasks of a search or a campaign: one landmark step, and the export of a complete candidate."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from prefect import task
from prefect.cache_policies import NO_CACHE
from prefect.tasks import exponential_backoff

from lamps_core.errors import LampsError, WorkerDied
from lamps_core.execution import execution_of
from lamps_core.steps import ExportRequest, StepRequest

if TYPE_CHECKING:
    from prefect.client.schemas.objects import State, TaskRun
    from prefect.tasks import Task


RETRIES = 2


def worth_another_try(_: Task[..., Any], __: TaskRun, state: State[Any]) -> bool:
    """A dead worker may live the next time; a candidate that failed for a reason will fail again."""
    return isinstance(state.data, WorkerDied) or not isinstance(state.data, LampsError)


RETRIED: dict[str, Any] = {
    "retries": RETRIES,
    "retry_delay_seconds": exponential_backoff(backoff_factor=1),
    "retry_condition_fn": worth_another_try,
    # Records on disk decide what is done; nothing is pickled between processes or runs.
    "cache_policy": NO_CACHE,
    "persist_result": False,
}


@task(
    name="landmark-step",
    task_run_name="{candidate} step {step}",
    **RETRIED,
)
def fine_tune_step(candidate: str, step: int, request: StepRequest) -> dict[str, Any]:
    """One landmark step of one candidate on one device.

    Args:
        candidate: its name, for the run's name.
        step: 0 is the zero-shot evaluation.
        request: all the worker needs.

    Returns:
        The step's record: a row of the curves.

    Raises:
        CandidateFailed: it can never be done; not retried.
        WorkerDied: its process died; retried with back-off.
        BudgetSpent: it was stopped when the budget ran out; not retried.
    """
    return execution_of(request.work_folder).run_step(request)


@task(
    name="export-model",
    task_run_name="export {candidate}",
    **RETRIED,
)
def export_model(candidate: str, request: ExportRequest) -> dict[str, Any]:
    """Save a front model as a folder that `transformers` loads.

    Returns:
        What the held-out test split gave, or nothing where there is none.

    Raises:
        CandidateFailed: its checkpoint is gone; not retried.
        WorkerDied: its process died; retried with back-off.
    """
    return execution_of(request.last.work_folder).export(request)

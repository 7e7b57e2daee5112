"""Prefect tasks of a search or a campaign: one landmark step, and the export of a complete candidate."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from prefect import task
from prefect.cache_policies import NO_CACHE

from lamps_core.campaign_step import Keep, run_and_keep
from lamps_core.errors import HubFailed, LampsError, WorkerDied
from lamps_core.execution import execution_of
from lamps_core.steps import ExportRequest, StepRequest
from tasks.secrets import use_hub_token

if TYPE_CHECKING:
    from prefect.client.schemas.objects import State, TaskRun
    from prefect.tasks import Task


RETRIES = 2  # of a task whose process died
# Before each try of a task for which the hub failed: it may be silent for over a minute. Ctrl-C waits for one of them.
RETRY_DELAY_SECONDS = [1.0, 2.0, 4.0, 8.0, 10.0, 10.0, 10.0, 10.0, 10.0]
# A Dask worker outlives campaigns. With slots for each, what one left warm would hold its device through the next.
ANY_CAMPAIGN = "any campaign of this Dask worker"
SLOT = "GPU"  # the Dask resource that a worker has one of for each step it may run at once


def retries_after(error: object) -> int:
    """How often a task is tried again after an error.

    A dead worker may live the next time, the hub may answer after a while, an unknown error may pass; whatever LAMPS
    raises for another reason would be raised again.
    """
    if isinstance(error, HubFailed):
        return len(RETRY_DELAY_SECONDS)
    return RETRIES if isinstance(error, WorkerDied) or not isinstance(error, LampsError) else 0


def worth_another_try(_: Task[..., Any], task_run: TaskRun, state: State[Any]) -> bool:
    """Prefect's condition for a retry."""
    return task_run.run_count <= retries_after(state.data)


RETRIED: dict[str, Any] = {
    "retries": len(RETRY_DELAY_SECONDS),
    "retry_delay_seconds": RETRY_DELAY_SECONDS,
    "retry_condition_fn": worth_another_try,
    # Records on disk decide what is done; nothing is pickled between processes or runs.
    "cache_policy": NO_CACHE,
    "persist_result": False,
}


@task(
    name="landmark-step", task_run_name="{request.name} step {request.step} on {request.dataset}", **RETRIED
)
def fine_tune_step(
    request: StepRequest, keep: Keep | None = None, hub_token_block: str | None = None
) -> dict[str, Any]:
    """One landmark step of one candidate on one device, or on several that hold one candidate together.

    Args:
        request: all the worker needs.
        keep: where a campaign keeps the row; a search keeps it itself.
        hub_token_block: Prefect Secret block of the hub token, for a worker that has none in its environment.

    Returns:
        The step's record: a row of the curves.

    Raises:
        CandidateFailed: it can never be done; not retried.
        HubFailed: the hub failed or gave no answer; retried with back-off.
        StorageFailed: a disk is full or read-only; not retried.
        HostFailed: too few of the host's devices are left; not retried.
        WorkerDied: its process died; retried with back-off.
        BudgetSpent: it was stopped when the budget ran out; not retried.
    """
    if keep is None:
        return execution_of(request.slots_of).run_step(request)
    worker = _dask_worker()
    if worker is None:  # this is the flow's process, which has its token
        execution = execution_of(request.slots_of)
    else:
        use_hub_token(hub_token_block)
        slots = int(worker.state.total_resources.get(SLOT, 1))
        execution = execution_of(ANY_CAMPAIGN, parallel=slots)
    run = partial(execution.run_step, timeout_seconds=keep.step_timeout_seconds)
    record = run_and_keep(request, keep, run)
    return record | {"worker": worker.address if worker is not None else None}


@task(name="export-model", task_run_name="export {request.last.name}", **RETRIED)
def export_model(request: ExportRequest) -> dict[str, Any]:
    """Save a front model as a folder that `transformers` loads.

    Returns:
        What the held-out test split gave, or nothing where there is none.

    Raises:
        CandidateFailed: its checkpoint is gone; not retried.
        HubFailed: the hub failed or gave no answer; retried with back-off.
        WorkerDied: its process died; retried with back-off.
    """
    return execution_of(request.last.slots_of).export(request)


def _dask_worker() -> Any:
    """The Dask worker that this runs in, or None."""
    from distributed import get_worker

    try:
        return get_worker()
    except ValueError:  # in none
        return None

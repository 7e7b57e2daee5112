"""Prefect tasks of a search or a campaign: one landmark step, and the export of a complete candidate."""

from __future__ import annotations

from functools import partial
from typing import Any

from prefect import task

from lamps_core.campaign.step import StepDestination, run_and_keep
from lamps_core.fine_tuning.steps import ExportRequest, StepRequest
from lamps_core.workers.execution import execution_of
from tasks.retries import RETRIED
from tasks.secrets import use_hub_token

# A Dask worker outlives campaigns. With slots for each, what one left warm would hold its device through the next.
ANY_CAMPAIGN = "any campaign of this Dask worker"
SLOT = "GPU"  # the Dask resource that a worker has one of for each step it may run at once


@task(
    name="landmark-step", task_run_name="{request.name} step {request.step} on {request.dataset}", **RETRIED
)
def fine_tune_step(
    request: StepRequest, destination: StepDestination | None = None, hub_token_block: str | None = None
) -> dict[str, Any]:
    """One landmark step of one candidate on one device, or on several that hold one candidate together.

    Args:
        request: all the worker needs.
        destination: where a campaign keeps the row; a search keeps it itself.
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
    if destination is None:
        return execution_of(request.run_id).run_step(request)
    worker = _dask_worker()
    if worker is None:  # this is the flow's process, which has its token
        execution = execution_of(request.run_id)
    else:
        use_hub_token(hub_token_block)
        slots = int(worker.state.total_resources.get(SLOT, 1))
        execution = execution_of(ANY_CAMPAIGN, parallel=slots)
    run = partial(execution.run_step, timeout_seconds=destination.step_timeout_seconds)
    record = run_and_keep(request, destination, run)
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
    return execution_of(request.last.run_id).export(request)


def _dask_worker() -> Any:
    """The Dask worker that this runs in, or None."""
    from distributed import get_worker

    try:
        return get_worker()
    except ValueError:  # in none
        return None

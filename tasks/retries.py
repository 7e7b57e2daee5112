"""How often a task is tried again, and after how long: the same for every task that one process of ours does."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from prefect.cache_policies import NO_CACHE

from lamps_core.errors import HubFailed, LampsError, WorkerDied

if TYPE_CHECKING:
    from prefect.client.schemas.objects import State, TaskRun
    from prefect.tasks import Task

RETRIES = 2  # of a task whose process died
# Before each try of a task for which the hub failed: it may be silent for over a minute. Ctrl-C waits for one of them.
RETRY_DELAY_SECONDS = [1.0, 2.0, 4.0, 8.0, 10.0, 10.0, 10.0, 10.0, 10.0]


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

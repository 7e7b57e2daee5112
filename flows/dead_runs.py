"""Flow runs that were killed: Prefect shows them as running for ever, unless somebody says otherwise.

Searches, campaigns, fingerprints, trainings and evaluations hold the lock of their folder, so a run that finds itself
the holder knows that every other run on that folder is dead, of whatever flow, and whatever the server thinks.
"""

from __future__ import annotations

import logging
import socket
from pathlib import Path
from typing import TYPE_CHECKING, Any

from prefect import get_client
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterState, FlowRunFilterStateType
from prefect.client.schemas.objects import StateType
from prefect.context import FlowRunContext
from prefect.states import Crashed

if TYPE_CHECKING:
    from uuid import UUID

    from prefect.client.orchestration import SyncPrefectClient
    from prefect.client.schemas.objects import FlowRun

PAGE = 200  # the most that a server gives at once
LABEL = "lamps.folder"  # of a flow run: what it holds the lock of, a path or a URL, with its host

_logger = logging.getLogger(__name__)


def crash_dead_runs(folder: Path | str) -> None:
    """Mark the other running runs on a folder as Crashed; called by the holder of its lock.

    A relative path means another folder in another working directory, so a run's parameters do not say what it
    holds: each labels itself with that.

    Args:
        folder: a path or a URL.
    """
    context = FlowRunContext.get()
    if context is None or context.flow_run is None:
        return
    try:
        _crash(context.flow_run.id, _held(str(folder)))
    except Exception:  # a server that cannot be asked now must not end the work
        _logger.warning("older runs on %s could not be looked up", folder, exc_info=True)


def _crash(ours: UUID, held: str) -> None:
    running = FlowRunFilterState(type=FlowRunFilterStateType(any_=[StateType.RUNNING]))
    with get_client(sync_client=True) as client:
        client.update_flow_run_labels(ours, {LABEL: held})
        for other in _all_runs(client, FlowRunFilter(state=running)):
            if other.id != ours and other.labels.get(LABEL) == held:
                state: Any = Crashed(message="its process is gone: another run holds its folder")
                client.set_flow_run_state(other.id, state, force=True)


def _all_runs(client: SyncPrefectClient, wanted: FlowRunFilter) -> list[FlowRun]:
    """Every run, before any is changed, which would move the pages: a server gives a part of them at once."""
    runs: list[FlowRun] = []
    while found := client.read_flow_runs(flow_run_filter=wanted, limit=PAGE, offset=len(runs)):
        runs += found
    return runs


def _held(folder: str) -> str:
    # With the host: a lock on an object store says nothing of other hosts, and a path may be another folder there.
    place = folder if "://" in folder else Path(folder).expanduser().resolve()
    return f"{socket.gethostname()}:{place}"

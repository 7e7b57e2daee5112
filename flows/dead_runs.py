"""Flow runs that were killed: Prefect shows them as running for ever, unless somebody says otherwise.

A search and a campaign hold the lock of their folder, so a run that finds itself the holder knows that every
other run on that folder is dead, whatever the server thinks.
"""

from __future__ import annotations

import logging
import socket
from pathlib import Path
from typing import TYPE_CHECKING, Any

from prefect import get_client
from prefect.client.schemas.filters import (
    FlowFilter,
    FlowFilterName,
    FlowRunFilter,
    FlowRunFilterState,
    FlowRunFilterStateType,
)
from prefect.client.schemas.objects import StateType
from prefect.context import FlowRunContext
from prefect.states import Crashed

if TYPE_CHECKING:
    from uuid import UUID

LABEL = "lamps.folder"  # of a flow run: what it holds the lock of, a path or a URL, with its host

_logger = logging.getLogger(__name__)


def crash_dead_runs(folder: Path | str) -> None:
    """Mark the other running runs of this run's flow on a folder as Crashed; called by the holder of its lock.

    A relative path means another folder in another working directory, so a run's parameters do not say what it
    holds: each labels itself with that.

    Args:
        folder: a path or a URL.
    """
    context = FlowRunContext.get()
    if context is None or context.flow_run is None or context.flow is None:
        return
    try:
        _crash(context.flow.name, context.flow_run.id, _held(str(folder)))
    except Exception:  # a server that cannot be asked now must not end the work
        _logger.warning("older runs on %s could not be looked up", folder, exc_info=True)


def _crash(flow_name: str, ours: UUID, held: str) -> None:
    running = FlowRunFilterState(type=FlowRunFilterStateType(any_=[StateType.RUNNING]))
    with get_client(sync_client=True) as client:
        client.update_flow_run_labels(ours, {LABEL: held})
        others = client.read_flow_runs(
            flow_filter=FlowFilter(name=FlowFilterName(any_=[flow_name])),
            flow_run_filter=FlowRunFilter(state=running),
        )
        for other in others:
            if other.id != ours and other.labels.get(LABEL) == held:
                state: Any = Crashed(message="its process is gone: another run holds its folder")
                client.set_flow_run_state(other.id, state, force=True)


def _held(folder: str) -> str:
    # With the host: a lock on an object store says nothing of other hosts, and a path may be another folder there.
    place = folder if "://" in folder else Path(folder).expanduser().resolve()
    return f"{socket.gethostname()}:{place}"

"""Flow runs that were killed: Prefect shows them as running for ever, unless somebody says otherwise.

A search and a campaign hold the lock of their folder, so a run that finds itself the holder knows that every
other run on that folder is dead, whatever the server thinks.
"""

from __future__ import annotations

import logging
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

_logger = logging.getLogger(__name__)


def crash_dead_runs(parameter: str, folder: str) -> None:
    """Mark the other running runs of this run's flow on a folder as Crashed; called by the holder of its lock.

    Args:
        parameter: of the flow, that names the folder.
        folder: as this run was given it.
    """
    context = FlowRunContext.get()
    if context is None or context.flow_run is None or context.flow is None:
        return
    try:
        _crash(context.flow.name, context.flow_run.id, parameter, _absolute(folder))
    except Exception:  # a server that cannot be asked now must not end the work
        _logger.warning("older runs on %s could not be looked up", folder, exc_info=True)


def _crash(flow_name: str, ours: UUID, parameter: str, folder: str) -> None:
    running = FlowRunFilterState(type=FlowRunFilterStateType(any_=[StateType.RUNNING]))
    with get_client(sync_client=True) as client:
        others = client.read_flow_runs(
            flow_filter=FlowFilter(name=FlowFilterName(any_=[flow_name])),
            flow_run_filter=FlowRunFilter(state=running),
        )
        for other in others:
            if other.id != ours and _absolute(other.parameters.get(parameter)) == folder:
                state: Any = Crashed(message="its process is gone: another run holds its folder")
                client.set_flow_run_state(other.id, state, force=True)


def _absolute(folder: Any) -> str:
    text = str(folder)
    return text if "://" in text else str(Path(text).expanduser().absolute())

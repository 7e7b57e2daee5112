"""Flow runs as a real Prefect server knows them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import (
    ArtifactFilter,
    ArtifactFilterFlowRunId,
    FlowRunFilter,
    FlowRunFilterId,
)

from tests.searches import eventually

if TYPE_CHECKING:
    from uuid import UUID

    from prefect.client.schemas.objects import Artifact, TaskRun


@dataclass(frozen=True)
class FlowRecord:
    """A flow run as the server knows it.

    Attributes:
        state: its last state.
        tasks: name -> task run.
    """

    state: Any
    name: str
    tasks: dict[str, TaskRun]
    artifacts: list[Artifact]


def recorded(flow_run_id: UUID, tasks: int) -> FlowRecord:
    """What the server holds of a flow run; task runs reach it as events, a moment later."""
    with get_client(sync_client=True) as client:
        chosen = FlowRunFilter(id=FlowRunFilterId(any_=[flow_run_id]))

        def ended() -> list[TaskRun] | None:
            found = client.read_task_runs(flow_run_filter=chosen)
            final = [run for run in found if run.state is not None and run.state.is_final()]
            return final if len(final) >= tasks else None

        task_runs = eventually(ended, what=f"the record of {tasks} task runs") if tasks else []
        flow_run = client.read_flow_run(flow_run_id)
        by_run = ArtifactFilter(flow_run_id=ArtifactFilterFlowRunId(any_=[flow_run_id]))
        artifacts = client.read_artifacts(artifact_filter=by_run)
    return FlowRecord(flow_run.state, flow_run.name, {run.name: run for run in task_runs}, artifacts)

"""The automations of a Prefect server that watch the runs of the lamps deployments.

`python -m deployments.automations [--notify-block NAME]` makes them, or brings them up to date: they are known by
their names. One marks runs that nobody hears of any more as Crashed, the other tells people of failures.
"""

from __future__ import annotations

import sys
from datetime import timedelta
from typing import TYPE_CHECKING

import click
import httpx
from prefect import get_client
from prefect.client.schemas.objects import StateType
from prefect.events.actions import ChangeFlowRunState, SendNotification
from prefect.events.schemas.automations import AutomationCore, EventTrigger, Posture
from prefect.events.schemas.events import ResourceSpecification
from prefect.settings import PREFECT_API_URL

from lamps_core.errors import BadInput

if TYPE_CHECKING:
    from uuid import UUID

    from prefect.client.orchestration import SyncPrefectClient

TAG = "lamps"  # of every deployment in prefect.yaml, and so of its runs
ZOMBIES = "lamps: crash runs without a heartbeat"
FAILURES = "lamps: tell of failed runs"
HEARTBEAT_SECONDS = 60  # PREFECT_FLOWS_HEARTBEAT_FREQUENCY in prefect.yaml
SILENT_SECONDS = 300  # several heartbeats: a slow network is no death
LEAST_SILENT_SECONDS = 2 * HEARTBEAT_SECONDS

NOTICE = """\
{{ flow.name }} run {{ flow_run.name }} is {{ flow_run.state.name }}: {{ flow_run.state.message }}
{% if flow_run|ui_url %}{{ flow_run|ui_url }}{% endif %}
Run again with the same parameters, it goes on where it ended.
"""


def zombie_automation(silent_seconds: float) -> AutomationCore:
    """Mark a run as Crashed when its heartbeats stop without it having ended.

    Args:
        silent_seconds: how long nothing is heard of it.
    """
    heartbeat = "prefect.flow-run.heartbeat"
    ends = {f"prefect.flow-run.{state}" for state in ("Completed", "Failed", "Cancelled", "Crashed")}
    return AutomationCore(
        name=ZOMBIES,
        description="A killed process or a machine that is gone says nothing; its run would seem to run for ever.",
        trigger=EventTrigger(
            after={heartbeat},
            expect={heartbeat} | ends,
            match=ResourceSpecification({"prefect.resource.id": ["prefect.flow-run.*"]}),
            match_related=_tagged(),
            for_each={"prefect.resource.id"},
            posture=Posture.Proactive,
            threshold=1,
            within=timedelta(seconds=silent_seconds),
        ),
        actions=[
            ChangeFlowRunState(
                state=StateType.CRASHED,
                message=f"no heartbeat for {silent_seconds:g} s: its process or its machine is gone",
            )
        ],
    )


def failure_automation(block: UUID) -> AutomationCore:
    """Tell people when a run failed or crashed.

    Args:
        block: a notification block.
    """
    return AutomationCore(
        name=FAILURES,
        description="Says which run, why, and where to look.",
        trigger=EventTrigger(
            expect={"prefect.flow-run.Failed", "prefect.flow-run.Crashed"},
            match=ResourceSpecification({"prefect.resource.id": ["prefect.flow-run.*"]}),
            match_related=_tagged(),
            posture=Posture.Reactive,
            threshold=1,
            within=timedelta(0),
        ),
        actions=[
            SendNotification(
                block_document_id=block,
                subject="LAMPS: {{ flow_run.name }} is {{ flow_run.state.name }}",
                body=NOTICE,
            )
        ],
    )


def _tagged() -> ResourceSpecification:
    return ResourceSpecification(
        {"prefect.resource.role": "tag", "prefect.resource.id": f"prefect.tag.{TAG}"}
    )


def put(client: SyncPrefectClient, automation: AutomationCore) -> str:
    """Make an automation, or give the one of its name this definition; returns which was done."""
    found = client.read_automations_by_name(automation.name)
    for extra in found[1:]:
        client.delete_automation(extra.id)
    if found:  # one that somebody switched off stays so
        kept = automation.model_copy(update={"enabled": found[0].enabled})
        client.update_automation(found[0].id, kept)
        return "updated"
    client.create_automation(automation)
    return "created"


def notification_block(client: SyncPrefectClient, name: str) -> UUID:
    """The id of a notification block.

    Args:
        client: of the server.
        name: the block's, or `TYPE/NAME` where two types have one of this name.

    Raises:
        BadInput: there is none, or several.
    """
    kind, _, block = name.rpartition("/")
    found = [
        document
        for document in client.read_block_documents()
        if document.name == block
        and "notify" in (document.block_schema.capabilities if document.block_schema else ())
        and (not kind or (document.block_type and document.block_type.slug == kind))
    ]
    if not found:
        raise BadInput(f"there is no notification block {name}: make one in the UI under Blocks")
    if len(found) > 1:
        kinds = sorted(document.block_type.slug for document in found if document.block_type)
        raise BadInput(f"several notification blocks are called {name}: say which as {kinds[0]}/{name}")
    return found[0].id


@click.command(epilog="Example: python -m deployments.automations --notify-block slack-webhook/team")
@click.option(
    "--notify-block",
    help="Notification block (Slack, email, custom webhook ...) that is told of failed runs: NAME or TYPE/NAME.",
)
@click.option(
    "--silent-seconds",
    type=click.FloatRange(min=LEAST_SILENT_SECONDS),
    default=SILENT_SECONDS,
    show_default=True,
    help=f"Without a heartbeat for so long, a run is Crashed; the deployments send one in {HEARTBEAT_SECONDS} s.",
)
def main(notify_block: str | None, silent_seconds: float) -> None:
    """Make the automations for the lamps deployments on the server at PREFECT_API_URL, or bring them up to date."""
    try:
        with get_client(sync_client=True) as client:
            wanted = [zombie_automation(silent_seconds)]
            if notify_block is not None:
                wanted.append(failure_automation(notification_block(client, notify_block)))
            for automation in wanted:
                print(f"{put(client, automation)}: {automation.name}")
    except BadInput as error:
        print(error, file=sys.stderr)
        sys.exit(2)
    except httpx.TransportError as error:
        url = PREFECT_API_URL.value()
        print(
            f"no Prefect server answers at {url} ({error}): start it, or correct PREFECT_API_URL",
            file=sys.stderr,
        )
        sys.exit(1)
    if notify_block is None:
        print(f"left alone: {FAILURES}; it needs --notify-block NAME")


if __name__ == "__main__":
    main()

"""How a command runs its flow: beside a server, its input checked first, shown while it runs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lamps_cli.live import LiveDisplay
from lamps_cli.server import prefect_server
from lamps_core.progress import listening

if TYPE_CHECKING:
    from collections.abc import Callable

    from lamps_cli.live import View


def run_flow(
    flow: Callable[..., dict[str, Any]],
    parameters: dict[str, Any],
    *,
    check: Callable[[], object],
    view: View,
    cluster: str | None = None,
) -> dict[str, Any]:
    """Run a flow; that its input is wrong is said before anybody waits for a server.

    Args:
        flow: what is run.
        parameters: of the flow.
        check: makes every complaint about the input, while the server starts.
        view: how the flow's events are shown.
        cluster: address of a scheduler whose workers must reach the server too.

    Returns:
        What the flow came to.

    Raises:
        LampsError: as by `check`, by `prefect_server`, by its wait and by the flow.
    """
    with prefect_server(cluster=cluster) as wait_until_ready, LiveDisplay(view=view) as display:
        check()
        wait_until_ready()
        with listening(display.update):
            return flow(**parameters)

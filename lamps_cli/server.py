"""The Prefect server a command talks to: the user's where one is set, else a temporary one.

A temporary server takes 10 to 26 seconds to start, so it starts first and is waited for last.
"""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from typing import TYPE_CHECKING

from lamps_core.errors import BadInput, LampsError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

STARTUP_SECONDS = 180.0
POLL_SECONDS = 0.1
LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})

# Nobody is told of our users; and Prefect's own lines would tear the live display (its UI has them all).
QUIET = {
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "DO_NOT_TRACK": "1",
    "PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL": "CRITICAL",
}


def quieten_prefect() -> None:
    """Set what Prefect must know before it is imported; the user's own settings stand."""
    for name, value in QUIET.items():
        os.environ.setdefault(name, value)


@contextlib.contextmanager
def prefect_server(*, cluster: str | None = None) -> Iterator[Callable[[], None]]:
    """Have a Prefect server while the block runs.

    Args:
        cluster: address of a scheduler whose workers must reach the server too.

    Yields:
        A function that waits until the server answers and points this process at it.

    Raises:
        BadInput: a temporary server would not be reached from there.
    """
    from prefect.settings import get_current_settings

    url = get_current_settings().api.url
    if url is not None:
        yield lambda: _wait_for(str(url), None)
        return
    if cluster is not None and urllib.parse.urlsplit(cluster).hostname not in LOOPBACK:
        raise BadInput(
            f"the workers of {cluster} need a Prefect server that they can reach: start one with "
            "prefect server start --host ADDRESS, give it a password (docs/cluster.md) and set PREFECT_API_URL"
        )
    port = _free_port()
    process = subprocess.Popen(
        [sys.executable, "-m", "lamps_cli.server_process", str(port), str(os.getpid())],
        env=os.environ
        | {"PREFECT_UI_ENABLED": "0", "PREFECT__SERVER_EPHEMERAL": "1", "PREFECT__SERVER_FINAL": "1"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        yield lambda: _use(f"http://127.0.0.1:{port}/api", process)
    finally:
        _send_what_is_queued()
        _stop(process)


def read_hub_token(block: str | None) -> None:
    """Read the token of the hub as a flow will, for what a command asks the hub before its flow begins.

    A temporary server is not waited for: the flow reads the token then.

    Args:
        block: of Prefect that holds it; None or empty for `hf-token`, if there is such a block.

    Raises:
        BadInput: a named block is not there.
    """
    from prefect.settings import get_current_settings

    from tasks.secrets import VARIABLE, choose_hub_token

    url = get_current_settings().api.url
    if url is not None and not os.environ.get(VARIABLE) and _answers(str(url)):
        choose_hub_token(block or None)


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(f"{url}/health", timeout=5):  # noqa: S310 - the user's own setting
            return True
    except OSError:  # whoever waits for it says so
        return False


def _send_what_is_queued() -> None:
    """Prefect sends logs and events from threads of its own; they must be gone before their server is."""
    from prefect.events.worker import EventsWorker
    from prefect.logging.handlers import APILogHandler

    with contextlib.suppress(Exception):
        APILogHandler.flush()
    with contextlib.suppress(Exception):
        EventsWorker.drain_all(timeout=5)


def _use(url: str, process: subprocess.Popen[bytes]) -> None:
    from prefect.context import refresh_global_settings_context

    print("waiting for a temporary Prefect server ...", file=sys.stderr)
    _wait_for(url, process)
    os.environ["PREFECT_API_URL"] = url
    refresh_global_settings_context()


def _wait_for(url: str, process: subprocess.Popen[bytes] | None) -> None:
    deadline = time.monotonic() + (STARTUP_SECONDS if process is not None else 10.0)
    while True:
        try:
            with urllib.request.urlopen(f"{url}/health", timeout=5):  # noqa: S310 - the user's own setting
                return
        except (urllib.error.URLError, OSError) as error:
            if process is not None and process.poll() is not None:
                raise LampsError("the temporary Prefect server did not start: see lamps doctor") from error
            if time.monotonic() > deadline:
                mend = "start it, or unset PREFECT_API_URL for a temporary one"
                raise LampsError(f"no Prefect server answers at {url}: {mend}") from error
        time.sleep(POLL_SECONDS)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(timeout=5)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()

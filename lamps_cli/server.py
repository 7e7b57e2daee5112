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
import urllib.parse
import urllib.request
from typing import TYPE_CHECKING

from lamps_core.errors import BadInput, LampsError, without_credentials
from lamps_core.host.reachability import ask

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

STARTUP_SECONDS = 180.0
ANSWER_SECONDS = 10.0  # in which the user's own server must answer
POLL_SECONDS = 0.1
LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})

# Nobody is told of our users; and Prefect's own lines would tear the live display (its UI has them all).
QUIET = {
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "DO_NOT_TRACK": "1",
    "PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL": "CRITICAL",
    "PREFECT_LOGGING_INTERNAL_LEVEL": "CRITICAL",
}


def quieten_prefect() -> None:
    """Set what Prefect must know before it is imported; the user's own settings stand."""
    for name, value in QUIET.items():
        os.environ.setdefault(name, value)


class ServerGone(LampsError):
    """The Prefect server that a run was to tell its end answers no more."""


@contextlib.contextmanager
def prefect_server(*, cluster: str | None = None) -> Iterator[Callable[[], None]]:
    """Have a Prefect server while the block runs.

    Args:
        cluster: address of a scheduler whose workers must reach the server too.

    Yields:
        A function that waits until the server answers and points this process at it.

    Raises:
        BadInput: PREFECT_API_URL is no address, or a temporary server would not be reached from there.
        ServerGone: it stopped answering meanwhile.
    """
    users = _url_that_is_set()
    if users is not None:
        named = without_credentials(users)
        with _gone_told(users, f"the Prefect server at {named} does not answer any more: start it, and"):
            yield lambda: _wait_for(users, None)
        return
    if cluster and urllib.parse.urlsplit(cluster).hostname not in LOOPBACK:
        raise BadInput(
            f"the workers of {cluster} need a Prefect server that they can reach: start one with "
            "prefect server start --host ADDRESS, give it a password (docs/cluster.md) and set PREFECT_API_URL"
        )
    port = _free_port()
    process = subprocess.Popen(
        [sys.executable, "-P", "-m", "lamps_cli.server_process", str(port), str(os.getpid())],
        env=os.environ
        | {"PREFECT_UI_ENABLED": "0", "PREFECT__SERVER_EPHEMERAL": "1", "PREFECT__SERVER_FINAL": "1"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    url = f"http://127.0.0.1:{port}/api"
    try:
        with _gone_told(url, "the temporary Prefect server ended:"):
            yield lambda: _use(url, process)
    finally:
        _send_what_is_queued()
        _stop(process)


@contextlib.contextmanager
def _gone_told(url: str, told: str) -> Iterator[None]:
    try:
        yield
    except Exception as error:
        import httpx

        # The client of the hub raises the same.
        if not isinstance(error, httpx.TransportError) or not str(error.request.url).startswith(url):
            raise
        raise ServerGone(f"{told} run the same command again; what is done is kept") from error


def read_hub_token(block: str | None) -> None:
    """Read the token of the hub as a flow will, for what a command asks the hub before its flow begins.

    A temporary server is not waited for: the flow reads the token then.

    Args:
        block: of Prefect that holds it; None or empty for `hf-token`, if there is such a block.

    Raises:
        BadInput: PREFECT_API_URL is no address, or a named block is not there.
    """
    from tasks.secrets import VARIABLE, choose_hub_token

    url = _url_that_is_set()
    # Where it does not answer, whoever waits for it says so.
    if url is not None and not os.environ.get(VARIABLE) and _answers(url):
        choose_hub_token(block or None)


def _url_that_is_set() -> str | None:
    """The address of the user's server, if there is one; no proxy is between us and this machine from here on.

    Raises:
        BadInput: it is no address.
    """
    from prefect.settings import get_current_settings

    _pass_proxies_by()
    url = str(get_current_settings().api.url or "")
    if not url:
        return None
    with contextlib.suppress(ValueError):  # of a port or a host that can be none
        parts = urllib.parse.urlsplit(url)
        host = (parts.hostname or "").encode("idna")
        plain = url.isascii() and url.isprintable() and " " not in url
        if parts.scheme in {"http", "https"} and host and parts.port != 0 and plain:
            return url
    raise BadInput(f"PREFECT_API_URL must be like http://HOST:4200/api, not {without_credentials(url)}")


def _pass_proxies_by() -> None:
    """Have this machine asked without a proxy, by us and by the libraries of Prefect, which read the same variables."""
    missing = [host for host in ("127.0.0.1", "localhost") if not urllib.request.proxy_bypass(host)]
    if missing:
        kept = urllib.request.getproxies_environment().get("no")
        value = ",".join([kept, *missing] if kept else missing)
        os.environ |= {"no_proxy": value, "NO_PROXY": value}


def _answers(url: str) -> bool:
    """Whether a server says that it is well."""
    return ask(f"{url.rstrip('/')}/health", method="GET")[0]


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
    deadline = time.monotonic() + (STARTUP_SECONDS if process is not None else ANSWER_SECONDS)
    while not _answers(url):
        late = time.monotonic() > deadline
        if process is not None and (late or process.poll() is not None):
            raise LampsError("the temporary Prefect server did not start: see lamps doctor")
        if late:
            mend = "start it, or correct PREFECT_API_URL, or unset it for a temporary one"
            raise LampsError(f"no Prefect server answers at {without_credentials(url)}: {mend}")
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

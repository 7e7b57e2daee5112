"""One real Prefect server for all tests of a pytest session that talk to one."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from typing import TYPE_CHECKING

import pytest

from tests.searches import eventually

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

STARTUP_SECONDS = 180.0
RUNNING = pytest.StashKey[str]()


@pytest.fixture(scope="session")
def prefect_url(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The API of a server on the loopback address, its database in a folder of this test run.

    Each conftest that imports this fixture has one of its own, so the server is kept with the session.
    """
    stash = request.config.stash
    if RUNNING not in stash:
        stash[RUNNING] = start_server(tmp_path_factory.mktemp("prefect"), request.config.add_cleanup)
    return stash[RUNNING]


def start_server(home: Path, add_cleanup: Callable[[Callable[[], None]], None]) -> str:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environment = {key: value for key, value in os.environ.items() if not key.startswith("PREFECT_")}
    environment |= {
        "PREFECT_HOME": str(home),
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "PREFECT_UI_ENABLED": "0",
        "DO_NOT_TRACK": "1",
    }
    with (home / "server.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "lamps_cli.server_process", str(port), str(os.getpid())],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    add_cleanup(lambda: _stop(process))
    url = f"http://127.0.0.1:{port}/api"
    eventually(lambda: _answers(url, process), seconds=STARTUP_SECONDS, what="a Prefect server's start")
    return url


def _answers(url: str, process: subprocess.Popen[bytes]) -> bool:
    assert process.poll() is None, f"the Prefect server ended with exit code {process.returncode}"
    try:
        with urllib.request.urlopen(f"{url}/health", timeout=5):
            return True
    except (urllib.error.URLError, OSError):
        return False


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    process.wait()

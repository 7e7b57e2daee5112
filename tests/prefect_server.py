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
    from collections.abc import Mapping
    from pathlib import Path

STARTUP_SECONDS = 180.0
WITH_UI = {"PREFECT_UI_ENABLED": "1"}
RUNNING = pytest.StashKey[str]()


@pytest.fixture(scope="session")
def prefect_url(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The API of a server on the loopback address, its database in a folder of this test run.

    Each conftest that imports this fixture has one of its own, so the server is kept with the session.
    """
    stash = request.config.stash
    if RUNNING not in stash:
        server = PrefectServer(tmp_path_factory.mktemp("prefect"))
        server.start()
        request.config.add_cleanup(server.kill)
        stash[RUNNING] = server.url
    return stash[RUNNING]


class PrefectServer:
    """A server that can be killed and started again on its port and its database."""

    def __init__(self, home: Path, *, environment: Mapping[str, str] | None = None) -> None:
        self._home = home
        self._environment = dict(environment or {})
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self._port = probe.getsockname()[1]
        self.url = f"http://127.0.0.1:{self._port}/api"

    def start(self) -> None:
        """Start it, and wait until it answers."""
        environment = {key: value for key, value in os.environ.items() if not key.startswith("PREFECT_")}
        environment |= {
            "PREFECT_HOME": str(self._home),
            "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
            "PREFECT_UI_ENABLED": "0",
            "PREFECT_UI_API_URL": self.url,
            "PREFECT_UI_URL": self.url.removesuffix("/api"),
            "DO_NOT_TRACK": "1",
        } | self._environment
        with (self._home / "server.log").open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "lamps_cli.server_process", str(self._port), str(os.getpid())],
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        eventually(self._answers, seconds=STARTUP_SECONDS, what="a Prefect server's start")

    def kill(self) -> None:
        """SIGKILL."""
        self._process.kill()
        self._process.wait()

    def _answers(self) -> bool:
        code = self._process.poll()
        assert code is None, f"the Prefect server ended with exit code {code}"
        try:
            with urllib.request.urlopen(f"{self.url}/health", timeout=30):
                return True
        except (urllib.error.URLError, OSError):
            return False

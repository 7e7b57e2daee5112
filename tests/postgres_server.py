"""A real PostgreSQL on a Unix socket, from the system's packages, that can be killed and started again."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.lamps_command import kill_family
from tests.searches import eventually

if TYPE_CHECKING:
    from types import TracebackType

DATABASE = "prefect"


def postgres_programs() -> Path:
    """The folder of `initdb` and `postgres`; skips the test where there is none."""
    on_path = shutil.which("postgres")
    found = sorted(
        Path("/usr/lib/postgresql").glob("*/bin/postgres")
    )  # where Debian puts them, and no path leads
    if on_path:
        found.append(Path(on_path).resolve())
    if not found:
        pytest.skip("PostgreSQL is not installed here (apt-get install postgresql)")
    return found[-1].parent


class PostgresServer:
    """Use as a context manager. PostgreSQL refuses to run as root: then it is user `nobody`'s."""

    def __init__(self) -> None:
        self._programs = postgres_programs()
        self._user = "nobody" if os.geteuid() == 0 else None
        self._owner = pwd.getpwnam("nobody").pw_name if self._user else pwd.getpwuid(os.geteuid()).pw_name
        # pytest's own folders are closed to other users.
        self._folder = Path(tempfile.mkdtemp(prefix="lamps-postgres-"))
        if self._user:
            shutil.chown(self._folder, self._user)
        self.url = f"postgresql+asyncpg://{self._owner}@/{DATABASE}?host={self._folder}"

    def __enter__(self) -> PostgresServer:
        data = str(self._folder / "data")
        self._run("initdb", "-D", data, "--auth", "trust", "--username", self._owner, "--no-sync")
        self.start()
        self._run("createdb", "-h", str(self._folder), DATABASE)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill()
        shutil.rmtree(self._folder, ignore_errors=True)

    def start(self) -> None:
        """Start it, and wait until it answers; after a kill it first recovers what was committed."""
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [
                    str(self._programs / "postgres"), "-D", str(self._folder / "data"), "-k", str(self._folder),
                    "-c", "listen_addresses=",
                ],
                user=self._user, cwd=self._folder, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            )  # fmt: skip
        eventually(self._answers, what="PostgreSQL's start")

    def kill(self) -> None:
        """SIGKILL to it and all of its processes."""
        kill_family(self._process.pid)
        self._process.wait()

    def ask(self, query: str) -> list[str]:
        """The lines that a query gives."""
        return self._run("psql", "-h", str(self._folder), "-d", DATABASE, "-Atc", query).splitlines()

    def _answers(self) -> bool:
        assert self._process.poll() is None, (self._folder / "log").read_text()
        ready = [str(self._programs / "pg_isready"), "-h", str(self._folder)]
        return subprocess.run(ready, capture_output=True, check=False).returncode == 0

    def _run(self, program: str, *arguments: str) -> str:
        ran = subprocess.run(
            [str(self._programs / program), *arguments],
            user=self._user, cwd=self._folder, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert ran.returncode == 0, ran.stderr
        return ran.stdout

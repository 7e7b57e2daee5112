"""A real Dask cluster on this machine: a scheduler and workers, each a process of its own in a folder of its own."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from tests.lamps_command import kill_family
from tests.searches import eventually

if TYPE_CHECKING:
    from types import TracebackType

DASK = Path(sys.executable).with_name("dask")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass
class DaskCluster:
    """Use as a context manager; everything is killed at its end.

    `scratch` gives each worker a scratch folder of its own, as on hosts that share no fast disk; `gpus` is how many
    device slots each worker has.
    """

    folder: Path
    workers: int = 2
    scratch: bool = True
    gpus: int = 1
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.port = free_port()
        self.address = f"tcp://127.0.0.1:{self.port}"

    def __enter__(self) -> DaskCluster:
        self._start(
            "scheduler", "scheduler", "--host", "127.0.0.1", "--port", str(self.port), "--no-dashboard"
        )
        for number in range(self.workers):
            self.start_worker(number)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for process in self.processes.values():
            kill_family(process.pid)
            process.wait()

    def start_worker(self, number: int) -> None:
        slots = ["--resources", f"GPU={self.gpus}"]
        options = ["--nworkers", "1", "--nthreads", "1", *slots, "--memory-limit", "0"]
        self._start(f"worker{number}", "worker", self.address, *options, "--no-dashboard")

    def kill(self, name: str) -> None:
        """kill -9 of a worker, its nanny and all they started."""
        process = self.processes.pop(name)
        kill_family(process.pid)
        process.wait()

    def ready(self) -> int:
        """How many workers the scheduler knows."""
        from distributed import Client

        with Client(self.address, set_as_default=False) as client:
            eventually(
                lambda: len(client.scheduler_info(n_workers=-1)["workers"]) >= self.workers,
                what="the workers' start",
            )
            return len(client.scheduler_info(n_workers=-1)["workers"])

    def _start(self, name: str, *command: str) -> None:
        home = self.folder / name
        home.mkdir(parents=True, exist_ok=True)
        kept = {key: value for key, value in os.environ.items() if not key.startswith("PREFECT_")}
        own = {"LAMPS_SCRATCH": str(home / "scratch")} if self.scratch and name != "scheduler" else {}
        with (home / "log").open("ab") as log:
            self.processes[name] = subprocess.Popen(
                [str(DASK), *command],
                cwd=home,
                env=kept | own | {"PREFECT_HOME": str(home / "prefect")},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

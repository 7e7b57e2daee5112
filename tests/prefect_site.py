"""A site as `deployments/README.md` sets it up: the flows deployed on a real server, and a real process worker."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx

from tests.lamps_command import environment, family, kill_family
from tests.searches import eventually

if TYPE_CHECKING:
    from types import TracebackType

    import psutil

CHECKOUT = Path(__file__).parents[1]
PREFECT = Path(sys.executable).with_name("prefect")
POOL = "lamps"
HOOK_SECONDS = 240.0


@dataclass
class PrefectSite:
    """A person's machine with a Prefect server at `url`, whose client settings lie in `home`.

    As a context manager it is entered with the flows deployed, and left with every worker killed.
    """

    url: str
    home: Path
    workers: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def __enter__(self) -> PrefectSite:
        if self.api("GET", f"/work_pools/{POOL}").status_code == 404:
            self.prefect("work-pool", "create", POOL, "--type", "process")
        self.prefect("deploy", "--all")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for worker in self.workers:
            kill_family(worker.pid)
            worker.wait()

    @property
    def _environment(self) -> dict[str, str]:
        # A worker looks for runs every ten seconds by default, and for cancelled ones, too.
        return environment(self.home, self.url) | {"PREFECT_WORKER_QUERY_SECONDS": "1"}

    def prefect(self, *arguments: str) -> str:
        """What a `prefect` command in the checkout prints."""
        ran = self._run(str(PREFECT), "--no-prompt", *arguments)
        assert ran.returncode == 0, ran.stdout + ran.stderr
        return ran.stdout

    def automations(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """`python -m deployments.automations`, run to its end."""
        return self._run(sys.executable, "-m", "deployments.automations", *arguments)

    def _run(self, *command: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command,
            cwd=CHECKOUT,
            env=self._environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=HOOK_SECONDS,
            check=False,
        )

    def start_worker(self) -> subprocess.Popen[bytes]:
        """A process worker of the pool; its log is `worker.log` in the home."""
        self.home.mkdir(parents=True, exist_ok=True)
        with (self.home / "worker.log").open("ab") as log:
            worker = subprocess.Popen(
                [str(PREFECT), "worker", "start", "--pool", POOL],
                cwd=self.home,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self.workers.append(worker)
        return worker

    def api(self, method: str, path: str, body: Any = None) -> httpx.Response:
        """An answer; one that only says that the database is locked is asked for again, as Prefect's client does."""

        def answered() -> httpx.Response | None:
            told = httpx.request(method, self.url + path, json=body, timeout=120)
            return None if told.status_code == httpx.codes.SERVICE_UNAVAILABLE else told

        found: httpx.Response = eventually(answered, what=f"an answer to {method} {path}")
        return found

    def deployment(self, name: str) -> dict[str, Any]:
        found: dict[str, Any] = self.api("GET", f"/deployments/name/{name}/{name}").json()
        return found

    def submit(self, name: str, **parameters: Any) -> httpx.Response:
        """Ask for a run with these parameters, as the form does."""
        return self.api(
            "POST", f"/deployments/{self.deployment(name)['id']}/create_flow_run", {"parameters": parameters}
        )

    def run(self, flow_run_id: str) -> dict[str, Any]:
        found: dict[str, Any] = self.api("GET", f"/flow_runs/{flow_run_id}").json()
        return found

    def state(self, flow_run_id: str) -> str:
        """Its type: SCHEDULED, RUNNING, COMPLETED, ..."""
        return str(self.run(flow_run_id)["state"]["type"])

    def wait_for(self, flow_run_id: str, *states: str, seconds: float = 180.0) -> dict[str, Any]:
        """The run, once it is in one of these states."""

        def there() -> bool:
            state = self.state(flow_run_id)
            final = state in {"COMPLETED", "FAILED", "CRASHED", "CANCELLED"}
            assert state in states or not final, self.run(flow_run_id)["state"]
            return state in states

        eventually(there, seconds=seconds, what=f"state {' or '.join(states)}")
        return self.run(flow_run_id)


def flow_processes(worker: subprocess.Popen[bytes]) -> list[psutil.Process]:
    """All that a worker started: the process of the flow, and what fine-tunes below it."""
    return family(worker.pid)[1:]

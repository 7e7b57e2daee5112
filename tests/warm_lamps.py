"""Short runs of the `lamps` command, each a fork of one process that has imported what the command imports.

Starting Python and importing Prefect is nine tenths of a command that is refused, and many are refused in the tests.
That the installed command does the same from a cold start is shown by those that run it.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lamps_cli.server import quieten_prefect
from tests.lamps_command import environment

if TYPE_CHECKING:
    from types import TracebackType

WARM = (
    "datasets",
    "flows.campaign",
    "flows.evaluate",
    "flows.search",
    "flows.train_policy",
    "lamps_core.campaign_run",
    "lamps_core.search_run",
)
CHECKOUT = Path(__file__).parents[1]


class WarmLamps:
    """Runs one command after another. Use as a context manager."""

    def __enter__(self) -> WarmLamps:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.warm_lamps"],
            cwd=CHECKOUT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.kill()
        self._process.wait()

    def __call__(
        self, *arguments: str, cwd: Path, prefect_url: str | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run a command to its end, as `lamps_command.lamps` does."""
        home = cwd / "prefect-home"
        home.mkdir(exist_ok=True)
        told = {
            "arguments": arguments,
            "cwd": str(cwd),
            "environment": environment(home, prefect_url),
            "stdout": str(home / "stdout"),
            "stderr": str(home / "stderr"),
        }
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(told) + "\n")
        self._process.stdin.flush()
        code = int(self._process.stdout.readline())
        said = [(home / name).read_text(encoding="utf-8") for name in ("stdout", "stderr")]
        return subprocess.CompletedProcess(arguments, code, *said)


def serve() -> None:
    """Fork for each line of the standard input, and answer with the exit code; ends with its input."""
    quieten_prefect()
    for name in WARM:
        importlib.import_module(name)
    from lamps_cli.main import main

    gc.freeze()  # else each child copies every page when it ends
    while line := sys.stdin.readline():
        pid = os.fork()
        if pid == 0:
            _become(json.loads(line))
            main()
        _, status = os.waitpid(pid, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)


def _become(told: dict[str, Any]) -> None:
    """Make this process what a shell would have started."""
    from prefect.context import refresh_global_settings_context

    for descriptor, path in enumerate((os.devnull, told["stdout"], told["stderr"])):
        mode = os.O_RDONLY if descriptor == 0 else os.O_WRONLY | os.O_CREAT | os.O_TRUNC
        os.dup2(os.open(path, mode, 0o666), descriptor)
    os.chdir(told["cwd"])
    os.environ.clear()
    os.environ.update(told["environment"])
    quieten_prefect()
    refresh_global_settings_context()
    sys.argv = ["lamps", *told["arguments"]]


if __name__ == "__main__":
    serve()

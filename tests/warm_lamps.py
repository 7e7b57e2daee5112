"""Runs of the `lamps` command, each a fork of one process that has imported what the command imports.

Starting Python and importing Prefect is nine tenths of a command that is refused, and many are refused in the tests.
That the installed command does the same from a cold start is shown by those that run it.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from lamps_cli.server import quieten_prefect
from tests.lamps_command import DEADLINE_SECONDS, environment
from tests.searches import eventually

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import TracebackType

WARM = (
    "datasets",
    "flows.campaign",
    "flows.evaluate",
    "flows.search",
    "flows.train_policy",
    "lamps_core.campaign.run",
    "lamps_core.search.run",
)
CHECKOUT = Path(__file__).parents[1]


class WarmLamps:
    """Runs one command after another. Use as a context manager."""

    def __init__(self, *, fork_server: bool = False, variables: Mapping[str, str] | None = None) -> None:
        """Choose what is warm.

        Args:
            fork_server: also the server that a command's workers are forked from: it is forked, too, and ready at
                once, where it otherwise imports torch for seconds.
            variables: of the environment of each command.
        """
        self._words = ["forkserver"] if fork_server else []  # by this word `workers_of` knows one
        self._variables = dict(variables or {})

    def __enter__(self) -> WarmLamps:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.warm_lamps", *self._words],
            cwd=CHECKOUT,
            env=os.environ | self._variables,
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
        pid = self._forked(arguments, cwd=cwd, output=home, prefect_url=prefect_url)
        code = self._asked({"do": "wait", "pid": pid})
        said = [(home / name).read_text(encoding="utf-8") for name in ("stdout", "stderr")]
        return subprocess.CompletedProcess(arguments, code, *said)

    def start(self, *arguments: str, cwd: Path, prefect_url: str | None = None) -> WarmCommand:
        """Start a command, as `lamps_command.start_lamps` does."""
        return WarmCommand(self, self._forked(arguments, cwd=cwd, output=cwd, prefect_url=prefect_url))

    def exit_code(self, pid: int) -> int | None:
        """Of a command that was started; None while it runs. Asked once more after its end, it is an error."""
        return self._asked({"do": "poll", "pid": pid})

    def _forked(self, arguments: tuple[str, ...], *, cwd: Path, output: Path, prefect_url: str | None) -> int:
        told = {
            "do": "start",
            "arguments": arguments,
            "cwd": str(cwd),
            "environment": environment(cwd / "prefect-home", prefect_url) | self._variables,
            "stdout": str(output / "stdout"),
            "stderr": str(output / "stderr"),
        }
        return int(self._asked(told))

    def _asked(self, message: dict[str, Any]) -> Any:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(message) + "\n")
        self._process.stdin.flush()
        return json.loads(self._process.stdout.readline())


@dataclass
class WarmCommand:
    """A command that runs, in the words of `subprocess.Popen`.

    Attributes:
        pid: also of its process group.
    """

    warm: WarmLamps
    pid: int
    returncode: int | None = None

    def poll(self) -> int | None:
        if self.returncode is None:
            self.returncode = self.warm.exit_code(self.pid)
        return self.returncode

    def wait(self, timeout: float = DEADLINE_SECONDS) -> int:
        eventually(lambda: self.poll() is not None, seconds=timeout, what="the end of the command")
        assert self.returncode is not None
        return self.returncode


def serve(*, fork_server: bool) -> None:
    """Do what each line of the standard input asks, and answer with a line; ends with its input."""
    quieten_prefect()
    for name in ("lamps_cli.main", *WARM):
        importlib.import_module(name)
    if fork_server:
        importlib.import_module("tests.warm_fork_server")
    gc.freeze()  # else each child copies every page when it ends
    while line := sys.stdin.readline():
        print(json.dumps(_answer(json.loads(line), fork_server=fork_server)), flush=True)


def _answer(asked: dict[str, Any], *, fork_server: bool) -> int | None:
    if asked["do"] == "start":
        ready, told = os.pipe()
        pid = os.fork()
        if pid == 0:
            _become(asked, fork_server=fork_server)
            os.write(told, b".")
            os.close(told)
            _run()
        os.close(told)
        os.read(ready, 1)  # before that, a signal would meet this process rather than the command
        os.close(ready)
        return pid
    pid, status = os.waitpid(asked["pid"], 0 if asked["do"] == "wait" else os.WNOHANG)
    return os.waitstatus_to_exitcode(status) if pid else None


def _become(told: dict[str, Any], *, fork_server: bool) -> None:
    """Make this process what a shell would have started."""
    from prefect.context import refresh_global_settings_context

    os.setsid()
    signal.signal(signal.SIGINT, signal.default_int_handler)  # the tests may run where it is ignored
    for descriptor, path in enumerate((os.devnull, told["stdout"], told["stderr"])):
        mode = os.O_RDONLY if descriptor == 0 else os.O_WRONLY | os.O_CREAT | os.O_TRUNC
        os.dup2(os.open(path, mode, 0o666), descriptor)
    os.chdir(told["cwd"])
    os.environ.clear()
    os.environ.update(told["environment"])
    quieten_prefect()
    refresh_global_settings_context()
    sys.argv = ["lamps", *told["arguments"]]
    if fork_server:
        from tests.warm_fork_server import fork_ahead

        fork_ahead()


def _run() -> NoReturn:
    from lamps_cli.main import main

    main()


if __name__ == "__main__":
    serve(fork_server="forkserver" in sys.argv)

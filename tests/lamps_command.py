"""The installed `lamps` command as a child process, in a session of its own as in a terminal."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

from tests.searches import MODELS, OBJECTIVES, eventually

if TYPE_CHECKING:
    from collections.abc import Iterable

LAMPS = Path(sys.executable).with_name("lamps")
DEADLINE_SECONDS = 240.0


def environment(home: Path, prefect_url: str | None) -> dict[str, str]:
    """Of a command: ours, with a Prefect home of its own, on this server or on a temporary one."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith("PREFECT_")}
    server = {"PREFECT_API_URL": prefect_url} if prefect_url is not None else {}
    return kept | server | {"PREFECT_HOME": str(home), "PREFECT_SERVER_ANALYTICS_ENABLED": "false"}


def lamps(
    *arguments: str, cwd: Path, prefect_url: str | None = None, seconds: float = DEADLINE_SECONDS
) -> subprocess.CompletedProcess[str]:
    """Run a command to its end, which must come within so many seconds."""
    return subprocess.run(
        [str(LAMPS), *arguments],
        cwd=cwd,
        env=environment(cwd / "prefect-home", prefect_url),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=seconds,
        check=False,
    )


def start_lamps(*arguments: str, cwd: Path, prefect_url: str | None = None) -> subprocess.Popen[str]:
    """Start a command as the leader of a process group; its output goes to files `stdout` and `stderr` in `cwd`."""
    with (cwd / "stdout").open("w") as out, (cwd / "stderr").open("w") as err:
        return subprocess.Popen(
            [str(LAMPS), *arguments],
            cwd=cwd,
            env=environment(cwd / "prefect-home", prefect_url),
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=err,
            text=True,
            start_new_session=True,
            preexec_fn=_as_in_a_terminal,  # noqa: PLW1509 - no thread of the tests holds a lock it needs
        )


def _as_in_a_terminal() -> None:
    """A shell's background job ignores Ctrl-C, and so would all that it starts: these tests may be such a job."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def search_arguments(csv: Path, out: Path | str, *more: str) -> list[str]:
    """A quick search; an option given again in `more` takes the place of the one here."""
    options = {
        "--dataset": str(csv),
        "--input-col": "phrase",
        "--target-col": "topic",
        "--models": MODELS,
        "--policy": "cheapest",  # decides alike whatever the clock says
        "--objectives": OBJECTIVES,
        "--landmarks": "2",
        "--max-epochs": "2",
        "--out": str(out),
    }
    given = {option for option in more if option.startswith("--")}
    kept = [word for pair in options.items() if pair[0] not in given for word in pair]
    return ["search", *kept, *more]


def family(pid: int) -> list[psutil.Process]:
    """A process and all that descend from it."""
    try:
        process = psutil.Process(pid)
        return [process, *process.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def kill_family(pid: int) -> None:
    """SIGKILL to a process and all its descendants at once: each is stopped first, so that none can react."""
    found = family(pid)
    for send in (signal.SIGSTOP, signal.SIGKILL):
        for process in found:
            try:
                process.send_signal(send)
            except psutil.NoSuchProcess:
                continue


def wait_for_end(processes: Iterable[psutil.Process], *, seconds: float = 120.0) -> None:
    """Until none of them runs any more; one that waits to be reaped does not run."""
    left = list(processes)

    def all_gone() -> bool:
        return not [process for process in left if _runs(process)]

    eventually(all_gone, seconds=seconds, what=f"the end of {left}")


def _runs(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False

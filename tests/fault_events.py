"""Faults that come over a running command: each is a function of a life of it.

Some end the life, some it must survive. What is killed and when is drawn by chance.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import psutil

from tests.lamps_command import DEADLINE_SECONDS, family, kill_family, wait_for_end
from tests.searches import eventually, workers_of
from tests.small_disk import full

if TYPE_CHECKING:
    import random
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from tests.fault_shim import FaultShim
    from tests.fault_sites import Site
    from tests.warm_lamps import WarmCommand

HOUR, YEAR = 3_600, 365 * 86_400
JUMPS = (-YEAR, -HOUR, -60, 60, HOUR, YEAR)
MOST_RETRIES = 2  # a step whose worker died is tried again so often


@dataclass
class Life:
    """A command from its start to its end.

    Attributes:
        disk: a small file system that holds all it writes, if it is on one.
        steps_before: on record when it began.
        worker_deaths: so far: one more than `MOST_RETRIES` at one step is a failure that is recorded.
    """

    command: WarmCommand
    site: Site
    shim: FaultShim
    chance: random.Random
    disk: Path | None
    steps_before: int
    worker_deaths: int = 0

    @property
    def stderr(self) -> str:
        return (self.site.cwd / "stderr").read_text(errors="replace")

    @property
    def stdout(self) -> str:
        return (self.site.cwd / "stdout").read_text(errors="replace")


def kill_all(life: Life) -> bool:
    processes = family(life.command.pid)
    kill_family(life.command.pid)
    wait_for_end(processes)
    return True


def cut_power(life: Life) -> bool:
    kill_all(life)
    for folder in life.site.written:
        life.shim.cut_power(folder, life.chance)
    return True


def kill_command(life: Life) -> bool:
    """Its children, whom nobody kills, must end by themselves."""
    processes = family(life.command.pid)
    os.kill(life.command.pid, signal.SIGKILL)
    wait_for_end(processes)
    return True


def terminate(life: Life) -> bool:
    return _interrupt(life, lambda pid: os.kill(pid, signal.SIGTERM))


def interrupt(life: Life) -> bool:
    return _interrupt(life, lambda pid: os.killpg(pid, signal.SIGINT))


def interrupt_twice(life: Life) -> bool:
    def twice(pid: int) -> None:
        os.killpg(pid, signal.SIGINT)
        time.sleep(life.chance.uniform(0.0, 0.5))
        if life.command.poll() is None:
            os.killpg(pid, signal.SIGINT)

    return _interrupt(life, twice)


def _interrupt(life: Life, send: Callable[[int], None]) -> bool:
    processes = family(life.command.pid)
    if life.command.poll() is None:
        send(life.command.pid)
    life.command.wait()
    wait_for_end(processes)
    return True


def fill_disk(life: Life) -> bool:
    """Leave it a few bytes until the command ends of it."""
    assert life.disk is not None
    processes = family(life.command.pid)
    with full(life.disk, leaving=life.chance.choice([0, 4_096, 65_536, 300_000])):
        life.command.wait()
        wait_for_end(processes)
    return True


def kill_worker(life: Life) -> bool:
    return _kill_one_of(life, workers_of(life.command.pid))


def kill_fork_server(life: Life) -> bool:
    """The process that workers are forked from; they die with it."""
    servers = {worker.parent() for worker in workers_of(life.command.pid)}
    return _kill_one_of(life, [server for server in servers if server is not None])


def _kill_one_of(life: Life, processes: Sequence[psutil.Process]) -> bool:
    if not processes or life.worker_deaths == MOST_RETRIES:
        return False
    life.worker_deaths += 1
    life.chance.choice(processes).kill()
    return True


def stop_command(life: Life) -> bool:
    return _stop(life, [psutil.Process(life.command.pid)])


def stop_worker(life: Life) -> bool:
    workers = workers_of(life.command.pid)
    return bool(workers) and _stop(life, [life.chance.choice(workers)])


def stop_all(life: Life) -> bool:
    """As a laptop that is shut, or a virtual machine that is moved."""
    return _stop(life, family(life.command.pid))


def _stop(life: Life, processes: Sequence[psutil.Process]) -> bool:
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.suspend()
    time.sleep(life.chance.uniform(0.2, 1.5))
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.resume()
    return True


def jump_clock(life: Life) -> bool:
    life.shim.jump(life.chance.choice(JUMPS))
    return True


# By name, with the exit codes that may come of it; one that the command survives has none.
EVENTS: dict[str, tuple[Callable[[Life], bool], frozenset[int]]] = {
    "kill -9 of all processes": (kill_all, frozenset({-9})),
    "kill -9 of the command": (kill_command, frozenset({-9})),
    "power cut (torn writes)": (cut_power, frozenset({-9})),
    "SIGTERM": (terminate, frozenset({130})),
    "SIGINT": (interrupt, frozenset({130})),
    "SIGINT twice": (interrupt_twice, frozenset({130})),
    "disk full": (fill_disk, frozenset({1, 2})),
    "kill -9 of a worker": (kill_worker, frozenset()),
    "kill -9 of the fork server": (kill_fork_server, frozenset()),
    "SIGSTOP of the command": (stop_command, frozenset()),
    "SIGSTOP of a worker": (stop_worker, frozenset()),
    "SIGSTOP of all processes": (stop_all, frozenset()),
    "clock jump": (jump_clock, frozenset()),
}


def throw(name: str, life: Life) -> bool:
    """Let a fault come over a life; False where there is nothing that it could come over."""
    try:
        return EVENTS[name][0](life)
    except psutil.NoSuchProcess:
        return False


def check_end(name: str, life: Life) -> int:
    """The exit code of a life that ended: one that goes with its end, with one line for people."""
    code = life.command.wait(DEADLINE_SECONDS)
    told = life.stderr
    last = (told.strip().splitlines() or [""])[-1]
    # A signal that meets the interpreter while it shuts down ends it, with everything done and said.
    late = code in {-signal.SIGTERM, -signal.SIGINT} and (last.startswith("lamps: ") or life.stdout)
    assert code == 0 or late or code in EVENTS[name][1], (name, code, told)
    assert "Traceback" not in told, (name, code, told)
    if code > 0:
        assert last.startswith("lamps: "), (name, told)
        if name == "disk full":
            assert "No space left" in last or "disk full" in last or "free" in last, told
            assert "mend it" in last or "cannot be written" in last or "free" in last, told
    return code


def when(found: Callable[[], bool], life: Life, *, seconds: float) -> bool:
    """Wait for a moment, closely; False where the life ended before it."""
    eventually(
        lambda: found() or life.command.poll() is not None, seconds=seconds, what="the moment of a fault"
    )
    return life.command.poll() is None

"""The worker processes of one candidate: one, or one a device where several devices hold it together.

Owns how they are started from the fork server, watched, and killed. They live and die together: every one is asked
the same, the first one's answer is the answer, and one that fails or dies ends all, because the others would wait
for it inside a collective operation. Knows nothing of slots beyond those it is given.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import math
import multiprocessing
import os
import signal
import socket
import sys
import threading
import time
from dataclasses import dataclass
from multiprocessing import forkserver, resource_tracker
from multiprocessing.connection import wait
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from lamps_core.errors import BudgetSpent, WorkerDied, without_credentials
from lamps_core.files import safe_name
from lamps_core.workers import worker

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
    from multiprocessing.connection import Connection
    from multiprocessing.context import ForkServerProcess

    from lamps_core.fine_tuning.steps import StepRequest
    from lamps_core.workers.pool import DeviceSlot

POLL_SECONDS = 0.1  # how far a budget or a deadline can be overrun
END_SECONDS = 30.0  # a killed process takes less to end, unless it hangs inside the kernel
PRELOAD = ["lamps_core.workers.preload"]
SAFE_PATH = "PYTHONSAFEPATH"


def how_it_ended(code: int | None) -> str:
    """The exit code of a process in words.

    >>> how_it_ended(-9), how_it_ended(-40), how_it_ended(1)
    ('killed by SIGKILL', 'killed by signal 40', 'exit code 1')
    """
    if code is None or code >= 0:
        return f"exit code {code}"
    known = -code in {*signal.Signals}  # of the real-time ones, most have no name
    return f"killed by {signal.Signals(-code).name if known else f'signal {-code}'}"


@dataclass(frozen=True)
class RequestLimits:
    """What ends a request early, and who hears of its progress.

    Attributes:
        remaining_seconds: asked ten times a second; not positive ends the request.
        timeout_seconds: after which the workers are taken for hung.
        progress: told what the first worker tells.
        started: `time.monotonic()` when the request began to run.
    """

    remaining_seconds: Callable[[], float] = lambda: math.inf
    timeout_seconds: float | None = None
    progress: Callable[[dict[str, Any]], None] = lambda message: None
    started: float = math.inf

    def begun(self) -> RequestLimits:
        """The limits of a request that begins now."""
        return dataclasses.replace(self, started=time.monotonic())

    def seconds_to_wait(self) -> float:
        """How long to wait before the next look.

        Raises:
            BudgetSpent: nothing is left.
            WorkerDied: it took too long.
        """
        left = self.remaining_seconds()
        if left <= 0:
            raise BudgetSpent("the budget ran out inside the step")
        if self.timeout_seconds is not None and time.monotonic() - self.started > self.timeout_seconds:
            raise WorkerDied(f"no answer within {self.timeout_seconds:g} s (--step-timeout)")
        return min(POLL_SECONDS, left)


@dataclass
class _Process:
    """A running worker."""

    process: ForkServerProcess
    connection: Connection
    log: Path

    def kill(self) -> None:
        """End the worker and whatever it started."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            if self.process.pid is not None and os.getpgid(self.process.pid) == self.process.pid:
                os.killpg(self.process.pid, signal.SIGKILL)
        self.process.kill()

    def wait_for_exit(self, deadline: float) -> bool:
        """Wait for the end of a worker that was killed; returns whether it came by the deadline."""
        self.process.join(max(0.0, deadline - time.monotonic()))
        self.connection.close()
        if not self.process.is_alive():
            return True
        # The interpreter waits at its end for every child that it knows of.
        multiprocessing.process._children.discard(self.process)  # type: ignore[attr-defined]
        return False

    @property
    def was_killed(self) -> bool:
        """Whether a signal ended it, as far as is known by now."""
        code = self.process.exitcode
        return code is not None and code < 0

    def post_mortem(self) -> str:
        """How the worker ended, and the last line it logged."""
        self.process.join(timeout=5)
        how = how_it_ended(self.process.exitcode)
        lines = self.log.read_text(errors="replace").strip().splitlines() if self.log.exists() else []
        last = without_credentials(lines[-1])[:200] if lines else "(nothing)"
        return f"{how}; last line of {self.log.name}: {last}"


class WorkerGroup:
    """Running workers and the candidate they hold.

    Attributes:
        slots: the slot of each worker, in the order of their ranks.
    """

    def __init__(self, slots: Mapping[int, DeviceSlot], request: StepRequest) -> None:
        """Start a worker on each slot.

        Args:
            slots: by number, each of a device of its own.
            request: names the candidate and the run; nothing is asked yet.
        """
        self.slots = tuple(slots)
        self._candidate = _candidate(request)
        self._workers: list[_Process] = []
        told = environments(list(slots.values()))
        try:
            for rank, (slot, environment) in enumerate(zip(slots.values(), told, strict=True)):
                self._workers.append(_start(rank, slot, environment, request))
        except BaseException:
            end([self])
            raise

    def pid(self, slot: int) -> int | None:
        """Process id of a slot's worker."""
        return self._workers[self.slots.index(slot)].process.pid

    def holds(self, request: StepRequest) -> bool:
        """Whether this is the group for a request, if it still lives."""
        return self._candidate == _candidate(request)

    def is_idle(self) -> bool:
        """Whether all live and wait for a request."""
        # An idle worker says nothing: what can be read is its end, before the fork server tells of it.
        return not any(each.connection.poll() for each in self._workers)

    def ask(self, message: dict[str, Any], limits: RequestLimits) -> dict[str, Any]:
        """Send a request to all and wait for the end of all, a deadline or the end of the budget.

        After any of the errors below kill the group: other workers may wait for ever.

        Returns:
            The record of the first one's answer.

        Raises:
            CandidateFailed: a worker says that the request can never be done.
            HubFailed: the hub failed or gave no answer while the model was loaded.
            ShortOfMemory: a worker ran out of memory; fewer rows a pass may fit.
            StorageFailed: the disk is full or read-only.
            WorkerDied: a worker ended without an answer, or it took too long.
            BudgetSpent: stopped by `limits`.
        """
        at_work = {each.connection: each for each in self._workers}
        told = self._workers[0]
        record: dict[str, Any] = {}
        sent = json.dumps(message).encode()
        try:
            for told in self._workers:
                told.connection.send_bytes(sent)
            while at_work:
                for connection in wait(list(at_work), timeout=limits.seconds_to_wait()):
                    told = next(each for each in at_work.values() if each.connection is connection)
                    answer = json.loads(told.connection.recv_bytes())
                    if answer["kind"] == "progress":
                        limits.progress(answer)
                        continue
                    if answer["kind"] in worker.TOLD:
                        raise worker.TOLD[answer["kind"]](*answer["arguments"])
                    if told is self._workers[0]:
                        record = answer["record"]
                    del at_work[told.connection]
        except (EOFError, OSError) as error:
            raise WorkerDied(f"worker of {self._candidate[0]}: {self._post_mortem(told)}") from error
        return record

    def _post_mortem(self, first: _Process) -> str:
        """How the one ended that ended first: of the others, some fail because they lost it."""
        if len(self._workers) == 1:
            return first.post_mortem()
        first.process.join(timeout=5)
        killed = [each for each in self._workers if each.was_killed]
        dead = killed[0] if killed and first not in killed else first
        which = f"process {self._workers.index(dead) + 1} of {len(self._workers)}"
        return f"{which}: {dead.post_mortem()}"

    def kill(self) -> None:
        """Send all workers and whatever they started the signal that ends them."""
        for each in self._workers:
            each.kill()

    def wait_for_exit(self, deadline: float) -> dict[int, str]:
        """Wait for the end of all; returns slot -> reason of each that did not end by the deadline."""
        return {
            slot: _unkillable(self._candidate[0], each.process.pid)
            for slot, each in zip(self.slots, self._workers, strict=True)
            if not each.wait_for_exit(deadline)
        }


def end(groups: Collection[WorkerGroup]) -> dict[int, str]:
    """Kill workers, and whatever they started, and wait for their end.

    Returns:
        Slot of each that cannot be killed, and still has its device -> why, and what to do.
    """
    for group in groups:
        group.kill()
    deadline = time.monotonic() + END_SECONDS
    left = [group.wait_for_exit(deadline) for group in groups]
    return {slot: reason for told in left for slot, reason in told.items()}


def _unkillable(candidate: str, pid: int | None) -> str:
    return (
        f"process {pid} of {candidate} on {socket.gethostname()} cannot be killed, since a driver or a network disk "
        "does not answer it: its device is out of use until that host is restarted"
    )


def _candidate(request: StepRequest) -> tuple[str, str, int]:
    return request.name, request.work_folder, request.gpus


def environments(slots: Sequence[DeviceSlot]) -> list[dict[str, str]]:
    """What each worker's environment must say before it touches a device; several see all their devices."""
    if len(slots) == 1:
        return [slots[0].environment]
    devices = ",".join(slot.cuda_device for slot in slots if slot.cuda_device is not None)
    common = {
        "CUDA_VISIBLE_DEVICES": devices,
        "WORLD_SIZE": str(len(slots)),
        "LOCAL_WORLD_SIZE": str(len(slots)),
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(_free_port()),
        "GLOO_SOCKET_IFNAME": "lo",  # they are on one host
    }
    return [
        slot.environment | common | {"RANK": str(rank), "LOCAL_RANK": str(rank)}
        for rank, slot in enumerate(slots)
    ]


def _free_port() -> int:
    """A port nobody listens on. Taken by another before the workers do, it costs an attempt at the step."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def start_fork_server() -> None:
    """Start the server that workers are forked from; it imports what they need while the caller goes on."""
    _context()
    with _without_the_current_folder():
        resource_tracker.ensure_running()  # first: where it starts, it lets SIGINT through again
        # Ctrl-C reaches the whole process group, and the fork server ignores it only after its imports.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            forkserver.ensure_running()
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextlib.contextmanager
def _without_the_current_folder() -> Iterator[None]:
    """Let no interpreter that starts inside the block import from the current folder, where data may lie."""
    before = os.environ.get(SAFE_PATH)
    os.environ[SAFE_PATH] = "1"
    try:
        yield
    finally:
        if before is None:
            os.environ.pop(SAFE_PATH, None)
        else:
            os.environ[SAFE_PATH] = before


def wait_for_fork_server() -> None:
    """Return when the fork server has imported everything.

    Raises:
        WorkerDied: it ended meanwhile.
    """
    with starting():
        first = _context().Process(target=_nothing, name="lamps warm-up")
        _fork(first)
    first.join()


def _fork(process: ForkServerProcess) -> None:
    try:
        process.start()
    except (EOFError, OSError) as error:  # click takes an EOFError for an answer that was refused
        raise WorkerDied(
            f"the process that workers are forked from ended before one was ({error or type(error).__name__}): killed, "
            "or torch or transformers cannot be imported; lamps doctor may tell"
        ) from error


def _context() -> multiprocessing.context.ForkServerContext:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOAD)
    return context


def _nothing() -> None:
    """What the first child of a fork server runs."""


def _start(rank: int, slot: DeviceSlot, environment: dict[str, str], request: StepRequest) -> _Process:
    context = _context()
    ours, theirs = context.Pipe()
    name = safe_name(request.name) + (f".{rank + 1}" if rank else "")
    log = Path(request.work_folder) / "logs" / f"{name}.log"
    options = {"log": str(log), "threads": slot.threads, "memory_limit_bytes": slot.memory_limit_bytes}
    process = context.Process(
        target=worker.main,
        args=(theirs, _token() | environment, options),
        name=f"lamps {request.name}",
        daemon=True,  # an interpreter that ends kills it, where it would wait for any other for ever
    )
    with starting():
        start_fork_server()  # one that was killed is replaced as the first was started, Ctrl-C kept from it
        _fork(process)
    theirs.close()
    return _Process(process, ours, log)


def _token() -> dict[str, str]:
    """The hub token of now: the fork server, whose environment a child has, may be older than it."""
    return {"HF_TOKEN": os.environ.get("HF_TOKEN", "")}


_start_lock = threading.Lock()


@contextlib.contextmanager
def starting() -> Iterator[None]:
    """Let `multiprocessing` start a child of any process inside the block, without the caller's main module.

    It would import that module into the child, which does not need it: importing Prefect's engine or a test runner
    takes seconds. And it refuses to start a child of a daemonic process, such as the worker of a Dask nanny, since the
    child might outlive it: ours end with their parent by themselves.
    """
    with _start_lock:
        main = sys.modules["__main__"]
        config: dict[str, Any] = vars(multiprocessing.process.current_process())["_config"]
        daemonic = config.pop("daemon", None)
        sys.modules["__main__"] = ModuleType("__main__")
        try:
            with _without_the_current_folder():
                yield
        finally:
            sys.modules["__main__"] = main
            if daemonic is not None:
                config["daemon"] = daemonic

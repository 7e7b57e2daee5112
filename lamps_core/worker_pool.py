"""Supervises worker processes: one warm child per device slot, started from a fork server.

Owns slots, deadlines and the death of children. A child that dies becomes an exception in the caller's
thread; one that outlives its deadline or the budget is killed with its whole group. Knows nothing of Prefect or of
what decides the next step.
"""

from __future__ import annotations

import contextlib
import json
import math
import multiprocessing
import os
import signal
import sys
import threading
import time
from dataclasses import asdict, dataclass
from multiprocessing import forkserver, resource_tracker
from multiprocessing.connection import wait
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from lamps_core import worker
from lamps_core.errors import BudgetSpent, CandidateFailed, Interrupted, WorkerDied
from lamps_core.files import safe_name

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from multiprocessing.connection import Connection
    from multiprocessing.context import ForkServerProcess

    from lamps_core.steps import ExportRequest, StepRequest

POLL_SECONDS = 0.1  # how far a budget or a deadline can be overrun
PRELOAD = ["lamps_core.worker_preload"]


@dataclass(frozen=True)
class DeviceSlot:
    """One place where one candidate trains.

    Attributes:
        cuda_device: index or UUID for `CUDA_VISIBLE_DEVICES`; None keeps to the CPU.
        threads: CPU threads of the worker.
        memory_limit_bytes: of the worker's address space; None for no limit.
    """

    cuda_device: str | None
    threads: int
    memory_limit_bytes: int | None = None

    @property
    def environment(self) -> dict[str, str]:
        """What the worker's environment must say before it touches a device."""
        return {"CUDA_VISIBLE_DEVICES": self.cuda_device or "", "OMP_NUM_THREADS": str(self.threads)}


def device_slots(parallel: int | None = None) -> tuple[DeviceSlot, ...]:
    """The slots of this machine: its GPUs, else CPU slots that share the cores.

    Args:
        parallel: how many steps at once; None is one a GPU, or one on a CPU.
    """
    cores = len(os.sched_getaffinity(0))
    gpus = _visible_gpus()
    count = parallel or max(1, len(gpus))
    threads = max(1, cores // count)
    return tuple(DeviceSlot(gpus[index % len(gpus)] if gpus else None, threads) for index in range(count))


def campaign_slots(parallel: int | None = None) -> tuple[DeviceSlot, ...]:
    """The slots of a campaign on this machine: as `device_slots`, but several of a CPU unless told otherwise.

    A search times one candidate against the next, and leaves a CPU to one at a time; a campaign has many pairs.
    """
    cores = len(os.sched_getaffinity(0))
    several = min(cores, max(2, cores // 4))
    return device_slots(parallel or (None if _visible_gpus() else several))


def _visible_gpus() -> list[str]:
    import torch

    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    count = torch.cuda.device_count()  # asks the driver's library: starts no CUDA context here
    if named is None:
        return [str(index) for index in range(count)]
    return [name.strip() for name in named.split(",") if name.strip()][:count]


@dataclass
class _Child:
    """A running worker and the candidate it holds."""

    process: ForkServerProcess
    connection: Connection
    candidate: tuple[str, str]
    log: Path

    def kill(self) -> None:
        """End the worker and whatever it started."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            if self.process.pid is not None and os.getpgid(self.process.pid) == self.process.pid:
                os.killpg(self.process.pid, signal.SIGKILL)
        self.process.kill()
        self.process.join()
        self.connection.close()

    def post_mortem(self) -> str:
        """How the worker ended, and the last line it logged."""
        self.process.join(timeout=5)
        code = self.process.exitcode
        how = (
            f"killed by {signal.Signals(-code).name}"
            if code is not None and code < 0
            else f"exit code {code}"
        )
        lines = self.log.read_text(errors="replace").strip().splitlines() if self.log.exists() else []
        return f"{how}; last line of {self.log.name}: {lines[-1][:200] if lines else '(nothing)'}"


@dataclass(frozen=True)
class _Watch:
    """What ends a request early, and who hears of its progress."""

    remaining_seconds: Callable[[], float] = lambda: math.inf
    timeout_seconds: float | None = None
    progress: Callable[[dict[str, Any]], None] = lambda message: None


def _supervise(child: _Child, watch: _Watch) -> dict[str, Any]:
    """Wait for the child's answer, a deadline or the end of the budget, whichever comes first."""
    started = time.monotonic()
    while True:
        left = watch.remaining_seconds()
        if left <= 0:
            raise BudgetSpent("the budget ran out inside the step")
        if watch.timeout_seconds is not None and time.monotonic() - started > watch.timeout_seconds:
            raise WorkerDied(f"no answer within {watch.timeout_seconds:g} s (--step-timeout)")
        if not wait([child.connection], timeout=min(POLL_SECONDS, left)):
            continue
        answer = json.loads(child.connection.recv_bytes())
        if answer["kind"] == "done":
            return answer["record"]
        if answer["kind"] == "failed":
            raise CandidateFailed(answer["reason"])
        watch.progress(answer)


class WorkerPool:
    """Runs requests on device slots, keeping a worker warm while its candidate takes consecutive steps.

    Safe to call from many threads; a call blocks until a slot is free.
    """

    def __init__(self, slots: Sequence[DeviceSlot]) -> None:
        self._slots: dict[int, DeviceSlot] = dict(enumerate(slots))
        self._children: dict[int, _Child] = {}
        self._free = list(self._slots)
        self._changed = threading.Condition()
        self._closed = False

    def preload(self) -> None:
        """Start the fork server now, so that its imports run while the caller does something else."""
        _context()
        resource_tracker.ensure_running()  # first: where it starts, it lets SIGINT through again
        # Ctrl-C reaches the whole process group, and the fork server ignores it only after its imports.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            forkserver.ensure_running()
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)

    def wait_until_ready(self) -> None:
        """Return when a worker can start at once: no step is charged for the imports."""
        with _starting():
            first = _context().Process(target=_nothing, name="lamps warm-up")
            first.start()
        first.join()

    def run_step(
        self,
        request: StepRequest,
        *,
        remaining_seconds: Callable[[], float] = lambda: math.inf,
        timeout_seconds: float | None = None,
        progress: Callable[[dict[str, Any]], None] = lambda message: None,
    ) -> dict[str, Any]:
        """Run one landmark step and return its record.

        Args:
            request: the step.
            remaining_seconds: asked ten times a second; the step is stopped once it is not positive.
            timeout_seconds: after which the worker is killed as hung.
            progress: called with `phase`, `done` and `total`.

        Raises:
            CandidateFailed: the step can never be done.
            WorkerDied: the worker ended without an answer, or hung.
            BudgetSpent: stopped by `remaining_seconds`.
            Interrupted: the pool was closed.
        """
        message = {"do": "step", "request": asdict(request)}
        watch = _Watch(remaining_seconds, timeout_seconds, progress)
        return self._run(message, request, watch)

    def export(self, request: ExportRequest) -> dict[str, Any]:
        """Save a complete candidate; returns what its export measured.

        Raises:
            CandidateFailed, WorkerDied, Interrupted: as for `run_step`.
        """
        message = {"do": "export", "request": asdict(request)}
        return self._run(message, request.last, _Watch())

    def worker_pid(self, slot: int) -> int | None:
        """Process id of a slot's worker, None where it has none."""
        child = self._children.get(slot)
        return child.process.pid if child is not None else None

    def retire(self, slot: int) -> None:
        """End an idle slot's worker; the next step there starts fresh."""
        self._drop(slot)

    def close(self) -> None:
        """Kill every worker; calls under way raise `Interrupted`."""
        with self._changed:
            self._closed = True
            children = list(self._children.values())
            self._children.clear()
            self._changed.notify_all()
        for child in children:
            child.kill()

    def _run(self, message: dict[str, Any], request: StepRequest, watch: _Watch) -> dict[str, Any]:
        slot = self._take((request.name, request.work_folder))
        try:
            message["dispatched_at"] = time.monotonic()
            child = self._child(slot, request)
            try:
                child.connection.send_bytes(json.dumps(message).encode())
                return _supervise(child, watch)
            except (EOFError, OSError) as error:
                raise WorkerDied(f"worker of {request.name}: {child.post_mortem()}") from error
        except BaseException as error:
            self._drop(slot)
            if self._closed:
                raise Interrupted("the run is being shut down") from error
            raise
        finally:
            self._give_back(slot)

    def _take(self, candidate: tuple[str, str]) -> int:
        with self._changed:
            while not self._free and not self._closed:
                self._changed.wait()
            if self._closed:
                raise Interrupted("the run is being shut down")
            warm = [slot for slot in self._free if self._held(slot) == candidate]
            slot = (warm or self._free)[0]
            self._free.remove(slot)
            return slot

    def _held(self, slot: int) -> tuple[str, str] | None:
        child = self._children.get(slot)
        return child.candidate if child is not None else None

    def _give_back(self, slot: int) -> None:
        with self._changed:
            self._free.append(slot)  # last, so that the worker idle for longest gives way first
            self._changed.notify()

    def _drop(self, slot: int) -> None:
        with self._changed:
            child = self._children.pop(slot, None)
        if child is not None:
            child.kill()

    def _child(self, slot: int, request: StepRequest) -> _Child:
        """The slot's worker, fresh unless it holds this very candidate of this very run."""
        wanted = (request.name, request.work_folder)
        child = self._children.get(slot)
        # An idle worker says nothing: what can be read is its end, before the fork server tells of it.
        if child is not None and child.candidate == wanted and not child.connection.poll():
            return child
        self._drop(slot)
        child = _start_child(self._slots[slot], request)
        with self._changed:
            if self._closed:
                child.kill()
                raise Interrupted("the run is being shut down")
            self._children[slot] = child
        return child


def _context() -> multiprocessing.context.ForkServerContext:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOAD)
    return context


def _nothing() -> None:
    """What the first child of a fork server runs."""


def _start_child(slot: DeviceSlot, request: StepRequest) -> _Child:
    context = _context()
    ours, theirs = context.Pipe()
    log = Path(request.work_folder) / "logs" / f"{safe_name(request.name)}.log"
    options = {"log": str(log), "threads": slot.threads, "memory_limit_bytes": slot.memory_limit_bytes}
    process = context.Process(
        target=worker.main,
        args=(theirs, _token() | slot.environment, options),
        name=f"lamps {request.name}",
        daemon=True,  # an interpreter that ends kills it, where it would wait for any other for ever
    )
    with _starting():
        process.start()
    theirs.close()
    return _Child(process, ours, (request.name, request.work_folder), log)


def _token() -> dict[str, str]:
    """The hub token of now: the fork server, whose environment a child has, may be older than it."""
    return {"HF_TOKEN": os.environ.get("HF_TOKEN", "")}


_start_lock = threading.Lock()


@contextlib.contextmanager
def _starting() -> Iterator[None]:
    """Start a process as ours are started, whatever process this is.

    `multiprocessing` would import the caller's main module into the child, which needs nothing of it: importing
    Prefect's engine or a test runner takes seconds. And it refuses to start any from a daemonic process, such as
    the worker of a Dask nanny, lest they outlive it: ours end with their parent by themselves.
    """
    with _start_lock:
        main = sys.modules["__main__"]
        config: dict[str, Any] = vars(multiprocessing.process.current_process())["_config"]
        daemonic = config.pop("daemon", None)
        sys.modules["__main__"] = ModuleType("__main__")
        try:
            yield
        finally:
            sys.modules["__main__"] = main
            if daemonic is not None:
                config["daemon"] = daemonic

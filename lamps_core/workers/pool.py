"""Device slots and who runs on them: one warm worker a slot, or one group of workers over several.

Owns slots, and which worker is kept warm. A worker that dies becomes an exception in the caller's thread. Knows
nothing of how workers are started and watched, of Prefect or of what decides the next step.
"""

from __future__ import annotations

import itertools
import math
import os
import threading
import time
from collections import deque
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from lamps_core.errors import BadInput, CandidateFailed, HostFailed, Interrupted, ShortOfMemory, WorkerDied
from lamps_core.host.devices import devices_here
from lamps_core.workers.group import RequestLimits, WorkerGroup, end

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

    from lamps_core.fine_tuning.steps import ExportRequest, StepRequest

MOST_SLOTS = 1024  # processes at once: no machine has room for more


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


def check_parallel(parallel: int | None) -> None:
    """Refuse a number of steps at once that no machine can run.

    Raises:
        BadInput: none, or more than any machine has room for.
    """
    if parallel is not None and parallel < 1:
        raise BadInput(f"--parallel must be at least 1, not {parallel}")
    if parallel is not None and parallel > MOST_SLOTS:
        raise BadInput(f"--parallel must be at most {MOST_SLOTS}, not {parallel}: each is a process")


def check_step_timeout(seconds: float | None) -> None:
    """Refuse a deadline that no step could meet.

    Raises:
        BadInput: it is not more than zero.
    """
    if seconds is not None and not seconds > 0:
        raise BadInput(f"--step-timeout must be more than zero, not {seconds:g}")


def device_slots(parallel: int | None = None) -> tuple[DeviceSlot, ...]:
    """The slots of this machine: its GPUs, else CPU slots that share the cores.

    Args:
        parallel: how many steps at once; None is one a GPU, or one on a CPU.

    Raises:
        BadInput: see `check_parallel`.
    """
    check_parallel(parallel)
    cores = len(os.sched_getaffinity(0))
    devices = devices_here()
    count = parallel or devices.count
    threads = max(1, cores // count)
    return tuple(DeviceSlot(device, threads) for device in devices.dealt(count))


def campaign_slots(parallel: int | None = None) -> tuple[DeviceSlot, ...]:
    """The slots of a campaign on this machine: as `device_slots`, but several of a CPU unless told otherwise.

    A search times one candidate against the next, and leaves a CPU to one at a time; a campaign has many pairs.
    """
    cores = len(os.sched_getaffinity(0))
    several = min(cores, max(2, cores // 4))
    return device_slots(parallel or (None if devices_here().cuda else several))


class WorkerPool:
    """Runs requests on device slots, keeping a worker warm while its candidate takes consecutive steps.

    Safe to call from many threads; a call blocks until as many slots are free as its request needs.
    """

    def __init__(self, slots: Sequence[DeviceSlot]) -> None:
        self._slots: dict[int, DeviceSlot] = dict(enumerate(slots))
        self._groups: dict[int, WorkerGroup] = {}
        self._free = list(self._slots)
        self._lost: dict[int, str] = {}  # slot -> why nothing can run there any more
        self._queue: deque[object] = deque()
        self._changed = threading.Condition()
        self._closed = False

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
            CandidateFailed: the step can never be done, or needs more devices than there are.
            HubFailed: the hub failed or gave no answer while the model was loaded.
            StorageFailed: the disk is full or read-only.
            WorkerDied: the worker ended without an answer, or hung.
            HostFailed: too few slots are left, since workers hang that cannot be killed.
            BudgetSpent: stopped by `remaining_seconds`.
            Interrupted: the pool was closed.
        """
        message = {"do": "step", "request": asdict(request)}
        limits = RequestLimits(remaining_seconds, timeout_seconds, progress)
        return self._run(message, request, limits)

    def export(self, request: ExportRequest) -> dict[str, Any]:
        """Save a complete candidate; returns what its export measured.

        Raises:
            CandidateFailed: the model cannot be exported, or needs more devices than there are.
            HubFailed: the hub failed or gave no answer while the model was loaded.
            StorageFailed: the disk is full or read-only.
            WorkerDied: the worker ended without an answer.
            HostFailed: too few slots are left, since workers hang that cannot be killed.
            Interrupted: the pool was closed.
        """
        message = {"do": "export", "request": asdict(request)}
        return self._run(message, request.last, RequestLimits())

    def worker_pid(self, slot: int) -> int | None:
        """Process id of a slot's worker, None where it has none."""
        group = self._groups.get(slot)
        return group.pid(slot) if group is not None else None

    def retire(self, slot: int) -> None:
        """End an idle slot's worker, with those that hold a candidate with it; the next step there starts fresh."""
        self._drop((slot,))

    def close(self) -> None:
        """Kill every worker; calls under way raise `Interrupted`."""
        with self._changed:
            self._closed = True
            groups = {group.slots: group for group in self._groups.values()}
            self._groups.clear()
            self._changed.notify_all()
        self._end(groups.values())

    def _run(self, message: dict[str, Any], request: StepRequest, limits: RequestLimits) -> dict[str, Any]:
        self._refuse_unfit(request)
        slots = self._take(request)
        message["dispatched_at"] = time.monotonic()
        running = limits.begun()
        try:
            while True:
                try:
                    return self._group(slots, request).ask(message, running)
                except ShortOfMemory as error:
                    self._drop(slots)
                    message = _with_smaller_passes(message, error)
        except BaseException as error:
            self._drop(slots)
            if self._closed:
                raise Interrupted("the run is being shut down") from error
            if isinstance(error, WorkerDied):
                self._refuse_lost(slots)
            raise
        finally:
            self._give_back(slots)

    def _refuse_unfit(self, request: StepRequest) -> None:
        most = len(_apart(self._slots, self._slots))
        if request.gpus > most:
            there = "1 device" if most == 1 else f"{most} devices"
            raise CandidateFailed(
                f"does not fit here: {request.name} is to be spread over {request.gpus} devices, and this process "
                f"has slots on {there}"
            )

    def _refuse_lost(self, slots: Iterable[int]) -> None:
        """Raise `WorkerDied` if what was killed on one of these slots still runs there."""
        for slot in slots:
            if slot in self._lost:
                raise WorkerDied(self._lost[slot])

    def _refuse_hopeless(self, request: StepRequest) -> None:
        """Raise `HostFailed` if too few slots are left, since nobody will ever give one back."""
        left = [slot for slot in self._slots if slot not in self._lost]
        if len(_apart(self._slots, left)) < request.gpus:
            raise HostFailed(next(iter(self._lost.values())))

    def _take(self, request: StepRequest) -> tuple[int, ...]:
        """Wait for the slots of a request and take them all at once.

        Strictly in the order of the calls: one that needs many would wait for ever behind small ones that slip
        past it, and two that each held a part of what they need would wait for each other.
        """
        with self._changed:
            turn = object()
            self._queue.append(turn)
            try:
                while not self._closed:
                    self._refuse_hopeless(request)
                    slots = self._choice(request) if self._queue[0] is turn else ()
                    if slots:
                        self._free = [slot for slot in self._free if slot not in slots]
                        return slots
                    self._changed.wait()
                raise Interrupted("the run is being shut down")
            finally:
                self._queue.remove(turn)
                self._changed.notify_all()

    def _choice(self, request: StepRequest) -> tuple[int, ...]:
        """Free slots for a request: where its candidate is warm, else those idle for longest; none if too few."""
        for slot in self._free:
            group = self._groups.get(slot)
            if group is not None and group.holds(request) and set(group.slots) <= set(self._free):
                return group.slots  # not where another has just taken one of them, and is about to end it
        apart = _apart(self._slots, self._free)
        return tuple(apart[: request.gpus]) if len(apart) >= request.gpus else ()

    def _give_back(self, slots: tuple[int, ...]) -> None:
        with self._changed:
            # Last, so that the worker idle for longest gives way first.
            self._free.extend(slot for slot in slots if slot not in self._lost)
            self._changed.notify_all()

    def _drop(self, slots: tuple[int, ...]) -> None:
        with self._changed:
            groups = {group.slots: group for slot in slots if (group := self._groups.get(slot)) is not None}
            for slot in itertools.chain.from_iterable(groups):
                del self._groups[slot]
        self._end(groups.values())

    def _end(self, groups: Collection[WorkerGroup]) -> None:
        """Kill workers; a slot where one cannot be killed is no slot any more."""
        lost = end(groups)
        with self._changed:
            self._lost |= lost
            self._free = [slot for slot in self._free if slot not in self._lost]
            self._changed.notify_all()

    def _group(self, slots: tuple[int, ...], request: StepRequest) -> WorkerGroup:
        """The slots' workers, fresh unless they hold this very candidate of this very run."""
        group = self._groups.get(slots[0])
        if group is not None and group.slots == slots and group.holds(request) and group.is_idle():
            return group
        self._drop(slots)
        self._refuse_lost(slots)
        group = WorkerGroup({slot: self._slots[slot] for slot in slots}, request)
        with self._changed:
            if not self._closed:
                self._groups |= dict.fromkeys(slots, group)
                return group
        self._end([group])
        raise Interrupted("the run is being shut down")


def _apart(slots: Mapping[int, DeviceSlot], among: Iterable[int]) -> list[int]:
    """Slots that one step can be spread over: no two of the same GPU."""
    seen: set[str] = set()
    apart = []
    for slot in among:
        device = slots[slot].cuda_device
        if device is None or device not in seen:
            apart.append(slot)
            seen |= {device} if device is not None else set()
    return apart


def _with_smaller_passes(message: dict[str, Any], error: ShortOfMemory) -> dict[str, Any]:
    return message | {"request": message["request"] | {"micro_batch_size": error.micro_batch_size // 2}}

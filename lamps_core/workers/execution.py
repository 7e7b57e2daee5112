"""Runs the steps of one search or campaign on this process's device slots, and meters what they cost.

A process has one `Execution` for each search or campaign. A task finds it by the name in its request, so that only
plain data passes between processes.
"""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any

from lamps_core.workers.group import start_fork_server, wait_for_fork_server
from lamps_core.workers.pool import WorkerPool, device_slots

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from lamps_core.fine_tuning.steps import ExportRequest, StepKey, StepRequest
    from lamps_core.search.budget import Budget
    from lamps_core.workers.pool import DeviceSlot


class Execution:
    """Device slots, and a meter over the steps in flight.

    Attributes:
        running: step -> (start by `time.monotonic()`, latest progress message).
    """

    def __init__(
        self,
        slots: Sequence[DeviceSlot],
        *,
        budget: Budget | None = None,
        step_timeout_seconds: float | None = None,
        changed: Callable[[], None] = lambda: None,
    ) -> None:
        self.pool = WorkerPool(slots)
        self.spent_seconds = 0.0
        self.running: dict[StepKey, tuple[float, dict[str, Any]]] = {}
        self._ended: dict[StepKey, float] = {}  # seconds of attempts that are not in `spent_seconds` yet
        self._budget = budget
        self._timeout = step_timeout_seconds
        self._changed = changed
        self._lock = threading.Lock()
        self._ready = False

    def make_ready(self) -> None:
        """Return once workers can start at once, so that no step is charged for what they import.

        The first call starts the server that they are forked from: where nothing is left to run, there is none.

        Raises:
            WorkerDied: the server ended over its imports.
        """
        if not self._ready:
            start_fork_server()
            wait_for_fork_server()
            self._ready = True

    def run_step(self, request: StepRequest, *, timeout_seconds: float | None = None) -> dict[str, Any]:
        """Run a step and return its record, within the budget and its deadline.

        Args:
            request: the step.
            timeout_seconds: its deadline; None takes that of the execution.

        Raises:
            CandidateFailed: the step can never be done, or needs more devices than there are.
            HubFailed: the hub failed or gave no answer while the model was loaded.
            StorageFailed: the disk is full or read-only.
            WorkerDied: the worker ended without an answer, or hung.
            HostFailed: too few slots are left, since workers hang that cannot be killed.
            BudgetSpent: the budget ran out; the step was stopped.
            Interrupted: the execution was closed.
        """
        key = request.key
        started = time.monotonic()
        record: dict[str, Any] | None = None
        self._note(key, (started, {"phase": "load", "done": 0, "total": 0}))
        try:
            record = self.pool.run_step(
                request,
                remaining_seconds=self._remaining_seconds,
                timeout_seconds=self._timeout if timeout_seconds is None else timeout_seconds,
                progress=lambda message: self._note(key, (started, message)),
            )
            return record
        finally:
            self._end(key, started, record)

    def _end(self, key: StepKey, started: float, record: dict[str, Any] | None) -> None:
        """Take an attempt from what runs to what has ended; whoever asks meanwhile finds it in one of the two."""
        with self._lock:
            self.running.pop(key, None)  # the same step may run here twice: one whose answer was lost
            before, seconds = self._ended.get(key, 0.0), time.monotonic() - started
            if record is None:
                self._ended[key] = before + seconds
                return
            # A step that an attempt before this one committed is answered at once: its seconds are that attempt's.
            step_seconds = record["step_seconds"]
            self._ended[key] = max(step_seconds, before + min(step_seconds, seconds))

    def settle(self, key: StepKey, *, spent_seconds: float) -> None:
        """Replace the running total by the search's own, which now includes this step, and drop its metered seconds.

        Args:
            key: the step.
            spent_seconds: the search's total over all outcomes, with what `seconds_of` told of this one.
        """
        with self._lock:
            self.spent_seconds = spent_seconds
            self._ended.pop(key, None)

    def export(self, request: ExportRequest) -> dict[str, Any]:
        """Save a complete candidate as a model folder; see `WorkerPool.export`."""
        return self.pool.export(request)

    def seconds_of(self, key: StepKey) -> float:
        """Seconds of all attempts at a step that is not settled yet: of the one that did it, and of those that died."""
        with self._lock:
            return self._ended.get(key, 0.0)

    def _note(self, key: StepKey, state: tuple[float, dict[str, Any]]) -> None:
        with self._lock:
            self.running[key] = state
        self._changed()

    def used_seconds(self) -> float:
        """Seconds spent, with those of steps in flight and of steps that ended unsettled; each second counts once."""
        with self._lock:
            now = time.monotonic()
            running = sum(now - started for started, _ in self.running.values())
            return self.spent_seconds + running + sum(self._ended.values())

    def _remaining_seconds(self) -> float:
        if self._budget is None:
            return float("inf")
        return self._budget.remaining_seconds(self.used_seconds())

    def close(self) -> None:
        """Kill every worker."""
        self.pool.close()


_executions: dict[str, Execution] = {}
_making = threading.Lock()


def begin(run_id: str, execution: Execution) -> None:
    """Make an execution the one that `execution_of` finds in this process."""
    _executions[run_id] = execution


def shut_down(run_id: str) -> None:
    """Kill the workers; the entry stays, so that a late request is refused rather than given a new pool."""
    execution = _executions.get(run_id)
    if execution is not None:
        execution.close()


def execution_of(run_id: str, *, parallel: int | None = None) -> Execution:
    """This process's execution of a search or campaign; where it has none, one over this machine's devices.

    Args:
        run_id: as in the `StepRequest`.
        parallel: slots to make where there is no execution; see `device_slots`.

    Raises:
        WorkerDied: as by `Execution.make_ready`.
    """
    with _making:
        if run_id not in _executions:
            mine = Execution(device_slots(parallel))
            mine.make_ready()
            begin(run_id, mine)
        return _executions[run_id]

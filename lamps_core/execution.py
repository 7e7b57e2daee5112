"""Runs the steps of one folder on this process's device slots, and meters what they cost.

One `Execution` a work folder and process: a task finds it by the folder's path, so that what is passed
between processes is plain data.
"""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any

from lamps_core.worker_pool import WorkerPool, device_slots

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from lamps_core.budget import Budget
    from lamps_core.steps import ExportRequest, StepRequest
    from lamps_core.worker_pool import DeviceSlot


class Execution:
    """Device slots, and a meter over the steps in flight.

    Attributes:
        running: (candidate, step) -> (start by `time.monotonic()`, latest progress message).
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
        self.running: dict[tuple[str, int], tuple[float, dict[str, Any]]] = {}
        self._lost: dict[tuple[str, int], float] = {}
        self._untold: dict[tuple[str, int], float] = {}
        self._budget = budget
        self._timeout = step_timeout_seconds
        self._changed = changed
        self._lock = threading.Lock()

    def run_step(self, request: StepRequest) -> dict[str, Any]:
        """Run a step and return its record, within the budget and its deadline.

        Raises:
            CandidateFailed, WorkerDied, BudgetSpent, Interrupted: see `WorkerPool.run_step`.
        """
        key = (request.name, request.step)
        started = time.monotonic()
        self._note(key, (started, {"phase": "load", "done": 0, "total": 0}))
        try:
            record = self.pool.run_step(
                request,
                remaining_seconds=self._remaining_seconds,
                timeout_seconds=self._timeout,
                progress=lambda message: self._note(key, (started, message)),
            )
        except BaseException:
            with self._lock:
                self._lost[key] = self._lost.get(key, 0.0) + time.monotonic() - started
                self._untold[key] = self._lost[key]
            raise
        else:
            with self._lock:
                self._untold[key] = record["step_seconds"]
            return record
        finally:
            with self._lock:
                del self.running[key]

    def settle(self, candidate: str, step: int, *, spent_seconds: float) -> None:
        """Take over what is spent once an outcome is in it: no second is missed or counted twice."""
        with self._lock:
            self.spent_seconds = spent_seconds
            self._untold.pop((candidate, step), None)

    def export(self, request: ExportRequest) -> dict[str, Any]:
        """Save a complete candidate as a model folder; see `WorkerPool.export`."""
        return self.pool.export(request)

    def lost_seconds(self, candidate: str, step: int) -> float:
        """Seconds of attempts at a step that came to nothing, since this was last asked."""
        with self._lock:
            return self._lost.pop((candidate, step), 0.0)

    def _note(self, key: tuple[str, int], state: tuple[float, dict[str, Any]]) -> None:
        with self._lock:
            self.running[key] = state
        self._changed()

    def in_flight_seconds(self) -> float:
        """Summed over the steps in flight, and those done whose outcome is not in `spent_seconds` yet."""
        now = time.monotonic()
        with self._lock:
            running = sum(now - started for started, _ in self.running.values())
            return running + sum(self._untold.values())

    def _remaining_seconds(self) -> float:
        if self._budget is None:
            return float("inf")
        return self._budget.remaining_seconds(self.spent_seconds + self.in_flight_seconds())

    def close(self) -> None:
        """Kill every worker."""
        self.pool.close()


_executions: dict[str, Execution] = {}


def register(work_folder: str, execution: Execution) -> None:
    """Make an execution the one that `execution_of` finds for a folder in this process."""
    _executions[work_folder] = execution


def unregister(work_folder: str) -> None:
    """Kill the workers of a folder's execution, which stays the folder's: a step that comes late is refused."""
    execution = _executions.get(work_folder)
    if execution is not None:
        execution.close()


def execution_of(work_folder: str) -> Execution:
    """This process's execution of a folder; on a process that has none, one over all its devices."""
    if work_folder not in _executions:
        register(work_folder, Execution(device_slots()))
    return _executions[work_folder]

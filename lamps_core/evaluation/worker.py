"""The child processes of an evaluation: each keeps the curves, and takes one unit after another.

Owns their start, their death and how they are asked. A child that dies takes its own unit with it and no other
(`concurrent.futures` would fail every unit in flight); the next unit gets a fresh one. Units are found by the name
of the evaluation, so that what passes through a Prefect task is plain data.
"""

from __future__ import annotations

import multiprocessing
import os
import queue
import signal
import threading
from typing import TYPE_CHECKING, Any

from lamps_core.errors import BadInput, Interrupted, LampsError, WorkerDied
from lamps_core.workers.group import how_it_ended, starting

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from multiprocessing.connection import Connection
    from pathlib import Path

    from lamps_core.evaluation.unit import Unit
    from lamps_core.task import Task


class UnitWorkers:
    """At most so many children at once; safe to call from many threads."""

    def __init__(
        self,
        tasks: Sequence[Task],
        parallel: int,
        *,
        tell: Callable[[str, float], None] = lambda key, share: None,
    ) -> None:
        """Start no child yet.

        Args:
            tasks: of the whole meta-dataset; sent to each child once.
            parallel: units at once.
            tell: called from any thread with a unit's key and the share of its training that is done.
        """
        self._tasks = tuple(tasks)
        self._tell = tell
        self._idle: queue.SimpleQueue[_Child | None] = queue.SimpleQueue()
        for _ in range(parallel):
            self._idle.put(None)  # a place without a child
        self._children: set[_Child] = set()
        self._lock = threading.Lock()
        self._closed = False

    def run(self, unit: Unit, *, key: str = "", folder: Path | None = None) -> dict[str, Any]:
        """Run a unit to its end in a child; waits for a place.

        Args:
            unit: what to do.
            key: under which its progress is told.
            folder: of a training's checkpoints.

        Raises:
            WorkerDied: the child ended without an answer.
            BadInput: the unit refused its input.
            LampsError: the unit failed.
            Interrupted: the evaluation is being shut down.
        """
        child = self._idle.get()
        try:
            child = child or self._started()
            answer = child.ask(unit, folder, lambda share: self._tell(key, share))
        except BaseException as error:
            self._drop(child)
            child = None
            if self._closed:
                raise Interrupted("the run is being shut down") from error
            raise
        finally:
            self._idle.put(child)
        if "refused" in answer:
            raise BadInput(answer["refused"])
        if "failed" in answer:
            raise LampsError(answer["failed"])
        return answer["result"]

    def close(self) -> None:
        """Kill every child; calls under way raise `Interrupted`."""
        with self._lock:
            self._closed = True
            children = list(self._children)
        for child in children:
            child.kill()
        for child in children:
            child.wait_for_exit()

    def _started(self) -> _Child:
        with self._lock:
            if self._closed:
                raise Interrupted("the run is being shut down")
            child = _Child(self._tasks)
            self._children.add(child)
            return child

    def _drop(self, child: _Child | None) -> None:
        if child is not None:
            child.kill()
            child.wait_for_exit()
            with self._lock:
                self._children.discard(child)


class _Child:
    """A running child."""

    def __init__(self, tasks: Sequence[Task]) -> None:
        # Forked from a process with threads it could hang; the fork server's preload is for fine-tuning.
        context = multiprocessing.get_context("spawn")
        self._connection, theirs = context.Pipe()
        self._process = context.Process(
            target=_serve, args=(theirs, tuple(tasks)), name="lamps evaluate", daemon=True
        )
        with starting():
            self._process.start()
        theirs.close()

    def ask(self, unit: Unit, folder: Path | None, tell: Callable[[float], None]) -> dict[str, Any]:
        """Send a unit and wait for its answer."""
        try:
            self._connection.send((unit, folder))
            while True:
                answer: dict[str, Any] = self._connection.recv()
                if "share" not in answer:
                    return answer
                tell(answer["share"])
        except (EOFError, OSError) as error:
            self._process.join(timeout=5)
            how = how_it_ended(self._process.exitcode)
            raise WorkerDied(f"the process of {unit.name} ended: {how}") from error

    def kill(self) -> None:
        """End it; a call that waits for it raises `WorkerDied`."""
        self._process.kill()

    def wait_for_exit(self) -> None:
        """Wait for the end of one that was killed."""
        self._process.join()


def _end_with_parent() -> None:
    """A parent that is killed tells nobody, and a training would go on for hours."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _serve(connection: Connection, tasks: Sequence[Task]) -> None:
    """What a child runs: units until its parent is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the group; the parent decides
    threading.Thread(target=_end_with_parent, daemon=True).start()
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    import torch

    from lamps_core.evaluation.unit import run_unit

    torch.set_num_threads(1)  # one process a core, and the same sums on every machine
    while True:
        try:
            unit, folder = connection.recv()
        except EOFError:
            return
        try:
            result = run_unit(
                tasks, unit, folder=folder, tell=lambda share: connection.send({"share": share})
            )
            answer: dict[str, Any] = {"result": result}
        except BadInput as error:
            answer = {"refused": str(error)}
        except Exception as error:
            answer = {"failed": f"{type(error).__name__}: {error}"}
        connection.send(answer)


_workers: dict[str, UnitWorkers] = {}


def register(name: str, workers: UnitWorkers) -> None:
    """Make these the workers that `workers_of` finds in this process."""
    _workers[name] = workers


def shut_down(name: str) -> None:
    """Kill the workers; the entry stays, so that a late request is refused rather than given a new pool."""
    workers = _workers.get(name)
    if workers is not None:
        workers.close()


def workers_of(name: str) -> UnitWorkers:
    """The children of an evaluation of this process."""
    return _workers[name]

"""The worker process: runs one candidate's landmark steps, one after the other, and answers in JSON.

Alone, or as one of several that hold the candidate together: each is asked the same, and the first one's answer
has the record.

It lives in its own session and process group, dies with its parent, writes what libraries print to a log
file, and keeps the candidate's state warm between consecutive steps. It decides nothing: what to run comes
in, the record of the step goes out, after the checkpoint is committed.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import multiprocessing
import os
import resource
import signal
import sys
import time
import traceback
from multiprocessing import forkserver
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lamps_core.errors import CandidateFailed, HubFailed, ShortOfMemory, StorageFailed, typed_line
from lamps_core.fine_tuning.steps import ExportRequest, StepRequest
from lamps_core.locks import held
from lamps_core.storage import unusable_storage

if TYPE_CHECKING:
    from multiprocessing.connection import Connection


# What torch and accelerate read to join other processes. A worker that is alone must see none of them, whatever
# launcher started LAMPS.
RANK_VARIABLES = (
    "RANK", "LOCAL_RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT",
    "PMI_RANK", "PMI_SIZE", "MPI_LOCALRANKID", "MPI_LOCALNRANKS",
    "OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_LOCAL_RANK", "OMPI_COMM_WORLD_LOCAL_SIZE",
    "MV2_COMM_WORLD_RANK", "MV2_COMM_WORLD_SIZE", "MV2_COMM_WORLD_LOCAL_RANK", "MV2_COMM_WORLD_LOCAL_SIZE",
)  # fmt: skip
PR_SET_PDEATHSIG = 1  # <linux/prctl.h>
PROGRESS_SECONDS = 0.2  # at most five progress messages a second
# By name, the errors that an answer may tell, with their arguments.
TOLD = {error.__name__: error for error in (CandidateFailed, HubFailed, ShortOfMemory, StorageFailed)}
# Errors that Python code of a model, a tokenizer or a library raises again at every try. What a device or a disk
# raises is none of these: the process ends of it, and the step is tried again in another one.
OF_THE_MODEL = (
    AssertionError,
    AttributeError,
    ImportError,
    LookupError,
    NotImplementedError,
    TypeError,
    ValueError,
)
MENDS = {
    "index out of range in self": ": a token or a position is beyond the model's embeddings; save the model with the "
    "tokenizer that it was trained with, or lower --max-length",
    "same number of <eos> tokens": ": the model reads a text at its end token, which its tokenizer pads with or finds "
    "in texts; take it out of the texts, or save the model with a tokenizer that has a padding token",
}


def main(connection: Connection, environment: dict[str, str], options: dict[str, Any]) -> None:
    """Entry point of the child process; answers requests until its parent closes the connection.

    Args:
        connection: JSON messages both ways.
        environment: variables to set before any device is touched: `CUDA_VISIBLE_DEVICES`, and for one of
            several also `RANK_VARIABLES`.
        options: `log` (path), `threads` (int) and `memory_limit_bytes` (int or None).
    """
    os.setsid()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _die_with_parent()
    leave_ranks()
    os.environ.update(environment)
    _redirect_output(Path(options["log"]))
    if options["memory_limit_bytes"] is not None:
        resource.setrlimit(resource.RLIMIT_AS, (options["memory_limit_bytes"],) * 2)
    _tokenise_on(options["threads"])
    worker = Worker(connection, threads=options["threads"])
    while True:
        try:
            message = connection.recv_bytes()
        except (EOFError, OSError):
            return
        worker.answer(json.loads(message))


def _tokenise_on(threads: int) -> None:
    """Have tokenizers use this worker's threads; the process that it was forked from has started none for them."""
    os.environ |= {"TOKENIZERS_PARALLELISM": str(threads > 1).lower(), "RAYON_NUM_THREADS": str(threads)}


def leave_ranks() -> dict[str, str]:
    """Forget the ranks that a launcher (`srun`, `mpirun`) gave this process, so that it works alone.

    Returns:
        The variables taken from the environment, with their values.
    """
    return {name: os.environ.pop(name) for name in RANK_VARIABLES if name in os.environ}


def _die_with_parent() -> None:
    """The fork server ends with the process that started it; this one ends with the fork server.

    The server ends when nobody holds the other end of a pipe, which it hands to each child: kept open here,
    server and worker would wait for each other.
    """
    os.close(forkserver._forkserver._forkserver_alive_fd)  # type: ignore[attr-defined]
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    parent = multiprocessing.parent_process()
    if parent is None or not parent.is_alive():  # it was gone before the line above
        os._exit(1)


def _redirect_output(log: Path) -> None:
    try:
        log.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    except OSError:  # the disk is full or read-only: the step will say so
        descriptor = os.open(os.devnull, os.O_WRONLY)
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    os.close(descriptor)
    sys.stdout = open(1, "w", buffering=1, closefd=False, encoding="utf-8")  # noqa: SIM115
    sys.stderr = open(2, "w", buffering=1, closefd=False, encoding="utf-8")  # noqa: SIM115


class Worker:
    """Answers requests on a connection, about at most one candidate.

    One of several processes waits here for the others to be there.
    """

    def __init__(self, connection: Connection, *, threads: int) -> None:
        from lamps_core.fine_tuning.landmark_step import CandidateRun
        from lamps_core.fine_tuning.ranks import join_ranks

        self._connection = connection
        self._ranks = join_ranks()
        self._run = CandidateRun(threads=threads, progress=self._progress, ranks=self._ranks)
        self._told_at = 0.0

    def answer(self, message: dict[str, Any]) -> None:
        """Do what one message asks and send how it ended; an error of any other kind ends the process."""
        try:
            if message["do"] == "step":
                request = _step_request(message["request"])
                with self._locked(request):
                    record = self._run.step(request, message["dispatched_at"])
            else:
                asked = message["request"]
                export = ExportRequest(**{**asked, "last": _step_request(asked["last"])})
                record = self._run.export(export)
            self._send(kind="done", record=record)
        except Exception as error:
            told = _told(error, message)
            self._send(kind=type(told).__name__, arguments=list(told.args))

    def _locked(self, request: StepRequest) -> contextlib.AbstractContextManager[None]:
        """The candidate's checkpoints are one worker's; of several processes the first, which alone writes."""
        return held(request.lock_file) if self._ranks.first else contextlib.nullcontext()

    def _send(self, **message: Any) -> None:
        self._connection.send_bytes(json.dumps(message).encode())

    def _progress(self, phase: str, done: int, total: int) -> None:
        if not self._ranks.first:
            return
        now = time.monotonic()
        if done and now - self._told_at < PROGRESS_SECONDS:
            return
        self._told_at = now
        self._send(kind="progress", phase=phase, done=done, total=total)


def _step_request(fields: dict[str, Any]) -> StepRequest:
    return StepRequest(**{**fields, "losses": tuple(fields["losses"])})


def _told(error: Exception, message: dict[str, Any]) -> Exception:
    """The error, one of `TOLD`, that tells the parent of an error.

    Raises:
        Exception: it is none that is told: the process ends of it.
    """
    asked = message["request"]
    storage = unusable_storage(error, str(asked["work_folder" if message["do"] == "step" else "target"]))
    if storage is not None:
        return StorageFailed(storage)
    if type(error) in TOLD.values():
        return error
    if isinstance(error, OF_THE_MODEL):
        traceback.print_exception(error)
        mend = next((mend for sign, mend in MENDS.items() if sign in str(error)), "")
        return CandidateFailed(typed_line(error) + mend)
    raise error

"""The worker process: runs one candidate's landmark steps, one after the other, and answers in JSON.

It lives in its own session and process group, dies with its parent, writes what libraries print to a log
file, and keeps the candidate's state warm between consecutive steps. It decides nothing: what to run comes in,
the record of the step goes out, after the checkpoint is committed.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import gc
import json
import multiprocessing
import os
import resource
import shutil
import signal
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lamps_core import __version__
from lamps_core.errors import CandidateFailed
from lamps_core.files import safe_name
from lamps_core.settings import FineTuningSettings
from lamps_core.steps import ExportRequest, StepRequest

if TYPE_CHECKING:
    from collections.abc import Iterator
    from multiprocessing.connection import Connection

    from lamps_core.checkpoint import Checkpoint
    from lamps_core.text_data import TextDataset
    from lamps_core.tokens import TokenisedSplit
    from lamps_core.training import FineTune

PR_SET_PDEATHSIG = 1  # <linux/prctl.h>
PROGRESS_SECONDS = 0.2  # at most five progress messages a second
ONE_THREAD_PARAMETERS = 10_000_000  # below, a second CPU thread costs more than it brings (docs/log.md)


def main(connection: Connection, environment: dict[str, str], options: dict[str, Any]) -> None:
    """Entry point of the child process; answers requests until its parent closes the connection.

    Args:
        connection: JSON messages both ways.
        environment: variables to set before any device is touched (`CUDA_VISIBLE_DEVICES`).
        options: `log` (path), `threads` (int) and `memory_limit_bytes` (int or None).
    """
    os.setsid()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _die_with_parent()
    os.environ.update(environment)
    _redirect_output(Path(options["log"]))
    if options["memory_limit_bytes"] is not None:
        resource.setrlimit(resource.RLIMIT_AS, (options["memory_limit_bytes"],) * 2)
    worker = Worker(connection, threads=options["threads"])
    with contextlib.suppress(EOFError, OSError):
        while True:
            worker.answer(json.loads(connection.recv_bytes()))


def _die_with_parent() -> None:
    """The fork server ends with the process that started it; this one ends with the fork server."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    parent = multiprocessing.parent_process()
    if parent is None or not parent.is_alive():  # it was gone before the line above
        os._exit(1)


def _redirect_output(log: Path) -> None:
    log.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    os.close(descriptor)
    sys.stdout = open(1, "w", buffering=1, closefd=False, encoding="utf-8")  # noqa: SIM115, PTH123
    sys.stderr = open(2, "w", buffering=1, closefd=False, encoding="utf-8")  # noqa: SIM115, PTH123


class Worker:
    """The state of a worker process: at most one candidate, warm after its last step."""

    def __init__(self, connection: Connection, *, threads: int) -> None:
        self._connection = connection
        self._threads = threads
        self._tune: FineTune | None = None
        self._tuned_step = -1
        self._splits: dict[str, TokenisedSplit] = {}
        self._tokenizer: Any = None
        self._data: TextDataset | None = None
        self._told_at = 0.0

    def answer(self, message: dict[str, Any]) -> None:
        """Do what one message asks and send `done` or `failed`; anything else ends the process."""
        try:
            if message["do"] == "step":
                record = self._locked_step(_step_request(message["request"]), message["dispatched_at"])
                self._send(kind="done", record=record)
            else:
                asked = message["request"]
                request = ExportRequest(**{**asked, "last": _step_request(asked["last"])})
                self._send(kind="done", record=self.export(request))
        except CandidateFailed as error:
            self._send(kind="failed", reason=str(error))

    def _send(self, **message: Any) -> None:
        self._connection.send_bytes(json.dumps(message).encode())

    def _progress(self, phase: str, done: int = 0, total: int = 0) -> None:
        now = time.monotonic()
        if done and now - self._told_at < PROGRESS_SECONDS:
            return
        self._told_at = now
        self._send(kind="progress", phase=phase, done=done, total=total)

    def _locked_step(self, request: StepRequest, dispatched_at: float) -> dict[str, Any]:
        folder = checkpoint_folder(request)
        folder.mkdir(parents=True, exist_ok=True)
        with _locked(folder.with_name(f"{folder.name}.lock")):
            return self.step(request, dispatched_at)

    def step(self, request: StepRequest, dispatched_at: float) -> dict[str, Any]:
        """Run one landmark step, unless its checkpoint says that it is done.

        Args:
            request: the step.
            dispatched_at: `time.monotonic()` when the step was sent, where `step_seconds` begins.

        Returns:
            The step's record: a row of the curves' schema, and what the next step needs to know.

        Raises:
            CandidateFailed: the step can never be done.
        """
        from lamps_core.checkpoint import newest_checkpoint

        newest = newest_checkpoint(checkpoint_folder(request))
        if newest is not None and newest.step >= request.step:
            return _committed(newest, request)
        micro_batch = newest.record["micro_batch_size"] if newest is not None else None
        while True:
            try:
                return self._attempt(request, newest, micro_batch, dispatched_at)
            except (RuntimeError, MemoryError) as error:
                micro_batch = self._halved(error)

    def _halved(self, error: Exception) -> int:
        from lamps_core.pretrained import first_line, is_out_of_memory

        if not is_out_of_memory(error):
            raise error
        before = self._tune.micro_batch_size if self._tune is not None else 1
        self._tune, self._tuned_step = None, -1
        error.__traceback__ = None  # its frames hold the tensors that did not fit
        gc.collect()
        _empty_device_cache()
        if before == 1:
            raise CandidateFailed(f"out of memory with one row at a time: {first_line(error)}") from None
        print(f"out of memory at micro-batch {before}: trying {before // 2}")
        return before // 2

    def _attempt(
        self, request: StepRequest, newest: Checkpoint | None, micro_batch: int | None, dispatched_at: float
    ) -> dict[str, Any]:
        from lamps_core import landmarks, training
        from lamps_core.checkpoint import commit_checkpoint

        cpu_before = time.process_time()
        settings = FineTuningSettings(**request.settings)
        tune = self._loaded(request, settings, newest, micro_batch)
        row: dict[str, Any] = {"train_rows": 0, "train_seconds": 0.0, "train_flops": 0.0}
        flops = newest.record["flops_per_token"] if newest is not None else None
        if request.step == 0:
            flops = training.forward_flops_per_token(tune, self._splits["train"])
        else:
            train = self._splits["train"]
            order = landmarks.stratified_order(train.labels, seed=settings.seed)
            rows = landmarks.rows_of_step(order, request.step, settings.landmarks)
            started = time.monotonic()
            training.train_epoch(tune, train, rows, settings, step=request.step, progress=self._training)
            _synchronise_device()
            row["train_seconds"] = time.monotonic() - started
            row["train_rows"] = len(rows)
            row["train_flops"] = 3.0 * flops * int(train.lengths[rows].sum())  # backward costs two forwards
        started = time.monotonic()
        result = training.evaluate(tune, self._splits["evaluation"], progress=self._evaluating)
        row["eval_rows_per_second"] = len(self._splits["evaluation"]) / (time.monotonic() - started)
        complete = settings.is_complete([*request.losses, result.loss])
        row |= {"test_loss": result.loss, "accuracy": result.accuracy, "macro_f1": result.macro_f1}
        row |= _facts(tune, request, settings) | {"complete": complete, "flops_per_token": flops}
        row["train_tokens"] = int(self._splits["train"].lengths.sum())
        self._progress("save")

        def record() -> dict[str, Any]:
            row["cpu_seconds"] = time.process_time() - cpu_before
            row["step_seconds"] = time.monotonic() - dispatched_at
            return row

        def save(folder: Path) -> None:
            if request.step > 0:
                _save_state(tune, folder, with_optimizer=not complete)

        told = commit_checkpoint(checkpoint_folder(request), request.step, save=save, record=record)
        self._tuned_step = request.step
        return told

    def _training(self, done: int, total: int) -> None:
        self._progress("train", done, total)

    def _evaluating(self, done: int, total: int) -> None:
        self._progress("evaluate", done, total)

    def _loaded(
        self,
        request: StepRequest,
        settings: FineTuningSettings,
        newest: Checkpoint | None,
        micro_batch: int | None,
    ) -> FineTune:
        if self._tune is not None and self._tuned_step == request.step - 1:
            return self._tune
        from lamps_core import checkpoint, pretrained, training

        self._progress("load")
        self._load_tokens(request, settings, ("train", "evaluation"))
        found = newest is not None and newest.has_model
        if request.step > 1 and (newest is None or not found or newest.step != request.step - 1):
            raise CandidateFailed(f"the checkpoint after step {request.step - 1} is gone: start a new --out")
        assert self._data is not None
        model = pretrained.load_model(
            str(newest.folder) if newest is not None and found else request.location,
            revision=None if found else request.revision,
            label_names=self._data.label_names,
            pad_token_id=self._tokenizer.pad_token_id,
            seed=settings.seed,
        )
        _limit_threads(model, self._threads)
        tune = training.start_fine_tune(model, settings, learning_rate=request.learning_rate)
        if newest is not None and found:
            checkpoint.load_optimizer(tune.optimizer, newest.folder)
        self._fit(tune, settings, micro_batch)
        self._tune = tune
        return tune

    def _fit(self, tune: FineTune, settings: FineTuningSettings, micro_batch: int | None) -> None:
        if micro_batch is not None:
            tune.micro_batch_size = micro_batch
        elif settings.micro_batch_size is None and tune.device.type == "cuda":
            from lamps_core.memory import micro_batch_for

            found = micro_batch_for(tune, self._splits["train"], batch_size=settings.batch_size)
            if found is None:
                raise CandidateFailed("out of memory: one row does not fit on this device")
            tune.micro_batch_size = found

    def _load_tokens(self, request: StepRequest, settings: FineTuningSettings, names: tuple[str, ...]) -> None:
        from lamps_core import pretrained, tokens
        from lamps_core.text_data import load_prepared

        work = Path(request.work_folder)
        self._data = load_prepared(work / "data")
        self._tokenizer = pretrained.load_tokenizer(
            request.location, revision=request.revision, max_length=settings.max_length
        )
        for name in names:
            split = getattr(self._data, name)
            key = tokens.cache_key(
                self._tokenizer,
                split_key=f"{request.dataset_fingerprint} {name}",
                max_length=self._tokenizer.model_max_length,
            )
            folder = work / "tokens" / key
            found = tokens.load_tokens(folder)
            if found is None:
                found = tokens.tokenise(
                    split.texts, split.labels, self._tokenizer, max_length=self._tokenizer.model_max_length
                )
                tokens.save_tokens(found, folder)
            self._splits[name] = found

    def export(self, request: ExportRequest) -> dict[str, Any]:
        """Save a complete candidate as a model folder, by one rename, and measure the test split if asked.

        Returns:
            `{}`, or `test_loss`, `accuracy` and `macro_f1` of the held-out test split.
        """
        from lamps_core import pretrained, training
        from lamps_core.checkpoint import newest_checkpoint

        last, target = request.last, Path(request.target)
        settings = FineTuningSettings(**last.settings)
        self._load_tokens(last, settings, ("test",) if request.evaluate_test else ())
        newest = newest_checkpoint(checkpoint_folder(last))
        if newest is None or not newest.has_model:
            raise CandidateFailed("its checkpoint is gone")
        assert self._data is not None
        model = pretrained.load_model(
            str(newest.folder),
            revision=None,
            label_names=self._data.label_names,
            pad_token_id=self._tokenizer.pad_token_id,
            seed=settings.seed,
        )
        draft = target.with_name(f".{target.name}.draft")
        shutil.rmtree(draft, ignore_errors=True)
        model.save_pretrained(draft)
        self._tokenizer.save_pretrained(draft)
        measured = {}
        if request.evaluate_test:
            tune = training.start_fine_tune(model, settings, learning_rate=last.learning_rate)
            result = training.evaluate(tune, self._splits["test"], progress=self._evaluating)
            measured = {"test_loss": result.loss, "accuracy": result.accuracy, "macro_f1": result.macro_f1}
        shutil.rmtree(target, ignore_errors=True)
        draft.rename(target)
        return measured


def checkpoint_folder(request: StepRequest) -> Path:
    """Where a candidate's checkpoints lie."""
    return Path(request.work_folder) / "checkpoints" / safe_name(request.name)


def _step_request(fields: dict[str, Any]) -> StepRequest:
    return StepRequest(**{**fields, "losses": tuple(fields["losses"])})


def _committed(newest: Checkpoint, request: StepRequest) -> dict[str, Any]:
    """The record of a step that an earlier worker committed but could not report."""
    record = newest.record
    settings = FineTuningSettings(**request.settings)
    same = record["config_hash"] == settings.config_hash and (
        record["dataset_fingerprint"] == request.dataset_fingerprint
    )
    if newest.step != request.step or not same:
        raise CandidateFailed(f"{newest.folder} belongs to another run: remove it, or choose another --out")
    return record


def _save_state(tune: FineTune, folder: Path, *, with_optimizer: bool) -> None:
    from lamps_core.checkpoint import save_optimizer

    tune.accelerator.unwrap_model(tune.model).save_pretrained(folder)
    if with_optimizer:
        save_optimizer(tune.optimizer, folder)


def _facts(tune: FineTune, request: StepRequest, settings: FineTuningSettings) -> dict[str, Any]:
    """What is known of a step besides what it measured."""
    import torch

    cuda = tune.device.type == "cuda"
    peak = torch.cuda.max_memory_allocated() if cuda else _peak_resident_bytes()
    return {
        "model": request.name,
        "seed": settings.seed,
        "step": request.step,
        "parameters": sum(parameter.numel() for parameter in tune.model.parameters()),
        "source": "measured",
        "peak_memory_bytes": peak,
        "batch_size": settings.batch_size,
        "micro_batch_size": tune.micro_batch_size,
        "gpus": int(cuda),
        "device": torch.cuda.get_device_name() if cuda else f"cpu x{torch.get_num_threads()}",
        "dtype": "bf16" if tune.accelerator.mixed_precision == "bf16" else "fp32",
        "config_hash": settings.config_hash,
        "dataset_fingerprint": request.dataset_fingerprint,
        "lamps_version": __version__,
        "created_at": datetime.now(UTC).isoformat(),
    }


def _peak_resident_bytes() -> int:
    kilobytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return kilobytes if sys.platform == "darwin" else kilobytes * 1024


def _limit_threads(model: Any, threads: int) -> None:
    import torch

    small = sum(parameter.numel() for parameter in model.parameters()) < ONE_THREAD_PARAMETERS
    torch.set_num_threads(1 if small else threads)


def _synchronise_device() -> None:
    import torch

    if torch.cuda.is_available():
        torch.cuda.synchronize()


def _empty_device_cache() -> None:
    import torch

    if torch.cuda.is_available():
        torch.cuda.empty_cache()


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Wait until no other worker holds the file: one that a killed run left ends within milliseconds."""
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield

"""A candidate's landmark steps in this process: load, train, evaluate, commit, one step after the other.

Keeps the candidate's state warm between consecutive steps, and picks it up from the checkpoint otherwise:
both give the same numbers. Owns what is done when memory runs out. Where several processes hold the candidate,
each runs this, and the first one writes. Knows nothing of how processes are started or of what decides the next step.
"""

from __future__ import annotations

import gc
import shutil
import time
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from lamps_core import landmarks
from lamps_core.errors import CandidateFailed, ShortOfMemory, typed_line
from lamps_core.files import draft_beside, exchange_folders, flush, flush_folder, readable_like
from lamps_core.fine_tuning import checkpoint, optimizer_state, pretrained, sharding, tokens, training
from lamps_core.fine_tuning.checkpoint import checkpoint_after, newest_checkpoint
from lamps_core.fine_tuning.memory import micro_batch_for
from lamps_core.fine_tuning.ranks import ALONE
from lamps_core.fine_tuning.step_record import facts, measured
from lamps_core.settings import FineTuningSettings
from lamps_core.text.prepared_data import load_prepared, prepared_label_names

if TYPE_CHECKING:
    from collections.abc import Callable

    from lamps_core.fine_tuning.checkpoint import Checkpoint
    from lamps_core.fine_tuning.ranks import Ranks
    from lamps_core.fine_tuning.steps import ExportRequest, StepRequest
    from lamps_core.fine_tuning.tokens import TokenisedSplit
    from lamps_core.fine_tuning.training import FineTune

ONE_THREAD_PARAMETERS = 10_000_000  # below, a second CPU thread costs more than it brings (docs/log.md)


class CandidateRun:
    """One candidate's state in this process, warm after its last step."""

    def __init__(
        self, *, threads: int, progress: Callable[[str, int, int], None], ranks: Ranks = ALONE
    ) -> None:
        """Hold nothing yet.

        Args:
            threads: CPU threads to use for a candidate that is large enough.
            progress: told the phase (`load`, `train`, `evaluate`, `save`), and done and total of it.
            ranks: this process among those that hold the candidate.
        """
        self._ranks = ranks
        self._threads = threads
        self._progress = progress
        self._tune: FineTune | None = None
        self._committed: dict[str, Any] | None = None  # record of the step that `_tune` is the state after
        self._splits: dict[str, TokenisedSplit] = {}
        self._tokenizer: Any = None
        self._label_names: tuple[str, ...] = ()

    def step(self, request: StepRequest, dispatched_at: float) -> dict[str, Any]:
        """Run one landmark step, unless its checkpoint says that it is done.

        Args:
            request: the step.
            dispatched_at: `time.monotonic()` when the step was sent, where `step_seconds` begins.

        Returns:
            The step's record: a row of the curves' schema, and what the next step needs to know. Of several
            processes, what the first one returns is the record.

        Raises:
            CandidateFailed: the step can never be done.
            ShortOfMemory: it may be done with fewer rows in a pass, by processes that begin anew.
        """
        newest = self._newest(request.checkpoint_folder)
        if newest is not None:
            _refuse_another_run(newest, request)
            if newest.step == request.step:  # an earlier worker committed it but could not report
                return newest.record
        micro_batch = request.micro_batch_size
        if micro_batch is None and newest is not None:
            micro_batch = newest.record["micro_batch_size"]
        while True:
            try:
                return self._attempt(request, newest, micro_batch, dispatched_at)
            except (RuntimeError, MemoryError) as error:
                micro_batch = self._halved(error)

    def _newest(self, folder: Path) -> Checkpoint | None:
        """The newest checkpoint as the first process sees it: the others may look a moment later."""
        found = newest_checkpoint(folder) if self._ranks.first else None
        step = self._ranks.agree(found.step if found is not None else -1)
        return checkpoint_after(folder, step) if step >= 0 else None

    def _halved(self, error: Exception) -> int:
        if not pretrained.is_out_of_memory(error):
            raise error
        before = self._tune.micro_batch_size if self._tune is not None else 1
        if self._ranks.several and before > 1:  # the others wait inside a pass of the model, for ever
            print(f"out of memory at micro-batch {before}: all processes begin anew")
            raise ShortOfMemory(typed_line(error), before) from error
        error.__traceback__ = None  # its frames hold the tensors that did not fit
        self._let_go()
        if before == 1:
            raise CandidateFailed(f"out of memory with one row at a time: {typed_line(error)}") from None
        print(f"out of memory at micro-batch {before}: trying {before // 2}")
        return before // 2

    def _attempt(
        self, request: StepRequest, newest: Checkpoint | None, micro_batch: int | None, dispatched_at: float
    ) -> dict[str, Any]:
        cpu_before = time.process_time()
        settings = FineTuningSettings(**request.settings)
        tune = self._loaded(request, settings, newest, micro_batch)
        row = self._trained(tune, settings, request.step, newest)
        row |= self._evaluated(tune) | facts(tune, request, settings)
        row["complete"] = settings.is_complete([*request.losses, row["test_loss"]])
        self._progress("save", 0, 0)

        cpu_of_others = self._ranks.total(0.0 if self._ranks.first else time.process_time() - cpu_before)

        def save(folder: Path | None) -> None:
            if request.step > 0:
                _save_state(tune, folder, with_optimizer=not row["complete"])

        def record() -> dict[str, Any]:
            row["cpu_seconds"] = time.process_time() - cpu_before + cpu_of_others
            row["step_seconds"] = time.monotonic() - dispatched_at
            return row

        told = row
        if self._ranks.first:
            folder = request.checkpoint_folder
            told = checkpoint.commit_checkpoint(folder, request.step, save=save, record=record)
        else:
            save(None)
        self._committed = row
        return told

    def _trained(
        self, tune: FineTune, settings: FineTuningSettings, step: int, newest: Checkpoint | None
    ) -> dict[str, Any]:
        """Train one epoch on D_step; at step 0 nothing is trained, and the cost of a token is counted."""
        train = self._splits["train"]
        known = newest.record["flops_per_token"] if newest is not None else None
        flops = training.forward_flops_per_token(tune, train) if known is None else known
        row = {"flops_per_token": flops, "train_tokens": int(train.lengths.sum())}
        if step == 0:
            return row | {"train_rows": 0, "train_seconds": 0.0, "train_flops": 0.0}
        order = landmarks.stratified_order(train.labels, seed=settings.seed)
        rows = landmarks.rows_of_step(order, step, settings.landmarks)
        self._ranks.barrier()
        started = time.monotonic()
        training.train_epoch(tune, train, rows, settings, step=step, progress=self._training)
        _synchronise_device()
        self._ranks.barrier()
        seconds = time.monotonic() - started
        backward_and_forward = 3.0 * flops * int(train.lengths[rows].sum())
        return row | {"train_rows": len(rows), "train_seconds": seconds, "train_flops": backward_and_forward}

    def _evaluated(self, tune: FineTune) -> dict[str, Any]:
        split = self._splits["evaluation"]
        started = time.monotonic()
        result = training.evaluate(tune, split, progress=self._evaluating)
        rows_per_second = len(split) / (time.monotonic() - started)
        return measured(result) | {"eval_rows_per_second": rows_per_second}

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
        warm = self._goes_on_from(newest)
        self._committed = None  # until this step is: one that fails leaves the weights of none
        if self._tune is not None:
            if warm:
                return self._tune
            self._let_go()
        self._progress("load", 0, 0)
        self._load_tokens(request, settings, ("train", "evaluation"))
        found = newest is not None and newest.has_model
        if request.step > 1 and (newest is None or not found or newest.step != request.step - 1):
            raise CandidateFailed(f"the checkpoint after step {request.step - 1} is gone: start a new --out")
        if newest is not None and found:
            model = self._model(str(newest.folder), None, seed=settings.seed)
        else:
            pretrained.refuse_damaged(request.location)
            model = self._model(request.location, request.revision, seed=settings.seed)
        tune = training.start_fine_tune(model, settings, self._ranks)
        if newest is not None and found:
            optimizer_state.load_optimizer(tune.optimizer, newest.folder)
        self._fit(tune, settings, micro_batch)
        self._tune = tune
        return tune

    def _goes_on_from(self, newest: Checkpoint | None) -> bool:
        """Whether what is held is the state after the newest checkpoint: another process may have made it anew."""
        same = newest is not None and newest.record == self._committed
        return bool(self._ranks.agree(int(same)))

    def _let_go(self) -> None:
        self._tune = None
        gc.collect()
        _clear_device()

    def _model(self, location: str, revision: str | None, *, seed: int) -> Any:
        model = pretrained.load_model(
            location,
            revision=revision,
            label_names=self._label_names,
            pad_token_id=self._tokenizer.pad_token_id,
            seed=seed,
        )
        _limit_threads(model, self._threads)
        return model

    def _fit(self, tune: FineTune, settings: FineTuningSettings, micro_batch: int | None) -> None:
        # Several ranks take no probe, whose end is to run out: they begin with all rows that each is dealt.
        if self._ranks.several:
            tune.limit_micro_batch(micro_batch or tune.micro_batch_size, settings)
        elif micro_batch is not None:
            tune.micro_batch_size = micro_batch
        elif tune.device.type == "cuda":
            found = micro_batch_for(tune, self._splits["train"], batch_size=settings.batch_size)
            if found is None:
                raise CandidateFailed("out of memory: one row does not fit on this device")
            tune.micro_batch_size = found

    def _load_tokens(
        self, request: StepRequest, settings: FineTuningSettings, names: tuple[str, ...]
    ) -> None:
        work = Path(request.work_folder)
        prepared = cache(load_prepared)  # its texts: millions are not read where their tokens are found
        self._label_names = prepared_label_names(work / "data")
        self._tokenizer = pretrained.load_tokenizer(
            request.location, revision=request.revision, max_length=settings.max_length
        )
        if not self._ranks.first:
            self._ranks.barrier()  # the first one tokenises, the others find its tokens
        for name in names:
            key = tokens.cache_key(
                self._tokenizer,
                split_key=f"{request.dataset_fingerprint} {name}",
                max_length=self._tokenizer.model_max_length,
            )
            folder = work / "tokens" / key
            found = tokens.load_tokens(folder)
            if found is None:
                split = getattr(prepared(work / "data"), name)
                found = tokens.tokenise(
                    split.texts, split.labels, self._tokenizer, max_length=self._tokenizer.model_max_length
                )
                tokens.save_tokens(found, folder)
            self._splits[name] = found
        if self._ranks.first:
            self._ranks.barrier()

    def export(self, request: ExportRequest) -> dict[str, Any]:
        """Save a complete candidate as a model folder, by one rename, and measure the test split if asked.

        Returns:
            `{}`, or `test_loss`, `accuracy` and `macro_f1` of the held-out test split.
        """
        self._let_go()  # two models at once may not fit
        self._committed = None
        last, target = request.last, Path(request.target)
        settings = FineTuningSettings(**last.settings)
        self._load_tokens(last, settings, ("test",) if request.evaluate_test else ())
        newest = self._newest(last.checkpoint_folder)
        if newest is None or not newest.has_model:
            gone = f"the checkpoint of {last.name} is gone from {last.checkpoint_folder}"
            raise CandidateFailed(f"{gone}: restore it, or start with another --out")
        model = self._model(str(newest.folder), None, seed=settings.seed)
        draft = draft_beside(target)
        if self._ranks.first:
            model.save_pretrained(draft)
            tokens.forget_last_call(self._tokenizer)  # where tokens are found on disk, there was none
            self._tokenizer.save_pretrained(draft)
        told = {}
        if request.evaluate_test:
            tune = training.start_fine_tune(model, settings, self._ranks)
            tune.limit_micro_batch(newest.record["micro_batch_size"], settings)
            result = training.evaluate(tune, self._splits["test"], progress=self._evaluating)
            told = measured(result)
        if self._ranks.first:
            readable_like(draft / "config.json")
            flush_folder(draft)
            if target.is_dir():  # that a reader finds whole, the old one or the new
                exchange_folders(draft, target)
                shutil.rmtree(draft, ignore_errors=True)
            else:
                draft.rename(target)
                flush(target.parent)
        return told


def _refuse_another_run(newest: Checkpoint, request: StepRequest) -> None:
    """A step begins, and ends, with weights of the same data and settings, and never goes back."""
    record = newest.record
    settings = FineTuningSettings(**request.settings)
    same = record["config_hash"] == settings.config_hash and (
        record["dataset_fingerprint"] == request.dataset_fingerprint
    )
    if newest.step > request.step or not same:
        raise CandidateFailed(f"{newest.folder} belongs to another run: remove it, or choose another --out")


def _save_state(tune: FineTune, folder: Path | None, *, with_optimizer: bool) -> None:
    """Write a model folder and the optimiser; where several processes hold them, all call this, one with a folder."""
    weights = sharding.whole_weights(tune.model) if tune.ranks.several else None
    if folder is not None:
        tune.accelerator.unwrap_model(tune.model).save_pretrained(folder, state_dict=weights)
    del weights  # before the moments come, which are twice as large
    if with_optimizer:
        optimizer_state.save_optimizer(tune.optimizer, folder)


def _limit_threads(model: Any, threads: int) -> None:
    small = sum(parameter.numel() for parameter in model.parameters()) < ONE_THREAD_PARAMETERS
    torch.set_num_threads(1 if small else threads)


def _synchronise_device() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def _clear_device() -> None:
    """Give back what is free; the peak of memory is not that of what was there before."""
    if torch.cuda.is_initialized():
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()

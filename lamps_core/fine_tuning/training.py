"""One landmark step: train one epoch on a landmark subset, evaluate on the whole split.

A lean loop on `accelerate`, on one device or as one of several processes that hold the model together. Owns
batches, the update, the loss; knows nothing of checkpoints, budgets or what decides the next step.
"""

from __future__ import annotations

import contextlib
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import transformers
from accelerate import Accelerator

from lamps_core.errors import CandidateFailed
from lamps_core.fine_tuning.pretrained import LEFT_PADDED, is_out_of_memory
from lamps_core.fine_tuning.ranks import ALONE
from lamps_core.fine_tuning.sharding import sharding_accelerator

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from lamps_core.fine_tuning.ranks import Ranks
    from lamps_core.fine_tuning.tokens import TokenisedSplit
    from lamps_core.settings import FineTuningSettings

SEED_STRIDE = 1_000_003  # a prime: seeds of (run, step) do not meet for runs of fewer steps than this
RANK_STRIDE = 15_485_863  # another: each process of a candidate draws dropout of its own
# On a CPU a batch cut in two after sorting by length pads less: 1.25 times as fast for a model that is not
# tiny, slower for one that is (docs/log.md).
CPU_MICRO_BATCH_SIZE = 16
CPU_MICRO_BATCH_PARAMETERS = 1_000_000
EVALUATION_TOKENS = {"cuda": 65_536, "cpu": 4_096}  # padded tokens a batch; docs/log.md has the CPU figures


@dataclass
class FineTune:
    """A model in training: what a checkpoint must hold, and what it runs on.

    Attributes:
        model: the classifier, on its device, or its part of it.
        optimizer: AdamW over every parameter.
        accelerator: owns device and precision.
        ranks: this process among those that hold the model.
        pad_id: padding token of the model's tokenizer.
        pad_left: whether padding goes before the text (XLNet).
        micro_batch_size: rows in one forward pass of training, on each device.
        evaluation_tokens: padded tokens in one forward pass of evaluation, on each device.
        earlier_peak_bytes: `peak_bytes` when the GPU's own figure was last set back.
    """

    model: Any
    optimizer: Any
    accelerator: Accelerator
    ranks: Ranks
    pad_id: int
    pad_left: bool
    micro_batch_size: int
    evaluation_tokens: int
    earlier_peak_bytes: int = 0

    @property
    def peak_bytes(self) -> int:
        """Peak memory allocated on the GPU, without attempts that ran out of memory; 0 on a CPU."""
        if self.device.type != "cuda":
            return 0
        return max(self.earlier_peak_bytes, torch.cuda.max_memory_allocated(self.device))

    def forget_attempt(self, peak_before: int) -> None:
        """Leave out of `peak_bytes` an attempt that ran out of memory.

        Args:
            peak_before: what it was when the attempt began.
        """
        self.earlier_peak_bytes = peak_before
        if self.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self.device)

    @property
    def device(self) -> torch.device:
        """Where the model lies."""
        return self.accelerator.device

    def inputs(self, split: TokenisedSplit, rows: np.ndarray) -> dict[str, torch.Tensor]:
        """Padded ids and mask of some rows, on the device."""
        ids, mask = split.padded(rows, self.pad_id, left=self.pad_left)
        return {
            "input_ids": torch.from_numpy(ids).to(self.device, non_blocking=True),
            "attention_mask": torch.from_numpy(mask).to(self.device, non_blocking=True),
        }

    def logits(self, split: TokenisedSplit, rows: np.ndarray) -> torch.Tensor:
        """fp32 logits of some rows; a collective act where several hold the model."""
        # Prepared for one device, the model's own forward is under autocast; for several it is not.
        precision = self.accelerator.autocast() if self.ranks.several else contextlib.nullcontext()
        with precision:
            return self.model(**self.inputs(split, rows)).logits.float()

    def no_gradients(self) -> contextlib.AbstractContextManager[Any]:
        """What evaluation runs in: FSDP keeps the buffers it gathers into, which inference mode would spoil."""
        return torch.no_grad() if self.ranks.several else torch.inference_mode()

    def limit_micro_batch(self, rows: int, settings: FineTuningSettings) -> None:
        """Take at most `rows` rows in a training pass; where several processes hold the model, in an evaluation, too.

        There, one process that runs out of memory ends all, and what fits in training fits in an evaluation.
        """
        self.micro_batch_size = min(self.micro_batch_size, rows)
        if self.ranks.several:
            tokens = self.micro_batch_size * settings.max_length
            self.evaluation_tokens = min(self.evaluation_tokens, tokens)


@dataclass(frozen=True)
class Evaluation:
    """What a model does on a split.

    Attributes:
        loss: mean cross-entropy, nats.
        accuracy: share of rows whose likeliest class is right.
        macro_f1: F1 averaged over the classes that occur in labels or predictions.
    """

    loss: float
    accuracy: float
    macro_f1: float


def resolve_precision(wanted: str, *, cuda: bool) -> str:
    """`fp32` or `bf16`: what `auto` means on this device. A CPU without AMX is 14 times slower in bf16."""
    if wanted != "auto":
        return wanted
    return "bf16" if cuda and torch.cuda.is_bf16_supported(including_emulation=False) else "fp32"


def start_fine_tune(model: Any, settings: FineTuningSettings, ranks: Ranks = ALONE) -> FineTune:
    """Put a freshly loaded model on the device, or spread it over several, with its optimiser.

    Args:
        model: from `load_model`, on the CPU.
        settings: learning rate, batch size, precision.
        ranks: this process among those that hold the model; each calls this with the same model.
    """
    cuda = torch.cuda.is_available()
    precision = "bf16" if resolve_precision(settings.precision, cuda=cuda) == "bf16" else "no"
    if ranks.several:
        accelerator = sharding_accelerator(model, mixed_precision=precision, cuda=cuda)
    else:
        accelerator = Accelerator(mixed_precision=precision, cpu=not cuda)
        model.to(accelerator.device)
    size = sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)
    # weight decay 0: the Trainer's default, which the paper leaves as it is
    optimizer = torch.optim.AdamW(
        # in no variable here: it would keep the whole weights alive while they are spread
        [parameter for parameter in model.parameters() if parameter.requires_grad],
        lr=settings.rate_with(None),
        weight_decay=0.0,
        fused=True,
    )
    model, optimizer = accelerator.prepare(model, optimizer)
    config = accelerator.unwrap_model(model).config
    tune = FineTune(
        model=model,
        optimizer=optimizer,
        accelerator=accelerator,
        ranks=ranks,
        pad_id=config.pad_token_id,
        pad_left=config.model_type in LEFT_PADDED,
        micro_batch_size=_first_micro_batch(size, settings, cuda=cuda),
        evaluation_tokens=EVALUATION_TOKENS[accelerator.device.type],
    )
    tune.limit_micro_batch(-(-settings.batch_size // ranks.count), settings)
    return tune


def _first_micro_batch(parameters: int, settings: FineTuningSettings, *, cuda: bool) -> int:
    """The micro-batch to begin with; on one GPU a probe of its memory follows."""
    small = parameters < CPU_MICRO_BATCH_PARAMETERS
    return settings.batch_size if cuda or small else min(settings.batch_size, CPU_MICRO_BATCH_SIZE)


def update_batches(rows: np.ndarray, settings: FineTuningSettings, step: int) -> Iterator[np.ndarray]:
    """The rows of a step, shuffled by (run seed, step), in batches of one update each."""
    order = np.random.default_rng([settings.seed, step]).permutation(len(rows))
    shuffled = rows[order]
    for start in range(0, len(shuffled), settings.batch_size):
        yield shuffled[start : start + settings.batch_size]


def train_epoch(
    tune: FineTune,
    split: TokenisedSplit,
    rows: np.ndarray,
    settings: FineTuningSettings,
    *,
    step: int,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> float:
    """One epoch over `rows`.

    Every update averages the loss over its whole batch, however it is dealt to processes and cut into
    micro-batches: sorted by length first, so that a cut saves padding, which leaves the update the same sum in
    another order. Dropout is drawn from (run seed, step, process): with another number of devices its masks are
    others.

    Returns:
        Mean training loss over the epoch, nats; 0.0 for an epoch over no rows.

    Raises:
        CandidateFailed: the loss is no longer a number.
    """
    seed = settings.seed * SEED_STRIDE + step + tune.ranks.rank * RANK_STRIDE
    transformers.set_seed(seed % 2**32)
    tune.model.train()
    total = torch.zeros((), dtype=torch.float64, device=tune.device)
    updates = math.ceil(len(rows) / settings.batch_size)
    for done, batch in enumerate(update_batches(rows, settings, step)):
        progress(done, updates)
        total += _update(tune, split, batch, settings.max_grad_norm)
    loss = float(tune.ranks.sum(total)) / len(rows) if len(rows) else 0.0
    if not math.isfinite(loss):
        raise CandidateFailed(f"the training loss of step {step} is {loss}: try a lower --learning-rate")
    return loss


def _update(tune: FineTune, split: TokenisedSplit, batch: np.ndarray, max_grad_norm: float) -> torch.Tensor:
    by_length = batch[np.argsort(split.lengths[batch], kind="stable")]
    total = torch.zeros((), dtype=torch.float64, device=tune.device)
    rows_a_process = len(batch) / tune.ranks.count  # FSDP averages gradients over the processes
    for rows, counts in tune.ranks.passes(by_length, tune.micro_batch_size):
        loss = summed_loss(tune, split, rows)
        if not counts:
            loss = loss * 0.0
        tune.accelerator.backward(loss / rows_a_process)
        total += loss.detach()
    tune.accelerator.clip_grad_norm_(tune.model.parameters(), max_grad_norm)
    tune.optimizer.step()
    tune.optimizer.zero_grad()
    return total


def summed_loss(tune: FineTune, split: TokenisedSplit, rows: np.ndarray) -> torch.Tensor:
    """Cross-entropy of fp32 logits summed over rows, nats, with its graph."""
    labels = torch.from_numpy(split.labels[rows]).to(tune.device, non_blocking=True)
    return torch.nn.functional.cross_entropy(tune.logits(split, rows), labels, reduction="sum")


def evaluate(
    tune: FineTune,
    split: TokenisedSplit,
    *,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Evaluation:
    """Loss, accuracy and F1 over every row of a split, in batches of like lengths.

    The loss is cross-entropy of fp32 logits, summed in fp64. Where memory runs out, batches are halved:
    a GPU that trains a large model a row at a time may not hold 65,536 tokens of it at once. Where several
    processes hold the model, its error is raised: the others could not know of another batch.

    Raises:
        CandidateFailed: the loss is not a number.
    """
    peak_before = tune.peak_bytes
    while True:
        try:
            return _evaluate(tune, split, progress)
        except RuntimeError as error:
            one_row = tune.evaluation_tokens < 2 * int(split.lengths.max())
            if tune.ranks.several or one_row or not is_out_of_memory(error):
                raise
        tune.forget_attempt(peak_before)
        tune.evaluation_tokens //= 2


def _evaluate(tune: FineTune, split: TokenisedSplit, progress: Callable[[int, int], None]) -> Evaluation:
    tune.model.eval()
    total = torch.zeros((), dtype=torch.float64, device=tune.device)
    predictions = np.zeros(len(split), dtype=np.int64)
    ranks, done = tune.ranks, 0
    with tune.no_gradients():
        for batch in evaluation_batches(split.lengths, tune.evaluation_tokens, processes=ranks.count):
            progress(done, len(split))
            for rows, counts in ranks.passes(batch, len(batch)):
                logits = tune.logits(split, rows)
                if counts:
                    labels = torch.from_numpy(split.labels[rows]).to(tune.device)
                    losses = torch.nn.functional.cross_entropy(logits, labels, reduction="none")
                    total += losses.double().sum()
                    predictions[rows] = logits.argmax(dim=-1).cpu().numpy()
            done += len(batch)
    loss = float(ranks.sum(total)) / len(split)
    ranks.sum(torch.from_numpy(predictions))  # in place: a row is 0 but in the process that it was dealt to
    if not math.isfinite(loss):
        raise CandidateFailed(
            f"the evaluation loss is {loss}: the weights are no numbers, or --learning-rate is too high"
        )
    return Evaluation(loss, float(np.mean(predictions == split.labels)), macro_f1(split.labels, predictions))


def evaluation_batches(lengths: np.ndarray, tokens: int, *, processes: int = 1) -> Iterator[np.ndarray]:
    """Rows longest first (so that memory runs out at once or never), `tokens` padded tokens a batch and process."""
    order = np.argsort(-lengths, kind="stable")
    start = 0
    while start < len(order):
        rows = processes * max(1, tokens // int(lengths[order[start]]))
        yield order[start : start + rows]
        start += rows


def macro_f1(labels: np.ndarray, predictions: np.ndarray) -> float:
    """F1 averaged over the classes that occur.

    >>> macro_f1(np.array([0, 0, 1, 1]), np.array([0, 1, 1, 1]))
    0.7333333333333334
    """
    classes = int(max(labels.max(), predictions.max())) + 1
    right = np.bincount(labels[labels == predictions], minlength=classes)
    both = np.bincount(labels, minlength=classes) + np.bincount(predictions, minlength=classes)
    return float(np.mean(2 * right[both > 0] / both[both > 0]))


def forward_flops_per_token(tune: FineTune, split: TokenisedSplit) -> float:
    """Floating-point operations of a forward pass over one token, counted on the row of median length.

    Counted by torch on the real model, so that shared layers (ALBERT) and attention enter as they are;
    attention as plain matrix products, because torch counts nothing for its fused form on a CPU. Where the model is
    on one device, no parameter asks for a gradient meanwhile: the counter hooks into those that a module is given as an
    input (DeBERTa), and fails. FSDP takes from a first pass which parameters learn: there they ask as ever.
    """
    from torch.nn.attention import SDPBackend, sdpa_kernel
    from torch.utils.flop_counter import FlopCounterMode

    row = np.argsort(split.lengths, kind="stable")[len(split) // 2 : len(split) // 2 + 1]
    tune.model.eval()
    plain = sdpa_kernel(SDPBackend.MATH)
    alone = tune.ranks.count == 1
    learned = [parameter for parameter in tune.model.parameters() if alone and parameter.requires_grad]
    try:
        for parameter in learned:
            parameter.requires_grad_(False)
        with tune.no_gradients(), plain, FlopCounterMode(display=False) as counter:
            tune.logits(split, row)
    finally:
        for parameter in learned:
            parameter.requires_grad_(True)
    return counter.get_total_flops() / float(split.lengths[row[0]])

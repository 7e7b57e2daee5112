"""A landmark step against a bare torch loop over the same work, interleaved, in process-CPU time.

Prints for a MiniLM-sized and a zoo-sized model: the ratio of the training phase to the bare loop, the share of a
warm D_1 step that is neither training, evaluation nor checkpoint, the CPU seconds of a fresh worker until its
first update, its step over a warm worker's, and how far the micro-batch moves the loss with dropout off.

    python -m benchmarks.landmark_step [--repeats 9]
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import torch
from transformers import BertConfig, BertModel

from benchmarks.ratios import Ratio, tell
from lamps_core.docstrings import write_docstrings
from lamps_core.fine_tuning import pretrained, tokens, training
from lamps_core.fine_tuning.landmark_step import CandidateRun
from lamps_core.fine_tuning.steps import StepRequest
from lamps_core.models import zoo
from lamps_core.settings import FineTuningSettings
from lamps_core.text.dataset import DatasetRequest, TextDataset, load_text_dataset
from lamps_core.text.prepared_data import save_prepared
from lamps_core.workers.group import start_fork_server, wait_for_fork_server
from lamps_core.workers.pool import DeviceSlot, WorkerPool

ROWS = 192  # rows of the timed epoch: six updates
SETTINGS = FineTuningSettings(learning_rate=1e-4, max_length=128)
BARE_LOOP = "a bare torch loop"


def minilm_sized(folder: Path) -> Path:
    """22.7 million parameters in the shape of MiniLM: random weights, the zoo's tokenizer."""
    import shutil

    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=30522,
        hidden_size=384,
        num_hidden_layers=6,
        num_attention_heads=12,
        intermediate_size=1536,
    )
    shutil.copytree(zoo.materialise("zoo/bert-tiny"), folder)
    BertModel(config).save_pretrained(folder)
    return folder


def bare_epoch(model: Any, optimizer: Any, batches: list[tuple[list[torch.Tensor], torch.Tensor]]) -> None:
    """What anyone would write by hand for the same batches: pad, forward, backward, clip, step."""
    model.train()
    for rows, labels in batches:
        ids = torch.nn.utils.rnn.pad_sequence(rows, batch_first=True, padding_value=0)
        mask = torch.nn.utils.rnn.pad_sequence([torch.ones_like(row) for row in rows], batch_first=True)
        logits = model(input_ids=ids, attention_mask=mask).logits
        loss = torch.nn.functional.cross_entropy(logits, labels)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()


def loaded(folder: Path, data: TextDataset) -> tuple[Any, tokens.TokenisedSplit]:
    """The model and the tokenised training split."""
    tokenizer = pretrained.load_tokenizer(str(folder), revision=None, max_length=SETTINGS.max_length)
    model = pretrained.load_model(
        str(folder), revision=None, label_names=data.label_names, pad_token_id=tokenizer.pad_token_id, seed=0
    )
    split = tokens.tokenise(
        data.train.texts, data.train.labels, tokenizer, max_length=tokenizer.model_max_length
    )
    return model, split


def training_ratio(
    folder: Path, data: TextDataset, repeats: int, *, micro_batch_size: int | None = None
) -> list[float]:
    """CPU time of our epoch over the bare one's, interleaved, after one of each to warm up."""
    model, split = loaded(folder, data)
    tune = training.start_fine_tune(model, SETTINGS)
    tune.micro_batch_size = micro_batch_size or tune.micro_batch_size
    bare_model, _ = loaded(folder, data)
    bare_optimizer = torch.optim.AdamW(bare_model.parameters(), lr=1e-4, weight_decay=0.0, fused=True)
    rows = np.arange(ROWS)
    batches = [
        (
            [
                torch.from_numpy(split.values[split.offsets[r] : split.offsets[r + 1]].astype(np.int64))
                for r in b
            ],
            torch.from_numpy(split.labels[b]),
        )
        for b in training.update_batches(rows, SETTINGS, 1)
    ]
    ratios = []
    for _ in range(repeats + 1):
        started = time.process_time()
        training.train_epoch(tune, split, rows, SETTINGS, step=1)
        middle = time.process_time()
        bare_epoch(bare_model, bare_optimizer, batches)
        ratios.append((middle - started) / (time.process_time() - middle))
    return ratios[1:]


def request(folder: Path, work: Path, data: TextDataset, step: int, losses: list[float]) -> StepRequest:
    """A step of this model."""
    return StepRequest(
        name=f"bench/{folder.name}",
        location=str(folder),
        revision=None,
        step=step,
        losses=tuple(losses),
        settings=asdict(SETTINGS),
        work_folder=str(work),
        dataset=data.name,
        dataset_fingerprint=data.fingerprint,
        run_id=str(work),
    )


def warm_step_shares(folder: Path, work: Path, data: TextDataset, repeats: int) -> list[float]:
    """Share of a warm D_1 step's CPU time outside training, evaluation and checkpoint."""
    shares = []
    for repeat in range(repeats):
        marks: list[tuple[str, float]] = []

        def mark(phase: str, _: int, __: int, marks: list[tuple[str, float]] = marks) -> None:
            if not marks or marks[-1][0] != phase:
                marks.append((phase, time.process_time()))

        run = CandidateRun(threads=1, progress=mark)
        place = work / f"warm-{folder.name}-{repeat}"
        place.mkdir()
        (place / "data").symlink_to(work / "data")
        (place / "tokens").mkdir()
        first = run.step(request(folder, place, data, 0, []), time.monotonic())
        marks.clear()
        started = time.process_time()
        run.step(request(folder, place, data, 1, [first["test_loss"]]), time.monotonic())
        total = time.process_time() - started
        shares.append((marks[0][1] - started) / total)
    return shares


def fresh_workers(
    folder: Path, work: Path, data: TextDataset, repeats: int
) -> tuple[list[float], list[float]]:
    """CPU seconds of a fresh worker from its fork to its first update, and its D_1 step's over a warm worker's."""
    pool = WorkerPool([DeviceSlot(None, 1)])
    start_fork_server()
    wait_for_fork_server()
    seconds, ratios = [], []
    for repeat in range(repeats):
        step_seconds = []
        for kind in ("warm", "fresh"):
            place = work / f"{kind}-worker-{folder.name}-{repeat}"
            place.mkdir()
            (place / "data").symlink_to(work / "data")
            (place / "tokens").symlink_to(work / "tokens")
            first = pool.run_step(request(folder, place, data, 0, []))
            if kind == "fresh":
                pool.retire(0)
            found: list[float] = []

            def note(message: dict[str, Any], found: list[float] = found) -> None:
                if message["phase"] == "train" and not found:
                    times = psutil.Process(pool.worker_pid(0)).cpu_times()
                    found.append(times.user + times.system)

            second = pool.run_step(request(folder, place, data, 1, [first["test_loss"]]), progress=note)
            pool.retire(0)
            step_seconds.append(second["cpu_seconds"])
        seconds.append(found[0])
        ratios.append(step_seconds[1] / step_seconds[0])
    pool.close()
    return seconds, ratios


def micro_batch_difference(folder: Path, data: TextDataset) -> float:
    """Largest difference of the epoch's loss over micro-batches, dropout off."""
    losses = []
    for size in (32, 8, 5, 1):
        model, split = loaded(folder, data)
        for module in model.modules():
            if isinstance(module, torch.nn.Dropout):
                module.p = 0.0
        tune = training.start_fine_tune(model, SETTINGS)
        tune.micro_batch_size = size
        losses.append(training.train_epoch(tune, split, np.arange(64), SETTINGS, step=1))
    return max(losses) - min(losses)


def show(what: str, values: list[float], *, goal: str = "", over: str = "", unit: str = "") -> None:
    """The values' range, then their median as it goes into the table of all benchmarks."""
    print(f"{what}: min {min(values):.4f}, max {max(values):.4f}", flush=True)
    tell(Ratio(what=what, value=statistics.median(values), over=over, goal=goal, unit=unit))


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=9)
    repeats = parser.parse_args().repeats
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as temporary:
        work = Path(temporary)
        write_docstrings(work / "docstrings.csv", rows=2500)
        data = load_text_dataset(
            DatasetRequest(
                dataset=str(work / "docstrings.csv"), input_columns=("text",), target_column="topic"
            )
        )
        save_prepared(data, work / "data")
        (work / "tokens").mkdir()
        for folder in (minilm_sized(work / "minilm-sized"), zoo.materialise("zoo/bert-small")):
            name = folder.name
            ratios = training_ratio(folder, data, repeats, micro_batch_size=SETTINGS.batch_size)
            show(f"{name}: CPU time of the training phase", ratios, over=BARE_LOOP, goal="<= 1.05")
            ratios = training_ratio(folder, data, repeats)
            what = f"{name}: the same, batches cut by length as by default"
            show(what, ratios, over=BARE_LOOP, goal="< 1")
            shares = warm_step_shares(folder, work, data, max(3, repeats // 3))
            what = f"{name}: what is neither training nor evaluation nor checkpoint"
            show(what, shares, over="a warm D_1 step", goal="<= 0.1")
            seconds, ratios = fresh_workers(folder, work, data, max(3, repeats // 3))
            show(f"{name}: a fresh worker to its first update", seconds, goal="<= 1 s of CPU", unit="s")
            show(f"{name}: a fresh worker's D_1 step", ratios, over="a warm worker's")
            apart = micro_batch_difference(folder, data)
            what = f"{name}: loss over micro-batches, dropout off"
            tell(Ratio(what=what, value=apart, over="", goal="<= 1e-06", unit="apart"))


if __name__ == "__main__":
    main()

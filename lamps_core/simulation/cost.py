"""What a simulated landmark step costs: operations, memory, GPUs, seconds.

Operations are counted as Kaplan et al. 2020 do; how fast they go was set so that an exhaustive search on Amazon
reviews takes about the 1,381 A100 hours of the paper. Every second is one of one GPU: a step on four of them for an
hour is four hours, as the paper counts. Knows nothing of losses.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lamps_core.simulation.facts import Body, SimulatedDataset

DEVICE = "A100-SXM4-40GB (simulated)"
PEAK_FLOPS = 312e12  # BF16, dense: NVIDIA's data sheet of the A100
DEVICE_BYTES = 40e9
USABLE = 0.9  # of a device's memory: fragmentation takes the rest, as in `fine_tuning.memory.HEADROOM`
# Share of the peak that a body's matrix products get, UTILISATION * computed / (computed + HALF_UTILISED): large
# ones fill the device better. The level is the one number fitted to the paper's 1,381 hours, which are 0.5e13 to
# 1.9e13 operations a second (`campaign.cost.ASSUMED_SPEED`), hence so low. The shape is an assumption.
UTILISATION = 0.08
HALF_UTILISED = 1.0e8
SHARDED_SPEED = 0.8  # of each of several GPUs against one alone: they wait for each other's shards. A guess
# Gradient checkpointing runs every forward pass twice: 8 operations for 6 (Chen et al. 2016).
RECOMPUTE = 4 / 3
# Launching the kernels of a layer, eager PyTorch. A guess.
LAYER_SECONDS = {"train": 2.5e-3, "evaluate": 0.5e-3}
BATCH_ROWS = 32  # of an update and of an evaluation pass, `settings.FineTuningSettings.batch_size`
MAX_TOKENS = 512
# fp32 weights, gradients and AdamW's two moments: 4 bytes each. With the copies of autocast 16 to 18 were measured.
STATE_BYTES = 16
WEIGHT_BYTES, CHECKPOINT_BYTES = 4, 12  # a parameter: weights; with both moments
# A token, layer and unit of width, bf16 (Korthikanti et al. 2022; attention scores left out).
ACTIVATION_BYTES = 34
KEPT_BYTES = 2  # the same with gradient checkpointing: only what enters each layer
START_SECONDS = 8.0  # of a step on each GPU it holds: processes, tokens, first kernels. A guess
DISK_BYTES_PER_SECOND = 1.0e9  # to and from a local NVMe disk. A guess
LONGEST_OF_BATCH = 2.07  # expected maximum of 32 standard normal draws


@dataclass(frozen=True)
class Plan:
    """How a candidate is put on GPUs.

    Attributes:
        gpus: that hold it: 1, 2, 4 or 8.
        checkpointed: whether activations are computed twice.
        memory_bytes: weights, optimiser and activations, over all of its GPUs.
    """

    gpus: int
    checkpointed: bool
    memory_bytes: float


def plan_of(parameters: int, body: Body, tokens: float) -> Plan:
    """The fewest GPUs that hold a candidate, with gradient checkpointing only where it must be.

    Args:
        parameters: all that are trained, embeddings too.
        body: the architecture.
        tokens: of a row, padded.
    """
    state = STATE_BYTES * parameters
    for gpus in (1, 2, 4, 8):
        for checkpointed in (False, True):
            # ALBERT has no gradient checkpointing (as published in transformers).
            if checkpointed and body.shares_layers:
                continue
            for rows in (BATCH_ROWS, 16, 8, 4):
                activations = gpus * rows * tokens * body.width * _activation_bytes(body, checkpointed)
                if state + activations <= gpus * USABLE * DEVICE_BYTES:
                    return Plan(gpus, checkpointed, state + activations)
    raise ValueError(f"{parameters:,} parameters do not fit eight GPUs of 40 GB")


def _activation_bytes(body: Body, checkpointed: bool) -> float:
    """Of a token and unit of width."""
    if checkpointed:
        return KEPT_BYTES * body.layers + ACTIVATION_BYTES
    return float(ACTIVATION_BYTES * body.layers)


def padded(tokens: float, spread: float) -> float:
    """Tokens of a row that is padded to the longest of its batch, for lengths that are log-normal.

    >>> round(padded(13, 0.35)), round(padded(120, 0.8)), round(padded(380, 0.45))
    (25, 456, 512)
    """
    return min(float(MAX_TOKENS), tokens * math.exp(LONGEST_OF_BATCH * spread - spread**2 / 2))


@dataclass(frozen=True)
class Cost:
    """The cost of one landmark step, without noise.

    Attributes:
        train_flops: operations of training; recomputed ones are not counted.
        train_seconds: of training alone.
        evaluate_seconds: of the test split.
        overhead_seconds: start, load and save.
        plan: the GPUs.
    """

    train_flops: float
    train_seconds: float
    evaluate_seconds: float
    overhead_seconds: float
    plan: Plan


def step_cost(parameters: int, body: Body, dataset: SimulatedDataset, *, rows: int, step: int) -> Cost:
    """What a landmark step of so many training rows costs, in seconds of one GPU.

    Args:
        parameters: all of the candidate's, embeddings too.
        body: its architecture.
        dataset: with its test rows.
        rows: that are trained on.
        step: 0 loads weights only and saves nothing.
    """
    train_tokens = padded(dataset.train_tokens, dataset.spread)
    test_tokens = padded(dataset.test_tokens, dataset.spread)
    plan = plan_of(parameters, body, train_tokens)
    speed = PEAK_FLOPS * utilisation(body) * (SHARDED_SPEED if plan.gpus > 1 else 1.0)
    train_flops = 6 * body.computed * rows * train_tokens
    train = train_flops * (RECOMPUTE if plan.checkpointed else 1.0) / speed
    train += plan.gpus * math.ceil(rows / BATCH_ROWS) * body.layers * LAYER_SECONDS["train"]
    evaluate = 2 * body.computed * dataset.test_rows * test_tokens / speed
    evaluate += (
        plan.gpus * math.ceil(dataset.test_rows / BATCH_ROWS) * body.layers * LAYER_SECONDS["evaluate"]
    )
    moved = WEIGHT_BYTES if step == 0 else 2 * CHECKPOINT_BYTES  # loaded; and saved
    # Each GPU's process reads and writes its own shard, so that their seconds add up to those of one.
    overhead = plan.gpus * START_SECONDS + moved * parameters / DISK_BYTES_PER_SECOND
    return Cost(train_flops, train, evaluate, overhead, plan)


def utilisation(body: Body) -> float:
    """Share of the peak that a body's matrix products get."""
    return UTILISATION * body.computed / (body.computed + HALF_UTILISED)

"""What a learning curve will cost, before it is made: seconds, and room on disk.

A model of floating-point operations: 6 for each parameter and token trained on, 2 for each evaluated
(Kaplan et al. 2020, section 2.1), divided by a speed. The speed is measured on the curves that are there, else
assumed. Wrong by a factor of two and more: good enough to order pairs and to decide whether to start.
"""

from __future__ import annotations

import statistics
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lamps_core.landmarks import landmark_rows

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from lamps_core.campaign.schedule import Pair
    from lamps_core.curves.schema import CurveKey
    from lamps_core.curves.store import CurveState
    from lamps_core.settings import FineTuningSettings
    from lamps_core.text.dataset import TextDataset

CHARACTERS_PER_TOKEN = 4.0  # English under the usual subword vocabularies
UNKNOWN_PARAMETERS = 110_000_000  # of BERT-base
# Operations a second that training really gets. A100: the paper's exhaustive search on Amazon reviews, 1,381 GPU hours
# for its 70 candidates, comes to 0.5e13 with 128 tokens a row and 1.9e13 with 512, far below the 31e13 of its data
# sheet; a CPU core: measured on the zoo, docs/log.md.
ASSUMED_SPEED = {True: 1.0e13, False: 2.0e10}
STEP_SECONDS = {True: 10.0, False: 0.5}  # load, save and start of a step, beside its operations
WEIGHT_BYTES, CHECKPOINT_BYTES = 4, 12  # a parameter: fp32 weights; with both moments of AdamW


@dataclass(frozen=True)
class DatasetSize:
    """The sizes of a dataset that costs depend on.

    Attributes:
        train_rows: all of them, |D|.
        evaluation_rows: evaluated at every step.
        tokens: of a row, on average, at most the settings' `max_length`.
    """

    train_rows: int
    evaluation_rows: int
    tokens: float


def dataset_size(dataset: TextDataset, *, max_length: int) -> DatasetSize:
    """Rows, and tokens by the number of characters."""
    texts = dataset.train.texts
    longest = max_length * CHARACTERS_PER_TOKEN
    characters = sum(min(len(text), longest) for text in texts) / max(1, len(texts))
    tokens = max(1.0, characters / CHARACTERS_PER_TOKEN)
    return DatasetSize(len(texts), len(dataset.evaluation), tokens)


@dataclass(frozen=True)
class Speed:
    """How fast steps run.

    Attributes:
        operations: a second, on one device.
        by_model: the same for each model that has recorded steps of its own.
        step_seconds: of a step apart from its training: load, evaluate, save.
        full_epochs: mean number of full epochs of a complete curve.
        measured_steps: recorded steps that this is derived from; 0 where it is assumed.
    """

    operations: float
    by_model: Mapping[str, float]
    step_seconds: float
    full_epochs: float
    measured_steps: int


def speed_of(
    states: Mapping[CurveKey, CurveState],
    sizes: Mapping[str, DatasetSize],
    settings: FineTuningSettings,
    *,
    cuda: bool,
) -> Speed:
    """Read the speed off recorded curves, by medians.

    Args:
        states: the curves.
        sizes: of the datasets by name; curves on other datasets are left out.
        settings: landmarks, patience and the most epochs.
        cuda: whether the campaign runs on GPUs; rows of another kind of device are left out.
    """
    by_model: dict[str, list[float]] = {}
    overheads = []
    for key, state in states.items():
        rows = [row for row in state.rows if key.dataset in sizes and cuda == bool(row.get("gpus"))]
        for row in rows:
            if row.get("train_rows") and row["train_seconds"] > 0:
                size, gpus = sizes[key.dataset], row.get("gpus") or 1
                token_operations = row["parameters"] * size.tokens
                operations = 6 * token_operations * row["train_rows"] / row["train_seconds"] / gpus
                by_model.setdefault(key.model, []).append(operations)
                evaluation_seconds = 2 * token_operations * size.evaluation_rows / (operations * gpus)
                overheads.append(max(0.0, row["step_seconds"] - row["train_seconds"] - evaluation_seconds))
    every = [operations for found in by_model.values() for operations in found]
    epochs = [
        len(state.rows) - settings.landmarks
        for key, state in states.items()
        if state.complete and key.dataset in sizes
    ]
    # Early stopping ends a curve `patience` epochs after its best one: soon, for a pretrained model.
    assumed_epochs = min(settings.max_epochs, settings.patience + 2)
    return Speed(
        operations=statistics.median(every) if every else ASSUMED_SPEED[cuda],
        by_model={name: statistics.median(found) for name, found in by_model.items()},
        step_seconds=statistics.median(overheads) if overheads else STEP_SECONDS[cuda],
        full_epochs=statistics.fmean(epochs) if epochs else float(assumed_epochs),
        measured_steps=len(every),
    )


def expected_seconds(
    pair: Pair,
    size: DatasetSize,
    parameters: int | None,
    settings: FineTuningSettings,
    speed: Speed,
) -> float:
    """Seconds from a pair's next step until its curve is complete, on the devices that it takes."""
    landmarks = landmark_rows(size.train_rows, landmarks=settings.landmarks)
    last = max(settings.landmarks + round(speed.full_epochs) - 1, pair.next_step)
    count = UNKNOWN_PARAMETERS if parameters is None else parameters
    operations = speed.by_model.get(pair.key.model, speed.operations) * pair.gpus
    seconds = 0.0
    for step in range(pair.next_step, last + 1):
        rows = landmarks[min(step, settings.landmarks) - 1] if step else 0
        tokens = size.tokens * (6 * rows + 2 * size.evaluation_rows)
        seconds += speed.step_seconds + count * tokens / operations
    return seconds


@dataclass(frozen=True)
class DiskNeed:
    """Room that a campaign needs, bytes.

    Attributes:
        downloads: weights from the hub that are not in its cache yet.
        checkpoints: of the largest candidates under way at once, the old and the new of each.
    """

    downloads: int
    checkpoints: int


def disk_need(parameters: Iterable[int | None], *, downloads: Iterable[int], slots: int) -> DiskNeed:
    """Room for a campaign.

    Args:
        parameters: of each pair's candidate.
        downloads: bytes of weights of each candidate that is still to be fetched.
        slots: pairs under way at once.
    """
    largest = sorted((count or UNKNOWN_PARAMETERS for count in parameters), reverse=True)[:slots]
    return DiskNeed(sum(downloads), 2 * CHECKPOINT_BYTES * sum(largest))

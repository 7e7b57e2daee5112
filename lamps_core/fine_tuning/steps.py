"""What is asked of a worker, as plain data: one landmark step of one candidate, or the export of its model."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from lamps_core.files import safe_name


class StepKey(NamedTuple):
    """What names a step among those of a search or campaign."""

    dataset: str
    candidate: str
    seed: int
    step: int


@dataclass(frozen=True, kw_only=True)
class StepRequest:
    """One landmark step to run.

    Attributes:
        name: the candidate's stable name.
        location: its folder or hub id.
        revision: of a hub id.
        step: 0 is the zero-shot evaluation.
        losses: evaluation losses of the steps before, step 0 first.
        settings: `FineTuningSettings` as a dict, the learning rate resolved.
        work_folder: holds `data/`, `tokens/`, `logs/` and `checkpoints/`.
        dataset: its name.
        dataset_fingerprint: of the prepared data, so that a checkpoint of other data is not taken for this.
        run_id: the search or campaign it belongs to: its steps share one set of device slots in a process.
        gpus: devices that it is spread over; 1 on a CPU.
        micro_batch_size: rows in one forward pass of training, on each device; None finds it. Changes memory and
            speed, not the update.
    """

    name: str
    location: str
    revision: str | None
    step: int
    losses: tuple[float, ...]
    settings: dict[str, Any]
    work_folder: str
    dataset: str
    dataset_fingerprint: str
    run_id: str
    gpus: int = 1
    micro_batch_size: int | None = None

    @property
    def key(self) -> StepKey:
        """What names it."""
        return StepKey(self.dataset, self.name, self.settings["seed"], self.step)

    @property
    def checkpoint_folder(self) -> Path:
        """Where the candidate's checkpoints lie."""
        return Path(self.work_folder) / "checkpoints" / safe_name(self.name)

    @property
    def lock_file(self) -> Path:
        """Held by the process of this host that changes them."""
        return self.checkpoint_folder.with_name(f".{self.checkpoint_folder.name}.lock")


@dataclass(frozen=True, kw_only=True)
class ExportRequest:
    """A complete candidate to save as a model folder.

    Attributes:
        last: the candidate's last StepRequest; names its checkpoint and settings.
        target: the folder to make.
        evaluate_test: measure the held-out test split, once, for an honest selection.
    """

    last: StepRequest
    target: str
    evaluate_test: bool

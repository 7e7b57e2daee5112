"""One training of a policy from outside: how long, how often it is judged, what it tells, where it resumes.

An algorithm tells each round of learning, hands over its state, and asks whether to go on; everything else is
here. A checkpoint is one safetensors file whose header holds the counters as JSON, so that one rename commits both.
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from lamps_core.errors import BadInput
from lamps_core.files import write_atomically

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    import numpy as np
    import torch

    from lamps_core.policy_file import PolicyFile

CHECKPOINT, BEST, TENSORBOARD = "checkpoint.safetensors", "best.safetensors", "tensorboard"
# The least between two checkpoints: what a killed training loses at most, and a round.
CHECKPOINT_SECONDS = 10.0
PATIENCE = 50  # judgements


@dataclass
class TrainingRun:
    """The outside of a training.

    Attributes:
        steps: environment steps to train for; None for the algorithm's default.
        seconds: to train for at most, over all runs of a resumed training; None for no limit.
        settings: hyperparameters that differ from the algorithm's defaults.
        folder: of checkpoints and TensorBoard scalars; None to keep neither.
        tell: called with (share done, scalars) after each round.
        started: when this run began, by `time.monotonic()`.
        warm_start: a policy to begin with; None for random weights.
        patience: judgements without a better score before a training ends early.
        best_score: of the best weights so far; None before the first judgement.
        best_weights: those.
    """

    steps: int | None = None
    seconds: float | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)
    folder: Path | None = None
    tell: Callable[[float, Mapping[str, float]], None] | None = None
    started: float = field(default_factory=time.monotonic)
    warm_start: PolicyFile | None = None
    patience: int = PATIENCE
    best_score: float | None = None
    best_weights: dict[str, np.ndarray] | None = None
    _worse: int = 0  # judgements since the best
    _earlier_seconds: float = 0.0  # of the runs that this one goes on from
    _saved: float = field(default_factory=time.monotonic)
    _writer: Any = None

    def spent_seconds(self) -> float:
        """How long the training has run, its earlier runs included."""
        return self._earlier_seconds + time.monotonic() - self.started

    def out_of_time(self) -> bool:
        """Whether `seconds` have passed."""
        return self.seconds is not None and self.spent_seconds() >= self.seconds

    def share_done(self, steps_done: int, steps: int) -> float:
        """How far the training is, by its steps or by its time, whichever ends it first; 0 to 1."""
        by_time = self.spent_seconds() / self.seconds if self.seconds else 0.0
        return min(1.0, max(steps_done / max(steps, 1), by_time))

    def log(self, share_done: float, scalars: Mapping[str, float]) -> None:
        """Tell what a round of learning came to.

        Args:
            share_done: 0 to 1.
            scalars: by name, for the progress bar and TensorBoard, where `environment_steps` is the step.
        """
        if self.tell is not None:
            self.tell(share_done, scalars)
        writer = self._tensorboard()
        if writer is not None:
            for name, value in scalars.items():
                writer.add_scalar(name, value, int(scalars.get("environment_steps", 0)))

    def judge(self, score: float, weights: Mapping[str, np.ndarray]) -> bool:
        """Keep the weights if they are the best so far.

        Args:
            score: larger is better.
            weights: as a policy file keeps them.

        Returns:
            Whether to go on: False when the score has not risen for `patience` judgements.
        """
        if self.best_score is None or score > self.best_score:
            self.best_score, self.best_weights, self._worse = score, dict(weights), 0
            if self.folder is not None:
                from safetensors.numpy import save

                counters = json.dumps({"score": score}, allow_nan=False)
                write_atomically(self.folder / BEST, save(self.best_weights, metadata={"counters": counters}))
        else:
            self._worse += 1
        return self._worse < self.patience

    def checkpoint_due(self) -> bool:
        """Whether the last checkpoint is old enough for another."""
        return self.folder is not None and time.monotonic() - self._saved >= CHECKPOINT_SECONDS

    def save(self, state: Mapping[str, torch.Tensor], counters: Mapping[str, Any]) -> None:
        """Keep a checkpoint, atomically; nothing without a folder."""
        if self.folder is None:
            return
        from safetensors.torch import save

        record = {
            "counters": dict(counters),
            "seconds": self.spent_seconds(),
            "worse": self._worse,
        }
        header = {"counters": json.dumps(record, allow_nan=False)}
        write_atomically(self.folder / CHECKPOINT, save(dict(state), metadata=header))
        self._saved = time.monotonic()

    def restored(self) -> tuple[dict[str, torch.Tensor], dict[str, Any]] | None:
        """The last checkpoint, if there is one; the best weights and the time spent come back with it.

        Raises:
            BadInput: it cannot be read.
        """
        if self.folder is None or not (self.folder / CHECKPOINT).exists():
            return None
        state, record = _read(self.folder / CHECKPOINT, framework="pt")
        self._earlier_seconds, self._worse = float(record["seconds"]), int(record["worse"])
        self.started = time.monotonic()
        if (self.folder / BEST).exists():
            self.best_weights, best = _read(self.folder / BEST, framework="np")
            self.best_score = float(best["score"])
        return state, record["counters"]

    def close(self) -> None:
        """Let TensorBoard's file go."""
        if self._writer is not None:
            self._writer.close()
            self._writer = None

    def _tensorboard(self) -> Any:
        """The writer of scalars; None without a folder, or where TensorBoard is not installed."""
        if self.folder is None:
            return None
        if self._writer is None:
            try:
                from torch.utils.tensorboard import SummaryWriter
            except ImportError:
                return None
            self._writer = SummaryWriter(str(self.folder / TENSORBOARD))
        return self._writer


def _read(path: Path, *, framework: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """The arrays of a file and the counters of its header."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework=framework) as file:
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - it is no mapping
            return arrays, json.loads(file.metadata()["counters"])
    except (SafetensorError, OSError, ValueError, KeyError, TypeError) as error:
        raise BadInput(f"{path}: is no checkpoint of a training: {error}: delete it to begin anew") from None

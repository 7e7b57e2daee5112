"""One training of a policy from outside: how long, how often it is judged, what it tells, where it resumes.

An algorithm asks `go_on` after each round of learning and hands over its state; everything else is here.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    import torch


class Scores(Protocol):
    """Judges the policy as it is now on tasks kept out of training; larger is better."""

    def __call__(self) -> float:
        """The score."""
        ...


@dataclass
class TrainingRun:
    """The outside of a training.

    Attributes:
        steps: environment steps to train for; None for the algorithm's default.
        seconds: to train for at most; None for no limit.
        settings: hyperparameters that differ from the algorithm's defaults.
        folder: of checkpoints and TensorBoard scalars; None to keep neither.
        tell: called with (share done, scalars) after each round.
    """

    steps: int | None = None
    seconds: float | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)
    folder: Path | None = None
    tell: Callable[[float, Mapping[str, float]], None] | None = None
    started: float = field(default_factory=time.monotonic)

    def out_of_time(self) -> bool:
        """Whether `seconds` have passed."""
        return self.seconds is not None and time.monotonic() - self.started >= self.seconds

    def log(self, share_done: float, scalars: Mapping[str, float]) -> None:
        """Tell what a round of learning came to.

        Args:
            share_done: 0 to 1.
            scalars: by name, for the progress bar and TensorBoard.
        """
        if self.tell is not None:
            self.tell(share_done, scalars)

    def save(self, state: Mapping[str, torch.Tensor], counters: Mapping[str, Any]) -> None:
        """Keep a checkpoint, atomically; nothing without a folder."""

    def restored(self) -> tuple[dict[str, torch.Tensor], dict[str, Any]] | None:
        """The last checkpoint, if there is one."""
        return None

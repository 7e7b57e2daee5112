"""The settings of fine-tuning: plain data, written into every record.

A change of any field here changes the numbers of a curve, so `config_hash` names them in the curve.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from dataclasses import dataclass
from typing import Literal

from lamps_core.errors import BadInput
from lamps_core.landmarks import LANDMARKS

DEFAULT_LEARNING_RATE = 7e-6  # paper, Appendix B.1
Precision = Literal["auto", "fp32", "bf16"]


@dataclass(frozen=True, kw_only=True)
class FineTuningSettings:
    """How every candidate is fine-tuned (paper, Appendix B.1, unless said).

    Attributes:
        learning_rate: AdamW's constant rate; None takes the candidate's own, else 7e-6. The paper leaves the
            schedule at the Trainer's linear decay, which is undefined over an unknown number of steps:
            a constant rate is a stated deviation (docs/decisions/fine-tuning.md).
        batch_size: rows in one update, whatever fits the device at once.
        landmarks: K, the number of nested subsets.
        patience: full epochs without a better loss after which a candidate is complete.
        max_epochs: full epochs (step K is the first) after which a candidate is complete in any case.
        max_length: tokens kept of a text, at most what the model can take.
        max_grad_norm: gradients are clipped to this global L2 norm before each update.
        seed: of the head's weights, the landmark order, the batches and dropout.
        precision: of the forward pass; weights and loss are always fp32.
    """

    learning_rate: float | None = None
    batch_size: int = 32
    landmarks: int = LANDMARKS
    patience: int = 3
    max_epochs: int = 10
    max_length: int = 512
    max_grad_norm: float = 1.0
    seed: int = 0
    precision: Precision = "auto"

    def __post_init__(self) -> None:
        """Refuse values no fine-tune can run with.

        Raises:
            BadInput: names the setting, its value and what it must be.
        """
        for name in ("batch_size", "landmarks", "patience", "max_epochs", "max_length"):
            if getattr(self, name) < 1:
                raise BadInput(f"{_option(name)} must be at least 1, not {getattr(self, name)}")
        if self.learning_rate is not None and not 0 < self.learning_rate < 1:
            raise BadInput(f"--learning-rate must be above 0 and below 1, not {self.learning_rate}")
        check_seed(self.seed)
        if self.landmarks > 30:
            raise BadInput(f"--landmarks must be at most 30, not {self.landmarks}")

    @property
    def config_hash(self) -> str:
        """Sixteen hex digits that name every field: each changes the numbers of a curve."""
        fields = json.dumps(dataclasses.asdict(self), sort_keys=True)
        return hashlib.sha256(fields.encode()).hexdigest()[:16]

    def rate_with(self, candidate_rate: float | None) -> float:
        """The learning rate to train with: the one asked for, else the candidate's own, else the paper's.

        Args:
            candidate_rate: None where the candidate has none of its own.
        """
        return self.learning_rate or candidate_rate or DEFAULT_LEARNING_RATE

    def with_rate_of(self, candidate_rate: float | None) -> FineTuningSettings:
        """These settings with the learning rate resolved, as `rate_with` does."""
        return dataclasses.replace(self, learning_rate=self.rate_with(candidate_rate))

    def is_complete(self, losses: list[float]) -> bool:
        """Whether a curve met its stopping criterion.

        Args:
            losses: evaluation losses of steps 0, 1, ..., the newest last.

        Returns:
            True when, counted from step K on, the best loss is `patience` epochs old, or `max_epochs`
            full epochs are done.
        """
        full_epochs = losses[self.landmarks :]
        if not full_epochs:
            return False
        best = min(range(len(full_epochs)), key=full_epochs.__getitem__)
        return len(full_epochs) - 1 - best >= self.patience or len(full_epochs) >= self.max_epochs


def check_seed(seed: int) -> None:
    """Refuse a seed that not every library takes.

    Raises:
        BadInput: names the option and what it may be.
    """
    if not 0 <= seed < 2**31:
        raise BadInput(f"--seed must be between 0 and {2**31 - 1}, not {seed}")


def _option(name: str) -> str:
    return "--" + name.replace("_", "-")

"""`blind`: a random step, the paper's lower bound (Section 6.1)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from lamps_core.policies.protocol import Observation


class Blind:
    """Chooses uniformly among the candidates that may be chosen."""

    name = "blind"

    def __init__(self, *, seed: int = 0) -> None:
        self._seed = seed

    def select(self, observation: Observation) -> int:
        """A random index, the same for the same seed and number of outcomes."""
        generator = np.random.default_rng([self._seed, observation.decision])
        return int(generator.choice(np.flatnonzero(observation.mask)))

"""`exhaustive`: every candidate fully fine-tuned in the order given, what a search is compared with (Section 6.2)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from lamps_core.policies.protocol import Observation


class Exhaustive:
    """The first candidate of the list that may be chosen, so that each runs to its end before the next."""

    name = "exhaustive"

    def select(self, observation: Observation) -> int:
        """The lowest index that is not masked."""
        return int(np.argmax(observation.mask))

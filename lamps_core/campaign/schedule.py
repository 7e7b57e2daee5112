"""Which landmark step of a campaign is started next: ask and tell, without files, processes or Prefect.

The steps of a pair run in order; pairs run in parallel, the longest expected first, so that no long one is
left for the end. A pair that was begun is run to its end before another is begun in its place: its worker
stays warm, and at most as many checkpoints are in use as there are slots.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from lamps_core.curves.schema import CurveKey


@dataclass
class Pair:
    """A candidate on a dataset, with a seed: one learning curve in the making.

    Attributes:
        key: what names the curve.
        losses: test losses of the steps done, step 0 first.
        gpus: device slots that its steps take; 1 on a CPU.
        expected_seconds: what is left of it, as the plan estimates it.
        anew: whether the curve is recorded a second time over existing rows, from step 0 or from the second
            attempt's own checkpoint; each new row replaces the old one.
        ended: whether it is complete, or cannot go on.
    """

    key: CurveKey
    losses: tuple[float, ...] = ()
    gpus: int = 1
    expected_seconds: float = 0.0
    anew: bool = False
    ended: bool = field(default=False, init=False)

    @property
    def next_step(self) -> int:
        """The step to run next."""
        return len(self.losses)


class Schedule:
    """Pairs that wait, pairs under way, and which of them goes on.

    Attributes:
        pairs: all of them, the longest expected first.
        running: steps in flight.
    """

    def __init__(self, pairs: Iterable[Pair]) -> None:
        """Take the pairs to run, in any order; those already complete are not among them."""
        self.pairs = tuple(sorted(pairs, key=lambda pair: (-pair.expected_seconds, pair.key)))
        self.running = 0
        self._waiting = deque(self.pairs)
        self._ready: deque[Pair] = deque()
        self._taken = 0

    def ask(self, slots: int) -> Pair | None:
        """The pair whose next step is to be started now; None while no slot is free for one.

        Args:
            slots: that there are, busy ones included; may change from call to call.
        """
        if not self._ready and self._waiting and self._begins(self._waiting[0], slots):
            self._taken += self._waiting[0].gpus
            self._ready.append(self._waiting.popleft())
        if not self._ready:
            return None
        self.running += 1
        return self._ready.popleft()

    def _begins(self, pair: Pair, slots: int) -> bool:
        # Strictly in order: a pair of many slots would wait for ever behind small ones that slip past it.
        # One that is larger than what is left of a shrunken cluster waits in the cluster's own queue.
        return self._taken + pair.gpus <= slots or (self._taken == 0 and slots > 0)

    def tell(self, pair: Pair, *, loss: float | None, ended: bool) -> None:
        """Take in what came of a step.

        Args:
            pair: as `ask` gave it.
            loss: the step's test loss; None if it failed.
            ended: the curve is complete, or cannot go on.
        """
        self.running -= 1
        if loss is not None:
            pair.losses = (*pair.losses, loss)
        if ended:
            pair.ended = True
            self._taken -= pair.gpus
        else:
            self._ready.append(pair)

    @property
    def left(self) -> int:
        """Pairs that have not ended."""
        return len(self._waiting) + len(self._ready) + self.running

    @property
    def done(self) -> bool:
        """Whether nothing is left to start or to wait for."""
        return self.left == 0

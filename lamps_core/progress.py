"""What a search, a campaign, a training or an evaluation says about itself while it runs, and to whom.

Owns the events and the way to their one listener. Does not know how they are shown: a command sets a listener,
the work publishes, and a listener that breaks never stops it.
"""

from __future__ import annotations

import contextlib
import logging
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

Phase = Literal["load", "train", "evaluate", "save"]

_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class RunningStep:
    """A landmark step in flight.

    Attributes:
        candidate: its name; in a campaign, with the dataset's.
        step: the landmark step.
        phase: what it is at.
        done: batches of the phase done.
        total: batches of the phase; 0 where unknown.
        started_seconds: `time.monotonic()` when the step began.
    """

    candidate: str
    step: int
    phase: Phase
    done: int
    total: int
    started_seconds: float


@dataclass(frozen=True)
class EndedStep:
    """What came of a landmark step.

    Attributes:
        candidate: its name.
        step: the landmark step.
        failed: whether its candidate cannot go on.
        message: what came of it, as one line for people.
    """

    candidate: str
    step: int
    failed: bool
    message: str


@dataclass(frozen=True)
class SearchProgress:
    """A search at one moment.

    Attributes:
        dataset: its name.
        policy: what decides the next step.
        budget_text: the budget as the user wrote it, such as `2h` or `40steps`.
        budget_share: spent of the budget, from 0 to 1.
        spent_seconds: the sum of `step_seconds` over every step run.
        steps_done: landmark steps finished, earlier runs of a resumed search included.
        running: the steps in flight.
        candidates: how many there are.
        complete: how many met their stopping criterion.
        failed: how many ended in an error.
        front: rows as in `result.json`'s front, the best of the first objective first.
        ended: steps that ended in this run, oldest first. All fields but `running`, `spent_seconds` and `budget_share`
            are as of the last one.
        expected: what is still to be won, for a person; empty where that is unknown.
    """

    dataset: str
    policy: str
    budget_text: str
    budget_share: float
    spent_seconds: float
    steps_done: int
    running: tuple[RunningStep, ...]
    candidates: int
    complete: int
    failed: int
    front: tuple[dict[str, object], ...]
    ended: tuple[EndedStep, ...] = ()
    expected: str = ""

    @property
    def message(self) -> str:
        """What just happened, for a person; empty where nothing needs saying."""
        return self.ended[-1].message if self.ended else ""


@dataclass(frozen=True)
class CampaignProgress:
    """A campaign at one moment.

    Attributes:
        curves: its folder.
        pairs: curves that were asked for.
        complete: how many met their stopping criterion, in earlier runs included.
        failed: how many cannot go on.
        steps_done: landmark steps finished in this run.
        spent_seconds: the sum of `step_seconds` over every step of this run.
        slots: steps that can run at once.
        running: the steps in flight.
        message: what just happened, for a person; empty where nothing needs saying.
    """

    curves: str
    pairs: int
    complete: int
    failed: int
    steps_done: int
    spent_seconds: float
    slots: int
    running: tuple[RunningStep, ...]
    message: str = ""


@dataclass(frozen=True)
class EvaluationProgress:
    """An evaluation at one moment.

    Attributes:
        curves: folder of the meta-dataset.
        units: how many there are: a method on a held-out dataset, or one repeat of it if it is trained for that.
        done: how many are on record, from earlier runs included.
        failed: how many cannot be done.
        running: those in flight, each by name with the share of its training that is done, 0 to 1.
        message: what just happened, for a person; empty where nothing needs saying.
    """

    curves: str
    units: int
    done: int
    failed: int
    running: tuple[tuple[str, float], ...]
    message: str = ""


@dataclass(frozen=True)
class TrainingProgress:
    """The training of a policy at one moment.

    Attributes:
        policy: where it will lie.
        algorithm: by name.
        datasets: how many it learns from.
        share_done: 0 to 1.
        scalars: by name, what the last round of learning came to.
    """

    policy: str
    algorithm: str
    datasets: int
    share_done: float
    scalars: dict[str, float]


listener: ContextVar[Callable[[Any], None] | None] = ContextVar("lamps_progress", default=None)
"""Who is told. A new thread starts without one: run it in `contextvars.copy_context()` to keep it."""


@contextlib.contextmanager
def listening(tell: Callable[[Any], None]) -> Iterator[None]:
    """Have a listener told while the block runs."""
    token = listener.set(tell)
    try:
        yield
    finally:
        listener.reset(token)


def publish(progress: SearchProgress | CampaignProgress | TrainingProgress | EvaluationProgress) -> None:
    """Tell the listener, if there is one; what it raises is logged and goes no further."""
    tell = listener.get()
    if tell is None:
        return
    try:
        tell(progress)
    except Exception:
        _logger.debug("the progress listener failed", exc_info=True)

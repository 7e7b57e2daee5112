"""What a real search left in its journal, as the share of a front's hypervolume against the time that it spent.

A candidate counts from the step at which it is complete in the search that is judged, by that search's own clock.
What it is worth is what the exhaustive search measured: the losses are the same, and the noise of the clock between
two runs of the same training would else move the front itself.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from lamps_core import front
from lamps_core.evaluation.folds import KEY_SHARE
from lamps_core.search.journal import read_journal

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    import numpy.typing as npt

    FloatArray = npt.NDArray[np.float64]

Clock = Literal["step_seconds", "cpu_seconds"]
Point = tuple[float, float]  # test loss, training seconds


@dataclass(frozen=True, kw_only=True)
class Trajectory:
    """A search after each of its steps, from none on.

    Attributes:
        spent_seconds: so far, ascending.
        share: of the hypervolume, 0 to 1.
    """

    spent_seconds: FloatArray
    share: FloatArray

    @property
    def end(self) -> float:
        """Seconds of all its steps."""
        return float(self.spent_seconds[-1])

    def at(self, seconds: npt.ArrayLike) -> FloatArray:
        """The share when so many seconds were spent; NaN beyond the end of one that was interrupted before 98 %."""
        places = np.searchsorted(self.spent_seconds, seconds, side="right") - 1
        known = (np.asarray(seconds) <= self.end) | (self.share[-1] >= KEY_SHARE)
        return np.where(known, self.share[places], np.nan)

    def seconds_to(self, share: float) -> float:
        """When it had the share; infinite where it never had."""
        reached = np.flatnonzero(self.share >= share)
        return float(self.spent_seconds[reached[0]]) if len(reached) else np.inf


@dataclass(frozen=True, kw_only=True)
class Judged:
    """A search beside the exhaustive one of the same dataset and seed.

    Attributes:
        wall: by seconds of its steps.
        cpu: by processor seconds of its steps.
        exhaustive: seconds of the exhaustive search.
        exhaustive_cpu: its processor seconds.
        furthest_loss: how far a complete candidate's loss is from the one that it is judged by.
    """

    dataset: str
    method: str
    wall: Trajectory
    cpu: Trajectory
    exhaustive: float
    exhaustive_cpu: float
    furthest_loss: float


@dataclass(frozen=True)
class RecordedSearch:
    """The journal of a search.

    Attributes:
        models: its candidates.
        outcomes: what came of each step, in order.
    """

    models: tuple[str, ...]
    outcomes: tuple[dict[str, Any], ...]

    def complete(self) -> dict[str, Point]:
        """Candidate -> its objectives, of those that are complete."""
        ends = {one["candidate"]: one["record"]["test_loss"] for one in self._ending()}
        return {name: (loss, self._train_seconds(name)) for name, loss in ends.items()}

    def whole(self) -> dict[str, Point] | None:
        """As `complete`, once every candidate is complete or has failed; None before."""
        failed = {one["candidate"] for one in self.outcomes if one["kind"] == "failed"}
        points = self.complete()
        return points if self.models and set(self.models) <= {*points, *failed} else None

    def trajectory(self, points: Mapping[str, Point], *, clock: Clock = "step_seconds") -> Trajectory:
        """The search judged by what the candidates are worth."""
        worth = np.array(list(points.values()))
        reference = front.reference_point(worth, [None, None])
        whole = front.hypervolume(worth, reference)
        spent, share, held = [0.0], [0.0], list[Point]()
        for one in self.outcomes:
            # A step that failed has no record, and its seconds count on both clocks.
            seconds = one["seconds"] if one["record"] is None else one["record"][clock]
            spent.append(spent[-1] + seconds)
            if _ends(one) and one["candidate"] in points:
                held.append(points[one["candidate"]])
                share.append(front.hypervolume(held, reference) / whole)
            else:
                share.append(share[-1])
        return Trajectory(spent_seconds=np.array(spent), share=np.minimum(share, 1.0))

    def furthest_loss(self, points: Mapping[str, Point]) -> float:
        """How far a complete candidate's loss is from the one it is judged by."""
        return max((abs(loss - points[name][0]) for name, (loss, _) in self.complete().items()), default=0.0)

    def _ending(self) -> list[dict[str, Any]]:
        return [one for one in self.outcomes if _ends(one)]

    def _train_seconds(self, name: str) -> float:
        records = (one["record"] for one in self.outcomes if one["candidate"] == name)
        return float(sum(record["train_seconds"] for record in records if record is not None))


def _ends(outcome: dict[str, Any]) -> bool:
    return outcome["record"] is not None and bool(outcome["record"]["complete"])


def read_search(folder: Path) -> RecordedSearch:
    """The search in a folder; an empty one where there is none yet."""
    path = folder / "journal.jsonl"
    if not path.exists():
        return RecordedSearch((), ())
    header, events = read_journal(path)
    return RecordedSearch(tuple(header["models"]), tuple(one for one in events if one["event"] == "outcome"))

"""How a search went: after each step what was spent, who was complete by then, and how much hypervolume that was.

Judged by one reference point throughout, that of the search's end, so that the hypervolume never falls. Reads the
record of a search; does not know how it is shown.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from lamps_core.front import hypervolume_gain
from lamps_core.objectives import sign_flipped

if TYPE_CHECKING:
    from lamps_core.search.record import CandidateRecord, SearchRecord


@dataclass(frozen=True, kw_only=True)
class Moment:
    """A search just after one outcome.

    Attributes:
        spent_seconds: by all steps so far.
        candidate: whose step it was.
        step: which.
        kind: as `search.algorithm.Outcome.kind`.
        completed: whether the candidate is complete by it.
        hypervolume: of the candidates complete by then.
    """

    spent_seconds: float
    candidate: str
    step: int
    kind: str
    completed: bool
    hypervolume: float


def minimised(item: CandidateRecord, objectives: tuple[str, ...]) -> tuple[float, ...] | None:
    """(n,) objectives of a complete candidate in minimised form; None where not complete or one is not known."""
    if any(name not in item.objectives for name in objectives):
        return None
    return tuple(sign_flipped(name, item.objectives[name]) for name in objectives)


def history(search: SearchRecord) -> tuple[Moment, ...]:
    """Every moment of a search, oldest first; none where its folder has no journal."""
    reference = search.result.get("reference")
    worth = {item.name: minimised(item, search.objectives) for item in search.candidates}
    moments: list[Moment] = []
    held: list[tuple[float, ...]] = []
    volume = spent = 0.0
    for outcome in search.outcomes:
        spent += outcome.seconds
        completed = outcome.record is not None and bool(outcome.record["complete"])
        point = worth.get(outcome.candidate) if completed else None
        if point is not None and reference is not None:
            volume += hypervolume_gain(point, held, reference)
            held.append(point)
        moments.append(
            Moment(
                spent_seconds=spent,
                candidate=outcome.candidate,
                step=outcome.step,
                kind=outcome.kind,
                completed=completed,
                hypervolume=volume,
            )
        )
    return tuple(moments)

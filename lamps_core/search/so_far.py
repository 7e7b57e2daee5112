"""What the journal of a search tells: what was asked, what came of it so far, in which order.

Owns how a journal becomes what `result.json` would say by now.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from lamps_core.errors import BadInput
from lamps_core.objectives import parse_objectives
from lamps_core.policies.loading import load_policy
from lamps_core.prices import GPU_HOUR_PRICE
from lamps_core.search.algorithm import Outcome, Search
from lamps_core.search.budget import parse_budget
from lamps_core.search.journal import read_journal
from lamps_core.search.result import UNMEASURED, search_facts

if TYPE_CHECKING:
    from pathlib import Path

Row = dict[str, Any]


@dataclass(frozen=True)
class JournalContents:
    """A journal by the kind of its lines.

    Attributes:
        header: what search it is.
        outcomes: what came of each step, oldest first.
        tested: what the held-out test split gave, by candidate.
        started: how the last run was started; empty in journals of older versions.
    """

    header: Row = field(default_factory=dict)
    outcomes: tuple[Outcome, ...] = ()
    tested: dict[str, Row] = field(default_factory=dict)
    started: Row = field(default_factory=dict)

    @property
    def gpu_hour_price(self) -> float:
        """Dollars: of the search where they are an objective, else of its last run."""
        return float({"gpu_hour_price": GPU_HOUR_PRICE, **self.started, **self.header}["gpu_hour_price"])


def read_contents(path: Path) -> JournalContents:
    """Read a journal.

    Raises:
        BadInput: damaged, or not one of a search.
    """
    header, events = read_journal(path)
    try:
        return JournalContents(
            header,
            tuple(outcome_of(event) for event in events if event["event"] == "outcome"),
            {event["candidate"]: event["measured"] for event in events if event["event"] == "tested"},
            next((event for event in reversed(events) if event["event"] == "started"), {}),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise _no_search(path, error) from error


def read_so_far(path: Path, told: JournalContents) -> tuple[Row, list[Row]]:
    """What `result.json` would say by now, and every step done.

    Args:
        path: of the journal, for error messages.
        told: what it tells.

    Raises:
        BadInput: it is none of a search.
    """
    try:
        search = _replayed(told)
        rows = [row | {"model": state.name} for state in search.candidates.values() for row in state.rows]
        return _result_so_far(told, search), rows
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise _no_search(path, error) from error


def outcome_of(event: Row) -> Outcome:
    """The outcome that a line of a journal tells."""
    return Outcome(**{key: value for key, value in event.items() if key != "event"})


def _no_search(path: Path, error: Exception) -> BadInput:
    return BadInput(f"{path} does not tell of a search ({error!r}): restore it")


def _replayed(told: JournalContents) -> Search:
    header = told.header
    objectives = parse_objectives(",".join(header["objectives"]), gpu_hour_price=told.gpu_hour_price)
    bounded = zip(objectives, header["bounds"], strict=True)
    search = Search(
        header["models"],
        policy=load_policy("cheapest"),  # nothing is asked of it: what was run is on record
        objectives=[replace(objective, bound=bound) for objective, bound in bounded],
        budget=parse_budget(None),
    )
    for outcome in told.outcomes:
        search.tell(outcome)
    return search


def _result_so_far(journal: JournalContents, search: Search) -> Row:
    header, told = journal.header, search_facts(search)
    candidates = {row["model"]: row for row in told["candidates"]}
    front = [state.rows[-1] | candidates[state.name] for state in search.front()]
    if header["selection"] != "test":
        front = [
            row | {"selection_loss": row["test_loss"]} | UNMEASURED | journal.tested.get(row["model"], {})
            for row in front
        ]
    known = {key: header[key] for key in ("dataset", "bounds", "policy", "selection")}
    started = {key: value for key, value in journal.started.items() if key not in {"event", "gpu_hour_price"}}
    return (
        told
        | known
        | started
        | {
            "seed": header["settings"].get("seed"),
            "config": header["settings"],
            "hypervolume": search.hypervolume(),
            "front": front,
        }
    )

"""What the script of a search's page is told, as plain JSON: candidates, what came of each step in order, limits.

Every number that is shown is text here, written as the rest of the page writes it; every number that is compared is in
minimised form. Owns that contract with `page_files/explorer.js`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lamps_core.objectives import MAXIMISED, sign_flipped
from lamps_core.prices import dollars
from lamps_core.quantities import UNKNOWN, number, parameters, title
from lamps_core.report_words import displayable, duration
from lamps_core.reports.search_reasons import reason
from lamps_core.search.history import minimised

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lamps_core.search.history import Moment
    from lamps_core.search.record import CandidateRecord, Row, SearchRecord

# What a candidate can be limited by besides the objectives.
_ALSO_LIMITED = ("train_seconds", "parameters")
STEP_LABELS = ("Rows", "Test loss", "Accuracy", "Training so far", "Spent so far")


def page_data(search: SearchRecord, moments: Sequence[Moment]) -> dict[str, Any]:
    """Everything the script compares, counts and shows.

    Returns:
        `candidates`: in the order of the page's table; `minimised` is null unless all objectives are known, `steps`
        holds the texts of `step_labels` after each step. `limits`: a column, and the ascending values of the complete
        candidates that may bound it, each with its text. `moments`: seconds spent, candidate from 1, step, what came of
        it, share of the final hypervolume, seconds and dollars as text.
    """
    limited = [*search.objectives, *(name for name in _ALSO_LIMITED if name not in search.objectives)]
    limits = {name: _limit(name, search) for name in limited}
    known = {name: limit for name, limit in limits.items() if len(limit["values"]) > 1}
    return {
        "candidates": [_candidate(item, search, tuple(known)) for item in search.candidates],
        "step_labels": list(STEP_LABELS),
        "limits": list(known.values()),
        "moments": _moments(search, moments),
    }


def candidate_facts(item: CandidateRecord, search: SearchRecord) -> list[tuple[str, str]]:
    """A candidate in a few numbers: label and text."""
    values = item.objectives or item.so_far
    facts = [
        (title(name) + ("" if item.complete else " so far"), number(name, values[name]))
        for name in search.objectives
        if name in values
    ]
    if "accuracy" not in search.objectives and item.accuracy is not None:
        facts.append(("Accuracy", number("accuracy", item.accuracy)))
    if item.steps:
        facts.append(("Steps", _steps(item)))
    if "parameters" not in search.objectives and item.parameters is not None:
        facts.append(("Parameters", parameters(item.parameters)))
    if item.spent_seconds:
        facts.append(("Spent", item_spent(item, search.gpu_hour_price)))
    return facts


def item_spent(item: CandidateRecord, gpu_hour_price: float) -> str:
    """What all steps of a candidate took, and what that costs."""
    if not item.spent_seconds:
        return UNKNOWN
    return _spent(item.spent_seconds, gpu_hour_price, _gpus(item.curve))


def _candidate(item: CandidateRecord, search: SearchRecord, limited: tuple[str, ...]) -> dict[str, Any]:
    return {
        "name": displayable(item.name),
        "on_front": item.on_front,
        "complete": item.complete,
        "failed": item.failed,
        "within": not item.beyond,
        "minimised": minimised(item, search.objectives),
        "limits": [
            None if (value := _value(item, name)) is None else sign_flipped(name, value) for name in limited
        ],
        "facts": candidate_facts(item, search),
        "why": displayable(reason(item, search)),
        "steps": _step_texts(item, search.gpu_hour_price),
    }


def _limit(name: str, search: SearchRecord) -> dict[str, Any]:
    found = {
        value
        for item in search.candidates
        if minimised(item, search.objectives) and (value := _value(item, name)) is not None
    }
    words = "at least" if name in MAXIMISED else "at most"
    return {
        "title": f"{title(name)} {words}",
        "values": sorted([sign_flipped(name, value), number(name, value)] for value in found),
    }


def _value(item: CandidateRecord, name: str) -> float | None:
    """Of a complete candidate; None where not known."""
    if not item.complete:
        return None
    if name in item.objectives:
        return item.objectives[name]
    if name == "parameters":
        return None if item.parameters is None else float(item.parameters)
    return item.train_seconds_so_far[-1] if name == "train_seconds" and item.curve else None


def _steps(item: CandidateRecord) -> str:
    rows = max((int(row.get("train_rows") or 0) for row in item.curve), default=0)
    return f"{item.steps}, on up to {rows:,} rows" if rows else str(item.steps)


def _step_texts(item: CandidateRecord, price: float) -> list[list[str]]:
    """Texts of `step_labels` after each step; empty where not known."""
    texts, spent = [], 0.0
    for row, training in zip(item.curve, item.train_seconds_so_far, strict=True):
        spent += float(row.get("step_seconds") or 0.0)
        accuracy, rows = row.get("accuracy"), row.get("train_rows")
        texts.append(
            [
                f"{int(rows):,}" if rows else "",
                number("test_loss", row["test_loss"]),
                "" if accuracy is None else number("accuracy", accuracy),
                f"{training:,.1f} s",
                _spent(spent, price, _gpus([row])),
            ]
        )
    return texts


def _moments(search: SearchRecord, moments: Sequence[Moment]) -> list[list[Any]]:
    numbers = {item.name: index for index, item in enumerate(search.candidates, start=1)}
    whole = moments[-1].hypervolume if moments else 0.0
    return [
        [
            round(one.spent_seconds, 3),
            numbers[one.candidate],
            one.step,
            "complete" if one.completed else one.kind,
            round(one.hypervolume / whole, 4) if whole > 0 else None,
            _spent(one.spent_seconds, search.gpu_hour_price, 1),
        ]
        for one in moments
    ]


def _gpus(rows: Sequence[Row]) -> int:
    return max((int(row.get("gpus") or 1) for row in rows), default=1)


def _spent(seconds: float, price: float, gpus: int) -> str:
    """Time by the clock, and what it costs; a processor is priced as one GPU."""
    return f"{duration(seconds)}, {number('dollars', dollars(seconds, gpus, price))}"

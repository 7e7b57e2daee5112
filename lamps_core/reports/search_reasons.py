"""Why a candidate of a search is not on the front: dominated and by whom, beyond a bound, failed, left, never begun.

Owns the words. Reads the record of a search.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from lamps_core.objectives import sign_flipped
from lamps_core.quantities import beside_bound, title
from lamps_core.report_words import joined_names

if TYPE_CHECKING:
    from lamps_core.search.record import CandidateRecord, SearchRecord

_LETTERS = 160  # of an error beside its candidate; the table of failures has all of it


def reason(item: CandidateRecord, search: SearchRecord) -> str:
    """Why a candidate is not on the front; empty where it is, or where there is nothing to say yet."""
    if item.on_front:
        return ""
    if item.failed:
        return _failure(item, search)
    if item.beyond:
        return "; ".join(_beyond(item, name, search) for name in item.beyond)
    if item.complete:
        return _dominated(item, search)
    told = []
    if search.finished:
        when = f"left after step {item.steps - 1}" if item.steps else "never looked at"
        told.append(f"{when}: {_ending(search)}")
    if ahead := _ahead(item, search):
        told.append(f"so far behind {joined_names(ahead)}")
    return "; ".join(told)


def stopped_early(search: SearchRecord) -> list[tuple[int, str]]:
    """Of the candidates that were not fine-tuned to the end: how many for which reason, the most frequent first."""
    left = Counter(_kind(item, search) for item in search.candidates if not item.complete)
    return [(count, words) for words, count in left.most_common()]


def _kind(item: CandidateRecord, search: SearchRecord) -> str:
    if item.failed:
        return "failed"
    if item.stopped:
        return "beyond a bound"
    if not search.finished:
        return "still to go on" if item.steps else "not begun"
    return f"left when {_ending(search)}" if item.steps else "never looked at"


def _ending(search: SearchRecord) -> str:
    if search.result.get("stopped"):
        return "the search stopped by itself"
    return "the search ended" if search.result.get("budget") == "unlimited" else "the budget ended"


def _failure(item: CandidateRecord, search: SearchRecord) -> str:
    rows = (row for row in search.failed if row["model"] == item.name)
    error = " ".join(str(next(rows, {}).get("error") or "no reason recorded").split())
    return error if len(error) <= _LETTERS else f"{error[: _LETTERS - 1]}…"


def _beyond(item: CandidateRecord, name: str, search: SearchRecord) -> str:
    bound = dict(zip(search.objectives, search.bounds, strict=True)).get(name)
    if bound is None or name not in item.so_far:
        return f"{title(name).lower()} beyond its bound"
    return f"{title(name).lower()} {beside_bound(name, item.so_far[name], sign_flipped(name, bound))}"


def _dominated(item: CandidateRecord, search: SearchRecord) -> str:
    unknown = [title(name).lower() for name in search.objectives if name not in item.objectives]
    if unknown:
        return f"{joined_names(unknown)} unknown"
    by = _ahead(item, search)
    return f"dominated by {joined_names(by)}" if by else ""


def _ahead(item: CandidateRecord, search: SearchRecord) -> list[str]:
    """Front members at least as good in every objective that is known of a candidate so far, and better in one."""
    return [other.name for other in search.candidates if other.on_front and _better(other, item)]


def _better(other: CandidateRecord, item: CandidateRecord) -> bool:
    gaps = [
        sign_flipped(name, value) - sign_flipped(name, other.objectives[name])
        for name, value in item.so_far.items()
        if name in other.objectives
    ]
    return bool(gaps) and min(gaps) >= 0 and max(gaps) > 0

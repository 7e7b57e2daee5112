"""What a search left in its folder, read for a person: `result.json` and the curves, or its journal so far.

Owns the joining of these. Does not know how it is shown. A search that was interrupted has no result: its journal
says what was asked and what came of it (`so_far`). That of a finished one gives the order of its steps.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from itertools import accumulate
from typing import TYPE_CHECKING, Any

from lamps_core.curves.reader import holds_curves, read_curves, read_failures
from lamps_core.errors import BadInput
from lamps_core.files import json_object
from lamps_core.objectives import sign_flipped
from lamps_core.prices import GPU_HOUR_PRICE
from lamps_core.search.journal import JOURNAL
from lamps_core.search.so_far import JournalContents, read_contents, read_so_far

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from lamps_core.search.algorithm import Outcome

Row = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class CandidateRecord:
    """One candidate of a search.

    Attributes:
        name: what it is called.
        steps: landmark steps run, step 0 included.
        complete: whether it met its stopping criterion.
        on_front: whether no other complete candidate dominates it.
        failed: whether it ended in an error.
        objectives: name to value, in natural units on the split that decided, where complete; else empty.
        so_far: the same, whether complete or not; what is not known is not there.
        stopped: why it was given up before it was complete; None where it was not.
        beyond: the objectives past their bound for good.
        accuracy: share of rows predicted right after its last step; None where unknown.
        parameters: None where unknown.
        spent_seconds: of all its steps, zero-shot included.
        curve: its rows, by step.
    """

    name: str
    steps: int
    complete: bool
    on_front: bool
    failed: bool
    objectives: dict[str, float]
    so_far: dict[str, float]
    stopped: str | None
    beyond: tuple[str, ...]
    accuracy: float | None
    parameters: int | None
    spent_seconds: float
    curve: tuple[Row, ...]

    @property
    def train_seconds_so_far(self) -> tuple[float, ...]:
        """Training seconds summed up to each row of the curve."""
        return tuple(accumulate(float(row["train_seconds"]) for row in self.curve))


@dataclass(frozen=True, kw_only=True)
class SearchRecord:
    """A search as its folder holds it.

    Attributes:
        dataset: its name.
        finished: whether there is a `result.json`.
        objectives: names, in order.
        candidates: front first, then complete, unfinished, failed; each by the first objective or last loss.
        front: the rows of the front as in `result.json`, by the first objective; where a split of its own decided,
            their test loss and accuracy are the test split's.
        failed: one row a failure: model, step, error.
        result: the whole of `result.json`, or as much of it as is known of an unfinished search.
        outcomes: what came of each step in the order of the journal; empty where the folder has none.
        gpu_hour_price: dollars.
    """

    dataset: str
    finished: bool
    objectives: tuple[str, ...]
    candidates: tuple[CandidateRecord, ...]
    front: tuple[Row, ...]
    failed: tuple[Row, ...]
    result: Row = field(default_factory=dict)
    outcomes: tuple[Outcome, ...] = ()
    gpu_hour_price: float = GPU_HOUR_PRICE

    @property
    def bounds(self) -> tuple[float | None, ...]:
        """The upper bound of each objective in minimised form; None where there is none."""
        known = list(self.result.get("bounds") or [])
        return tuple(known + [None] * (len(self.objectives) - len(known)))

    @property
    def reference(self) -> tuple[float | None, ...]:
        """The reference point in natural units, one value an objective; None where there is none."""
        known = list(self.result.get("reference") or [])
        known += [None] * (len(self.objectives) - len(known))
        return tuple(
            None if value is None else sign_flipped(name, value)
            for name, value in zip(self.objectives, known, strict=True)
        )

    @property
    def spent_seconds(self) -> float:
        """Seconds of every step run."""
        known = self.result.get("spent_seconds")
        return float(known) if known is not None else sum(item.spent_seconds for item in self.candidates)

    @property
    def steps(self) -> int:
        """Landmark steps run, of all candidates together."""
        known = self.result.get("steps")
        return int(known) if known is not None else sum(item.steps for item in self.candidates)


def is_search(folder: Path) -> bool:
    """Whether a folder is one of a search, finished or not."""
    return (folder / "result.json").is_file() or (folder / JOURNAL).is_file()


def read_search(folder: Path) -> SearchRecord:
    """Read a search folder.

    Args:
        folder: what `lamps search --out` was given.

    Raises:
        BadInput: the folder holds no search, or its result or journal cannot be read.
    """
    path = folder / JOURNAL
    result = _read_result(folder / "result.json")
    finished = result is not None
    if result is not None:
        told, rows = _journal_beside(path), _read_rows(folder / "curves")
    elif path.is_file():
        told = read_contents(path)
        result, rows = read_so_far(path, told)
    else:
        raise BadInput(f"{folder} holds no search: give what lamps search --out was given")
    try:
        return _record_of(result, rows, told, finished=finished)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise BadInput(
            f"{folder} holds a damaged record of a search ({error!r}): run the search again with the same --out"
        ) from error


def _record_of(result: Row, rows: list[Row], told: JournalContents, *, finished: bool) -> SearchRecord:
    objectives = tuple(str(name) for name in result["objectives"])
    front = sorted(result.get("front") or [], key=lambda row: _order(row, objectives))
    return SearchRecord(
        dataset=str(result.get("dataset", "")),
        finished=finished,
        objectives=objectives,
        candidates=_join(result, rows, _spent(told, rows), objectives),
        front=tuple(front),
        failed=tuple(result.get("failed") or []),
        result=result,
        outcomes=told.outcomes,
        gpu_hour_price=told.gpu_hour_price,
    )


def _read_result(path: Path) -> Row | None:
    if not path.is_file():
        return None
    try:
        result = json_object(path.read_bytes())
    except ValueError as error:
        raise BadInput(f"{path} is damaged ({error}): run the search again with the same --out") from error
    if not result.get("objectives"):
        raise BadInput(f"{path} does not hold a search's result: run the search again with the same --out")
    return result


def _read_rows(folder: Path) -> list[Row]:
    """Every step on record, the failed ones last."""
    if not holds_curves(folder):
        return []
    rows: list[Row] = read_curves(folder).to_pylist()
    return rows + list(read_failures(folder).to_pylist())


def _journal_beside(path: Path) -> JournalContents:
    """The journal beside a result, which tells everything but the order of things without it."""
    try:
        return read_contents(path)
    except (BadInput, OSError):
        return JournalContents()


def _by_model(rows: Iterable[Row]) -> dict[str, list[Row]]:
    curves: dict[str, list[Row]] = {}
    for row in rows:
        curve = curves.setdefault(str(row["model"]), [])
        if row.get("status") != "failed":
            curve.append(row)
    return curves


def _spent(told: JournalContents, rows: Iterable[Row]) -> dict[str, float]:
    """Seconds by candidate: the journal knows of failed steps and lost attempts, which are in no curve."""
    costs = [(one.candidate, one.seconds) for one in told.outcomes] or [
        (str(row["model"]), row["step_seconds"] or 0.0) for row in rows
    ]
    spent: dict[str, float] = {}
    for name, seconds in costs:
        spent[name] = spent.get(name, 0.0) + seconds
    return spent


def _join(
    result: Row, rows: list[Row], spent: dict[str, float], objectives: tuple[str, ...]
) -> tuple[CandidateRecord, ...]:
    curves = _by_model(rows)
    told = {str(row["model"]): row for row in result.get("candidates") or []}
    front = {str(row["model"]): row for row in result.get("front") or []}
    failed = {str(row["model"]) for row in result.get("failed") or []}
    records = []
    for name in dict.fromkeys([*front, *told, *curves, *sorted(failed)]):
        # The front's rows may hold the test split's figures: what is compared stands in the candidates' rows.
        about = front.get(name, {}) | told.get(name, {})
        about |= {"on_front": name in front, "failed": name in failed}
        about["spent_seconds"] = spent.get(name, 0.0)
        records.append(_record(name, about, curves.get(name, []), objectives))
    return tuple(sorted(records, key=lambda record: _rank(record, objectives)))


def _record(name: str, about: Row, curve: list[Row], objectives: tuple[str, ...]) -> CandidateRecord:
    last = curve[-1] if curve else {}
    complete = bool(about["on_front"] or about.get("complete") or last.get("complete"))
    so_far = {key: float(about[key]) for key in objectives if about.get(key) is not None}
    return CandidateRecord(
        name=name,
        steps=int(about.get("steps", len(curve))),
        complete=complete,
        on_front=about["on_front"],
        failed=about["failed"],
        objectives=so_far if complete else {},
        so_far=so_far,
        accuracy=last.get("accuracy", about.get("accuracy")),
        parameters=last.get("parameters", about.get("parameters")),
        stopped=about.get("stopped"),
        beyond=tuple(about.get("beyond") or ()),
        spent_seconds=about["spent_seconds"],
        curve=tuple(curve),
    )


def _rank(record: CandidateRecord, objectives: tuple[str, ...]) -> tuple[int, float, str]:
    group = [record.on_front, record.complete, not record.failed, True].index(True)
    last = float(record.curve[-1]["test_loss"]) if record.curve else math.inf
    value = _sorted_by(record.objectives, objectives[0]) if record.complete else last
    return group, value, record.name


def _order(row: Row, objectives: tuple[str, ...]) -> tuple[float, str]:
    return _sorted_by(row, objectives[0]), str(row["model"])


def _sorted_by(values: Row, objective: str) -> float:
    """The best first, the unknown last."""
    value = values.get(objective)
    if value is None:
        return math.inf
    return sign_flipped(objective, float(value))

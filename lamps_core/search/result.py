"""What `result.json` says of a search: rows of the front and of every candidate, in natural units.

Derived from the state of the search alone; writes nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lamps_core import __version__
from lamps_core.files import safe_name

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from lamps_core.search.algorithm import CandidateState, Search
    from lamps_core.text.dataset import TextDataset

UNMEASURED = {"test_loss": None, "accuracy": None, "macro_f1": None}


def model_path(candidate: str) -> str:
    """Where a front model lies, relative to the folder of the search."""
    return f"models/{safe_name(candidate)}"


class ResultBuilder:
    """Turns the state of a search over one dataset into plain rows."""

    def __init__(
        self, dataset: TextDataset, tested: Mapping[str, dict[str, Any]], notices: Sequence[str] = ()
    ) -> None:
        """Know the data.

        Args:
            dataset: what is searched.
            tested: what the held-out test split gave, by candidate; grows as models are exported.
            notices: of the search itself; grow as it runs.
        """
        self._dataset = dataset
        self._tested = tested
        self._notices = notices

    def result(self, search: Search, asked: dict[str, Any]) -> dict[str, Any]:
        """`result.json` of the spec.

        Args:
            search: its state.
            asked: what the user asked for, added as it is.
        """
        states = search.candidates.values()
        return search_facts(search) | {
            "dataset": self._dataset.name,
            "hypervolume": search.hypervolume(),
            "lost_seconds": _lost_seconds(search),
            **_expected(search),
            "policy": search.policy.name,
            "selection": self._dataset.selection,
            "front": list(self.front_rows(search)),
            "labels": list(self._dataset.label_names),
            "rows": self._row_counts(),
            "notices": [*self._dataset.notices, *_empty_hypervolume(search), *self._notices],
            "devices": sorted({str(state.rows[-1]["device"]) for state in states if state.rows}),
            "lamps_version": __version__,
            **asked,
        }

    def front_rows(self, search: Search) -> tuple[dict[str, Any], ...]:
        """The front, best first objective first."""
        return tuple(self._front_row(search, state) for state in search.front())

    def _row_counts(self) -> dict[str, int]:
        data = self._dataset
        splits = {"train": data.train, "evaluation": data.evaluation, "test": data.test}
        return {name: len(split) for name, split in splits.items() if split is not None}

    def _front_row(self, search: Search, state: CandidateState) -> dict[str, Any]:
        last = state.rows[-1]
        row = {"model": state.name, **_objective_values(search, state)}
        row |= {"accuracy": last["accuracy"], "macro_f1": last["macro_f1"], "parameters": last["parameters"]}
        row["learning_rate"] = _learning_rate(state)
        if self._dataset.test is not None:
            row["selection_loss"] = last["test_loss"]
            row |= self._tested.get(state.name, UNMEASURED)
        return row | {"path": model_path(state.name)}


def search_facts(search: Search) -> dict[str, Any]:
    """What the state of a search says by itself, whatever its data: costs, candidates, failures, reference point."""
    reference = search.reference_point()
    states = search.candidates.values()
    return {
        "objectives": [objective.column for objective in search.objectives],
        "reference": None if reference is None else reference.tolist(),
        "spent_seconds": search.spent_seconds,
        "steps": search.steps,
        "candidates": [_candidate_row(search, state) for state in states],
        "failed": [
            {
                "model": state.name,
                "step": state.failed_step,
                "error": state.error,
                "seconds": state.failed_seconds,
            }
            for state in states
            if state.error is not None
        ],
    }


def _expected(search: Search) -> dict[str, Any]:
    """What was still to be won, as a share of the hypervolume then reached; and why the search stopped by itself."""
    prospect, rule = search.prospect(), search.budget.stop
    told = {
        "expected_gain": None if prospect is None else prospect.gain,
        "expected_gain_seconds": None if prospect is None else prospect.seconds,
        "expected_gain_per_hour": None if prospect is None else prospect.gain_per_hour,
    }
    if rule is None:
        return told
    return told | {"stop_below": rule.text, "stopped": rule.words if search.stopped() else None}


def _candidate_row(search: Search, state: CandidateState) -> dict[str, Any]:
    row = {"model": state.name, "steps": len(state.rows), "complete": state.complete}
    row |= _objective_values(search, state)
    row["parameters"] = state.rows[0]["parameters"] if state.rows else None
    row["learning_rate"] = _learning_rate(state)
    if search.out_of_bounds(state) and not state.complete:
        row["stopped"] = "beyond a bound"
    if beyond := search.beyond(state):
        row["beyond"] = beyond
    return row


def _learning_rate(state: CandidateState) -> float | None:
    """The rate that it was trained with, its own or asked for; None where no step is on record, or an older one."""
    return state.rows[-1].get("learning_rate") if state.rows else None


def _empty_hypervolume(search: Search) -> list[str]:
    """What to know where the hypervolume is 0: of one complete candidate, or of objectives in which all are equal."""
    states = search.complete()
    if states and not search.front():
        return []  # none is within the bounds, which is said of each
    if len(states) == 1 and search.hypervolume() == 0.0:
        return [
            f"{states[0].name} alone is complete: it is its own reference point, and the hypervolume is 0"
        ]
    if len(states) < 2:
        return []
    points = search.points(states)
    return [
        f"all complete candidates have {one.column} {one.natural(values[0]):g}: it decides nothing, and the "
        "hypervolume is 0"
        for one, values in zip(search.objectives, points.T, strict=True)
        if one.bound is None and (values == values[0]).all()
    ]


def _lost_seconds(search: Search) -> float:
    """What is spent but in no curve: attempts that died, steps that failed or were stopped when a budget ended."""
    rows = (row for state in search.candidates.values() for row in state.rows)
    return max(0.0, search.spent_seconds - sum(row["step_seconds"] for row in rows))


def _objective_values(search: Search, state: CandidateState) -> dict[str, Any]:
    """Every objective, and the two defaults, in natural units."""
    values: dict[str, Any] = {
        "test_loss": state.rows[-1]["test_loss"] if state.rows else None,
        "train_seconds": sum(row["train_seconds"] for row in state.rows),
    }
    for objective in search.objectives:
        value = objective.value(state.rows)
        values[objective.column] = None if value is None else objective.natural(value)
    return values

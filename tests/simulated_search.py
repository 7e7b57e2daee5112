"""A search over many candidates that takes no training: Algorithm 1 on simulated curves, kept by the real journal."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lamps_core.objectives import parse_objectives
from lamps_core.policies.loading import load_policy
from lamps_core.search.algorithm import Action, Outcome, Search
from lamps_core.search.budget import parse_budget
from lamps_core.search.journal import Journal
from lamps_core.simulation.curves import simulated_curves

if TYPE_CHECKING:
    from pathlib import Path

OBJECTIVES = "test_loss,train_seconds"
DATASET = "trec"


BROKEN, REASON = "made-up/broken", "its weights end in the middle"


def simulated_search(folder: Path, *, policy: str, budget: str, command: str) -> Search:
    """Leave the journal of a search over the simulation's 70 candidates and one that fails, as if cut short.

    Returns:
        The search, as it ended.
    """
    rows: dict[str, list[dict[str, Any]]] = {}
    for row in simulated_curves().to_pylist():
        if row["dataset"] == DATASET:
            of_epoch = {"flops_per_token": float(row["parameters"]), "train_tokens": 10_000}
            rows.setdefault(row["model"], []).append(row | of_epoch)
    names = [*rows, BROKEN]
    search = Search(
        names,
        policy=load_policy(policy),
        objectives=parse_objectives(OBJECTIVES),
        budget=parse_budget(budget),
    )
    header = {
        "dataset": DATASET,
        "models": names,
        "policy": policy,
        "objectives": OBJECTIVES.split(","),
        "bounds": [None, None],
        "selection": "test",
        "settings": {"seed": 0},
    }
    folder.mkdir(parents=True, exist_ok=True)
    with Journal(folder / "journal.jsonl", header) as journal:
        journal.append({"event": "started", "budget": budget, "parallel": 1, "command": command})
        while (action := search.ask()) is not None:
            outcome = _outcome(action, rows)
            search.tell(outcome)
            journal.append({"event": "outcome", **vars(outcome)})
    return search


def _outcome(action: Action, rows: dict[str, list[dict[str, Any]]]) -> Outcome:
    name, step = action.candidate, action.step
    if name == BROKEN:
        return Outcome(kind="failed", candidate=name, step=step, seconds=3.0, error=REASON)
    record = _plain(rows[name][step])
    return Outcome(kind="step", candidate=name, step=step, seconds=record["step_seconds"], record=record)


def _plain(row: dict[str, Any]) -> dict[str, Any]:
    """A row as JSON can hold it."""
    return {key: value for key, value in row.items() if value is not None and key != "created_at"}

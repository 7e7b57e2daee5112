"""How a search stands, for a display: what only an outcome changes, and what came of each step."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lamps_core.progress import EndedStep, SearchProgress
from lamps_core.report_words import expected_gain

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from lamps_core.search.algorithm import Outcome, Search


def standing(
    search: Search, front: tuple[dict[str, Any], ...], *, dataset: str, ended: Sequence[EndedStep]
) -> SearchProgress:
    """The state of a search between two outcomes, without the steps that run.

    Args:
        search: asked.
        front: its rows, as a display shows them.
        dataset: its name.
        ended: what came of the steps so far.
    """
    states, prospect = list(search.candidates.values()), search.prospect()
    return SearchProgress(
        dataset=dataset,
        policy=search.policy.name,
        budget_text=search.budget.text,
        budget_share=search.budget.share(search.spent_seconds, search.steps),
        spent_seconds=search.spent_seconds,
        steps_done=search.steps,
        running=(),
        candidates=len(states),
        complete=sum(state.complete for state in states),
        failed=sum(state.error is not None for state in states),
        front=front,
        ended=tuple(ended),
        expected="" if prospect is None else expected_gain(prospect.gain, prospect.seconds),
    )


def ended_step(outcome: Outcome) -> EndedStep:
    """What came of a step, for a display."""
    return EndedStep(outcome.candidate, outcome.step, outcome.kind == "failed", describe(outcome))


def describe(outcome: Outcome) -> str:
    """One line for a log: what came of a step."""
    what = f"{outcome.candidate} step {outcome.step}"
    if outcome.kind == "failed":
        return f"{what} failed: {outcome.error}"
    if outcome.record is None:
        return f"{what} stopped: the budget is spent"
    done = " (complete)" if outcome.record["complete"] else ""
    return f"{what}: loss {outcome.record['test_loss']:.4f} after {outcome.seconds:.1f} s{done}"


def why_no_front(result: Mapping[str, Any]) -> str:
    """Why a search that ended has no front, and how to get one, from what `result.json` holds."""
    failed = {row["model"] for row in result["failed"]}
    if all(row.get("stopped") or row["complete"] or row["model"] in failed for row in result["candidates"]):
        return (
            "No front: every candidate is beyond a bound, or failed. Loosen --bound, or try other --models."
        )
    if any(row["complete"] for row in result["candidates"]):
        return "No complete candidate is within the bounds: loosen --bound, or go on with a larger --budget."
    return "No candidate is complete yet: run again with a larger --budget to go on."

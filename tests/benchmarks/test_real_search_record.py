"""Real searches are judged by what the exhaustive one measured, on their own clocks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from benchmarks.real_search_record import RecordedSearch, read_search

if TYPE_CHECKING:
    from pathlib import Path

CHEAP, DEAR = "zoo/cheap", "zoo/dear"


def step(candidate: str, loss: float, *, seconds: float, complete: bool) -> dict[str, Any]:
    """An outcome as a journal has it."""
    record = {
        "test_loss": loss,
        "train_seconds": seconds / 2,
        "step_seconds": seconds,
        "cpu_seconds": seconds / 4,
        "complete": complete,
    }
    return {"kind": "step", "candidate": candidate, "seconds": seconds, "record": record}


def search(*outcomes: dict[str, Any]) -> RecordedSearch:
    """A search of the two candidates."""
    return RecordedSearch((CHEAP, DEAR), outcomes)


EXHAUSTIVE = search(
    step(CHEAP, 3.0, seconds=2.0, complete=False),
    step(CHEAP, 2.0, seconds=2.0, complete=True),
    step(DEAR, 1.0, seconds=8.0, complete=True),
)


def test_the_share_grows_where_a_candidate_is_complete() -> None:
    """Final points (2, 2 s) and (1, 4 s): reference (2.1, 4.2), boxes 0.1 x 2.2 and 1.1 x 0.2 less 0.1 x 0.2."""
    points = EXHAUSTIVE.whole()
    assert points == {CHEAP: (2.0, 2.0), DEAR: (1.0, 4.0)}
    path = EXHAUSTIVE.trajectory(points)
    assert path.spent_seconds.tolist() == [0.0, 2.0, 4.0, 12.0]
    assert path.share == pytest.approx([0.0, 0.0, 0.22 / 0.42, 1.0])
    assert path.seconds_to(0.98) == 12.0
    assert path.at([3.9, 4.0, 99.0]) == pytest.approx([0.0, 0.22 / 0.42, 1.0])


def test_another_search_keeps_its_own_clock_and_is_worth_what_the_exhaustive_one_measured() -> None:
    """It trained the dear candidate in half of the time, which moves no front."""
    points = EXHAUSTIVE.whole()
    assert points is not None
    other = search(step(DEAR, 1.25, seconds=4.0, complete=True))
    assert other.whole() is None
    assert other.furthest_loss(points) == 0.25
    path = other.trajectory(points, clock="cpu_seconds")
    assert path.spent_seconds.tolist() == [0.0, 1.0]
    assert path.share == pytest.approx([0.0, 0.22 / 0.42])
    assert path.seconds_to(0.98) == float("inf")
    assert path.at([0.5, 1.0, 1.5]) == pytest.approx([0.0, 0.22 / 0.42, np.nan], nan_ok=True)


def test_a_candidate_that_failed_costs_and_is_missed_by_nobody() -> None:
    """A search is whole where every candidate is complete or has failed."""
    failed = {"kind": "failed", "candidate": DEAR, "seconds": 5.0, "record": None}
    third = RecordedSearch(
        (CHEAP, DEAR, "zoo/third"),
        (*EXHAUSTIVE.outcomes[:2], failed, step("zoo/third", 1.0, seconds=8.0, complete=True)),
    )
    points = third.whole()
    assert points is not None
    assert set(points) == {CHEAP, "zoo/third"}
    assert third.trajectory(points).spent_seconds.tolist() == [0.0, 2.0, 4.0, 9.0, 17.0]


def test_a_folder_without_a_search_holds_none(tmp_path: Path) -> None:
    """It is not whole, and nothing is read."""
    assert read_search(tmp_path) == RecordedSearch((), ())
    assert read_search(tmp_path).whole() is None

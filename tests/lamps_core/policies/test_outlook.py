"""What is still to be won, by hand, and how policies take a running candidate into account."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from lamps_core.objectives import parse_objectives
from lamps_core.policies.loading import load_policy
from lamps_core.policies.outlook import outlook_of
from lamps_core.policies.protocol import Observation


def observed(curves: list[np.ndarray], *, complete: list[bool], pending: list[bool]) -> Observation:
    """Candidates by their (rows, 2) curves of loss and training seconds; a step costs what it trains."""
    count = len(curves)
    return Observation(
        names=tuple(f"m{index}" for index in range(count)),
        objectives=np.array([curve[-1] for curve in curves]),
        steps=np.array([len(curve) - 1 for curve in curves]),
        parameters=np.ones(count),
        epoch_cost=np.array([curve[1, 1] if len(curve) > 1 else 1.0 for curve in curves]),
        losses=tuple(tuple(curve[:, 0].tolist()) for curve in curves),
        step_seconds=tuple((0.1, *np.diff(curve[:, 1]).tolist()) for curve in curves),
        complete=np.array(complete),
        mask=~(np.array(complete) | np.array(pending)),
        pending=np.array(pending),
        decision=0,
        spent_seconds=0.0,
        budget_share=0.0,
        curves=tuple(curves),
    )


def certain(points: list[list[float]], *, complete: list[bool], pending: list[bool]) -> Observation:
    """Of candidates whose complete objectives are these."""
    return observed([np.array([point]) for point in points], complete=complete, pending=pending)


def test_gains_and_what_is_reached_are_counted_by_hand() -> None:
    points = np.array([[1.0, 3.0], [3.0, 1.0], [2.0, 2.0], [2.0, 2.0], [11.0, 11.0]])
    complete, pending = [True, False, False, False, False], [False, False, False, True, False]
    seen = certain(points.tolist(), complete=complete, pending=pending)
    # The worst is 11 and the best 1 in both: the reference is 12, and the box 11 by 11.
    told = outlook_of(seen, points, points[:, None], np.ones(5))
    assert told.reached == pytest.approx(11 * 9 / 121)
    assert told.gain[0] == 0.0
    assert told.gain[2] == pytest.approx(
        0.0, abs=1e-12
    )  # as good as the running one, so it adds nothing to it
    assert told.gain[1] * 121 == pytest.approx(9 * 1)  # below (2, 2), which is believed
    assert told.gain[4] == 0.0


def test_a_running_candidate_that_is_expected_beyond_a_bound_takes_nothing_from_the_others() -> None:
    points = np.array([[1.0, 8.0], [2.0, 2.0]])
    idle = certain(points.tolist(), complete=[False, False], pending=[False, False])
    idle = replace(idle, bounds=(4.0, 4.0))
    running = replace(idle, mask=np.array([False, True]), pending=np.array([True, False]))
    gains = [outlook_of(seen, points, points[:, None], np.ones(2)).gain for seen in (idle, running)]
    assert gains[0].tolist() == gains[1].tolist()
    assert gains[0][0] == 0.0
    assert gains[0][1] > 0.0


@pytest.mark.parametrize("name", ["ehvi", "ats"])
def test_a_twin_of_a_running_candidate_waits_for_another_that_adds_more(name: str) -> None:
    steps = np.arange(8.0)
    quick = np.column_stack([1.0 + 0.5**steps, steps])
    slow = np.column_stack([0.05 + 0.5**steps, 4.0 * steps])
    ended = np.column_stack([np.full(8, 3.0), 60.0 * steps])
    curves = [quick, quick.copy(), slow, ended]
    policy = load_policy(name, objectives=parse_objectives())
    complete = [False, False, False, True]
    alone = observed(curves, complete=complete, pending=[False] * 4)
    assert policy.select(alone) == 0
    beside = observed(curves, complete=complete, pending=[True, False, False, False])
    assert policy.select(beside) == 2


def test_seen_of_some_candidates_a_running_one_still_runs() -> None:
    points = [[1.0, 3.0], [3.0, 1.0], [2.0, 2.0]]
    seen = certain(points, complete=[False] * 3, pending=[False, True, False])
    assert seen.of([2, 1]).pending.tolist() == [False, True]

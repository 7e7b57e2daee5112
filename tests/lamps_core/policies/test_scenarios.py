"""What each candidate is needed for when all that is to come is known."""

from __future__ import annotations

import numpy as np
import pytest

from lamps_core import front
from lamps_core.policies.scenarios import GOAL, needed

NO_BOUNDS = (np.inf, np.inf)


def mask(*places: int, count: int) -> np.ndarray:
    told = np.zeros(count, dtype=bool)
    told[list(places)] = True
    return told


@pytest.mark.parametrize("objectives", [2, 3])
def test_it_is_what_the_oracle_would_run_up_to_the_goal(objectives: int) -> None:
    """Beside exact hypervolumes: in each scenario the greatest gain per second first, until the goal is reached."""
    chance = np.random.default_rng(objectives)
    scenarios, count = 20, 9
    final, seconds = (
        chance.random((scenarios, count, objectives)),
        chance.uniform(1.0, 2.0, (scenarios, count)),
    )
    ended, open_ = mask(0, 1, count=count), mask(*range(2, 8), count=count)  # the last one failed
    told = needed(final, seconds, ended=ended, open_=open_, bounds=(np.inf,) * objectives)
    for points, left, found in zip(final[:, :8], seconds, told, strict=True):
        corner = front.reference_point(points, [None] * objectives)
        whole, run = front.hypervolume(points, corner), [0, 1]
        while (reached := front.hypervolume(points[run], corner)) < GOAL * whole:
            gains = np.array(
                [front.hypervolume(points[[*run, place]], corner) - reached for place in range(8)]
            )
            gains[~front.non_dominated(points)] = 0.0
            run.append(int(np.argmax(gains / left[:8])))
        start, chosen = front.hypervolume(points[:2], corner), np.flatnonzero(found)
        with_them = front.hypervolume(points[[0, 1, *chosen]], corner)
        # Hypervolumes are counted at points, so one choice may be another one's equal.
        assert with_them > (GOAL - 0.03) * whole
        assert found.sum() == pytest.approx((with_them - start) / whole, abs=0.04)
        assert len(chosen) <= len(run) - 2 + 1
    assert (told[:, ~open_] == 0.0).all()


def test_of_two_that_would_do_one_is_needed() -> None:
    final = np.array([[[1.0, 1.0], [1.001, 1.001], [9.0, 9.0]]])
    told = needed(final, np.ones((1, 3)), ended=mask(count=3), open_=mask(0, 1, 2, count=3), bounds=NO_BOUNDS)
    assert (told > 0).tolist() == [[True, False, False]]


def test_what_a_complete_candidate_has_reached_is_not_won_again_by_a_slightly_better_one() -> None:
    final = np.array([[[1.0, 1.0], [0.9, 0.9], [9.0, 9.0]]])
    told = needed(final, np.ones((1, 3)), ended=mask(0, count=3), open_=mask(1, 2, count=3), bounds=NO_BOUNDS)
    corner = 9.0 + 0.1 * 8.1
    gain = (corner - 0.9) ** 2 - (corner - 1.0) ** 2
    assert told[0, 1] == pytest.approx(gain / (corner - 0.9) ** 2, abs=0.01)


def test_nothing_is_needed_where_the_goal_is_reached() -> None:
    final = np.array([[[1.0, 1.0], [0.999, 1.0], [9.0, 9.0]]])
    told = needed(final, np.ones((1, 3)), ended=mask(0, count=3), open_=mask(1, 2, count=3), bounds=NO_BOUNDS)
    assert (told == 0.0).all()


def test_a_candidate_beyond_the_bounds_is_needed_for_nothing() -> None:
    final = np.array([[[1.0, 1.0], [0.1, 9.0], [0.5, 4.0]]])
    told = needed(
        final, np.ones((1, 3)), ended=mask(0, count=3), open_=mask(1, 2, count=3), bounds=(5.0, 5.0)
    )
    assert (told > 0).tolist() == [[False, False, True]]


def test_nothing_is_needed_where_all_are_beyond_a_bound() -> None:
    final = np.array([[[0.3, 1.0], [0.4, 0.5], [0.6, 0.2]], [[0.1, 1.0], [0.4, 0.5], [0.6, 0.2]]])
    told = needed(
        final, np.ones((2, 3)), ended=mask(count=3), open_=mask(0, 1, 2, count=3), bounds=(0.2, np.inf)
    )
    assert (told > 0).tolist() == [[False, False, False], [True, False, False]]


def test_one_objective_and_equal_candidates() -> None:
    told = needed(
        np.array([[[3.0], [1.0], [1.0]]]),
        np.array([[1.0, 2.0, 1.0]]),
        ended=mask(count=3),
        open_=mask(0, 1, 2, count=3),
        bounds=(np.inf,),
    )
    assert (told > 0).sum() == 1
    same = needed(
        np.ones((1, 2, 2)), np.ones((1, 2)), ended=mask(count=2), open_=mask(0, 1, count=2), bounds=NO_BOUNDS
    )
    assert np.isfinite(same).all()

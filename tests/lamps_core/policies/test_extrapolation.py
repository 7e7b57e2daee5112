from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lamps_core.landmarks import LANDMARKS
from lamps_core.objectives import parse_objectives
from lamps_core.policies.ats import DELTA, POINTS, first_accepted, predicted_loss
from lamps_core.policies.ehvi import expected_improvements
from lamps_core.policies.expected_cost import epochs_after, expected_cost
from lamps_core.policies.extrapolation import extrapolated
from lamps_core.policies.gains import hypervolume_gains
from lamps_core.policies.loading import load_universal
from lamps_core.policies.protocol import Observation
from lamps_core.replay import ReplayedSearch
from tests.meta_datasets import made_task

if TYPE_CHECKING:
    from lamps_core.task import Task


def observed(losses: list[list[float]], train: list[list[float]], *, complete: list[bool]) -> Observation:
    """Candidates of one fixed second a step beside their training; epochs cost in proportion to their number."""
    count = len(losses)
    curves = tuple(
        np.column_stack([loss, np.cumsum(seconds)]) for loss, seconds in zip(losses, train, strict=True)
    )
    return Observation(
        names=tuple(f"m{index}" for index in range(count)),
        objectives=np.array([curve[-1] for curve in curves]),
        steps=np.array([len(loss) - 1 for loss in losses]),
        parameters=np.arange(count) + 1.0,
        epoch_cost=np.arange(count) + 1.0,
        losses=tuple(map(tuple, losses)),
        step_seconds=tuple(tuple(1.0 + seconds for seconds in own) for own in train),
        complete=np.array(complete),
        mask=~np.array(complete),
        pending=np.zeros(count, dtype=bool),
        decision=0,
        spent_seconds=0.0,
        budget_share=0.0,
        curves=curves,
    )


# --- expected cost -------------------------------------------------------------------------------------


def test_epochs_are_the_sums_of_the_subsets() -> None:
    shares = [2.0 ** (min(k, LANDMARKS) - LANDMARKS) for k in range(1, 13)]
    assert epochs_after(range(13)).tolist() == pytest.approx([0.0, *np.cumsum(shares)])


def test_what_is_left_to_pay_follows_the_clock_and_the_operations() -> None:
    # m0 trains at 64 seconds an epoch and has ended at step 10; m1 costs twice as much an epoch; both 1 s a step.
    seconds = [0.0] + [64.0 * 2.0 ** (min(k, 8) - 8) for k in range(1, 11)]
    seen = observed([[1.0] * 11, [1.0]], [seconds, [0.0]], complete=[True, False])
    cost = expected_cost(seen)
    assert cost.remaining_seconds[0] == 0.0
    assert cost.epoch_seconds == pytest.approx([64.0, 128.0])
    assert cost.steps.tolist() == [10.0, 11.0]  # the mean of 12, the prior, and the one curve that ended
    assert cost.remaining_seconds[1] == pytest.approx(11.0 + 128.0 * float(epochs_after(11)))


def test_with_fewer_landmarks_full_epochs_come_sooner() -> None:
    # K = 2: half the rows, all of them, and then an epoch a step: 64 seconds each, beside a fixed second a step.
    seconds = [0.0, 32.0, 64.0, 64.0, 64.0, 64.0, 64.0]
    seen = replace(observed([[1.0] * 7, [1.0]], [seconds, [0.0]], complete=[True, False]), landmarks=2)
    cost = expected_cost(seen)
    assert cost.epoch_seconds == pytest.approx([64.0, 128.0])
    assert cost.steps.tolist() == [6.0, 6.0]  # the prior and the one that ended are of as many
    assert cost.remaining_seconds[1] == pytest.approx(6.0 + 128.0 * 5.5)


def test_the_universal_policy_expects_curves_of_fewer_landmarks_to_end_sooner() -> None:
    policy = load_universal(parse_objectives())
    seen = observed([[2.0, 1.9, 1.8]] * 3, [[0.0, 1.0, 2.0]] * 3, complete=[False] * 3)
    few, many = (policy.outlook(replace(seen, landmarks=count)).seconds for count in (2, 8))
    assert (few < 0.9 * many).all()


def test_before_any_training_only_the_operations_tell_candidates_apart() -> None:
    cost = expected_cost(observed([[1.0]] * 3, [[0.0]] * 3, complete=[False] * 3))
    assert cost.epoch_seconds / cost.epoch_seconds[0] == pytest.approx([1.0, 2.0, 3.0])


# --- extrapolation -------------------------------------------------------------------------------------


@given(made_task(), st.data())
def test_the_past_is_known_and_the_future_is_not(task: Task, data: st.DataObject) -> None:
    search = ReplayedSearch(task)
    for _ in range(data.draw(st.integers(0, 12))):
        allowed = np.flatnonzero(search.mask)
        if len(allowed):
            search.step(int(data.draw(st.sampled_from(allowed.tolist()))))
    seen = extrapolated(search.observation(), task.objectives)
    np.testing.assert_array_equal(seen.mean[search.complete], task.final[search.complete])
    assert (seen.variance[search.complete] == 0.0).all()
    assert (seen.variance[seen.open] > 0.0).all()
    assert (seen.remaining_seconds[seen.open] > 0.0).all()
    assert np.isfinite(seen.mean[seen.open]).all()
    assert (seen.mean[seen.open, 1] >= search.observation().objectives[seen.open, 1]).all()  # time only grows


def test_a_step_that_others_took_is_expected_to_bring_what_it_brought_them() -> None:
    halving = [2.0 * 0.5**step for step in range(13)]
    flat = [0.0] + [1.0] * 12
    few, many = (
        observed([halving] * n + [[2.0]], [flat] * n + [[0.0]], complete=[True] * n + [False])
        for n in (1, 200)
    )
    far = extrapolated(few, parse_objectives()).mean[-1, 0]
    near = extrapolated(many, parse_objectives()).mean[-1, 0]
    assert halving[-1] < near < 1.5 * halving[-1]
    assert near < far < 2.0
    assert (
        extrapolated(many, parse_objectives()).variance[-1, 0]
        < extrapolated(few, parse_objectives()).variance[-1, 0]
    )


def test_the_reference_point_is_the_bound_where_there_is_one() -> None:
    seen = observed([[1.0, 0.5], [2.0, 1.0]], [[0.0, 1.0], [0.0, 4.0]], complete=[True, True])
    told = extrapolated(seen, parse_objectives(bounds=["train_seconds=60"]))
    assert told.reference.tolist() == pytest.approx([1.05, 60.0])


def test_an_observation_without_its_past_is_refused() -> None:
    seen = observed([[1.0]], [[0.0]], complete=[False])
    without = Observation(**{**vars(seen), "curves": ()})
    with pytest.raises(ValueError, match="curves"):
        extrapolated(without, parse_objectives())
    with pytest.raises(ValueError, match="2 objectives are observed, not 1"):
        extrapolated(seen, parse_objectives("test_loss"))


# --- ehvi ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("objectives", [1, 2, 3])
@pytest.mark.parametrize("complete", [0, 3])
def test_the_expected_improvement_is_the_mean_of_many_draws(objectives: int, complete: int) -> None:
    generator = np.random.default_rng(objectives)
    units = np.array([1.0, 5000.0, 0.01])[:objectives]
    points = generator.uniform(-1.0, 1.0, (complete, objectives)) * units
    reference = 1.2 * units
    mean = generator.uniform(-1.0, 1.2, (4, objectives)) * units
    deviation = generator.uniform(0.05, 0.5, (4, objectives)) * units
    told = expected_improvements(mean, deviation**2, points, reference)
    space = np.prod(reference - np.minimum(mean.min(axis=0), points.min(axis=0, initial=np.inf)))
    for index in range(4):
        draws = generator.normal(mean[index], deviation[index], (20_000, objectives))
        gains = hypervolume_gains(draws, points, reference) / space
        assert told[index] == pytest.approx(gains.mean(), abs=4.5 * gains.std() / np.sqrt(20_000) + 1e-5)


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=30)
def test_of_two_alike_the_one_with_the_better_mean_improves_more(seed: int) -> None:
    generator = np.random.default_rng(seed)
    points = generator.uniform(0.0, 1.0, (3, 2))
    mean = generator.uniform(0.0, 1.0, (1, 2))
    told = expected_improvements(
        np.vstack([mean, mean - 0.1]), np.full((2, 2), 0.04), points, np.array([1.1, 1.1])
    )
    assert told[1] > told[0] > 0.0


# --- ats -----------------------------------------------------------------------------------------------


@given(st.lists(st.floats(0.05, 5.0), min_size=4, max_size=13), st.integers(0, 4))
def test_the_line_is_numpys_through_the_accepted_points(losses: list[float], more: int) -> None:
    x = np.log(epochs_after(np.arange(1, len(losses))))
    y = np.log(losses[1:])
    first = first_accepted(x.tolist(), y.tolist())
    assert len(x) - first >= POINTS
    for accepted in range(first, len(x) - POINTS):  # each was within reach of those after it
        line = np.polyfit(x[accepted + 1 :], y[accepted + 1 :], 1)
        spread = max((y[accepted + 1 :] - np.polyval(line, x[accepted + 1 :])).std(), 1e-12)
        assert abs(y[accepted] - np.polyval(line, x[accepted])) <= DELTA * spread * (1 + 1e-6) + 1e-12
    line = np.polyfit(x[first:], y[first:], 1)
    if first > 0:  # and the next was not
        spread = max((y[first:] - np.polyval(line, x[first:])).std(), 1e-12)
        assert abs(y[first - 1] - np.polyval(line, x[first - 1])) >= DELTA * spread * (1 - 1e-6) - 1e-12
    end = len(losses) - 1 + more
    expected = min(np.exp(np.polyval(line, np.log(float(epochs_after(end))))), losses[-1])
    assert predicted_loss(tuple(losses), float(end)) == pytest.approx(expected, rel=1e-6)


def test_the_flat_phase_is_left_out_of_the_line() -> None:
    power = 0.8 * epochs_after(np.arange(1, 11)) ** -0.3
    losses = np.minimum(power, 1.9)
    assert (power[:3] > 1.9).all()
    assert (power[3:] < 1.9).all()
    data = np.log(epochs_after(np.arange(1, 11)))
    assert first_accepted(data.tolist(), np.log(losses).tolist()) == 3
    assert predicted_loss((2.0, *losses), 12.0) == pytest.approx(0.8 * float(epochs_after(12)) ** -0.3)


def test_a_rising_loss_is_expected_to_stay() -> None:
    assert predicted_loss((1.0, 1.0, 1.1, 1.2, 1.3), 12.0) == pytest.approx(1.3)

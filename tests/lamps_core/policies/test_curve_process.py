from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lamps_core.one_thread import one_thread
from lamps_core.policies.curve_process import STAGES, CurveProcess
from lamps_core.policy_training.curve_learning import LEVELS, Curves, learn, progress_of

if TYPE_CHECKING:
    from collections.abc import Iterator

DATASETS, CANDIDATES, ROWS = 7, 24, 9
HELD_OUT = DATASETS - 1


@pytest.fixture(scope="module")
def curves() -> Curves:
    """Losses with a level of each dataset, an effect of each candidate, and one of both together."""
    generator = np.random.default_rng(3)
    effect = generator.normal(0.0, 0.4, CANDIDATES)
    size = np.linspace(0.0, 5.0, CANDIDATES)
    level = generator.normal(0.0, 1.0, (DATASETS, 1))
    own = generator.normal(0.0, 0.15, (DATASETS, CANDIDATES))
    known = level - 0.1 * size + effect
    fall, shown = 2.0 * 0.6 ** np.arange(ROWS), np.linspace(0.0, 1.0, ROWS)
    values = (
        known[:, :, None]
        + own[:, :, None] * shown
        + fall
        + generator.normal(0.0, 0.01, (DATASETS, CANDIDATES, ROWS))
    )
    return Curves(
        values=np.concatenate([values, values[:, :, -1:]], axis=2),
        rows=np.full((DATASETS, CANDIDATES), ROWS),
        log_cost=np.tile(size, (DATASETS, 1)),
    )


@pytest.fixture(scope="module")
def progress() -> np.ndarray:
    seconds = np.tile(2.0 ** np.arange(ROWS), (DATASETS, CANDIDATES, 1))
    return progress_of(seconds, np.full((DATASETS, CANDIDATES), ROWS))


@pytest.fixture(scope="module", autouse=True)
def unthreaded() -> Iterator[None]:
    """As when a policy is trained."""
    with one_thread():
        yield


@pytest.fixture(scope="module")
def process(curves: Curves, progress: np.ndarray) -> CurveProcess:
    """Learned from all datasets but the last."""
    return learn(without_the_last(curves), progress, seed=0)


def without_the_last(curves: Curves) -> Curves:
    return Curves(
        **{field.name: getattr(curves, field.name)[:HELD_OUT] for field in dataclasses.fields(curves)}
    )


def error(process: CurveProcess, curves: Curves, row: int, complete: np.ndarray) -> np.ndarray:
    """Forecast less truth on the held-out dataset, of the candidates that are not complete."""
    rows = np.where(complete, ROWS - 1, row)
    told = process.forecast(curves.values[HELD_OUT], rows, curves.log_cost[HELD_OUT], complete)
    return (told.mean - curves.values[HELD_OUT, :, -1])[~complete]


def none() -> np.ndarray:
    return np.zeros(CANDIDATES, dtype=bool)


def test_a_forecast_knows_the_candidates_and_is_the_surer_the_more_of_a_curve_it_has_seen(
    process: CurveProcess, curves: Curves
) -> None:
    spread = curves.values[HELD_OUT, :, -1].std()
    errors = [error(process, curves, row, none()).std() for row in (0, 4, 7)]
    assert errors[0] < 0.6 * spread  # 0.15 of it, each candidate's own, shows along the curve alone
    assert errors[2] < 0.6 * errors[0]
    told = [
        process.forecast(curves.values[HELD_OUT], np.full(CANDIDATES, row), curves.log_cost[HELD_OUT], none())
        for row in (0, 4, 7)
    ]
    assert told[0].deviation.mean() > told[2].deviation.mean()


def test_complete_curves_tell_the_level_of_a_dataset(curves: Curves, progress: np.ndarray) -> None:
    ends_apart = curves.values.copy()  # by a distance for each dataset, which no row tells
    ends_apart[:, :, -1] += np.linspace(-1.0, 1.0, DATASETS)[:, None]
    apart = dataclasses.replace(curves, values=ends_apart)
    learned = learn(without_the_last(apart), progress, seed=0)
    some = none()
    some[::4] = True
    last = ROWS - 1  # at which all others are, too
    assert abs(error(learned, apart, last, some).mean()) < 0.5 * abs(
        error(learned, apart, last, none()).mean()
    )


def test_nothing_that_was_not_seen_is_used(process: CurveProcess, curves: Curves) -> None:
    seen = curves.values[HELD_OUT].copy()
    hidden = seen.copy()
    hidden[:, 3:] = 1e9  # rows after the last one seen, and the complete value
    rows = np.full(CANDIDATES, 2)
    told = [
        process.forecast(values, rows, curves.log_cost[HELD_OUT], none()).mean for values in (seen, hidden)
    ]
    np.testing.assert_array_equal(told[0], told[1])


def test_a_candidate_that_is_not_there_changes_nothing(process: CurveProcess, curves: Curves) -> None:
    rows = np.zeros(CANDIDATES, dtype=int)
    rows[5] = -1
    values = [curves.values[HELD_OUT].copy() for _ in range(2)]
    values[1][5] = np.nan
    costs = [curves.log_cost[HELD_OUT].copy() for _ in range(2)]
    costs[1][5] = 99.0
    told = [
        process.forecast(value, rows, cost, none()).mean for value, cost in zip(values, costs, strict=True)
    ]
    others = np.arange(CANDIDATES) != 5
    np.testing.assert_array_equal(told[0][others], told[1][others])


def test_the_same_curves_and_seed_teach_the_same(curves: Curves, progress: np.ndarray) -> None:
    few = Curves(values=curves.values[:3], rows=curves.rows[:3], log_cost=curves.log_cost[:3])
    first, second = (learn(few, progress, seed=1) for _ in range(2))
    for name, array in first.arrays().items():
        np.testing.assert_array_equal(array, second.arrays()[name], err_msg=name)


def test_one_diverged_curve_does_not_spoil_the_others(
    process: CurveProcess, curves: Curves, progress: np.ndarray
) -> None:
    spoilt = curves.values.copy()
    spoilt[2, 7, 3:] += 12.0
    told = learn(without_the_last(dataclasses.replace(curves, values=spoilt)), progress, seed=0)
    others = np.arange(CANDIDATES) != 7
    spoilt_error, clean_error = (error(one, curves, 0, none())[others] for one in (told, process))
    assert spoilt_error.std() < 1.5 * clean_error.std()


def test_errors_are_quantiles_that_cover_the_truth(process: CurveProcess, curves: Curves) -> None:
    assert process.errors.shape == (STAGES, LEVELS)
    assert (np.diff(process.errors, axis=1) >= 0).all()
    told = process.forecast(
        curves.values[HELD_OUT], np.zeros(CANDIDATES, dtype=int), curves.log_cost[HELD_OUT], none()
    )
    likely = told.mean[:, None] + told.deviation[:, None] * told.errors
    truth = curves.values[HELD_OUT, :, -1]
    inside = (likely[:, 0] <= truth) & (truth <= likely[:, -1])
    assert inside.mean() > 0.7


@pytest.mark.parametrize("datasets", [1, 2])
def test_one_or_two_datasets_are_enough_to_learn_from(
    curves: Curves, progress: np.ndarray, datasets: int
) -> None:
    few = Curves(
        values=curves.values[:datasets], rows=curves.rows[:datasets], log_cost=curves.log_cost[:datasets]
    )
    assert np.isfinite(error(learn(few, progress, seed=0), curves, 2, none())).all()


@given(st.integers(0, 2**32 - 1))
def test_progress_rises_from_the_zero_shot_evaluation_to_the_complete_value(seed: int) -> None:
    generator = np.random.default_rng(seed)
    rows = generator.integers(0, 7, (3, 4))
    seconds = np.where(np.arange(6) < rows[..., None], generator.uniform(0.0, 5.0, (3, 4, 6)), 0.0)
    told = progress_of(seconds, rows)
    assert told.shape == (7,)
    assert told[0] == 0.0
    assert told[-1] == pytest.approx(1.0)
    assert (np.diff(told) >= 0).all()

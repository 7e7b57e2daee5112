"""Forecasts of any candidates' curves by a library of Gaussian processes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from lamps_core.policy_training.candidate_features import features_of, likeness
from lamps_core.policy_training.curve_worlds import (
    LOOKS,
    NODES,
    TERMS,
    CurveWorlds,
    Features,
    expected_length,
    node_of,
    place_of,
    points_of,
)
from lamps_core.policy_training.random_tasks import random_task
from lamps_core.policy_training.universal import lesson_of
from lamps_core.policy_training.world_learning import START, START_NOISE, fit, learn

if TYPE_CHECKING:
    from lamps_core.meta_dataset import FloatArray


def library(worlds: int = 2) -> CurveWorlds:
    """Nothing learned: the start, and the same with wider own terms."""
    kernel = np.tile(np.array(START), (worlds, 1, 1))
    kernel[1:, 4, 0] += 1.0
    levels = np.linspace(-2.0, 2.0, 16)
    return CurveWorlds(
        profile=np.linspace(0.0, -1.0, NODES),
        kernel=kernel,
        noise=np.tile(np.array(START_NOISE), (worlds, 1)),
        errors=np.tile(levels, (3, 1)),
    )


def some_curves(count: int = 5, rows: int = 4) -> list[FloatArray]:
    """Curves that fall, each at a level of its own."""
    chance = np.random.default_rng(3)
    return [np.cumsum(-chance.uniform(0.0, 0.3, rows)) + place / 10 for place in range(count)]


def features(count: int = 5) -> Features:
    """Sizes that differ and names that are alike in part."""
    return features_of(
        [f"{'bert' if place % 2 else 'gpt'}-{place}" for place in range(count)],
        np.exp(np.arange(count, dtype=float)),
        np.full(count, np.nan),
    )


def test_a_gaussian_process_of_one_world_is_that_of_the_textbook() -> None:
    curves, complete, known = some_curves(), np.zeros(5, dtype=bool), features()
    told = library(1).forecast(curves, complete, known)
    seen, level = points_of(curves, complete)
    u = np.linspace(0.0, 1.0, NODES)

    def kernel(first: tuple[int, int], second: tuple[int, int]) -> float:
        pairs = known.terms(np.array([first[0]]), np.array([second[0]]))[:, 0, 0]
        total = 0.0
        for (a, b, length), pair in zip(START, pairs, strict=True):
            scaled = 5**0.5 * abs(u[first[1]] - u[second[1]]) / np.exp(length)
            matern = (1 + scaled + scaled**2 / 3) * np.exp(-scaled)
            total += np.exp(2 * a + b * (u[first[1]] + u[second[1]])) * matern * pair
        return total

    points = list(zip(seen.candidate, seen.node, strict=True))
    covariance = np.array([[kernel(p, q) for q in points] for p in points])
    covariance += np.diag([np.exp(2 * START_NOISE[0]) + 1e-6] * len(points))
    ends = np.array([[kernel((place, NODES - 1), q) for q in points] for place in range(5)])
    profile = np.linspace(0.0, -1.0, NODES)
    residual = seen.value - level - profile[seen.node]
    expected = ends @ np.linalg.solve(covariance, residual) + level - 1.0
    assert told.mean == pytest.approx(expected, abs=1e-8)


def test_order_makes_no_difference() -> None:
    curves, known, order = some_curves(), features(), np.array([3, 0, 4, 1, 2])
    complete = np.array([True, False, False, True, False])
    told = library().forecast(curves, complete, known)
    turned = library().forecast(
        [curves[place] for place in order],
        complete[order],
        Features(known.size[order], known.likeness[np.ix_(order, order)]),
    )
    assert turned.mean == pytest.approx(told.mean[order], abs=1e-9)
    assert turned.deviation == pytest.approx(told.deviation[order], abs=1e-9)


def test_another_unit_makes_no_difference_but_to_the_level() -> None:
    curves, complete, known = some_curves(), np.zeros(5, dtype=bool), features()
    told = library().forecast(curves, complete, known)
    shifted = library().forecast([curve + 7.0 for curve in curves], complete, known)
    assert shifted.mean == pytest.approx(told.mean + 7.0, abs=1e-9)
    assert shifted.deviation == pytest.approx(told.deviation, abs=1e-9)


def test_who_has_run_further_is_known_better_and_a_further_look_tells_more() -> None:
    chance = np.random.default_rng(1)
    curves = [np.cumsum(-chance.uniform(0.0, 0.2, rows)) for rows in (1, 1, 9, 9)]
    told = library().forecast(curves, np.zeros(4, dtype=bool), features(4))
    assert told.deviation[2:].max() < told.deviation[:2].min()
    assert told.told.shape == (4, len(LOOKS))
    assert (np.diff(told.told[:2], axis=1) >= -1e-9).all()


def test_the_likeliest_world_decides() -> None:
    """Candidates that lie far apart are forecast by the world in which they do."""
    wide, narrow = library(2), library(1)
    curves = [np.full(3, level) for level in (-2.0, 2.0, -1.5, 1.5, 0.0)]
    chosen, weight = wide._likeliest(points_of(curves, np.zeros(5, dtype=bool))[0], features())
    assert chosen[0] == 1
    assert weight[0] > 0.5
    assert len(narrow._likeliest(points_of(curves, np.zeros(5, dtype=bool))[0], features())[0]) == 1


def test_a_candidate_that_failed_at_once_and_one_alone_are_no_trouble() -> None:
    told = library().forecast([np.array([]), np.array([1.0, 0.9])], np.zeros(2, dtype=bool), features(2))
    assert np.isfinite(told.mean).all()
    alone = library().forecast([np.array([1.0])], np.zeros(1, dtype=bool), features(1))
    assert np.isfinite(alone.mean).all()
    assert np.isfinite(alone.deviation).all()


def test_places_grow_with_the_logarithm_of_what_was_trained_on() -> None:
    places = place_of(np.arange(30))
    assert (np.diff(places) > 0).all()
    assert places[8] == 8.0
    assert node_of(np.array([0, 500]), 12.0).tolist() == [0, NODES - 2]


def test_the_length_of_curves_is_that_of_those_that_ended() -> None:
    assert expected_length(np.array([0, 0]), np.zeros(2, dtype=bool)) == 12.0
    ended = expected_length(np.array([30, 30, 2]), np.array([True, True, False]))
    assert 25.0 < ended < 30.0
    assert expected_length(np.array([40]), np.array([False])) == 41.0


def test_names_are_alike_as_far_as_their_letters_are_and_numbers_say_nothing() -> None:
    alike = likeness(["org/bert-base", "org/bert-large", "config_01", "config_02", "7"])
    assert np.diag(alike) == pytest.approx(1.0)
    assert alike[0, 1] > alike[0, 2]
    assert alike[2, 3] == pytest.approx(1.0)
    assert np.linalg.eigvalsh(alike).min() > -1e-9


def test_sizes_are_the_parameters_where_no_cost_is_known_and_none_where_all_are_equal() -> None:
    unknown = np.full(3, np.nan)
    assert features_of(["a", "b", "c"], unknown, np.array([1e6, 1e7, 1e8])).size == pytest.approx(
        [-(1.5**0.5), 0.0, 1.5**0.5]
    )
    assert features_of(["a", "b", "c"], unknown, unknown).size.tolist() == [0.0, 0.0, 0.0]
    assert features_of(["a", "b", "c"], np.full(3, 5.0), unknown).size.tolist() == [0.0, 0.0, 0.0]


# --- learning -------------------------------------------------------------------------------------------------


def test_a_fitted_world_explains_its_task_better_than_the_start() -> None:
    from lamps_core.policy_training.world_learning import _points

    task = random_task(4)
    lesson = lesson_of(task, "loss")
    points = _points(lesson, np.random.default_rng(0))
    profile = np.zeros(NODES)
    kernel, noise = fit(points, lesson.features, profile)
    both = CurveWorlds(
        profile=profile,
        kernel=np.stack([np.array(START), kernel]),
        noise=np.stack([np.array(START_NOISE), noise]),
        errors=np.zeros((3, 16)),
    )
    chosen, weight = both._likeliest(points, lesson.features)
    assert chosen[0] == 1
    assert weight[0] > 0.9


def test_a_library_keeps_as_many_worlds_as_it_is_told_and_its_errors_are_those_of_others() -> None:
    lessons = [lesson_of(random_task(seed), "loss") for seed in range(4)]
    shares: list[float] = []
    worlds = learn(lessons, kept=2, seed=0, tell=shares.append)
    assert 1 <= len(worlds.kernel) <= 2
    assert worlds.kernel.shape[1:] == (TERMS, 3)
    assert (np.diff(worlds.errors, axis=1) >= 0).all()
    assert shares == sorted(shares)
    again = learn(lessons, kept=2, seed=0)
    assert again.kernel.tobytes() == worlds.kernel.tobytes()


@pytest.mark.parametrize("seed", range(12))
def test_random_tasks_are_tasks(seed: int) -> None:
    task = random_task(seed)
    seen = np.arange(task.losses.shape[1]) < task.rows[:, None]
    assert (task.losses[seen] > 0).all()
    assert np.isfinite(task.losses[seen]).all()
    assert (task.step_seconds[seen] > 0).all()
    assert np.isnan(task.losses[~seen]).all()
    assert len(set(task.candidates)) == len(task.candidates)
    assert task.on_front.any()
    assert task.hypervolume > 0
    assert random_task(seed).losses.tobytes() == task.losses.tobytes()

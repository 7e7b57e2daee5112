"""Forecasts of any candidates' curves by a network."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from lamps_core.policies.candidate_features import Features, features_of
from lamps_core.policies.curve_network import LOOKS, CurveForecaster, CurveNetwork
from lamps_core.policies.curve_tokens import GRID, INPUTS, expected_length, observed, place_of
from lamps_core.policies.loading import UNIVERSAL, shipped_policy
from lamps_core.policies.universal import COSTS, LOSSES
from lamps_core.policies.universal_file import networks_of
from lamps_core.policy_file import read_policy

if TYPE_CHECKING:
    from lamps_core.task import FloatArray


@pytest.fixture(scope="module")
def shipped() -> CurveForecaster:
    """Of losses."""
    return CurveForecaster(_shipped_networks(LOSSES), grows_with_size=False)


def _shipped_networks(number: str) -> list[CurveNetwork]:
    return networks_of(read_policy(shipped_policy(UNIVERSAL)), number, "shipped")


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


NONE = np.zeros(5, dtype=bool)


def test_order_makes_no_difference(shipped: CurveForecaster) -> None:
    curves, known, order = some_curves(), features(), np.array([3, 0, 4, 1, 2])
    complete = np.array([True, False, False, True, False])
    told = shipped.forecast(curves, complete, known)
    turned = shipped.forecast([curves[place] for place in order], complete[order], known.of(order))
    assert turned.mean == pytest.approx(told.mean[order], abs=1e-5)
    assert turned.own == pytest.approx(told.own[order], abs=1e-5)
    assert turned.look_correlation == pytest.approx(told.look_correlation[order], abs=1e-5)


def test_another_unit_makes_no_difference_but_to_the_level(shipped: CurveForecaster) -> None:
    told = shipped.forecast(some_curves(), NONE, features())
    shifted = shipped.forecast([curve + 7.0 for curve in some_curves()], NONE, features())
    assert shifted.mean == pytest.approx(told.mean + 7.0, abs=1e-5)
    assert shifted.look_mean == pytest.approx(told.look_mean + 7.0, abs=1e-5)
    assert shifted.own == pytest.approx(told.own, abs=1e-5)


def test_what_is_complete_is_known(shipped: CurveForecaster) -> None:
    complete = np.array([False, True, False, True, False])
    told = shipped.forecast(some_curves(), complete, features())
    assert told.mean[complete] == pytest.approx([some_curves()[1][-1], some_curves()[3][-1]])
    assert (told.own[complete] == 0.0).all()
    assert (told.shared[complete] == 0.0).all()
    assert (told.own[~complete] > 0.0).all()


def test_who_has_run_further_is_known_better_and_a_further_look_tells_more(shipped: CurveForecaster) -> None:
    chance = np.random.default_rng(1)
    curves = [np.cumsum(-chance.uniform(0.0, 0.2, rows)) for rows in (1, 1, 1, 9, 9, 9)]
    told = shipped.forecast(curves, np.zeros(6, dtype=bool), features(6))
    assert told.own[3:].max() < told.own[:3].min()
    assert told.look_correlation.shape == (6, len(LOOKS))
    assert (told.look_correlation[:3, -1] > told.look_correlation[:3, 0]).all()


def test_a_forecast_leans_on_how_complete_curves_ended(shipped: CurveForecaster) -> None:
    """Of curves that are alike so far, those of others that fell further are expected to fall further."""
    begun = np.linspace(1.0, 0.8, 5)
    ended = {
        drop: [np.append(begun, np.linspace(0.8, 0.8 - drop, 7)) for _ in range(2)] for drop in (0.05, 0.6)
    }
    complete = np.array([True, True, False, False, False])
    little, much = (
        shipped.forecast([*ended[drop], begun, begun - 0.05, begun + 0.05], complete, features()).mean[2]
        for drop in (0.05, 0.6)
    )
    assert much < little - 0.2


def test_a_large_candidate_is_expected_to_cost_more_before_a_row_shows_it() -> None:
    """Zero-shot evaluations that take as long for all, and what two small ones cost in all, in logarithms."""
    forecaster = CurveForecaster(_shipped_networks(COSTS), grows_with_size=True)
    small = np.log(np.cumsum(2.0 ** np.arange(9)))
    curves = [np.append(0.0, small), np.append(0.0, 1.0 + small), *[np.zeros(1)] * 3]
    told = forecaster.forecast(curves, np.array([True, True, False, False, False]), features())
    assert told.mean[2] < told.mean[3] < told.mean[4]
    assert told.mean[4] - told.mean[0] > 2.0  # that is 55 times as large


def test_an_evaluation_that_costs_nothing_has_no_logarithm_and_makes_no_difference() -> None:
    begun: list[FloatArray] = [np.array([np.nan, 5.0 + place, 6.0 + place]) for place in range(4)]
    seen = observed(begun, NONE[:4], features(4), grows_with_size=False)
    assert seen.now == pytest.approx([6.0, 7.0, 8.0, 9.0])
    assert seen.apart < 2.0  # the level tells nobody apart


def test_a_candidate_that_failed_at_once_and_one_alone_are_no_trouble(shipped: CurveForecaster) -> None:
    curves = [np.array([]), np.array([1.0, 0.9]), np.array([np.nan, 1.0])]
    told = shipped.forecast(curves, np.zeros(3, dtype=bool), features(3))
    assert np.isfinite(told.mean).all()
    for alone in ([np.array([1.0])], [np.array([])]):
        found = shipped.forecast(alone, np.zeros(1, dtype=bool), features(1))
        assert np.isfinite(found.mean).all()
        assert np.isfinite(found.own).all()


def test_every_candidate_is_told_by_as_many_numbers_none_of_them_wild() -> None:
    curves: list[FloatArray] = [np.array([0.0, 1e6, -1e6]), *some_curves(4, 60)]
    seen = observed(curves, np.array([False, True, False, False, False]), features(), grows_with_size=True)
    assert seen.tokens.shape == (5, INPUTS)
    assert np.abs(seen.tokens).max() < 20.0


def test_the_mean_curve_is_not_bent_by_who_runs_on() -> None:
    """Parallel curves, of which only the best run on: their distances to the mean curve stay as they are."""
    curves: list[FloatArray] = [
        np.asarray(place - np.arange(rows) * 0.1, dtype=np.float64) for place, rows in enumerate((9, 9, 2, 2))
    ]
    seen = observed(curves, np.zeros(4, dtype=bool), features(4), grows_with_size=False)
    distances = seen.tokens[:2, : len(GRID)]
    assert distances[:, 8] == pytest.approx(distances[:, 0])
    assert distances[1, 8] - distances[0, 8] == pytest.approx(1.0 / seen.apart)


def test_places_grow_with_the_logarithm_of_what_was_trained_on() -> None:
    places = place_of(np.arange(30))
    assert (np.diff(places) > 0).all()
    assert places[8] == 8.0


def test_the_length_of_curves_is_that_of_those_that_ended() -> None:
    assert expected_length(np.array([0, 0]), np.zeros(2, dtype=bool)) == 12.0
    ended = expected_length(np.array([30, 30, 2]), np.array([True, True, False]))
    assert 25.0 < ended < 30.0
    assert expected_length(np.array([40]), np.array([False])) == 41.0

"""What is known of candidates beside their curves."""

from __future__ import annotations

import numpy as np
import pytest

from lamps_core.policies.candidate_features import features_of, likeness


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
    assert features_of(["a", "b", "c"], unknown, np.array([1e6, 1e7, 1e8])).spread == pytest.approx(
        np.log(10.0) * (2 / 3) ** 0.5
    )
    assert features_of(["a", "b", "c"], unknown, unknown).size.tolist() == [0.0, 0.0, 0.0]
    assert features_of(["a", "b", "c"], unknown, unknown).spread == 0.0
    assert features_of(["a", "b", "c"], np.full(3, 5.0), unknown).size.tolist() == [0.0, 0.0, 0.0]


def test_a_part_of_the_candidates_is_told_as_if_there_were_no_others() -> None:
    names, unknown = ["bert-1", "gpt-2", "bert-3", "opt-4"], np.full(4, np.nan)
    parameters = np.array([1e6, 3e6, 2e7, 1e9])
    chosen = np.array([3, 0, 2])
    part = features_of(names, unknown, parameters).of(chosen)
    alone = features_of([names[place] for place in chosen], unknown[chosen], parameters[chosen])
    assert part.size == pytest.approx(alone.size)
    assert part.spread == pytest.approx(alone.spread)
    assert part.likeness == pytest.approx(alone.likeness)

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lamps_core.errors import BadInput
from lamps_core.landmarks import landmark_rows, rows_of_step, stratified_order

some_labels = st.lists(st.integers(-3, 9), max_size=120).map(lambda labels: np.array(labels, dtype=np.int64))
seeds = st.integers(0, 2**31 - 1)


@given(some_labels, seeds)
def test_the_stratified_order_is_a_permutation(labels: np.ndarray, seed: int) -> None:
    order = stratified_order(labels, seed=seed)
    assert order.dtype == np.int64
    assert sorted(order.tolist()) == list(range(len(labels)))


@given(some_labels.filter(len), seeds)
def test_every_prefix_holds_each_class_within_the_stated_bound_of_its_quota(
    labels: np.ndarray, seed: int
) -> None:
    ordered = labels[stratified_order(labels, seed=seed)]
    classes, class_rows = np.unique(labels, return_counts=True)
    counts = np.cumsum(ordered[:, None] == classes, axis=0)
    shares = class_rows / len(labels)
    quotas = np.arange(1, len(labels) + 1)[:, None] * shares
    bound = (1 + (len(classes) - 2) * shares) / 2 if len(classes) > 1 else np.zeros(1)
    assert np.all(np.abs(counts - quotas) <= bound + 1e-9)


@given(some_labels.filter(len), seeds)
def test_every_prefix_is_the_sainte_lague_apportionment_of_seat_by_seat_highest_quotients(
    labels: np.ndarray, seed: int
) -> None:
    ordered = labels[stratified_order(labels, seed=seed)].tolist()
    votes = {label: ordered.count(label) for label in ordered}
    seats = dict.fromkeys(votes, 0)
    for label in ordered:
        quotients = {other: votes[other] / (2 * seats[other] + 1) for other in votes}
        assert quotients[label] == pytest.approx(max(quotients.values()))
        seats[label] += 1


def test_the_order_is_decided_by_the_seed_alone() -> None:
    labels = np.random.default_rng(1).integers(0, 5, 300)
    assert np.array_equal(stratified_order(labels, seed=3), stratified_order(labels.copy(), seed=3))
    assert not np.array_equal(stratified_order(labels, seed=3), stratified_order(labels, seed=4))


def test_ties_between_classes_of_one_size_are_broken_at_random() -> None:
    labels = np.array([0, 1] * 20)
    first = {int(labels[stratified_order(labels, seed=seed)[0]]) for seed in range(30)}
    assert first == {0, 1}


@given(st.integers(0, 10**12), st.integers(1, 40))
def test_landmarks_have_floor_of_rows_over_powers_of_two(rows: int, count: int) -> None:
    sizes = landmark_rows(rows, landmarks=count)
    assert len(sizes) == count
    assert sizes[-1] == rows
    assert all(size == rows // 2 ** (count - k) for k, size in enumerate(sizes, start=1))


def test_landmarks_of_few_rows_may_be_empty() -> None:
    assert landmark_rows(20) == (0, 0, 0, 1, 2, 5, 10, 20)


@given(some_labels, st.integers(1, 10), seeds)
def test_each_landmark_subset_lies_inside_the_next_and_the_last_is_all(
    labels: np.ndarray, count: int, seed: int
) -> None:
    order = stratified_order(labels, seed=seed)
    subsets = [rows_of_step(order, step, count) for step in range(1, count + 4)]
    assert tuple(len(subset) for subset in subsets[:count]) == landmark_rows(len(labels), landmarks=count)
    assert all(set(small) <= set(large) for small, large in itertools.pairwise(subsets))
    assert all(set(subset) == set(range(len(labels))) for subset in subsets[count - 1 :])


def test_a_step_or_a_number_of_landmarks_below_one_is_refused() -> None:
    with pytest.raises(BadInput, match="step 0"):
        rows_of_step(np.arange(5), 0, 8)
    with pytest.raises(BadInput, match="--landmarks must be at least 1, not 0"):
        landmark_rows(5, landmarks=0)
    with pytest.raises(BadInput, match="not -1"):
        landmark_rows(-1)

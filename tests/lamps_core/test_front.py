"""Definitions 1 to 4 and Theorem 1 against brute force that shares no code with them."""

from __future__ import annotations

import math
from itertools import chain, combinations
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from lamps_core import front

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    import numpy.typing as npt


Point = tuple[float, ...]


def points_of(
    least: int = 0, most: int = 6, *, objectives: tuple[int, ...] = (2, 3)
) -> st.SearchStrategy[list[Point]]:
    """Small whole numbers: boxes are exact, and ties, duplicates and dominated points are common."""

    def lists(n: int) -> st.SearchStrategy[list[Point]]:
        point = st.tuples(*[st.integers(0, 7).map(float)] * n)
        return st.lists(point, min_size=least, max_size=most)

    return st.sampled_from(objectives).flatmap(lists)


def corner(points: Sequence[Point], height: float = 6.0) -> Point:
    return (height,) * len(points[0])


def subsets(points: Sequence[Point]) -> Iterator[tuple[Point, ...]]:
    return chain.from_iterable(combinations(points, size) for size in range(len(points) + 1))


def volume(points: Sequence[Point], reference: Point) -> float:
    """Inclusion and exclusion over boxes: the box of an intersection starts at the componentwise maximum."""
    inside = [p for p in points if all(a <= r for a, r in zip(p, reference, strict=True))]
    total = 0.0
    for chosen in subsets(inside):
        if chosen:
            lower = [max(values) for values in zip(*chosen, strict=True)]
            total -= (-1) ** len(chosen) * math.prod(r - a for a, r in zip(lower, reference, strict=True))
    return total


def beats(first: Point, second: Point) -> bool:
    return first != second and all(a <= b for a, b in zip(first, second, strict=True))


@given(points_of(2, 2, objectives=(1, 2, 3)))
def test_dominance_is_no_worse_anywhere_and_better_somewhere(pair: list[Point]) -> None:
    first, second = pair
    assert front.dominates(first, second) == beats(first, second)
    assert front.weakly_dominates(first, second) == (beats(first, second) or first == second)


@given(points_of(0, 8, objectives=(1, 2, 3, 4)))
def test_the_front_is_what_no_other_point_dominates_and_keeps_equal_points(points: list[Point]) -> None:
    expected = [not any(beats(other, point) for other in points) for point in points]
    assert front.non_dominated(points).tolist() == expected


def test_a_large_set_has_the_same_front_by_the_loop_botorch_turns_to() -> None:
    points = np.random.default_rng(0).integers(0, 40, size=(1500, 2)).astype(float)
    some = np.random.default_rng(1).permutation(1500)[:50]
    mask = front.non_dominated(points)
    no_better = (points[:, None] <= points[some]).all(axis=2) & (points[:, None] < points[some]).any(axis=2)
    assert mask[some].tolist() == (~no_better.any(axis=0)).tolist()
    assert 0 < mask.sum() < 100


@given(points_of(0, 6, objectives=(1, 2, 3, 4)), st.integers(0, 8))
def test_hypervolume_is_the_volume_of_the_union_of_boxes_below_the_reference(
    points: list[Point], height: int
) -> None:
    reference = corner(points, float(height)) if points else (1.0, 1.0)
    assert front.hypervolume(points, reference) == pytest.approx(volume(points, reference), abs=1e-9)


@given(st.lists(st.tuples(*[st.floats(-1e3, 1e3)] * 3), min_size=1, max_size=6))
def test_hypervolume_agrees_with_inclusion_and_exclusion_on_real_numbers(points: list[Point]) -> None:
    reference = (100.0, 10.0, 500.0)
    exact = volume(points, reference)
    assert front.hypervolume(points, reference) == pytest.approx(exact, rel=1e-9, abs=1e-3)


def test_hypervolume_is_counted_in_float64() -> None:
    assert front.hypervolume([[1.0 - 2**-40, 0.0]], [1.0, 1.0]) == 2**-40


@given(points_of(1, 6))
def test_dominated_points_repetitions_and_order_do_not_change_the_hypervolume(points: list[Point]) -> None:
    reference = corner(points)
    kept = np.array(points)[front.non_dominated(points)]
    expected = front.hypervolume(points, reference)
    assert front.hypervolume(kept, reference) == expected
    assert front.hypervolume([*points[::-1], *points], reference) == expected


@given(points_of(1, 6))
def test_a_gain_is_the_difference_of_two_hypervolumes_and_never_negative(points: list[Point]) -> None:
    reference, (point, *others) = corner(points), points
    gain = front.hypervolume_gain(point, others, reference)
    assert gain == pytest.approx(volume(points, reference) - volume(others, reference), abs=1e-9)
    assert gain >= 0.0


@given(st.lists(st.tuples(*[st.floats(0, 1)] * 3), min_size=2, max_size=6))
def test_a_point_that_another_weakly_dominates_gains_exactly_nothing(points: list[Point]) -> None:
    point = tuple(max(values) for values in zip(*points[:2], strict=True))
    assert front.hypervolume_gain(point, points, (1.1, 1.1, 1.1)) == 0.0


@given(points_of(1, 5))
@settings(max_examples=60)
def test_largest_lambda_is_the_least_gain_over_all_subsets_of_the_front(points: list[Point]) -> None:
    reference = corner(points)
    inside = [p for p in points if all(a <= r for a, r in zip(p, reference, strict=True))]
    optimal = [p for p in inside if not any(beats(other, p) for other in inside)]
    gains = [
        volume([*subset, point], reference) - volume(subset, reference)
        for index, point in enumerate(optimal)
        for subset in subsets(optimal[:index] + optimal[index + 1 :])
    ]
    assert front.largest_lambda(points, reference) == pytest.approx(min(gains, default=math.inf), abs=1e-9)


def maximisers(candidates: Sequence[Point], reference: Point, penalty: float) -> list[frozenset[Point]]:
    """Every subset at the maximum of equation 3."""
    worth = {
        frozenset(subset): volume(subset, reference) - penalty * len(subset) for subset in subsets(candidates)
    }
    best = max(worth.values())
    return [subset for subset, value in worth.items() if value > best - 1e-9]


@given(points_of(1, 6), st.floats(0.05, 0.95))
@settings(max_examples=60)
def test_theorem_1_below_the_largest_lambda_the_only_maximiser_is_the_front(
    points: list[Point], share: float
) -> None:
    candidates, reference = list(dict.fromkeys(points)), corner(points, 8.0)
    largest = front.largest_lambda(candidates, reference)
    optimal = frozenset(c for c in candidates if not any(beats(other, c) for other in candidates))
    assert largest >= 1.0  # whole numbers, none equal, none on the reference point
    assert maximisers(candidates, reference, share * largest) == [optimal]


@given(points_of(1, 6), st.floats(1.05, 3.0))
@settings(max_examples=60)
def test_theorem_1_above_the_largest_lambda_the_front_is_no_maximiser(
    points: list[Point], factor: float
) -> None:
    candidates, reference = list(dict.fromkeys(points)), corner(points, 8.0)
    penalty = factor * front.largest_lambda(candidates, reference)
    optimal = frozenset(c for c in candidates if not any(beats(other, c) for other in candidates))
    assert optimal not in maximisers(candidates, reference, penalty)


def test_theorem_1_at_the_largest_lambda_the_front_shares_the_maximum() -> None:
    candidates, reference = [(1.0, 2.0), (2.0, 0.5), (2.0, 2.5)], (3.0, 3.0)
    found = maximisers(candidates, reference, front.largest_lambda(candidates, reference))
    assert set(found) == {frozenset({(1.0, 2.0), (2.0, 0.5)}), frozenset({(2.0, 0.5)})}


def test_no_lambda_will_do_for_equal_points_or_a_point_on_the_reference() -> None:
    assert front.largest_lambda([[1.0, 1.0], [1.0, 1.0]], [2.0, 2.0]) == 0.0
    assert front.largest_lambda([[1.0, 1.0], [0.5, 2.0]], [2.0, 2.0]) == 0.0


def test_points_behind_the_reference_are_no_candidates_of_theorem_1() -> None:
    assert front.largest_lambda([[1.0, 1.0], [0.5, 2.5]], [2.0, 2.0]) == 1.0
    assert front.largest_lambda([[3.0, 3.0]], [2.0, 2.0]) == math.inf
    assert front.largest_lambda([], [2.0, 2.0]) == math.inf


@given(points_of(1, 6))
def test_the_reference_point_lies_a_tenth_of_the_range_behind_the_worst(points: list[Point]) -> None:
    bounds = [None] * (len(points[0]) - 1) + [4.5]
    columns = list(zip(*points, strict=True))[:-1]
    expected = [max(column) + 0.1 * (max(column) - min(column)) for column in columns] + [4.5]
    assert front.reference_point(points, bounds).tolist() == expected


def test_bounds_on_every_objective_need_no_points_for_a_reference() -> None:
    assert front.reference_point([], [2.0, 3.0]).tolist() == [2.0, 3.0]


@pytest.mark.parametrize("points", [[], [[math.inf, 1.0]]])
def test_a_reference_point_without_a_bound_needs_finite_points(points: list[list[float]]) -> None:
    with pytest.raises(ValueError, match="finite points, or a bound"):
        front.reference_point(points, [None, 3.0])


@given(points_of(0, 6, objectives=(2,)), st.lists(st.none() | st.integers(0, 7), min_size=2, max_size=2))
def test_a_point_is_feasible_at_or_below_every_bound(points: list[Point], bounds: list[int | None]) -> None:
    expected = [all(b is None or a <= b for a, b in zip(p, bounds, strict=True)) for p in points]
    assert front.feasible(points, bounds).tolist() == expected


def test_an_empty_set_has_no_front_no_volume_and_nothing_feasible() -> None:
    empties: list[npt.ArrayLike] = [[], np.empty((0, 2))]
    for empty in empties:
        assert front.non_dominated(empty).shape == (0,)
        assert front.hypervolume(empty, [1.0, 1.0]) == 0.0
        assert front.feasible(empty, [1.0, None]).shape == (0,)


NAN = [[1.0, math.nan]]
REFUSED: list[tuple[str, Callable[[], object]]] = [
    ("NaN", lambda: front.weakly_dominates([1.0], [math.nan])),
    ("NaN", lambda: front.dominates([math.nan], [1.0])),
    ("NaN", lambda: front.non_dominated(NAN)),
    ("NaN", lambda: front.hypervolume(NAN, [1.0, 1.0])),
    ("NaN", lambda: front.hypervolume([[0.0, 0.0]], [1.0, math.nan])),
    ("NaN", lambda: front.hypervolume_gain(NAN[0], [], [1.0, 1.0])),
    ("NaN", lambda: front.largest_lambda(NAN, [1.0, 1.0])),
    ("NaN", lambda: front.reference_point(NAN, [None, None])),
    ("NaN", lambda: front.reference_point([[1.0]], [math.nan])),
    ("NaN", lambda: front.feasible(NAN, [None, None])),
    ("not finite", lambda: front.hypervolume([[0.0, 0.0]], [1.0, math.inf])),
    ("minus infinity", lambda: front.hypervolume([[0.0, -math.inf]], [1.0, 1.0])),
    ("shape", lambda: front.dominates([1.0, 2.0], [1.0])),
    ("shape", lambda: front.non_dominated([1.0, 2.0])),
    ("shape", lambda: front.hypervolume([[1.0, 2.0]], [1.0])),
    ("shape", lambda: front.hypervolume_gain([1.0], [[1.0, 2.0]], [3.0, 3.0])),
    ("shape", lambda: front.feasible([[1.0, 2.0]], [None])),
]


@pytest.mark.parametrize(("complaint", "call"), REFUSED)
def test_what_is_not_a_set_of_points_is_refused(complaint: str, call: Callable[[], object]) -> None:
    with pytest.raises(ValueError, match=complaint):
        call()


def test_a_point_at_plus_infinity_is_behind_every_reference() -> None:
    assert front.hypervolume([[math.inf, 0.0], [1.0, 1.0]], [2.0, 2.0]) == 1.0


@given(points_of(1, 6))
def test_inputs_are_left_as_they_were(points: list[Point]) -> None:
    array, reference = np.array(points), np.array(corner(points))
    before = array.copy()
    array.flags.writeable = False
    reference.flags.writeable = False
    mask = front.non_dominated(array)
    mask[:] = False
    front.hypervolume(array, reference)
    front.largest_lambda(array, reference)
    assert (array == before).all()


@given(points_of(2, 6))
def test_adding_a_point_never_gains_more_beside_more_points(points: list[Point]) -> None:
    """Submodularity, on which `largest_lambda` rests."""
    reference, (point, *others) = corner(points), points
    assume(others)
    alone = front.hypervolume_gain(point, others[:-1], reference)
    assert front.hypervolume_gain(point, others, reference) <= alone + 1e-9

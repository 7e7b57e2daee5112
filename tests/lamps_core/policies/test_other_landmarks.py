"""A search of K landmarks, seen as one of another K."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest

from lamps_core.meta_dataset import read_tasks
from lamps_core.objectives import parse_objectives
from lamps_core.policies.loading import load_universal
from lamps_core.policies.other_landmarks import with_landmarks
from lamps_core.replay import ReplayedSearch
from tests.meta_datasets import curve_rows, write_meta_dataset

if TYPE_CHECKING:
    from pathlib import Path

    from lamps_core.policies.protocol import Observation
    from lamps_core.task import Task

LENGTHS = {"a": 9, "b": 8, "c": 10}
MANY, FEW = 6, 4  # landmarks


def task_of(folder: Path, *, without: int) -> Task:
    """Three curves of MANY landmarks, or what a campaign that has so many fewer would have recorded."""
    generator, rows = np.random.default_rng(1), []
    for name, length in LENGTHS.items():
        losses, train = generator.uniform(0.1, 2.0, length), generator.uniform(1.0, 9.0, length)
        train[0] = 0.0
        step = train + 0.5
        kept = [0, *range(without + 1, length)]
        merged = [np.add.reduceat(seconds, [0, 1, *kept[2:]]).tolist() for seconds in (train, step)]
        rows += curve_rows("d", name, losses=losses[kept].tolist(), train=merged[0], step=merged[1])
    (task,) = read_tasks(write_meta_dataset(folder, rows), parse_objectives())
    return replace(task, landmarks=MANY - without)


@pytest.fixture
def searches(tmp_path: Path) -> tuple[ReplayedSearch, ReplayedSearch]:
    """The same search of MANY and of FEW landmarks."""
    long, short = (task_of(tmp_path / str(less), without=less) for less in (0, MANY - FEW))
    return ReplayedSearch(long), ReplayedSearch(short)


def assert_same(seen: Observation, other: Observation) -> None:
    assert (seen.landmarks, seen.names, seen.losses) == (other.landmarks, other.names, other.losses)
    for name in ("steps", "complete", "mask", "pending"):
        assert getattr(seen, name).tolist() == getattr(other, name).tolist()
    np.testing.assert_allclose(seen.objectives, other.objectives)
    for one, two in zip(seen.curves, other.curves, strict=True):
        np.testing.assert_allclose(one, two)
    for had, has in zip(seen.step_seconds, other.step_seconds, strict=True):
        assert had == pytest.approx(has)


def test_it_is_seen_as_a_search_of_fewer_landmarks_sees_itself(
    searches: tuple[ReplayedSearch, ReplayedSearch],
) -> None:
    long, short = searches
    generator = np.random.default_rng(2)
    while short.mask.any():
        place = int(generator.choice(np.flatnonzero(short.mask)))
        for _ in range(MANY - FEW + 1 if long.row[place] == 0 else 1):
            assert_same(with_landmarks(long.observation(), FEW), short.observation())
            long.step(place)
        short.step(place)
    assert short.complete.all()
    assert_same(with_landmarks(long.observation(), FEW), short.observation())


def test_one_of_as_many_landmarks_is_left_as_it_is(searches: tuple[ReplayedSearch, ReplayedSearch]) -> None:
    seen = searches[1].observation()
    assert with_landmarks(seen, FEW) is seen


def test_smaller_subsets_lie_evenly_between_the_first_two_rows(
    searches: tuple[ReplayedSearch, ReplayedSearch],
) -> None:
    search = searches[1]
    for place in (0, 0, 1):
        search.step(place)
    told = search.observation()
    seen = with_landmarks(told, MANY)
    assert seen.landmarks == MANY
    assert seen.steps.tolist() == [4, 3, 0]
    assert seen.objectives is told.objectives
    for losses, curve, seconds, before in zip(
        seen.losses, seen.curves, seen.step_seconds, told.step_seconds, strict=True
    ):
        assert list(losses) == pytest.approx(curve[:, 0].tolist())
        np.testing.assert_allclose(np.diff(curve[:4], n=2, axis=0), 0.0, atol=1e-9)
        assert len(curve) == len(seconds)
        assert sum(seconds) == pytest.approx(sum(before))
        assert len(set(seconds[1:4])) <= 1
    assert with_landmarks(seen, FEW).losses == told.losses
    assert with_landmarks(seen, FEW).step_seconds[0] == pytest.approx(told.step_seconds[0])


def test_the_end_of_a_curve_that_ended_among_what_is_left_out_is_kept(
    searches: tuple[ReplayedSearch, ReplayedSearch],
) -> None:
    search = searches[0]
    search.step(0)
    search.complete[0] = True
    told = search.observation()
    seen = with_landmarks(told, FEW)
    assert (seen.losses[0], seen.steps[0], seen.step_seconds[0]) == (told.losses[0], 1, told.step_seconds[0])
    search.step(0)
    told = search.observation()
    assert with_landmarks(replace(told, complete=np.array([True, False, False])), FEW).losses[0] == (
        told.losses[0][0],
        told.losses[0][2],
    )


def test_what_was_not_evaluated_yet_stays_so_and_what_keeps_no_past_needs_none(
    searches: tuple[ReplayedSearch, ReplayedSearch],
) -> None:
    told = searches[0].observation()
    before = replace(
        told,
        steps=np.full(3, -1),
        objectives=np.full((3, 2), np.nan),
        curves=(np.empty((0, 2)),) * 3,
        losses=((),) * 3,
        step_seconds=((),) * 3,
    )
    seen = with_landmarks(before, FEW)
    assert seen.steps.tolist() == [-1, -1, -1]
    assert np.isnan(seen.objectives).all()
    assert with_landmarks(before, MANY + 1).step_seconds == before.step_seconds
    for landmarks in (FEW, MANY + 1):
        assert with_landmarks(replace(told, curves=()), landmarks).curves == ()


def test_the_shipped_policy_decides_in_both_alike(searches: tuple[ReplayedSearch, ReplayedSearch]) -> None:
    policy = load_universal(parse_objectives())
    kept = {search.task.landmarks: search.observation() for search in searches}
    many = replace(kept[MANY], landmarks=8 + MANY - FEW)
    few = replace(kept[FEW], landmarks=8)
    assert policy.select(many) == policy.select(few)
    np.testing.assert_allclose(policy.outlook(many).gain, policy.outlook(few).gain)

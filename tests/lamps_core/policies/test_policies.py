from __future__ import annotations

from collections import Counter, deque
from itertools import groupby

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lamps_core.errors import BadInput
from lamps_core.policies.known_first import KnownFirst
from lamps_core.policies.loading import POLICIES as LIVE
from lamps_core.policies.loading import load_policy
from lamps_core.policies.ordered import zigzag_order
from lamps_core.policies.protocol import Observation, Policy
from lamps_core.replay import ReplayedSearch
from tests.meta_datasets import family_tasks

POLICIES = ["cheapest", "zigzag", "blind"]


def seen(
    mask: list[bool],
    *,
    parameters: list[float] | None = None,
    epoch_cost: list[float] | None = None,
    decision: int = 0,
) -> Observation:
    count = len(mask)
    return Observation(
        names=tuple(f"m{index}" for index in range(count)),
        objectives=np.zeros((count, 2)),
        steps=np.zeros(count, dtype=int),
        parameters=np.array(parameters or range(count), dtype=float),
        epoch_cost=np.array(epoch_cost or range(count), dtype=float),
        losses=((1.0,),) * count,
        step_seconds=((1.0,),) * count,
        complete=np.zeros(count, dtype=bool),
        mask=np.array(mask),
        pending=np.zeros(count, dtype=bool),
        decision=decision,
        spent_seconds=0.0,
        budget_share=0.0,
    )


def choices(policy: Policy, observation: Observation) -> list[int]:
    """What a policy chooses when each choice is masked after it was made."""
    mask, chosen = observation.mask.copy(), []
    while mask.any():
        columns = {**vars(observation), "mask": mask.copy()}
        chosen.append(policy.select(Observation(**columns)))
        mask[chosen[-1]] = False
    return chosen


def from_both_ends(values: list[float]) -> list[float]:
    """Largest, smallest, second largest, ...: by taking them out one by one."""
    left = deque(sorted(values))
    out: list[float] = []
    while left:
        out.append(left.pop() if len(out) % 2 == 0 else left.popleft())
    return out


unique_sizes = st.lists(st.integers(1, 10**9), min_size=1, max_size=30, unique=True)


@given(unique_sizes)
def test_zigzag_takes_the_largest_then_the_smallest_and_so_on(sizes: list[int]) -> None:
    order = choices(load_policy("zigzag"), seen([True] * len(sizes), parameters=[float(s) for s in sizes]))
    assert [sizes[index] for index in order] == from_both_ends([float(size) for size in sizes])


@given(st.lists(st.integers(1, 3).map(float), max_size=12))
def test_zigzag_names_each_candidate_once_whatever_is_equal(sizes: list[float]) -> None:
    order = zigzag_order(np.array(sizes))
    assert sorted(order.tolist()) == list(range(len(sizes)))
    assert [sizes[index] for index in order] == from_both_ends(sizes)


@given(unique_sizes)
def test_cheapest_takes_them_by_the_operations_of_an_epoch(costs: list[int]) -> None:
    order = choices(load_policy("cheapest"), seen([True] * len(costs), epoch_cost=[float(c) for c in costs]))
    assert [costs[index] for index in order] == sorted(costs)


def test_cheapest_takes_one_of_unknown_cost_last_and_equal_ones_in_the_order_given() -> None:
    observation = seen([True] * 4, epoch_cost=[float("nan"), 2.0, 1.0, 2.0])
    assert choices(load_policy("cheapest"), observation) == [2, 1, 3, 0]


@pytest.mark.parametrize("name", ["cheapest", "zigzag"])
def test_an_ordered_policy_brings_one_candidate_to_its_end_before_the_next(name: str) -> None:
    policy, search, chosen = load_policy(name), ReplayedSearch(family_tasks(1, 5, steps=4)[0]), list[int]()
    while search.mask.any():
        chosen.append(policy.select(search.observation()))
        search.step(chosen[-1])
    assert [len(list(steps)) for _, steps in groupby(chosen)] == [4] * 5
    assert search.complete.all()


@given(st.sampled_from(POLICIES), st.lists(st.booleans(), min_size=1).filter(any), st.integers(0, 1000))
def test_no_policy_chooses_what_is_masked(name: str, mask: list[bool], decision: int) -> None:
    assert mask[load_policy(name, seed=1).select(seen(mask, decision=decision))]


def test_blind_chooses_about_equally_often() -> None:
    policy, mask = load_policy("blind", seed=5), [True, False, True, True, True]
    counts = Counter(policy.select(seen(mask, decision=decision)) for decision in range(4000))
    assert set(counts) == {0, 2, 3, 4}
    # Chi-squared with three degrees of freedom: above 16.3 once in a thousand; the draws are seeded.
    assert sum((count - 1000) ** 2 / 1000 for count in counts.values()) < 16.3


def test_blind_repeats_itself_by_seed_and_number_of_outcomes_alone() -> None:
    def draws(seed: int) -> list[int]:
        policy = load_policy("blind", seed=seed)
        return [policy.select(seen([True] * 7, decision=decision)) for decision in range(30)]

    assert draws(1) == draws(1)
    assert draws(1) != draws(2)
    later = load_policy("blind", seed=1)
    assert later.select(seen([True] * 7, decision=20)) == draws(1)[20]


@pytest.mark.parametrize("name", list(LIVE))
def test_a_policy_is_called_what_it_was_asked_for_by(name: str) -> None:
    assert load_policy(name).name == name


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("cheepest", "did you mean cheapest"),
        ("mo-asha", "did you mean mo_asha"),
        ("?", "cheapest, zigzag, blind, mo_asha, ehvi, ats"),
    ],
)
def test_an_unknown_policy_is_refused_with_what_there_is(name: str, hint: str) -> None:
    with pytest.raises(BadInput, match=hint):
        load_policy(name)


class Recorder:
    """Chooses the last that may be chosen, and keeps what it was shown."""

    name = "recorder"

    def __init__(self) -> None:
        self.shown: list[Observation] = []

    def select(self, observation: Observation) -> int:
        self.shown.append(observation)
        return int(np.flatnonzero(observation.mask)[-1])


def test_what_a_policy_does_not_know_comes_last_and_the_cheapest_of_it_first() -> None:
    inner = Recorder()
    policy = KnownFirst(inner, {"m1", "m3", "elsewhere"})
    observation = seen([True] * 5, epoch_cost=[7.0, 1.0, 5.0, 1.0, 6.0])
    assert choices(policy, observation) == [3, 1, 2, 4, 0]
    assert policy.name == "recorder"
    assert [shown.names for shown in inner.shown] == [("m1", "m3")] * 2
    assert [shown.mask.tolist() for shown in inner.shown] == [[True, True], [True, False]]
    assert inner.shown[0].parameters.tolist() == [1.0, 3.0]
    assert all(len(value) == 2 for value in (inner.shown[0].losses, inner.shown[0].objectives))


def test_a_policy_that_knows_nobody_is_never_asked() -> None:
    inner = Recorder()
    assert choices(KnownFirst(inner, {"elsewhere"}), seen([True, False, True])) == [0, 2]
    assert inner.shown == []

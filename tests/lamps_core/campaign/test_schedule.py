"""The order of a campaign's steps, by the ask and tell of its schedule alone."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from lamps_core.campaign.schedule import Pair, Schedule
from lamps_core.curves.schema import CurveKey


def pair(model: str, *, seconds: float = 1.0, gpus: int = 1, done: int = 0) -> Pair:
    return Pair(CurveKey("trec", model, 0), losses=(1.0,) * done, gpus=gpus, expected_seconds=seconds)


def test_the_longest_expected_pair_is_begun_first() -> None:
    schedule = Schedule([pair("short", seconds=1), pair("long", seconds=9), pair("middle", seconds=5)])
    asked = [schedule.ask(3) for _ in range(3)]
    assert [found.key.model for found in asked if found] == ["long", "middle", "short"]
    assert schedule.ask(3) is None


def test_a_pair_goes_on_before_another_is_begun_in_its_place() -> None:
    schedule = Schedule([pair("first", seconds=9), pair("second", seconds=1)])
    first = schedule.ask(1)
    assert first is not None
    assert schedule.ask(1) is None
    schedule.tell(first, loss=0.9, ended=False)
    again = schedule.ask(1)
    assert again is first
    assert again.next_step == 1
    schedule.tell(first, loss=0.8, ended=True)
    second = schedule.ask(1)
    assert second is not None
    assert second.key.model == "second"


def test_a_failed_step_is_no_step_done() -> None:
    schedule = Schedule([pair("broken", done=2)])
    broken = schedule.ask(1)
    assert broken is not None
    schedule.tell(broken, loss=None, ended=True)
    assert (broken.next_step, broken.ended, schedule.done) == (2, True, True)


def test_a_pair_of_many_slots_is_not_starved_by_small_ones_behind_it() -> None:
    schedule = Schedule(
        [pair("running", seconds=9), pair("wide", seconds=5, gpus=2), pair("small", seconds=1)]
    )
    running = schedule.ask(2)
    assert running is not None
    assert schedule.ask(2) is None  # the small one would fit beside it, and keep the wide one waiting
    schedule.tell(running, loss=0.5, ended=True)
    wide = schedule.ask(2)
    assert wide is not None
    assert wide.key.model == "wide"
    assert schedule.ask(2) is None


def test_a_pair_wider_than_a_shrunken_cluster_still_goes_to_its_queue() -> None:
    schedule = Schedule([pair("wide", gpus=4)])
    assert schedule.ask(0) is None
    assert schedule.ask(2) is not None


def test_more_slots_begin_more_pairs_and_fewer_begin_none() -> None:
    schedule = Schedule([pair(name) for name in "abc"])
    first = schedule.ask(1)
    assert first is not None
    assert schedule.ask(1) is None
    assert schedule.ask(2) is not None
    schedule.tell(first, loss=0.5, ended=True)
    assert schedule.ask(1) is None
    assert schedule.ask(2) is not None


@given(
    lengths=st.lists(
        st.tuples(st.integers(1, 6), st.sampled_from([1, 1, 1, 2]), st.floats(0, 9)), max_size=12
    ),
    slots=st.integers(1, 5),
    order=st.randoms(use_true_random=False),
)
def test_every_step_of_every_pair_runs_once_in_order_and_never_more_than_the_slots_at_once(
    lengths: list[tuple[int, int, float]], slots: int, order: object
) -> None:
    pairs = [pair(str(i), seconds=s, gpus=min(g, slots)) for i, (_, g, s) in enumerate(lengths)]
    steps_of = {str(i): steps for i, (steps, _, _) in enumerate(lengths)}
    schedule, flying, ran = Schedule(pairs), [], []
    while not schedule.done:
        while (found := schedule.ask(slots)) is not None:
            flying.append(found)
            ran.append((found.key.model, found.next_step))
        assert flying, "something is left, and nothing runs"
        assert sum(found.gpus for found in flying) <= slots
        found = flying.pop(order.randrange(len(flying)))  # type: ignore[attr-defined]
        schedule.tell(found, loss=1.0, ended=found.next_step + 1 == steps_of[found.key.model])
    assert schedule.running == 0
    assert sorted(ran) == sorted((model, step) for model, steps in steps_of.items() for step in range(steps))
    for model in steps_of:
        own = [step for name, step in ran if name == model]
        assert own == sorted(own)

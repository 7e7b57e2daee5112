"""Ask and tell with made-up records: no process, no file, no clock."""

from __future__ import annotations

import random
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lamps_core.objectives import parse_objectives
from lamps_core.policies.loading import POLICIES, load_policy
from lamps_core.policies.outlook import Outlook
from lamps_core.policies.stopping import parse_stop_rule
from lamps_core.search.algorithm import Action, Outcome, Search
from lamps_core.search.budget import parse_budget
from lamps_core.search.result import search_facts

if TYPE_CHECKING:
    from lamps_core.objectives import Objective
    from lamps_core.policies.protocol import Observation


@dataclass(frozen=True)
class Fate:
    """What will come of a candidate.

    Attributes:
        losses: of its steps; it is complete after the last one.
        seconds: of training, in every step but the first.
        fails_at: the step that fails, if it gets there.
    """

    losses: tuple[float, ...]
    seconds: float = 1.0
    parameters: int = 10
    fails_at: int | None = None

    def outcome(self, action: Action) -> Outcome:
        if action.step == self.fails_at:
            return Outcome(
                kind="failed", candidate=action.candidate, step=action.step, seconds=0.5, error="broken"
            )
        record = {
            "test_loss": self.losses[action.step],
            "train_seconds": self.seconds if action.step else 0.0,
            "step_seconds": self.seconds,
            "parameters": self.parameters,
            "flops_per_token": 2.0 * self.parameters,
            "train_tokens": 100,
            "complete": action.step == len(self.losses) - 1,
        }
        return Outcome(
            kind="step",
            candidate=action.candidate,
            step=action.step,
            seconds=self.seconds + 0.25,
            record=record,
        )


def cut(action: Action) -> Outcome:
    return Outcome(kind="cut", candidate=action.candidate, step=action.step, seconds=0.125)


# Few values, so that ties and equal points are common.
numbers = st.integers(0, 4).map(float)
fates = st.builds(
    Fate,
    losses=st.lists(numbers, min_size=1, max_size=5).map(tuple),
    seconds=st.integers(1, 4).map(float),
    parameters=st.integers(1, 5),
    fails_at=st.none() | st.integers(0, 4),
)


@dataclass(frozen=True)
class World:
    """A search to drive: its candidates' fates, what was asked for, and what chance decides."""

    fates: dict[str, Fate]
    policy: str = "cheapest"
    objectives: str = "test_loss,train_seconds"
    bounds: tuple[str, ...] = ()
    budget: str | None = None
    slots: int = 1
    cuts: int = 0
    seed: int = 0

    @property
    def minimised(self) -> tuple[Objective, ...]:
        return parse_objectives(self.objectives, bounds=self.bounds)

    def search(self) -> Search:
        return Search(
            list(self.fates),
            policy=load_policy(self.policy, seed=self.seed, objectives=self.minimised),
            objectives=self.minimised,
            budget=parse_budget(self.budget),
        )


worlds = st.builds(
    World,
    fates=st.lists(fates, min_size=1, max_size=5).map(
        lambda found: {f"m{i}": f for i, f in enumerate(found)}
    ),
    policy=st.sampled_from(list(POLICIES)),
    objectives=st.sampled_from(["test_loss,train_seconds", "train_seconds,test_loss,parameters"]),
    bounds=st.lists(st.sampled_from(["train_seconds=6", "test_loss=2"]), unique=True, max_size=2).map(tuple),
    budget=st.none() | st.integers(1, 20).map(lambda count: f"{count}steps"),
    slots=st.integers(1, 3),
    cuts=st.integers(0, 2),
    seed=st.integers(0, 5),
)


@dataclass
class Drive:
    """A search driven to its end: fills the slots, then tells what came of one action that chance picks."""

    world: World
    search: Search = field(init=False)
    in_flight: list[Action] = field(default_factory=list)
    told: list[Outcome] = field(default_factory=list)
    before_ask: list[dict[str, Any]] = field(default_factory=list)
    asked: list[Action] = field(default_factory=list)
    record: list[Action | Outcome] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.search = self.world.search()
        self._chance = random.Random(self.world.seed)
        self._cuts = self.world.cuts

    def fill(self) -> None:
        while len(self.in_flight) < self.world.slots:
            seen = {"told": list(self.told), "in_flight": list(self.in_flight)}
            action = self.search.ask()
            if action is None:
                return
            self.before_ask.append(seen)
            self.asked.append(action)
            self.in_flight.append(action)
            self.record.append(action)

    def tell_one(self) -> None:
        action = self.in_flight.pop(self._chance.randrange(len(self.in_flight)))
        self._cuts -= 1
        outcome = cut(action) if self._cuts >= 0 else self.world.fates[action.candidate].outcome(action)
        self.told.append(outcome)
        self.record.append(outcome)
        self.search.tell(outcome)

    def to_the_end(self) -> Drive:
        """Run after run: each ends with its budget, and the next one has a larger budget."""
        self.fill()
        while self.in_flight:
            self.tell_one()
            self.fill()
            if not self.in_flight:
                self.search.resume()
                self.fill()
        return self


def driven(world: World) -> Drive:
    return Drive(world).to_the_end()


def steps_of(told: list[Outcome], candidate: str) -> list[dict[str, Any]]:
    return [o.record for o in told if o.candidate == candidate and o.record is not None]


def brute_force_front(world: World, told: list[Outcome]) -> set[str]:
    """Definitions 1 to 3 of the paper by comparing everything with everything."""
    points = {}
    for name in world.fates:
        rows = steps_of(told, name)
        failed = any(o.kind == "failed" and o.candidate == name for o in told)
        if rows and rows[-1]["complete"] and not failed:
            values = {
                "test_loss": rows[-1]["test_loss"],
                "train_seconds": sum(row["train_seconds"] for row in rows),
                "parameters": rows[-1]["parameters"],
            }
            points[name] = values
    limits = {bound.partition("=")[0]: float(bound.partition("=")[2]) for bound in world.bounds}
    points = {n: v for n, v in points.items() if all(v[column] <= limit for column, limit in limits.items())}
    columns = world.objectives.split(",")

    def dominated(name: str) -> bool:
        mine = [points[name][column] for column in columns]
        others = ([values[column] for column in columns] for values in points.values())
        return any(o != mine and all(a <= b for a, b in zip(o, mine, strict=True)) for o in others)

    return {name for name in points if not dominated(name)}


@given(worlds)
def test_every_candidate_gets_its_zero_shot_evaluation_before_the_policy_is_asked(world: World) -> None:
    drive = driven(world)
    for action, seen in zip(drive.asked, drive.before_ask, strict=True):
        if action.step > 0:
            evaluated = {o.candidate for o in seen["told"] if o.step == 0 and o.kind != "cut"}
            assert evaluated == set(world.fates)


@given(worlds)
def test_no_step_is_started_of_a_candidate_that_is_running_complete_failed_or_past_a_bound(
    world: World,
) -> None:
    drive = driven(world)
    limits = dict(bound.split("=") for bound in world.bounds)
    for action, seen in zip(drive.asked, drive.before_ask, strict=True):
        rows = steps_of(seen["told"], action.candidate)
        assert action.candidate not in {other.candidate for other in seen["in_flight"]}
        assert not any(o.kind == "failed" and o.candidate == action.candidate for o in seen["told"])
        assert not (rows and rows[-1]["complete"])
        assert action.step == len(rows)
        if "train_seconds" in limits:
            assert sum(row["train_seconds"] for row in rows) <= float(limits["train_seconds"])


@given(worlds)
def test_a_budget_in_steps_counts_those_in_flight_and_is_never_overrun(world: World) -> None:
    drive = driven(world)
    limit = parse_budget(world.budget).steps
    for seen in drive.before_ask:
        done = sum(outcome.kind != "cut" for outcome in seen["told"])
        assert limit is None or done + len(seen["in_flight"]) + 1 <= limit
    assert drive.search.steps == sum(outcome.kind != "cut" for outcome in drive.told)


@given(worlds)
def test_the_search_ends_only_when_the_budget_is_spent_or_nothing_may_run(world: World) -> None:
    drive = driven(world)
    spent = world.budget is not None and drive.search.steps == parse_budget(world.budget).steps
    assert spent or not drive.search.observation().mask.any()
    assert drive.search.ask() is None


@dataclass
class Fading:
    """Expects every candidate to gain less with each step that it has taken, and to take a second a step."""

    def outlook(self, observation: Observation) -> Outlook:
        return Outlook(
            gain=0.5 ** np.maximum(observation.steps, 0).astype(float),
            seconds=np.ones(len(observation.names)),
            reached=1.0,
        )


def stopping_search(world: World, threshold: str) -> Search:
    search = world.search()
    search.budget = parse_budget("auto", stop_below=threshold)
    search.forecaster = Fading()
    return search


@given(worlds, st.sampled_from(["1%", "100%", "1000%", "90000%/h", "200000%/h"]))
def test_auto_starts_nothing_while_too_little_is_to_be_won_and_never_ends_without_a_front(
    world: World, threshold: str
) -> None:
    drive = Drive(replace(world, budget=None, cuts=0))
    drive.search = stopping_search(world, threshold)
    rule = parse_stop_rule(threshold)
    drive.fill()
    while drive.in_flight:
        drive.tell_one()
        started = len(drive.asked)
        drive.fill()
        left = drive.search.observation()
        best = np.max(0.5 ** left.steps[left.mask | left.pending], initial=0.0)
        worth = best / (1.0 + best) * 3600 * (1.0 if rule.per_hour else drive.search.spent_seconds / 3600)
        if drive.search.front() and worth < rule.share * (1 - 1e-9):
            assert all(action.step == 0 for action in drive.asked[started:])
    if drive.search.observation().mask.any():
        assert drive.search.stopped()
        assert drive.search.front()
    again = stopping_search(world, threshold)  # what was told is all it takes to stop alike
    for outcome in drive.told:
        again.tell(outcome)
    assert again.ask() is None
    assert again.stopped() == drive.search.stopped()
    again.budget = parse_budget(None)
    assert (again.ask() is not None) == drive.search.observation().mask.any()


def gone_on_with(search: Search, record: list[Action | Outcome]) -> Search:
    """A new search, after what another one had on record when it was killed."""
    for event in record:
        if isinstance(event, Action):
            search.begin(event)
        else:
            search.tell(event)
    search.resume()
    return search


@given(worlds, st.sampled_from(["1%", "100%", "1000%", "90000%/h"]), st.data())
def test_a_search_killed_with_steps_in_flight_asks_for_them_first_and_goes_on_as_if_it_had_not_been(
    world: World, threshold: str, data: st.DataObject
) -> None:
    drive = Drive(replace(world, cuts=0))
    drive.search = stopping_search(world, threshold)
    drive.search.budget = parse_budget(",".join(filter(None, ("auto", world.budget))), stop_below=threshold)
    for _ in range(data.draw(st.integers(0, 25), label="outcomes before the kill")):
        drive.fill()
        if drive.in_flight:
            drive.tell_one()
    if data.draw(st.booleans(), label="killed when the slots are full"):
        drive.fill()
    resumed = stopping_search(world, threshold)
    resumed.budget = drive.search.budget
    resumed = gone_on_with(resumed, drive.record)
    again = [resumed.ask() for _ in drive.in_flight]
    assert len(again) == len(set(again))
    assert set(again) == set(drive.in_flight)
    while True:
        before = len(drive.asked)
        drive.fill()
        assert [resumed.ask() for _ in drive.asked[before:]] == drive.asked[before:]
        if len(drive.in_flight) < world.slots:
            assert resumed.ask() is None
        if not drive.in_flight:
            break
        drive.tell_one()
        resumed.tell(drive.told[-1])
    assert resumed.spent_seconds == drive.search.spent_seconds
    assert resumed.stopped() == drive.search.stopped()


@dataclass
class Awakening:
    """Expects nothing of anybody until the third candidate has taken its first step."""

    def outlook(self, observation: Observation) -> Outlook:
        gain = 1.0 if observation.steps[2] >= 1 else 1e-9
        count = len(observation.names)
        return Outlook(gain=np.full(count, gain), seconds=np.ones(count), reached=1.0)


@pytest.mark.parametrize("slots", [1, 3])
def test_a_step_in_flight_that_may_bring_hope_is_awaited_whoever_killed_the_search(slots: int) -> None:
    fates = {f"m{i}": Fate((3.0, 2.0, 1.5, 1.0)[: 2 if i == 0 else 4], parameters=i + 1) for i in range(4)}
    world = World(fates, slots=3)

    def hopeful() -> Search:
        search = stopping_search(world, "1%")
        search.forecaster = Awakening()
        return search

    search = hopeful()
    record: list[Action | Outcome] = []
    in_flight: list[Action] = []
    while not search.complete():  # m0, while two others take their first step and one waits
        while len(in_flight) < 3 and (action := search.ask()) is not None:
            in_flight.append(action)
            record.append(action)
        first = in_flight.pop(0)
        outcome = fates[first.candidate].outcome(first)
        record.append(outcome)
        search.tell(outcome)
    assert in_flight == [Action("m1", 1), Action("m2", 1)]
    assert search.stopped()
    assert search.ask() is None

    resumed = gone_on_with(hopeful(), record)
    assert [resumed.ask() for _ in range(min(slots, 2))] == in_flight[:slots]
    for action in in_flight:
        if not resumed.running:
            assert resumed.ask() == action
        resumed.tell(fates[action.candidate].outcome(action))
    assert not resumed.stopped()
    while (action := resumed.ask()) is not None:
        resumed.tell(fates[action.candidate].outcome(action))
    assert all(state.complete for state in resumed.candidates.values())


def test_a_step_that_cannot_have_begun_is_refused_and_one_that_was_told_is_not_asked_for_again() -> None:
    fates = {"a": Fate((2.0, 1.0)), "b": Fate((2.0,), fails_at=0), "c": Fate((2.0, 1.0))}
    search = World(fates).search()
    for action in (Action("a", 0), Action("a", 1), Action("b", 0), Action("c", 0)):
        search.begin(action)
        search.tell(fates[action.candidate].outcome(action))
    for action in (Action("a", 2), Action("b", 1), Action("c", 0), Action("c", 2)):
        with pytest.raises(ValueError, match=f"step {action.step} of {action.candidate} cannot have begun"):
            search.begin(action)
    search.resume()
    assert search.ask() == Action("c", 1)
    assert search.ask() is None


def test_what_failed_for_good_is_tried_anew_where_that_is_asked_for_and_then_by_later_runs_too() -> None:
    fates = {"a": Fate((2.0, 1.0)), "b": Fate((2.0, 1.0))}
    lasting = Outcome(kind="failed", candidate="b", step=0, seconds=1.0, error="not loadable")
    search = World(fates).search()
    assert [search.ask(), search.ask()] == [Action("a", 0), Action("b", 0)]
    for outcome in (fates["a"].outcome(Action("a", 0)), lasting):
        search.tell(outcome)
    search.resume()
    assert search.candidates["b"].error == "not loadable"
    search.resume(retry_failed=True)
    assert search.ask() == Action("b", 0)
    search.resume()  # a run that was killed in the middle of the step
    assert search.candidates["b"].error is None
    assert search.ask() == Action("b", 0)


def test_what_failed_for_a_passing_reason_is_tried_anew_by_the_next_run_and_only_by_it() -> None:
    fates = {"a": Fate((2.0, 1.0)), "b": Fate((2.0, 1.0))}
    search = World(fates).search()
    passing = Outcome(kind="failed", candidate="a", step=0, seconds=4.0, error="no answer", passing=True)
    lasting = Outcome(kind="failed", candidate="b", step=0, seconds=1.0, error="not loadable")
    assert [search.ask(), search.ask()] == [Action("a", 0), Action("b", 0)]
    for outcome in (passing, lasting):
        search.tell(outcome)
    assert search.ask() is None
    told = [passing, lasting]
    for _ in range(2):  # the run after the next goes on with what the next one made of it
        search = World(fates).search()
        for outcome in told:
            if outcome.kind == "step":
                search.begin(Action(outcome.candidate, outcome.step))
            search.tell(outcome)
        search.resume()
        action = search.ask()
        assert action == Action("a", len(told) - 2)
        told.append(fates["a"].outcome(action))
    search.tell(told[-1])
    assert [state.error for state in search.candidates.values()] == [None, "not loadable"]
    assert search.spent_seconds == sum(outcome.seconds for outcome in told)


@given(worlds)
def test_without_a_forecaster_or_before_all_are_evaluated_nobody_knows_what_is_to_be_won(
    world: World,
) -> None:
    drive = Drive(world)
    assert driven(world).search.prospect() is None
    drive.search.forecaster = Fading()
    assert drive.search.prospect() is None
    done = drive.to_the_end().search
    evaluated = all(state.rows or state.error is not None for state in done.candidates.values())
    assert (done.prospect() is not None) == evaluated


@given(worlds)
def test_the_front_is_that_of_a_comparison_of_everything_with_everything(world: World) -> None:
    drive = driven(world)
    search, told = world.search(), []
    for outcome in drive.told:
        search.tell(outcome)
        told.append(outcome)
        assert {state.name for state in search.front()} == brute_force_front(world, told)


@given(worlds)
def test_the_front_is_sorted_by_the_first_objective(world: World) -> None:
    search = driven(world).search
    points = search.points(search.front()).tolist()
    assert points == sorted(points)


@given(worlds, st.data())
def test_the_same_outcomes_told_in_the_same_order_give_the_same_next_step(
    world: World, data: st.DataObject
) -> None:
    drive = Drive(world)
    for _ in range(data.draw(st.integers(0, 25), label="outcomes before the stop")):
        drive.fill()
        if not drive.in_flight:
            break
        drive.tell_one()
    while drive.in_flight:  # a step in flight when a search stops is told of, or never happened
        drive.tell_one()
    resumed = world.search()
    for outcome in drive.told:
        resumed.tell(outcome)
    for search in (resumed, drive.search):
        search.resume()
    assert resumed.spent_seconds == drive.search.spent_seconds
    for _ in range(world.slots):
        assert resumed.ask() == drive.search.ask()


@pytest.mark.parametrize("policy", POLICIES)
def test_a_search_stopped_anywhere_goes_on_as_if_it_had_not_been(policy: str) -> None:
    fates = {
        f"m{i}": Fate((3.0, 2.0 - i % 3, 1.0), seconds=1.0 + i, parameters=7 * i % 5 + 1) for i in range(5)
    }
    world = World(fates, policy=policy, seed=3)
    whole = driven(world)
    for stop in range(len(whole.told)):
        drive = Drive(world)
        for outcome in whole.told[:stop]:
            drive.search.tell(outcome)
        assert drive.to_the_end().asked == whole.asked[stop:]


def test_a_step_that_the_budget_cut_leaves_nothing_but_its_seconds() -> None:
    search = World({"a": Fate((2.0, 1.0)), "b": Fate((2.0, 1.5))}, budget="60s").search()
    for _ in range(2):
        action = search.ask()
        assert action is not None
        search.tell(Fate((2.0, 1.0)).outcome(action))
    before, steps, decision = search.spent_seconds, search.steps, search.observation().decision
    action = search.ask()
    assert action == Action("a", 1)
    search.tell(cut(action))
    assert search.spent_seconds == before + 0.125
    assert search.steps == steps
    assert search.observation().decision == decision
    assert search.candidates["a"].next_step == 1
    assert search.ask() is None  # the budget has ended
    search.resume()
    assert search.ask() == action


def test_seconds_end_a_search_and_a_larger_budget_goes_on_with_it() -> None:
    fates = {"a": Fate((2.0, 1.0, 0.5))}
    short = driven(World(fates, budget="2s"))
    assert [(o.candidate, o.step) for o in short.told] == [("a", 0), ("a", 1)]
    longer = Drive(World(fates, budget="60s"))
    for outcome in short.told:
        longer.search.tell(outcome)
    assert longer.to_the_end().asked == [Action("a", 2)]


@pytest.mark.parametrize(("bound", "steps"), [("2", 4), ("1.9", 3), ("0.5", 2), ("0", 2)])
def test_a_candidate_whose_cost_has_passed_its_bound_gets_no_further_step(bound: str, steps: int) -> None:
    world = World({"a": Fate((3.0, 2.0, 1.0, 0.5), seconds=1.0)}, bounds=(f"train_seconds={bound}",))
    search = driven(world).search
    assert search.candidates["a"].next_step == steps
    assert search.out_of_bounds(search.candidates["a"])
    assert not search.observation().mask.any()
    assert search.front() == []


def test_a_candidate_with_more_parameters_than_allowed_is_given_up_after_its_zero_shot_evaluation() -> None:
    fates = {"small": Fate((2.0, 1.0), parameters=5), "large": Fate((2.0, 0.5), parameters=6)}
    search = driven(World(fates, objectives="test_loss,parameters", bounds=("parameters=5",))).search
    assert {name: state.next_step for name, state in search.candidates.items()} == {"small": 2, "large": 1}
    assert [state.name for state in search.front()] == ["small"]


def test_what_is_beyond_a_bound_is_said_of_what_only_grows_and_of_the_complete() -> None:
    fates = {"good": Fate((2.0, 0.5)), "poor": Fate((2.0, 1.0)), "dear": Fate((2.0, 0.1), seconds=9.0)}
    world = World(fates, bounds=("test_loss=0.75", "train_seconds=5"))
    search = driven(world).search
    beyond = {name: search.beyond(state) for name, state in search.candidates.items()}
    assert beyond == {"good": [], "poor": ["test_loss"], "dear": ["train_seconds"]}
    assert [state.name for state in search.front()] == ["good"]
    begun = world.search()
    begun.tell(fates["poor"].outcome(Action("poor", 0)))
    assert begun.beyond(begun.candidates["poor"]) == []  # its loss may still fall


def test_only_what_was_given_up_before_it_was_complete_is_said_to_be_stopped() -> None:
    fates = {"left": Fate((2.0, 1.0, 0.5), seconds=9.0), "dear": Fate((2.0, 0.5), seconds=9.0)}
    told = search_facts(driven(World(fates, bounds=("train_seconds=5",))).search)
    rows = {row["model"]: row for row in told["candidates"]}
    assert {name: row.get("stopped") for name, row in rows.items()} == {
        "left": "beyond a bound",
        "dear": None,
    }
    assert rows["dear"]["complete"]
    assert rows["left"]["beyond"] == rows["dear"]["beyond"] == ["train_seconds"]


def test_a_loss_above_its_bound_masks_nobody_for_it_may_fall() -> None:
    search = driven(World({"a": Fate((3.0, 2.0, 1.0))}, bounds=("test_loss=1.5",))).search
    assert [state.name for state in search.front()] == ["a"]


def test_the_reference_point_is_a_tenth_beyond_the_worst_complete_candidate_or_the_users_bound() -> None:
    fates = {
        "fast": Fate((3.0, 2.0), seconds=1.0),
        "good": Fate((3.0, 1.0), seconds=3.0),
        "dominated": Fate((3.0, 2.5), seconds=4.0),
    }
    search = World(fates).search()
    assert search.reference_point() is None
    assert search.hypervolume() == 0.0
    search = driven(World(fates)).search
    reference = search.reference_point()
    assert reference is not None
    assert reference.tolist() == pytest.approx([2.5 + 0.1 * 1.5, 4.0 + 0.1 * 3.0])
    area = (2.65 - 2.0) * (4.3 - 1.0) + (2.65 - 1.0) * (4.3 - 3.0) - (2.65 - 2.0) * (4.3 - 3.0)
    assert search.hypervolume() == pytest.approx(area)

    bounded = driven(World(fates, bounds=("train_seconds=3.5",))).search
    reference = bounded.reference_point()
    assert reference is not None
    assert reference.tolist() == pytest.approx([2.65, 3.5])
    assert [state.name for state in bounded.front()] == ["good", "fast"]


def test_the_policy_sees_what_is_known_and_nothing_else() -> None:
    fates = {"a": Fate((3.0, 2.0, 1.0), seconds=2.0, parameters=4), "b": Fate((2.0,), fails_at=0)}
    drive = Drive(World(fates, budget="10steps"))
    drive.fill()
    unknown = drive.search.observation()
    assert np.isnan(unknown.objectives).all()
    assert np.isnan(unknown.parameters).all()
    assert unknown.steps.tolist() == [-1, -1]
    assert unknown.mask.tolist() == [False, True]  # a runs; nothing says that b may not
    assert unknown.decision == 1  # the step in flight counts, so that the next draw is another one
    for _ in range(3):
        drive.tell_one()
        drive.fill()
    seen = drive.search.observation()
    assert seen.names == ("a", "b")
    assert seen.objectives[0].tolist() == [2.0, 2.0]
    assert np.isnan(seen.objectives[1]).all()
    assert seen.steps.tolist() == [1, -1]
    assert seen.losses == ((3.0, 2.0), ())
    assert seen.epoch_cost[0] == 3 * 8.0 * 100
    assert seen.mask.tolist() == [False, False]
    assert seen.spent_seconds == 2.25 + 0.5 + 2.25
    assert seen.budget_share == pytest.approx(0.3)
    assert seen.decision == 3 + 1


def test_an_objective_to_maximise_prefers_the_larger_one() -> None:
    fates = {"low": Fate((1.0, 1.0)), "high": Fate((1.0, 1.0), parameters=11)}
    search = World(fates, objectives="accuracy").search()
    for name, accuracy in (("low", 0.4), ("high", 0.9)):
        for step in (0, 1):
            outcome = fates[name].outcome(Action(name, step))
            assert outcome.record is not None
            outcome.record["accuracy"] = accuracy
            search.tell(outcome)
    assert [state.name for state in search.front()] == ["high"]


def test_a_policy_that_chooses_what_is_masked_is_refused_by_name() -> None:
    class Stubborn:
        name = "stubborn"

        def select(self, _: Observation) -> int:
            return 0

    search = Search(["a", "b"], policy=Stubborn(), objectives=parse_objectives(), budget=parse_budget(None))
    for fate in (Fate((1.0,)), Fate((2.0, 1.0))):
        action = search.ask()
        assert action is not None
        search.tell(fate.outcome(action))
    with pytest.raises(ValueError, match="stubborn chose a, which is masked"):
        search.ask()

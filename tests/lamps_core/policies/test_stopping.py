"""What a search is expected to win next, and when that is too little."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lamps_core.errors import BadInput
from lamps_core.objectives import parse_objectives
from lamps_core.policies.loading import load_forecaster, load_policy
from lamps_core.policies.outlook import Outlook
from lamps_core.policies.protocol import Observation
from lamps_core.policies.stopping import (
    Forecaster,
    Prospect,
    parse_stop_rule,
    prospect_of,
)
from lamps_core.policies.universal import UniversalPolicy


@dataclass
class Told:
    """A forecaster that says what it is given, and a policy too."""

    gain: list[float]
    seconds: list[float]
    reached: float = 0.0
    name: str = "told"
    asked: list[Observation] = field(default_factory=list)

    def outlook(self, observation: Observation) -> Outlook:
        self.asked.append(observation)
        return Outlook(np.array(self.gain), np.array(self.seconds), self.reached)

    def select(self, observation: Observation) -> int:
        return int(np.argmax(observation.mask))


def seen(mask: list[bool], pending: list[bool] | None = None) -> Observation:
    count = len(mask)
    return Observation(
        names=tuple(f"m{index}" for index in range(count)),
        objectives=np.zeros((count, 2)),
        steps=np.zeros(count, dtype=int),
        parameters=np.ones(count),
        epoch_cost=np.ones(count),
        losses=((1.0,),) * count,
        step_seconds=((1.0,),) * count,
        complete=np.zeros(count, dtype=bool),
        mask=np.array(mask),
        pending=np.array(pending or [False] * count),
        decision=0,
        spent_seconds=0.0,
        budget_share=0.0,
    )


# --- the threshold -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "share", "per_hour"),
    [("1%", 0.01, False), ("0.25%/h", 0.0025, True), (" 5 % / H ", 0.05, True), ("120%/h", 1.2, True)],
)
def test_a_threshold_is_a_share_in_an_hour_or_in_as_long_again(
    text: str, share: float, per_hour: bool
) -> None:
    rule = parse_stop_rule(text)
    assert rule.share == pytest.approx(share)
    assert (rule.text, rule.per_hour) == (text, per_hour)


@pytest.mark.parametrize(
    "text",
    ["", "1", "%", "1%/d", "-1%", "0%", "0.0%/h", "nan%", "inf%", "1e-3%", "1%%", "٣%", "9" * 400 + "%"],
)
def test_what_is_no_threshold_is_refused_in_one_line(text: str) -> None:
    with pytest.raises(BadInput, match=r"--stop-below .* is not understood: give more than zero") as refused:
        parse_stop_rule(text)
    assert "\n" not in str(refused.value)


def test_an_hour_is_an_hour_and_as_long_again_is_what_was_spent() -> None:
    prospect = Prospect(gain=0.01, seconds=360.0)  # 10 % an hour
    assert prospect.gain_per_hour == pytest.approx(0.1)
    assert [parse_stop_rule(text).met(prospect, 1.0) for text in ("9%/h", "11%/h")] == [False, True]
    assert [parse_stop_rule("1%").met(prospect, spent) for spent in (359.0, 361.0)] == [True, False]


@given(st.floats(0, 1), st.floats(0, 1e6), st.floats(0, 1e7), st.floats(1e-3, 1e3))
def test_as_long_again_does_not_depend_on_the_unit_of_time(
    gain: float, seconds: float, spent: float, unit: float
) -> None:
    rule = parse_stop_rule("1%")
    assume_apart = abs(gain * spent - 0.01 * seconds) > 1e-6
    if assume_apart and seconds > 1e-3:
        scaled = Prospect(gain, seconds * unit)
        assert rule.met(Prospect(gain, seconds), spent) == rule.met(scaled, spent * unit)


# --- the estimate --------------------------------------------------------------------------------------------


def test_the_best_pace_counts_and_its_gain_is_a_share_of_what_is_reached_with_it() -> None:
    told = Told(gain=[0.5, 0.1, 0.9], seconds=[100.0, 10.0, 1.0], reached=0.3)
    prospect = prospect_of(told, seen([True, True, False]))  # the third may not run
    assert prospect is not None
    assert prospect.gain == pytest.approx(0.1 / 0.4)
    assert prospect.seconds == 10.0


def test_what_runs_is_asked_for_as_if_it_did_not_so_that_a_killed_search_decides_alike() -> None:
    told = Told(gain=[0.2, 0.1], seconds=[1.0, 1.0])
    running = prospect_of(told, seen([False, True], [True, False]))
    idle = prospect_of(told, seen([True, True]))
    assert running == idle == Prospect(gain=1.0, seconds=1.0)
    assert [(one.mask.tolist(), one.pending.tolist()) for one in told.asked] == [
        ([True, True], [False, False])
    ] * 2


def test_where_no_candidate_is_left_nothing_is_and_where_nothing_is_known_nobody_says() -> None:
    told = Told(gain=[0.2, np.nan], seconds=[1.0, 1.0])
    assert prospect_of(told, seen([False, False])) == Prospect(gain=0.0, seconds=0.0)
    assert prospect_of(told, seen([False, True])) is None
    assert Prospect(gain=0.0, seconds=0.0).gain_per_hour == 0.0
    assert prospect_of(Told(gain=[0.0], seconds=[9.0]), seen([True])) == Prospect(gain=0.0, seconds=9.0)


def test_a_policy_that_forecasts_says_it_itself_and_for_one_that_does_not_the_universal_one_does() -> None:
    told, objectives = Told([], []), parse_objectives()
    assert isinstance(told, Forecaster)
    assert load_forecaster(told, objectives) is told
    assert isinstance(load_forecaster(load_policy("cheapest"), objectives), UniversalPolicy)

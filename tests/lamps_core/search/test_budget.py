"""What a budget's text means, and when it is spent."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lamps_core.errors import BadInput
from lamps_core.policies.stopping import STOP_BELOW, parse_stop_rule
from lamps_core.search.budget import Budget, parse_budget


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("90s", 90),
        ("30m", 1800),
        ("2h", 7200),
        ("1d", 86400),
        ("1h30m", 5400),
        ("1d2h3m4s", 93784),
        ("1.5h", 5400),
        (" 2H ", 7200),
        ("0.5s", 0.5),
    ],
)
def test_a_duration_is_the_sum_of_its_parts(text: str, seconds: float) -> None:
    assert parse_budget(text) == Budget(text.strip().lower(), seconds=seconds, steps=None)


@pytest.mark.parametrize(("text", "steps"), [("40steps", 40), ("1step", 1), ("7 steps", 7)])
def test_steps_limit_steps_and_nothing_else(text: str, steps: int) -> None:
    assert parse_budget(text) == Budget(text, seconds=None, steps=steps)


def test_dollars_buy_seconds_of_one_gpu_at_its_price() -> None:
    assert parse_budget("$3.67").seconds == pytest.approx(3600)
    assert parse_budget("$50", gpu_hour_price=2.0).seconds == 90000


def test_auto_stops_by_its_threshold_and_beside_it_stand_limits_of_which_the_first_met_ends_the_search() -> (
    None
):
    plain = parse_budget("auto")
    assert (plain.seconds, plain.steps, plain.text) == (None, None, "auto")
    assert plain.stop == parse_stop_rule(STOP_BELOW)
    assert not plain.exhausted(1e12, 10**9)
    several = parse_budget("2h, AUTO,40steps,1h", stop_below="2%/h")
    assert (several.seconds, several.steps) == (3600, 40)
    assert several.stop == parse_stop_rule("2%/h")
    assert several.exhausted(3600, 0)
    assert several.exhausted(0, 40)
    assert not several.exhausted(3599, 39)
    assert parse_budget("2h,40steps").stop is None
    assert parse_budget(" 60s ").text == "60s"
    assert parse_budget(" Auto") == plain


@pytest.mark.parametrize(
    ("text", "mend"), [(" 2h", "auto,2h"), (None, "auto"), ("40steps,2h", "auto,40steps,2h")]
)
def test_a_threshold_that_nothing_stops_by_is_refused(text: str | None, mend: str) -> None:
    with pytest.raises(BadInput) as refused:
        parse_budget(text, stop_below="2%")
    assert (
        str(refused.value) == f"--stop-below 2% is about --budget auto: give --budget {mend}, or leave it out"
    )
    assert parse_budget(text, stop_below=" 1 %").stop is None  # as the form of the flow gives it, untouched


@pytest.mark.parametrize("text", ["auto", "2h", None])
def test_a_threshold_that_is_none_is_refused_whatever_the_budget(text: str | None) -> None:
    with pytest.raises(BadInput, match="--stop-below 'soon' is not understood"):
        parse_budget(text, stop_below="soon")


def test_no_text_is_no_limit() -> None:
    budget = parse_budget(None)
    assert (budget.seconds, budget.steps) == (None, None)
    assert not budget.exhausted(1e12, 10**9)
    assert budget.remaining_seconds(1e12) == math.inf
    assert budget.share(1e12, 10**9) == 0.0


NOT_A_BUDGET = [
    "",
    " ",
    "90",
    "h",
    "1x",
    "-5s",
    "-3steps",
    "1.5steps",
    "30m1h",
    "1h 30m",
    "1e3s",
    "nan",
    "inf",
]
NOT_A_BUDGET += [
    "nans",
    "$",
    "$-5",
    "$nan",
    "$inf",
    "50$",
    "steps",
    "1h30",
    "1,5h",
    "٣s",
    "1_000s",
    "2h40steps",
    "auto2h",
    "auto,",
    ",auto",
    "auto,2x",
    "automatic",
]


@pytest.mark.parametrize("text", NOT_A_BUDGET)
def test_what_is_no_budget_is_refused_with_the_forms_that_are(text: str) -> None:
    with pytest.raises(BadInput, match=r"90s, 30m, 2h, 1d, 1h30m, 40steps, \$50") as refused:
        parse_budget(text)
    assert repr(text) in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    "text", ["0s", "0h0m", "0.0d", "0steps", "$0", "$0.00", "9" * 400 + "s", "$" + "9" * 400]
)
def test_nothing_and_infinity_are_no_budgets(text: str) -> None:
    with pytest.raises(BadInput, match="more than zero and finite"):
        parse_budget(text)


def test_a_number_of_steps_too_long_to_count_is_refused_without_a_traceback() -> None:
    with pytest.raises(BadInput, match="not understood"):
        parse_budget("9" * 5000 + "steps")


@pytest.mark.parametrize("price", [0.0, -3.67, math.nan, math.inf])
@pytest.mark.parametrize("text", ["$50", "90s", None])
def test_a_price_must_be_more_than_zero_whatever_the_budget(price: float, text: str | None) -> None:
    with pytest.raises(BadInput, match="price of a GPU hour"):
        parse_budget(text, gpu_hour_price=price)


def test_a_budget_is_exhausted_when_its_last_step_or_second_is_used() -> None:
    steps, seconds = parse_budget("2steps"), parse_budget("10s")
    assert [steps.exhausted(1e9, done) for done in (0, 1, 2, 3)] == [False, False, True, True]
    assert [seconds.exhausted(spent, 10**6) for spent in (0.0, 9.999, 10.0, 11.0)] == [
        False,
        False,
        True,
        True,
    ]


durations = st.tuples(*[st.integers(0, 99)] * 4).filter(any)


@given(durations)
def test_any_parts_written_in_order_are_read_back(parts: tuple[int, ...]) -> None:
    text = "".join(f"{number}{unit}" for number, unit in zip(parts, "dhms", strict=True))
    days, hours, minutes, seconds = parts
    assert parse_budget(text).seconds == ((days * 24 + hours) * 60 + minutes) * 60 + seconds


@given(st.text(max_size=20))
def test_any_text_is_a_budget_of_more_than_zero_or_bad_input(text: str) -> None:
    try:
        budget = parse_budget(text)
    except BadInput:
        return
    assert (budget.seconds, budget.steps, budget.stop) != (None, None, None)
    assert budget.seconds is None or budget.seconds > 0
    assert budget.steps is None or budget.steps > 0


budgets = st.one_of(
    st.floats(1e-3, 1e9).map(lambda seconds: Budget("", seconds=seconds)),
    st.integers(1, 10**6).map(lambda steps: Budget("", steps=steps)),
)


@given(budgets, st.floats(0, 1e10), st.integers(0, 10**7))
def test_the_share_reaches_one_exactly_when_the_budget_is_exhausted(
    budget: Budget, spent_seconds: float, steps: int
) -> None:
    share = budget.share(spent_seconds, steps)
    assert 0.0 <= share <= 1.0
    assert budget.exhausted(spent_seconds, steps) == (share == 1.0)


@given(budgets, st.floats(0, 1e10), st.floats(0, 1e10))
def test_the_seconds_left_never_grow_and_are_never_negative(
    budget: Budget, spent: float, more: float
) -> None:
    left = budget.remaining_seconds(spent)
    assert left >= budget.remaining_seconds(spent + more) >= 0.0

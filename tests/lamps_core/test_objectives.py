"""Names and bounds of objectives, and their values over the rows of a curve."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lamps_core.curves.schema import MEASURED_COLUMNS
from lamps_core.errors import BadInput
from lamps_core.objectives import MOST_OBJECTIVES, OBJECTIVES, Objective, beside_schema, parse_objectives
from lamps_core.prices import GPU_HOUR_PRICE

if TYPE_CHECKING:
    import numpy.typing as npt

ROWS: list[dict[str, Any]] = [
    {"test_loss": 2.0, "train_seconds": 0.0, "accuracy": 0.25, "parameters": 7, "train_flops": None},
    {"test_loss": 1.0, "train_seconds": 1.5, "accuracy": 0.5, "parameters": 7, "train_flops": 10.0},
    {"test_loss": 1.25, "train_seconds": 3.0, "accuracy": 0.75, "parameters": 7, "train_flops": 20.0},
]

EVERY_COLUMN = (
    "test_loss,train_seconds,step_seconds,parameters,train_rows,accuracy,macro_f1,eval_rows_per_second,"
    "peak_memory_bytes,train_flops,cpu_seconds,batch_size,gpus,dollars"
)


def one(text: str, *bounds: str) -> Objective:
    (objective,) = parse_objectives(text, bounds=bounds)
    return objective


def test_by_default_loss_and_training_time_are_minimised() -> None:
    assert parse_objectives() == (
        Objective("test_loss", maximise=False, aggregate="last", bound=None),
        Objective("train_seconds", maximise=False, aggregate="sum", bound=None),
    )


def test_every_measured_column_and_dollars_can_be_an_objective_with_the_direction_of_its_kind() -> None:
    objectives = [one(column) for column in EVERY_COLUMN.split(",")]
    assert ",".join(objective.column for objective in objectives) == EVERY_COLUMN
    maximised = {objective.column for objective in objectives if objective.maximise}
    assert maximised == {"accuracy", "macro_f1", "eval_rows_per_second"}
    summed = {objective.column for objective in objectives if objective.aggregate == "sum"}
    assert summed == {"train_seconds", "step_seconds", "train_flops", "cpu_seconds", "dollars"}
    assert {objective.column for objective in objectives if objective.aggregate == "most"} == {
        "peak_memory_bytes"
    }


def test_only_costs_and_constants_can_never_recover_from_a_bound() -> None:
    monotone = {column for column in EVERY_COLUMN.split(",") if one(column).monotone}
    costs = {"train_seconds", "step_seconds", "train_flops", "cpu_seconds", "dollars"}
    assert monotone == costs | {"peak_memory_bytes", "parameters"}


def test_costs_are_summed_over_the_curve_and_the_rest_is_the_last_row() -> None:
    assert [
        objective.value(ROWS) for objective in parse_objectives("test_loss,train_seconds,parameters")
    ] == [
        1.25,
        4.5,
        7.0,
    ]


def test_what_is_maximised_enters_with_its_sign_turned_and_comes_back_as_it_was() -> None:
    accuracy = one("accuracy")
    assert accuracy.value(ROWS) == -0.75
    assert accuracy.natural(-0.75) == 0.75
    assert math.copysign(1.0, accuracy.natural(0.0)) == 1.0
    assert one("test_loss").natural(1.25) == 1.25


def test_what_is_not_known_has_no_value() -> None:
    assert one("test_loss").value([]) is None
    assert one("train_seconds").value([]) is None
    assert one("macro_f1").value(ROWS) is None
    # One step's cost is missing, so the sum is not known; the last value is known all the same.
    assert one("train_flops").value(ROWS) is None
    assert one("accuracy").value([{"accuracy": None}, {"accuracy": 0.5}]) == -0.5
    assert one("accuracy").value([{"accuracy": 0.5}, {"accuracy": None}]) is None
    assert one("accuracy").value([{"accuracy": math.nan}]) is None


def test_bounds_are_given_in_natural_units_and_kept_to_be_minimised() -> None:
    objectives = parse_objectives(
        "train_seconds,accuracy,test_loss", bounds=["accuracy=0.9", "train_seconds= 3600"]
    )
    assert [objective.bound for objective in objectives] == [3600.0, -0.9, None]


def test_a_bound_on_a_maximised_column_is_a_least_value() -> None:
    accuracy = one("accuracy", "accuracy=0.6")
    assert accuracy.bound is not None
    enough, too_little = accuracy.value(ROWS), accuracy.value(ROWS[:2])
    assert enough is not None
    assert too_little is not None
    assert enough <= accuracy.bound < too_little


@pytest.mark.parametrize(
    "name", ["loss", "seed", "step", "dataset", "complete", "created_at", "status", "Accuracy"]
)
def test_a_column_that_holds_no_measured_number_is_refused_with_those_that_do(name: str) -> None:
    with pytest.raises(BadInput, match=f"'{name}' cannot be an objective.*test_loss, train_seconds.*gpus"):
        parse_objectives(f"test_loss,{name}")


def test_of_recorded_curves_any_other_column_can_be_one_and_is_minimised_as_the_last_row_has_it() -> None:
    told = parse_objectives("test_loss,energy_joules", bounds=["energy_joules=9"], recorded=True)
    assert told[1] == Objective("energy_joules", maximise=False, aggregate="last", bound=9.0)
    assert not told[1].monotone
    assert beside_schema(told) == ["energy_joules"]
    with pytest.raises(
        BadInput, match=r"'energy_joules' cannot be an objective: choose from test_loss, .*gpus, dollars$"
    ):
        parse_objectives("test_loss,energy_joules")


@pytest.mark.parametrize("name", ["seed", "created_at", "dataset"])
def test_a_column_of_the_schema_that_is_no_measured_number_is_none_of_recorded_curves_either(
    name: str,
) -> None:
    with pytest.raises(BadInput, match=f"'{name}' cannot be an objective"):
        parse_objectives(name, recorded=True)


def test_an_objective_named_twice_is_refused() -> None:
    with pytest.raises(BadInput, match="'test_loss' is given twice"):
        parse_objectives("test_loss, test_loss")


def test_more_objectives_than_a_hypervolume_is_counted_in_are_refused() -> None:
    columns = EVERY_COLUMN.split(",")
    assert len(parse_objectives(",".join(columns[:MOST_OBJECTIVES]))) == MOST_OBJECTIVES
    with pytest.raises(BadInput, match=r"^7 objectives are too many.*: name 6 at most$"):
        parse_objectives(",".join(columns[: MOST_OBJECTIVES + 1]))


@pytest.mark.parametrize("text", ["", " ", ",", " , "])
def test_at_least_one_objective_is_needed(text: str) -> None:
    with pytest.raises(BadInput, match=r"no objective given.*test_loss"):
        parse_objectives(text)


@pytest.mark.parametrize(
    ("bound", "complaint"),
    [
        ("train_seconds", "'train_seconds' is not understood"),
        ("accuracy=0.9", "'accuracy=0.9' is on no objective: choose from test_loss, train_seconds"),
        ("=5", "'=5' is on no objective"),
        ("test_loss=", "'test_loss=' needs a finite number"),
        ("test_loss=low", "'test_loss=low' needs a finite number"),
        ("test_loss=nan", "needs a finite number"),
        ("test_loss=inf", "needs a finite number"),
        ("test_loss=1e999", "needs a finite number"),
        ("test_loss=1=2", "needs a finite number"),
    ],
)
def test_a_bound_that_bounds_nothing_is_refused(bound: str, complaint: str) -> None:
    with pytest.raises(BadInput, match=complaint):
        parse_objectives(bounds=[bound])


def test_two_bounds_on_one_objective_are_refused() -> None:
    with pytest.raises(BadInput, match="'test_loss' has two bounds"):
        parse_objectives(bounds=["test_loss=1", "test_loss=2"])


@given(st.sampled_from(MEASURED_COLUMNS), st.floats(0, 1))
def test_value_and_natural_undo_each_other_and_agree_with_the_bound(column: str, number: float) -> None:
    objective = one(column, f"{column}={number!r}")
    value = objective.value([{column: number}])
    assert value is not None
    assert value == objective.bound
    assert objective.natural(value) == number


NUMBERS = st.one_of(st.none(), st.floats(0, 1e6), st.just(math.nan))


@given(
    st.sampled_from(OBJECTIVES), st.lists(st.tuples(NUMBERS, st.sampled_from([None, 0, 1, 4])), min_size=1)
)
def test_along_a_curve_stand_the_values_after_each_of_its_rows(
    name: str, rows: list[tuple[float | None, int | None]]
) -> None:
    objective = one(name)
    read = "train_seconds" if name == "dollars" else name
    told: list[dict[str, Any]] = [{"gpus": gpus, read: number} for number, gpus in rows]

    def column(asked: str) -> npt.NDArray[np.float64]:
        return np.array([np.nan if row.get(asked) is None else row[asked] for row in told], dtype=np.float64)

    values = [objective.value(told[: length + 1]) for length in range(len(told))]
    expected = [np.nan if value is None else value for value in values]
    np.testing.assert_allclose(objective.along(column), expected, rtol=1e-12)


def test_dollars_are_training_seconds_times_gpus_at_the_price_and_an_unknown_number_of_gpus_is_one() -> None:
    (cost,) = parse_objectives("dollars", gpu_hour_price=2.0)
    training = {"train_seconds": 900.0, "step_seconds": 5000.0}
    assert cost.value([{"train_seconds": 0.0, "gpus": 4}, training | {"gpus": 4}]) == 2.0
    assert cost.value([training]) == 0.5
    assert cost.value([training | {"gpus": None}]) == 0.5
    assert cost.value([training | {"gpus": 0}]) == 0.5  # a processor is priced as one GPU
    assert cost.value([{"gpus": 1}]) is None
    assert parse_objectives("dollars")[0].value([{"train_seconds": 3600.0}]) == GPU_HOUR_PRICE


def test_another_price_makes_another_objective_of_dollars_alone() -> None:
    cheap, dear = (parse_objectives("test_loss,dollars", gpu_hour_price=price) for price in (1.0, 2.0))
    assert cheap[0].identity == dear[0].identity == ["test_loss", None]
    assert cheap[1].identity != dear[1].identity
    with pytest.raises(BadInput, match="price of a GPU hour"):
        parse_objectives("dollars", gpu_hour_price=0.0)


def test_memory_is_the_most_that_any_step_took() -> None:
    memory = one("peak_memory_bytes")
    rows = [{"peak_memory_bytes": taken} for taken in (100, 300, 200)]
    assert [memory.value(rows[:length]) for length in (1, 2, 3)] == [100.0, 300.0, 300.0]
    assert memory.value([{"peak_memory_bytes": None}, *rows]) is None


@pytest.mark.parametrize(
    ("word", "meant"),
    [
        ("loss", "test_loss"), ("memory", "peak_memory_bytes"), ("f1", "macro_f1"),
        ("cost", "dollars"), ("params", "parameters"), ("Accuracy", "accuracy"), ("train-seconds", "train_seconds"),
        ("peak_memory", "peak_memory_bytes"), ("inference", "eval_rows_per_second"),
    ],
)  # fmt: skip
def test_a_common_word_for_an_objective_is_refused_with_its_name(word: str, meant: str) -> None:
    with pytest.raises(BadInput, match=rf"'{word}' cannot be an objective \(did you mean {meant}\?\)"):
        parse_objectives(word)


@pytest.mark.parametrize("bound", ["accuracy=91", "macro_f1=-0.1"])
def test_a_bound_on_a_share_is_a_share(bound: str) -> None:
    with pytest.raises(BadInput, match="is a share from 0 to 1"):
        parse_objectives("accuracy,macro_f1", bounds=[bound])


@given(st.lists(st.floats(0, 1e6), min_size=1, max_size=20))
def test_a_monotone_objective_never_falls_as_the_curve_goes_on(costs: list[float]) -> None:
    cost = one("step_seconds")
    rows = [{"step_seconds": seconds} for seconds in costs]
    values = [cost.value(rows[:length]) for length in range(1, len(rows) + 1)]
    known = [value for value in values if value is not None]
    assert len(known) == len(rows)
    assert known == sorted(known)

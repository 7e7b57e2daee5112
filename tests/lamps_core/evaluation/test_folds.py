"""Seconds to a share, regret, summaries and words, against numbers made by hand."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lamps_core.evaluation.folds import fold_row, regret_auc
from lamps_core.evaluation.methods import Contender
from lamps_core.evaluation.summary import (
    first_on,
    in_words,
    interval,
    mean_oracle_seconds,
    summarise,
)
from lamps_core.evaluation.unit import RewardLine, TrainingLimits, Unit, run_unit
from lamps_core.meta_dataset import read_tasks
from lamps_core.objectives import parse_objectives
from lamps_core.policies.loading import load_policy
from lamps_core.policies.methods import METHODS
from lamps_core.replay import replay
from tests.meta_datasets import curve_rows, family_rows, made_task, write_meta_dataset

if TYPE_CHECKING:
    from pathlib import Path

    from lamps_core.task import Task


# --- regret ----------------------------------------------------------------------------------------------------------


@st.composite
def steps(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray, float]:
    """A step function that never falls: costs, some beyond both ends of the axis, and shares."""
    count = draw(st.integers(0, 8))
    exponents = draw(st.lists(st.floats(-6.0, 1.0), min_size=count, max_size=count))
    shares = draw(st.lists(st.floats(0.0, 1.0), min_size=count, max_size=count))
    exhaustive = 10.0 ** draw(st.floats(-3.0, 7.0))
    return exhaustive * 10.0 ** np.sort(exponents), np.sort(shares), exhaustive


@given(steps())
def test_the_regret_is_what_a_fine_grid_gives(curve: tuple[np.ndarray, np.ndarray, float]) -> None:
    spent, share, exhaustive = curve
    middles = -4.0 + 4.0 * (np.arange(40_000) + 0.5) / 40_000
    begun = (spent[None, :] <= exhaustive * 10.0 ** middles[:, None]).sum(axis=1)
    reached = np.concatenate([[0.0], share])[begun]
    # Each of the steps falls somewhere inside one cell of the grid.
    assert regret_auc(spent, share, exhaustive) == pytest.approx((1.0 - reached).mean(), abs=9 / 40_000)


@given(steps())
def test_the_regret_lies_between_nothing_and_everything_lost(
    curve: tuple[np.ndarray, np.ndarray, float],
) -> None:
    spent, share, exhaustive = curve
    assert -1e-12 <= regret_auc(spent, share, exhaustive) <= 1.0 + 1e-12


def test_what_was_reached_at_no_cost_leaves_no_regret() -> None:
    assert regret_auc([0.0], [1.0], 5.0) == 0.0
    with pytest.raises(ValueError, match="costs 0"):
        regret_auc([0.0], [1.0], 0.0)


def test_a_fold_row_is_counted_by_hand(tmp_path: Path) -> None:
    """Two candidates of front, reached at 3 + 4 and at 47 seconds of 107."""
    write_meta_dataset(
        tmp_path,
        [
            *curve_rows("d", "a", losses=[2.0, 1.0, 0.8], train=[0.0, 1.0, 1.0], step=[0.5, 2.0, 2.0]),
            *curve_rows("d", "b", losses=[2.0, 0.5, 0.2], train=[0.0, 10.0, 10.0], step=[1.5, 20.0, 20.0]),
            *curve_rows("d", "c", losses=[2.0, 1.9, 1.8], train=[0.0, 20.0, 20.0], step=[1.0, 30.0, 30.0]),
        ],
    )
    (task,) = read_tasks(tmp_path, parse_objectives())
    row = fold_row(task, "cheapest", 3, replay(task, load_policy("cheapest")))
    # Reference (1.96, 43.8): a alone spans 1.16 * 41.8, b adds 0.6 * 23.8.
    share = 1.16 * 41.8 / (1.16 * 41.8 + 0.6 * 23.8)
    assert share == pytest.approx(0.772496, abs=1e-6)
    assert (row["dataset"], row["method"], row["repeat"]) == ("d", "cheapest", 3)
    assert row["seconds_to"] == {"0.9": 47.0, "0.98": 47.0, "0.999": 47.0, "1.0": 47.0}
    assert row["exhaustive_seconds"] == 107.0
    nothing, some = 4.0 + math.log10(7 / 107), math.log10(47 / 7)
    assert row["regret_auc"] == pytest.approx((nothing + some * (1.0 - share)) / 4.0)
    assert row["trajectory"]["spent_seconds"] == [3.0, 7.0, 47.0]
    assert row["trajectory"]["share"] == pytest.approx([0.0, share, 1.0])


# --- summaries -------------------------------------------------------------------------------------------------------


def row(dataset: str, method: str, seconds: float | None, *, repeat: int = 0, **more: Any) -> dict[str, Any]:
    return {
        "dataset": dataset,
        "method": method,
        "repeat": repeat,
        "seconds_to": {"0.9": 1.0, "0.98": seconds, "0.999": None, "1.0": None},
        "exhaustive_seconds": 100.0,
        "regret_auc": 0.5,
        "oracle_seconds_to_0.98": 5.0,
    } | more


def words_of(rows: list[dict[str, Any]], *, learned: list[str], gpu_hour_price: float) -> list[str]:
    summary = summarise(rows, gpu_hour_price=gpu_hour_price)
    return in_words(rows, summary, learned=learned, gpu_hour_price=gpu_hour_price)


def test_a_summary_is_counted_by_hand() -> None:
    rows = [row("x", "a", 20.0), row("y", "a", 80.0), row("x", "b", 5.0), row("y", "b", None)]
    a, b = summarise(rows, gpu_hour_price=36.0)
    assert (a["method"], b["method"]) == ("a", "b")
    assert a["reduction_at_0.98"] == pytest.approx((0.8 + 0.2) / 2)
    assert a["oracle_ratio_at_0.98"] == pytest.approx(math.sqrt(4.0 * 16.0))
    assert a["hours_to_0.98"] == pytest.approx(50.0 / 3600)
    assert a["dollars_to_0.98"] == pytest.approx(0.5)
    assert a["exhaustive_dollars"] == pytest.approx(1.0)
    assert a["reduction_interval"] is None
    # Never reached counts as everything: nothing saved, 20 times the Oracle.
    assert b["reduction_at_0.98"] == pytest.approx((0.95 + 0.0) / 2)
    assert b["oracle_ratio_at_0.98"] == pytest.approx(math.sqrt(1.0 * 20.0))
    assert (a["never_reached_0.98"], b["never_reached_0.98"]) == (0, 1)


def test_an_interval_is_over_the_means_of_the_repeats() -> None:
    rows = [
        row(dataset, "a", seconds, repeat=repeat)
        for dataset, found in {"x": [10.0, 20.0, 30.0], "y": [10.0, 20.0, 30.0]}.items()
        for repeat, seconds in enumerate(found)
    ]
    (told,) = summarise(rows, gpu_hour_price=1.0)
    half = 4.302653 * 0.1 / math.sqrt(3)  # t of two degrees of freedom; standard deviation 0.1
    assert told["reduction_interval"] == pytest.approx([0.8 - half, 1.0], abs=1e-6)  # cut where it must end
    assert interval([0.5]) is None


def test_means_are_over_all_folds_and_told_without_the_seen_ones_as_well() -> None:
    rows = [row("x", "p", 1.0, seen=True), row("y", "p", 60.0), row("x", "q", 2.0, seen=True)]
    p, q = summarise(rows, gpu_hour_price=1.0)
    assert (p["reduction_at_0.98"], p["seen"], p["datasets"]) == (pytest.approx((0.99 + 0.4) / 2), False, 2)
    assert p["unseen"] == {
        "datasets": 1,
        "reduction_at_0.98": pytest.approx(0.4),
        "oracle_ratio_at_0.98": pytest.approx(12.0),
    }
    assert (q["reduction_at_0.98"], q["seen"], q["unseen"]) == (pytest.approx(0.98), True, None)
    assert first_on(rows) == {"p": ["y"]}
    told = words_of(rows, learned=["p"], gpu_hour_price=1.0)
    assert told[0].endswith(
        "p is left out on the 1 that it was trained on; q is left out on the 1 that it was trained on."
    )
    assert any("1 of 2 datasets that p was not trained on, it takes 40.0% less" in line for line in told)


def test_where_the_oracle_failed_nothing_is_compared_to_it() -> None:
    rows = [row("x", "p", 10.0), row("y", "p", 20.0), row("y", "q", 20.0)]
    for one in rows[1:]:
        del one["oracle_seconds_to_0.98"]
    p, q = summarise(rows, gpu_hour_price=1.0)
    assert p["oracle_ratio_at_0.98"] == pytest.approx(2.0)
    assert (q["oracle_ratio_at_0.98"], q["oracle_ratio_interval"]) == (None, None)
    assert mean_oracle_seconds(rows) == {"x": 5.0}


def test_the_oracles_seconds_are_a_mean_over_repeats_whoever_was_compared() -> None:
    rows = [
        row("p", "x", 9.0) | {"oracle_seconds_to_0.98": 4.0},
        row("p", "x", 9.0, repeat=1) | {"oracle_seconds_to_0.98": 8.0},
        row("p", "y", 9.0, repeat=1) | {"oracle_seconds_to_0.98": 8.0},
        row("q", "y", 9.0) | {"oracle_seconds_to_0.98": None},
    ]
    assert mean_oracle_seconds(rows) == {"p": 6.0, "q": 100.0}


def test_the_words_say_who_is_first_where_and_for_how_much() -> None:
    hours = 3600.0
    times = {
        "x": {"cheapest": 10, "portfolio": 20, "learned": 5, "oracle": 1, "exhaustive": 2},
        "y": {"cheapest": 10, "portfolio": 9, "learned": 30, "oracle": 1, "exhaustive": 2},
        "z": {"cheapest": 10, "portfolio": 10, "learned": 15, "oracle": 1, "exhaustive": 2},
    }
    rows = [
        row(dataset, method, hours * found, exhaustive_seconds=hours * (200 if dataset == "z" else 100))
        for dataset, methods in times.items()
        for method, found in methods.items()
    ]
    first, against, dollars = words_of(rows, learned=["learned"], gpu_hour_price=2.0)
    assert first.startswith("First to 98 % of the hypervolume (oracle and exhaustive apart): ")
    for part in ("portfolio on 2 of 3 (y, z)", "learned on 1 of 3 (x)", "cheapest on 1 of 3 (z)"):
        assert part in first
    assert (
        against
        == "learned is faster than cheapest on 1 of 3 datasets and faster than portfolio on 1 of 3 datasets."
    )
    assert dollars == (
        "On z, the dearest, an exhaustive search takes 200.0 h ($400.00 at $2.00 an hour); cheapest, the quickest "
        "on average, reaches 98 % in 10 h ($20.00, 95.0% less)."
    )


def test_the_price_is_told_of_who_is_quickest_on_data_it_did_not_see() -> None:
    rows = [
        row("x", "cheapest", 10.0),
        row("y", "cheapest", 10.0),
        row("x", "learned", 50.0),
        row("y", "learned", 1.0) | {"seen": True},
    ]
    dollars = words_of(rows, learned=["learned"], gpu_hour_price=2.0)[-1]
    assert "cheapest, the quickest on average" in dollars


# --- units -----------------------------------------------------------------------------------------------------------


def unit(contender: Contender, dataset: str, repeats: int) -> Unit:
    return Unit(
        contender=contender, dataset=dataset, repeats=tuple(range(repeats)), seed=0, limits=TrainingLimits()
    )


def untrained(name: str) -> Contender:
    return Contender(name=name, kind="untrained", random=METHODS[name].random, about="")


@given(made_task())
def test_the_oracle_and_all_others_reach_everything_within_the_exhaustive_cost(task: Task) -> None:
    for name in ("oracle", "exhaustive", "blind", "zigzag", "cheapest"):
        (told,) = run_unit([task], unit(untrained(name), task.dataset, 1))["rows"]
        assert told["seconds_to"]["1.0"] <= task.exhaustive_seconds == told["exhaustive_seconds"]
        assert max(told["trajectory"]["spent_seconds"]) <= task.exhaustive_seconds
        assert max(told["trajectory"]["share"]) <= 1.0


def test_repeats_of_a_random_method_differ_and_those_of_another_do_not(tmp_path: Path) -> None:
    tasks = read_tasks(write_meta_dataset(tmp_path, family_rows(2, 8)), parse_objectives())
    blind = run_unit(tasks, unit(untrained("blind"), "dataset-0", 4))["rows"]
    assert len({told["regret_auc"] for told in blind}) > 1
    cheapest = run_unit(tasks, unit(untrained("cheapest"), "dataset-0", 4))["rows"]
    assert [told["repeat"] for told in cheapest] == [0, 1, 2, 3]
    assert len({told["regret_auc"] for told in cheapest}) == 1


def test_repeats_take_the_seeds_of_a_dataset_in_turn(tmp_path: Path) -> None:
    rows = family_rows(1, 5)
    rows += [told | {"seed": 7, "step_seconds": 2 * told["step_seconds"]} for told in rows]
    tasks = read_tasks(write_meta_dataset(tmp_path, rows), parse_objectives())
    found = run_unit(tasks, unit(untrained("cheapest"), "dataset-0", 3))["rows"]
    assert [told["curve_seed"] for told in found] == [0, 7, 0]
    seconds = [told["seconds_to"]["0.98"] for told in found]
    assert seconds == pytest.approx([seconds[0], 2 * seconds[0], seconds[0]])


def test_a_key_changes_with_all_that_a_result_depends_on_and_with_nothing_else() -> None:
    blind, cheapest = untrained("blind"), untrained("cheapest")
    trained = Contender(name="learned", kind="trained", random=True, about="one line")

    def key(contender: Contender, curves: str = "c", **changes: Any) -> str:
        asked: dict[str, Any] = {"dataset": "d", "repeats": (0, 1), "seed": 0, "limits": TrainingLimits()}
        return Unit(contender=contender, **(asked | changes)).key(curves)

    for contender in (blind, cheapest, trained):
        assert len({key(contender), key(contender, curves="e"), key(contender, dataset="e")}) == 3
        assert key(contender) != key(contender, repeats=(0,))
    assert key(blind) != key(blind, seed=1)
    assert key(cheapest) == key(cheapest, seed=1)
    limits = TrainingLimits(seconds=5.0)
    assert key(trained) != key(trained, limits=limits)
    assert key(blind) == key(blind, limits=limits)


def test_rewards_are_thinned_and_what_is_no_number_is_left_out() -> None:
    rewards = RewardLine()
    rewards.note({"loss": 1.0})
    for step in range(5_000):
        rewards.note({"environment_steps": step, "normalised_reward": math.nan if step == 0 else step / 2})
    line = rewards.line()
    assert 200 <= len(line["environment_steps"]) <= 400
    assert line["normalised_reward"] == [told / 2 for told in line["environment_steps"]]
    assert line["environment_steps"][-1] > 4_900

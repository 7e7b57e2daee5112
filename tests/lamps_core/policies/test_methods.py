from __future__ import annotations

from itertools import permutations
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from lamps_core import front
from lamps_core.meta_dataset import read_tasks
from lamps_core.objectives import parse_objectives
from lamps_core.policies.gains import hypervolume_gains
from lamps_core.policies.methods import METHODS
from lamps_core.policies.portfolio import Portfolio, portfolio_order
from lamps_core.replay import Replay, ReplayedSearch, replay
from lamps_core.task import Task
from tests.meta_datasets import curve_rows, made_task, write_meta_dataset

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

NAMES = ["exhaustive", "blind", "oracle", "zigzag", "cheapest", "portfolio", "mo_asha", "ehvi", "ats"]


def with_third_objective(task: Task, *, seed: int = 0) -> Task:
    """The same curves with one objective more, maximised in nature, so that its values are negative."""
    accuracy = -np.random.default_rng(seed).uniform(0.1, 1.0, task.losses.shape)
    values = np.concatenate([task.values, accuracy[:, :, None]], axis=2)
    values[np.isnan(task.losses)] = np.nan
    columns = {**{name: getattr(task, name) for name in Task.__dataclass_fields__}, "values": values}
    return Task(**{**columns, "objectives": parse_objectives("test_loss,train_seconds,accuracy")})


def with_the_first_alone(task: Task) -> Task:
    """The same curves with the test loss as the only objective."""
    columns = {name: getattr(task, name) for name in Task.__dataclass_fields__}
    return Task(**{**columns, "values": task.values[:, :, :1], "objectives": parse_objectives("test_loss")})


def run(name: str, task: Task, training: Sequence[Task] = (), seed: int = 0) -> Replay:
    return replay(task, METHODS[name].policy(task, training, seed))


def brute_order(tasks: list[Task]) -> list[str]:
    """The portfolio's rule, each number from whole hypervolumes."""
    names = list(dict.fromkeys(name for task in tasks for name in task.candidates))
    order: list[str] = []

    def reached(task: Task, chosen: list[str]) -> float:
        done = [
            i
            for i, name in enumerate(task.candidates)
            if task.complete[i] and (name in chosen or task.rows[i] == 1)
        ]
        return front.hypervolume(task.final[done], task.reference) / task.hypervolume

    def key(name: str) -> tuple[float, float]:
        holding = [task for task in tasks if name in task.candidates]
        rates, shares = [], []
        for task in holding:
            share = task.curve_seconds[task.candidates.index(name)] / task.exhaustive_seconds
            gain = reached(task, [*order, name]) - reached(task, order)
            rates.append(round(gain / share, 6) if gain > 1e-9 else 0.0)
            shares.append(share)
        return -round(float(np.mean(rates)), 6), float(np.mean(shares))

    while len(order) < len(names):
        order.append(min((name for name in names if name not in order), key=key))
    return order


def test_the_registry_holds_the_contracts_methods_in_its_order() -> None:
    assert list(METHODS) == NAMES
    assert [name for name, method in METHODS.items() if method.random] == ["blind"]
    assert all(method.name == name and method.about for name, method in METHODS.items())


@pytest.mark.parametrize("name", NAMES)
@given(task=made_task(), training=st.lists(made_task(), max_size=3), count=st.sampled_from([1, 2, 3]))
@settings(max_examples=25)
def test_every_method_ends_with_the_whole_hypervolume(
    name: str, task: Task, training: list[Task], count: int
) -> None:
    if count == 3:
        task, training = with_third_objective(task), [with_third_objective(one) for one in training]
    if count == 1:
        task, training = with_the_first_alone(task), [with_the_first_alone(one) for one in training]
    told = run(name, task, training)
    assert told.share[-1] == pytest.approx(1.0)
    assert told.total_seconds <= task.exhaustive_seconds * (1 + 1e-9)
    assert run(name, task, training).total_seconds == told.total_seconds  # it decides alike the second time


@given(made_task(), st.booleans())
def test_gains_at_once_are_the_single_ones(task: Task, three: bool) -> None:
    task = with_third_objective(task) if three else task
    usable = task.final[task.complete]
    half = len(usable) // 2
    for others in (usable[:0], usable[:half]):
        together = hypervolume_gains(usable, others, task.reference)
        single = [front.hypervolume_gain(point, others, task.reference) for point in usable]
        np.testing.assert_allclose(together, single, rtol=1e-9, atol=1e-9 * task.hypervolume)


# --- exhaustive ----------------------------------------------------------------------------------------


def test_exhaustive_brings_each_to_its_end_in_the_order_of_the_list(tmp_path: Path) -> None:
    rows = [
        row
        for name in "cab"
        for row in curve_rows("d", name, losses=[2, 1, ord(name) / 200], train=[0, 1, 200 - ord(name)])
    ]
    (task,) = read_tasks(write_meta_dataset(tmp_path, rows), parse_objectives())
    policy, search = METHODS["exhaustive"].policy(task, (), 0), ReplayedSearch(task)
    chosen = []
    while search.mask.any():
        chosen.append(policy.select(search.observation()))
        search.step(chosen[-1])
    assert chosen == [0, 0, 1, 1, 2, 2]


# --- oracle --------------------------------------------------------------------------------------------


def test_the_oracle_takes_the_best_gain_per_second_first_and_front_candidates_alone(tmp_path: Path) -> None:
    write_meta_dataset(
        tmp_path,
        [
            *curve_rows("d", "a", losses=[2.0, 1.0, 0.8], train=[0.0, 1.0, 1.0], step=[1.0, 2.0, 2.0]),
            *curve_rows("d", "b", losses=[2.0, 0.5, 0.2], train=[0.0, 10.0, 10.0], step=[1.0, 20.0, 20.0]),
            *curve_rows("d", "c", losses=[2.0, 1.9, 1.8], train=[0.0, 20.0, 20.0], step=[1.0, 30.0, 30.0]),
        ],
    )
    (task,) = read_tasks(tmp_path, parse_objectives())
    # The reference is (1.96, 43.8): a gains 1.16 * 41.8 for 4 seconds, b 1.76 * 23.8 for 40.
    told = run("oracle", task)
    assert told.spent_seconds.tolist() == [3.0, 7.0, 47.0]
    assert told.share[1] == pytest.approx(1.16 * 41.8 / (1.16 * 41.8 + 0.6 * 23.8))
    assert told.steps == 4


@given(made_task())
def test_no_order_of_front_candidates_reaches_all_before_the_oracle(task: Task) -> None:
    fronts = np.flatnonzero(task.on_front)
    assume(len(fronts) <= 5)
    best = np.inf
    for order in permutations(fronts):
        spent, done = task.zero_shot_seconds, list(np.flatnonzero(task.complete & (task.rows == 1)))
        for candidate in order:
            if front.hypervolume(task.final[done], task.reference) >= task.hypervolume * (1 - 1e-12):
                break
            spent, done = spent + task.curve_seconds[candidate], [*done, candidate]
        best = min(best, spent)
    reached = run("oracle", task).seconds_to(1.0)
    assert reached is not None
    assert reached <= best * (1 + 1e-9)


# --- portfolio -----------------------------------------------------------------------------------------


@given(st.lists(made_task(), min_size=1, max_size=4), st.booleans())
@settings(max_examples=50)
def test_the_portfolio_is_the_greedy_order(tasks: list[Task], three: bool) -> None:
    tasks = [with_third_objective(task) for task in tasks] if three else tasks
    assert portfolio_order(tasks) == brute_order(tasks)


@given(made_task(), made_task())
def test_what_training_never_saw_comes_last_and_the_cheapest_of_it_first(task: Task, other: Task) -> None:
    known = portfolio_order([other])
    search = ReplayedSearch(task)
    policy, chosen = Portfolio(known), []
    while search.mask.any():
        name = task.candidates[policy.select(search.observation())]
        search.step(task.candidates.index(name))
        chosen.append(name)
    order = list(dict.fromkeys(chosen))
    seen = [name for name in order if name in known]
    assert order[: len(seen)] == [name for name in known if name in seen]
    costs = [task.epoch_cost[task.candidates.index(name)] for name in order[len(seen) :]]
    assert costs == sorted(costs)

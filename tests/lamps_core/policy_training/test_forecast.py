from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import numpy as np
import pytest

from lamps_core.errors import BadInput
from lamps_core.meta_dataset import read_tasks
from lamps_core.objectives import parse_objectives
from lamps_core.policies.curve_process import CurveProcess
from lamps_core.policies.forecast import ForecastPolicy, TrackedQuantity, load
from lamps_core.policies.loading import load_policy
from lamps_core.policy_file import PolicyFile, read_policy, write_policy
from lamps_core.policy_training.forecast import train
from lamps_core.policy_training.training_run import TrainingRun
from lamps_core.replay import ReplayedSearch, replay
from tests.meta_datasets import curve_rows, family_rows, family_tasks, write_meta_dataset

if TYPE_CHECKING:
    from pathlib import Path

    from lamps_core.task import Task


@pytest.fixture(scope="module")
def tasks() -> tuple[Task, ...]:
    return family_tasks(5, 12, seed=4)


@pytest.fixture(scope="module")
def trained(tasks: tuple[Task, ...]) -> PolicyFile:
    """On all but the first dataset."""
    return train(tasks[1:], seed=0, run=TrainingRun())


def test_a_dataset_it_never_saw_is_searched_sooner_than_by_the_cheapest_first(
    tasks: tuple[Task, ...], trained: PolicyFile
) -> None:
    ours = replay(tasks[0], load(trained, name="forecast")).seconds_to(0.98)
    theirs = replay(tasks[0], load_policy("cheapest")).seconds_to(0.98)
    assert ours is not None
    assert theirs is not None
    assert ours < 0.7 * theirs


def test_what_lies_on_disk_decides_as_what_was_trained(
    tmp_path: Path, tasks: tuple[Task, ...], trained: PolicyFile
) -> None:
    for path in (tmp_path / "policy", tmp_path / "policy.zip"):
        write_policy(path, trained)
        again = replay(tasks[0], load(read_policy(path), name="forecast"))
        np.testing.assert_array_equal(
            again.spent_seconds, replay(tasks[0], load(trained, name="forecast")).spent_seconds
        )
    assert trained.card.kind == "pool"
    assert trained.card.datasets == tuple(task.dataset for task in tasks[1:])


def test_the_order_of_the_candidates_changes_no_decision(
    tasks: tuple[Task, ...], trained: PolicyFile
) -> None:
    policy, generator = load(trained, name="forecast"), np.random.default_rng(0)
    search = ReplayedSearch(tasks[0])
    for _ in range(12):
        observation = search.observation()
        order = generator.permutation(len(observation.names))
        chosen = policy.select(observation)
        assert order[policy.select(observation.of(order))] == chosen
        search.step(chosen)


def test_any_of_its_candidates_may_be_left_out(tasks: tuple[Task, ...], trained: PolicyFile) -> None:
    policy, observation = load(trained, name="forecast"), ReplayedSearch(tasks[0]).observation()
    some = np.array([3, 1, 8])
    assert 0 <= policy.select(observation.of(some)) < len(some)


def test_gains_and_seconds_are_finite_and_a_complete_candidate_gains_nothing(
    tasks: tuple[Task, ...], trained: PolicyFile
) -> None:
    policy = load(trained, name="forecast")
    assert isinstance(policy, ForecastPolicy)
    search = ReplayedSearch(tasks[0])
    while not search.complete[2]:
        search.step(2)
    told = policy.outlook(search.observation())
    gain, seconds = told.gain, told.seconds
    assert np.isfinite(gain).all()
    assert (gain >= 0).all()
    assert (seconds > 0).all()
    assert gain[2] == pytest.approx(0.0, abs=1e-12)


@pytest.mark.parametrize(
    ("objectives", "bounds"),
    [
        ("test_loss", []),
        ("test_loss,parameters", []),
        ("accuracy,train_seconds", []),
        ("test_loss,train_seconds,parameters", ["train_seconds=1000"]),
    ],
)
def test_any_objectives_and_bounds_are_searched_to_the_end(
    tmp_path: Path, objectives: str, bounds: list[str]
) -> None:
    rows = [{**row, "accuracy": float(np.exp(-row["test_loss"]))} for row in family_rows(4, 8)]
    tasks = read_tasks(write_meta_dataset(tmp_path, rows), parse_objectives(objectives, bounds=bounds))
    policy = load(train(tasks[1:], seed=0, run=TrainingRun()), name="forecast")
    assert replay(tasks[0], policy).share[-1] == pytest.approx(1.0)


def test_curves_of_unequal_length_some_of_them_never_complete_are_learned_from(tmp_path: Path) -> None:
    generator = np.random.default_rng(1)
    rows = []
    for dataset in range(3):
        for model in range(6):
            count = int(generator.integers(2, 9))
            losses = np.sort(generator.uniform(0.2, 2.0, count))[::-1].tolist()
            if (dataset, model) == (1, 2):
                continue  # never run
            rows += curve_rows(f"d{dataset}", f"m{model}", losses=losses, complete=(dataset, model) != (2, 3))
    tasks = read_tasks(write_meta_dataset(tmp_path, rows), parse_objectives())
    policy = load(train(tasks[:2], seed=0, run=TrainingRun()), name="forecast")
    assert replay(tasks[2], policy).share[-1] == pytest.approx(1.0)


def test_what_is_forecast_beyond_a_bound_gains_nothing(tasks: tuple[Task, ...], trained: PolicyFile) -> None:
    policy, observation = load(trained, name="forecast"), ReplayedSearch(tasks[0]).observation()
    assert isinstance(policy, ForecastPolicy)
    free = policy.outlook(observation).gain
    bound = policy.outlook(dataclasses.replace(observation, bounds=(np.inf, 1e-3))).gain
    assert (free > 0).sum() > 1
    assert (bound == 0).all()


def test_others_are_judged_by_what_they_add_to_a_running_candidate(
    tasks: tuple[Task, ...], trained: PolicyFile
) -> None:
    policy, search = load(trained, name="forecast"), ReplayedSearch(tasks[0])
    assert isinstance(policy, ForecastPolicy)
    idle = policy.outlook(search.observation())
    chosen = policy.select(search.observation())
    search.start(chosen)
    told = policy.outlook(search.observation())
    others = np.arange(len(idle.gain)) != chosen
    assert (told.gain[others] <= idle.gain[others] + 1e-12).all()
    assert told.gain[others].sum() < idle.gain[others].sum()
    assert told.reached == idle.reached == 0.0
    np.testing.assert_array_equal(told.seconds, idle.seconds)


@pytest.mark.parametrize("devices", [2, 5])
def test_with_many_devices_all_is_found_and_sooner_than_with_one(
    tasks: tuple[Task, ...], trained: PolicyFile, devices: int
) -> None:
    policy = load(trained, name="forecast")
    alone, together = replay(tasks[0], policy), replay(tasks[0], policy, devices=devices)
    assert together.share[-1] == pytest.approx(1.0)
    assert together.spent_seconds[-1] < alone.spent_seconds[-1]


def test_weights_of_something_else_are_refused(trained: PolicyFile) -> None:
    other = dataclasses.replace(trained, weights={"layer_0.weight": np.zeros((2, 2))})
    with pytest.raises(BadInput, match="its weights are not those of a forecast"):
        load(other, name="mine")
    fewer = dataclasses.replace(
        trained, card=dataclasses.replace(trained.card, candidates=trained.card.candidates[1:])
    )
    with pytest.raises(BadInput, match="are not of its candidates"):
        load(fewer, name="mine")


@pytest.mark.parametrize("number", ["test_loss", "curve_seconds"])
@pytest.mark.parametrize("name", [one.name for one in dataclasses.fields(CurveProcess)])
def test_an_array_of_any_other_shape_is_refused_before_a_step_is_decided(
    trained: PolicyFile, number: str, name: str
) -> None:
    key = f"{number}.{name}"
    array = trained.weights[key]
    for other in (array[:-1], array[..., :-1], np.vstack([array, array]), array[..., :0], array.sum()):
        if other.shape == array.shape:
            continue
        broken = dataclasses.replace(trained, weights={**trained.weights, key: np.array(other)})
        with pytest.raises(BadInput, match=rf"^mine: its weights.*{number}.*: train it again$"):
            load(broken, name="mine")


def test_errors_of_another_number_of_levels_are_refused(trained: PolicyFile) -> None:
    for number in ("test_loss", "train_seconds", "curve_seconds"):
        fewer = {f"{number}.errors": trained.weights[f"{number}.errors"][:, :3]}
        with pytest.raises(BadInput, match="count their errors at different numbers of levels"):
            load(dataclasses.replace(trained, weights={**trained.weights, **fewer}), name="mine")


def test_weights_in_single_precision_decide_as_well(tasks: tuple[Task, ...], trained: PolicyFile) -> None:
    single = {name: array.astype(np.float32) for name, array in trained.weights.items()}
    policy = load(dataclasses.replace(trained, weights=single), name="mine")
    assert replay(tasks[0], policy).share[-1] == pytest.approx(1.0)


def test_a_card_that_does_not_follow_an_objective_is_refused(trained: PolicyFile) -> None:
    followed = {name: told for name, told in trained.card.network["followed"].items() if name != "test_loss"}
    card = dataclasses.replace(trained.card, network={"followed": followed})
    with pytest.raises(BadInput, match="mine: its card does not say how test_loss goes on: train it again"):
        load(dataclasses.replace(trained, card=card), name="mine")


def test_a_card_of_another_kind_is_refused(trained: PolicyFile) -> None:
    card = dataclasses.replace(trained.card, kind="universal")
    with pytest.raises(BadInput, match="mine: its card is of kind universal, and forecast trains pool"):
        load(dataclasses.replace(trained, card=card), name="mine")


def test_an_objective_that_changed_along_no_curve_is_known_from_the_first_row_on(tmp_path: Path) -> None:
    rows = [{**row, "peak_memory_bytes": row["parameters"]} for row in family_rows(4, 8)]
    objectives = parse_objectives("test_loss,peak_memory_bytes")
    tasks = read_tasks(write_meta_dataset(tmp_path, rows), objectives)
    policy = load(train(tasks[1:], seed=0, run=TrainingRun()), name="forecast")
    assert replay(tasks[0], policy).share[-1] == pytest.approx(1.0)


@pytest.mark.parametrize(("name", "sign"), [("train_seconds", 1.0), ("eval_rows_per_second", -1.0)])
def test_a_cost_and_a_rate_are_followed_by_their_logarithms_and_smaller_stays_better(
    name: str, sign: float
) -> None:
    quantity = TrackedQuantity(name, logarithm=True)
    minimised = np.sort(sign * np.array([0.5, 3.0, 800.0, 1e6]))
    seen = quantity.transform(minimised)
    assert (np.diff(seen) > 0).all()
    np.testing.assert_allclose(quantity.inverse(seen), minimised)
    assert np.isnan(quantity.transform(np.zeros(1))).all()

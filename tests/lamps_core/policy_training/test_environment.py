from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from sb3_contrib.common.maskable.utils import get_action_masks, is_masking_supported

from lamps_core.errors import BadInput
from lamps_core.meta_dataset import read_tasks
from lamps_core.objectives import parse_objectives
from lamps_core.policies.pool_layout import PoolLayout
from lamps_core.policy_training.environment import SearchEnvironment, searchable
from lamps_core.policy_training.rewards import Rewards
from lamps_core.policy_training.task_batch import candidates_of
from lamps_core.policy_training.vector_environment import VectorSearchEnvironment
from lamps_core.replay import ReplayedSearch
from tests.meta_datasets import curve_rows, family_rows, made_task, write_meta_dataset

if TYPE_CHECKING:
    from pathlib import Path

    from lamps_core.task import Task

searchable_task = made_task().filter(searchable)


@pytest.fixture
def three(tmp_path: Path) -> Task:
    """Candidates a and b are Pareto-optimal, c is dominated; all cost different times."""
    write_meta_dataset(
        tmp_path,
        [
            *curve_rows("d", "a", losses=[2.0, 1.0, 0.8], train=[0.0, 1.0, 1.0], step=[0.5, 2.0, 2.0]),
            *curve_rows("d", "b", losses=[2.0, 0.5, 0.2], train=[0.0, 10.0, 10.0], step=[1.5, 20.0, 20.0]),
            *curve_rows("d", "c", losses=[2.0, 1.9, 1.8], train=[0.0, 20.0, 20.0], step=[1.0, 30.0, 30.0]),
        ],
    )
    return read_tasks(tmp_path, parse_objectives())[0]


def run(environment: SearchEnvironment, actions: list[int]) -> tuple[list[float], bool]:
    environment.reset()
    rewards, ended = [], False
    for action in actions:
        assert not ended
        _, reward, ended, _, _ = environment.step(np.int64(action))
        rewards.append(reward)
    return rewards, ended


def test_an_episode_that_fine_tunes_only_the_front_earns_3000(three: Task) -> None:
    rewards, ended = run(SearchEnvironment(three), [1, 0, 0, 1])
    assert ended
    assert rewards == [0.0, 0.0, 0.0, pytest.approx(3000.0)]


def test_equation_7_divides_the_spared_by_the_seconds(three: Task) -> None:
    # One of three is spared in (0.5 + 1.5 + 1) + 4 + 40 seconds; a step of c on the way costs 30 more.
    rewards, ended = run(SearchEnvironment(three), [2, 0, 0, 1, 1])
    assert ended
    assert rewards[-1] == pytest.approx(3000 * (1 / 77) / (1 / 47))
    assert run(SearchEnvironment(three), [2, 0, 0, 2, 1, 1])[0][-1] == 0.0  # none is spared


def test_equation_5_takes_lambda_for_every_candidate_that_was_fine_tuned(three: Task) -> None:
    reached = three.hypervolume
    alone = [
        (three.reference - three.final[0]).prod(),
        (three.reference - three.final[1]).prod(),
    ]
    penalty = 0.5 * min(reached - alone[0], reached - alone[1])
    environment = SearchEnvironment(three, equation="5")
    assert run(environment, [2, 0, 0, 1, 1])[0][-1] == pytest.approx(3000.0)  # time does not count
    assert run(environment, [2, 2, 0, 0, 1, 1])[0][-1] == pytest.approx(
        3000 * (reached - 3 * penalty) / (reached - 2 * penalty)
    )


@given(searchable_task, st.sampled_from(["5", "7"]))
def test_no_episode_earns_more_than_one_of_the_front_alone(task: Task, equation: str) -> None:
    environment = SearchEnvironment(task, equation=equation, optimum=1.0)  # type: ignore[arg-type]
    front = [int(index) for index in np.flatnonzero(task.on_front) for _ in range(task.rows[index] - 1)]
    rewards, ended = run(environment, front)
    assert ended
    assert rewards[-1] == pytest.approx(1.0)
    generator = np.random.default_rng(0)
    environment.reset()
    ended = False
    while not ended:
        choice = generator.choice(np.flatnonzero(environment.action_masks()))
        _, reward, ended, _, _ = environment.step(choice)
    assert reward <= 1.0 + 1e-9


def test_gymnasium_finds_nothing_wrong(three: Task) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.filterwarnings("ignore", message=".*(infinity|not within the observation|render).*")
        check_env(SearchEnvironment(three), skip_render_check=True)


def test_what_is_masked_is_refused(three: Task) -> None:
    environment = SearchEnvironment(three, candidates=["a", "absent", "b", "c"])
    environment.reset()
    assert environment.action_masks().tolist() == [True, False, True, True]
    with pytest.raises(ValueError, match="absent is masked"):
        environment.step(np.int64(1))


def test_a_task_without_anything_to_search_for_is_refused(tmp_path: Path) -> None:
    write_meta_dataset(
        tmp_path,
        [*curve_rows("d", "a", losses=[0.1], step=[1.0]), *curve_rows("d", "b", losses=[2.0, 1.0, 0.8])],
    )
    (task,) = read_tasks(tmp_path, parse_objectives(bounds=["train_seconds=9"]))
    assert task.on_front.tolist() == [True, False]
    with pytest.raises(ValueError, match="'d': every Pareto-optimal candidate has a single row"):
        SearchEnvironment(task)


@settings(max_examples=30)
@given(st.lists(searchable_task, min_size=1, max_size=3), st.integers(1, 2), st.integers(0, 99))
def test_hundreds_of_episodes_at_once_are_as_many_single_ones(
    tasks: list[Task], each: int, seed: int
) -> None:
    pool = candidates_of(tasks)
    together = VectorSearchEnvironment(tasks, episodes_each=each)
    singles = [SearchEnvironment(task, candidates=pool) for task in tasks for _ in range(each)]
    observed = together.reset()
    assert is_masking_supported(together)
    np.testing.assert_array_equal(observed, [single.reset()[0] for single in singles])
    generator = np.random.default_rng(seed)
    for _ in range(20):
        masks = get_action_masks(together)
        np.testing.assert_array_equal(masks, [single.action_masks() for single in singles])
        actions = np.array([generator.choice(np.flatnonzero(mask)) for mask in masks])
        observed, rewards, dones, told = together.step(actions)
        for index, single in enumerate(singles):
            seen, reward, ended, truncated, _ = single.step(actions[index])
            assert (rewards[index], dones[index]) == (pytest.approx(reward, rel=1e-6), ended)
            assert not truncated
            if ended:
                np.testing.assert_array_equal(told[index]["terminal_observation"], seen)
                seen, _ = single.reset()
            np.testing.assert_array_equal(observed[index], seen)


def test_the_quick_step_is_the_step_of_stable_baselines3(three: Task) -> None:
    quick, plain = (VectorSearchEnvironment([three], episodes_each=3) for _ in range(2))
    generator = np.random.default_rng(0)
    for _ in range(30):
        actions = np.array([generator.choice(np.flatnonzero(mask)) for mask in plain.action_masks()])
        observed, rewards, dones, _ = plain.step(actions)
        told = quick.advance(actions)
        np.testing.assert_array_equal(told[0], rewards)
        np.testing.assert_array_equal(told[1], dones)
        np.testing.assert_array_equal(quick.observations, observed)


def test_an_action_that_is_masked_is_refused_in_hundreds_too(three: Task) -> None:
    environment = VectorSearchEnvironment([three], candidates=["a", "absent", "b", "c"])
    with pytest.raises(ValueError, match="masked"):
        environment.step(np.array([1]))


@given(searchable_task, st.data())
def test_the_order_of_the_candidates_is_not_seen(task: Task, data: st.DataObject) -> None:
    search = ReplayedSearch(task)
    assume(search.mask.any())
    search.step(int(np.flatnonzero(search.mask)[0]))
    layout = PoolLayout(candidates_of([task]), ("test_loss", "train_seconds"))
    seen = search.observation()
    order = data.draw(st.permutations(range(len(task.candidates))))
    np.testing.assert_array_equal(layout.vector(seen), layout.vector(seen.of(order)))


def test_scales_make_datasets_alike_and_absent_ones_are_zeros(three: Task) -> None:
    layout = PoolLayout(("a", "b", "c", "z"), ("test_loss", "train_seconds"))
    search = ReplayedSearch(three)
    search.step(1)
    told = layout.vector(search.observation()).reshape(4, 3)
    # Zero-shot: a median loss of 2 nats, a median evaluation of 1 second.
    assert told[0].tolist() == pytest.approx([1.0, 0.0, 0.1])
    assert told[1].tolist() == pytest.approx([0.25, np.arcsinh(10.0) / 4, 0.2])
    assert told[3].tolist() == [0.0, 0.0, 0.0]


def test_a_candidate_that_the_pool_lacks_is_refused_by_name(three: Task) -> None:
    with pytest.raises(BadInput, match="does not know the candidate c"):
        PoolLayout(("a", "b"), ("test_loss", "train_seconds")).vector(ReplayedSearch(three).observation())


def test_other_objectives_and_bounds_are_observed_and_rewarded(tmp_path: Path) -> None:
    rows = [
        {**row, "accuracy": 1 / (1 + row["test_loss"]), "train_flops": 100.0 * row["parameters"]}
        for row in family_rows(1, 6, seed=3, steps=4)
    ]
    write_meta_dataset(tmp_path, rows)
    objectives = parse_objectives(
        "test_loss,accuracy,train_flops,parameters,cpu_seconds", bounds=["test_loss=3"]
    )
    with pytest.raises(BadInput, match="cpu_seconds is null"):
        read_tasks(tmp_path, objectives)
    (task,) = read_tasks(
        tmp_path, parse_objectives("test_loss,accuracy,train_flops,parameters", bounds=["test_loss=3"])
    )
    environment = SearchEnvironment(task, optimum=1.0)
    seen, _ = environment.reset()
    assert seen.shape == (6 * 5,)
    assert np.abs(seen).max() < 3
    assert Rewards.of([task]).optimal[0] > 0

"""The policy that serves any candidates and objectives."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given, settings

from lamps_core.errors import BadInput
from lamps_core.meta_dataset import Task, read_tasks
from lamps_core.objectives import parse_objectives
from lamps_core.policies import UNIVERSAL, Observation, load_policy, load_universal, shipped_policy
from lamps_core.policies.ordered import Cheapest
from lamps_core.policies.universal import _best_ratio
from lamps_core.policy_file import PolicyFile, read_policy, write_policy
from lamps_core.policy_training.algorithms import algorithm
from lamps_core.policy_training.training_run import TrainingRun
from lamps_core.replay import ReplayedSearch, replay
from lamps_core.simulation import write_simulation
from tests.meta_datasets import family_tasks, made_task

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

SMALL = {"random_tasks": 2, "simulated_seeds": 0, "worlds": 3}


def turned(task: Task, order: Sequence[int]) -> Task:
    """The candidates in another order."""
    places = np.array(order)
    return replace(
        task,
        candidates=tuple(task.candidates[place] for place in places),
        **{
            name: getattr(task, name)[places]
            for name in ("rows", "complete", "values", "losses", "step_seconds", "parameters", "epoch_cost")
        },
    )


def chosen_names(task: Task, most: int = 60) -> list[str]:
    """Who gets each step of a search by the shipped policy."""
    policy, search, found = load_universal(task.objectives), ReplayedSearch(task), list[str]()
    while search.mask.any() and len(found) < most:
        place = policy.select(search.observation())
        found.append(task.candidates[place])
        search.step(place)
    return found


def test_the_shipped_policy_says_what_it_is() -> None:
    card = read_policy(shipped_policy(UNIVERSAL)).card
    assert card.kind == "universal"
    assert card.objectives == ()
    assert len(card.datasets) == 9
    assert len(card.candidates) == 22
    assert load_policy(UNIVERSAL).name == UNIVERSAL


def test_the_order_of_candidates_makes_no_difference() -> None:
    task = family_tasks(1, 9)[0]
    order = [4, 8, 0, 2, 6, 1, 3, 5, 7]
    assert chosen_names(turned(task, order)) == chosen_names(task)


@settings(max_examples=15, deadline=None)
@given(made_task())
def test_it_ends_any_search_by_steps_that_may_be_run(task: Task) -> None:
    policy, search = load_universal(task.objectives), ReplayedSearch(task)
    while search.mask.any():
        observation = search.observation()
        told = policy.outlook(observation)
        assert np.isfinite(told.gain[observation.mask]).all()
        assert (told.seconds > 0).all()
        place = policy.select(observation)
        assert observation.mask[place]
        search.step(place)


@pytest.mark.slow
def test_it_finds_the_front_sooner_than_the_cheapest_first_where_size_says_little() -> None:
    """Thirty candidates, most of them poor: looking at each for a few steps is enough."""
    chance = np.random.default_rng(5)
    count, steps = 30, 9
    floor = np.where(np.arange(count) % 10 == 7, 0.1, 1.0) * np.exp(0.05 * chance.standard_normal(count))
    progress = np.linspace(0.0, 1.0, steps)
    losses = 2.0 * (floor[:, None] / 2.0) ** progress
    train = np.concatenate([np.zeros(1), 2.0 ** np.arange(steps - 1)]) * np.ones((count, 1))
    train *= np.exp(0.2 * chance.standard_normal((count, 1)))
    task = Task(
        dataset="needles",
        seed=0,
        source="simulated",
        candidates=tuple(f"m{place}" for place in range(count)),
        objectives=parse_objectives(),
        rows=np.full(count, steps),
        complete=np.ones(count, dtype=bool),
        values=np.stack([losses, np.cumsum(train, axis=1)], axis=2),
        losses=losses,
        step_seconds=train + 0.1,
        parameters=np.full(count, 1e6),
        epoch_cost=np.full(count, 1e6),
    )
    ours = replay(task, load_universal(task.objectives)).seconds_to(0.9)
    cheapest = replay(task, Cheapest()).seconds_to(0.9)
    assert ours is not None
    assert cheapest is not None
    assert ours < 0.6 * cheapest


@pytest.mark.parametrize(
    "objectives",
    [
        "accuracy,train_seconds",
        "test_loss,parameters",
        "macro_f1,eval_rows_per_second",
        "test_loss,peak_memory_bytes",
        "test_loss,dollars,parameters",
        "test_loss",
    ],
)
def test_one_policy_serves_any_objectives(objectives: str, tmp_path: Path) -> None:
    write_simulation(tmp_path / "curves")
    names = objectives.replace("macro_f1", "accuracy")  # not simulated
    task = read_tasks(tmp_path / "curves", parse_objectives(names))[0].of(
        ["openai-community/gpt2", "FacebookAI/roberta-base", "google-bert/bert-base-cased", "gpt2-xl"]
    )
    found = replay(task, load_universal(task.objectives))
    assert found.share[-1] == pytest.approx(1.0)


def test_running_candidates_are_believed_to_end_where_they_are_expected_to() -> None:
    task = family_tasks(1, 6)[0]
    search = ReplayedSearch(task)
    policy = load_universal(task.objectives)
    observation = search.observation()
    first = policy.select(observation)
    pending = np.arange(6) == first
    told = policy.outlook(observation)
    beside = policy.outlook(_with(observation, pending))
    others = ~pending
    assert (beside.gain[others] <= told.gain[others] + 1e-12).all()
    assert policy.select(_with(observation, pending)) != first


def _with(observation: Observation, pending: np.ndarray) -> Observation:
    return replace(observation, mask=observation.mask & ~pending, pending=pending)


def test_a_plan_is_worth_its_best_ratio() -> None:
    gains = np.array([[[4.0, 0.0]], [[1.0, 1.0]]])
    look, rest = np.array([[1.0], [1.0]]), np.array([[3.0], [3.0]])
    # Good news alone: 2 gained in 1 + 3 / 2 seconds; all news: 2 in 4. And 1 in 4, whatever the news.
    assert _best_ratio(gains, look, rest) == pytest.approx([0.8, 0.25])


# --- training -------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def trained() -> PolicyFile:
    """On two small tasks, two random ones, and nothing else."""
    return algorithm(UNIVERSAL).train(family_tasks(2, 6), seed=0, run=TrainingRun(settings=SMALL))


def test_a_trained_one_serves_candidates_it_never_saw(trained: PolicyFile, tmp_path: Path) -> None:
    write_policy(tmp_path / "u.zip", trained)
    task = turned(family_tasks(1, 11, seed=8)[0], range(11))
    task = replace(task, candidates=tuple(f"never/seen-{place}" for place in range(11)))
    policy = load_policy(str(tmp_path / "u.zip"), candidates=task.candidates, objectives=task.objectives)
    assert replay(task, policy).share[-1] == pytest.approx(1.0)


def test_weights_of_another_shape_are_refused(trained: PolicyFile) -> None:
    for name in ("levels", "loss.kernel", "cost.profile"):
        broken = PolicyFile(trained.card, {**trained.weights, name: np.zeros((2, 2))})
        with pytest.raises(BadInput, match="not those of a universal policy"):
            algorithm(UNIVERSAL).load(broken, name="broken")
        missing = PolicyFile(trained.card, {k: v for k, v in trained.weights.items() if k != name})
        with pytest.raises(BadInput, match="not those of a universal policy"):
            algorithm(UNIVERSAL).load(missing, name="broken")


def test_a_warm_start_is_refused(trained: PolicyFile) -> None:
    run = TrainingRun(settings=SMALL, warm_start=trained)
    with pytest.raises(BadInput, match="--warm-start: universal begins with nothing"):
        algorithm(UNIVERSAL).train(family_tasks(2, 6), seed=0, run=run)

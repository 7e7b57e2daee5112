"""The algorithms on environments whose best policy is known, and the equations of Distral."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch

from lamps_core.meta_dataset import read_tasks
from lamps_core.objectives import parse_objectives
from lamps_core.policies.pool import PoolPolicy
from lamps_core.policy_training.distral import Distral, DistralSettings
from lamps_core.policy_training.environment import SearchEnvironment
from lamps_core.policy_training.pool_training import train_distral, train_ppo
from lamps_core.policy_training.ppo import Rollout, Samples, mask_logits_of
from lamps_core.policy_training.training_run import TrainingRun
from lamps_core.policy_training.vector_environment import VectorSearchEnvironment
from tests.meta_datasets import curve_rows, family_tasks, write_meta_dataset

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lamps_core.policy_file import PolicyFile
    from lamps_core.policy_training.algorithms import Train
    from lamps_core.task import Task

# The paper's learning rate and entropy are for millions of steps; here are some thousands.
QUICK = {
    "learning_rate": 3e-3,
    "entropy_coefficient": 0.05,
    "rollout_steps": 32,
    "episodes_each": 8,
    "epochs": 6,
    "minibatch_size": 128,
}


@pytest.fixture(scope="module")
def tasks(tmp_path_factory: pytest.TempPathFactory) -> tuple[Task, ...]:
    """Three datasets of six candidates, on each of which c and e alone are on the front: the best search is known."""
    folder, finals = tmp_path_factory.mktemp("known"), [0.9, 0.8, 0.5, 0.7, 0.1, 0.6]
    rows = []
    for dataset in range(3):
        for candidate, final in enumerate(finals):
            seconds = [0.0] + [
                3.0 ** (dataset + (candidate == 4)) * (1.5 if candidate not in {2, 4} else 1.0)
            ] * 2
            rows += curve_rows(
                f"dataset-{dataset}",
                "abcdef"[candidate],
                losses=[2.0 + 0.1 * dataset, 1.0 + final / 2, final + 0.01 * dataset],
                train=seconds,
                step=[0.1 + second for second in seconds],
            )
    write_meta_dataset(folder, rows)
    found = read_tasks(folder, parse_objectives())
    assert all(task.on_front.tolist() == [False, False, True, False, True, False] for task in found)
    return found


def earned(file: PolicyFile, tasks: Sequence[Task]) -> list[float]:
    """The normalised reward of a greedy search on each task; 3000 is the best there is."""
    policy, found = PoolPolicy(file, name="learned"), []
    for task in tasks:
        environment, ended, reward = SearchEnvironment(task), False, 0.0
        environment.reset()
        while not ended:
            action = np.int64(policy.select(environment.search.observation()))
            _, reward, ended, _, _ = environment.step(action)
        found.append(reward)
    return found


@pytest.mark.parametrize("train", [train_ppo, train_distral])
def test_the_best_search_is_learned(train: Train, tasks: Sequence[Task]) -> None:
    file = train(tasks, seed=1, run=TrainingRun(steps=6_000, settings=QUICK))
    assert earned(file, tasks) == pytest.approx([3000.0] * 3)


def test_ppo_learns_a_single_task(tasks: Sequence[Task]) -> None:
    file = train_ppo(tasks[:1], seed=1, run=TrainingRun(steps=4_000, settings=QUICK))
    assert earned(file, tasks[:1]) == pytest.approx([3000.0])


def model(**changes: Any) -> Distral:
    settings = replace(DistralSettings(rollout_steps=8, episodes_each=2, minibatch_size=16), **changes)
    environment = VectorSearchEnvironment(family_tasks(3, 8), episodes_each=2, optimum=1.0)
    return Distral(environment, settings, seed=0, tasks=3)


def test_alpha_and_beta_are_those_of_equation_2() -> None:
    settings = DistralSettings(entropy_coefficient=0.23, alpha=0.5)
    c_kl, c_ent = settings.kl_coefficient, settings.entropy_coefficient
    assert c_kl / (c_kl + c_ent) == pytest.approx(0.5)
    assert settings.beta == pytest.approx(1 / (c_kl + c_ent))


def test_each_episode_is_acted_in_by_the_policy_of_its_task() -> None:
    distral = model()
    with torch.no_grad():
        for task in range(3):
            distral.task_layers[task][0][-1].bias[task] = 50.0
        masks = torch.ones(6, 8, dtype=torch.bool)
        actions, _, _ = distral.act(torch.zeros(6, distral.observation_space.shape[0]), masks)
    assert actions.tolist() == [0, 0, 1, 1, 2, 2]


def test_the_minibatches_of_a_task_are_of_its_own_episodes_and_all_of_them() -> None:
    distral = model()
    seen = torch.cat(list(distral.minibatches(8 * 6)), dim=1)
    for task in range(3):
        wanted = [step * 6 + task * 2 + episode for step in range(8) for episode in range(2)]
        assert sorted(seen[task].tolist()) == wanted


def test_without_rewards_the_distilled_policy_and_those_of_the_tasks_become_one() -> None:
    distral = model(learning_rate=1e-2, alpha=0.9)
    generator = torch.Generator().manual_seed(0)
    size = distral.observation_space.shape[0]
    batch = Samples(
        observations=torch.randn(48, size, generator=generator),
        mask_logits=mask_logits_of(torch.rand(48, 8, generator=generator) > 0.2),
        actions=torch.zeros(48, 1, dtype=torch.long),
        log_probabilities=np.zeros(48, dtype=np.float32),
        advantages=np.zeros(48, dtype=np.float32),
        returns=np.zeros(48, dtype=np.float32),
    )
    batch.mask_logits[..., 0] = 0.0
    with torch.no_grad():
        for task in range(3):
            distral.task_layers[task][0][-1].bias[task] = 3.0
    before = distral.update(batch)[3]
    for _ in range(150):
        after = distral.update(batch)[3]
    assert after < before / 20


def test_a_task_policy_that_earns_moves_the_distilled_one() -> None:
    distral = model(learning_rate=3e-3)
    size = distral.observation_space.shape[0]
    batch = Samples(
        observations=torch.zeros(48, size),
        mask_logits=torch.zeros(48, 8),
        actions=torch.arange(48).remainder(8)[:, None],
        log_probabilities=np.full(48, -np.log(8.0), dtype=np.float32),
        advantages=(np.arange(48) % 8 == 2).astype(np.float32),
        returns=np.zeros(48, dtype=np.float32),
    )
    for _ in range(30):
        distral.update(batch)
    logits = distral.policy.action_net(distral.policy.mlp_extractor.policy_net(torch.zeros(1, size)))
    assert logits.argmax() == 2


def test_the_gradient_is_what_autograd_makes_of_equations_1_and_9() -> None:
    distral = model(minibatch_size=32, most_gradient_norm=1e9)
    distral.learn(1)
    batch = Rollout(distral.rollout_buffer).take(next(iter(distral.minibatches(8 * 6))))
    settings, size = distral.distral, len(batch.actions) // 3
    with torch.no_grad():  # so that ratios are clipped on both sides, and pi_i is far from pi_0
        for one in (distral.task_weights.vector, distral.weights.vector):
            one.add_(torch.randn(one.shape, generator=distral.generator), alpha=0.05)
    for weights in distral.states().values():
        weights.gradient.zero_()
    shared = network(distral.actor, batch.observations).chunk(3)
    total = torch.zeros(())
    for task, (actor, critic) in enumerate(distral.task_layers):
        part = slice(task * size, (task + 1) * size)
        mask_logits, seen = batch.mask_logits[part], batch.observations[part]
        own = settings.alpha * shared[task] + settings.beta * network(actor, seen)
        policy, distilled = (
            torch.distributions.Categorical(logits=one + mask_logits) for one in (own, shared[task])
        )
        advantages = torch.from_numpy(batch.advantages[part].copy())
        advantages = (advantages - advantages.mean()) / (advantages.std() + 1e-8)
        logs = policy.log_prob(batch.actions[part, 0])
        ratio = (logs - torch.from_numpy(batch.log_probabilities[part].copy())).exp()
        assert 0 < ((ratio - 1).abs() > settings.clip_range).sum() < size
        clipped = ratio.clamp(1 - settings.clip_range, 1 + settings.clip_range)
        total = total - torch.minimum(ratio * advantages, clipped * advantages).mean()
        total = total - settings.entropy_coefficient * policy.entropy().mean()
        total = total + settings.kl_coefficient * torch.distributions.kl_divergence(policy, distilled).mean()
        error = network(critic, seen)[:, 0] - torch.from_numpy(batch.returns[part].copy())
        total = total + settings.value_coefficient * error.square().mean()
    total.backward()
    expected = {name: weights.gradient.clone() for name, weights in distral.states().items()}
    distral.update(batch)
    for name, weights in distral.states().items():
        torch.testing.assert_close(weights.gradient, expected[name], rtol=1e-4, atol=1e-6)
    assert expected["policy"].abs().max() > 1e-3


def network(layers: Sequence[torch.nn.Linear], hidden: torch.Tensor) -> torch.Tensor:
    for layer in layers[:-1]:
        hidden = layer(hidden).tanh()
    return layers[-1](hidden)

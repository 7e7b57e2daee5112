"""Distral on PPO: a policy for each task, and one that is distilled from all of them and drawn on by each.

Teh et al., "Distral: Robust Multitask Reinforcement Learning", 2017, with the optimiser of Schulman et al. (`ppo`)
and the masks of Huang and Ontanon. The distilled policy is what is kept. With pi_i of task i, pi_0 distilled:

    J = sum_i E_pi_i [ sum_t gamma^t ( R_i - c_KL log(pi_i / pi_0) - c_Ent log pi_i ) ]               (equation 1)
    alpha = c_KL / (c_KL + c_Ent),  beta = 1 / (c_KL + c_Ent)                                         (equation 2)
    pi_i = softmax( alpha h(a | s) + beta f_i(a | s) ),  pi_0 = softmax( h(a | s) )                  (equation 9)

h and every f_i are networks (the form "KL+ent 2col"); each task has a value network of its own. c_Ent is the
entropy coefficient of Appendix B.2 and alpha is 0.5 as in Teh et al., which fixes c_KL and beta.

How the regulariser enters PPO, where the two papers leave a choice: as a term of the loss at every sampled state,
exact over the actions, as PPO's own entropy bonus is, and not as a reward. Episodes are hundreds of steps long
and their one reward is at most 1: a sum of -c log pi along them would drown it. What is left out is the part of
the gradient by which a policy seeks states where it will be close to pi_0 later.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING, ClassVar

import torch
from torch import nn

from lamps_core.policy_training.ppo import FlatWeights, MaskedPPO, Samples, masked_log_softmax, standardised
from lamps_core.policy_training.ppo_gradient import (
    StackedNetworks,
    logit_gradient,
    parameters_in_order,
    surrogate_gradient,
    value_gradient,
)
from lamps_core.policy_training.ppo_settings import BELOW_ONE, MAY_BE_ZERO, PPOSettings

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from stable_baselines3.common.vec_env import VecEnv
    from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class DistralSettings(PPOSettings):
    """Hyperparameters of PPO for each task's policy, and how they are tied to the distilled one.

    Attributes:
        alpha: share of the distilled policy in each task's, from 0 to below 1.
    """

    alpha: float = field(default=0.5, metadata=BELOW_ONE | MAY_BE_ZERO)
    entropy_coefficient: float = 0.23  # beta is divided by it

    @property
    def beta(self) -> float:
        """1 / (c_KL + c_Ent), with c_Ent = (1 - alpha) / beta."""
        return (1.0 - self.alpha) / self.entropy_coefficient

    @property
    def kl_coefficient(self) -> float:
        """c_KL = alpha / beta."""
        return self.alpha / self.beta


def drawn_network(sizes: Sequence[int], *, last_gain: float) -> list[nn.Linear]:
    """The layers of a network, orthogonal with the gains of stable-baselines3.

    Args:
        sizes: units of each layer, inputs first.
        last_gain: of the last layer; of the others, the square root of 2.
    """
    layers = [nn.Linear(before, after) for before, after in pairwise(sizes)]
    for layer in layers:
        nn.init.orthogonal_(layer.weight, last_gain if layer is layers[-1] else math.sqrt(2.0))
        nn.init.zeros_(layer.bias)
    return layers


class Distral(MaskedPPO):
    """PPO of a policy for each task, tied to one that is distilled from them: `policy`.

    The critic in `policy` has no part in it.
    """

    losses: ClassVar[tuple[str, ...]] = ("policy_loss", "value_loss", "entropy", "kl")

    def __init__(self, environment: VecEnv, settings: DistralSettings, *, seed: int, tasks: int) -> None:
        """Make the networks.

        Args:
            environment: a `VectorSearchEnvironment`.
            settings: hyperparameters.
            seed: of the weights, the actions and the minibatches.
            tasks: T; the environment's episodes are T equal runs, one of each task.
        """
        super().__init__(environment, settings, seed=seed)
        self.distral, self.tasks = settings, tasks
        inputs, actions = self.observation_space.shape[0], int(self.action_space.n)
        actor, critic = [inputs, *settings.widths, actions], [inputs, *settings.widths, 1]
        self.task_layers = [
            (drawn_network(actor, last_gain=0.01), drawn_network(critic, last_gain=1.0)) for _ in range(tasks)
        ]
        self.task_weights = FlatWeights(
            [one for pair in self.task_layers for one in parameters_in_order(pair)],
            learning_rate=settings.learning_rate,
            networks=tasks,
        )
        self.task_networks = StackedNetworks(*self.task_layers)
        self.distilled = StackedNetworks([self.actor])

    def states(self) -> dict[str, FlatWeights]:
        """Everything that learns, by name, for checkpoints."""
        return {"policy": self.weights, "tasks": self.task_weights}

    def outputs(self, observations: Tensor) -> tuple[Tensor, Tensor]:
        """(T * k, m) logits of each task's policy, (T * k,) values: of the k episodes of each task."""
        logits, values, _ = self.task_outputs(observations)
        return logits, values.squeeze(1)

    def task_outputs(self, observations: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """(T * B, m) logits of each task's policy, (T * B, 1) values, (T * B, m) logits of the distilled policy."""
        shared = self.distilled.forward(observations)[0]  # h
        logits, values = self.task_networks.forward(observations)
        torch.add(shared * self.distral.alpha, logits, alpha=self.distral.beta, out=logits)  # equation 9
        return logits, values, shared

    def minibatches(self, samples: int) -> Iterable[Tensor]:
        """(T, B) indices: each task's policy has minibatches of its own, and all learn at once."""
        episodes = self.env.num_envs
        each = episodes // self.tasks
        steps = torch.arange(samples // episodes)[:, None] * episodes
        of_a_task = (steps + torch.arange(each)).flatten()
        orders = [
            of_a_task[torch.randperm(len(of_a_task), generator=self.generator)] + task * each
            for task in range(self.tasks)
        ]
        return torch.stack(orders).split(self.settings.minibatch_size, dim=1)

    @torch.no_grad()
    def update(self, batch: Samples) -> tuple[float, ...]:
        """One step of Adam on a minibatch of each task; means over the tasks of what `losses` names.

        With p of a task's policy and q of the distilled one, d(KL) / d(z_j) = p_j (log(p_j / q_j) - KL) in the logits
        z of p, and d(KL) / d(h_j) = q_j - p_j in those of q.
        """
        settings, size = self.distral, len(batch.actions) // self.tasks
        logits, values, shared = self.task_outputs(batch.observations)
        logs, distilled = (masked_log_softmax(one, batch.mask_logits) for one in (logits, shared))
        # The rewards R_i of equation 1 by the clipped surrogate, and -c_Ent log pi_i, the policy's entropy.
        log_ratio = logs.gather(1, batch.actions).numpy()[:, 0] - batch.log_probabilities
        advantages = standardised(batch.advantages.reshape(self.tasks, size)).ravel()
        policy_loss, in_logs = surrogate_gradient(log_ratio, advantages, settings.clip_range, samples=size)
        weight = settings.entropy_coefficient / size
        entropy, probabilities = logit_gradient(logs, batch.actions, in_logs, weight, out=logits)
        # -c_KL log(pi_i / pi_0) of equation 1. By pi_i it is the tie to the distilled policy; by pi_0 it is the
        # distillation (equation 10).
        apart, weight = logs.sub_(distilled), settings.kl_coefficient / size
        kl = torch.mul(probabilities, apart, out=shared).sum(1, keepdim=True)
        logits.add_(apart.sub_(kl).mul_(probabilities), alpha=weight)
        torch.sub(distilled.exp_(), probabilities, out=shared)
        # Equation 9 again: what reaches h and each f_i.
        shared.mul_(weight).add_(logits, alpha=settings.alpha)
        logits.mul_(settings.beta)
        # Each task's value network.
        value_loss = value_gradient(values, batch.returns, settings.value_coefficient / size)
        self.task_networks.backward(batch.observations)
        self.distilled.backward(batch.observations)
        for weights in self.states().values():
            weights.adam_step(most_norm=settings.most_gradient_norm)
        return policy_loss, value_loss, entropy, float(kl.mean())

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
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import torch
from torch import nn
from torch.nn import functional

from lamps_core.policy_training.ppo import (
    FlatWeights,
    MaskedPPO,
    PPOSettings,
    Samples,
    clipped_surrogate,
    entropy_of,
    masked_log_softmax,
    standardised,
)

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

    alpha: float = 0.5

    @property
    def beta(self) -> float:
        """1 / (c_KL + c_Ent), with c_Ent = (1 - alpha) / beta."""
        return (1.0 - self.alpha) / self.entropy_coefficient

    @property
    def kl_coefficient(self) -> float:
        """c_KL = alpha / beta."""
        return self.alpha / self.beta


class StackedNetwork(nn.Module):
    """T networks of one shape, layers of tanh between, computed together."""

    def __init__(self, networks: int, sizes: Sequence[int], *, last_gain: float) -> None:
        """Draw the weights, orthogonal with the gains of stable-baselines3.

        Args:
            networks: T.
            sizes: units of each layer, inputs first.
            last_gain: of the last layer; of the others, the square root of 2.
        """
        super().__init__()
        gains = [math.sqrt(2.0)] * (len(sizes) - 2) + [last_gain]
        self.matrices, self.biases = nn.ParameterList(), nn.ParameterList()
        for gain, before, after in zip(gains, sizes, sizes[1:], strict=False):
            drawn = [nn.init.orthogonal_(torch.empty(after, before), gain).T for _ in range(networks)]
            self.matrices.append(nn.Parameter(torch.stack(drawn).contiguous()))
            self.biases.append(nn.Parameter(torch.zeros(networks, 1, after)))

    def forward(self, told: Tensor) -> Tensor:
        """(T, B, outputs) from (T, B, inputs)."""
        layers = list(zip(self.biases, self.matrices, strict=True))
        for bias, matrix in layers[:-1]:
            told = torch.baddbmm(bias, told, matrix).tanh_()
        bias, matrix = layers[-1]
        return torch.baddbmm(bias, told, matrix)


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
        self.task_logits = StackedNetwork(tasks, [inputs, *settings.widths, actions], last_gain=0.01)
        self.task_values = StackedNetwork(tasks, [inputs, *settings.widths, 1], last_gain=1.0)
        self.task_weights = FlatWeights(
            [*self.task_logits.parameters(), *self.task_values.parameters()],
            learning_rate=settings.learning_rate,
            networks=tasks,
        )

    def states(self) -> dict[str, FlatWeights]:
        """Everything that learns, by name, for checkpoints."""
        return {"policy": self.weights, "tasks": self.task_weights}

    def outputs(self, observations: Tensor) -> tuple[Tensor, Tensor]:
        """(T * k, m) logits of each task's policy, (T * k,) values: of the k episodes of each task."""
        by_task = observations.unflatten(0, (self.tasks, -1))
        logits, values, _ = self.task_outputs(by_task)
        return logits.flatten(0, 1), values.flatten()

    def task_outputs(self, observations: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """(T, B, m) logits of each task's policy, (T, B) values, (T, B, m) logits of the distilled policy."""
        shared = self.policy.action_net(self.policy.mlp_extractor.policy_net(observations))  # h
        # Equation 9.
        logits = self.distral.alpha * shared + self.distral.beta * self.task_logits(observations)
        return logits, self.task_values(observations).squeeze(-1), shared

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

    def update(self, batch: Samples) -> Tensor:
        """One step of Adam on a minibatch of each task; (4,) means over the tasks of what `losses` names."""
        settings = self.distral
        logits, values, shared = self.task_outputs(batch.observations)
        task_logs, distilled_logs = (masked_log_softmax(told, batch.closed) for told in (logits, shared))
        # The rewards R_i of equation 1, by the clipped surrogate of each task's policy.
        taken = task_logs.gather(-1, batch.actions[..., None]).squeeze(-1)
        advantages = standardised(batch.advantages)
        policy_loss = clipped_surrogate(taken - batch.log_probabilities, advantages, settings.clip_range)
        # Each task's value network.
        value_loss = functional.mse_loss(values, batch.returns, reduction="none").mean(-1)
        # -c_Ent log pi_i of equation 1: the entropy of each task's policy.
        entropy = entropy_of(task_logs).mean(-1)
        # -c_KL log(pi_i / pi_0) of equation 1. By pi_i it is the tie to the distilled policy; by pi_0, whose
        # gradient in h is c_KL (pi_0 - pi_i), it is the distillation (equation 10).
        kl = (task_logs.exp() * (task_logs - distilled_logs)).sum(-1).mean(-1)
        loss = (
            policy_loss
            + settings.value_coefficient * value_loss
            - settings.entropy_coefficient * entropy
            + settings.kl_coefficient * kl
        )
        loss.sum().backward()
        for weights in self.states().values():
            weights.follow_gradient(most_norm=settings.most_gradient_norm)
        return torch.stack([policy_loss, value_loss, entropy, kl]).detach().mean(-1)

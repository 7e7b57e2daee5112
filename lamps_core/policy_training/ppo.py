"""Proximal policy optimisation with invalid actions masked, for hundreds of searches at once.

Schulman et al., "Proximal Policy Optimization Algorithms", 2017; Huang and Ontanon, "A Closer Look at Invalid
Action Masking in Policy Gradient Algorithms", 2022. The algorithm, its network and its buffer are those of
sb3-contrib's MaskablePPO; what is here is the same mathematics with less around it: a test holds an update of
both equal. Rollouts are written into the buffer as whole arrays, minibatches are taken by index, the masked
softmax and the gradient (`ppo_gradient`) are written out, and all weights are one vector, so that Adam and the
gradient's norm are one call each.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

import numpy as np
import torch
from sb3_contrib import MaskablePPO
from torch import nn
from torch.nn import functional

from lamps_core.errors import BadInput
from lamps_core.policy_training.ppo_gradient import backward, forward, logit_gradient, surrogate_gradient

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from stable_baselines3.common.buffers import RolloutBuffer
    from stable_baselines3.common.callbacks import BaseCallback
    from stable_baselines3.common.vec_env import VecEnv
    from torch import Tensor

Settings = TypeVar("Settings")

MASKED = -1e8  # logit of an action that cannot be chosen, as in sb3-contrib


@dataclass(frozen=True, kw_only=True)
class PPOSettings:
    """Hyperparameters. Those of Appendix B.2 are the defaults; it names no others.

    Attributes:
        learning_rate: of Adam.
        minibatch_size: samples in one update.
        epochs: passes over a rollout.
        discount: gamma.
        gae_lambda: of generalised advantage estimation.
        clip_range: of the probability ratio.
        value_coefficient: c_1.
        entropy_coefficient: c_2.
        rollout_steps: of each episode between two trainings.
        episodes_each: at once on each task; with `rollout_steps` 2048 samples of a task, as in stable-baselines3.
        most_gradient_norm: above which a gradient is shortened, as in stable-baselines3.
        widths: hidden units of each layer, of the policy and of the value network alike, as there.
    """

    learning_rate: float = 1e-4
    minibatch_size: int = 256
    epochs: int = 15
    discount: float = 0.99
    gae_lambda: float = 0.97
    clip_range: float = 0.2
    value_coefficient: float = 0.5
    entropy_coefficient: float = 0.23
    rollout_steps: int = 128
    episodes_each: int = 16
    most_gradient_norm: float = 0.5
    widths: tuple[int, ...] = (64, 64)

    def as_arguments(self) -> dict[str, Any]:
        """As MaskablePPO takes them."""
        return {
            "learning_rate": self.learning_rate,
            "batch_size": self.minibatch_size,
            "n_epochs": self.epochs,
            "gamma": self.discount,
            "gae_lambda": self.gae_lambda,
            "clip_range": self.clip_range,
            "vf_coef": self.value_coefficient,
            "ent_coef": self.entropy_coefficient,
            "n_steps": self.rollout_steps,
            "max_grad_norm": self.most_gradient_norm,
            "policy_kwargs": {"net_arch": {"pi": list(self.widths), "vf": list(self.widths)}},
        }


def changed(defaults: Settings, changes: Mapping[str, Any]) -> Settings:
    """Settings with some fields changed.

    Raises:
        BadInput: one that there is not.
    """
    known = {one.name for one in fields(defaults)}  # type: ignore[arg-type]
    if unknown := sorted(set(changes) - known):
        raise BadInput(f"there is no setting {unknown[0]} (there are {', '.join(sorted(known))})")
    told = {name: tuple(value) if isinstance(value, list) else value for name, value in changes.items()}
    return type(defaults)(**{**vars(defaults), **told})


class FlatWeights:
    """The weights of a network as one vector and their gradients as another, and Adam on it.

    Elementwise, Adam on one vector is Adam on its parts.

    Attributes:
        vector: (P,) all weights.
        gradient: (P,) of the last loss.
        optimizer: Adam.
    """

    def __init__(
        self, parameters: Iterable[torch.nn.Parameter], *, learning_rate: float, networks: int = 1
    ) -> None:
        """Take over parameters: they become views of the vector.

        Args:
            parameters: of one device and type.
            learning_rate: of Adam.
            networks: T, where every parameter is that of T networks, by its first dimension: each network's
                gradient is then shortened by itself.
        """
        own = list(parameters)
        self.vector = torch.nn.Parameter(torch.cat([one.detach().reshape(-1) for one in own]))
        self.vector.grad = self.gradient = torch.zeros_like(self.vector.data)
        place = 0
        for one in own:
            part = slice(place, place + one.numel())
            one.data = self.vector.data[part].view(one.shape)
            one.grad = self.gradient[part].view(one.shape)
            place = part.stop
        # (T, p) gradients of each network; all of the vector at once, where there is one.
        parts = [one.grad for one in own] if networks > 1 else [self.gradient]
        self._by_network = [part.view(networks, -1) for part in parts if part is not None]
        # Epsilon as in stable-baselines3, which has it from the first implementation of PPO.
        self.optimizer = torch.optim.Adam([self.vector], lr=learning_rate, eps=1e-5, fused=True)

    def follow_gradient(self, *, most_norm: float) -> None:
        """One step of Adam down the gradient, shortened where it is longer than `most_norm`; then forget it."""
        norms = [torch.linalg.vector_norm(part, dim=1) for part in self._by_network]
        norm = torch.linalg.vector_norm(torch.stack(norms), dim=0)
        shrink = (most_norm / (norm + 1e-6)).clamp_(max=1.0)[:, None]  # as torch's clip_grad_norm_
        for part in self._by_network:
            part.mul_(shrink)
        self.optimizer.step()
        self.gradient.zero_()


def masked_log_softmax(logits: Tensor, closed: Tensor) -> Tensor:
    """(..., m) log probabilities of the actions; those that are closed have none (Huang and Ontanon)."""
    return functional.log_softmax(logits.masked_fill(closed, MASKED), dim=-1)


def entropy_of(log_probabilities: Tensor) -> Tensor:
    """(...) -sum p log p; a masked action's p is 0."""
    return -(log_probabilities.exp() * log_probabilities).sum(-1)


def standardised(advantages: Tensor) -> Tensor:
    """(..., B) advantages of a minibatch with mean 0 and deviation 1, as in stable-baselines3."""
    mean, deviation = advantages.mean(-1, keepdim=True), advantages.std(-1, keepdim=True)
    return (advantages - mean) / (deviation + 1e-8)


def clipped_surrogate(log_ratio: Tensor, advantages: Tensor, clip_range: float) -> Tensor:
    """(...) the negated L^CLIP of Schulman et al., equation 7, of (..., B) samples."""
    ratio = log_ratio.exp()
    clipped = ratio.clamp(1.0 - clip_range, 1.0 + clip_range)
    return -torch.minimum(advantages * ratio, advantages * clipped).mean(-1)


@dataclass(frozen=True)
class Samples:
    """A rollout as the update reads it: S = steps * episodes samples, step by step.

    Attributes:
        observations: (S, size).
        closed: (S, m) which actions were masked.
        actions: (S,).
        log_probabilities: (S,) of the actions when they were taken.
        advantages: (S,).
        returns: (S,) targets of the value network.
    """

    observations: Tensor
    closed: Tensor
    actions: Tensor
    log_probabilities: Tensor
    advantages: Tensor
    returns: Tensor

    @classmethod
    def of(cls, buffer: Any) -> Samples:
        """From the buffer of stable-baselines3, without a copy of the observations."""
        return cls(
            observations=torch.from_numpy(buffer.observations).flatten(0, 1),
            closed=torch.from_numpy(buffer.action_masks).flatten(0, 1) == 0,
            actions=torch.from_numpy(buffer.actions).flatten().long(),
            log_probabilities=torch.from_numpy(buffer.log_probs).flatten(),
            advantages=torch.from_numpy(buffer.advantages).flatten(),
            returns=torch.from_numpy(buffer.returns).flatten(),
        )

    def take(self, index: Tensor) -> Samples:
        """Some of them, (...) by index."""
        # index_select copies whole rows, four times as fast as an index in brackets.
        chosen = (getattr(self, one.name).index_select(0, index.flatten()) for one in fields(self))
        return Samples(*(one.unflatten(0, index.shape) for one in chosen))


class MaskedPPO(MaskablePPO):
    """MaskablePPO on a `VectorSearchEnvironment`, on this host's CPU.

    Attributes:
        losses: names of what an update tells.
        generator: of the actions and the minibatches.
        told: scalars of the last rollout and training.
    """

    losses: ClassVar[tuple[str, ...]] = ("policy_loss", "value_loss", "entropy")

    def __init__(self, environment: VecEnv, settings: PPOSettings, *, seed: int) -> None:
        """Make the networks.

        Args:
            environment: a `VectorSearchEnvironment`, or any that has its `observations`, `masks` and `advance`.
            settings: hyperparameters.
            seed: of the weights, the actions and the minibatches.
        """
        self.settings = settings
        self.generator = torch.Generator().manual_seed(seed)
        self.told: dict[str, float] = {}
        super().__init__("MlpPolicy", environment, seed=seed, device="cpu", **settings.as_arguments())

    def _setup_model(self) -> None:
        super()._setup_model()
        self.weights = FlatWeights(self.policy.parameters(), learning_rate=self.settings.learning_rate)
        network = self.policy.mlp_extractor
        self._actor = [*_linear(network.policy_net), self.policy.action_net]
        self._critic = [*_linear(network.value_net), self.policy.value_net]

    def states(self) -> dict[str, FlatWeights]:
        """Everything that learns, by name, for checkpoints."""
        return {"policy": self.weights}

    def outputs(self, observations: Tensor) -> tuple[Tensor, Tensor]:
        """(B, m) logits and (B,) values of (B, size) observations."""
        return forward(self._actor, observations)[0], forward(self._critic, observations)[0].squeeze(-1)

    def act(self, observations: Tensor, masks: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """(E,) actions drawn from the policy, their log probabilities and the values of what is seen."""
        logits, values = self.outputs(observations)
        logs = masked_log_softmax(logits, ~masks)
        # The largest of log p + Gumbel noise is a draw from p.
        noise = torch.empty_like(logs).exponential_(generator=self.generator).log_()
        actions = (logs - noise).argmax(-1)
        return actions, logs.gather(-1, actions[:, None]).squeeze(-1), values

    def collect_rollouts(
        self,
        env: VecEnv,
        callback: BaseCallback,
        rollout_buffer: RolloutBuffer,
        n_rollout_steps: int,
        use_masking: bool = True,
    ) -> bool:
        """Fill the buffer; False where the callback ends the training."""
        environment: Any = env
        buffer: Any = rollout_buffer
        buffer.reset()
        callback.on_rollout_start()
        if not callback.on_step():
            return False
        starts: Any = self._last_episode_starts  # type: ignore[has-type]
        ended = []
        with torch.no_grad():
            for step in range(n_rollout_steps):
                buffer.observations[step] = environment.observations
                buffer.action_masks[step] = environment.masks
                buffer.episode_starts[step] = starts
                actions, logs, values = self.act(
                    torch.from_numpy(buffer.observations[step]), torch.from_numpy(environment.masks)
                )
                buffer.values[step], buffer.log_probs[step] = values.numpy(), logs.numpy()
                buffer.actions[step] = actions.numpy()[:, None]
                buffer.rewards[step], starts = environment.advance(actions.numpy())
                ended.append(buffer.rewards[step][starts])
            _, last = self.outputs(torch.from_numpy(environment.observations))
        buffer.pos, buffer.full = n_rollout_steps, True
        self._last_obs, self._last_episode_starts = environment.observations, starts
        self.num_timesteps += n_rollout_steps * env.num_envs
        buffer.compute_returns_and_advantage(last_values=last, dones=starts)
        finished = np.concatenate(ended)
        self.told["episodes"] = float(len(finished))
        if len(finished):
            self.told["earned"] = float(finished.mean())
        callback.on_rollout_end()
        return True

    def train(self) -> None:
        """Learn from the rollout in the buffer."""
        samples, told = Samples.of(self.rollout_buffer), []
        for _ in range(self.settings.epochs):
            told += [self.update(samples.take(index)) for index in self.minibatches(len(samples.actions))]
        self._n_updates += self.settings.epochs
        means = torch.stack(told).mean(0).tolist()
        self.told |= dict(zip(self.losses, means, strict=True))

    def minibatches(self, samples: int) -> Iterable[Tensor]:
        """(B,) indices of each minibatch of a pass over S samples, in a new order."""
        return torch.randperm(samples, generator=self.generator).split(self.settings.minibatch_size)

    @torch.no_grad()
    def update(self, batch: Samples) -> Tensor:
        """One step of Adam on a minibatch; returns (3,) its policy loss, value loss and entropy."""
        settings, size = self.settings, len(batch.actions)
        logits, actor_inputs = forward(self._actor, batch.observations)
        values, critic_inputs = forward(self._critic, batch.observations)
        logs = masked_log_softmax(logits, batch.closed)
        actions = batch.actions[:, None]
        # The clipped surrogate objective, L^CLIP, and the entropy bonus, S, of Schulman et al., equation 9.
        log_ratio = logs.gather(-1, actions).squeeze(-1) - batch.log_probabilities
        policy_loss, in_taken = surrogate_gradient(
            log_ratio, standardised(batch.advantages), settings.clip_range
        )
        entropy, in_logits = logit_gradient(logs, actions, in_taken, settings.entropy_coefficient)
        backward(self._actor, actor_inputs, in_logits)
        # The value network's squared error, L^VF.
        error = values - batch.returns[:, None]
        backward(self._critic, critic_inputs, error * (2.0 * settings.value_coefficient / size))
        self.weights.follow_gradient(most_norm=settings.most_gradient_norm)
        return torch.stack([policy_loss, error.square().mean(), entropy])


def _linear(network: nn.Module) -> list[nn.Linear]:
    """The layers of a network that have weights; what stands between them is tanh."""
    return [layer for layer in network.children() if isinstance(layer, nn.Linear)]

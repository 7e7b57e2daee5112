"""Proximal policy optimisation with invalid actions masked, for hundreds of searches at once.

Schulman et al., "Proximal Policy Optimization Algorithms", 2017; Huang and Ontanon, "A Closer Look at Invalid
Action Masking in Policy Gradient Algorithms", 2022. The algorithm, its network and its buffer are those of
sb3-contrib's MaskablePPO; what is here is the same mathematics with less around it: a test holds an update of
both equal. Rollouts are written into the buffer as whole arrays, minibatches are taken by index, the masked
softmax and the gradient (`ppo_gradient`) are written out, and all weights are one vector, so that Adam and the
gradient's norm are one call each.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import torch
from sb3_contrib import MaskablePPO
from torch import nn
from torch.nn import functional

from lamps_core.errors import LampsError
from lamps_core.policy_training.ppo_gradient import (
    StackedNetworks,
    logit_gradient,
    parameters_in_order,
    surrogate_gradient,
    value_gradient,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

    from stable_baselines3.common.buffers import RolloutBuffer
    from stable_baselines3.common.callbacks import BaseCallback
    from stable_baselines3.common.vec_env import VecEnv
    from torch import Tensor

    from lamps_core.policy_training.ppo_gradient import Numbers
    from lamps_core.policy_training.ppo_settings import PPOSettings


BETAS, EPSILON = (0.9, 0.999), 1e-5  # of Adam, as in stable-baselines3
MASKED = -1e8  # logit of an action that cannot be chosen, as in sb3-contrib


class FlatWeights:
    """The weights of a network as one vector and their gradients as another, and Adam on it.

    Adam (Kingma and Ba, 2015) is the kernel of torch's own, without the bookkeeping of its class, which takes longer.

    Attributes:
        vector: (P,) all weights.
        gradient: (P,) of the last loss.
        state: of Adam: the means of the gradient and of its square, and the number of updates so far.
    """

    def __init__(
        self, parameters: Iterable[torch.nn.Parameter], *, learning_rate: float, networks: int = 1
    ) -> None:
        """Take over parameters: they become views of the vector.

        Args:
            parameters: of one device and type.
            learning_rate: of Adam.
            networks: T, where the parameters are those of T networks of one shape, one network after the other:
                each network's gradient is then shortened by itself.
        """
        own = list(parameters)
        self.vector = torch.cat([one.detach().reshape(-1) for one in own])
        self.gradient = torch.zeros_like(self.vector)
        place = 0
        for one in own:
            part = slice(place, place + one.numel())
            one.data = self.vector[part].view(one.shape)
            one.grad = self.gradient[part].view(one.shape)
            place = part.stop
        self._by_network = self.gradient.view(networks, -1).unbind()
        self._learning_rate = learning_rate
        self.forget()

    def forget(self) -> None:
        """Begin Adam anew."""
        self.state = {
            "mean": torch.zeros_like(self.vector),
            "square": torch.zeros_like(self.vector),
            "updates": torch.zeros(()),
        }

    @torch.no_grad()
    def adam_step(self, *, most_norm: float) -> None:
        """One step of Adam down the gradient, shortened where it is longer than `most_norm`."""
        for part in self._by_network:
            norm = float(torch.linalg.vector_norm(part))
            if norm + 1e-6 > most_norm:
                part.mul_(most_norm / (norm + 1e-6))  # as torch's clip_grad_norm_
        self.state["updates"].add_(1.0)
        torch._fused_adam_(
            [self.vector],
            [self.gradient],
            [self.state["mean"]],
            [self.state["square"]],
            [],
            [self.state["updates"]],
            lr=self._learning_rate,
            beta1=BETAS[0],
            beta2=BETAS[1],
            weight_decay=0.0,
            eps=EPSILON,
            amsgrad=False,
            maximize=False,
        )


def masked_log_softmax(logits: Tensor, mask_logits: Tensor) -> Tensor:
    """(..., m) log probabilities of the actions; those that are masked have none (Huang and Ontanon).

    Args:
        logits: (..., m), overwritten.
        mask_logits: (..., m) as `mask_logits_of`; added in place: to fill in is ten times as slow, for the same 0.
    """
    return functional.log_softmax(logits.add_(mask_logits), dim=-1)


def mask_logits_of(masks: Tensor) -> Tensor:
    """(..., m) what is added to the logits: 0 where a mask lets an action be chosen, else MASKED."""
    return (masks == 0) * MASKED


def standardised(advantages: Numbers) -> Numbers:
    """(..., B) advantages of a minibatch with mean 0 and deviation 1, as in stable-baselines3."""
    count = advantages.shape[-1]
    apart = advantages - advantages.sum(-1, keepdims=True) / count
    deviation = np.sqrt(np.square(apart).sum(-1, keepdims=True) / (count - 1))
    return np.asarray(apart / (deviation + 1e-8))


@dataclass(frozen=True)
class Samples:
    """Steps of episodes as an update reads them.

    Attributes:
        observations: (S, size).
        mask_logits: (S, m) as `mask_logits_of`.
        actions: (S, 1) taken.
        log_probabilities: (S,) of the actions when they were taken.
        advantages: (S,).
        returns: (S,) targets of the value network.
    """

    observations: Tensor
    mask_logits: Tensor
    actions: Tensor
    log_probabilities: Numbers
    advantages: Numbers
    returns: Numbers


class Rollout:
    """All samples of a rollout, step by step, as the rows of one table: a minibatch is one choice of rows."""

    def __init__(self, buffer: Any) -> None:
        """Copy them from a buffer of stable-baselines3."""
        mask_logits = mask_logits_of(torch.from_numpy(buffer.action_masks))
        numbers = (
            buffer.actions,
            buffer.log_probs[..., None],
            buffer.advantages[..., None],
            buffer.returns[..., None],
        )
        parts = [
            torch.from_numpy(buffer.observations),
            mask_logits,
            *(torch.from_numpy(one).float() for one in numbers),
        ]
        self._table = torch.cat(parts, dim=-1).flatten(0, 1)
        self._widths = [part.shape[-1] for part in parts[:2]] + [4]
        self._rows: dict[int, Tensor] = {}

    def __len__(self) -> int:
        return len(self._table)

    def take(self, index: Tensor) -> Samples:
        """Some of the samples, by (...) index, in its order; valid until as many are taken again."""
        rows = self._rows.setdefault(index.numel(), self._table.new_empty(0))
        torch.index_select(self._table, 0, index.flatten(), out=rows)
        seen, mask_logits, numbers = rows.split_with_sizes(self._widths, 1)
        _, logs, advantages, returns = numbers.numpy().T
        return Samples(seen, mask_logits, numbers[:, :1].long(), logs, advantages, returns)


class MaskedPPO(MaskablePPO):
    """MaskablePPO on a `VectorSearchEnvironment`, on this host's CPU.

    Attributes:
        losses: names of what an update returns.
        generator: of the actions and the minibatches.
        scalars: of the last rollout and training.
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
        self.scalars: dict[str, float] = {}
        super().__init__("MlpPolicy", environment, seed=seed, device="cpu", **settings.as_arguments())

    def _setup_model(self) -> None:
        super()._setup_model()
        network: Any = self.policy.mlp_extractor
        actor = [*_linear(network.policy_net), self.policy.action_net]
        critic = [*_linear(network.value_net), self.policy.value_net]
        networks = [actor, critic]
        self.weights = FlatWeights(parameters_in_order(networks), learning_rate=self.settings.learning_rate)
        self.networks, self.actor = StackedNetworks(networks), actor

    def states(self) -> dict[str, FlatWeights]:
        """Everything that learns, by name, for checkpoints."""
        return {"policy": self.weights}

    def outputs(self, observations: Tensor) -> tuple[Tensor, Tensor]:
        """(B, m) logits and (B,) values of (B, size) observations."""
        logits, values = self.networks.forward(observations)
        return logits, values.squeeze(-1)

    def act(self, observations: Tensor, masks: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """(E,) actions drawn from the policy, their log probabilities and the values of what is seen."""
        logits, values = self.outputs(observations)
        logs = masked_log_softmax(logits, mask_logits_of(masks))
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
        self.scalars["episodes"] = float(len(finished))
        if len(finished):
            self.scalars["earned"] = float(finished.mean())
        callback.on_rollout_end()
        return True

    def train(self) -> None:
        """Learn from the rollout in the buffer."""
        rollout, losses = Rollout(self.rollout_buffer), []
        for _ in range(self.settings.epochs):
            losses += [self.update(rollout.take(index)) for index in self.minibatches(len(rollout))]
        self._n_updates += self.settings.epochs
        means = np.mean(losses, axis=0).tolist()
        if not np.isfinite(means).all():
            raise LampsError(
                "the training diverged, its losses are no numbers: give a smaller --set learning_rate"
            )
        self.scalars |= dict(zip(self.losses, means, strict=True))

    def minibatches(self, samples: int) -> Iterable[Tensor]:
        """(B,) indices of each minibatch of a pass over S samples, in a new order."""
        return torch.randperm(samples, generator=self.generator).split(self.settings.minibatch_size)

    @torch.no_grad()
    def update(self, batch: Samples) -> tuple[float, ...]:
        """One step of Adam on a minibatch; returns its policy loss, value loss and entropy."""
        settings, size = self.settings, len(batch.actions)
        logits, values = self.networks.forward(batch.observations)
        logs = masked_log_softmax(logits, batch.mask_logits)
        # The clipped surrogate objective, L^CLIP, and the entropy bonus, S, of Schulman et al., equation 9.
        log_ratio = logs.gather(1, batch.actions).numpy()[:, 0] - batch.log_probabilities
        policy_loss, in_logs = surrogate_gradient(
            log_ratio, standardised(batch.advantages), settings.clip_range, samples=size
        )
        weight = settings.entropy_coefficient / size
        entropy, _ = logit_gradient(logs, batch.actions, in_logs, weight, out=logits)
        value_loss = value_gradient(values, batch.returns, settings.value_coefficient / size)
        self.networks.backward(batch.observations)
        self.weights.adam_step(most_norm=settings.most_gradient_norm)
        return policy_loss, value_loss, entropy


def _linear(network: nn.Module) -> list[nn.Linear]:
    """The layers of a network that have weights; what stands between them is tanh."""
    return [layer for layer in network.children() if isinstance(layer, nn.Linear)]

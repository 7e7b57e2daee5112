"""The gradient of PPO's loss, written out: an update is small, and autograd's bookkeeping costs a third of it.

A test holds it equal to what autograd makes of sb3-contrib's loss. Networks are linear layers with tanh between.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch.nn import functional

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor, nn


def forward(layers: Sequence[nn.Linear], told: Tensor) -> tuple[Tensor, list[Tensor]]:
    """(B, outputs) of a network, and the input of each of its layers."""
    inputs = [told]
    for layer in layers[:-1]:
        inputs.append(functional.linear(inputs[-1], layer.weight, layer.bias).tanh_())
    return functional.linear(inputs[-1], layers[-1].weight, layers[-1].bias), inputs


def backward(layers: Sequence[nn.Linear], inputs: Sequence[Tensor], gradient: Tensor) -> None:
    """Set the gradient of every weight, by the chain rule.

    Args:
        layers: whose parameters have a `grad`, which is overwritten.
        inputs: of each layer.
        gradient: (B, outputs) of the loss in the outputs.
    """
    for index in reversed(range(len(layers))):
        layer: Any = layers[index]
        torch.mm(gradient.t(), inputs[index], out=layer.weight.grad)
        torch.sum(gradient, 0, out=layer.bias.grad)
        if index:
            gradient = torch.ops.aten.tanh_backward(gradient @ layer.weight, inputs[index])


def surrogate_gradient(log_ratio: Tensor, advantages: Tensor, clip_range: float) -> tuple[Tensor, Tensor]:
    """The negated L^CLIP of (B,) samples and its (B,) gradient in the log probabilities of their actions.

    d(ratio) / d(log p) is the ratio; where the clipped term is the smaller one, nothing moves.
    """
    ratio = log_ratio.exp()
    plain, clipped = advantages * ratio, advantages * ratio.clamp(1.0 - clip_range, 1.0 + clip_range)
    moved = torch.where(plain <= clipped, plain, 0.0)
    return -torch.minimum(plain, clipped).mean(), moved / -len(ratio)


def logit_gradient(
    logs: Tensor, actions: Tensor, in_taken: Tensor, entropy_coefficient: float
) -> tuple[Tensor, Tensor]:
    """The mean entropy, and the (B, m) gradient in the logits of the surrogate and of the entropy bonus.

    d(log p_a) / d(z_j) = [j = a] - p_j, and d(S) / d(z_j) = -p_j (log p_j + S).

    Args:
        logs: (B, m) log probabilities; those of masked actions have p = 0 and so no gradient.
        actions: (B, 1) taken.
        in_taken: (B,) gradient in the log probability of the action taken.
        entropy_coefficient: c_2.
    """
    chances = logs.exp()
    products = chances * logs
    negative_entropy = products.sum(-1, keepdim=True)
    gradient = (products - chances * negative_entropy).mul_(entropy_coefficient / len(logs))
    gradient.sub_(chances * in_taken[:, None]).scatter_add_(1, actions, in_taken[:, None])
    return -negative_entropy.mean(), gradient

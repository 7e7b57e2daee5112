"""The networks of PPO and the gradient of its loss, written out: an update is small, and half of it was bookkeeping.

A test holds it equal to what autograd makes of sb3-contrib's loss. Networks are linear layers with tanh between;
those that look at the same input are stacked, so that their first layers, the widest, are one product. All
that is computed on the way lies in arrays that are made once.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
import torch

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt
    from torch import Tensor, nn

    Numbers = npt.NDArray[np.float32]
    Networks = Sequence[Sequence[nn.Linear]]


def parameters_in_order(networks: Networks) -> list[nn.Parameter]:
    """Weights and biases of networks of one depth in the order in which `StackedNetworks` needs them in memory."""
    layers = list(zip(*networks, strict=True))
    return [
        one for layer in layers for one in [*(each.weight for each in layer), *(each.bias for each in layer)]
    ]


class StackedNetworks:
    """Networks of one depth with one input, such as actor and critic; T copies of them, each with its own input."""

    def __init__(self, *copies: Networks) -> None:
        """Prepare.

        Args:
            copies: T times the layers of each network. The parameters of a copy lie in memory one after the other,
                and so do their gradients, in the order of `parameters_in_order`.
        """
        self._copies = [[_Layer.of(layer) for layer in zip(*one, strict=True)] for one in copies]
        self._made: dict[int, _Buffers] = {}

    def forward(self, inputs: Tensor) -> list[Tensor]:
        """(T * B, outputs) of each network, in arrays that the next call with as many inputs overwrites.

        Args:
            inputs: (T * B, inputs): those of the first copy, then those of the second, and so on.
        """
        buffers = self._buffers(len(inputs))
        depth_of_last = len(buffers.outputs) - 1
        each = len(inputs) // len(self._copies)
        for depth, outputs in enumerate(buffers.outputs):
            scale = 1.0 if depth == depth_of_last else 2.0  # twice what `_tanh_of_half` halves
            for copy, layers in enumerate(self._copies):
                layer, parts = layers[depth], buffers.parts[depth][copy]
                if depth == 0:
                    mine = inputs[copy * each : (copy + 1) * each]
                    torch.addmm(
                        layer.bias, mine, layer.joined, beta=scale, alpha=scale, out=buffers.of_copy[0][copy]
                    )
                    continue
                for index, hidden in enumerate(buffers.parts[depth - 1][copy]):
                    bias, weight = layer.biases[index], layer.weights[index]
                    torch.addmm(bias, hidden, weight, beta=scale, alpha=scale, out=parts[index])
            if depth < depth_of_last:
                _tanh_of_half(outputs)
        return buffers.ends

    def backward(self, inputs: Tensor) -> None:
        """Set the gradient of every weight, by the chain rule.

        Args:
            inputs: as in the last `forward`, whose outputs the caller has overwritten with the gradient of the loss
                in them.
        """
        buffers = self._buffers(len(inputs))
        each = len(inputs) // len(self._copies)
        for depth in reversed(range(len(buffers.outputs))):
            last = depth == len(buffers.outputs) - 1
            by_copy, parts = (
                (buffers.of_copy[depth], buffers.parts[depth])
                if last
                else (buffers.gradient_of_copy[depth], buffers.gradient_parts[depth])
            )
            for copy, layers in enumerate(self._copies):
                layer = layers[depth]
                torch.sum(by_copy[copy], 0, out=layer.bias_gradient)
                if depth == 0:
                    mine = inputs[copy * each : (copy + 1) * each]
                    torch.mm(by_copy[copy].t(), mine, out=layer.joined_gradient)
                    continue
                hidden, before = buffers.parts[depth - 1][copy], buffers.gradient_parts[depth - 1][copy]
                for index, gradient in enumerate(parts[copy]):
                    torch.mm(gradient.t(), hidden[index], out=layer.gradients[index])
                    torch.mm(gradient, layer.rows[index], out=before[index])
            if depth:
                gradient = buffers.gradients[depth - 1]
                torch.ops.aten.tanh_backward.grad_input(
                    gradient, buffers.outputs[depth - 1], grad_input=gradient
                )

    def _buffers(self, rows: int) -> _Buffers:
        if rows not in self._made:
            widths = [layer.widths for layer in self._copies[0]]
            self._made[rows] = _Buffers.of(rows, widths, copies=len(self._copies))
        return self._made[rows]


@dataclass(frozen=True)
class _Layer:
    """The layers of all networks of a copy at one depth, as views of their parameters and gradients.

    `rows` (out, in) and `weights` (in, out) are each network's; `joined` (in, all outs) is for the first depth.
    """

    widths: list[int]
    rows: list[Tensor]
    weights: list[Tensor]
    gradients: list[Tensor]
    joined: Tensor
    joined_gradient: Tensor
    biases: list[Tensor]
    bias: Tensor
    bias_gradient: Tensor

    @classmethod
    def of(cls, layers: Sequence[nn.Linear]) -> _Layer:
        rows, gradients = [one.weight.data for one in layers], [_gradient(one.weight) for one in layers]
        return cls(
            widths=[one.out_features for one in layers],
            rows=rows,
            weights=[one.t() for one in rows],
            gradients=gradients,
            joined=_joined(rows).t(),
            joined_gradient=_joined(gradients),
            biases=[one.bias.data for one in layers],
            bias=_joined([one.bias.data for one in layers]),
            bias_gradient=_joined([_gradient(one.bias) for one in layers]),
        )


@dataclass(frozen=True)
class _Buffers:
    """Arrays for one number of inputs: by depth (T * B, outputs of all networks), and views of parts of them.

    `of_copy` is by depth and copy, `parts` by depth, copy and network; `ends` are the last outputs by network.
    """

    outputs: list[Tensor]
    of_copy: Sequence[Sequence[Tensor]]
    parts: Sequence[Sequence[Sequence[Tensor]]]
    ends: list[Tensor]
    gradients: list[Tensor]
    gradient_of_copy: Sequence[Sequence[Tensor]]
    gradient_parts: Sequence[Sequence[Sequence[Tensor]]]

    @classmethod
    def of(cls, rows: int, widths: list[list[int]], *, copies: int) -> _Buffers:
        outputs = [torch.empty(rows, sum(one)) for one in widths]
        gradients = [torch.empty(rows, sum(one)) for one in widths[:-1]]
        of_copy = [out.chunk(copies) for out in outputs]
        gradient_of_copy = [out.chunk(copies) for out in gradients]
        return cls(
            outputs=outputs,
            of_copy=of_copy,
            parts=[[one.split(wide, 1) for one in out] for out, wide in zip(of_copy, widths, strict=True)],
            ends=list(outputs[-1].split(widths[-1], 1)),
            gradients=gradients,
            gradient_of_copy=gradient_of_copy,
            gradient_parts=[
                [one.split(wide, 1) for one in out]
                for out, wide in zip(gradient_of_copy, widths, strict=False)
            ],
        )


def _tanh_of_half(twice: Tensor) -> None:
    """tanh(x / 2) in place: 2 sigmoid(x) - 1, in half the time of torch's tanh and within 2e-7 of it."""
    twice.sigmoid_().mul_(2.0).sub_(1.0)


def _gradient(parameter: Tensor) -> Tensor:
    gradient = parameter.grad
    if gradient is None:
        raise ValueError("a parameter has no gradient: it is not part of a FlatWeights")
    return gradient


def _joined(tensors: Sequence[Tensor]) -> Tensor:
    """Tensors that lie one after the other in memory as one, along their first dimension."""
    first, rows = tensors[0], sum(len(one) for one in tensors)
    for one, following in pairwise(tensors):
        if following.data_ptr() != one.data_ptr() + one.numel() * one.element_size():
            raise ValueError("the parameters do not lie one after the other: see parameters_in_order")
    return first.as_strided((rows, *first.shape[1:]), first.stride())


def surrogate_gradient(
    log_ratio: Numbers, advantages: Numbers, clip_range: float, *, samples: int
) -> tuple[float, Numbers]:
    """The negated L^CLIP, and its (T * B,) gradient in the log probabilities of the actions taken.

    d(ratio) / d(log p) is the ratio; where the clipped term is the smaller one, nothing moves. In numpy, as a call of
    torch takes longer than its work on so few numbers.

    Args:
        log_ratio: (T * B,).
        advantages: (T * B,).
        clip_range: of the ratio.
        samples: B, over which the loss of each of the T copies is a mean.
    """
    ratio = np.exp(log_ratio)
    plain = ratio * advantages
    clipped = np.minimum(np.maximum(ratio, 1.0 - clip_range), 1.0 + clip_range) * advantages
    gradient = (plain <= clipped) * plain
    gradient *= -1.0 / samples
    return -float(np.minimum(plain, clipped).sum()) / len(plain), gradient


def logit_gradient(
    logs: Tensor, actions: Tensor, in_taken: Numbers, entropy_weight: float, *, out: Tensor
) -> tuple[float, Tensor]:
    """The gradient in the logits of the surrogate and of the entropy bonus, into `out`.

    d(log p_a) / d(z_j) = [j = a] - p_j, and d(S) / d(z_j) = -p_j (log p_j + S).

    Args:
        logs: (T * B, m) log probabilities; those of masked actions have p = 0 and so no gradient.
        actions: (T * B, 1) taken.
        in_taken: (T * B,) gradient in the log probability of the action taken.
        entropy_weight: c_2 / B.
        out: (T * B, m).

    Returns:
        The mean entropy, and (T * B, m) the probabilities.
    """
    probabilities, of_taken = logs.exp(), torch.from_numpy(in_taken)[:, None]
    products = torch.mul(probabilities, logs, out=out)
    negative_entropy = products.sum(-1, keepdim=True)
    torch.add(torch.sub(negative_entropy * -entropy_weight, of_taken), logs, alpha=entropy_weight, out=out)
    out.mul_(probabilities).scatter_add_(1, actions, of_taken)
    return -float(negative_entropy.numpy().sum()) / len(logs), probabilities


def value_gradient(values: Tensor, returns: Numbers, weight: float) -> float:
    """The mean squared error, L^VF; its gradient takes the place of the values.

    Args:
        values: (T * B, 1), overwritten.
        returns: (T * B,).
        weight: c_1 / B.
    """
    error = values.numpy()[:, 0]
    error -= returns
    mean = float(error @ error) / len(error)
    error *= 2.0 * weight
    return mean

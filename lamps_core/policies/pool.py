"""A trained policy that knows its candidates by name: a small network over what `PoolLayout` shows of them.

Owns how weights become a decision; needs no torch. Knows nothing of how they were trained.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from lamps_core.errors import BadInput
from lamps_core.policies.pool_layout import PoolLayout

if TYPE_CHECKING:
    from lamps_core.policies.pool_layout import Vector
    from lamps_core.policies.protocol import Observation
    from lamps_core.policy_file import PolicyCard, PolicyFile
    from lamps_core.task import BoolArray, IntArray

NETWORK = "mlp"


class PoolNetwork:
    """Logits of the candidates of a pool: linear layers with tanh between.

    Attributes:
        layers: weight (outputs, inputs) and bias of each.
    """

    def __init__(self, layers: list[tuple[Vector, Vector]]) -> None:
        self.layers = layers

    def logits(self, observations: Vector) -> Vector:
        """(..., m) from (..., size)."""
        hidden = observations
        for weight, bias in self.layers[:-1]:
            hidden = np.tanh(hidden @ weight.T + bias)
        weight, bias = self.layers[-1]
        return hidden @ weight.T + bias

    def best(self, observations: Vector, masks: BoolArray) -> IntArray:
        """(...) the candidate of the largest logit among those that may be chosen; the first of equal ones."""
        chosen: IntArray = np.where(masks, self.logits(observations), -np.inf).argmax(axis=-1)
        return chosen


def layer_names(count: int) -> list[tuple[str, str]]:
    """Weight and bias of each of so many layers, in the order of their use."""
    return [(f"layer_{index}.weight", f"layer_{index}.bias") for index in range(count)]


class PoolPolicy:
    """Decides greedily (Algorithm 1, line 5).

    Attributes:
        name: what it is called.
    """

    def __init__(self, file: PolicyFile, *, name: str) -> None:
        """Take in the weights.

        Args:
            file: of a policy of kind `pool`.
            name: what to call it.

        Raises:
            BadInput: the weights are not those of the network that the card names.
        """
        self.name = name
        self._layout = PoolLayout(file.card.candidates, file.card.objectives)
        self._network = PoolNetwork(_layers(file, name))

    def select(self, observation: Observation) -> int:
        """See `Policy`; candidates may be missing, in any order.

        Raises:
            BadInput: one that the policy does not know.
        """
        places = self._layout.places(observation.names)
        logits = self._network.logits(self._layout.vector(observation))[places]
        return int(np.where(observation.mask, logits, -np.inf).argmax())


def _layers(file: PolicyFile, name: str) -> list[tuple[Vector, Vector]]:
    """The layers, in float32, of exactly the shapes that the card implies."""
    sizes = _sizes(file.card, name)
    expected: dict[str, tuple[int, ...]] = {}
    names = layer_names(len(sizes) - 1)
    for (weight, bias), inputs, outputs in zip(names, sizes, sizes[1:], strict=False):
        expected |= {weight: (outputs, inputs), bias: (outputs,)}
    found = {one: array.shape for one, array in file.weights.items()}
    if odd := sorted(one for one in expected.keys() | found.keys() if expected.get(one) != found.get(one)):
        shape = f"{found[odd[0]]}" if odd[0] in found else "missing"
        raise BadInput(f"{name}: its weights are not of its network: {odd[0]} is {shape}")
    return [
        (file.weights[weight].astype(np.float32), file.weights[bias].astype(np.float32))
        for weight, bias in names
    ]


def _sizes(card: PolicyCard, name: str) -> list[int]:
    """Units of each layer, inputs first."""
    widths = card.network.get("widths")
    if card.kind != "pool" or card.network.get("kind") != NETWORK or not isinstance(widths, list):
        raise BadInput(f"{name}: its network {card.network} is none of a pool policy's")
    if not all(isinstance(width, int) and width > 0 for width in widths):
        raise BadInput(f"{name}: its network's widths {widths} are not numbers of units")
    layout = PoolLayout(card.candidates, card.objectives)
    return [layout.size, *widths, len(card.candidates)]

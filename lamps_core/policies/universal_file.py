"""A universal policy from its file: the networks with their weights, and the policy around them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from lamps_core.errors import BadInput
from lamps_core.policies.curve_network import CurveForecaster, CurveNetwork
from lamps_core.policies.universal import COSTS, LOSSES, UniversalPolicy

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from lamps_core.objectives import Objective
    from lamps_core.policy_file import PolicyFile

# In training and when networks are asked: see `curve_tokens.observed`.
GROWS_WITH_SIZE = {LOSSES: False, COSTS: True}


def load(file: PolicyFile, *, name: str, objectives: Sequence[Objective]) -> UniversalPolicy:
    """The policy of a file; see `trained.Load`.

    Raises:
        BadInput: the file is of another kind, or its weights are not those of these networks.
    """
    file.card.check_kind("universal", place=name)
    forecasters = {
        number: CurveForecaster(networks_of(file, number, name), grows_with_size=grows)
        for number, grows in GROWS_WITH_SIZE.items()
    }
    return UniversalPolicy(forecasters, objectives=objectives, name=name)


def networks_of(file: PolicyFile, number: str, name: str) -> list[CurveNetwork]:
    """The networks that forecast one number.

    Args:
        file: of a universal policy.
        number: LOSSES or COSTS.
        name: what to call the policy.

    Raises:
        BadInput: the weights are not those of these networks.
    """
    members = len({key.split(".")[0] for key in file.part(number)})
    return [_network(file.part(f"{number}.{member}"), name) for member in range(max(1, members))]


def _network(weights: Mapping[str, np.ndarray], name: str) -> CurveNetwork:
    network = CurveNetwork()
    try:
        network.load_state_dict({key: torch.from_numpy(np.array(value)) for key, value in weights.items()})
    except RuntimeError:
        raise BadInput(
            f"{name}: its weights are not those of this version's universal policy: train it again, "
            "or use the one that ships (--policy universal)"
        ) from None
    return network

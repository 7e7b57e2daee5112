"""A trained policy from its file, or by its path: read, checked against what is searched, made ready to decide.

Owns which algorithm's weights are read by what. Nothing heavy is imported before one is used.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from lamps_core.errors import no_such
from lamps_core.hub.download import find
from lamps_core.objectives import parse_objectives
from lamps_core.policy_file import read_policy

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lamps_core.objectives import Objective
    from lamps_core.policies.protocol import Policy
    from lamps_core.policy_file import PolicyFile


class Load(Protocol):
    """Makes a policy of what lies on disk."""

    def __call__(self, file: PolicyFile, *, name: str, objectives: Sequence[Objective]) -> Policy:
        """The policy, deciding greedily.

        Args:
            file: what lies on disk.
            name: in results.
            objectives: of the observations, which the card fits.

        Raises:
            BadInput: the weights are not those of the network that the card names.
        """
        ...


def looks_like_a_path(name: str) -> bool:
    """Whether a policy's name means a folder or a `.zip`, rather than a method."""
    return bool(name) and ("/" in name or name.lower().endswith(".zip") or Path(name).exists())


def load_trained(place: str | Path, *, candidates: Sequence[str], objectives: Sequence[Objective]) -> Policy:
    """The policy that lies there, or on the hub.

    Args:
        place: as `hub.download.find` takes it.
        candidates: of the search.
        objectives: of the search, in order.

    Raises:
        BadInput: there is none, it is broken, or it does not fit the search.
    """
    found = find(str(place))
    file = read_policy(found.path)
    file.card.check_fits(candidates, objectives, place=f"--policy {place}")
    return load_policy_file(file, name=found.name, objectives=objectives)


def load_policy_file(file: PolicyFile, *, name: str, objectives: Sequence[Objective] | None = None) -> Policy:
    """The policy of a file, deciding greedily.

    Args:
        file: what lies on disk.
        name: in results.
        objectives: of the observations, which the card fits; None for the default ones.

    Raises:
        BadInput: there is no such algorithm, or the weights are not those of the network that the card names.
    """
    if file.card.algorithm not in LOADERS:
        raise no_such("--algorithm", file.card.algorithm, "algorithm", LOADERS)
    asked = parse_objectives() if objectives is None else objectives
    return LOADERS[file.card.algorithm](file, name=name, objectives=asked)


def _forecast(file: PolicyFile, *, name: str, objectives: Sequence[Objective]) -> Policy:
    del objectives  # those of its card
    from lamps_core.policies.forecast import load

    return load(file, name=name)


def _pool(file: PolicyFile, *, name: str, objectives: Sequence[Objective]) -> Policy:
    del objectives  # those of its card
    from lamps_core.policies.pool import PoolPolicy

    return PoolPolicy(file, name=name)


def _universal(file: PolicyFile, *, name: str, objectives: Sequence[Objective]) -> Policy:
    from lamps_core.policies.universal_file import load

    return load(file, name=name, objectives=objectives)


# By the name of the algorithm that trained the policy.
LOADERS: dict[str, Load] = {
    "forecast": _forecast,
    "distral": _pool,
    "ppo": _pool,
    "universal": _universal,
}

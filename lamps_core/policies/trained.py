"""A trained policy by its path: read, checked against what is searched, made ready to decide."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from lamps_core.hub_download import find
from lamps_core.policy_file import read_policy

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lamps_core.objectives import Objective
    from lamps_core.policies import Policy


def looks_like_a_path(name: str) -> bool:
    """Whether a policy's name means a folder or a `.zip`, rather than a method."""
    return bool(name) and ("/" in name or name.lower().endswith(".zip") or Path(name).exists())


def load_trained(place: str | Path, *, candidates: Sequence[str], objectives: Sequence[Objective]) -> Policy:
    """The policy that lies there, or on the hub.

    Args:
        place: as `hub_download.find` takes it.
        candidates: of the search.
        objectives: of the search, in order.

    Raises:
        BadInput: there is none, it is broken, or it does not fit the search.
    """
    from lamps_core.policy_training.algorithms import algorithm

    found = find(str(place))
    file = read_policy(found.path)
    file.card.check_fits(candidates, objectives, place=f"--policy {place}")
    return algorithm(file.card.algorithm).load(file, name=found.name, objectives=objectives)

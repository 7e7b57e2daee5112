"""Policies by name: the methods that a search can use, the policy that ships, and trained ones by their path."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from lamps_core.errors import no_such
from lamps_core.hub.download import Found, find
from lamps_core.objectives import parse_objectives
from lamps_core.policies.ats import AcceptThenStop
from lamps_core.policies.blind import Blind
from lamps_core.policies.mo_asha import MultiObjectiveAsha
from lamps_core.policies.ordered import Cheapest, ZigZag
from lamps_core.policies.stopping import Forecaster
from lamps_core.policies.trained import load_trained, looks_like_a_path
from lamps_core.policy_file import read_policy
from lamps_core.resources import data_path

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from lamps_core.objectives import Objective
    from lamps_core.policies.protocol import Policy
    from lamps_core.policies.universal import UniversalPolicy
    from lamps_core.policy_file import PolicyFile


UNIVERSAL = "universal"  # ships trained, and decides where nothing else is asked for
DEFAULT_POLICY = UNIVERSAL


def load_policy(
    name: str,
    *,
    seed: int = 0,
    objectives: Sequence[Objective] | None = None,
    candidates: Sequence[str] = (),
) -> Policy:
    """The policy of that name, which a real search can use: none needs to know the answers.

    Args:
        name: one of `POLICIES`, or a trained one: its path, or `org/name[@revision]` of the hub.
        seed: of a random policy.
        objectives: those of the observations, for a policy that reads them; None for the default ones.
        candidates: of the search, which a trained policy may not know.

    Raises:
        BadInput: no such policy, or one that does not fit.
    """
    asked = parse_objectives() if objectives is None else objectives
    if name not in POLICIES and looks_like_a_path(name):
        return load_trained(name, candidates=candidates, objectives=asked)
    if name not in POLICIES:
        trained = ", and the folder, .zip or hub id of a trained one"
        raise no_such("--policy", name, "policy", POLICIES, more=trained)
    return POLICIES[name](seed, asked)


def load_universal(objectives: Sequence[Objective]) -> UniversalPolicy:
    """The universal policy that ships, for some objectives."""
    from lamps_core.policies.universal_file import load

    return load(_shipped(UNIVERSAL), name=UNIVERSAL, objectives=objectives)


def load_forecaster(policy: Policy, objectives: Sequence[Objective]) -> Forecaster:
    """What says how much a search has still to win: the policy where it can, else the universal one that ships.

    Args:
        policy: of the search.
        objectives: of the search.
    """
    return policy if isinstance(policy, Forecaster) else load_universal(objectives)


@cache
def _shipped(name: str) -> PolicyFile:
    return read_policy(shipped_policy(name))


def policy_found(name: str) -> Found | None:
    """Where a trained policy lies, the one that ships or a user's own; None for a method, which has no file."""
    if name == UNIVERSAL:
        return find(str(shipped_policy(name)))
    return None if name in POLICIES else find(name)


def shipped_policy(name: str) -> Path:
    """The file of a trained policy that ships with LAMPS, by its name."""
    return data_path(f"policies/{name}.zip")


def _ehvi(objectives: Sequence[Objective]) -> Policy:
    from lamps_core.policies.ehvi import ExpectedImprovement  # 1.6 s of torch and BoTorch

    return ExpectedImprovement(objectives)


POLICIES: dict[str, Callable[[int, Sequence[Objective]], Policy]] = {
    UNIVERSAL: lambda _seed, objectives: load_universal(objectives),
    "cheapest": lambda _seed, _objectives: Cheapest(),
    "zigzag": lambda _seed, _objectives: ZigZag(),
    "blind": lambda seed, _objectives: Blind(seed=seed),
    "mo_asha": lambda _seed, _objectives: MultiObjectiveAsha(),
    "ehvi": lambda _seed, objectives: _ehvi(objectives),
    "ats": lambda _seed, objectives: AcceptThenStop(objectives),
}

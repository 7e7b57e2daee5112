"""What decides which candidate gets the next landmark step.

A policy is any object with a `name` and a `select`; it sees an `Observation` and answers with a candidate's
index. Masking is the caller's: a candidate that may not be chosen is False in `Observation.mask`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache
from typing import TYPE_CHECKING, Protocol

from lamps_core.errors import no_such
from lamps_core.hub_download import Found, find
from lamps_core.landmarks import LANDMARKS
from lamps_core.objectives import parse_objectives
from lamps_core.policies.trained import load_trained, looks_like_a_path
from lamps_core.policy_file import read_policy
from lamps_core.resources import data_path
from lamps_core.stopping import Forecaster

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    import numpy as np

    from lamps_core.objectives import Objective
    from lamps_core.policies.universal import UniversalPolicy
    from lamps_core.policy_file import PolicyFile


UNIVERSAL = "universal"  # ships trained, and decides where nothing else is asked for
DEFAULT_POLICY = UNIVERSAL


@dataclass(frozen=True, kw_only=True)
class Observation:
    """What a policy sees before each action (paper, Section 5), of m candidates and n objectives.

    Attributes:
        names: (m,) candidate names.
        objectives: (m, n) minimised values so far; NaN where unknown.
        steps: (m,) landmark steps done, the zero-shot evaluation not counted; -1 before it.
        parameters: (m,) parameters of each candidate; NaN before its zero-shot evaluation.
        epoch_cost: (m,) expected cost of one full training epoch, relative to the others' (counted operations, not the
            clock, so that its noise changes no decision); NaN where unknown.
        losses: (m,) evaluation losses of each curve so far.
        step_seconds: (m,) seconds of each step so far.
        complete: (m,) True where the stopping criterion is met.
        mask: (m,) True where a step may be started.
        pending: (m,) True where a step runs now, of which nothing is known yet; its mask is False.
        decision: number of outcomes so far, and of steps that run: seeds a random policy, so that a resumed search
            decides alike.
        spent_seconds: cost so far.
        budget_share: share of the budget spent, 0 to 1; 0 without a budget.
        curves: (m,) of (steps + 1, n) minimised objectives after each step so far, the last row as in `objectives`;
            NaN where unknown. Empty where whoever observes keeps none: policies that read the past refuse that.
        bounds: (n,) f_max of each objective, minimised; infinite where there is none. Empty where none has one.
        landmarks: K, after which each step is a full epoch.
    """

    names: tuple[str, ...]
    objectives: np.ndarray
    steps: np.ndarray
    parameters: np.ndarray
    epoch_cost: np.ndarray
    losses: tuple[tuple[float, ...], ...]
    step_seconds: tuple[tuple[float, ...], ...]
    complete: np.ndarray
    mask: np.ndarray
    pending: np.ndarray
    decision: int
    spent_seconds: float
    budget_share: float
    curves: tuple[np.ndarray, ...] = ()
    bounds: tuple[float, ...] = ()
    landmarks: int = LANDMARKS

    def of(self, places: Sequence[int] | np.ndarray) -> Observation:
        """The same search seen of some candidates, in the order of their places; what was spent is spent."""
        return replace(
            self,
            names=tuple(self.names[place] for place in places),
            objectives=self.objectives[places],
            steps=self.steps[places],
            parameters=self.parameters[places],
            epoch_cost=self.epoch_cost[places],
            losses=tuple(self.losses[place] for place in places),
            step_seconds=tuple(self.step_seconds[place] for place in places),
            complete=self.complete[places],
            mask=self.mask[places],
            pending=self.pending[places],
            curves=tuple(self.curves[place] for place in places) if self.curves else (),
        )


class Policy(Protocol):
    """The interface of every policy, fixed or learned."""

    @property
    def name(self) -> str:
        """What the policy is called in results."""
        ...

    def select(self, observation: Observation) -> int:
        """The index of the candidate to run one more step of; its `mask` is True.

        Called only while at least one candidate may be chosen.
        """
        ...


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


# Each is imported when asked for: `ehvi` alone brings 1.6 s of torch and BoTorch.


def _cheapest(_seed: int, _objectives: Sequence[Objective]) -> Policy:
    from lamps_core.policies.ordered import Cheapest

    return Cheapest()


def _zigzag(_seed: int, _objectives: Sequence[Objective]) -> Policy:
    from lamps_core.policies.ordered import ZigZag

    return ZigZag()


def _blind(seed: int, _objectives: Sequence[Objective]) -> Policy:
    from lamps_core.policies.blind import Blind

    return Blind(seed=seed)


def _mo_asha(_seed: int, _objectives: Sequence[Objective]) -> Policy:
    from lamps_core.policies.mo_asha import MultiObjectiveAsha

    return MultiObjectiveAsha()


def _ehvi(_seed: int, objectives: Sequence[Objective]) -> Policy:
    from lamps_core.policies.ehvi import ExpectedImprovement

    return ExpectedImprovement(objectives)


def _ats(_seed: int, objectives: Sequence[Objective]) -> Policy:
    from lamps_core.policies.ats import AcceptThenStop

    return AcceptThenStop(objectives)


def load_universal(objectives: Sequence[Objective]) -> UniversalPolicy:
    """The universal policy that ships, for some objectives."""
    from lamps_core.policy_training.universal import load

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


POLICIES: dict[str, Callable[[int, Sequence[Objective]], Policy]] = {
    UNIVERSAL: lambda _seed, objectives: load_universal(objectives),
    "cheapest": _cheapest,
    "zigzag": _zigzag,
    "blind": _blind,
    "mo_asha": _mo_asha,
    "ehvi": _ehvi,
    "ats": _ats,
}

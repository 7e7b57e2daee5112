"""What decides which candidate gets the next landmark step.

A policy is any object with a `name` and a `select`; it sees an `Observation` and answers with a candidate's
index. Masking is the caller's: a candidate that may not be chosen is False in `Observation.mask`.
"""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from lamps_core.errors import BadInput

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np


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
        decision: number of outcomes so far: seeds a random policy, so that a resumed search decides alike.
        spent_seconds: cost so far.
        budget_share: share of the budget spent, 0 to 1; 0 without a budget.
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
    decision: int
    spent_seconds: float
    budget_share: float


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


def load_policy(name: str, *, seed: int = 0) -> Policy:
    """The policy of that name.

    Args:
        name: `cheapest`, `zigzag` or `blind`.
        seed: of a random policy.

    Raises:
        BadInput: no such policy.
    """
    from lamps_core.policies.blind import Blind
    from lamps_core.policies.ordered import Cheapest, ZigZag

    policies: dict[str, Callable[[], Policy]] = {
        "cheapest": Cheapest,
        "zigzag": ZigZag,
        "blind": lambda: Blind(seed=seed),
    }
    if name not in policies:
        close = difflib.get_close_matches(name, policies, n=1)
        hint = f"; did you mean {close[0]}?" if close else ""
        raise BadInput(f"--policy {name}: no such policy{hint} (there are {', '.join(policies)})")
    return policies[name]()

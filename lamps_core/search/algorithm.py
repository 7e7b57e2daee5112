"""Algorithm 1 of the paper as ask and tell: which step comes next, and which candidates are on the front.

Knows nothing of processes, files or Prefect: it is told what came of each step and says what to do. The same
outcomes told in the same order, with the same steps in flight, give the same answers, which is how a search
resumes.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from lamps_core import front
from lamps_core.landmarks import LANDMARKS
from lamps_core.objectives import bounds_of
from lamps_core.policies.protocol import Observation
from lamps_core.policies.stopping import prospect_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lamps_core.objectives import Objective
    from lamps_core.policies.protocol import Policy
    from lamps_core.policies.stopping import Forecaster, Prospect
    from lamps_core.search.budget import Budget


@dataclass(frozen=True)
class Action:
    """One landmark step to run."""

    candidate: str
    step: int


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What came of an action.

    Attributes:
        kind: `step` was done; `failed` for good; `cut` by the budget, leaving nothing but its seconds.
        candidate: its name.
        step: the landmark step; 0 is the zero-shot evaluation.
        seconds: what it cost: `step_seconds` of a step that was done, and the seconds of attempts that died.
        record: the step's row, of a step that was done.
        error: why, of a failed one.
        passing: whether the next run is to try a failed one anew: the reason may have passed by then.
    """

    kind: Literal["step", "failed", "cut"]
    candidate: str
    step: int
    seconds: float
    record: dict[str, Any] | None = None
    error: str | None = None
    passing: bool = False


@dataclass
class CandidateState:
    """What is known of one candidate.

    Attributes:
        name: its stable name.
        rows: the records of its steps, step 0 first.
        curve: the minimised objectives after each of them, NaN where unknown.
        error: why it failed, if it did.
        failed_step: the step at which it failed.
        failed_seconds: what the attempts at that step cost.
        passing: whether it failed for a reason that may pass.
        running: whether a step is in flight.
    """

    name: str
    rows: list[dict[str, Any]] = field(default_factory=list)
    curve: list[list[float]] = field(default_factory=list)
    error: str | None = None
    failed_step: int | None = None
    failed_seconds: float = 0.0
    passing: bool = False
    running: bool = False

    @property
    def complete(self) -> bool:
        """Whether it met its stopping criterion."""
        return bool(self.rows) and bool(self.rows[-1]["complete"])

    @property
    def next_step(self) -> int:
        """The first step it has no record of."""
        return len(self.rows)

    def forget_failure(self) -> None:
        """It is tried again; the seconds that the failure took stay spent."""
        self.error, self.failed_step, self.failed_seconds, self.passing = None, None, 0.0, False

    @property
    def losses(self) -> tuple[float, ...]:
        """Evaluation losses, step 0 first."""
        return tuple(row["test_loss"] for row in self.rows)


class Search:
    """The state of a search: ask for an action, run it, tell what came of it."""

    def __init__(
        self,
        names: Sequence[str],
        *,
        policy: Policy,
        objectives: Sequence[Objective],
        budget: Budget,
        forecaster: Forecaster | None = None,
        landmarks: int = LANDMARKS,
    ) -> None:
        """Begin with no step done.

        Args:
            names: the candidates, each once.
            policy: chooses after every candidate's zero-shot evaluation.
            objectives: what to minimise.
            budget: when to stop.
            forecaster: forecasts how much is still to be won; without one that is unknown.
            landmarks: K.
        """
        self.candidates = {name: CandidateState(name) for name in names}
        self.policy = policy
        self.objectives = tuple(objectives)
        self.budget = budget
        self.forecaster = forecaster
        self.landmarks = landmarks
        self.spent_seconds = 0.0
        self.steps = 0
        self._outcomes = 0
        self._cut = False
        self._interrupted: list[str] = []  # candidates whose step was in flight when an earlier run died
        self._prospect: tuple[int, Prospect | None] = (-1, None)  # and after how many outcomes

    @property
    def running(self) -> int:
        """Steps in flight."""
        return sum(candidate.running for candidate in self.candidates.values())

    def ask(self) -> Action | None:
        """The next step to run, now in flight; None while there is nothing (more) to start.

        With nothing in flight either, the search has ended: the budget is spent, too little is still to be won, or no
        candidate is left.
        """
        if self._cut or self.budget.exhausted(self.spent_seconds, self.steps + self.running):
            return None
        name = self._interrupted.pop(0) if self._interrupted else self._decided()
        if name is None:
            return None
        self.candidates[name].running = True
        return Action(name, self.candidates[name].next_step)

    def begin(self, action: Action) -> None:
        """Take in that an action was started in an earlier run; `tell` says what came of it, if anything did.

        Raises:
            ValueError: it cannot be the candidate's next step.
        """
        candidate = self.candidates[action.candidate]
        if action.step != candidate.next_step or candidate.complete:
            raise ValueError(f"step {action.step} of {action.candidate} cannot have begun")
        candidate.forget_failure()
        candidate.running = True

    def tell(self, outcome: Outcome) -> None:
        """Take in what came of an action, asked for in this run or in one before it."""
        candidate = self.candidates[outcome.candidate]
        candidate.running = False
        candidate.forget_failure()
        self.spent_seconds += outcome.seconds
        if outcome.kind == "cut":
            self._cut = True
            return
        self._outcomes += 1
        self.steps += 1
        if outcome.record is not None:
            candidate.rows.append(outcome.record)
            candidate.curve.append(self.values(candidate))
        else:
            candidate.error, candidate.failed_step = outcome.error, outcome.step
            candidate.failed_seconds, candidate.passing = outcome.seconds, outcome.passing

    def resume(self, *, retry_failed: bool = False) -> None:
        """Go on after earlier runs, whose budget does not end this one.

        Steps that they left in flight are asked for again before the policy decides, since it needs their outcomes.
        Candidates that failed for a passing reason may run again.

        Args:
            retry_failed: those that failed for another reason may, too.
        """
        self._cut = False
        for state in self.candidates.values():
            if state.passing or retry_failed:
                state.forget_failure()
            if state.running:
                self._interrupted.append(state.name)
                state.running = False

    def _decided(self) -> str | None:
        name = self._next_zero_shot()
        if name is None and not self._evaluating_zero_shot() and not self.stopped():
            name = self._chosen()
        return name

    def _next_zero_shot(self) -> str | None:
        """Algorithm 1, line 3: every candidate is evaluated before the policy is asked."""
        waiting = (c for c in self.candidates.values() if not c.rows and c.error is None and not c.running)
        return next((candidate.name for candidate in waiting), None)

    def _evaluating_zero_shot(self) -> bool:
        return any(candidate.running and not candidate.rows for candidate in self.candidates.values())

    def _chosen(self) -> str | None:
        """Algorithm 1, line 5."""
        observation = self.observation()
        if not observation.mask.any():
            return None
        index = self.policy.select(observation)
        if not observation.mask[index]:
            raise ValueError(f"policy {self.policy.name} chose {observation.names[index]}, which is masked")
        return observation.names[index]

    def prospect(self) -> Prospect | None:
        """What is still to be won; None while that is unknown, as before all zero-shot evaluations are done."""
        if self.forecaster is None or not all(
            c.rows or c.error is not None for c in self.candidates.values()
        ):
            return None
        if self._prospect[0] != self._outcomes:
            self._prospect = self._outcomes, prospect_of(self.forecaster, self.observation())
        return self._prospect[1]

    def stopped(self) -> bool:
        """Whether too little is still to be won for the budget `auto`; never before a candidate is on the front.

        Depends on the outcomes alone: that of a step in flight may change it, and the search goes on.
        """
        rule = self.budget.stop
        if rule is None or not self.front() or not any(map(self._may_run, self.candidates.values())):
            return False
        prospect = self.prospect()
        return prospect is not None and rule.met(prospect, self.spent_seconds)

    def observation(self) -> Observation:
        """What the policy sees now."""
        states = list(self.candidates.values())
        return Observation(
            names=tuple(self.candidates),
            objectives=np.array([self.values(state) for state in states]),
            steps=np.array([state.next_step - 1 for state in states]),
            parameters=np.array([_first_row(state, "parameters") for state in states]),
            epoch_cost=np.array([_epoch_flops(state) for state in states]),
            losses=tuple(state.losses for state in states),
            step_seconds=tuple(tuple(row["step_seconds"] for row in state.rows) for state in states),
            complete=np.array([state.complete for state in states]),
            mask=np.array([self._may_run(state) for state in states]),
            pending=np.array([state.running for state in states]),
            decision=self._outcomes + self.running,
            spent_seconds=self.spent_seconds,
            budget_share=self.budget.share(self.spent_seconds, self.steps),
            curves=tuple(np.array(state.curve).reshape(-1, len(self.objectives)) for state in states),
            bounds=bounds_of(self.objectives),
            landmarks=self.landmarks,
        )

    def values(self, state: CandidateState) -> list[float]:
        """The (n,) minimised objectives of a candidate so far, NaN where unknown."""
        found = [objective.value(state.rows) for objective in self.objectives]
        return [np.nan if value is None else value for value in found]

    def _may_run(self, state: CandidateState) -> bool:
        idle = not (state.complete or state.running or state.error is not None)
        return idle and not self.out_of_bounds(state)

    def out_of_bounds(self, state: CandidateState) -> bool:
        """Whether a cost that only grows has already passed its bound (equation 1): it can never recover."""
        monotone = {objective.column for objective in self.objectives if objective.monotone}
        return not monotone.isdisjoint(self.beyond(state))

    def beyond(self, state: CandidateState) -> list[str]:
        """The objectives past their bound for good: those that only grow, and of a complete candidate all."""
        return [
            objective.column
            for objective, value in zip(self.objectives, self.values(state), strict=True)
            if (objective.monotone or state.complete)
            and objective.bound is not None
            and not np.isnan(value)
            and not value <= objective.bound
        ]

    def complete(self) -> list[CandidateState]:
        """The complete candidates whose every objective is known, X of Algorithm 1."""
        return [s for s in self.candidates.values() if s.complete and not np.isnan(self.values(s)).any()]

    def points(self, states: Sequence[CandidateState]) -> np.ndarray:
        """(m, n) minimised objectives of some candidates."""
        return np.array([self.values(state) for state in states]).reshape(len(states), len(self.objectives))

    def front(self) -> list[CandidateState]:
        """Algorithm 1, line 12: complete, within the bounds, dominated by no other; ordered by the first objective."""
        states = self.complete()
        if not states:
            return []
        points = self.points(states)
        within = np.flatnonzero(front.feasible(points, [objective.bound for objective in self.objectives]))
        kept = within[front.non_dominated(points[within])]
        order = kept[np.lexsort(points[kept].T[::-1])]
        return [states[index] for index in order]

    def reference_point(self) -> np.ndarray | None:
        """(n,) upper corner of the hypervolume; None while no candidate is complete."""
        states = self.complete()
        bounds = [objective.bound for objective in self.objectives]
        return front.reference_point(self.points(states), bounds) if states else None

    def hypervolume(self) -> float:
        """Of the complete candidates, up to `reference_point` (Definition 4)."""
        reference = self.reference_point()
        return 0.0 if reference is None else front.hypervolume(self.points(self.complete()), reference)


def _first_row(state: CandidateState, column: str) -> float:
    return float(state.rows[0][column]) if state.rows else np.nan


def _epoch_flops(state: CandidateState) -> float:
    """Operations of one epoch over all training rows: a backward pass costs two forward ones."""
    if not state.rows:
        return np.nan
    return 3.0 * float(state.rows[0]["flops_per_token"]) * float(state.rows[0]["train_tokens"])

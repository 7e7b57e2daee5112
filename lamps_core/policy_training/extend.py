"""One more candidate for a trained policy, once its curves are there (the second step of the paper's Appendix F).

The paper retrains in full. Here a policy takes in the new candidate and keeps what it learned of the others, and what
a full retraining would change is counted beside it. Owns what is asked for, what is refused before anything runs, and
that comparison. Knows nothing of how curves are made, nor of any algorithm's weights.
"""

from __future__ import annotations

import os
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from lamps_core.errors import BadInput, LampsError
from lamps_core.fingerprints import objectives_fingerprint
from lamps_core.meta_dataset import read_tasks
from lamps_core.objectives import beside_schema
from lamps_core.policies.known_first import KnownFirst
from lamps_core.policies.loading import UNIVERSAL, shipped_policy
from lamps_core.policies.trained import load_policy_file
from lamps_core.policy_file import objectives_of, read_policy, replace_policy, write_policy
from lamps_core.policy_training.algorithms import algorithm
from lamps_core.policy_training.train import check_out
from lamps_core.policy_training.training_run import TrainingRun
from lamps_core.replay import replay
from lamps_core.storage import refuse_url

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from pathlib import Path

    from lamps_core.policies.protocol import Policy
    from lamps_core.policy_file import PolicyFile
    from lamps_core.task import Task

STEPS = 100_000  # of the environment, by which distral and ppo go on: a twentieth of their training
SHARE = 0.98  # of the hypervolume, to which replayed searches are timed
FORECAST = "forecast"
EXTENSIBLE = (FORECAST, "distral", "ppo")


@dataclass(frozen=True, kw_only=True)
class ExtensionRequest:
    """What is asked for.

    Attributes:
        policy: a trained one, a folder or a `.zip`.
        curves: folder of the curves that it was trained on, to which the candidates' are added.
        candidates: by name, as in the curves.
        out: where the extended policy is written; None for the place of the old one.
        steps: environment steps by which distral or ppo goes on; None for the default.
        full: train distral or ppo in full as well, to compare; forecast, which takes seconds, always is.
    """

    policy: Path
    curves: Path
    candidates: tuple[str, ...]
    out: Path | None = None
    steps: int | None = None
    full: bool = False


class Extension:
    """A policy that can be extended: checked before the curves are made, run when they are there."""

    def __init__(self, request: ExtensionRequest) -> None:
        """Check everything; nothing is written.

        Raises:
            BadInput: the policy does not fit the curves, or an argument cannot be used.
        """
        self.request = request
        if request.steps is not None and request.steps < 1:
            raise BadInput(f"--steps must be at least 1, not {request.steps}")
        by_name = str(request.policy) == UNIVERSAL
        self.file = read_policy(shipped_policy(UNIVERSAL) if by_name else request.policy)
        algorithm(self.file.card.algorithm).check(steps=request.steps)
        if request.out is not None:
            check_out(request.out)
        if not self.universal:
            self._check_extensible()
        # Refuses weights that are none of such a policy.
        _policy(self.file, name=f"--policy {request.policy}")

    def _check_extensible(self) -> None:
        if self.file.card.algorithm not in EXTENSIBLE:
            raise BadInput(
                f"--policy {self.request.policy}: a policy of {self.file.card.algorithm} cannot be extended, only "
                f"those of {', '.join(EXTENSIBLE)}: train it again with lamps train-policy"
            )
        _check_place(self.request)
        self._check_measured()
        self._known_tasks()

    def _check_measured(self) -> None:
        """Refuse objectives that a candidate's curves will not have."""
        place = f"--policy {self.request.policy}"
        if missing := beside_schema(objectives_of(self.file.card, place=place)):
            raise BadInput(
                f"{place}: no fine-tuning measures its objective {missing[0]}: train it again with lamps train-policy, "
                "on curves that have it of the new candidate"
            )

    @property
    def universal(self) -> bool:
        """Whether the policy serves any candidate as it is."""
        return self.file.card.kind == "universal"

    @property
    def new(self) -> tuple[str, ...]:
        """The candidates that the policy does not know yet."""
        return tuple(name for name in self.request.candidates if name not in self.file.card.candidates)

    def run(self) -> dict[str, Any]:
        """Extend the policy and say what a full retraining would change; the candidates' curves are there by now.

        Returns:
            `policy`, `added` and `words` for people; where it was extended, `algorithm`, `change` and `in_sample`.

        Raises:
            BadInput: the curves are no longer those that the policy was trained on.
            LampsError: a candidate is complete on no dataset.
        """
        if self.universal:
            return self._as_it_was("the policy is universal: it needs no training for a new candidate")
        if not self.new:
            return self._as_it_was(f"the policy knows {', '.join(self.request.candidates)} already")
        known = self._known_tasks()
        tasks = self._tasks({*self.file.card.candidates, *self.new})
        _check_complete(tasks, self.new)
        extended, speed = self._extended(known, tasks)
        write = write_policy if self.request.out is not None else replace_policy
        write(self.place, extended)
        record = {"policy": str(self.place), "added": list(self.new), "algorithm": extended.card.algorithm}
        return record | self._compared(extended, tasks, speed)

    @property
    def place(self) -> Path:
        """Where the policy lies afterwards."""
        return self.request.out or self.request.policy

    def _as_it_was(self, why: str) -> dict[str, Any]:
        """Nothing is learned; where another place was asked for, the same policy is written there."""
        if self.request.out is not None:
            write_policy(self.request.out, self.file)
        return {"policy": str(self.place), "added": [], "words": [why]}

    # --- the curves ------------------------------------------------------------------------------------

    def _tasks(self, names: Collection[str]) -> tuple[Task, ...]:
        """The datasets that the policy was trained on, of these candidates alone."""
        card, place = self.file.card, f"--policy {self.request.policy}"
        objectives = objectives_of(card, place=place)
        tasks = read_tasks(self.request.curves, objectives, datasets=card.datasets, candidates=names)
        if missing := sorted(set(card.datasets) - {task.dataset for task in tasks}):
            raise BadInput(
                f"{place}: was trained on the dataset {missing[0]}, which {self.request.curves} lacks: "
                "give the curves that it was trained on, or train another with lamps train-policy"
            )
        return tasks

    def _known_tasks(self) -> tuple[Task, ...]:
        """What the policy was trained on.

        Raises:
            BadInput: the curves are others.
        """
        card = self.file.card
        tasks = self._tasks(frozenset(card.candidates))
        if objectives_fingerprint(tasks) != card.meta_dataset:
            raise BadInput(
                f"--policy {self.request.policy}: was trained on other curves than those of "
                f"{self.request.curves}: train it again with lamps train-policy"
            )
        return tasks

    # --- the policy ------------------------------------------------------------------------------------

    def _extended(self, known: Sequence[Task], tasks: Sequence[Task]) -> tuple[PolicyFile, float]:
        """The policy with the new candidates, and environment steps a second; 0 where there are none."""
        file = self.file
        if file.card.algorithm == FORECAST:
            from lamps_core.policy_training import forecast

            names = list(file.card.candidates)
            for name in self.new:
                names.append(name)
                file = forecast.extend(file, [task.of(names) for task in tasks], name)
            return file, 0.0
        from lamps_core.policy_training.pool_training import grown
        from lamps_core.policy_training.task_batch import candidates_of

        steps = self.request.steps or STEPS
        begin = grown(file, candidates_of(tasks))
        began = time.monotonic()
        trained = self._trained(tasks, steps=steps, begin=begin)
        done = int(trained.card.settings["environment_steps"])
        speed = done / (time.monotonic() - began)
        settings = trained.card.settings | {"environment_steps": self._own_steps() + done}
        return replace(trained, card=replace(trained.card, settings=settings)), speed

    def _trained(
        self, tasks: Sequence[Task], *, steps: int | None = None, begin: PolicyFile | None = None
    ) -> PolicyFile:
        """Trained as the policy was, from its beginning or from a policy."""
        card = self.file.card
        settings: dict[str, Any] = {}
        if card.algorithm != FORECAST:
            from lamps_core.policy_training.pool_training import settings_of

            settings = settings_of(card)
        run = TrainingRun(steps=steps, settings=settings, warm_start=begin)
        return algorithm(card.algorithm).train(tasks, seed=int(card.settings.get("seed", 0)), run=run)

    def _own_steps(self) -> int:
        return int(self.file.card.settings.get("environment_steps", 0))

    # --- what full retraining would change -------------------------------------------------------------

    def _compared(self, extended: PolicyFile, tasks: Sequence[Task], speed: float) -> dict[str, Any]:
        files, words, change = {"extended": extended}, [], {}
        if extended.card.algorithm == FORECAST:
            began = time.monotonic()
            files["retrained"] = self._trained(tasks)
            change = _change(extended, files["retrained"], tasks, self.new)
            words.append(_change_told(change, self.new, time.monotonic() - began))
        elif self.request.full:
            files["retrained"] = self._trained(tasks, steps=self._own_steps() or None)
        else:
            minutes = self._own_steps() / speed / 60
            words.append(
                f"a full retraining was not done: {self._own_steps():,} environment steps, about {minutes:,.1f} "
                "minutes at the speed of these; --full does it, to compare"
            )
        policies = {"before": _before(self.file)} | {name: _policy(file) for name, file in files.items()}
        rows = [_timed(task, policies) for task in tasks]
        words.append(_times_told(rows, list(policies)))
        return {"change": change, "in_sample": rows, "words": words}


def _check_place(request: ExtensionRequest) -> None:
    """Refuse a policy that cannot be replaced where it is to be, and curves that are not on this host."""
    refuse_url(
        request.curves,
        "--policy needs curves in a folder of this host: copy them here, such as with aws s3 sync",
    )
    above = request.policy.resolve().parent
    if request.out is None and not os.access(above, os.W_OK | os.X_OK):
        raise BadInput(f"--policy {request.policy} cannot be replaced: {above} does not allow it: give --out")


def _check_complete(tasks: Sequence[Task], names: Sequence[str]) -> None:
    for name in names:
        if not any(
            task.complete[list(task.candidates).index(name)] for task in tasks if name in task.candidates
        ):
            raise LampsError(
                f"{name} is complete on no dataset of the policy: there is nothing to learn of it"
            )


def _policy(file: PolicyFile, *, name: str | None = None) -> Policy:
    return load_policy_file(file, name=name or file.card.algorithm)


def _before(file: PolicyFile) -> Policy:
    """The old policy, which takes what it does not know last."""
    return KnownFirst(_policy(file), file.card.candidates)


def _timed(task: Task, policies: dict[str, Policy]) -> dict[str, Any]:
    """Seconds of replayed searches to 98 % of the hypervolume; None for never."""
    seconds = {name: replay(task, policy).seconds_to(SHARE) for name, policy in policies.items()}
    return {"dataset": task.dataset, "seed": task.seed, "exhaustive": task.exhaustive_seconds} | seconds


def _times_told(rows: Sequence[dict[str, Any]], names: Sequence[str]) -> str:
    shares = {
        name: np.mean([1.0 if row[name] is None else row[name] / row["exhaustive"] for row in rows])
        for name in names
    }
    message = ", ".join(f"{share:.1%} {name}" for name, share in shares.items())
    return (
        f"time to 98 % of the hypervolume, as a share of an exhaustive search's, on the datasets that it learned from "
        f"(in-sample, so flattering): {message}"
    )


def _change(
    extended: PolicyFile, retrained: PolicyFile, tasks: Sequence[Task], new: Sequence[str]
) -> dict[str, dict[str, float]]:
    """Mean absolute difference of the objectives expected after the zero-shot evaluations, by objective."""
    from lamps_core.policy_training.forecast import when_complete

    ours, theirs = (when_complete(file, tasks) for file in (extended, retrained))
    order = [retrained.card.candidates.index(name) for name in extended.card.candidates]
    of_new = np.isin(extended.card.candidates, list(new))
    change = {}
    for name in ours.keys() & theirs.keys():
        apart = np.abs(ours[name] - theirs[name][:, order])
        relative = apart / np.abs(theirs[name][:, order])
        change[name] = {
            "absolute": float(np.nanmean(apart)),
            "relative": float(np.nanmean(relative)),
            "relative_of_the_new": float(np.nanmean(relative[:, of_new])),
        }
    return {name: change[name] for name in extended.card.objectives if name in change}


def _change_told(change: dict[str, dict[str, float]], new: Sequence[str], seconds: float) -> str:
    message = ", ".join(
        f"{name} by {one['relative']:.1%} ({', '.join(new)}: {one['relative_of_the_new']:.1%})"
        for name, one in change.items()
    )
    return (
        f"a full retraining ({seconds:.1f} s) would change what is expected of complete curves on average: "
        f"{message or 'nothing'}"
    )

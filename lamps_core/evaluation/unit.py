"""One unit of an evaluation: a contender on one held-out dataset, for one repeat or several.

Trains where the contender is to be trained, on the other datasets alone, and replays. Deterministic methods are
replayed once on each seed's curves. Runs in a child process of its own (`worker`).
"""

from __future__ import annotations

import hashlib
import json
import time
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lamps_core import __version__
from lamps_core.errors import BadInput
from lamps_core.evaluation.folds import fold_row
from lamps_core.policies.known_first import KnownFirst
from lamps_core.replay import replay

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from lamps_core.evaluation.methods import Contender
    from lamps_core.policies.protocol import Policy
    from lamps_core.replay import Replay
    from lamps_core.task import Task

MOST_REWARDS = 400  # points of one line of Figure 5: of more, every second is dropped
STEPS, REWARD = "environment_steps", "normalised_reward"  # scalars that reinforcement algorithms tell


@dataclass(frozen=True, kw_only=True)
class TrainingLimits:
    """How long a policy is trained in each fold and repeat, by algorithms that take such a limit.

    Attributes:
        seconds: at most; None for no limit.
        steps: environment steps; None for the algorithm's default.
    """

    seconds: float | None = None
    steps: int | None = None


@dataclass(frozen=True, kw_only=True)
class Unit:
    """What a child process is asked for, as plain data.

    Attributes:
        contender: what is judged.
        dataset: that is held out.
        repeats: repeat r replays the curves of the dataset's seed number r modulo their count, with seed `seed + r`.
        seed: of the evaluation.
        limits: of a training.
    """

    contender: Contender
    dataset: str
    repeats: tuple[int, ...]
    seed: int
    limits: TrainingLimits

    @property
    def name(self) -> str:
        """What it is called where people read it."""
        repeat = f", repeat {self.repeats[0]}" if self.contender.kind == "trained" else ""
        return f"{self.contender.name} on {self.dataset}{repeat}"

    def key(self, curves: str) -> str:
        """Twenty hex digits that change with all that its result depends on.

        Args:
            curves: fingerprint of the meta-dataset.
        """
        about = asdict(self.contender)
        told: dict[str, Any] = {name: about[name] for name in ("name", "kind", "weights", "saw")}
        told |= {"curves": curves, "dataset": self.dataset, "repeats": self.repeats, "lamps": __version__}
        if self.contender.random:
            told["seed"] = self.seed
        if self.contender.kind == "trained":
            told["limits"] = asdict(self.limits)
        return hashlib.sha256(json.dumps(told).encode()).hexdigest()[:20]


def run_unit(
    tasks: Sequence[Task],
    unit: Unit,
    *,
    folder: Path | None = None,
    tell: Callable[[float], None] = lambda share: None,
) -> dict[str, Any]:
    """Train if need be, and replay.

    Args:
        tasks: of the whole meta-dataset; those of the held-out dataset are replayed, the others trained on.
        unit: what to do.
        folder: of a training's checkpoints.
        tell: called with the share of a training that is done.

    Returns:
        `rows` of `evaluation.json`, and `rewards`, the lines of Figure 5 that a training recorded.

    Raises:
        BadInput: the policy does not fit the held-out dataset.
    """
    held_out = [task for task in tasks if task.dataset == unit.dataset]
    others = [task for task in tasks if task.dataset != unit.dataset]
    rows, rewards = [], []
    replayed: dict[int, Replay] = {}
    for repeat in unit.repeats:
        place = repeat % len(held_out)
        task = held_out[place]
        if unit.contender.random or place not in replayed:
            policy, reward = _policy(unit, task, others, repeat, folder=folder, tell=tell)
            replayed[place] = replay(task, policy)
            rewards += reward
        row = fold_row(task, unit.contender.name, repeat, replayed[place])
        if unit.dataset in unit.contender.saw:
            row["seen"] = True
        rows.append(row)
    return {"rows": rows, "rewards": rewards}


def _policy(
    unit: Unit, task: Task, others: Sequence[Task], repeat: int, **training: Any
) -> tuple[Policy, list[dict[str, Any]]]:
    """The policy of a repeat, and what its training recorded."""
    seed = unit.seed + repeat
    if unit.contender.kind == "untrained":
        from lamps_core.policies.methods import METHODS

        return METHODS[unit.contender.name].policy(task, others, seed), []
    if unit.contender.kind == "policy":
        return _from_file(unit.contender, task), []
    return _trained(unit, task, others, repeat, **training)


def _from_file(contender: Contender, task: Task) -> Policy:
    from lamps_core.policies.trained import load_policy_file
    from lamps_core.policy_file import read_policy

    file = read_policy(Path(contender.path))
    return load_policy_file(file, name=contender.name, objectives=task.objectives)


def _trained(
    unit: Unit,
    task: Task,
    others: Sequence[Task],
    repeat: int,
    *,
    folder: Path | None,
    tell: Callable[[float], None],
) -> tuple[Policy, list[dict[str, Any]]]:
    from lamps_core.policies.trained import load_policy_file
    from lamps_core.policy_training.algorithms import algorithm
    from lamps_core.policy_training.training_run import TrainingRun

    name, rewards = unit.contender.name, RewardLine()
    trainer = algorithm(name)
    if not others:
        raise BadInput(f"{name} learns from other datasets, and there is none but {unit.dataset}")

    def told(share: float, scalars: Mapping[str, float]) -> None:
        rewards.note(scalars)
        tell(share)

    began = time.monotonic()
    limits = {option: value for option, value in asdict(unit.limits).items() if option in trainer.takes}
    with closing(TrainingRun(**limits, folder=folder, tell=told)) as run:
        file = trainer.train(others, seed=unit.seed + repeat, run=run)
    known = set(file.card.candidates)
    shared = [candidate for candidate in task.candidates if candidate in known]
    file.card.check_fits(shared, task.objectives, place=f"{name}, trained without {unit.dataset}")
    about = {
        "method": name,
        "dataset": unit.dataset,
        "repeat": repeat,
        "training_seconds": time.monotonic() - began,
    }
    policy = load_policy_file(file, name=name, objectives=task.objectives)
    if file.card.kind == "pool" and len(shared) < len(task.candidates):
        policy = KnownFirst(policy, known)
    return policy, [about | rewards.line()]


class RewardLine:
    """The normalised reward while a policy trains, thinned so that a line never holds many more points."""

    def __init__(self) -> None:
        self._points: list[tuple[float, float]] = []
        self._every = 1
        self._seen = 0

    def note(self, scalars: Mapping[str, float]) -> None:
        """Take in a round's scalars, if they hold a reward."""
        if STEPS not in scalars or REWARD not in scalars:
            return
        if self._seen % self._every == 0:
            self._points.append((float(scalars[STEPS]), float(scalars[REWARD])))
        self._seen += 1
        if len(self._points) >= MOST_REWARDS:
            self._points = self._points[::2]
            self._every *= 2

    def line(self) -> dict[str, list[float]]:
        """The points so far; rewards that are no number are left out."""
        finite = [point for point in self._points if all(abs(value) < float("inf") for value in point)]
        return {STEPS: [steps for steps, _ in finite], REWARD: [reward for _, reward in finite]}

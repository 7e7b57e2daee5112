"""A training algorithm that learns at once: candidates in the order of their mean final loss on the training tasks."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from lamps_core.fingerprints import objectives_fingerprint
from lamps_core.policy_file import PolicyCard, PolicyFile
from lamps_core.policy_training.algorithms import Algorithm
from lamps_core.policy_training.task_batch import candidates_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lamps_core.objectives import Objective
    from lamps_core.policies.protocol import Observation
    from lamps_core.policy_training.training_run import TrainingRun
    from lamps_core.task import Task

ROUNDS = 5


class StaticOrder:
    """The best of the order that may be chosen."""

    def __init__(self, name: str, losses: dict[str, float]) -> None:
        self.name = name
        self._losses = losses

    def select(self, observation: Observation) -> int:
        losses = [self._losses.get(name, np.inf) for name in observation.names]
        return int(np.argmin(np.where(observation.mask, losses, np.inf)))


def train(tasks: Sequence[Task], *, seed: int, run: TrainingRun) -> PolicyFile:
    names = candidates_of(tasks)
    losses: dict[str, list[float]] = {name: [] for name in names}
    for task in tasks:
        for name, final in zip(task.candidates, task.final[:, 0], strict=True):
            losses[name].append(float(final))
    for step in range(ROUNDS):
        run.log(step / ROUNDS, {"environment_steps": 10.0 * step, "normalised_reward": 600.0 * step + seed})
    card = PolicyCard(
        kind="pool",
        algorithm="static-order",
        objectives=tuple(one.column for one in tasks[0].objectives),
        candidates=names,
        datasets=tuple(sorted({task.dataset for task in tasks})),
        meta_dataset=objectives_fingerprint(tasks),
        network={},
    )
    return PolicyFile(card, {"losses": np.array([np.mean(losses[name]) for name in names])})


def load(file: PolicyFile, *, name: str, objectives: Sequence[Objective]) -> StaticOrder:
    return StaticOrder(name, dict(zip(file.card.candidates, file.weights["losses"].tolist(), strict=True)))


STATIC_ORDER = Algorithm("static-order", "the best mean loss first", train)

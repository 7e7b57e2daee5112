"""The algorithm `universal`: networks from recorded, simulated and random tasks, for candidates of any name.

Owns which tasks the networks are trained on, and what goes into the policy file; `policies.universal_file` reads it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import torch

from lamps_core.fingerprints import objectives_fingerprint
from lamps_core.objectives import parse_objectives
from lamps_core.one_thread import one_thread
from lamps_core.policies.candidate_features import features_of
from lamps_core.policies.forecast import followed_numbers
from lamps_core.policies.loading import UNIVERSAL
from lamps_core.policies.universal import COSTS, LOSSES, followed_costs
from lamps_core.policies.universal_file import GROWS_WITH_SIZE
from lamps_core.policy_file import PolicyCard, PolicyFile, part_of, prefixed
from lamps_core.policy_training.network_learning import Learner, TaskCurves
from lamps_core.policy_training.ppo_settings import MAY_BE_ZERO, changed
from lamps_core.policy_training.random_tasks import random_task
from lamps_core.policy_training.task_batch import candidates_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from lamps_core.policy_training.training_run import TrainingRun
    from lamps_core.task import FloatArray, Task


@dataclass(frozen=True)
class UniversalSettings:
    """What can be set of a training.

    Attributes:
        random_tasks: beside the recorded ones.
        simulated_seeds: worlds of `lamps simulate`, from FIRST_SIMULATED on, of 9 datasets each.
        members: networks that forecast each number, asked together.
        loss_updates: of each network that forecasts losses.
        cost_updates: of each that forecasts what curves cost.
    """

    random_tasks: int = field(default=8000, metadata=MAY_BE_ZERO)
    simulated_seeds: int = field(default=12, metadata=MAY_BE_ZERO)
    members: int = 4
    loss_updates: int = 6000
    cost_updates: int = 8000


ENDED, BEGUN = "ended", "begun"  # parts of a checkpoint
MOST_MEMBERS = 100  # of which no two trainings share a seed
FIRST_SIMULATED = 1000  # seed: the small ones are what people evaluate on
RECORDED, SIMULATED, RANDOM = 0.15, 0.15, 0.7  # how often a task is drawn from each group


@one_thread()
def train(tasks: Sequence[Task], *, seed: int, run: TrainingRun) -> PolicyFile:
    """Learn from some tasks, from simulated ones and from random ones; see `algorithms.Train`.

    Raises:
        BadInput: settings that do not exist.
    """
    settings = changed(UniversalSettings(), run.settings)
    groups = (
        (RECORDED, tasks),
        (
            SIMULATED,
            [
                task
                for place in range(settings.simulated_seeds)
                for task in _simulated(FIRST_SIMULATED + place)
            ],
        ),
        (RANDOM, [random_task(seed * 100_000 + place) for place in range(settings.random_tasks)]),
    )
    updates = {LOSSES: settings.loss_updates, COSTS: settings.cost_updates}
    every = settings.members * sum(updates.values())
    kept, _ = run.restored() or ({}, {})
    weights = {name: value.numpy() for name, value in part_of(kept, ENDED).items()}
    begun = part_of(kept, BEGUN)  # the first network that has not ended
    done = 0
    for number, count in updates.items():
        groups_of_curves = [
            (weight, [curves for task in group for curves in task_curves_of(task, number)])
            for weight, group in groups
            if group
        ]
        for member in range(settings.members):
            part = f"{number}.{member}"
            if not part_of(weights, part):
                learner = Learner(groups_of_curves, updates=count, seed=seed * MOST_MEMBERS + member)
                if begun:
                    learner.restore(begun)
                    begun = {}
                network = learner.learn(
                    tell=partial(_tell, run, done / every, count / every),
                    keep=partial(_keep, run, weights),
                )
                named = {name: value.numpy() for name, value in network.state_dict().items()}
                weights |= prefixed(part, named)
            done += count
    card = PolicyCard(
        kind="universal",
        algorithm=UNIVERSAL,
        objectives=(),
        candidates=candidates_of(tasks),
        datasets=tuple(sorted({task.dataset for task in tasks})),
        meta_dataset=objectives_fingerprint(tasks),
        network={"followed": [LOSSES, COSTS]},
        settings={"seed": seed, **vars(settings)},
    )
    return PolicyFile(card, weights)


def _tell(run: TrainingRun, before: float, part: float, share: float, loss: float) -> None:
    run.log(before + part * share, {"loss": loss})


def _keep(run: TrainingRun, weights: Mapping[str, np.ndarray], learner: Learner) -> None:
    """Keep the networks that are trained, and the one that is being trained."""
    if run.checkpoint_due():
        ended = {name: torch.from_numpy(value) for name, value in weights.items()}
        run.save(prefixed(ENDED, ended) | prefixed(BEGUN, learner.state()), {})


def task_curves_of(task: Task, number: str) -> list[TaskCurves]:
    """What networks learn of a task: its losses, or its seconds and the objectives that are sums of cost."""
    if number == LOSSES:
        losses = [followed_numbers(one) for one in _rows(task, task.losses)]
        return [_task_curves(task, losses, number)]
    costs = [task.step_seconds]
    for column, objective in enumerate(task.objectives):
        if objective.aggregate == "sum":
            costs.append(np.diff(task.values[..., column], axis=1, prepend=0.0))
    seconds = _rows(task, task.step_seconds)
    return [_task_curves(task, followed_costs(seconds, _rows(task, steps)), number) for steps in costs]


def _rows(task: Task, values: FloatArray) -> list[FloatArray]:
    """(m,) the rows of each curve, of (m, L) numbers."""
    return [curve[:rows] for curve, rows in zip(values, task.rows, strict=True)]


def _task_curves(task: Task, curves: Sequence[FloatArray], number: str) -> TaskCurves:
    return TaskCurves(
        curves,
        task.complete & (task.rows > 1),
        features_of(task.candidates, task.epoch_cost, task.parameters),
        grows_with_size=GROWS_WITH_SIZE[number],
    )


def _simulated(seed: int) -> Sequence[Task]:
    """The nine tasks of one seed of `lamps simulate`."""
    from lamps_core.meta_dataset import tasks_of
    from lamps_core.simulation.curves import simulated_curves

    return tasks_of(simulated_curves(seed), parse_objectives())

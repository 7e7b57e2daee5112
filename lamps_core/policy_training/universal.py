"""The algorithm `universal`: worlds from recorded, simulated and random tasks, for candidates of any name.

Owns which tasks the library is learned from, and the policy file.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from lamps_core.errors import BadInput
from lamps_core.objectives import parse_objectives
from lamps_core.policies import UNIVERSAL
from lamps_core.policies.forecast import seconds_so_far
from lamps_core.policies.universal import COST, LOSS, UniversalPolicy, followed_numbers
from lamps_core.policy_file import PolicyCard, PolicyFile, fingerprint, prefixed
from lamps_core.policy_training.candidate_features import features_of
from lamps_core.policy_training.curve_worlds import NODES, STAGES, TERMS, CurveWorlds
from lamps_core.policy_training.one_thread import one_thread
from lamps_core.policy_training.ppo_settings import MAY_BE_NONE, changed
from lamps_core.policy_training.random_tasks import random_task
from lamps_core.policy_training.world_learning import LEVELS, Lesson, learn

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lamps_core.meta_dataset import Task
    from lamps_core.objectives import Objective
    from lamps_core.policy_training.training_run import TrainingRun


@dataclass(frozen=True)
class UniversalSettings:
    """What can be set of a training.

    Attributes:
        random_tasks: beside the recorded ones.
        simulated_seeds: worlds of `lamps simulate`, from FIRST_SIMULATED on, of 9 datasets each.
        worlds: kept in the library.
    """

    random_tasks: int = field(default=120, metadata={MAY_BE_NONE: True})
    simulated_seeds: int = field(default=2, metadata={MAY_BE_NONE: True})
    worlds: int = 48


FIRST_SIMULATED = 1000  # seed: the small ones are what people evaluate on


@one_thread()
def train(tasks: Sequence[Task], *, seed: int, run: TrainingRun) -> PolicyFile:
    """Learn from some tasks, from simulated ones and from random ones; see `algorithms.Train`.

    Raises:
        BadInput: a policy to begin with was given, or settings that do not exist.
    """
    if run.warm_start is not None:
        raise BadInput("--warm-start: universal begins with nothing: leave it out")
    settings = changed(UniversalSettings(), run.settings)
    generator = np.random.default_rng(seed)
    every = [*tasks, *(_sub_pool(task, generator) for task in tasks)]
    every += [
        task for place in range(settings.simulated_seeds) for task in _simulated(FIRST_SIMULATED + place)
    ]
    every += [random_task(seed * 100_000 + place) for place in range(settings.random_tasks)]
    weights: dict[str, np.ndarray] = {"levels": LEVELS}
    for half, number in enumerate((LOSS, COST)):
        lessons = [lesson_of(task, number) for task in every]
        worlds = learn(
            lessons,
            kept=settings.worlds,
            seed=seed,
            tell=lambda share, half=half: run.log((half + share) / 2, {"lessons": float(len(every))}),  # type: ignore[misc]
        )
        weights |= prefixed(number, worlds.arrays())
    card = PolicyCard(
        kind="universal",
        algorithm=UNIVERSAL,
        objectives=(),
        candidates=tuple(sorted({name for task in tasks for name in task.candidates})),
        datasets=tuple(sorted({task.dataset for task in tasks})),
        meta_dataset=fingerprint(tasks),
        network={"followed": [LOSS, COST]},
        settings={"seed": seed, **vars(settings)},
    )
    return PolicyFile(card, weights)


def lesson_of(task: Task, number: str) -> Lesson:
    """One number of a task as a policy follows it."""
    curves = []
    for losses, seconds, rows in zip(task.losses, task.step_seconds, task.rows, strict=True):
        values = losses[:rows] if number == LOSS else seconds_so_far(seconds[:rows])
        curves.append(followed_numbers(values))
    return Lesson(
        curves,
        task.complete & (task.rows > 1),
        features_of(task.candidates, task.epoch_cost, task.parameters),
    )


def _sub_pool(task: Task, generator: np.random.Generator) -> Task:
    """A random half of the candidates: other worlds have other pools."""
    half = max(2, len(task.candidates) // 2)
    return task.of([task.candidates[place] for place in generator.permutation(len(task.candidates))[:half]])


def _simulated(seed: int) -> Sequence[Task]:
    """The nine tasks of one seed of `lamps simulate`."""
    from lamps_core.meta_dataset import tasks_of
    from lamps_core.simulation import simulated_curves

    return tasks_of(simulated_curves(seed), parse_objectives())


def load(file: PolicyFile, *, name: str, objectives: Sequence[Objective]) -> UniversalPolicy:
    """The policy of a file; see `algorithms.Load`."""
    worlds = {number: _worlds(file, number, name) for number in (LOSS, COST)}
    levels = file.weights.get("levels")
    if levels is None or levels.shape != worlds[LOSS].errors.shape[1:]:
        raise BadInput(f"{name}: its weights are not those of a universal policy: train it again")
    return UniversalPolicy(worlds, levels, objectives=objectives, name=name)


def _worlds(file: PolicyFile, number: str, name: str) -> CurveWorlds:
    broken = BadInput(f"{name}: its weights are not those of a universal policy: train it again")
    try:
        worlds = CurveWorlds(**file.part(number))
    except TypeError:
        raise broken from None
    count = len(worlds.kernel)
    shapes = (worlds.profile.shape, worlds.kernel.shape, worlds.noise.shape, worlds.errors.shape[:1])
    if shapes != ((NODES,), (count, TERMS, 3), (count, 2), (STAGES,)) or count == 0:
        raise broken
    return worlds

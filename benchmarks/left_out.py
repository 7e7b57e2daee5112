"""Policies that never saw the dataset they search: what the benchmarks of searches share.

Simulated curves (`lamps simulate`) unless others are given. A policy that learns is trained on all other datasets; one
given by its path is taken as it is, and may have seen what it searches.
"""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from lamps_core.meta_dataset import read_tasks
from lamps_core.objectives import parse_objectives
from lamps_core.policies.known_first import KnownFirst
from lamps_core.policies.methods import METHODS
from lamps_core.policies.trained import load_policy_file, load_trained, looks_like_a_path
from lamps_core.policy_training.algorithms import algorithm
from lamps_core.policy_training.training_run import TrainingRun
from lamps_core.simulation.curves import write_simulation

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    from lamps_core.policies.protocol import Policy
    from lamps_core.task import Task


def add_options(parser: argparse.ArgumentParser) -> None:
    """Which curves are searched."""
    parser.add_argument("--curves", type=Path, help="a meta-dataset; else simulated curves")
    parser.add_argument("--seed", type=int, default=0, help="of the simulation")
    parser.add_argument(
        "--datasets", type=int, help="search so many of them; others are learned from all the same"
    )


def searched_tasks(given: argparse.Namespace) -> tuple[tuple[Task, ...], tuple[Task, ...]]:
    """Those that are searched, and all of them."""
    with TemporaryDirectory() as folder:
        if given.curves is None:
            write_simulation(Path(folder), seed=given.seed)
        tasks = read_tasks(given.curves or Path(folder), parse_objectives())
    return tasks[: given.datasets], tasks


def left_out_policy(name: str, task: Task, tasks: Sequence[Task]) -> Policy:
    """A method by name, an algorithm trained on the datasets other than the task's, or a trained policy by its path."""
    others = [other for other in tasks if other.dataset != task.dataset]
    if name in METHODS:
        return METHODS[name].policy(task, others, 0)
    if looks_like_a_path(name):
        return load_trained(Path(name), candidates=task.candidates, objectives=task.objectives)
    file = algorithm(name).train(others, seed=0, run=TrainingRun())
    policy = load_policy_file(file, name=name, objectives=task.objectives)
    known = set(file.card.candidates)
    unknown = file.card.kind == "pool" and not known.issuperset(task.candidates)
    return KnownFirst(policy, known) if unknown else policy

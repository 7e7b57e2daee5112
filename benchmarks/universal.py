"""The universal policy as it ships, on curves of kinds it never saw; and its training with a part left out.

Time to 98 % of the hypervolume over the oracle's, in replays, one step after another. `portfolio` learns from the other
datasets of the same curves. What is left out in turn: three groups of datasets; one half of the candidates, while the
search is over the other; families of models, while the search is over them alone. The universal algorithm and
`portfolio` are then trained on the rest, with fewer tasks, networks and updates than the shipped policy.

    python -m benchmarks.universal [--curves KIND|DIR ...] [--landmarks K] [--policy PATH] [--datasets N]
    python -m benchmarks.universal --left-out datasets|candidates|families [--curves DIR]

A kind is `simulated`, or one of `unseen_curves` or of `foreign_curves`; all of them unless --curves is given.
"""

from __future__ import annotations

import argparse
import itertools
import re
import time
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import numpy as np
import torch

from benchmarks import foreign_curves, unseen_curves
from benchmarks.curve_kinds import with_landmarks, write_datasets
from benchmarks.ratios import Ratio, tell
from lamps_core.meta_dataset import read_tasks
from lamps_core.objectives import parse_objectives
from lamps_core.policies.loading import UNIVERSAL, shipped_policy
from lamps_core.policies.methods import METHODS
from lamps_core.policies.trained import load_policy_file, load_trained
from lamps_core.policy_training.algorithms import algorithm
from lamps_core.policy_training.training_run import TrainingRun
from lamps_core.replay import replay
from lamps_core.resources import data_path
from lamps_core.simulation.curves import simulated_curves

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from benchmarks.curve_kinds import Kind, Rows
    from lamps_core.policies.protocol import Policy
    from lamps_core.policy_file import PolicyFile
    from lamps_core.task import Task

SHARE = 0.98
CHEAPEST, ORACLE = "cheapest", "oracle"
OTHERS = (CHEAPEST, "portfolio", "mo_asha", "ehvi", "ats")
SHIPPED, MEASURED = shipped_policy(UNIVERSAL), data_path("curves")
DATASET_GROUPS, CANDIDATE_GROUPS = 3, 2
FAMILIES = {
    "MiniLM": re.compile("minilm"),
    "BERT, DistilBERT, RoBERTa": re.compile(r"^zoo/(bert|distilbert|roberta)"),
}
SHORT = {"random_tasks": 1000, "simulated_seeds": 1, "members": 1, "loss_updates": 3000, "cost_updates": 1500}


@dataclass(frozen=True)
class Part:
    """What a training leaves out.

    Attributes:
        name: of what is left out.
        training: tasks that are learned from.
        searched: tasks that are searched.
    """

    name: str
    training: tuple[Task, ...]
    searched: tuple[Task, ...]


def dataset_parts(tasks: Sequence[Task]) -> Iterator[Part]:
    """Every third dataset in turn."""
    names = sorted({task.dataset for task in tasks})
    for group in range(DATASET_GROUPS):
        held = names[group::DATASET_GROUPS]
        rest = tuple(task for task in tasks if task.dataset not in held)
        yield Part(", ".join(held), rest, tuple(task for task in tasks if task.dataset in held))


def candidate_parts(tasks: Sequence[Task]) -> Iterator[Part]:
    """One random half of the candidates, then the other."""
    names = sorted({name for task in tasks for name in task.candidates})
    order = np.random.default_rng(0).permutation(len(names))
    for group in range(CANDIDATE_GROUPS):
        held = {names[place] for place in order[group::CANDIDATE_GROUPS]}
        yield _without(f"half {group + 1} of the candidates", tasks, held)


def family_parts(tasks: Sequence[Task]) -> Iterator[Part]:
    """Each of FAMILIES."""
    for family, pattern in FAMILIES.items():
        held = {name for task in tasks for name in task.candidates if pattern.search(name)}
        yield _without(family, tasks, held)


def _without(name: str, tasks: Sequence[Task], held: set[str]) -> Part:
    rest = [task.of(set(task.candidates) - held) for task in tasks]
    searched = tuple(task.of(held) for task in tasks)
    return Part(name, tuple(rest), tuple(task for task in searched if task.hypervolume > 0.0))


PARTS: dict[str, Callable[[Sequence[Task]], Iterator[Part]]] = {
    "datasets": dataset_parts,
    "candidates": candidate_parts,
    "families": family_parts,
}


def trained(part: Part) -> PolicyFile:
    """The universal algorithm, shown the rest alone."""
    began = time.process_time()
    file = algorithm(UNIVERSAL).train(part.training, seed=0, run=TrainingRun(settings=SHORT))
    print(f"\nwithout {part.name}: {time.process_time() - began:.0f} s of CPU to train", flush=True)
    return file


def ratios(task: Task, universal: Policy, training: Sequence[Task]) -> dict[str, float]:
    """Time to the share over the oracle's, by method."""
    policies = {UNIVERSAL: universal} | {name: METHODS[name].policy(task, training, 0) for name in OTHERS}
    oracle = _seconds(task, METHODS[ORACLE].policy(task, training, 0))
    return {name: _seconds(task, policy) / oracle for name, policy in policies.items()}


def _seconds(task: Task, policy: Policy) -> float:
    seconds = replay(task, policy).seconds_to(SHARE)
    return np.inf if seconds is None else seconds


class Table:
    """Ratios by dataset and method, printed as they come."""

    def __init__(self, title: str) -> None:
        self._title = title
        print(f"\n{title}: time to {SHARE:.0%} of the hypervolume, over the oracle's")
        print(f"{'':24s}" + "".join(f"{name:>11s}" for name in (UNIVERSAL, *OTHERS)), flush=True)
        self._rows: dict[str, dict[str, float]] = {}

    def add(self, dataset: str, row: dict[str, float]) -> None:
        """One more dataset."""
        self._rows[dataset] = row
        _print_row(dataset, row)

    def close(self) -> None:
        """The means, and how universal stands beside the best of the others and beside cheapest."""
        rows = self._rows.values()
        mean = {
            name: float(np.exp(np.mean(np.log([row[name] for row in rows])))) for name in next(iter(rows))
        }
        _print_row("geometric mean", mean)
        best = min(OTHERS, key=mean.__getitem__)
        behind = {dataset: row[UNIVERSAL] / row[CHEAPEST] for dataset, row in self._rows.items()}
        worst = max(behind, key=behind.__getitem__)
        tell(Ratio(what=f"{self._title}: universal to {SHARE:.0%}", value=mean[UNIVERSAL], over=ORACLE))
        for name in OTHERS:
            goal = "<= 0.7" if name == best else ""
            tell(Ratio(what="the same", value=mean[UNIVERSAL] / mean[name], over=name, goal=goal))
        tell(Ratio(what=f"at worst ({worst})", value=behind[worst], over=CHEAPEST, goal="<= 1.5"))


def _print_row(label: str, row: dict[str, float]) -> None:
    print(f"{label:24s}" + "".join(f"{row[name]:11.2f}" for name in (UNIVERSAL, *OTHERS)), flush=True)


def simulated_rows(seed: int) -> Iterator[Rows]:
    """The rows of each dataset of `simulated`."""
    for _, rows in itertools.groupby(simulated_curves(seed).to_pylist(), key=lambda row: row["dataset"]):
        yield list(rows)


KINDS: dict[str, Kind] = unseen_curves.KINDS | foreign_curves.KINDS | {"simulated": simulated_rows}


def curves_of(name: str, seed: int, landmarks: int | None = None) -> tuple[Task, ...]:
    """The tasks of a kind by its name, with so many landmarks at most, or of a folder as they are."""
    if name not in KINDS:
        return read_tasks(Path(name), parse_objectives())
    datasets = KINDS[name](seed)
    if landmarks is not None:
        datasets = (with_landmarks(rows, landmarks) for rows in datasets)
    with TemporaryDirectory() as folder:
        write_datasets(datasets, Path(folder))
        return read_tasks(Path(folder), parse_objectives())


def shipped(name: str, tasks: Sequence[Task], path: Path, datasets: int | None) -> None:
    """The policy as it lies at a path."""
    table = Table(name)
    for task in tasks[:datasets]:
        universal = load_trained(path, candidates=task.candidates, objectives=task.objectives)
        others = [other for other in tasks if other.dataset != task.dataset]
        table.add(task.dataset, ratios(task, universal, others))
    table.close()


def left_out(kind: str, tasks: Sequence[Task]) -> None:
    """Trainings without each part of a kind."""
    for part in PARTS[kind](tasks):
        file = trained(part)
        table = Table(f"on {part.name}")
        for task in part.searched:
            universal = load_policy_file(file, name=UNIVERSAL, objectives=task.objectives)
            table.add(task.dataset, ratios(task, universal, part.training))
        table.close()


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--curves",
        action="append",
        help=f"{', '.join(KINDS)}, or a folder; several times for several",
    )
    parser.add_argument("--policy", type=Path, default=SHIPPED, help="in place of the shipped one")
    parser.add_argument("--datasets", type=int, help="search so many of each")
    parser.add_argument("--seed", type=int, default=0, help="of curves made here")
    parser.add_argument("--landmarks", type=int, help="of curves made here, at most; as they are without it")
    parser.add_argument("--left-out", choices=PARTS, help="train without it, and search it")
    given = parser.parse_args()
    torch.set_num_threads(1)
    for name in given.curves or ([str(MEASURED)] if given.left_out else KINDS):
        tasks = curves_of(name, given.seed, given.landmarks)
        if given.left_out:
            left_out(given.left_out, tasks)
        else:
            shipped(name, tasks, given.policy, given.datasets)


if __name__ == "__main__":
    main()

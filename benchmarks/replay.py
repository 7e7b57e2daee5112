"""A leave-one-dataset-out evaluation of every untrained method, in seconds: 70 candidates on 9 datasets.

Each method is replayed once a fold, a random one five times. Process-CPU time, one thread. The baseline is the
same harness with every observation rebuilt from the curves and the share of the hypervolume counted anew at every
decision, for the one method whose own decisions cost next to nothing.

    python -m benchmarks.replay [--curves DIR]
"""

from __future__ import annotations

import argparse
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from benchmarks.ratios import Ratio, tell
from lamps_core import front
from lamps_core.meta_dataset import read_tasks
from lamps_core.objectives import parse_objectives
from lamps_core.policies.methods import METHODS, Method
from lamps_core.policies.protocol import Observation
from lamps_core.replay import replay
from tests.meta_datasets import family_rows, write_meta_dataset

if TYPE_CHECKING:
    from lamps_core.policies.protocol import Policy
    from lamps_core.task import Task

DATASETS, CANDIDATES, STEPS, REPEATS = 9, 70, 14, 5
CHEAP = "cheapest"  # the method whose own decisions cost next to nothing
GOAL_SECONDS = 60.0


@dataclass
class Counted:
    """A policy that counts what it is asked."""

    policy: Policy
    decisions: int = 0

    @property
    def name(self) -> str:
        return self.policy.name

    def select(self, observation: Observation) -> int:
        self.decisions += 1
        return self.policy.select(observation)


def evaluate(method: Method, tasks: tuple[Task, ...]) -> tuple[float, int]:
    """Process seconds and decisions of a method over all folds."""
    decisions, start = 0, time.process_time()
    for fold, task in enumerate(tasks):
        training = tasks[:fold] + tasks[fold + 1 :]
        for seed in range(REPEATS if method.random else 1):
            policy = Counted(method.policy(task, training, seed))
            replay(task, policy)
            decisions += policy.decisions
    return time.process_time() - start, decisions


def rebuilt(task: Task, policy: Policy) -> int:
    """The plain loop: everything from the curves at every decision; returns how many there were."""
    row, steps = np.zeros(len(task.rows), dtype=np.int64), 0
    whole = front.hypervolume(task.final[task.complete], task.reference)
    while True:
        complete = task.complete & (row == task.rows - 1)
        known = task.final[complete]
        mask = row < task.playable_rows - 1
        if front.hypervolume(known, task.reference) >= whole * (1.0 - 1e-12) or not mask.any():
            return steps
        seen = range(len(row))
        observation = Observation(
            names=task.candidates,
            objectives=np.array([task.values[i, row[i]] for i in seen]),
            steps=row.copy(),
            parameters=task.parameters,
            epoch_cost=task.epoch_cost,
            losses=tuple(tuple(task.losses[i, : row[i] + 1].tolist()) for i in seen),
            step_seconds=tuple(tuple(task.step_seconds[i, : row[i] + 1].tolist()) for i in seen),
            complete=complete,
            mask=mask,
            pending=np.zeros(len(row), dtype=bool),
            decision=len(row) + steps,
            spent_seconds=sum(float(task.step_seconds[i, : row[i] + 1].sum()) for i in seen),
            budget_share=0.0,
            curves=tuple(task.values[i, : row[i] + 1].copy() for i in seen),
            landmarks=task.landmarks,
        )
        row[policy.select(observation)] += 1
        steps += 1


def against_rebuilding(tasks: tuple[Task, ...]) -> float:
    """How many times longer a decision of `cheapest` takes when everything is rebuilt for it."""
    seconds, decisions = evaluate(METHODS[CHEAP], tasks)
    start = time.process_time()
    steps = sum(rebuilt(task, METHODS[CHEAP].policy(task, (), 0)) for task in tasks[: len(tasks) // 3 or 1])
    return (time.process_time() - start) / steps / (seconds / decisions)


def main() -> None:
    """Measure and print."""
    import torch

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--curves", type=Path, help="a meta-dataset; else one is made")
    folder = parser.parse_args().curves
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as temporary:
        if folder is None:
            folder = write_meta_dataset(Path(temporary), family_rows(DATASETS, CANDIDATES, steps=STEPS))
        tasks = read_tasks(folder, parse_objectives())
    for method in METHODS.values():  # imports are no part of the evaluation
        method.policy(tasks[0], tasks[1:2], 0)
    total = 0.0
    for name, method in METHODS.items():
        seconds, decisions = evaluate(method, tasks)
        total += seconds
        print(f"{name:12s} {seconds:6.2f} s   {decisions / seconds:8.0f} decisions/s   decisions {decisions}")
    what = f"a decision of {CHEAP} with the observation rebuilt"
    tell(Ratio(what=what, value=against_rebuilding(tasks), over="with it kept"))
    what = f"evaluation of every untrained method, {DATASETS} x {CANDIDATES}"
    tell(Ratio(what=what, value=total, over="", goal=f"< {GOAL_SECONDS:.0f} s of CPU", unit="s"))


if __name__ == "__main__":
    main()

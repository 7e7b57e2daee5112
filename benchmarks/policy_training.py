"""How many environment steps a second a policy learns from, and how soon it is good, against plain sb3-contrib.

The baseline is MaskablePPO as it comes, with one Gymnasium environment an episode in a DummyVecEnv: the same
network, the same hyperparameters (Appendix B.2 of the paper), the same tasks, one thread each, in the same run.
Steps a second are of process-CPU time, rollouts and updates together.

    python -m benchmarks.policy_training [--curves DIR] [--rounds 3] [--quality-seconds 600]
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from sb3_contrib import MaskablePPO
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.vec_env import DummyVecEnv

from lamps_core.meta_dataset import Task, read_tasks
from lamps_core.objectives import parse_objectives
from lamps_core.policies import load_policy
from lamps_core.policy_training.algorithms import algorithms
from lamps_core.policy_training.distral import Distral, DistralSettings
from lamps_core.policy_training.environment import SearchEnvironment
from lamps_core.policy_training.pool_training import Rounds
from lamps_core.policy_training.ppo import MaskedPPO, PPOSettings
from lamps_core.policy_training.task_batch import candidates_of
from lamps_core.policy_training.training_run import TrainingRun
from lamps_core.policy_training.validation import Validation, speed, split_tasks
from lamps_core.policy_training.vector_environment import VectorSearchEnvironment
from lamps_core.replay import replay

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lamps_core.policy_training.observation import PoolLayout

GOAL, QUALITY_GOAL = 8.0, 50.0
PLAIN = "plain MaskablePPO"


def made_tasks(datasets: int = 9, candidates: int = 70, steps: int = 15) -> list[Task]:
    """Tasks of the paper's size: larger candidates are slower and mostly better."""
    generator = np.random.default_rng(0)
    size = np.sort(generator.uniform(6.0, 9.5, candidates))
    quality = generator.normal(0.0, 0.3, candidates)
    tasks = []
    for dataset in range(datasets):
        own = generator.normal(0.0, 0.1, candidates)
        floor = 0.2 + np.maximum(0.05, 0.9 - 0.2 * (size - 6.0) + quality + own)
        losses = floor[:, None] + 1.5 * 0.7 ** np.arange(steps + 1)
        train = np.concatenate(
            [np.zeros((candidates, 1)), 10 ** (size - 7.0)[:, None] * 2.0 ** np.arange(steps).clip(0, 8)],
            axis=1,
        )
        tasks.append(
            Task(
                dataset=f"dataset-{dataset}",
                seed=0,
                source="simulated",
                candidates=tuple(f"candidate-{index:02d}" for index in range(candidates)),
                objectives=parse_objectives(),
                rows=np.full(candidates, steps + 1),
                complete=np.ones(candidates, dtype=bool),
                values=np.stack([losses, np.cumsum(train, axis=1)], axis=2),
                losses=losses,
                step_seconds=0.1 + 1.2 * train,
                parameters=10**size,
                epoch_cost=10**size,
            )
        )
    return tasks


def plain_model(tasks: Sequence[Task], settings: PPOSettings) -> MaskablePPO:
    """MaskablePPO as it comes: one episode a task, 2048 samples of each in a rollout."""
    pool = candidates_of(tasks)
    environment = DummyVecEnv(
        [lambda task=task: SearchEnvironment(task, candidates=pool, optimum=1.0) for task in tasks]
    )
    arguments = settings.as_arguments() | {"n_steps": settings.rollout_steps * settings.episodes_each}
    return MaskablePPO("MlpPolicy", environment, seed=0, device="cpu", **arguments)


def steps_a_second(name: str, model: Any, rounds: int) -> float:
    """Environment steps a second of CPU time, the median of some rounds after a first one."""
    _, callback = model._setup_learn(10**9)
    measured = []
    for _ in range(rounds + 1):
        before, steps = time.process_time(), model.num_timesteps
        model.collect_rollouts(model.env, callback, model.rollout_buffer, model.n_steps)
        between = time.process_time()
        model.train()
        count = model.num_timesteps - steps
        measured.append((count / (time.process_time() - before), (between - before) / count))
    middle = float(np.median([one[0] for one in measured[1:]]))
    rollout = 1e6 * float(np.median([one[1] for one in measured[1:]]))
    print(
        f"{name:20s} {middle:8,.0f} steps a second; a step: {rollout:6.0f} us rollout, "
        f"{1e6 / middle - rollout:6.0f} us update"
    )
    return middle


class _PlainRounds(BaseCallback):
    """The rounds of `pool_training`, with what plain MaskablePPO lacks for them."""

    def __init__(self, rounds: Rounds) -> None:
        super().__init__()
        self._rounds = rounds

    def _on_training_start(self) -> None:
        model: Any = self.model
        model.told = {}
        self._rounds.init_callback(model)

    def _on_rollout_start(self) -> None:
        self._rounds.on_rollout_start()

    def _on_step(self) -> bool:
        return self._rounds.on_step()


def seconds_to_score(name: str, tasks: Sequence[Task], score: float, limit: float) -> float | None:
    """Wall seconds until greedy searches on the datasets kept out reach a score; None if they do not in time."""
    began, reached = time.monotonic(), list[float]()
    run = TrainingRun(seconds=limit, steps=10**9, patience=10**9)

    def tell(_: float, scalars: Any) -> None:
        if scalars.get("validation_score", 0.0) >= score and not reached:
            reached.append(time.monotonic() - began)
            run.seconds = 1e-9  # enough

    run.tell = tell
    if name == PLAIN:
        training, judging = split_tasks(tasks, seed=0)
        layout: PoolLayout = VectorSearchEnvironment(training, candidates=candidates_of(tasks)).layout
        rounds = Rounds(run, layout, Validation(judging, candidates_of(tasks)))
        plain_model(training, PPOSettings()).learn(10**9, callback=_PlainRounds(rounds))
    else:
        algorithms()[name].train(tasks, seed=0, run=run)
    return reached[0] if reached else None


def score_to_reach(tasks: Sequence[Task]) -> float:
    """What the cheapest-first order scores on the datasets that a training keeps out."""
    _, judging = split_tasks(tasks, seed=0)
    told = [(task, replay(task, load_policy("cheapest"))) for task in judging]
    return float(
        np.mean([speed(found.spent_seconds, found.share, task.exhaustive_seconds) for task, found in told])
    )


def compare_quality(tasks: Sequence[Task], limit: float) -> None:
    """Seconds of each algorithm to the score of `cheapest`, and its ratio to plain MaskablePPO."""
    score = score_to_reach(tasks)
    print(f"score to reach: {score:.3f}, that of cheapest first; at most {limit:.0f} s each")
    plain = seconds_to_score(PLAIN, tasks, score, limit)
    print(f"{PLAIN:20s} {'not reached' if plain is None else f'{plain:.0f} s'}")
    for name in algorithms():
        taken = seconds_to_score(name, tasks, score, limit)
        if taken is None:
            print(f"{name:20s} not reached")
            continue
        least = (plain or limit) / taken
        goal = f"   (goal: {QUALITY_GOAL:.0f})" if name == "forecast" else ""
        print(f"{name:20s} {taken:.0f} s, {'' if plain else 'more than '}{least:.1f} times as soon{goal}")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--curves", type=Path)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--quality-seconds", type=float, default=0.0)
    given = parser.parse_args()
    torch.set_num_threads(1)
    tasks = list(read_tasks(given.curves, parse_objectives())) if given.curves else made_tasks()
    settings, several = PPOSettings(), tasks[1:]
    plain = steps_a_second(PLAIN, plain_model(several, settings), given.rounds)
    environment = VectorSearchEnvironment(several, episodes_each=settings.episodes_each, optimum=1.0)
    ppo = steps_a_second("ppo", MaskedPPO(environment, settings, seed=0), given.rounds)
    environment = VectorSearchEnvironment(several, episodes_each=settings.episodes_each, optimum=1.0)
    distral = Distral(environment, DistralSettings(), seed=0, tasks=len(several))
    steps_a_second("distral", distral, given.rounds)
    print(f"ppo / {PLAIN}: {ppo / plain:.1f}   (goal: at least {GOAL:.0f})")
    if given.quality_seconds:
        compare_quality(tasks, given.quality_seconds)


if __name__ == "__main__":
    main()

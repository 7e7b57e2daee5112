"""How many environment steps a second a policy learns from, and how soon it is good, against plain sb3-contrib.

The baseline is MaskablePPO as it comes, with one Gymnasium environment an episode in a DummyVecEnv: the same
network, the same hyperparameters (Appendix B.2 of the paper), the same tasks, one thread each, in the same run.
Steps a second are of process-CPU time, rollouts and updates together; so is the time to a score. The scores to
reach are those of `forecast` and of `cheapest` on the datasets that a training keeps out.

    python -m benchmarks.policy_training [--curves DIR] [--rounds 3] [--quality-seconds 600]
"""

from __future__ import annotations

import argparse
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from sb3_contrib import MaskablePPO
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.vec_env import DummyVecEnv

from benchmarks.ratios import Ratio, tell
from lamps_core.meta_dataset import read_tasks
from lamps_core.objectives import parse_objectives
from lamps_core.policies.loading import load_policy
from lamps_core.policies.trained import load_policy_file
from lamps_core.policy_training.algorithms import algorithms
from lamps_core.policy_training.distral import Distral, DistralSettings
from lamps_core.policy_training.environment import SearchEnvironment
from lamps_core.policy_training.pool_training import Rounds
from lamps_core.policy_training.ppo import MaskedPPO
from lamps_core.policy_training.ppo_settings import PPOSettings
from lamps_core.policy_training.task_batch import candidates_of
from lamps_core.policy_training.training_run import TrainingRun
from lamps_core.policy_training.validation import Validation, speed, split_tasks
from lamps_core.policy_training.vector_environment import VectorSearchEnvironment
from lamps_core.replay import replay
from lamps_core.task import Task

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from lamps_core.policies.pool_layout import PoolLayout
    from lamps_core.policies.protocol import Policy

GOAL, QUALITY_GOAL = 8.0, 50.0
PAPER_SIZE = 9, 70, 15  # datasets, candidates, steps after the zero-shot one
PLAIN = "plain MaskablePPO"
AT_ONCE = "forecast"  # the default: no reinforcement learning, and nothing to judge before its end


def made_tasks() -> list[Task]:
    """Tasks of the paper's size: larger candidates are slower and mostly better."""
    datasets, candidates, steps = PAPER_SIZE
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
        model.scalars = {}
        self._rounds.init_callback(model)

    def _on_rollout_start(self) -> None:
        self._rounds.on_rollout_start()

    def _on_step(self) -> bool:
        return self._rounds.on_step()


@dataclass
class Measured:
    """How good a policy was, and when.

    Attributes:
        name: of the algorithm.
        judged: (CPU seconds since the training began, score on the datasets kept out) of each judgement.
        seconds: of the whole training.
    """

    name: str
    judged: list[tuple[float, float]]
    seconds: float

    def to(self, score: float) -> float | None:
        """CPU seconds to a score; None if it was never reached."""
        return next((seconds for seconds, told in self.judged if told >= score), None)


def greedy_score(policy: Policy, judging: Sequence[Task]) -> float:
    """What a training's own judge (`Validation`) would say of any policy."""
    found = [replay(task, policy) for task in judging]
    told = zip(judging, found, strict=True)
    return float(
        np.mean([speed(one.spent_seconds, one.share, task.exhaustive_seconds) for task, one in told])
    )


def trained_at_once(name: str, tasks: Sequence[Task]) -> Measured:
    """An algorithm that ends by itself and is judged only then: all of its training counts."""
    training, judging = split_tasks(tasks, seed=0)
    began = time.process_time()
    file = algorithms()[name].train(training, seed=0, run=TrainingRun())
    seconds = time.process_time() - began
    return Measured(name, [(seconds, greedy_score(load_policy_file(file, name=name), judging))], seconds)


def reinforced(name: str, tasks: Sequence[Task], *, enough: float, limit: float) -> Measured:
    """An algorithm that is judged after every rollout, until a score is reached or the time is up."""
    measured, began = Measured(name, [], 0.0), time.process_time()
    run = TrainingRun(steps=10**9, patience=10**9)

    def tell(_: float, scalars: Any) -> None:
        measured.seconds = time.process_time() - began
        measured.judged.append((measured.seconds, scalars.get("validation_score", 0.0)))
        if measured.judged[-1][1] >= enough or measured.seconds >= limit:
            run.seconds = 1e-9  # it ends here

    run.tell = tell
    if name == PLAIN:
        training, judging = split_tasks(tasks, seed=0)
        layout: PoolLayout = VectorSearchEnvironment(training, candidates=candidates_of(tasks)).layout
        rounds = Rounds(run, layout, Validation(judging, candidates_of(tasks)))
        plain_model(training, PPOSettings()).learn(10**9, callback=_PlainRounds(rounds))
    else:
        algorithms()[name].train(tasks, seed=0, run=run)
    return measured


def compare_quality(tasks: Sequence[Task], limit: float) -> None:
    """CPU seconds of each algorithm to two scores, and how many times sooner it is than plain MaskablePPO."""
    _, judging = split_tasks(tasks, seed=0)
    forecast = trained_at_once(AT_ONCE, tasks)
    scores = {AT_ONCE: forecast.judged[0][1], "cheapest": greedy_score(load_policy("cheapest"), judging)}
    for name, score in scores.items():
        print(f"score of {name}: {score:.3f} on {', '.join(task.dataset for task in judging)}, kept out")
    most = max(scores.values())
    plain = reinforced(PLAIN, tasks, enough=most, limit=limit)
    others = [name for name in algorithms() if name != AT_ONCE]
    _tell_quality(forecast, scores, plain)
    _tell_quality(plain, scores, plain)
    for name in others:
        _tell_quality(reinforced(name, tasks, enough=most, limit=limit), scores, plain)


def _tell_quality(measured: Measured, scores: Mapping[str, float], plain: Measured) -> None:
    best = max(score for _, score in measured.judged)
    print(f"{measured.name:20s} {measured.seconds:5.0f} s of CPU time, best score {best:.3f}", flush=True)
    for name, score in scores.items():
        taken, baseline = measured.to(score), plain.to(score)
        if taken is None:
            print(f"  score of {name}: not reached in {measured.seconds:.0f} s")
        elif measured is plain:
            print(f"  score of {name}: {taken:.0f} s")
        else:
            print(f"  score of {name}: {taken:.1f} s")
            reached = "" if baseline else " (not reached: at least)"
            tell(
                Ratio(
                    what=f"seconds of {measured.name} to the score of {name}: sooner{reached}",
                    value=(baseline or plain.seconds) / taken,
                    over=plain.name,
                    goal=f">= {QUALITY_GOAL:.0f}" if measured.name == AT_ONCE else "",
                )
            )


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
    what = "environment steps a second of CPU time, ppo"
    tell(Ratio(what=what, value=ppo / plain, over=PLAIN, goal=f">= {GOAL:.0f}"))
    if given.quality_seconds:
        compare_quality(tasks, given.quality_seconds)


if __name__ == "__main__":
    main()

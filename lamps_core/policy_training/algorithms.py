"""The algorithms that train a policy, by name, and what turns their weights back into one.

Owns the names, and which options of a training each algorithm heeds: any other is refused, not ignored. Each
algorithm has a file of its own.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Protocol

from lamps_core.errors import BadInput, no_such

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lamps_core.objectives import Objective
    from lamps_core.policies import Policy
    from lamps_core.policy_file import PolicyFile
    from lamps_core.policy_training.training_run import TrainingRun
    from lamps_core.task import Task

DEFAULT_ALGORITHM: Final = "forecast"
# What a training can be told beside its curves and seed, and how the user says it.
OPTIONS = {
    "steps": "--steps",
    "seconds": "--seconds",
    "settings": "--set",
    "warm_start": "--warm-start",
    "bounds": "--bound",
}


class Train(Protocol):
    """Trains a policy on tasks."""

    def __call__(self, tasks: Sequence[Task], *, seed: int, run: TrainingRun) -> PolicyFile:
        """The trained policy.

        Args:
            tasks: of the meta-dataset, all with the same objectives.
            seed: the same tasks, seed and settings give the same weights on one machine and thread count.
            run: how long to train, what to tell meanwhile, where to go on from.
        """
        ...


class Load(Protocol):
    """Makes a policy of what lies on disk."""

    def __call__(
        self, file: PolicyFile, *, name: str, objectives: Sequence[Objective] | None = None
    ) -> Policy:
        """The policy, deciding greedily.

        Args:
            file: what lies on disk.
            name: in results.
            objectives: of the observations, which the card fits; None for the default ones.

        Raises:
            BadInput: the weights are not those of the network that the card names.
        """
        ...


@dataclass(frozen=True)
class Algorithm:
    """One way to train a policy.

    Attributes:
        name: as `--algorithm` and `--methods` take it.
        about: one line.
        learn: see `Train`; called by `train`.
        load: see `Load`.
        takes: those of OPTIONS that its training can keep to.
    """

    name: str
    about: str
    learn: Train
    load: Load
    takes: frozenset[str] = frozenset()

    def check(self, **given: Any) -> None:
        """Refuse an option that its training would not keep to.

        Args:
            given: by name, of OPTIONS; None or empty where the user did not give it.

        Raises:
            BadInput: naming the option, and the algorithms that it is for.
        """
        for option, value in given.items():
            if value and option not in self.takes:
                raise BadInput(
                    f"{OPTIONS[option]} is for {takers(option)}, not for {self.name}: leave it out"
                )

    def train(self, tasks: Sequence[Task], *, seed: int, run: TrainingRun) -> PolicyFile:
        """The trained policy; see `Train`.

        Raises:
            BadInput: the run is told something that the algorithm does not take.
        """
        self.check(steps=run.steps, seconds=run.seconds, settings=run.settings, warm_start=run.warm_start)
        return self.learn(tasks, seed=seed, run=run)


def algorithms() -> dict[str, Algorithm]:
    """All of them; nothing heavy is imported before one is used."""
    every = frozenset(OPTIONS)
    found = (
        Algorithm(
            "forecast",
            "forecasts how each curve goes on; the best gain per second",
            _forecast,
            _forecasts,
            takes=frozenset({"bounds", "seconds"}),  # it ends within any that make sense
        ),
        Algorithm(
            "distral",
            "Distral on PPO, the paper's: a policy distilled from one a dataset",
            _distral,
            _pool,
            takes=every,
        ),
        Algorithm("ppo", "PPO of one policy on all datasets", _ppo, _pool, takes=every),
        Algorithm(
            "universal",
            "forecasts curves of any candidates, for any objectives",
            _universal,
            _of_any_pool,
            takes=frozenset({"settings"}),
        ),
    )
    return {one.name: one for one in found}


def takers(option: str) -> str:
    """The algorithms that take one of OPTIONS, with commas."""
    return ", ".join(name for name, one in algorithms().items() if option in one.takes)


def _forecast(tasks: Sequence[Task], *, seed: int, run: TrainingRun) -> PolicyFile:
    from lamps_core.policy_training.forecast import train

    return train(tasks, seed=seed, run=run)


def _forecasts(file: PolicyFile, *, name: str, objectives: Sequence[Objective] | None = None) -> Policy:
    del objectives  # those of its card
    from lamps_core.policy_training.forecast import load

    return load(file, name=name)


def _distral(tasks: Sequence[Task], *, seed: int, run: TrainingRun) -> PolicyFile:
    from lamps_core.policy_training.pool_training import train_distral

    return train_distral(tasks, seed=seed, run=run)


def _ppo(tasks: Sequence[Task], *, seed: int, run: TrainingRun) -> PolicyFile:
    from lamps_core.policy_training.pool_training import train_ppo

    return train_ppo(tasks, seed=seed, run=run)


def _pool(file: PolicyFile, *, name: str, objectives: Sequence[Objective] | None = None) -> Policy:
    del objectives  # those of its card
    from lamps_core.policies.pool import PoolPolicy

    return PoolPolicy(file, name=name)


def _universal(tasks: Sequence[Task], *, seed: int, run: TrainingRun) -> PolicyFile:
    from lamps_core.policy_training.universal import train

    return train(tasks, seed=seed, run=run)


def _of_any_pool(file: PolicyFile, *, name: str, objectives: Sequence[Objective] | None = None) -> Policy:
    from lamps_core.objectives import parse_objectives
    from lamps_core.policy_training.universal import load

    return load(file, name=name, objectives=parse_objectives() if objectives is None else objectives)


def algorithm(name: str) -> Algorithm:
    """The algorithm of that name.

    Raises:
        BadInput: there is none.
    """
    known = algorithms()
    if name not in known:
        raise no_such("--algorithm", name, "algorithm", known)
    return known[name]

"""The algorithms that train a policy, by name. What turns their weights back into one stands in `policies.trained`.

Owns the names, and which options of a training each algorithm heeds: any other is refused, not ignored. Each
algorithm has a file of its own.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Protocol

from lamps_core.errors import BadInput, no_such

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lamps_core.policy_file import PolicyFile
    from lamps_core.policy_training.training_run import TrainingRun
    from lamps_core.task import Task

DEFAULT_ALGORITHM: Final = "forecast"
# Options of a training beside its curves and seed, by the name of the user's option.
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


@dataclass(frozen=True)
class Algorithm:
    """One way to train a policy.

    Attributes:
        name: as `--algorithm` and `--methods` take it.
        about: one line.
        learn: see `Train`; called by `train`.
        takes: those of OPTIONS that its training can keep to.
    """

    name: str
    about: str
    learn: Train
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
            BadInput: the run has an option that the algorithm does not take.
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
            takes=frozenset({"bounds", "seconds"}),  # it ends within any that make sense
        ),
        Algorithm(
            "distral",
            "Distral on PPO, the paper's: a policy distilled from one a dataset",
            _distral,
            takes=every,
        ),
        Algorithm("ppo", "PPO of one policy on all datasets", _ppo, takes=every),
        Algorithm(
            "universal",
            "forecasts curves of any candidates, for any objectives",
            _universal,
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


def _distral(tasks: Sequence[Task], *, seed: int, run: TrainingRun) -> PolicyFile:
    from lamps_core.policy_training.pool_training import train_distral

    return train_distral(tasks, seed=seed, run=run)


def _ppo(tasks: Sequence[Task], *, seed: int, run: TrainingRun) -> PolicyFile:
    from lamps_core.policy_training.pool_training import train_ppo

    return train_ppo(tasks, seed=seed, run=run)


def _universal(tasks: Sequence[Task], *, seed: int, run: TrainingRun) -> PolicyFile:
    from lamps_core.policy_training.universal import train

    return train(tasks, seed=seed, run=run)


def algorithm(name: str) -> Algorithm:
    """The algorithm of that name.

    Raises:
        BadInput: there is none.
    """
    known = algorithms()
    if name not in known:
        raise no_such("--algorithm", name, "algorithm", known)
    return known[name]

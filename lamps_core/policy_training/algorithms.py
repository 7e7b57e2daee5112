"""The algorithms that train a policy, by name, and what turns their weights back into one.

Owns the names. Each algorithm has a file of its own.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol

from lamps_core.errors import no_such

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lamps_core.meta_dataset import Task
    from lamps_core.objectives import Objective
    from lamps_core.policies import Policy
    from lamps_core.policy_file import PolicyFile
    from lamps_core.policy_training.training_run import TrainingRun

DEFAULT_ALGORITHM: Final = "forecast"


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
        train: see `Train`.
        load: see `Load`.
    """

    name: str
    about: str
    train: Train
    load: Load


def algorithms() -> dict[str, Algorithm]:
    """All of them; nothing heavy is imported before one is used."""
    found = (
        Algorithm(
            "forecast", "forecasts how each curve goes on; the best gain per second", _forecast, _forecasts
        ),
        Algorithm(
            "distral", "Distral on PPO, the paper's: a policy distilled from one a dataset", _distral, _pool
        ),
        Algorithm("ppo", "PPO of one policy on all datasets", _ppo, _pool),
        Algorithm(
            "universal", "forecasts curves of any candidates, for any objectives", _universal, _of_any_pool
        ),
    )
    return {one.name: one for one in found}


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

"""The methods that `lamps evaluate` compares and that need no training, by name."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from lamps_core import front
from lamps_core.policies.blind import Blind
from lamps_core.policies.ordered import Cheapest, ZigZag

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from lamps_core.meta_dataset import Task
    from lamps_core.policies import Observation, Policy


@dataclass(frozen=True)
class Method:
    """A method of comparison.

    Attributes:
        name: as `--methods` takes it.
        policy: made from the task it is judged on, which only the Oracle looks at; the tasks of other datasets;
            and a seed.
        random: whether the seed changes what it does.
        about: one line.
    """

    name: str
    policy: Callable[[Task, Sequence[Task], int], Policy]
    random: bool
    about: str


class InOrder:
    """One candidate after another to its end, in a given order."""

    def __init__(self, name: str, order: Sequence[int]) -> None:
        self.name = name
        self._order = tuple(order)

    def select(self, observation: Observation) -> int:
        """The first of the order that may be chosen."""
        return next(index for index in self._order if observation.mask[index])


def _oracle(task: Task, _: Sequence[Task], __: int) -> Policy:
    """The front first, each time the candidate with the most hypervolume gained per second."""
    left = [int(index) for index in np.flatnonzero(task.on_front)]
    order: list[int] = []
    while left:
        found = task.final[order]
        gains = {
            index: front.hypervolume_gain(task.final[index], found, task.reference)
            / max(task.curve_seconds[index], 1e-12)
            for index in left
        }
        best = max(left, key=lambda index: gains[index])
        left.remove(best)
        order.append(best)
    return InOrder("oracle", [*order, *np.flatnonzero(~task.on_front).tolist()])


METHODS: dict[str, Method] = {
    method.name: method
    for method in (
        Method(
            "exhaustive",
            lambda task, _, __: InOrder("exhaustive", range(len(task.rows))),
            random=False,
            about="every candidate, in the order of their names",
        ),
        Method("blind", lambda _, __, seed: Blind(seed=seed), random=True, about="a random step"),
        Method("oracle", _oracle, random=False, about="knows the front"),
        Method(
            "zigzag",
            lambda _, __, ___: ZigZag(),
            random=False,
            about="largest, smallest, second largest, ...",
        ),
        Method("cheapest", lambda _, __, ___: Cheapest(), random=False, about="ascending expected cost"),
    )
}

"""Every method that a trained policy is compared with, by name and in the order of the reports.

All decide through `Policy.select`. What a method may know beside the observation stands in its `policy`: the
task that is searched (privileged, `oracle` alone reads its curves), the training tasks, a seed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from lamps_core.policies.exhaustive import Exhaustive
from lamps_core.policies.loading import load_policy
from lamps_core.policies.oracle import Oracle
from lamps_core.policies.portfolio import Portfolio, portfolio_order

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from lamps_core.policies.protocol import Policy
    from lamps_core.task import Task


@dataclass(frozen=True)
class Method:
    """A way to search that needs no training of weights.

    Attributes:
        name: as in results and on the command line.
        policy: (the task to search, the training tasks, seed) -> a policy for one search of that task.
        random: whether repeats with other seeds differ.
        about: one line for reports.
    """

    name: str
    policy: Callable[[Task, Sequence[Task], int], Policy]
    random: bool
    about: str


def _live(name: str, about: str, *, random: bool = False) -> Method:
    """A method that a real search can use as well."""

    def policy(task: Task, _training: Sequence[Task], seed: int) -> Policy:
        return load_policy(name, seed=seed, objectives=task.objectives)

    return Method(name, policy, random, about)


_ALL = (
    Method(
        "exhaustive",
        lambda _task, _training, _seed: Exhaustive(),
        random=False,
        about="every candidate fully fine-tuned, in the order of the list",
    ),
    _live("blind", "a random step", random=True),
    Method(
        "oracle",
        lambda task, _training, _seed: Oracle(task),
        random=False,
        about="knows the front; the best hypervolume gain per second first",
    ),
    _live("zigzag", "largest, smallest, second largest, ... by parameters, each fully fine-tuned"),
    _live("cheapest", "ascending expected cost, each fully fine-tuned"),
    Method(
        "portfolio",
        lambda _task, training, _seed: Portfolio(portfolio_order(training)),
        random=False,
        about="one order, greedy on mean hypervolume gain per cost over the training datasets",
    ),
    _live("mo_asha", "multi-objective successive halving over landmark steps, cheapest first"),
    _live("ehvi", "expected hypervolume improvement per cost over extrapolated curves"),
    _live("ats", "accept then stop: losses extrapolated from four landmarks, the best gain per cost first"),
)

METHODS: dict[str, Method] = {method.name: method for method in _ALL}

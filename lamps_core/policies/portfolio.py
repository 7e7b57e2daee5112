"""`portfolio`: one static order of candidates, greedy on the training tasks; each fully fine-tuned.

Greedy portfolios by marginal gain are Hydra's and auto-sklearn 2.0's (Xu, Hoos and Leyton-Brown, "Hydra", 2010;
Feurer et al., "Auto-Sklearn 2.0", 2022); by gain per second they are Streeter and Golovin's "An online algorithm
for maximizing submodular functions", 2008, within 1 - 1/e of the best order at any time, the hypervolume being
submodular. Knows the training tasks; sees nothing of the new one but its names and costs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from lamps_core.policies.gains import hypervolume_gains

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lamps_core.policies.protocol import Observation
    from lamps_core.task import FloatArray, Task


class Portfolio:
    """The first candidate of the order that may be chosen; those never seen last, the cheapest of them first."""

    name = "portfolio"

    def __init__(self, order: Sequence[str]) -> None:
        """Fix the order.

        Args:
            order: names, first to last, as `portfolio_order` gives them.
        """
        self._place = {name: place for place, name in enumerate(order)}

    def select(self, observation: Observation) -> int:
        """The earliest of the order; an unknown cost counts as the largest."""
        allowed = np.flatnonzero(observation.mask)
        place = [self._place.get(observation.names[index], len(self._place)) for index in allowed]
        cost = np.nan_to_num(observation.epoch_cost[allowed], nan=np.inf)
        return int(allowed[np.lexsort((cost, place))[0]])


def portfolio_order(tasks: Sequence[Task]) -> list[str]:
    """Names in the order that gains most, greedily, on the mean over tasks.

    At each place stands the candidate with the greatest mean, over the tasks that hold it, of the gain in
    normalised hypervolume over those before it, divided by what its curve costs as a share of that task's
    exhaustive cost. The share, and not plain seconds: in seconds the smallest dataset, whose rates are
    hundreds of times a large one's, would choose the order alone. One that never completes costs and gains
    nothing. Where nobody gains any more, the cheapest comes first.

    Args:
        tasks: training tasks; they need not hold the same candidates.
    """
    names = list(dict.fromkeys(name for task in tasks for name in task.candidates))
    training = [_Training(task, names) for task in tasks]
    held = np.sum([~np.isnan(one.share) for one in training], axis=0)
    mean_share = np.nansum([one.share for one in training], axis=0) / np.maximum(held, 1)
    left = np.ones(len(names), dtype=bool)
    order = []
    while left.any():
        rates = np.sum([one.rates() for one in training], axis=0) / np.maximum(held, 1)
        first = np.lexsort((mean_share, -rates, ~left))[0]
        for one in training:
            one.add(first)
        left[first] = False
        order.append(names[first])
    return order


class _Training:
    """One training task: which candidates the order has completed there, and what the others would gain.

    Attributes:
        share: (names,) cost of each curve as a share of the exhaustive cost; NaN where the task lacks it.
    """

    def __init__(self, task: Task, names: Sequence[str]) -> None:
        self._task = task
        self._own = {name: index for index, name in enumerate(task.candidates)}
        self._place = np.array([self._own.get(name, -1) for name in names])
        share = task.curve_seconds / task.exhaustive_seconds
        self.share: FloatArray = np.where(self._place >= 0, share[self._place], np.nan)
        # The zero-shot evaluation alone completes these, whatever is chosen.
        self._done = task.complete & (task.rows == 1)
        self._refresh()

    def rates(self) -> FloatArray:
        """(names,) gain in normalised hypervolume per share of the exhaustive cost; 0 where it lacks one."""
        return self._rates

    def add(self, name: int) -> None:
        """The order goes on with this one."""
        own = self._place[name]
        # One that gains nothing leaves everyone's gains as they are.
        if own >= 0 and self._rates[name] > 0.0:
            self._done[own] = True
            self._refresh()

    def _refresh(self) -> None:
        task = self._task
        gains = np.zeros(len(task.rows))
        open_ones = task.complete & ~self._done
        gains[open_ones] = hypervolume_gains(task.final[open_ones], task.final[self._done], task.reference)
        own = np.where(self._place >= 0, gains[self._place], 0.0) / task.hypervolume
        with np.errstate(divide="ignore", invalid="ignore"):
            self._rates: FloatArray = np.where(own > 0.0, own / self.share, 0.0)

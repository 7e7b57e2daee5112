"""`mo_asha`: multi-objective asynchronous successive halving, stopping variant, one step after another.

Schmucker, Donini, Zafar, Salinas and Archambeau, "Multi-objective asynchronous successive halving", 2021, as Syne
Tune's `MOASHA` runs it: at each rung a candidate goes on if it is among the best 1 / eta of those that reached the
rung so far, sorted by non-dominated layers and inside a layer by an epsilon-net (Clarkson, "Nearest-neighbor
searching and metric space dimensions", 2005, p. 17). Deviations, for a fixed list of candidates instead of an
endless supply of random ones:

- They start in ascending expected cost, not in random order.
- Objectives are divided by their range before distances are taken: nats and seconds are no one metric.
- When all have been stopped or are complete, the stopped ones go on, those of the highest rung first and the best
  ranked of a rung first, each to its end: a search ends with its budget, not with a bracket.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from lamps_core.policies.ordered import ascending_cost

if TYPE_CHECKING:
    from lamps_core.policies.protocol import Observation
    from lamps_core.task import BoolArray, FloatArray, IntArray

ETA = 2  # the reduction factor; also the ratio of two rungs' steps
# A grace period of 2 landmark steps, then 4, 8, ...: step 1 trains on a 128th of the rows, too few to halve by.
RUNGS = tuple(ETA**power for power in range(1, 6))


class MultiObjectiveAsha:
    """Successive halving over landmark steps.

    What was decided at a rung follows from the curves, so it is worked out anew from every observation; memory
    only saves time, and a resumed search decides alike.
    """

    name = "mo_asha"

    def __init__(self) -> None:
        # Who reached a rung, in order, is a path in a tree from the root 0: (node, objectives) -> (next node,
        # whether that one goes on). Paths are shared by all rungs.
        self._tree: dict[tuple[int, bytes], tuple[int, bool]] = {}
        self._points: list[FloatArray] = []

    def select(self, observation: Observation) -> int:
        """The candidate whose turn it is: the first that was not stopped, else the best of those that were."""
        curves = observation.curves
        if len(curves) != len(observation.names):
            raise ValueError("mo_asha needs the curves of its observation")
        node = dict.fromkeys(RUNGS, 0)
        for candidate in ascending_cost(observation.epoch_cost).tolist():
            steps = int(observation.steps[candidate])
            stopped = False
            for rung in RUNGS:
                if rung > steps or stopped:
                    break
                node[rung], goes_on = self._arrive(node[rung], curves[candidate][rung])
                stopped = not goes_on
            if not stopped and observation.mask[candidate]:
                return candidate
        return _resumed(observation)

    def _arrive(self, node: int, objectives: FloatArray) -> tuple[int, bool]:
        """One more candidate at a rung: the node of all that reached it, and whether it goes on."""
        key = node, objectives.tobytes()
        if key not in self._tree:
            before = self._points[node - 1] if node else objectives[None][:0]
            points = np.vstack([before, objectives])
            self._points.append(points)
            # Syne Tune's comparison: of two at a rung both go on, of three the best two.
            goes_on = bool(ranks(points)[-1] <= len(points) / ETA)
            self._tree[key] = len(self._points), goes_on
        return self._tree[key]


def ranks(points: FloatArray) -> IntArray:
    """(m,) place of each point, 0 first: by non-dominated layer, then by the epsilon-net of its layer.

    Args:
        points: (m, n) minimised objectives; NaN, an unknown one, is worse than any number.

    >>> ranks(np.array([[1.0, 5.0], [2.0, 2.0], [5.0, 1.0], [6.0, 6.0]])).tolist()
    [0, 2, 1, 3]
    """
    known = np.where(np.isnan(points), np.inf, points)
    no_worse: BoolArray = np.all(known[:, None] <= known[None], axis=2)
    dominates = no_worse & ~no_worse.T  # [i, j]: i dominates j
    place = np.full(len(points), -1)
    left = np.ones(len(points), dtype=bool)
    while left.any():
        layer = np.flatnonzero(left & ~dominates[left].any(axis=0))
        place[layer[_epsilon_net(known[layer])]] = np.arange(len(layer)) + (~left).sum()
        left[layer] = False
    return place


def _epsilon_net(points: FloatArray) -> IntArray:
    """Indices, the point of least first objective first, then always the one farthest from those before it."""
    finite = np.nan_to_num(points, posinf=np.nanmax(points[np.isfinite(points)], initial=0.0))
    extent = np.ptp(finite, axis=0)
    scaled = finite / np.where(extent > 0.0, extent, 1.0)
    order = [int(np.argmin(points[:, 0]))]
    distance = np.linalg.norm(scaled - scaled[order[0]], axis=1)
    while len(order) < len(points):
        distance[order] = -1.0
        order.append(int(np.argmax(distance)))
        distance = np.minimum(distance, np.linalg.norm(scaled - scaled[order[-1]], axis=1))
    return np.array(order)


def _resumed(observation: Observation) -> int:
    """Of the stopped ones that may run, the best ranked of the highest rung."""
    rung = np.searchsorted(RUNGS, observation.steps, side="right")  # how many rungs each has reached
    highest = rung[observation.mask].max()
    there = np.flatnonzero(observation.mask & (rung == highest))
    step = RUNGS[highest - 1] if highest else 0
    points = np.array([observation.curves[candidate][step] for candidate in there])
    begun = observation.steps[there] > step  # one that has gone on from its rung is not left for another
    return int(there[np.lexsort((ranks(points), ~begun))[0]])

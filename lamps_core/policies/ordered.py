"""Policies that fully fine-tune one candidate after another, in an order fixed after the zero-shot step."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from lamps_core.policies.protocol import Observation


class Cheapest:
    """Ascending expected cost of an epoch: the smallest fine-tune first, each to its end.

    The cost is counted operations, not measured seconds, so that noise of the clock changes no decision.
    """

    name = "cheapest"

    def select(self, observation: Observation) -> int:
        """The cheapest candidate that may be chosen."""
        return _first(ascending_cost(observation.epoch_cost), observation)


class ZigZag:
    """Largest, smallest, second largest, ... by parameters, each to its end (paper, Section 6.1)."""

    name = "zigzag"

    def select(self, observation: Observation) -> int:
        """The first candidate of the alternating order that may be chosen."""
        return _first(zigzag_order(observation.parameters), observation)


def ascending_cost(epoch_cost: np.ndarray) -> np.ndarray:
    """Indices, the cheapest first; equal ones in the order given, an unknown cost last.

    >>> ascending_cost(np.array([np.nan, 2.0, 1.0, 2.0])).tolist()
    [2, 1, 3, 0]
    """
    order: np.ndarray = np.argsort(np.where(np.isnan(epoch_cost), np.inf, epoch_cost), kind="stable")
    return order


def zigzag_order(parameters: np.ndarray) -> np.ndarray:
    """Indices from the ends inward, largest first.

    >>> zigzag_order(np.array([10.0, 40.0, 20.0, 30.0])).tolist()
    [1, 0, 3, 2]
    """
    ascending = np.argsort(np.nan_to_num(parameters), kind="stable")
    order = np.empty_like(ascending)
    largest_first = ascending[::-1]
    half = (len(order) + 1) // 2
    order[0::2] = largest_first[:half]
    order[1::2] = ascending[: len(order) - half]
    return order


def _first(order: np.ndarray, observation: Observation) -> int:
    return int(next(index for index in order if observation.mask[index]))

"""What is known of candidates beside their curves: their size, and how alike their names are."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lamps_core.task import FloatArray, IntArray

LETTERS = 3  # in a piece of a name


@dataclass(frozen=True)
class Features:
    """What is known of m candidates beside their curves.

    Attributes:
        size: (m,) logarithm of the expected cost of an epoch, with mean 0 and deviation 1 (0 where all are equal).
        spread: that deviation before it was made 1.
        likeness: (m, m) of names, 1 on the diagonal, positive semidefinite.
    """

    size: FloatArray
    spread: float
    likeness: FloatArray

    def of(self, places: IntArray) -> Features:
        """The features of some candidates, in the order of their places, as if there were no others."""
        return Features(
            *_standardised(self.spread * self.size[places]), self.likeness[np.ix_(places, places)]
        )


def features_of(names: Sequence[str], epoch_cost: FloatArray, parameters: FloatArray) -> Features:
    """Of m candidates.

    Args:
        names: (m,).
        epoch_cost: (m,) expected cost of an epoch; where it is unknown, the parameters take its place.
        parameters: (m,); NaN where unknown.
    """
    known = np.isfinite(epoch_cost) & (epoch_cost > 0)
    cost = epoch_cost if known.sum() >= np.isfinite(parameters).sum() else parameters
    size = np.log(np.where(np.isfinite(cost) & (cost > 0), cost, np.nan))
    return Features(*_standardised(size), likeness(names))


def _standardised(size: FloatArray) -> tuple[FloatArray, float]:
    """(m,) as `Features` has it, and its deviation."""
    middle = np.nanmean(size) if np.isfinite(size).any() else 0.0
    size = np.where(np.isfinite(size), size - middle, 0.0)
    deviation = float(size.std())
    return (size / deviation, deviation) if deviation > 1e-9 else (np.zeros_like(size), 0.0)


def likeness(names: Sequence[str]) -> FloatArray:
    """(m, m) cosine of the counts of letter triples, numbers left out: the family, as far as a name tells it.

    >>> likeness(["bert-1", "bert-2", "gpt"]).round(2).tolist()
    [[1.0, 1.0, 0.0], [1.0, 1.0, 0.0], [0.0, 0.0, 1.0]]
    """
    counts = [_triples(name) for name in names]
    columns = {piece: place for place, piece in enumerate(sorted({one for count in counts for one in count}))}
    table = np.zeros((len(names), len(columns)))
    for row, count in enumerate(counts):
        for piece, number in count.items():
            table[row, columns[piece]] = number
    table /= np.linalg.norm(table, axis=1, keepdims=True)
    return np.asarray(table @ table.T)


def _triples(name: str) -> Counter[str]:
    bare = "  " + re.sub(r"[\d\W_]+", " ", name.lower()).strip() + " "
    return Counter(bare[place : place + LETTERS] for place in range(len(bare) - LETTERS + 1))

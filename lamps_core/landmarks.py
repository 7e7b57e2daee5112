"""Landmark subsets: the order of the training rows, and how many of them each step trains on.

Owns section 4 of the paper: D_1, ..., D_K of floor(|D| / 2^(K-k)) rows, D_k inside D_(k+1), D_K all rows. The
subsets are prefixes of one stratified order, so they nest by construction. Knows nothing of texts or models.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from lamps_core.errors import BadInput

if TYPE_CHECKING:
    import numpy.typing as npt

    IntArray = npt.NDArray[np.int64]

LANDMARKS = 8  # K of the paper, and the default of a search


def stratified_order(labels: IntArray, *, seed: int) -> IntArray:
    """Order rows so that every prefix holds each class in its share, as nearly as Webster's method gives.

    The j-th row (from 0) of a shuffled class of n_c rows gets the key (j + 1/2) / n_c, and rows are sorted by
    key: a prefix is an apportionment of its length among the classes by Webster's (Sainte-Lague's) method
    (Balinski and Young, "Fair Representation", 1982), which is house monotone: growing it never takes a row
    away. With C classes in n rows, the count of class c in a prefix of N rows is within
    (1 + (C - 2) n_c / n) / 2 of its quota N n_c / n: each key is within 1/2 of its class's own quota, and the
    other classes' half rows are shared out by size. For two classes that is half a row.

    Args:
        labels: [rows] class of each row, any integers.
        seed: of the shuffle inside a class and of the order among equal keys.

    Returns:
        [rows] a permutation of row numbers. O(n log n).

    >>> stratified_order(np.array([0, 0, 0, 0, 1, 1]), seed=0).tolist()
    [3, 5, 2, 0, 4, 1]
    """
    generator = np.random.default_rng(seed)
    rows = len(labels)
    shuffled = generator.permutation(rows)
    _, classes, class_rows = np.unique(labels[shuffled], return_inverse=True, return_counts=True)
    by_class = np.argsort(classes, kind="stable")
    first_of_class = np.cumsum(class_rows) - class_rows
    place = np.empty(rows, dtype=np.int64)
    place[by_class] = np.arange(rows) - first_of_class[classes[by_class]]
    # Equal fractions divide to equal floats, so ties are exact and the shuffle above decides them.
    keys = (place + 0.5) / class_rows[classes]
    return shuffled[np.argsort(keys, kind="stable")].astype(np.int64)


def landmark_rows(rows: int, *, landmarks: int = LANDMARKS) -> tuple[int, ...]:
    """Sizes of D_1, ..., D_K: floor(rows / 2^(K-k)). Early subsets of few rows may be empty.

    Args:
        rows: |D|, the training rows.
        landmarks: K.

    Raises:
        BadInput: less than one landmark or a negative number of rows.

    >>> landmark_rows(1000)
    (7, 15, 31, 62, 125, 250, 500, 1000)
    """
    if landmarks < 1:
        raise BadInput(f"--landmarks must be at least 1, not {landmarks}")
    if rows < 0:
        raise BadInput(f"training rows must be 0 or more, not {rows}")
    return tuple(rows >> (landmarks - k) for k in range(1, landmarks + 1))


def rows_of_step(order: IntArray, step: int, landmarks: int = LANDMARKS) -> IntArray:
    """Rows that step k trains on: D_k for k = 1..K, all rows for the further epochs after K.

    Args:
        order: [rows] permutation made by `stratified_order`.
        step: landmark step, from 1: step 0 is the zero-shot evaluation and trains on nothing.
        landmarks: K.

    Raises:
        BadInput: a step below 1.
    """
    if step < 1:
        raise BadInput(f"step {step} trains on no rows: training steps count from 1")
    if step >= landmarks:
        return order
    return order[: landmark_rows(len(order), landmarks=landmarks)[step - 1]]

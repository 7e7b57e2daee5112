"""What a replayed search is worth: when it reached which share of the hypervolume, and its regret.

One fold row a (dataset, method, repeat), as `evaluation.json` holds it. Knows nothing of how the search was
decided, of means over folds (`summary`) or of files.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt

    from lamps_core.replay import Replay
    from lamps_core.task import Task

SHARES = (0.9, 0.98, 0.999, 1.0)
KEY_SHARE = 0.98  # that the paper's Figure 3 and its text compare
DECADES = 4.0  # of spent / exhaustive, that the regret is the mean over


def regret_auc(spent_seconds: npt.ArrayLike, share: npt.ArrayLike, exhaustive_seconds: float) -> float:
    """The mean of 1 - share over log10(spent / exhaustive) from -4 to 0; smaller is better.

    The share is a step function: 0 before the first entry, then each entry's until the next, the last one's
    to the end. Its integral is taken exactly.

    Args:
        spent_seconds: (p,) cost when the share grew, ascending.
        share: (p,) of the hypervolume from then on, 0 to 1.
        exhaustive_seconds: cost of every step, more than 0.

    Returns:
        0 (everything reached within a ten-thousandth of the cost) to 1 (nothing reached).

    Raises:
        ValueError: no cost, or arrays of different lengths.

    >>> regret_auc([1.0, 10.0], [0.5, 1.0], 100.0)  # two decades of 1, one of a half, one of 0
    0.625
    >>> regret_auc([], [], 100.0)
    1.0
    """
    if not exhaustive_seconds > 0.0:
        raise ValueError(f"an exhaustive search that costs {exhaustive_seconds} s has no logarithm")
    spent, reached = np.asarray(spent_seconds, dtype=np.float64), np.asarray(share, dtype=np.float64)
    if spent.shape != reached.shape or spent.ndim != 1:
        raise ValueError(f"{spent.shape} costs and {reached.shape} shares")
    with np.errstate(divide="ignore"):  # a cost of 0 lies before the first decade
        begins = np.log10(spent / exhaustive_seconds)
    edges = np.clip(np.concatenate([[-np.inf], begins, [np.inf]]), -DECADES, 0.0)
    lost = 1.0 - np.concatenate([[0.0], reached])
    return float(np.dot(lost, np.diff(edges)) / DECADES)


def fold_row(task: Task, method: str, repeat: int, replay: Replay) -> dict[str, Any]:
    """One row of `evaluation.json`.

    Args:
        task: the held-out one.
        method: its name.
        repeat: from 0.
        replay: what the method reached on it.

    Returns:
        The contract's keys, and `curve_seed` and `trajectory`, from which the figures are drawn.
    """
    share = np.minimum(replay.share, 1.0)
    # A clock that goes on step by step rounds otherwise than the sum over all steps.
    replay = dataclasses.replace(
        replay, spent_seconds=np.minimum(replay.spent_seconds, task.exhaustive_seconds)
    )
    return {
        "dataset": task.dataset,
        "method": method,
        "repeat": repeat,
        "seconds_to": {str(wanted): replay.seconds_to(wanted) for wanted in SHARES},
        "exhaustive_seconds": task.exhaustive_seconds,
        "regret_auc": regret_auc(replay.spent_seconds, share, task.exhaustive_seconds),
        "curve_seed": task.seed,
        "trajectory": {"spent_seconds": replay.spent_seconds.tolist(), "share": share.tolist()},
    }

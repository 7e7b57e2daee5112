"""The reward of an episode: equations 5 and 7 of the paper, and its normalisation of Appendix C.

Both are sparse: 0 until the last Pareto-optimal candidate is complete. Owns the numbers of a finished episode;
knows nothing of observations or frameworks.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from lamps_core import front

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    from lamps_core.task import FloatArray, IntArray, Task

Equation = Literal["5", "7"]
OPTIMUM = 3000.0  # Appendix C: what an episode earns in which only Pareto-optimal candidates were fine-tuned


def equation_7(candidates: npt.ArrayLike, complete: npt.ArrayLike, seconds: npt.ArrayLike) -> FloatArray:
    """|X without X_T| / Delta_T: candidates spared for every second spent.

    Args:
        candidates: (...) |X|.
        complete: (...) |X_T|, candidates fine-tuned to their end.
        seconds: (...) Delta_T, spent from the start of the episode, above 0.

    >>> float(equation_7(70, 10, 120.0))
    0.5
    """
    return (np.asarray(candidates) - np.asarray(complete)) / np.asarray(seconds, dtype=np.float64)


def equation_5(hypervolume: npt.ArrayLike, complete: npt.ArrayLike, penalty: npt.ArrayLike) -> FloatArray:
    """H(X_T) - lambda |X_T|.

    Args:
        hypervolume: (...) of the candidates that are complete.
        complete: (...) |X_T|.
        penalty: (...) lambda, within the bound of Theorem 1.

    >>> float(equation_5(2.0, 3, 0.25))
    1.25
    """
    return np.asarray(hypervolume) - np.asarray(penalty) * np.asarray(complete, dtype=np.float64)


def normalised(reward: npt.ArrayLike, optimal: npt.ArrayLike, *, optimum: float = OPTIMUM) -> FloatArray:
    """A reward as Appendix C tells it: `optimum` where nothing but the Pareto-optimal was fine-tuned.

    Args:
        reward: (...) of an episode.
        optimal: (...) the most that it could have been; 0 where every episode earns 0, and all are optimal.
        optimum: what the most is called.

    >>> normalised([0.5, 0.1], [0.5, 0.5]).tolist(), float(normalised(0.0, 0.0))
    ([3000.0, 600.0], 3000.0)
    """
    most = np.asarray(optimal, dtype=np.float64)
    return optimum * np.where(most > 0, np.asarray(reward) / np.where(most > 0, most, 1.0), 1.0)


@dataclass(frozen=True, kw_only=True)
class Rewards:
    """What a finished episode earns on each of T tasks.

    Attributes:
        equation: of the paper.
        optimum: what the best episode earns.
        candidates: (T,) |X|.
        hypervolume: (T,) of all Pareto-optimal candidates, which every finished episode has reached.
        penalty: (T,) lambda of equation 5, half of Theorem 1's bound: below it, X* alone is best.
        optimal: (T,) the most that an episode can earn, before it is normalised.
    """

    equation: Equation
    optimum: float
    candidates: IntArray
    hypervolume: FloatArray
    penalty: FloatArray
    optimal: FloatArray

    @classmethod
    def of(cls, tasks: Sequence[Task], *, equation: Equation = "7", optimum: float = OPTIMUM) -> Rewards:
        """The rewards on some tasks."""
        candidates = np.array([len(task.candidates) for task in tasks])
        needed = [task.on_front | (task.complete & (task.rows == 1)) for task in tasks]
        hypervolume = np.array([task.hypervolume for task in tasks])
        if equation == "5":
            penalty = np.array([_penalty(task) for task in tasks])
            optimal = equation_5(hypervolume, [int(one.sum()) for one in needed], penalty)
        else:
            penalty = np.zeros(len(tasks))
            seconds = [
                task.zero_shot_seconds + task.curve_seconds[one].sum()
                for task, one in zip(tasks, needed, strict=True)
            ]
            optimal = equation_7(candidates, [int(one.sum()) for one in needed], seconds)
        return cls(
            equation=equation,
            optimum=optimum,
            candidates=candidates,
            hypervolume=hypervolume,
            penalty=penalty,
            optimal=optimal,
        )

    def final(self, task: IntArray, complete: IntArray, seconds: FloatArray) -> FloatArray:
        """(k,) normalised rewards of k episodes that have ended.

        Args:
            task: (k,) the task of each.
            complete: (k,) candidates that are complete.
            seconds: (k,) spent.
        """
        if self.equation == "5":
            earned = equation_5(self.hypervolume[task], complete, self.penalty[task])
        else:
            earned = equation_7(self.candidates[task], complete, seconds)
        return normalised(earned, self.optimal[task], optimum=self.optimum)


def _penalty(task: Task) -> float:
    return 0.5 * front.largest_lambda(task.final[task.complete], task.reference)

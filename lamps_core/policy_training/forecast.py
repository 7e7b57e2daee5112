"""The algorithm `forecast`: learns how curves go on, and decides by what they promise (`policies.forecast`).

The paper's Distral and PPO learn which candidate to choose from rewards at the end of episodes. Here the end of every
recorded curve is a lesson, whichever policy would have come to it, so that seconds of training are enough. Owns how
tasks become numbers to follow, and the policy file.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from lamps_core.fingerprints import objectives_fingerprint
from lamps_core.objectives import SHARES
from lamps_core.one_thread import one_thread
from lamps_core.policies.forecast import (
    CURVE_SECONDS,
    UNCHANGING,
    TrackedQuantity,
    process_of,
    seconds_so_far,
    tracked_quantities,
)
from lamps_core.policy_file import PolicyCard, PolicyFile, prefixed, trained_for
from lamps_core.policy_training.curve_learning import Curves, learn, progress_of, with_candidate
from lamps_core.policy_training.task_batch import stack

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lamps_core.objectives import Objective
    from lamps_core.policy_training.task_batch import TaskBatch
    from lamps_core.policy_training.training_run import TrainingRun
    from lamps_core.task import FloatArray, Task

NAME = "forecast"
CONSTANT = 1e-9  # relative: a number that changes less along every curve is known from its first row on


@one_thread()
def train(tasks: Sequence[Task], *, seed: int, run: TrainingRun) -> PolicyFile:
    """Fit one process to each number that is followed; see `algorithms.Train`."""
    batch = stack(tasks)
    columns = tuple(objective.column for objective in tasks[0].objectives)
    numbers = _numbers(batch, columns)
    progress = progress_of(batch.step_seconds, batch.rows)
    weights: dict[str, np.ndarray] = {}
    for index, (quantity, values) in enumerate(numbers):
        process = learn(_curves(batch, quantity, values), progress, seed=seed)
        weights |= prefixed(quantity.name, process.arrays())
        run.log((index + 1) / len(numbers), {"forecasts_learned": float(index + 1)})
    card = PolicyCard(
        kind="pool",
        algorithm=NAME,
        objectives=columns,
        candidates=batch.candidates,
        datasets=tuple(sorted({task.dataset for task in tasks})),
        meta_dataset=objectives_fingerprint(tasks),
        network=_network([quantity for quantity, _ in numbers], tasks[0].objectives),
        settings={"seed": seed, **trained_for(tasks[0].objectives)},
    )
    return PolicyFile(card, weights)


def _network(quantities: Sequence[TrackedQuantity], objectives: Sequence[Objective]) -> dict[str, Any]:
    """What the card says of the numbers of a policy."""
    tracked = {one.name: one.logarithm for one in quantities}
    constant = [one.column for one in objectives if not one.constant and one.column not in tracked]
    return {"followed": tracked} | ({UNCHANGING: constant} if constant else {})


@one_thread()
def extend(file: PolicyFile, tasks: Sequence[Task], candidate: str) -> PolicyFile:
    """Know one more candidate: its effects and loadings join those of the others, which stay as they are.

    Args:
        file: trained on these tasks without the candidate.
        tasks: with it.
        candidate: that the file does not know.

    Raises:
        BadInput: the weights are not those of a forecast.
    """
    names = (*file.card.candidates, candidate)
    batch = stack(tasks, names)
    weights: dict[str, np.ndarray] = {}
    for name, quantity in tracked_quantities(file, NAME).items():
        curves = _curves(batch, quantity, _values(batch, name, file.card.objectives))
        process = with_candidate(process_of(file, name, NAME), curves)
        weights |= prefixed(name, process.arrays())
    return PolicyFile(
        replace(file.card, candidates=names, meta_dataset=objectives_fingerprint(tasks)), weights
    )


@one_thread()
def when_complete(file: PolicyFile, tasks: Sequence[Task]) -> dict[str, FloatArray]:
    """(T, m) what each objective is expected to be when complete, after the zero-shot evaluations alone.

    Args:
        file: of a forecast.
        tasks: of no candidate that the file does not know.

    Returns:
        By objective, minimised, of those that change along a curve; NaN where a task lacks a candidate.
    """
    batch, expected = stack(tasks, file.card.candidates), {}
    for name, quantity in tracked_quantities(file, NAME).items():
        if name not in file.card.objectives:
            continue
        curves = _curves(batch, quantity, _values(batch, name, file.card.objectives))
        process, nobody = process_of(file, name, NAME), np.zeros(len(batch.candidates), dtype=bool)
        means = [
            np.where(rows > 0, process.forecast(values, np.minimum(rows, 1) - 1, cost, nobody).mean, np.nan)
            for values, rows, cost in zip(curves.values, curves.rows, curves.log_cost, strict=True)
        ]
        expected[name] = quantity.inverse(np.stack(means))
    return expected


def _numbers(batch: TaskBatch, columns: Sequence[str]) -> list[tuple[TrackedQuantity, FloatArray]]:
    """What is followed, and its (T, m, L + 1) values with the complete ones behind them."""
    changing = [name for index, name in enumerate(columns) if not _is_constant(batch.values[..., index])]
    quantities = [TrackedQuantity(name, logarithm=name not in SHARES) for name in changing]
    quantities.append(TrackedQuantity(CURVE_SECONDS, logarithm=True))
    return [(one, _values(batch, one.name, columns)) for one in quantities]


def _values(batch: TaskBatch, name: str, columns: Sequence[str]) -> FloatArray:
    """(T, m, L + 1) values of a number with the complete ones behind them."""
    if name == CURVE_SECONDS:
        return _with_end(seconds_so_far(batch.step_seconds), _unfinished(batch))
    return _with_end(batch.values[..., columns.index(name)], _unfinished(batch))


def _curves(batch: TaskBatch, quantity: TrackedQuantity, values: FloatArray) -> Curves:
    log_cost = np.log(np.where(batch.epoch_cost > 0.0, batch.epoch_cost, 1.0))
    return Curves(values=quantity.transform(values), rows=batch.rows, log_cost=log_cost)


def _unfinished(batch: TaskBatch) -> FloatArray:
    """(T, m) NaN for a curve that never completes, whose end says nothing of complete ones; else 0."""
    return np.where(batch.complete, 0.0, np.nan)


def _with_end(values: FloatArray, unfinished: FloatArray) -> FloatArray:
    return np.concatenate([values, (values[..., -1] + unfinished)[..., None]], axis=-1)


def _is_constant(values: FloatArray) -> bool:
    change = np.abs(values - values[..., :1])
    return bool((change <= CONSTANT * np.abs(values[..., :1])).all())

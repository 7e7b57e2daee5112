"""The algorithm `forecast`: learns how curves go on, and decides by what they promise (`policies.forecast`).

The paper's Distral and PPO learn which candidate to choose from rewards at the end of episodes. Here the end of every
recorded curve is a lesson, whichever policy would have come to it, so that seconds of training are enough. Owns how
tasks become numbers to follow, and the policy file.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from lamps_core.errors import BadInput
from lamps_core.objectives import MAXIMISED
from lamps_core.policies.forecast import SECONDS, Followed, ForecastPolicy, seconds_so_far
from lamps_core.policy_file import PolicyCard, PolicyFile, fingerprint
from lamps_core.policy_training.curve_learning import Curves, learn, progress_of
from lamps_core.policy_training.curve_process import CurveProcess
from lamps_core.policy_training.one_thread import one_thread
from lamps_core.policy_training.task_batch import stack

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lamps_core.meta_dataset import FloatArray, Task
    from lamps_core.policies import Policy
    from lamps_core.policy_training.task_batch import TaskBatch
    from lamps_core.policy_training.training_run import TrainingRun

NAME = "forecast"
CONSTANT = 1e-9  # relative: a number that changes less along every curve is known from its first row on


@one_thread()
def train(tasks: Sequence[Task], *, seed: int, run: TrainingRun) -> PolicyFile:
    """Fit one process to each number that is followed; see `algorithms.Train`.

    Raises:
        BadInput: a policy to begin with was given, or settings.
    """
    if run.warm_start is not None:
        raise BadInput("--warm-start: forecast begins with nothing and learns in seconds: leave it out")
    if run.settings:
        raise BadInput(
            f"--set {next(iter(run.settings))}: forecast has no settings: they are of distral and ppo"
        )
    batch = stack(tasks)
    columns = tuple(objective.column for objective in tasks[0].objectives)
    numbers = _numbers(batch, columns)
    progress = progress_of(batch.step_seconds, batch.rows)
    log_cost = np.log(np.where(batch.epoch_cost > 0.0, batch.epoch_cost, 1.0))
    weights: dict[str, np.ndarray] = {}
    for index, (followed, values) in enumerate(numbers):
        curves = Curves(values=followed.seen(values), rows=batch.rows, log_cost=log_cost)
        process = learn(curves, progress, seed=seed)
        weights |= {f"{followed.name}.{name}": array for name, array in process.arrays().items()}
        run.log((index + 1) / len(numbers), {"numbers": float(index + 1)})
    card = PolicyCard(
        kind="pool",
        algorithm=NAME,
        objectives=columns,
        candidates=batch.candidates,
        datasets=tuple(sorted({task.dataset for task in tasks})),
        meta_dataset=fingerprint(tasks),
        network={"followed": {followed.name: followed.logarithm for followed, _ in numbers}},
        settings={"seed": seed},
    )
    return PolicyFile(card, weights)


def load(file: PolicyFile, *, name: str) -> Policy:
    """The policy of a file; see `algorithms.Load`."""
    told = file.card.network.get("followed")
    if not isinstance(told, dict) or SECONDS not in told:
        raise BadInput(f"{name}: its card does not say what it follows: train it again")
    processes = {number: _process(file, number, name) for number in told}
    return ForecastPolicy(
        processes,
        {number: Followed(number, logarithm=bool(logarithm)) for number, logarithm in told.items()},
        candidates=file.card.candidates,
        objectives=file.card.objectives,
        name=name,
    )


def _process(file: PolicyFile, number: str, name: str) -> CurveProcess:
    head = f"{number}."
    arrays = {key.removeprefix(head): array for key, array in file.weights.items() if key.startswith(head)}
    try:
        process = CurveProcess(**arrays)
    except TypeError:
        raise BadInput(
            f"{name}: its weights are not those of a forecast of {number}: train it again"
        ) from None
    if process.effect.shape != (len(file.card.candidates), len(process.progress)):
        raise BadInput(f"{name}: its weights of {number} are not of its candidates: train it again")
    return process


def _numbers(batch: TaskBatch, columns: Sequence[str]) -> list[tuple[Followed, FloatArray]]:
    """What is followed, and its (T, m, L + 1) values with the complete ones behind them."""
    found = []
    for column, name in enumerate(columns):
        values = batch.values[..., column]
        if not _is_constant(values):
            followed = Followed(name, logarithm=name not in MAXIMISED)
            found.append((followed, _with_end(values, _unfinished(batch))))
    seconds = seconds_so_far(batch.step_seconds)
    found.append((Followed(SECONDS, logarithm=True), _with_end(seconds, _unfinished(batch))))
    return found


def _unfinished(batch: TaskBatch) -> FloatArray:
    """(T, m) NaN for a curve that never completes, whose end says nothing of complete ones; else 0."""
    return np.where(batch.complete, 0.0, np.nan)


def _with_end(values: FloatArray, unfinished: FloatArray) -> FloatArray:
    return np.concatenate([values, (values[..., -1] + unfinished)[..., None]], axis=-1)


def _is_constant(values: FloatArray) -> bool:
    change = np.abs(values - values[..., :1])
    return bool((change <= CONSTANT * np.abs(values[..., :1])).all())

"""Learning curves as tasks: what a replayed search, an environment and the training of a policy read.

A task is one dataset under one seed: every candidate's objectives and cost after each of its steps. Owns how
curves become arrays and what makes them usable. Knows nothing of policies, episodes or figures.
"""

from __future__ import annotations

from collections import Counter
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from lamps_core.curves.reader import curves_by_key, numbers_beside, read_curves, refuse_empty
from lamps_core.errors import BadInput
from lamps_core.landmarks import LANDMARKS
from lamps_core.objectives import beside_schema, no_objective
from lamps_core.task import Task

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Sequence
    from pathlib import Path

    import pyarrow as pa

    from lamps_core.curves.schema import Curve
    from lamps_core.objectives import Objective
    from lamps_core.task import FloatArray


def read_tasks(
    folder: Path,
    objectives: Sequence[Objective],
    *,
    datasets: Collection[str] | None = None,
    candidates: Collection[str] | None = None,
    left_out: Callable[[str], None] = lambda notice: None,
) -> tuple[Task, ...]:
    """The tasks of a meta-dataset, by dataset and seed.

    A dataset under a seed in which there is nothing to search (fewer than two complete candidates as a rule, or
    none within the bounds) is left out while there are others: campaigns may be unfinished.

    Args:
        folder: of curves, or one file of them; a candidate that lacks a curve on a dataset is no candidate there.
        objectives: what is minimised.
        datasets: no other is looked at; None for all.
        candidates: it is as if there were no others; None for all.
        left_out: told in a line of each dataset and seed that is left out, and why.

    Raises:
        BadInput: as `read_table`; an objective that is null on a complete row; a dataset that mixes sources;
            nothing to search in any.
    """
    return tasks_of(
        read_table(folder, objectives),
        objectives,
        place=str(folder),
        datasets=datasets,
        candidates=candidates,
        left_out=left_out,
    )


def read_table(folder: Path, objectives: Sequence[Objective]) -> pa.Table:
    """The curves of a folder or file, with the columns of objectives that are not in the schema.

    Raises:
        BadInput: as `curves.reader.read_curves`; no curve at all; an objective that no file has a column of.
    """
    beside = beside_schema(objectives)
    table = read_curves(folder, beside=beside)
    refuse_empty(table, folder)
    for name in beside:
        if table[name].null_count == len(table):
            _check_there(folder, name)
    return table


def _check_there(folder: Path, name: str) -> None:
    known = numbers_beside(folder)
    if name not in known:
        raise no_objective(name, beside=known)


def tasks_of(
    table: pa.Table,
    objectives: Sequence[Objective],
    *,
    place: str = "curves",
    datasets: Collection[str] | None = None,
    candidates: Collection[str] | None = None,
    left_out: Callable[[str], None] = lambda notice: None,
) -> tuple[Task, ...]:
    """The tasks of a table of curves; see `read_tasks`.

    Args:
        table: as `read_table` gives it for these objectives; not empty.
        objectives: what is minimised.
        place: what to call the table in errors.
        datasets: no other is looked at; None for all.
        candidates: it is as if there were no others; None for all.
        left_out: told in a line of each dataset and seed that is left out, and why.
    """
    grouped: dict[tuple[str, int], list[Curve]] = {}
    for key, curve in curves_by_key(table).items():
        if _is_in(key.dataset, datasets) and _is_in(key.model, candidates):
            grouped.setdefault((key.dataset, key.seed), []).append(curve)
    tasks = [_task(place, curves, tuple(objectives)) for _, curves in sorted(grouped.items())]
    return usable(tasks, lambda task: task.unsearchable_reason, left_out=left_out, place=f"{place}: ")


def _is_in(name: str, names: Collection[str] | None) -> bool:
    return names is None or name in names


def usable(
    tasks: Sequence[Task],
    flaw: Callable[[Task], str | None],
    *,
    left_out: Callable[[str], None],
    place: str = "",
) -> tuple[Task, ...]:
    """The tasks without a flaw.

    Args:
        tasks: of a meta-dataset.
        flaw: why a task cannot be used, in words; None where it can.
        left_out: called with a line for each that has one.
        place: of the meta-dataset, before the error.

    Raises:
        BadInput: all have one; names the first.
    """
    flaws = [flaw(task) for task in tasks]
    found = tuple(task for task, one in zip(tasks, flaws, strict=True) if one is None)
    for task, one in zip(tasks, flaws, strict=True):
        name = f"dataset {task.dataset!r}, seed {task.seed}"
        if one is not None and not found:
            raise BadInput(f"{place}{name}: {one}")
        if one is not None:
            left_out(f"{name} is left out: {one}")
    return found


def _task(place: str, curves: list[Curve], objectives: tuple[Objective, ...]) -> Task:
    key = curves[0].key
    place = f"{place}: dataset {key.dataset!r}, seed {key.seed}"
    sources = sorted({curve.source for curve in curves})
    if len(sources) > 1:
        raise BadInput(
            f"{place}: holds {' and '.join(sources)} curves: keep each source in a folder of its own"
        )
    longest = max(len(curve.table) for curve in curves)
    complete = np.array([curve.complete for curve in curves])
    values = np.stack([_padded(_values(curve, objectives), longest) for curve in curves])
    rows = np.array([len(curve.table) for curve in curves])
    unknown = complete[:, None] & np.isnan(values[np.arange(len(rows)), rows - 1])
    if unknown.any():
        candidate, objective = np.argwhere(unknown)[0]
        along = values[candidate, : rows[candidate], objective]
        raise BadInput(
            f"{place}, model {curves[candidate].key.model!r}, {_null_in(along, objectives[objective])}"
        )
    return Task(
        dataset=key.dataset,
        seed=key.seed,
        source=sources[0],
        candidates=tuple(curve.key.model for curve in curves),
        objectives=objectives,
        rows=rows,
        complete=complete,
        values=values,
        losses=np.stack([_padded(_column(curve, "test_loss"), longest) for curve in curves]),
        step_seconds=np.nan_to_num(
            np.stack([_padded(_column(curve, "step_seconds"), longest) for curve in curves])
        ),
        parameters=np.array([_column(curve, "parameters")[0] for curve in curves]),
        epoch_cost=_epoch_cost(curves),
        landmarks=_landmarks(curves),
    )


def _null_in(along: FloatArray, objective: Objective) -> str:
    """At which step of a complete curve an objective is null, in words, of its values after each step."""
    if objective.aggregate == "last":
        return f"step {len(along) - 1}: {objective.column} is null in a complete row, and an objective"
    first = int(np.isnan(along).argmax())  # a null makes unknown whatever is counted from it on
    counted = "summed" if objective.aggregate == "sum" else "the most"
    return (
        f"step {first}: {objective.column} is null, and an objective that is {counted} over a complete curve"
    )


def _column(curve: Curve, name: str) -> FloatArray:
    """(rows,) a column as floats, NaN for null."""
    return np.asarray(curve.table[name].to_numpy(zero_copy_only=False), dtype=np.float64)


def _values(curve: Curve, objectives: Iterable[Objective]) -> FloatArray:
    """(rows, n) minimised objectives after each row."""
    return np.stack([objective.along(partial(_column, curve)) for objective in objectives], axis=1)


def _padded(rows: FloatArray, longest: int) -> FloatArray:
    """The rows (k, ...) with NaN behind them, (longest, ...)."""
    whole = np.full((longest, *rows.shape[1:]), np.nan)
    whole[: len(rows)] = rows
    return whole


def _epoch_cost(curves: list[Curve]) -> FloatArray:
    """(m,) operations of a full epoch over the most rows that any curve trained on; parameters where one is unknown."""
    rows = np.array([_column(curve, "train_rows").max() for curve in curves])
    most = float(rows[np.isfinite(rows)].max(initial=0.0))
    operations = np.array([_full_epoch(*one, most) for one in zip(curves, rows, strict=True)])
    if np.isfinite(operations).all() and (operations > 0).all():
        return operations
    return np.array([_column(curve, "parameters")[0] for curve in curves])


def _landmarks(curves: Iterable[Curve]) -> int:
    """K of most complete curves: the first step that trained on as many rows as any; 8 where none says its rows."""
    counted: Counter[int] = Counter()
    for curve in curves:
        rows = _column(curve, "train_rows")[1:]
        if curve.complete and len(rows) and np.isfinite(rows).all():
            counted[int(rows.argmax()) + 1] += 1
    return max(counted, key=lambda each: (counted[each], each), default=LANDMARKS)


def _full_epoch(curve: Curve, rows: float, most: float) -> float:
    """Operations of an epoch over `most` rows, of which a curve that broke off saw `rows`; NaN where unknown."""
    operations = _column(curve, "train_flops")
    whole = bool(_column(curve, "complete")[-1]) or rows == most
    return float(operations.max() * (1.0 if whole else most / rows if rows > 0 else np.nan))

"""Learning curves as tasks: what a replayed search, an environment and the training of a policy read.

A task is one dataset under one seed: every candidate's objectives and cost after each of its steps. Owns how
curves become arrays and what makes them usable. Knows nothing of policies, episodes or figures.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import TYPE_CHECKING

import numpy as np

from lamps_core import front
from lamps_core.curve_reader import curves_by_key, numbers_beside, read_curves, refuse_empty
from lamps_core.errors import BadInput
from lamps_core.objectives import beside_schema, no_objective

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Sequence
    from pathlib import Path

    import numpy.typing as npt
    import pyarrow as pa

    from lamps_core.curves import Curve
    from lamps_core.objectives import Objective

    FloatArray = npt.NDArray[np.float64]
    IntArray = npt.NDArray[np.int64]
    BoolArray = npt.NDArray[np.bool_]


@dataclass(frozen=True, kw_only=True)
class Task:
    """The curves of m candidates on one dataset, at most L rows each, with n objectives.

    A curve without a complete row is a candidate that fails after its last one: its steps cost what they cost,
    and it never enters the front.

    Attributes:
        dataset: its name.
        seed: of the curves.
        source: `measured`, `simulated` or `imported`.
        candidates: (m,) names.
        objectives: what is minimised.
        rows: (m,) rows of each curve, at least 1.
        complete: (m,) which curves met their stopping criterion, with every objective known there.
        values: (m, L, n) minimised objectives after each row; NaN where unknown and behind a curve's end.
        losses: (m, L) evaluation losses in nats; NaN behind a curve's end.
        step_seconds: (m, L) cost of each row; 0 behind a curve's end.
        parameters: (m,) of each candidate.
        epoch_cost: (m,) expected cost of a full epoch relative to each other: its recorded operations, else
            the parameters, which they are proportional to.
    """

    dataset: str
    seed: int
    source: str
    candidates: tuple[str, ...]
    objectives: tuple[Objective, ...]
    rows: IntArray
    complete: BoolArray
    values: FloatArray
    losses: FloatArray
    step_seconds: FloatArray
    parameters: FloatArray
    epoch_cost: FloatArray

    @cached_property
    def final(self) -> FloatArray:
        """(m, n) minimised objectives of the complete candidates; NaN for the others."""
        last = self.values[np.arange(len(self.rows)), self.rows - 1]
        return np.where(self.complete[:, None], last, np.nan)

    @cached_property
    def reference(self) -> FloatArray:
        """(n,) reference point over the complete candidates."""
        return front.reference_point(self.final[self.complete], self.bounds)

    def of(self, names: Collection[str]) -> Task:
        """The same dataset as if it had no candidates but these."""
        kept = np.flatnonzero([name in names for name in self.candidates])
        longest = int(self.rows[kept].max(initial=1))
        return replace(
            self,
            candidates=tuple(self.candidates[index] for index in kept),
            rows=self.rows[kept],
            complete=self.complete[kept],
            values=self.values[kept, :longest],
            losses=self.losses[kept, :longest],
            step_seconds=self.step_seconds[kept, :longest],
            parameters=self.parameters[kept],
            epoch_cost=self.epoch_cost[kept],
        )

    @property
    def bounds(self) -> list[float | None]:
        """f_max of each objective, minimised."""
        return [objective.bound for objective in self.objectives]

    @cached_property
    def on_front(self) -> BoolArray:
        """(m,) the Pareto-optimal candidates: complete, within the bounds, dominated by no other."""
        mask = np.zeros(len(self.rows), dtype=bool)
        usable = np.flatnonzero(self.complete)
        within = usable[front.feasible(self.final[usable], self.bounds)]
        if len(within):
            mask[within[front.non_dominated(self.final[within])]] = True
        return mask

    @cached_property
    def playable_rows(self) -> IntArray:
        """(m,) rows that a search sees of each curve: none after a growing cost has passed its bound."""
        playable = self.rows.copy()
        for column, objective in enumerate(self.objectives):
            if objective.monotone and objective.bound is not None:
                past = self.values[:, :, column] > objective.bound
                playable = np.where(past.any(axis=1), np.minimum(playable, past.argmax(axis=1) + 1), playable)
        return playable

    @cached_property
    def hypervolume(self) -> float:
        """What all complete candidates reach together."""
        return front.hypervolume(self.final[self.complete], self.reference)

    @cached_property
    def trouble(self) -> str | None:
        """Why there is nothing to search here, in words; None where there is."""
        if not self.complete.any():
            return "no curve is complete: at least two must have a last row that says so"
        if not self.on_front.any():
            return f"no complete candidate is within the bounds ({self._bounds_told}): widen them"
        if self.hypervolume <= 0.0:
            count = int(self.complete.sum())
            if count == 1:
                return "one complete candidate spans no hypervolume: complete others, or give every objective a bound"
            return (
                f"its {count} complete candidates span no hypervolume{self._alike}: "
                "add candidates that differ, or give every objective a bound"
            )
        return None

    @property
    def _bounds_told(self) -> str:
        bounded = [(one, one.bound) for one in self.objectives if one.bound is not None]
        return ", ".join(f"{one.column}={one.natural(bound):g}" for one, bound in bounded)

    @property
    def _alike(self) -> str:
        """The first objective without a bound in which all complete candidates are equal, in words; else empty."""
        for objective, values in zip(self.objectives, self.final[self.complete].T, strict=True):
            if objective.bound is None and np.ptp(values) == 0.0:
                return f" (all have {objective.column} {objective.natural(values[0]):g})"
        return ""

    @cached_property
    def zero_shot_seconds(self) -> float:
        """What evaluating every candidate before its first step costs."""
        return float(self.step_seconds[:, 0].sum())

    @cached_property
    def exhaustive_seconds(self) -> float:
        """What every recorded step costs together."""
        return float(self.step_seconds.sum())

    @cached_property
    def curve_seconds(self) -> FloatArray:
        """(m,) what each curve costs after its zero-shot evaluation."""
        return self.step_seconds[:, 1:].sum(axis=1)


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
        BadInput: as `curve_reader.read_curves`; no curve at all; an objective that no file has a column of.
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
    return _searchable(place, tasks, left_out)


def _is_in(name: str, names: Collection[str] | None) -> bool:
    return names is None or name in names


def _searchable(place: str, tasks: Sequence[Task], left_out: Callable[[str], None]) -> tuple[Task, ...]:
    """The tasks in which there is something to search; BadInput where that is none of them."""
    found = tuple(task for task in tasks if task.trouble is None)
    for task in tasks:
        name = f"dataset {task.dataset!r}, seed {task.seed}"
        if task.trouble is not None and not found:
            raise BadInput(f"{place}: {name}: {task.trouble}")
        if task.trouble is not None:
            left_out(f"{name} is left out: {task.trouble}")
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


def _full_epoch(curve: Curve, rows: float, most: float) -> float:
    """Operations of an epoch over `most` rows, of which a curve that broke off saw `rows`; NaN where unknown."""
    operations = _column(curve, "train_flops")
    whole = bool(_column(curve, "complete")[-1]) or rows == most
    return float(operations.max() * (1.0 if whole else most / rows if rows > 0 else np.nan))

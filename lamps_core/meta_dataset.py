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
from lamps_core.curve_reader import curves_by_key, read_curves, refuse_empty
from lamps_core.errors import BadInput

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence
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
    folder: Path, objectives: Sequence[Objective], *, datasets: Collection[str] | None = None
) -> tuple[Task, ...]:
    """The tasks of a meta-dataset, by dataset and seed.

    Args:
        folder: of curves, or one file of them; a candidate that lacks a curve on a dataset is no candidate there.
        objectives: what is minimised.
        datasets: no other is looked at; None for all.

    Raises:
        BadInput: as `curve_reader.read_curves`; no curve at all; an objective that is null on a complete row;
            a dataset in which no candidate is complete, that mixes sources, or whose candidates span no
            hypervolume.
    """
    return tasks_of(read_curves(folder), objectives, place=str(folder), datasets=datasets)


def tasks_of(
    table: pa.Table,
    objectives: Sequence[Objective],
    *,
    place: str = "curves",
    datasets: Collection[str] | None = None,
) -> tuple[Task, ...]:
    """The tasks of a table of curves; see `read_tasks`.

    Args:
        table: in the curve schema.
        objectives: what is minimised.
        place: what to call the table in errors.
        datasets: no other is looked at; None for all.
    """
    refuse_empty(table, place)
    grouped: dict[tuple[str, int], list[Curve]] = {}
    for key, curve in curves_by_key(table).items():
        if datasets is None or key.dataset in datasets:
            grouped.setdefault((key.dataset, key.seed), []).append(curve)
    return tuple(
        _task(f"{place}: dataset {dataset!r}, seed {seed}", curves, tuple(objectives))
        for (dataset, seed), curves in sorted(grouped.items())
    )


def _task(place: str, curves: list[Curve], objectives: tuple[Objective, ...]) -> Task:
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
    task = Task(
        dataset=curves[0].key.dataset,
        seed=curves[0].key.seed,
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
    _check_usable(place, task)
    return task


def _null_in(along: FloatArray, objective: Objective) -> str:
    """At which step of a complete curve an objective is null, in words, of its values after each step."""
    if objective.aggregate == "last":
        return f"step {len(along) - 1}: {objective.column} is null in a complete row, and an objective"
    first = int(np.isnan(along).argmax())  # a null makes unknown whatever is counted from it on
    counted = "summed" if objective.aggregate == "sum" else "the most"
    return (
        f"step {first}: {objective.column} is null, and an objective that is {counted} over a complete curve"
    )


def _check_usable(place: str, task: Task) -> None:
    if not task.complete.any():
        raise BadInput(f"{place}: no curve is complete: at least two must have a last row that says so")
    if not task.on_front.any():
        raise BadInput(f"{place}: no complete candidate is within the bounds: widen them")
    if task.hypervolume <= 0.0:
        raise BadInput(
            f"{place}: its {int(task.complete.sum())} complete candidates span no hypervolume{_alike(task)}: "
            "add candidates that differ, or give every objective a bound"
        )


def _alike(task: Task) -> str:
    """The first objective without a bound in which all complete candidates are equal, in words; empty where none is."""
    for objective, values in zip(task.objectives, task.final[task.complete].T, strict=True):
        if objective.bound is None and np.ptp(values) == 0.0:
            return f" (all have {objective.column} {objective.natural(values[0]):g})"
    return ""


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

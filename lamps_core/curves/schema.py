"""Learning curves as Parquet: the schema, the rules that make rows a curve, and the writer.

One row a step. Written as one file a (dataset, model, seed), each appearing whole by one rename. Does not
know how files are found and read (`reader`), objectives, searches or how the numbers were measured.
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from lamps_core.errors import BadInput, first_line
from lamps_core.files import safe_name, write_atomically

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    import numpy.typing as npt

_REQUIRED = {
    "dataset": pa.string(),
    "model": pa.string(),
    "seed": pa.int32(),
    "step": pa.int32(),
    "test_loss": pa.float64(),
    "train_seconds": pa.float64(),
    "step_seconds": pa.float64(),
    "parameters": pa.int64(),
    "complete": pa.bool_(),
    "source": pa.string(),
}
_OPTIONAL = {
    "train_rows": pa.int64(),
    "accuracy": pa.float64(),
    "macro_f1": pa.float64(),
    "eval_rows_per_second": pa.float64(),
    "peak_memory_bytes": pa.int64(),
    "train_flops": pa.float64(),
    "cpu_seconds": pa.float64(),
    "batch_size": pa.int32(),
    "gpus": pa.int32(),
    "device": pa.string(),
    "dtype": pa.string(),
    "config_hash": pa.string(),
    "lamps_version": pa.string(),
    "created_at": pa.timestamp("us", tz="UTC"),
    "status": pa.string(),
    "error": pa.string(),
}
# Of the columns and their meaning, in each file; others' files have none.
VERSION = 1
VERSION_KEY = b"lamps.curves"
CURVE_SCHEMA = pa.schema(
    [pa.field(name, kind, nullable=False) for name, kind in _REQUIRED.items()]
    + [pa.field(name, kind) for name, kind in _OPTIONAL.items()],
    metadata={VERSION_KEY: str(VERSION).encode()},
)
KEY_COLUMNS = ("dataset", "model", "seed")
SOURCES = ("measured", "simulated", "imported")
# The numbers that were measured: seed and step are numbers too, but say which row it is.
MEASURED_COLUMNS = tuple(
    field.name
    for field in CURVE_SCHEMA
    if (pa.types.is_integer(field.type) or pa.types.is_floating(field.type))
    and field.name not in {"seed", "step"}
)

# What a failed row holds where nothing was measured: the required columns take no null.
_OF_A_FAILED_ROW = {
    "test_loss": float("nan"),
    "train_seconds": 0.0,
    "step_seconds": 0.0,
    "parameters": 0,
    "complete": False,
}
# `datasets.load_dataset` takes these words in a file name for splits, and then leaves every other file out.
_SPLIT_WORD = re.compile(
    r"(?:^|[-._ 0-9])(?:train|training|validation|valid|dev|val|test|testing|eval|evaluation)[-._ 0-9]",
    re.IGNORECASE,
)
# A file of this name holds a whole curve that is about to take the place of its steps (see `store`).
COMPACTING = ".compacting-"
# Of a step of a curve that grows, in a folder of the curve's name.
STEP_FILE = re.compile(r"([^/]+)/(?:step-\d+|failed)\.parquet")
# Where a row came from, carried along for messages; with a comma no column beside the schema can be asked for by name.
_FILE, _ROW = "file,", "row,"


class CurveKey(NamedTuple):
    """What names a curve."""

    dataset: str
    model: str
    seed: int


@dataclass(frozen=True)
class Curve:
    """One learning curve.

    Attributes:
        key: its name.
        table: its rows in `CURVE_SCHEMA`, step 0 first.
    """

    key: CurveKey
    table: pa.Table

    @property
    def complete(self) -> bool:
        """Whether it met its stopping criterion."""
        return bool(self.table["complete"][-1].as_py())

    @property
    def source(self) -> str:
        """`measured`, `simulated` or `imported`."""
        return str(self.table["source"][0].as_py())

    def column(self, name: str) -> npt.NDArray[Any]:
        """(steps,) values of a column, step 0 first; a null is NaN in a column of numbers."""
        return np.asarray(self.table[name].to_numpy())

    def rows(self) -> list[dict[str, Any]]:
        """One dict a step, step 0 first; None where unknown."""
        return list(self.table.to_pylist())


def curve_file_name(key: CurveKey) -> str:
    """The file of a curve.

    >>> curve_file_name(CurveKey("trec", "google-bert/bert-base-uncased", 0))
    'trec--google-bert--bert-base-uncased--s0--89eefabe8a33.parquet'
    """
    return f"{curve_stem(key)}.parquet"


def curve_stem(key: CurveKey) -> str:
    """A curve's name on disk: safe on any file system, always the same, different for every curve."""
    # The hash tells apart what the readable part does not: cut names, names that differ in case alone.
    digest = hashlib.sha256(json.dumps([key.dataset, key.model, int(key.seed)]).encode()).hexdigest()[:12]
    dataset, model = (safe_name(name).lstrip("._-")[:60] for name in (key.dataset, key.model))
    name = f"{dataset}--{model}--s{key.seed}--{digest}"
    hidden = name.startswith("-")
    return f"curve--{digest}" if hidden or _SPLIT_WORD.search(name) else name


def write_curve(folder: Path, rows: Sequence[Mapping[str, Any]]) -> Path:
    """Write all rows of one curve to one file, in place of the one that was there.

    Args:
        folder: of the meta-dataset; made where it is not there.
        rows: of one (dataset, model, seed), in any order. Keys that are no column of the schema are left out;
            `created_at` may be a datetime or ISO 8601 text. A row of status `failed` needs the key, step and
            source only.

    Returns:
        The file.

    Raises:
        BadInput: no rows, rows of several curves, or rows that `reader.read_curves` would refuse.
    """
    if not rows:
        raise BadInput(f"{folder}: a curve to write has no rows")
    given, key = _given(rows, folder)
    given.where(~given.failed()).check()
    path = folder / curve_file_name(key)
    write_atomically(path, _parquet(given))
    return path


def row_parquet(row: Mapping[str, Any], *, place: Path) -> bytes:
    """One row of a curve as a Parquet file in `CURVE_SCHEMA`.

    Args:
        row: as in `write_curve`.
        place: named in errors.

    Raises:
        BadInput: a value that no row of a curve may have.
    """
    given, _ = _given([row], place)
    given.where(~given.failed()).check_values()
    return _parquet(given)


def _given(rows: Sequence[Mapping[str, Any]], place: Path) -> tuple[CurveRows, CurveKey]:
    """Rows to write as a table, and the one curve that they are of."""
    columns = {field.name: _from_rows(rows, field, place) for field in CURVE_SCHEMA}
    given = CurveRows.join([pa.table(columns)], (place / "(rows to write)",))
    given.check_present(tuple(_REQUIRED))
    keys = {CurveKey(*key) for key in zip(*(columns[name].to_pylist() for name in KEY_COLUMNS), strict=True)}
    if len(keys) > 1:
        raise BadInput(f"{place}: rows of {len(keys)} curves were given to be written as one")
    return given, keys.pop()


def _parquet(rows: CurveRows) -> bytes:
    return curves_parquet(rows.sorted().table)


def curves_parquet(table: pa.Table) -> bytes:
    """Checked rows of curves, of one or of many, as a Parquet file in `CURVE_SCHEMA`."""
    sink = pa.BufferOutputStream()
    pq.write_table(table.select(CURVE_SCHEMA.names).cast(CURVE_SCHEMA), sink)
    return bytes(sink.getvalue().to_pybytes())


def _from_rows(rows: Sequence[Mapping[str, Any]], field: pa.Field, folder: Path) -> pa.Array:
    values = [row.get(field.name) for row in rows]
    if field.name in _OF_A_FAILED_ROW:
        blank = _OF_A_FAILED_ROW[field.name]
        failed = [
            value is None and row.get("status") == "failed" for value, row in zip(values, rows, strict=True)
        ]
        values = [blank if fill else value for value, fill in zip(values, failed, strict=True)]
    try:
        if pa.types.is_timestamp(field.type):
            values = [datetime.fromisoformat(value) if isinstance(value, str) else value for value in values]
        # from_pandas: NaN is a null where nulls are allowed, as in `reader`.
        return pa.array(values, type=field.type, from_pandas=field.nullable)
    except (pa.ArrowException, ValueError, TypeError, OverflowError) as error:
        raise BadInput(f"{folder}: column {field.name} of a curve to write: {first_line(error)}") from None


@dataclass(frozen=True)
class CurveRows:
    """Rows that are to be curves, with where they came from.

    Attributes:
        table: the columns of the schema and numbers beside it, nulls allowed, then `_FILE` (an index into `files`)
            and `_ROW`.
        files: that were read.
    """

    table: pa.Table
    files: tuple[Path, ...]

    @classmethod
    def join(cls, tables: Sequence[pa.Table], files: tuple[Path, ...]) -> CurveRows:
        """The rows of several files: one table a file, all of the same columns, nulls allowed."""
        placed = []
        for number, table in enumerate(tables):
            numbered = table.append_column(_FILE, pa.array(np.full(len(table), number, np.int32)))
            placed.append(numbered.append_column(_ROW, pa.array(np.arange(len(table)))))
        return cls(pa.concat_tables(placed).combine_chunks(), files)

    def where(self, mask: npt.NDArray[np.bool_]) -> CurveRows:
        """The rows at which the mask [rows] is True."""
        return CurveRows(self.table.filter(pa.array(mask)).combine_chunks(), self.files)

    def failed(self) -> npt.NDArray[np.bool_]:
        """Which rows [rows] are of status `failed`; BadInput if one is neither ok nor failed."""
        known = pc.is_in(self.table["status"], pa.array(["ok", "failed", None], pa.string()))
        self._refuse("status", ~known.to_numpy(), "is neither ok nor failed")
        mask: npt.NDArray[np.bool_] = pc.fill_null(pc.equal(self.table["status"], "failed"), False).to_numpy()
        return mask

    def sorted(self) -> CurveRows:
        """The rows by dataset, model, seed and step."""
        # By origin last, so that of two equal rows the later one is refused.
        order = [(name, "ascending") for name in (*KEY_COLUMNS, "step", _FILE, _ROW)]
        return CurveRows(self.table.sort_by(order).combine_chunks(), self.files)

    def check(self) -> CurveRows:
        """The rows, sorted, if they are curves; else BadInput with the file, the column and the row."""
        self.check_values()
        ordered = self.sorted()
        ordered._check_curves()
        return ordered

    def check_present(self, columns: Sequence[str]) -> None:
        """Raise BadInput for the first null in one of these columns."""
        for name in columns:
            self._refuse(name, pc.is_null(self.table[name]).to_numpy(), "null in a required column")

    def check_values(self) -> None:
        """Raise BadInput for the first value that no row of a curve may have."""
        self.check_present(tuple(_REQUIRED))
        beside = [name for name in self.table.column_names if name not in {*CURVE_SCHEMA.names, _FILE, _ROW}]
        for name in ("step", *MEASURED_COLUMNS, *beside):
            values = pc.fill_null(self.table[name], 0).to_numpy()
            self._refuse(name, ~(np.isfinite(values) & (values >= 0)), "is not a finite number of at least 0")
        known = pc.is_in(self.table["source"], pa.array(SOURCES)).to_numpy()
        self._refuse("source", ~known, f"is none of {', '.join(SOURCES)}")

    def _check_curves(self) -> None:
        """The rules inside a curve, on sorted rows."""
        step, complete = self.table["step"].to_numpy(), self.table["complete"].to_numpy()
        start = curve_starts(self.table)
        curve = np.cumsum(start) - 1
        first = np.flatnonzero(start)[curve]
        earlier = np.cumsum(complete) - complete
        self._refuse("step", ~start & (step == np.roll(step, 1)), "is there twice in its curve")
        self._refuse("step", step != np.arange(len(step)) - first, "leaves a gap: steps go 0, 1, 2, ...")
        twice = complete & (earlier > earlier[first])
        self._refuse("complete", twice, "is the second complete row of its curve")
        self._refuse(
            "complete", complete & ~np.roll(start, -1), "is complete, but not the last row of its curve"
        )
        source = _codes(self.table, "source")
        self._refuse(
            "source", source != source[first], "differs from the rows before it: one curve, one source"
        )

    def _refuse(self, column: str, bad: npt.NDArray[np.bool_], what: str) -> None:
        """Raise for the first bad row, if there is one."""
        if not bad.any():
            return
        index = int(np.flatnonzero(bad)[0])
        row = {name: self.table[name][index].as_py() for name in self.table.column_names}
        # repr, so that a name with a line break in it cannot break the one line.
        curve = f"dataset {row['dataset']!r}, model {row['model']!r}, seed {row['seed']}, step {row['step']}"
        place = f"{self.files[row[_FILE]]}, column {column}, row {row[_ROW]}"
        value = "" if row[column] is None else f"{row[column]!r} "
        raise BadInput(f"{place}: {value}{what} ({curve})")


def curve_starts(table: pa.Table) -> npt.NDArray[np.bool_]:
    """[rows] mask of a table sorted as by `CurveRows.sorted`: True at the first row of each curve."""
    start = np.arange(len(table)) == 0
    for name in KEY_COLUMNS:
        codes = _codes(table, name)
        start |= codes != np.roll(codes, 1)
    return start


def _codes(table: pa.Table, name: str) -> npt.NDArray[Any]:
    """A column as numbers, the same number for the same value."""
    column = table[name].combine_chunks()
    codes = column.dictionary_encode().indices if pa.types.is_string(column.type) else column
    return np.asarray(codes.to_numpy())

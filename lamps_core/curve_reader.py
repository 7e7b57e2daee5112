"""Learning curves read from Parquet files in any layout of files and folders; what is not a curve is refused.

Owns how files are found, which types can be converted, and how a table is cut into curves. What makes rows a
curve is said in `curves`. Knows nothing of objectives, searches or how the numbers were measured.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING
from urllib.parse import unquote

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from lamps_core.curves import (
    CURVE_SCHEMA,
    KEY_COLUMNS,
    Curve,
    CurveKey,
    CurveRows,
    curve_starts,
    first_line,
)
from lamps_core.errors import BadInput

if TYPE_CHECKING:
    from pathlib import Path

_REQUIRED_COLUMNS = tuple(field.name for field in CURVE_SCHEMA if not field.nullable)


def read_curves(folder_or_file: Path) -> pa.Table:
    """Read and check learning curves; failed rows are left out (see `read_failures`).

    Takes files that hold only the required columns, in any order, in nested folders or in partitions
    (`dataset=trec/model=...`), of types that can be converted without loss; other columns are left out, as
    are files and folders whose name starts with `.` or `_`. NaN in an optional column is a null.

    Args:
        folder_or_file: a meta-dataset, or one file of it.

    Returns:
        A table in `CURVE_SCHEMA`, sorted by dataset, model, seed and step.

    Raises:
        BadInput: with the file, the column and the row (counted from 0) of what is wrong: a file that is not
            Parquet, a missing column, a null in a required one, a number below 0 or not finite, a step twice
            (in one file or two), a gap in the steps, rows after a complete one, an unknown source, or two
            sources in one curve.
    """
    rows = _read(folder_or_file)
    curves = rows.where(~rows.failed())
    return curves.check().table.select(CURVE_SCHEMA.names).cast(CURVE_SCHEMA)


def read_failures(folder_or_file: Path) -> pa.Table:
    """Read the failed rows of a meta-dataset: which step of which candidate, and why.

    Args:
        folder_or_file: as `read_curves`.

    Returns:
        A table with the columns of `CURVE_SCHEMA`, sorted the same way; any number in it may be null.

    Raises:
        BadInput: a file that is not Parquet, a missing column, or a failed row that does not say which step.
    """
    rows = _read(folder_or_file)
    failures = rows.where(rows.failed())
    failures.check_present((*KEY_COLUMNS, "step"))
    return failures.sorted().table.select(CURVE_SCHEMA.names)


def curves_by_key(table: pa.Table) -> dict[CurveKey, Curve]:
    """Cut a table into its curves, without copying.

    Args:
        table: as `read_curves` returns it.

    Returns:
        The curves in the table's order.
    """
    cuts = [*np.flatnonzero(curve_starts(table)).tolist(), len(table)]
    curves = {}
    for start, end in pairwise(cuts):
        key = CurveKey(*(table[name][start].as_py() for name in KEY_COLUMNS))
        curves[key] = Curve(key, table.slice(start, end - start))
    return curves


def _read(folder_or_file: Path) -> CurveRows:
    files = _curve_files(folder_or_file)
    return CurveRows.join([_read_file(path) for path in files], files)


def _curve_files(folder_or_file: Path) -> tuple[Path, ...]:
    if folder_or_file.is_file():
        return (folder_or_file,)
    if not folder_or_file.is_dir():
        raise BadInput(f"{folder_or_file}: there is no such file or folder")
    found = sorted(
        path
        for path in folder_or_file.rglob("*")
        if path.suffix.lower() == ".parquet"
        and not any(part.startswith((".", "_")) for part in path.relative_to(folder_or_file).parts)
        and path.is_file()
    )
    if not found:
        raise BadInput(f"{folder_or_file}: holds no Parquet files: name a folder of learning curves")
    return tuple(found)


def _read_file(path: Path) -> pa.Table:
    """Every column of the schema as its type; a null may be anywhere yet."""
    try:
        with pq.ParquetFile(path) as file:
            names = file.schema_arrow.names
            known = [name for name in CURVE_SCHEMA.names if name in names]
            if repeated := [name for name in known if names.count(name) > 1]:
                raise BadInput(f"{path}: column {repeated[0]} is there twice")
            table = file.read(columns=known, use_threads=False)
    except (pa.ArrowException, OSError) as error:
        raise BadInput(f"{path}: cannot be read as Parquet: {first_line(error)}") from None
    found = {name: table[name] for name in known}
    for name, value in _partition(path).items():
        found.setdefault(name, pa.chunked_array([pa.repeat(pa.scalar(value, pa.string()), len(table))]))
    if missing := [name for name in _REQUIRED_COLUMNS if name not in found]:
        raise BadInput(f"{path}: required column {', '.join(missing)} is missing")
    columns = {
        field.name: _converted(path, found[field.name], field)
        if field.name in found
        else pa.chunked_array([pa.nulls(len(table), field.type)])
        for field in CURVE_SCHEMA
    }
    return pa.table(columns)


def _partition(path: Path) -> dict[str, str | None]:
    """What the folders of a path say, as Hive and pyarrow write it: `dataset=trec/model=org%2Fname`."""
    said = (part.partition("=") for part in path.absolute().parent.parts if "=" in part)
    return {
        name: None if value == "__HIVE_DEFAULT_PARTITION__" else unquote(value)
        for name, _, value in said
        if name in CURVE_SCHEMA.names
    }


def _converted(path: Path, column: pa.ChunkedArray, field: pa.Field) -> pa.ChunkedArray:
    try:
        return _cast(column, field)
    except (pa.ArrowException, ValueError, TypeError) as error:
        row = next((row for row in range(len(column)) if not _castable(column.slice(row, 1), field)), 0)
        raise BadInput(
            f"{path}, column {field.name}, row {row}: is not {field.type}: {first_line(error)}"
        ) from None


def _castable(column: pa.ChunkedArray, field: pa.Field) -> bool:
    try:
        _cast(column, field)
    except (pa.ArrowException, ValueError, TypeError):
        return False
    return True


def _cast(column: pa.ChunkedArray, field: pa.Field) -> pa.ChunkedArray:
    if pa.types.is_dictionary(column.type):
        column = pc.cast(column, column.type.value_type)
    if field.nullable and pa.types.is_floating(column.type):
        column = pc.if_else(pc.is_nan(column), pa.scalar(None, column.type), column)
    if column.type != field.type:
        # A time stamp may lose its nanoseconds; a number must lose nothing.
        column = pc.cast(column, field.type, safe=not pa.types.is_timestamp(field.type))
    if pa.types.is_string(field.type):
        column.validate(full=True)  # Parquet does not promise that text is UTF-8
    return column

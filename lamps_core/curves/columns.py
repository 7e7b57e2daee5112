"""Columns of other people's Parquet files as columns of curves: which types can be converted, and what is lost.

Owns the errors about values of a wrong type. Knows nothing of files, rows or curves.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

from lamps_core.errors import BadInput, first_line

if TYPE_CHECKING:
    from pathlib import Path

# Nothing is computed from them, so that what cannot be read of them makes nothing wrong.
LABELS = frozenset({"device", "dtype", "config_hash", "lamps_version", "created_at"})
# A part of a GPU is priced as one, and of a byte there is none; of a row, or of a seed, a part is an error.
ROUNDED_UP = frozenset({"gpus", "peak_memory_bytes"})
_CANNOT = (pa.ArrowException, ValueError, TypeError, OverflowError)


def converted(path: Path, column: pa.ChunkedArray, field: pa.Field) -> pa.ChunkedArray:
    """Cast a column to a schema field's type without loss; NaN becomes null where the field is nullable.

    Exceptions: a time loses its nanoseconds, and one without a zone is taken for UTC; a whole number cast to float may
    lose its 16th digit; a value of `LABELS` that cannot be cast becomes null; fractions in `ROUNDED_UP` are rounded up.

    Args:
        path: of the file, for errors.
        column: as it was read.
        field: of the curves.

    Raises:
        BadInput: with the file, the column and the row of what cannot be converted.
    """
    try:
        return _cast(column, field)
    except _CANNOT as error:
        if field.name in LABELS:
            return _as_far_as_it_goes(column, field)
        rows = range(len(column))
        row = next((row for row in rows if _cast_or_none(column.slice(row, 1), field) is None), 0)
        raise BadInput(
            f"{path}, column {field.name}, row {row}: is not {field.type}: {first_line(error)}"
        ) from None


def _as_far_as_it_goes(column: pa.ChunkedArray, field: pa.Field) -> pa.ChunkedArray:
    """The column as the type of a field, null where a value cannot be converted."""
    if _cast_or_none(column.slice(0, 0), field) is None:  # no value of this type can
        return pa.chunked_array([pa.nulls(len(column), field.type)])
    null = pa.chunked_array([pa.nulls(1, field.type)])
    rows = [_cast_or_none(column.slice(row, 1), field) for row in range(len(column))]
    known = [null if one is None else one for one in rows]
    return pa.chunked_array([chunk for one in known for chunk in one.chunks], field.type)


def _cast_or_none(column: pa.ChunkedArray, field: pa.Field) -> pa.ChunkedArray | None:
    try:
        return _cast(column, field)
    except _CANNOT:
        return None


def _cast(column: pa.ChunkedArray, field: pa.Field) -> pa.ChunkedArray:
    if pa.types.is_dictionary(column.type):
        column = pc.cast(column, column.type.value_type)
    if field.nullable and pa.types.is_floating(column.type):
        column = pc.if_else(pc.is_nan(column), pa.scalar(None, column.type), column)
    if field.name in ROUNDED_UP and (pa.types.is_floating(column.type) or pa.types.is_decimal(column.type)):
        column = pc.round(column, round_mode="towards_infinity")  # away from zero: what is below it stays so
    if column.type != field.type:
        column = _as_type(column, field.type)
    if pa.types.is_string(field.type):
        column.validate(full=True)  # Parquet does not promise that text is UTF-8
    return column


def _as_type(column: pa.ChunkedArray, wanted: pa.DataType) -> pa.ChunkedArray:
    """The column as another type; without loss, but for the last digits of times and floats."""
    if not pa.types.is_timestamp(wanted):
        whole_to_float = pa.types.is_integer(column.type) and pa.types.is_floating(wanted)
        return pc.cast(column, wanted, safe=not whole_to_float)
    if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
        times = [None if text is None else _moment(text) for text in column.to_pylist()]
        return pa.chunked_array([pa.array(times, wanted)])
    if pa.types.is_integer(column.type) or pa.types.is_floating(column.type):
        raise TypeError("a number does not tell its unit of time")
    return pc.cast(column, wanted, safe=False)


def _moment(text: str) -> datetime:
    """A time as ISO 8601 has it; in UTC where it tells no zone.

    >>> str(_moment("2025-01-01 12:00:00")), str(_moment("2025-01-01T12:00:00+02:00"))
    ('2025-01-01 12:00:00+00:00', '2025-01-01 10:00:00+00:00')
    """
    told = datetime.fromisoformat(text)
    return told.replace(tzinfo=UTC) if told.tzinfo is None else told.astimezone(UTC)

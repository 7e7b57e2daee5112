"""Local files as tables: CSV, TSV, JSON Lines and Parquet.

Owns how bytes become columns, what Hugging Face metadata a table carries, and which columns cannot be used. Knows
nothing of separators and quotes (`delimited`), of folders (`folders`), of which column is text or label, nor of how
splits are used.
"""

from __future__ import annotations

import codecs
import itertools
import json
import mmap
import re
from bisect import bisect_left
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet

from lamps_core.errors import BadInput, first_line
from lamps_core.text.delimited import read_delimited

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

FILE_KINDS = (".csv", ".tsv", ".json", ".jsonl", ".ndjson", ".parquet")

# Readers of JSON call themselves for each level: some thousands of them are too many.
_MOST_NESTED = 200
_JSON_STRING = re.compile(rb'"(?:[^"\\]++|\\.)*+"?', re.DOTALL)
_JSON_SPACE = re.compile(r"[ \t\n\r]*")
_BLOCK_RECORDS = 65536  # that are held as Python objects at once
_TROUBLE = b"lamps:trouble"  # metadata of a column that cannot be used: why
_NO_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))


@dataclass(frozen=True)
class SplitSource:
    """The splits of one dataset, each read when it is asked for.

    Attributes:
        name: of the dataset, free of any machine's path.
        splits: names of the splits there are.
        read: split name -> table of that split, with Hugging Face metadata where the source has it.
        parts: "train", "validation" or "test" -> the split that plays it under a longer name.
        expected: how the source names splits, for errors; empty where there is nothing to say.
    """

    name: str
    splits: tuple[str, ...]
    read: Callable[[str], pa.Table]
    parts: Mapping[str, str] = field(default_factory=dict)
    expected: str = ""


def read_table(path: Path) -> pa.Table:
    """Read one file whole. Every CSV and TSV column is read as strings: "1", "NA" and "None" stay text.

    A column of JSON whose values are of several types is there without values: see `column_trouble`.

    Raises:
        BadInput: missing, empty, not UTF-8, or not what its suffix says.
    """
    readers = {".csv": read_delimited, ".tsv": read_delimited, ".parquet": _read_parquet}
    reader = readers.get(path.suffix.lower(), _read_json)
    try:
        if path.stat().st_size == 0:
            raise BadInput(f"{path}: the file is empty")
        _refuse_utf16(path)
        if path.suffix.lower() != ".parquet":
            _refuse_what_ends_readers(path)
        table = reader(path)
        # The readers of JSON and Parquet do not look whether their strings are UTF-8.
        table.validate(full=True)
    except (OSError, ValueError, OverflowError, pa.ArrowException) as error:
        raise BadInput(_unreadable(path, error)) from error
    return table


def concatenate(tables: Mapping[str, pa.Table], *, dataset: str) -> pa.Table:
    """Rows of several tables, in order, under the first one's schema and metadata.

    A column whose type or class names differ is there without values: see `column_trouble`.

    Args:
        tables: part name -> table, at least one.
        dataset: named in the error.

    Raises:
        BadInput: the parts differ in columns.
    """
    (first_name, first), *others = tables.items()
    troubles: dict[int, str] = {}
    for name, table in others:
        if table.column_names != first.column_names:
            raise BadInput(f"{dataset}: {name} and {first_name} differ in columns")
        for place, (one, other) in enumerate(zip(first.schema, table.schema, strict=True)):
            if _shape(one, first.schema) != _shape(other, table.schema):
                unlike = f"differs in type or class names between {first_name} and {name}: save both alike"
                troubles.setdefault(place, _trouble(one) or _trouble(other) or unlike)
    alike = [_without_values(table, troubles) for table in tables.values()]
    return pa.concat_tables([table.replace_schema_metadata(first.schema.metadata) for table in alike])


def column_trouble(schema: pa.Schema, column: str) -> str | None:
    """Why a column is there without values, as what follows its name in an error; None if it has them."""
    return _trouble(schema.field(column))


def _trouble(field: pa.Field) -> str | None:
    told = (field.metadata or {}).get(_TROUBLE)
    return None if told is None else told.decode(errors="replace")


def _without_values(table: pa.Table, troubles: Mapping[int, str]) -> pa.Table:
    """The table with nulls in the columns of these places, which say why."""
    for place, why in troubles.items():
        field = pa.field(table.column_names[place], pa.null(), metadata={_TROUBLE: why.encode()})
        table = table.set_column(place, field, pa.nulls(table.num_rows))
    return table


def class_names(schema: pa.Schema, column: str) -> tuple[str, ...] | None:
    """Class names of a Hugging Face ClassLabel column, from the schema's metadata; None if it is none."""
    try:
        feature = json.loads((schema.metadata or {})[b"huggingface"])["info"]["features"][column]
    except (KeyError, TypeError, ValueError):
        return None
    if not isinstance(feature, dict) or feature.get("_type") != "ClassLabel":
        return None
    names = feature.get("names")
    return tuple(map(str, names)) if isinstance(names, list) else None


def _shape(field: pa.Field, schema: pa.Schema) -> tuple[str, tuple[str, ...] | None, str | None]:
    return str(field.type), class_names(schema, field.name), _trouble(field)


def _refuse_utf16(path: Path) -> None:
    with path.open("rb") as file:
        if file.read(2) in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE):
            raise BadInput(f"{path}: the file is not UTF-8 but UTF-16; save it as UTF-8")


def _refuse_what_ends_readers(path: Path) -> None:
    """Bytes that no text holds, and JSON whose nesting would take the process down."""
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        if content.find(b"\0") >= 0:
            raise BadInput(f"{path}: the file holds NUL bytes, as UTF-16 does; save it as UTF-8 text")
        if path.suffix.lower() in {".csv", ".tsv"}:
            return
        brackets = _JSON_STRING.sub(b"", content).translate(None, _NO_BRACKETS)
    codes = np.frombuffer(brackets, np.uint8)
    level = np.cumsum(np.where(np.isin(codes, list(b"[{")), 1, -1))
    if len(level) and (level - np.minimum.accumulate(level)).max() > _MOST_NESTED:
        raise BadInput(f"{path}: is nested too deep, more than {_MOST_NESTED} levels; give flat rows")


def _read_parquet(path: Path) -> pa.Table:
    # ParquetFile, not read_table: that adds columns for folders named like "label=1" in the path.
    with pyarrow.parquet.ParquetFile(path) as file:
        return file.read()


def _read_json(path: Path) -> pa.Table:
    """JSON Lines, or one array of objects, by Python's parser: Arrow's ends the process on some broken lines."""
    text = path.read_text(encoding="utf-8-sig")
    array = path.suffix.lower() == ".json" and text.lstrip()[:1] == "["
    records = iter(_DECODER.decode(text)) if array else _json_lines(text)
    parts, mixed, first = [pa.table({})], dict[str, str](), 0
    while block := list(itertools.islice(records, _BLOCK_RECORDS)):
        parts.append(_of_records(block, first, mixed))
        first += len(block)
    mixed = _mixed_over(parts) | mixed
    alike = [
        _without_values(
            part, {part.column_names.index(name): mixed[name] for name in part.column_names if name in mixed}
        )
        for part in parts
    ]
    return pa.concat_tables(alike[1:] or alike, promote_options="permissive").combine_chunks()


def _json_lines(text: str) -> Iterator[Any]:
    at = _past_space(text, 0)
    while at < len(text):
        record, at = _DECODER.raw_decode(text, at)
        yield record
        at = _past_space(text, at)


def _past_space(text: str, at: int) -> int:
    found = _JSON_SPACE.match(text, at)
    return found.end() if found else at


def _of_records(records: Sequence[Any], first: int, mixed: dict[str, str]) -> pa.Table:
    """A table of the records from the row `first` on; `mixed` grows by columns that are of no one type."""
    if not all(isinstance(record, dict) for record in records):
        raise ValueError("it holds something that is not an object")
    names = {name: None for record in records for name in record}
    columns = {}
    for name in names:
        values = [record.get(name) for record in records]
        try:
            columns[name] = pa.array(values)
        except (pa.ArrowException, OverflowError) as error:
            row = bisect_left(range(1, len(values)), True, key=lambda count: not _fits(values[:count]))
            mixed.setdefault(name, _mixed(first + row, error))
            columns[name] = pa.nulls(len(values))
    return pa.table(columns)


def _mixed_over(parts: Sequence[pa.Table]) -> dict[str, str]:
    """The columns whose types in the parts of one file cannot become one, and why."""
    kinds, mixed, first = dict[str, pa.Field](), dict[str, str](), 0
    for part in parts:
        for column in part.schema:
            both = [pa.schema([kinds.get(column.name, column)]), pa.schema([column])]
            try:
                kinds[column.name] = pa.unify_schemas(both, promote_options="permissive").field(0)
            except pa.ArrowException as error:
                row = first + pc.index(part.column(column.name).is_valid(), True).as_py()
                mixed.setdefault(column.name, _mixed(row, error))
        first += part.num_rows
    return mixed


def _mixed(row: int, error: Exception) -> str:
    return (
        f"holds in row {row}, counted from 0, a value of another type than the rows before, or one too large "
        f"({first_line(error)}): write all its values as strings"
    )


def _fits(values: list[Any]) -> bool:
    try:
        pa.array(values)
    except (pa.ArrowException, OverflowError):
        return False
    return True


def _no_number(word: str) -> float:
    raise ValueError(f"{word} is no JSON")


def _record(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    record = dict(pairs)
    if len(record) < len(pairs):
        raise ValueError(f"one object has a name twice, of {', '.join(record)[:100]}")
    return record


_DECODER = json.JSONDecoder(parse_constant=_no_number, object_pairs_hook=_record)


def _unreadable(path: Path, error: Exception) -> str:
    reason = first_line(error)
    if isinstance(error, FileNotFoundError):
        return f"{path}: no such file"
    if isinstance(error, UnicodeEncodeError):  # JSON may escape what no text can hold
        half = ascii(error.object[error.start : error.end])
        return f"{path}: holds half a surrogate pair ({half} in {error.object[:40]!a}), which is no text: remove it"
    if isinstance(error, UnicodeError) or (isinstance(error, pa.ArrowInvalid) and "UTF8" in reason):
        return f"{path}: the file is not UTF-8; save it as UTF-8 ({reason})"
    return f"{path}: cannot be read as {path.suffix.lower().lstrip('.')} ({reason})"

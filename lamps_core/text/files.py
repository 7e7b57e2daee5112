"""Local files as tables: CSV, TSV, JSON Lines and Parquet.

Owns how bytes become columns and what Hugging Face metadata a table carries. Knows nothing of folders
(`folders`), of which column is text or label, nor of how splits are used.
"""

from __future__ import annotations

import codecs
import csv
import itertools
import json
import mmap
import re
import sys
from bisect import bisect_left
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet

from lamps_core.errors import BadInput, first_line

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

FILE_KINDS = (".csv", ".tsv", ".json", ".jsonl", ".ndjson", ".parquet")

# One value of a CSV must fit a block; the library's own 1 MiB is less than a long document.
_BLOCK_BYTES = 64 * 2**20
# Readers of JSON call themselves for each level: some thousands of them are too many.
_MOST_NESTED = 200
_JSON_STRING = re.compile(rb'"(?:[^"\\]++|\\.)*+"?', re.DOTALL)
_JSON_SPACE = re.compile(r"[ \t\n\r]*")
_BLOCK_RECORDS = 65536  # that are held as Python objects at once
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

    Raises:
        BadInput: missing, empty, not UTF-8, or not what its suffix says.
    """
    readers = {".csv": _read_delimited, ".tsv": _read_delimited, ".parquet": _read_parquet}
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

    Args:
        tables: part name -> table, at least one.
        dataset: named in the error.

    Raises:
        BadInput: the parts differ in columns, types or class names.
    """
    (first_name, first), *others = tables.items()
    for name, table in others:
        if _shape(table.schema) != _shape(first.schema):
            raise BadInput(f"{dataset}: {name} and {first_name} differ in columns, types or class names")
    return pa.concat_tables(
        [table.replace_schema_metadata(first.schema.metadata) for table in tables.values()]
    )


def class_names(schema: pa.Schema, column: str) -> tuple[str, ...] | None:
    """Class names of a Hugging Face ClassLabel column, from the schema's metadata; None if it is none."""
    try:
        feature = json.loads((schema.metadata or {})[b"huggingface"])["info"]["features"][column]
    except (KeyError, TypeError, ValueError):
        return None
    if not isinstance(feature, dict) or feature.get("_type") != "ClassLabel":
        return None
    return tuple(str(name) for name in feature.get("names", ()))


def _shape(schema: pa.Schema) -> list[tuple[str, str, tuple[str, ...] | None]]:
    return [(field.name, str(field.type), class_names(schema, field.name)) for field in schema]


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


def _read_delimited(path: Path) -> pa.Table:
    tabbed = path.suffix.lower() == ".tsv"
    table = pyarrow.csv.read_csv(
        path,
        read_options=pyarrow.csv.ReadOptions(block_size=_BLOCK_BYTES),
        parse_options=pyarrow.csv.ParseOptions(delimiter="\t" if tabbed else ",", newlines_in_values=True),
        convert_options=pyarrow.csv.ConvertOptions(
            default_column_type=pa.string(), strings_can_be_null=False
        ),
    )
    if tabbed:
        _refuse_merged_lines(table, path)
    else:
        _refuse_stray_quotes(table, path)
    return table


def _refuse_merged_lines(table: pa.Table, path: Path) -> None:
    """A lone quote that begins a value reaches to the next one, over tabs and line breaks."""
    for column in table.columns:
        merged = column.filter(
            pc.and_(pc.match_substring(column, "\t"), pc.match_substring_regex(column, "[\r\n]"))
        )
        if len(merged):
            raise BadInput(
                f"{path}: a value holds both tabs and line breaks, as if a stray quote had merged lines: "
                f"{merged[0].as_py()[:40]!r}; quote properly, or use CSV or JSON Lines"
            )


def _refuse_stray_quotes(table: pa.Table, path: Path) -> None:
    """A lone quote that begins a value reaches to the next one, over commas and line breaks, and text follows it."""
    if not any(pc.any(pc.match_substring_regex(column, "[\r\n]")).as_py() for column in table.columns):
        return
    with path.open(encoding="utf-8-sig", newline="") as file:
        lines = csv.reader(file, strict=True)
        usual = csv.field_size_limit(sys.maxsize)
        try:
            for _ in lines:
                pass
        except csv.Error:
            raise BadInput(
                f"{path}: the value that ends in line {lines.line_num} goes on behind its closing quote, as if a "
                "stray quote had merged lines; double the quotes inside values, or use JSON Lines"
            ) from None
        finally:
            csv.field_size_limit(usual)


def _read_parquet(path: Path) -> pa.Table:
    # ParquetFile, not read_table: that adds columns for folders named like "label=1" in the path.
    with pyarrow.parquet.ParquetFile(path) as file:
        return file.read()


def _read_json(path: Path) -> pa.Table:
    """JSON Lines, or one array of objects, by Python's parser: Arrow's ends the process on some broken lines."""
    text = path.read_text(encoding="utf-8-sig")
    array = path.suffix.lower() == ".json" and text.lstrip()[:1] == "["
    records = iter(_DECODER.decode(text)) if array else _json_lines(text)
    parts, first = [pa.table({})], 0
    while block := list(itertools.islice(records, _BLOCK_RECORDS)):
        parts.append(_of_records(block, first))
        first += len(block)
    return pa.concat_tables(parts[1:] or parts, promote_options="permissive").combine_chunks()


def _json_lines(text: str) -> Iterator[Any]:
    at = _past_space(text, 0)
    while at < len(text):
        record, at = _DECODER.raw_decode(text, at)
        yield record
        at = _past_space(text, at)


def _past_space(text: str, at: int) -> int:
    found = _JSON_SPACE.match(text, at)
    return found.end() if found else at


def _of_records(records: Sequence[Any], first: int) -> pa.Table:
    if not all(isinstance(record, dict) for record in records):
        raise ValueError("it holds something that is not an object")
    names = {name: None for record in records for name in record}
    return pa.table({name: _column([record.get(name) for record in records], name, first) for name in names})


def _column(values: list[Any], name: str, first: int) -> pa.Array:
    try:
        return pa.array(values)
    except (pa.ArrowException, OverflowError) as error:
        row = bisect_left(range(1, len(values)), True, key=lambda count: not _fits(values[:count]))
        raise ValueError(
            f"column {name}, row {first + row}, counted from 0, is of another type than the rows before, or too large: "
            f"{first_line(error)}"
        ) from None


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

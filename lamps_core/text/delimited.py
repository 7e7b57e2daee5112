"""CSV and TSV as tables of strings.

Owns separators and quotes: how lines become values, and what is wrong with lines that do not. Does not know which
column is text or label.
"""

from __future__ import annotations

import csv
import sys
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv

from lamps_core.errors import BadInput, abbreviated
from lamps_core.report_words import counted

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

# One value of a CSV must fit a block; the library's own 1 MiB is less than a long document.
_BLOCK_BYTES = 64 * 2**20
_SEPARATORS = {";": "';'", "\t": "a tab", "|": "'|'", ",": "','"}


def read_delimited(path: Path) -> pa.Table:
    """Read a CSV or, by its suffix, a TSV; every column holds strings.

    Raises:
        BadInput: a line has another number of values than the header, or a quote is not closed.
        OSError: it cannot be read.
        ValueError: it is not UTF-8.
        pa.ArrowException: anything else that is wrong with it.
    """
    tabbed = path.suffix.lower() == ".tsv"
    separator = "\t" if tabbed else ","
    try:
        table = pyarrow.csv.read_csv(
            path,
            read_options=pyarrow.csv.ReadOptions(block_size=_BLOCK_BYTES),
            parse_options=pyarrow.csv.ParseOptions(delimiter=separator, newlines_in_values=True),
            convert_options=pyarrow.csv.ConvertOptions(
                default_column_type=pa.string(), strings_can_be_null=False
            ),
        )
    except pa.ArrowInvalid:
        _refuse_broken_lines(path, separator)
        raise
    if tabbed:
        _refuse_merged_lines(table, path)
    elif any(pc.any(pc.match_substring_regex(column, "[\r\n]")).as_py() for column in table.columns):
        # A lone quote that begins a value reaches to the next one, over commas and line breaks, and text follows it.
        _refuse_broken_lines(path, separator)
    return table


def separator_hint(columns: Sequence[str]) -> str:
    """Which separator a table of one column seems to have, as the end of an error; empty where nothing says so.

    >>> separator_hint(["text|label"])
    "; the separator seems to be '|': save the file as .csv with commas, or as .tsv with tabs"
    """
    if len(columns) != 1:
        return ""
    found = next((told for separator, told in _SEPARATORS.items() if separator in columns[0]), None)
    if found is None:
        return ""
    if found == _SEPARATORS[","]:
        return "; the separator seems to be ',': call the file .csv, and leave no quotes around whole lines"
    return f"; the separator seems to be {found}: save the file as .csv with commas, or as .tsv with tabs"


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


def _refuse_broken_lines(path: Path, separator: str) -> None:
    """Name the first line that has too many or too few values, or whose quotes do not fit.

    By Python's parser: the other one does not tell the line, and takes text behind a closing quote.
    """
    with path.open(encoding="utf-8-sig", newline="") as file:
        lines = csv.reader(file, delimiter=separator, strict=True)
        usual = csv.field_size_limit(sys.maxsize)
        header, begins = list[str](), 1
        try:
            for values in lines:
                header = header or values
                if values and len(values) != len(header):
                    raise BadInput(
                        f"{path}: {_other_count(values, header, (begins, lines.line_num), separator)}"
                    )
                begins = lines.line_num + 1
        except csv.Error as error:
            raise BadInput(f"{path}: {_stray_quote(error, header, begins, lines.line_num)}") from None
        finally:
            csv.field_size_limit(usual)


def _other_count(values: Sequence[str], header: Sequence[str], lines: tuple[int, int], separator: str) -> str:
    begins, ends = lines
    where, mend = f"line {begins} holds", "add what is missing, or remove the line"
    if begins < ends:
        where = f"lines {begins} to {ends}, which a quote makes one, hold"
        mend = "close quotes where values end, and double those inside values"
    elif len(values) > len(header):
        mend = f"put quotes around a value that holds {_SEPARATORS[separator]}, and double those inside it"
    first = abbreviated(separator.join(header))
    told = f"{where} {counted(len(values), 'value')}, and the header {len(header)} ({first})"
    return told + (separator_hint(header) or f"; {mend}")


def _stray_quote(error: csv.Error, header: Sequence[str], begins: int, ends: int) -> str:
    told = f"the value that ends in line {ends} goes on behind its closing quote, as if a stray quote had merged lines"
    mend = "double the quotes inside values, or use JSON Lines"
    if "end of data" in str(error):
        told = f"a quote of the row that begins in line {begins} is never closed"
        mend = "close it, or double the quotes inside values"
    return told + (separator_hint(header) or f"; {mend}")

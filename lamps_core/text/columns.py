"""What a row's text and label are: the columns of a table as texts, labels and the names of the classes.

Owns how columns of any type become text (joined, as lettered choices, by a template), what counts as a label,
and what is no classification task. Does not know where a table comes from nor what its rows are used for.
"""

from __future__ import annotations

import dataclasses
import functools
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from lamps_core.errors import BadInput
from lamps_core.text.delimited import separator_hint
from lamps_core.text.files import class_names, column_trouble

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lamps_core.landmarks import IntArray

# Words that programs write for what is missing; a class may be called so too.
_MISSING = frozenset({"nan", "none", "na", "n/a", "null", "<na>"})
_MOST_NAMED = 4  # labels, in a notice
_TEMPLATE_PIECE = re.compile(r"\{\{|\}\}|\{([^{}]*)\}|[{}]")


@dataclass(frozen=True)
class Layout:
    """Text = literals[0] + columns[0] + literals[1] + ... + literals[-1]; label = target.

    Attributes:
        literals: what stands before, between and after the columns: one more than these.
        columns: names of the columns of the text, in its order.
        target: name of the column of the label.
    """

    literals: tuple[str, ...]
    columns: tuple[str, ...]
    target: str


@dataclass(frozen=True)
class Rows:
    """Rows of one split with a text and a label.

    Attributes:
        origin: where they were read from, for messages.
        texts: large_string, without nulls.
        labels: large_string, without nulls.
    """

    origin: str
    texts: pa.ChunkedArray
    labels: pa.ChunkedArray


def choose_layout(
    available: Sequence[str], *, inputs: tuple[str, ...], target: str, template: str | None
) -> Layout:
    """The columns and the text between them that are meant.

    Args:
        available: names of the columns there are.
        inputs: columns of the text. One entry such as "a,b" names several, unless a column is called that.
        target: column of the label.
        template: how the input columns make one text; None joins them by line breaks.

    Raises:
        BadInput: no input column, one given twice, the target among them, or a template that names anything else.
    """
    if not inputs:
        raise BadInput(f"no input column given; the columns are {', '.join(available)}")
    if len(inputs) == 1 and inputs[0] not in available:
        inputs = tuple(column.strip() for column in inputs[0].split(","))
    repeated = next((name for name in inputs if inputs.count(name) > 1), None)
    if repeated is not None:
        raise BadInput(f"input column {repeated!r} is given more than once; name it once")
    if target in inputs:
        raise BadInput(f"column {target!r} is both input and target; the label must not be in the text")
    if template is None:
        return Layout(("", *["\n"] * (len(inputs) - 1), ""), inputs, target)
    literals, named = _parse_template(template.replace("\\n", "\n"), inputs)
    return Layout(literals, named, target)


def _parse_template(template: str, columns: tuple[str, ...]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Cut a template into n + 1 literals and the n columns between them."""
    literals, named, end = [""], list[str](), 0
    for piece in _TEMPLATE_PIECE.finditer(template):
        literals[-1] += template[end : piece.start()]
        end = piece.end()
        if piece[0] in ("{{", "}}"):
            literals[-1] += piece[0][0]
        elif piece[1] in columns:
            named.append(piece[1])
            literals.append("")
        else:
            raise BadInput(
                f"template: {piece[0]!r} is no input column ({', '.join(columns)}); "
                "only their names go in braces, and a brace itself is written twice"
            )
    literals[-1] += template[end:]
    if not named:
        raise BadInput(f"template {template!r} holds no input column; write for example {{{columns[0]}}}")
    return tuple(literals), tuple(named)


def read_rows(table: pa.Table, layout: Layout, *, origin: str) -> tuple[Rows, tuple[str, ...]]:
    """Texts and labels of a table, less the rows that lack one, and a notice where there are such."""
    pieces = {name: _text_strings(_column(table, name, origin), name, origin) for name in layout.columns}
    labels = read_labels(table, layout.target, origin)
    blank = functools.reduce(
        pc.and_, [pc.equal(pc.utf8_trim_whitespace(piece), "") for piece in pieces.values()]
    )
    unlabelled = pc.is_null(labels)
    dropped = pc.or_(unlabelled, blank)
    joined = [_string(layout.literals[0])]
    for name, literal in zip(layout.columns, layout.literals[1:], strict=True):
        joined += [pieces[name], _string(literal)]
    texts = pc.binary_join_element_wise(*joined, _string(""))
    rows = Rows(origin, texts.filter(pc.invert(dropped)), labels.filter(pc.invert(dropped)))
    no_label, lost = pc.sum(unlabelled).as_py() or 0, table.num_rows - len(rows.labels)
    reasons = f"{no_label} rows with no label and {lost - no_label} with empty text"
    return rows, (f"{origin}: dropped {reasons} of {table.num_rows}",) if lost else ()


def _column(table: pa.Table, name: str, origin: str) -> pa.ChunkedArray:
    found = table.column_names.count(name)
    if found == 0:
        there = f"the columns are {', '.join(table.column_names)}{separator_hint(table.column_names)}"
        raise BadInput(f"{origin}: no column {name!r}; {there}")
    if found > 1:
        raise BadInput(f"{origin}: {found} columns are called {name!r}; rename all but one")
    if trouble := column_trouble(table.schema, name):
        raise BadInput(f"{origin}: column {name!r} {trouble}")
    column = table.column(name)
    return column.cast(column.type.value_type) if pa.types.is_dictionary(column.type) else column


def _text_strings(column: pa.ChunkedArray, name: str, origin: str) -> pa.ChunkedArray:
    """A column as large_string, with "" for what is missing."""
    kind = column.type
    if pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind):
        return _choice_lines(column, name, origin)
    return _plain_strings(column, name, origin)


def _plain_strings(column: pa.ChunkedArray, name: str, origin: str) -> pa.ChunkedArray:
    kind = column.type
    if not (_is_string(kind) or _is_number(kind) or pa.types.is_null(kind)):
        raise BadInput(
            f"{origin}: column {name!r} holds {kind}; a text column holds strings, numbers or lists of them"
        )
    return column.cast(pa.large_string()).fill_null("")


def _choice_lines(column: pa.ChunkedArray, name: str, origin: str) -> pa.ChunkedArray:
    """Lists of choices as lines: "A. first", "B. second", ..., after "Z." come "AA.", "AB."; "" where all are blank."""
    lists = column.cast(pa.large_list(column.type.value_type)).combine_chunks()
    choices = _plain_strings(pa.chunked_array([lists.flatten()]), name, origin)
    lengths = pc.list_value_length(lists).fill_null(0).to_numpy(zero_copy_only=False)
    ends = np.cumsum(lengths)
    places = np.arange(len(choices)) - np.repeat(ends - lengths, lengths)
    marks = pa.array([f"{_letters(place)}. " for place in range(lengths.max(initial=0))], pa.large_string())
    lines = pc.binary_join_element_wise(marks.take(pa.array(places)), choices.combine_chunks(), _string(""))
    offsets = pa.array(np.concatenate([[0], ends]), pa.int64())
    joined = pc.binary_join(pa.LargeListArray.from_arrays(offsets, lines), _string("\n"))
    said = pc.not_equal(pc.utf8_trim_whitespace(choices), "").to_numpy(zero_copy_only=False)
    owner = np.repeat(np.arange(len(lists)), lengths)
    any_said = np.bincount(owner, weights=said, minlength=len(lists)) > 0
    return pa.chunked_array([pc.if_else(pa.array(any_said), joined, _string(""))])


def _string(text: str) -> pa.Scalar:
    return pa.scalar(text, pa.large_string())


def _letters(place: int) -> str:
    return (_letters(place // 26 - 1) if place >= 26 else "") + chr(ord("A") + place % 26)


def read_labels(table: pa.Table, target: str, origin: str) -> pa.ChunkedArray:
    """The label column as large_string, null where the label is missing; strings are as they are written."""
    column = _column(table, target, origin)
    if pa.types.is_floating(column.type):
        try:
            column = pc.if_else(pc.is_nan(column), None, column).cast(pa.int64())
        except pa.ArrowInvalid as error:
            raise BadInput(_decimal_labels(origin, target)) from error
    kind, names = column.type, class_names(table.schema, target)
    if names is not None and pa.types.is_integer(kind):
        return _named_labels(column, names, origin)
    if not (
        _is_string(kind) or pa.types.is_integer(kind) or pa.types.is_boolean(kind) or pa.types.is_null(kind)
    ):
        raise BadInput(f"{origin}: column {target!r} holds {kind}; a label is a string or a whole number")
    labels = column.cast(pa.large_string())
    return pc.if_else(pc.equal(pc.utf8_trim_whitespace(labels), ""), None, labels)


def _named_labels(column: pa.ChunkedArray, names: tuple[str, ...], origin: str) -> pa.ChunkedArray:
    column = pc.if_else(pc.equal(column, -1), None, column)
    extremes = pc.min_max(column)
    if (extremes["min"].as_py() or 0) < 0 or (extremes["max"].as_py() or 0) >= len(names):
        worst = extremes["max"] if (extremes["min"].as_py() or 0) >= 0 else extremes["min"]
        raise BadInput(
            f"{origin}: label {worst.as_py()} is outside the {len(names)} class names of the dataset"
        )
    return pa.chunked_array([pa.array(names, pa.large_string()).take(column.combine_chunks())])


def are_whole_numbers(rows: Rows, declared: tuple[str, ...] | None, *, target: str) -> bool:
    """Whether the labels of the train rows are whole numbers, so that "1.0" means the label "1" in every split.

    Raises:
        BadInput: they are numbers, and one is "0.5".
    """
    distinct = pc.unique(rows.labels)
    if declared and set(distinct.to_pylist()) <= set(declared):
        return False
    if not pc.all(pc.match_substring_regex(distinct, r"^-?\d+(\.\d*)?$")).as_py():
        return False
    if pc.any(pc.match_substring_regex(distinct, r"\.\d*[1-9]")).as_py():
        raise BadInput(_decimal_labels(rows.origin, target))
    return True


def as_whole_numbers(rows: Rows) -> Rows:
    """The rows with "1" in place of the label "1.0"."""
    labels = pc.replace_substring_regex(rows.labels, r"^(-?\d+)\.0*$", r"\1")
    return dataclasses.replace(rows, labels=labels)


def _decimal_labels(origin: str, target: str) -> str:
    return (
        f"{origin}: column {target!r} holds numbers with decimals: regression is not supported; "
        "for classes write words or whole numbers"
    )


def _is_string(kind: pa.DataType) -> bool:
    return pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind)


def _is_number(kind: pa.DataType) -> bool:
    return pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind)


def name_labels(rows: Rows, declared: tuple[str, ...] | None) -> tuple[str, ...]:
    """Class names: those the dataset declares where they name all labels, else the train rows' labels, sorted."""
    distinct = pc.unique(rows.labels).to_pylist()
    if not distinct:
        raise BadInput(f"{rows.origin}: no row with both a text and a label is left")
    if len(distinct) == 1:
        raise BadInput(
            f"{rows.origin}: all labels are {distinct[0]!r}; a classifier needs two classes or more"
        )
    if len(distinct) == len(rows.labels):
        raise BadInput(
            f"{rows.origin}: every row has a label of its own; is the target an id or a text column?"
        )
    if declared and set(distinct) <= set(declared):
        return declared
    if all(re.fullmatch(r"-?\d+", label) for label in distinct):
        return tuple(sorted(distinct, key=lambda label: (int(label), label)))
    return tuple(sorted(distinct))


def doubtful_labels(names: Sequence[str]) -> str | None:
    """Labels that were perhaps not meant as classes of their own, as a notice; None where there are none.

    >>> doubtful_labels(["Pos", "neg", "pos"])
    "labels are taken as they are written: are 'Pos', 'pos' one class, written in several ways?"
    """
    spellings: dict[str, list[str]] = {}
    for name in names:
        spellings.setdefault(name.strip().casefold(), []).append(name)
    alike = [name for written in spellings.values() if len(written) > 1 for name in written]
    missing = [name for word, written in spellings.items() if word in _MISSING for name in written]
    asked = []
    if alike:
        several = any(len(alike) > len(written) > 1 for written in spellings.values())
        asked.append(
            f"are {_some(alike)} {'fewer classes' if several else 'one class'}, written in several ways?"
        )
    if missing:
        asked.append(f"{'does' if len(missing) == 1 else 'do'} {_some(missing)} stand for a missing label?")
    return f"labels are taken as they are written: {' '.join(asked)}" if asked else None


def _some(labels: Sequence[str]) -> str:
    more = f" and {len(labels) - _MOST_NAMED} more" if len(labels) > _MOST_NAMED else ""
    return ", ".join(map(repr, labels[:_MOST_NAMED])) + more


def encode_labels(rows: Rows, names: tuple[str, ...], *, seen: pa.Array) -> IntArray:
    """Labels to places [rows] in `names`; all must be among `seen`, the labels of the train rows."""
    if not len(rows.labels):
        raise BadInput(f"{rows.origin}: no row with both a text and a label is left")
    unseen = pc.invert(pc.is_in(rows.labels, seen))
    _refuse_labels(rows, unseen, "is in no training row; drop such rows or add some to train")
    places = pc.index_in(rows.labels, pa.array(names, pa.large_string()))
    _refuse_labels(rows, pc.is_null(places), f"is none of the class names {', '.join(names)}")
    encoded: IntArray = places.to_numpy().astype(np.int64)
    return encoded


def _refuse_labels(rows: Rows, unfit: pa.ChunkedArray, why: str) -> None:
    labels = rows.labels.filter(unfit)
    if len(labels):
        counts = [(entry["values"].as_py(), entry["counts"].as_py()) for entry in pc.value_counts(labels)][:5]
        named = ", ".join(f"{label!r} ({count} rows)" for label, count in counts)
        raise BadInput(f"{rows.origin}: label {named} {why}")

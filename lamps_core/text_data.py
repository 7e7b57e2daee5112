"""A text-classification dataset as it was asked for: texts, integer labels, label names and splits.

Owns what a row's text and label are, which split plays which part, and the prepared folder that a worker
reads. Does not know how files or the hub are read (`text_files`, `text_hub`), nor tokens or models.
`load_prepared` needs numpy, pyarrow and json only, so that a worker starts fast.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet

from lamps_core.errors import BadInput
from lamps_core.files import write_atomically, write_json
from lamps_core.landmarks import stratified_order
from lamps_core.text_files import FILE_KINDS, SplitSource, class_names, open_local, read_table
from lamps_core.text_hub import open_hub

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from lamps_core.landmarks import IntArray

TEST_SHARE = 0.2
_VALIDATION_NAMES = ("validation", "dev", "valid", "val")
_TEMPLATE_PIECE = re.compile(r"\{\{|\}\}|\{([^{}]*)\}|[{}]")
_PREPARED_VERSION = 1


@dataclass(frozen=True)
class DatasetRequest:
    r"""What a user asks for.

    The text of a row is one input column exactly as it is, or several joined by line breaks. A column that
    holds lists (the choices of a question) becomes the lines "A. first", "B. second", ... A `template` says
    otherwise: each `{column}` in it stands for that input column, `{{` and `}}` for braces, `\n` for a line
    break, and everything else for itself. Nothing but the name of an input column may stand in braces.

    Attributes:
        dataset: a CSV, TSV, JSON Lines or Parquet file, a folder with train/test files, or a hub id
            `org/name`, `org/name:config`, `org/name:config1+config2`, `org/name:*`.
        input_columns: columns of the text. One entry such as "question,choices" names several, unless a
            column is called that.
        target_column: column of the label.
        test_dataset: another dataset to test on.
        template: how the input columns make one text.
        selection_split: None evaluates candidates on the test split, as the paper does. A split's name, or a
            share of the training rows such as "0.1", evaluates them there and keeps the test split.
        max_train_rows: stratified cap on the training rows.
        seed: of every draw of rows.
        train_split: the split to train on where it is not called "train".
        test_split: the split to test on where it is not called "test".
    """

    dataset: str
    input_columns: tuple[str, ...]
    target_column: str
    test_dataset: str | None = None
    template: str | None = None
    selection_split: str | None = None
    max_train_rows: int | None = None
    seed: int = 0
    train_split: str | None = None
    test_split: str | None = None


@dataclass(frozen=True, eq=False)
class TextSplit:
    """Rows of one split: texts, and labels [rows] as places in the dataset's label names."""

    texts: tuple[str, ...]
    labels: IntArray

    def __len__(self) -> int:
        return len(self.texts)

    def take(self, rows: IntArray) -> TextSplit:
        """The rows of these numbers, in that order."""
        return TextSplit(tuple(self.texts[row] for row in rows.tolist()), self.labels[rows])


@dataclass(frozen=True, eq=False)
class TextDataset:
    """A dataset ready for tokenising.

    Attributes:
        name: stable, free of any machine's path.
        label_names: place in it = label.
        train: rows in the order of their source.
        evaluation: the split that gives `test_loss` to the search.
        test: rows kept for the end; None where `evaluation` is the test split.
        notices: what was dropped, reserved or replaced, for the user to read.
        fingerprint: SHA-256 of name, label names, selection and all rows.
        selection: in words, what `evaluation` is.
    """

    name: str
    label_names: tuple[str, ...]
    train: TextSplit
    evaluation: TextSplit
    test: TextSplit | None
    notices: tuple[str, ...]
    fingerprint: str
    selection: str


# --- What a row's text and label are -----------------------------------------------------------------------


@dataclass(frozen=True)
class Layout:
    """Text = literals[0] + columns[0] + literals[1] + ... + literals[-1]; label = target."""

    literals: tuple[str, ...]
    columns: tuple[str, ...]
    target: str


@dataclass(frozen=True)
class Rows:
    """Rows of one split with a text and a label. texts, labels: Arrow large_string arrays without nulls."""

    origin: str
    texts: pa.ChunkedArray
    labels: pa.ChunkedArray


def choose_layout(request: DatasetRequest, table: pa.Table) -> Layout:
    """The columns and the text between them that a request means for a table with these columns."""
    columns = request.input_columns
    if not columns:
        raise BadInput(f"no input column given; the columns are {', '.join(table.column_names)}")
    if len(columns) == 1 and columns[0] not in table.column_names:
        columns = tuple(column.strip() for column in columns[0].split(","))
    if request.target_column in columns:
        raise BadInput(
            f"column {request.target_column!r} is both input and target; the label must not be in the text"
        )
    if request.template is None:
        return Layout(("", *["\n"] * (len(columns) - 1), ""), columns, request.target_column)
    literals, named = _parse_template(request.template.replace("\\n", "\n"), columns)
    return Layout(literals, named, request.target_column)


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
        raise BadInput(f"{origin}: no column {name!r}; the columns are {', '.join(table.column_names)}")
    if found > 1:
        raise BadInput(f"{origin}: {found} columns are called {name!r}; rename all but one")
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
    """Lists of choices as lines: "A. first", "B. second", ..., after "Z." come "AA.", "AB.", ..."""
    lists = column.cast(pa.large_list(column.type.value_type)).combine_chunks()
    choices = _plain_strings(pa.chunked_array([lists.flatten()]), name, origin)
    lengths = pc.list_value_length(lists).fill_null(0).to_numpy(zero_copy_only=False)
    ends = np.cumsum(lengths)
    places = np.arange(len(choices)) - np.repeat(ends - lengths, lengths)
    marks = pa.array([f"{_letters(place)}. " for place in range(lengths.max(initial=0))], pa.large_string())
    lines = pc.binary_join_element_wise(marks.take(pa.array(places)), choices.combine_chunks(), _string(""))
    offsets = pa.array(np.concatenate([[0], ends]), pa.int64())
    return pa.chunked_array([pc.binary_join(pa.LargeListArray.from_arrays(offsets, lines), _string("\n"))])


def _string(text: str) -> pa.Scalar:
    return pa.scalar(text, pa.large_string())


def _letters(place: int) -> str:
    return (_letters(place // 26 - 1) if place >= 26 else "") + chr(ord("A") + place % 26)


def read_labels(table: pa.Table, target: str, origin: str) -> pa.ChunkedArray:
    """The label column as large_string, null where the label is missing."""
    column = _column(table, target, origin)
    kind, names = column.type, class_names(table.schema, target)
    if names is not None and pa.types.is_integer(kind):
        return _named_labels(column, names, origin)
    if pa.types.is_floating(kind):
        try:
            column = pc.if_else(pc.is_nan(column), None, column).cast(pa.int64())
        except pa.ArrowInvalid as error:
            raise BadInput(_decimal_labels(origin, target)) from error
    elif not (
        _is_string(kind) or pa.types.is_integer(kind) or pa.types.is_boolean(kind) or pa.types.is_null(kind)
    ):
        raise BadInput(f"{origin}: column {target!r} holds {kind}; a label is a string or a whole number")
    labels = column.cast(pa.large_string())
    labels = pc.if_else(pc.equal(pc.utf8_trim_whitespace(labels), ""), None, labels)
    return _whole_numbers(labels, origin, target) if _is_string(kind) else labels


def _named_labels(column: pa.ChunkedArray, names: tuple[str, ...], origin: str) -> pa.ChunkedArray:
    column = pc.if_else(pc.equal(column, -1), None, column)
    extremes = pc.min_max(column)
    if (extremes["min"].as_py() or 0) < 0 or (extremes["max"].as_py() or 0) >= len(names):
        worst = extremes["max"] if (extremes["min"].as_py() or 0) >= 0 else extremes["min"]
        raise BadInput(
            f"{origin}: label {worst.as_py()} is outside the {len(names)} class names of the dataset"
        )
    return pa.chunked_array([pa.array(names, pa.large_string()).take(column.combine_chunks())])


def _whole_numbers(labels: pa.ChunkedArray, origin: str, target: str) -> pa.ChunkedArray:
    """Strings that are all numbers, as CSV has them: "1.0" is the label "1", and "0.5" is no label."""
    distinct = pc.unique(labels).drop_null()
    if not len(distinct) or not pc.all(pc.match_substring_regex(distinct, r"^-?\d+(\.\d*)?$")).as_py():
        return labels
    if pc.any(pc.match_substring_regex(distinct, r"\.\d*[1-9]")).as_py():
        raise BadInput(_decimal_labels(origin, target))
    return pc.replace_substring_regex(labels, r"\.0*$", "")


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
    """Class names: those the dataset declares, else the labels of the train rows, sorted."""
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
    if declared is not None:
        return declared
    if all(re.fullmatch(r"-?\d+", label) for label in distinct):
        return tuple(sorted(distinct, key=lambda label: (int(label), label)))
    return tuple(sorted(distinct))


def encode_labels(rows: Rows, names: tuple[str, ...], *, seen: pa.Array) -> TextSplit:
    """Labels to places in `names`, all of which must be among `seen`, the labels of the train rows."""
    if not len(rows.labels):
        raise BadInput(f"{rows.origin}: no row with both a text and a label is left")
    unseen = rows.labels.filter(pc.invert(pc.is_in(rows.labels, seen)))
    if len(unseen):
        counts = [(entry["values"].as_py(), entry["counts"].as_py()) for entry in pc.value_counts(unseen)][:5]
        named = ", ".join(f"{label!r} ({count} rows)" for label, count in counts)
        raise BadInput(
            f"{rows.origin}: label {named} is in no training row; drop such rows or add some to train"
        )
    places = pc.index_in(rows.labels, pa.array(names, pa.large_string())).to_numpy()
    return TextSplit(tuple(rows.texts.to_pylist()), places.astype(np.int64))


# --- Which split plays which part --------------------------------------------------------------------------


def find_split(splits: Sequence[str], wanted: str) -> str | None:
    """The split of that name; dev, valid, val and validation are one name. None if there is none."""
    same = _VALIDATION_NAMES if wanted in _VALIDATION_NAMES else ()
    return next((name for name in (wanted, *same) if name in splits), None)


def choose_test(
    splits: Sequence[str], *, labelled: Callable[[str], bool]
) -> tuple[str | None, tuple[str, ...]]:
    """The split to test on where the user named none, and a notice where it is not "test".

    Args:
        splits: the splits that are not trained on.
        labelled: whether a split has any label. Benchmarks such as GLUE publish their test split without.

    Returns:
        "test" if it has labels, else the validation split if that has, else None: rows must be reserved.
    """
    test, validation = find_split(splits, "test"), find_split(splits, "validation")
    if test is not None and labelled(test):
        return test, ()
    why = "there is no test split" if test is None else "the test split has no labels"
    if validation is not None and labelled(validation):
        return validation, (f"{why}: split {validation!r} is used as the test split",)
    return None, (
        f"{why}: {TEST_SHARE:.0%} of the training rows are reserved, stratified, as the test split",
    )


@dataclass(frozen=True)
class _Plan:
    """Names of the splits of `source`; test None: reserve rows, or another dataset is tested on."""

    source: SplitSource
    train: str
    test: str | None
    notices: tuple[str, ...]


def _open(dataset: str) -> SplitSource:
    path = Path(dataset).expanduser()
    if path.exists():
        return open_local(path)
    if path.suffix.lower() in FILE_KINDS or dataset.startswith((".", "/", "~")) or dataset.count("/") > 1:
        raise BadInput(f"dataset {dataset}: no such file or folder")
    return open_hub(dataset)


def _named(source: SplitSource, wanted: str, option: str) -> str:
    found = find_split(source.splits, wanted)
    if found is None:
        raise BadInput(
            f"{option}: {source.name} has no split {wanted!r}; its splits are {', '.join(source.splits)}"
        )
    return found


def _only_or_named(source: SplitSource, wanted: str | None, default: str, option: str) -> str:
    if wanted is None and len(source.splits) == 1:
        return source.splits[0]
    return _named(source, wanted or default, option)


def _plan(request: DatasetRequest, source: SplitSource) -> _Plan:
    train = _only_or_named(source, request.train_split, "train", "train split")
    others = tuple(split for split in source.splits if split != train)
    if request.test_dataset is not None:
        return _Plan(source, train, None, ())
    if request.test_split is not None:
        named = _named(source, request.test_split, "test split")
        if named == train:
            raise BadInput(f"test split: {named!r} is the training split; splits: {', '.join(source.splits)}")
        return _Plan(source, train, named, ())

    def labelled(split: str) -> bool:
        table = source.read(split)
        if request.target_column not in table.column_names:
            return False
        labels = read_labels(table, request.target_column, split)
        return bool(labels.null_count < len(labels))

    test, notices = choose_test(others, labelled=labelled)
    return _Plan(source, train, test, notices)


def _selection(request: DatasetRequest, plan: _Plan) -> str | float | None:
    """Where candidates are evaluated: a split, a share of the training rows, or None for the test split."""
    wanted = request.selection_split
    if wanted is None:
        return None
    splits = ", ".join(plan.source.splits)
    if re.fullmatch(r"[-+]?[0-9.]+(e-?\d+)?%?", wanted):
        share = float(wanted) if re.fullmatch(r"\d*\.?\d+(e-?\d+)?", wanted) else 0.0
        if not 0 < share < 0.5:
            raise BadInput(
                f"selection split {wanted}: a share must be above 0 and below 0.5; or name a split ({splits})"
            )
        return share
    found = _named(plan.source, wanted, "selection split")
    if found in (plan.train, plan.test):
        part = "training" if found == plan.train else "test"
        raise BadInput(
            f"selection split {found!r} is already the {part} split (splits: {splits}); "
            "give another, or a share of the training rows such as 0.1"
        )
    return found


def reserve_rows(split: TextSplit, share: float, *, seed: int, purpose: str) -> tuple[TextSplit, TextSplit]:
    """Part rows into those kept and a stratified share of them, which never holds all rows of a class.

    Args:
        split: the rows to part; both parts keep their order.
        share: of the rows, below one half.
        seed: of the draw.
        purpose: named in the error.

    Raises:
        BadInput: the share comes to no row.
    """
    _, classes, class_rows = np.unique(split.labels, return_inverse=True, return_counts=True)
    repeated = np.flatnonzero(class_rows[classes] > 1)
    # Half of such rows at most: further, the order could take a class's last row.
    count = min(round(share * len(split)), len(repeated) // 2)
    if count == 0:
        raise BadInput(f"{len(split)} training rows are too few to reserve {share:.0%} of them for {purpose}")
    reserved = np.zeros(len(split), dtype=bool)
    reserved[repeated[stratified_order(split.labels[repeated], seed=seed)[:count]]] = True
    return split.take(np.flatnonzero(~reserved)), split.take(np.flatnonzero(reserved))


# --- The dataset as a whole --------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Reading:
    """What the train split settled for every split, and the notices so far."""

    layout: Layout
    label_names: tuple[str, ...]
    seen: pa.Array
    notices: list[str]

    def read(self, table: pa.Table, *, origin: str) -> TextSplit:
        rows, dropped = read_rows(table, self.layout, origin=origin)
        self.notices.extend(dropped)
        return encode_labels(rows, self.label_names, seen=self.seen)


def load_text_dataset(request: DatasetRequest) -> TextDataset:
    """Read, label and split a dataset.

    Rows without a label or with nothing but white space as text are dropped, with a notice. Label names are
    the dataset's own where it declares them, else the distinct labels of the train split, sorted (as numbers
    if all are whole numbers). Without a labelled test or validation split, 20 % of the training rows are
    reserved, stratified by class and seeded.

    Raises:
        BadInput: one line that names the file, column, label or split at fault.
    """
    if request.max_train_rows is not None and request.max_train_rows < 1:
        raise BadInput(f"--max-train-rows must be at least 1, not {request.max_train_rows}")
    opened = _open(request.dataset)
    source = SplitSource(opened.name, opened.splits, functools.cache(opened.read))
    plan = _plan(request, source)
    selection = _selection(request, plan)
    train, reading = _read_train(request, plan)
    train, test = _part_test(request, plan, train, reading)
    train, evaluation, words = _part_evaluation(request, plan, selection, train, reading)
    dataset = TextDataset(
        name=source.name,
        label_names=reading.label_names,
        train=_capped(request, train, reading),
        evaluation=evaluation or test,
        test=None if evaluation is None else test,
        notices=tuple(reading.notices),
        fingerprint="",
        selection=words,
    )
    return dataclasses.replace(dataset, fingerprint=_fingerprint(dataset))


def _read_train(request: DatasetRequest, plan: _Plan) -> tuple[TextSplit, _Reading]:
    table = plan.source.read(plan.train)
    layout = choose_layout(request, table)
    rows, dropped = read_rows(table, layout, origin=plan.train)
    names = name_labels(rows, class_names(table.schema, layout.target))
    reading = _Reading(layout, names, pc.unique(rows.labels), [*plan.notices, *dropped])
    return encode_labels(rows, names, seen=reading.seen), reading


def _part_test(
    request: DatasetRequest, plan: _Plan, train: TextSplit, reading: _Reading
) -> tuple[TextSplit, TextSplit]:
    """The rows left to train on, and the test split."""
    if request.test_dataset is not None:
        other = _open(request.test_dataset)
        split = _only_or_named(other, request.test_split, "test", "test split")
        return train, reading.read(other.read(split), origin=f"test ({other.name})")
    if plan.test is not None:
        return train, reading.read(plan.source.read(plan.test), origin=plan.test)
    return reserve_rows(train, TEST_SHARE, seed=request.seed, purpose="the test split")


def _part_evaluation(
    request: DatasetRequest, plan: _Plan, selection: str | float | None, train: TextSplit, reading: _Reading
) -> tuple[TextSplit, TextSplit | None, str]:
    """The rows left to train on, those to evaluate on (None: the test split), and what they are in words."""
    if selection is None:
        return train, None, "test"
    if isinstance(selection, str):
        return train, reading.read(plan.source.read(selection), origin=selection), selection
    train, evaluation = reserve_rows(train, selection, seed=request.seed, purpose="selection")
    return train, evaluation, f"validation ({selection:g} of the training rows)"


def _capped(request: DatasetRequest, train: TextSplit, reading: _Reading) -> TextSplit:
    if request.max_train_rows is None or request.max_train_rows >= len(train):
        return train
    kept = np.sort(stratified_order(train.labels, seed=request.seed)[: request.max_train_rows])
    reading.notices.append(
        f"train: {len(kept)} of {len(train)} rows used, stratified, as --max-train-rows asks"
    )
    return train.take(kept)


def _fingerprint(dataset: TextDataset) -> str:
    """SHA-256 of all that a result can depend on; the lengths of texts say where one ends."""
    digest = hashlib.sha256()
    digest.update(json.dumps([dataset.name, dataset.label_names, dataset.selection]).encode())
    for split in (dataset.train, dataset.evaluation, dataset.test):
        if split is None:
            digest.update(b"none")
            continue
        digest.update(np.fromiter(map(len, split.texts), "<i8", len(split)).tobytes())
        digest.update("".join(split.texts).encode())
        digest.update(split.labels.astype("<i8").tobytes())
    return digest.hexdigest()


def save_prepared(dataset: TextDataset, folder: Path) -> None:
    """Write a dataset for workers: its rows as one Parquet file, then `dataset.json`, which names that file.

    Each file lands by a rename, the JSON last, so a reader finds the old dataset or the new one, whole.
    """
    splits = [split for split in (dataset.train, dataset.evaluation, dataset.test) if split is not None]
    texts = pa.array([text for split in splits for text in split.texts], pa.large_string())
    labels = pa.array(np.concatenate([split.labels for split in splits]), pa.int64())
    content = pa.BufferOutputStream()
    pyarrow.parquet.write_table(pa.table({"text": texts, "label": labels}), content, compression="zstd")
    rows_file = f"rows-{dataset.fingerprint[:16]}.parquet"
    write_atomically(folder / rows_file, content.getvalue().to_pybytes())
    described = {
        "version": _PREPARED_VERSION,
        "name": dataset.name,
        "label_names": dataset.label_names,
        "rows_file": rows_file,
        "split_rows": [len(split) for split in splits],
        "notices": dataset.notices,
        "fingerprint": dataset.fingerprint,
        "selection": dataset.selection,
    }
    write_json(folder / "dataset.json", described)


def load_prepared(folder: Path) -> TextDataset:
    """Read what `save_prepared` wrote.

    Raises:
        BadInput: nothing prepared there, or it is damaged or of another version.
    """
    try:
        described = json.loads((folder / "dataset.json").read_text(encoding="utf-8"))
        if described["version"] != _PREPARED_VERSION:
            raise ValueError(f"version {described['version']}, not {_PREPARED_VERSION}")
        # The file's name alone: a path in the JSON must not lead out of the folder.
        table = read_table(folder / Path(described["rows_file"]).name)
        splits = _cut(table, described["split_rows"])
        return TextDataset(
            name=described["name"],
            label_names=tuple(described["label_names"]),
            train=splits[0],
            evaluation=splits[1],
            test=splits[2] if len(splits) > 2 else None,
            notices=tuple(described["notices"]),
            fingerprint=described["fingerprint"],
            selection=described["selection"],
        )
    except (OSError, ValueError, KeyError, TypeError, IndexError, BadInput) as error:
        raise BadInput(
            f"{folder}: no usable prepared dataset ({error}); delete the folder and run again"
        ) from error


def _cut(table: pa.Table, split_rows: list[int]) -> list[TextSplit]:
    if sum(split_rows) != table.num_rows:
        raise ValueError(f"{table.num_rows} rows, not {sum(split_rows)}")
    starts = np.cumsum([0, *split_rows])[:-1].tolist()
    parts = [table.slice(start, rows) for start, rows in zip(starts, split_rows, strict=True)]
    return [TextSplit(tuple(part["text"].to_pylist()), _integers(part["label"])) for part in parts]


def _integers(column: pa.ChunkedArray) -> IntArray:
    # Not to_numpy: that imports pandas where it is installed, which takes longer than the reading.
    return np.from_dlpack(column.combine_chunks()).astype(np.int64)

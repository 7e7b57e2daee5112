"""A text-classification dataset as it was asked for: texts, integer labels, label names and splits.

Owns what can be asked for and how it is read as a whole. Does not know which split plays which part (`splits`),
how folders or the hub are read (`folders`, `hub`), what a row's text and label are (`columns`), nor
tokens or models.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow.compute as pc

from lamps_core.errors import BadInput
from lamps_core.landmarks import stratified_order
from lamps_core.report_words import counted
from lamps_core.text.columns import (
    are_whole_numbers,
    as_whole_numbers,
    choose_layout,
    doubtful_labels,
    encode_labels,
    name_labels,
    read_rows,
)
from lamps_core.text.files import class_names
from lamps_core.text.splits import (
    TEST_SHARE,
    SplitPlan,
    choose_selection,
    only_or_named,
    open_dataset,
    plan_splits,
    reserve_rows,
)

if TYPE_CHECKING:
    import pyarrow as pa

    from lamps_core.landmarks import IntArray
    from lamps_core.text.columns import Layout, Rows

MOST_TRAINED, FEW = 0.01, 1  # of the rows that are measured on: real datasets repeat a few texts
FEW_MEASURED = 100  # rows; below, two standard errors of an accuracy are more than 0.1
ON_TEST = "test"  # the selection that is the test split


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
        selection: in words, what `evaluation` is: "test" for the test split, and for nothing else.
    """

    name: str
    label_names: tuple[str, ...]
    train: TextSplit
    evaluation: TextSplit
    test: TextSplit | None
    notices: tuple[str, ...]
    fingerprint: str
    selection: str


@dataclass(frozen=True)
class _Reading:
    """What the train split settled for every split, and the notices so far."""

    layout: Layout
    whole_numbers: bool
    label_names: tuple[str, ...]
    seen: pa.Array
    notices: list[str]

    def read(self, table: pa.Table, *, origin: str) -> TextSplit:
        rows, dropped = read_rows(table, self.layout, origin=origin)
        self.notices.extend(dropped)
        return self.encode(as_whole_numbers(rows) if self.whole_numbers else rows)

    def encode(self, rows: Rows) -> TextSplit:
        labels = encode_labels(rows, self.label_names, seen=self.seen)
        return TextSplit(tuple(rows.texts.to_pylist()), labels)


def load_text_dataset(request: DatasetRequest) -> TextDataset:
    """Read, label and split a dataset.

    Rows without a label or with nothing but white space as text are dropped, with a notice. Label names are
    the dataset's own where it declares one for each label, else the distinct labels of the train split, sorted
    (as numbers if all are whole numbers). Without a labelled test or validation split, 20 % of the training rows are
    reserved, stratified by class and seeded.

    Raises:
        BadInput: one line that names the file, column, label or split at fault.
    """
    if request.max_train_rows is not None and request.max_train_rows < 1:
        raise BadInput(f"--max-train-rows must be at least 1, not {request.max_train_rows}")
    opened = open_dataset(request.dataset)
    source = dataclasses.replace(opened, read=functools.cache(opened.read))
    plan = plan_splits(request, source)
    selection = choose_selection(request, plan)
    train, reading = _read_train(request, plan)
    train, test = _part_test(request, plan, train, reading)
    train, evaluation, words = _part_evaluation(request, plan, selection, train, reading)
    train = _capped(request, train, reading)
    _note_few_rows(evaluation, test, reading)
    _note_single_classes(evaluation, test, reading)
    _note_trained_texts(train, evaluation, test, reading)
    dataset = TextDataset(
        name=source.name,
        label_names=reading.label_names,
        train=train,
        evaluation=evaluation or test,
        test=None if evaluation is None else test,
        notices=tuple(reading.notices),
        fingerprint="",
        selection=words,
    )
    return dataclasses.replace(dataset, fingerprint=_fingerprint(dataset))


def _read_train(request: DatasetRequest, plan: SplitPlan) -> tuple[TextSplit, _Reading]:
    table = plan.source.read(plan.train)
    layout = choose_layout(
        table.column_names,
        inputs=request.input_columns,
        target=request.target_column,
        template=request.template,
    )
    rows, dropped = read_rows(table, layout, origin=plan.train)
    declared = class_names(table.schema, layout.target)
    whole_numbers = are_whole_numbers(rows, declared, target=layout.target)
    rows = as_whole_numbers(rows) if whole_numbers else rows
    names = name_labels(rows, declared)
    doubts = None if names == declared else doubtful_labels(names)
    notices = [*dropped, *([doubts] if doubts else [])]
    reading = _Reading(layout, whole_numbers, names, pc.unique(rows.labels), notices)
    return reading.encode(rows), reading


def _part_test(
    request: DatasetRequest, plan: SplitPlan, train: TextSplit, reading: _Reading
) -> tuple[TextSplit, TextSplit]:
    """The rows left to train on, and the test split."""
    if request.test_dataset is not None:
        other = open_dataset(request.test_dataset)
        split = only_or_named(other, request.test_split, "test", "test split")
        return train, reading.read(other.read(split), origin=f"test ({other.name})")
    if plan.test is not None:
        reading.notices.extend([plan.notice] if plan.notice else [])
        return train, reading.read(plan.source.read(plan.test), origin=plan.test)
    kept, test = reserve_rows(train, TEST_SHARE, seed=request.seed, purpose="the test split")
    reading.notices.append(f"{plan.notice}: {_reserved(test, train)}, stratified, as the test split")
    return kept, test


def _part_evaluation(
    request: DatasetRequest,
    plan: SplitPlan,
    selection: str | float | None,
    train: TextSplit,
    reading: _Reading,
) -> tuple[TextSplit, TextSplit | None, str]:
    """The rows left to train on, those to evaluate on (None: the test split), and what they are in words."""
    if selection is None:
        return train, None, ON_TEST
    if isinstance(selection, str):
        words = f"the split called {selection!r}" if selection == ON_TEST else selection
        return train, reading.read(plan.source.read(selection), origin=selection), words
    kept, evaluation = reserve_rows(train, selection, seed=request.seed, purpose="selection")
    if len(evaluation) < round(selection * len(train)):
        reading.notices.append(
            f"only {_reserved(evaluation, train)} for selection: a class keeps its last row to train on"
        )
    return kept, evaluation, f"validation ({selection:g} of the training rows)"


def _reserved(part: TextSplit, train: TextSplit) -> str:
    return f"{len(part)} of {len(train)} training rows {'is' if len(part) == 1 else 'are'} reserved"


def _capped(request: DatasetRequest, train: TextSplit, reading: _Reading) -> TextSplit:
    if request.max_train_rows is None or request.max_train_rows >= len(train):
        return train
    kept = np.sort(stratified_order(train.labels, seed=request.seed)[: request.max_train_rows])
    reading.notices.append(
        f"train: {len(kept)} of {len(train)} rows used, stratified, as --max-train-rows asks"
    )
    capped = train.take(kept)
    without = len(reading.label_names) - len(np.unique(capped.labels))
    if without:
        reading.notices.append(
            f"train: {without} of {len(reading.label_names)} classes have no row left to train on; "
            "raise --max-train-rows"
        )
    return capped


def _note_few_rows(evaluation: TextSplit | None, test: TextSplit, reading: _Reading) -> None:
    """Say how far apart accuracies must be on splits of few rows: two standard errors, at most 1 / sqrt(rows)."""
    reading.notices.extend(
        f"the {part} split has {counted(len(split), 'row')} only: accuracies less than {len(split) ** -0.5:.2g} apart "
        "can differ by chance alone"
        for part, split in _measured_on(evaluation, test).items()
        if len(split) < FEW_MEASURED
    )


def _note_single_classes(evaluation: TextSplit | None, test: TextSplit, reading: _Reading) -> None:
    reading.notices.extend(
        f"the {part} split holds one class only: its accuracy says little"
        for part, split in _measured_on(evaluation, test).items()
        if len(np.unique(split.labels)) == 1
    )


def _note_trained_texts(
    train: TextSplit, evaluation: TextSplit | None, test: TextSplit, reading: _Reading
) -> None:
    """Count the rows that are measured on and whose text is trained on, where they are more than a few."""
    trained = set(train.texts)
    for part, split in _measured_on(evaluation, test).items():
        count = sum(text in trained for text in split.texts)
        if count > max(FEW, MOST_TRAINED * len(split)):
            reading.notices.append(
                f"the text of {count} of {len(split)} rows of the {part} split is that of a training row too: what is "
                "measured there says too little of new texts"
            )


def _measured_on(evaluation: TextSplit | None, test: TextSplit) -> dict[str, TextSplit]:
    """The splits that are not trained on, by what their notices call them."""
    return {"evaluation": test} if evaluation is None else {"evaluation": evaluation, "test": test}


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

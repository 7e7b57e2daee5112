"""Which split of a dataset plays which part: what is trained, tested and selected on.

Does not know what a row's text and label are (`columns`), nor how folders or the hub are read
(`folders`, `hub`).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING

import numpy as np

from lamps_core.errors import BadInput, did_you_mean
from lamps_core.landmarks import stratified_order
from lamps_core.storage import given_path
from lamps_core.text.columns import read_labels
from lamps_core.text.files import FILE_KINDS
from lamps_core.text.folders import SPLIT_WORDS, open_local
from lamps_core.text.hub import open_hub

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from lamps_core.text.dataset import DatasetRequest, TextSplit
    from lamps_core.text.files import SplitSource

TEST_SHARE = 0.2  # of the training rows, where no split can be tested on
_NO_PARTS: Mapping[str, str] = MappingProxyType({})


def find_split(splits: Sequence[str], wanted: str, parts: Mapping[str, str] = _NO_PARTS) -> str | None:
    """The split of that name, else of another word for the same part; None if there is none.

    Args:
        splits: the splits there are.
        wanted: a split's name. The words of one part, such as dev, valid, val and validation, are one name.
        parts: part -> the split that plays it under a longer name.
    """
    part, words = next((item for item in SPLIT_WORDS.items() if wanted in item[1]), (wanted, ()))
    names = (wanted, *words, parts.get(part))
    return next((name for name in names if name in splits), None)


def choose_test(
    splits: Sequence[str], *, lacks: Callable[[str], str | None], parts: Mapping[str, str] = _NO_PARTS
) -> tuple[str | None, str | None]:
    """The split to test on where the user named none, and a notice where it is not "test".

    Args:
        splits: the splits that are not trained on.
        lacks: why a split cannot be tested on, such as "has no labels" (benchmarks such as GLUE publish their test
            split without); None where it can.
        parts: part -> the split that plays it under a longer name.

    Returns:
        The test split if it lacks nothing, else the validation split if that does not, else None and why: rows must
        be reserved.
    """
    test, validation = find_split(splits, "test", parts), find_split(splits, "validation", parts)
    flaw = None if test is None else lacks(test)
    if test is not None and flaw is None:
        return test, None if test == "test" else f"split {test!r} is used as the test split"
    why = _why_not(test, flaw, splits if validation is None else ())
    if validation is not None and lacks(validation) is None:
        return validation, f"{why}: split {validation!r} is used as the test split"
    return None, why


def _why_not(test: str | None, flaw: str | None, others: Sequence[str]) -> str:
    if test is None:
        return "there is no test split" + (f" among the others ({', '.join(others)})" if others else "")
    return f"the test split {flaw}" if test == "test" else f"the test split {test!r} {flaw}"


@dataclass(frozen=True)
class SplitPlan:
    """Which split plays which part.

    Attributes:
        source: of the splits.
        train: the name of the one to train on.
        test: the name of the one to test on; None where rows are reserved, or another dataset is tested on.
        notice: of what is tested on, for the user to read; where rows are reserved, why.
    """

    source: SplitSource
    train: str
    test: str | None
    notice: str | None = None


def open_dataset(dataset: str) -> SplitSource:
    """The splits of a file, a folder or a hub id.

    Raises:
        BadInput: there is no such thing, or it cannot be read.
    """
    if not dataset.strip():
        raise BadInput("the name of a dataset is empty; give a file, a folder or a hub id such as org/name")
    path = given_path(dataset, "--dataset", "reviews.csv")
    try:
        there = path.exists()
    except OSError as error:  # such as a name too long
        raise BadInput(f"dataset {dataset} cannot be read: {error.strerror}") from None
    if there:
        return open_local(path)
    if path.suffix.lower() in FILE_KINDS or dataset.startswith((".", "/", "~")) or dataset.count("/") > 1:
        raise BadInput(f"dataset {dataset}: no such file or folder")
    return open_hub(dataset)


def _named(source: SplitSource, wanted: str, option: str) -> str:
    found = find_split(source.splits, wanted, source.parts)
    if found is None:
        expected = source.expected and f"; {source.expected}"
        raise BadInput(
            f"{option}: {source.name} has no split {wanted!r}; "
            f"its splits are {', '.join(source.splits)}{expected}"
        )
    return found


def only_or_named(source: SplitSource, wanted: str | None, default: str, option: str) -> str:
    """The split asked for, by default the only one, else that of the default name.

    Raises:
        BadInput: there is none of that name; names the option and the splits.
    """
    if wanted is None and len(source.splits) == 1:
        return source.splits[0]
    return _named(source, wanted or default, option)


def plan_splits(request: DatasetRequest, source: SplitSource) -> SplitPlan:
    """Which split is trained and which tested on.

    Raises:
        BadInput: a split that was asked for is not there, or is the other one.
    """
    train = only_or_named(source, request.train_split, "train", "train split")
    if request.test_dataset is not None:
        return SplitPlan(source, train, None)
    if request.test_split is not None:
        named = _named(source, request.test_split, "test split")
        if named == train:
            raise BadInput(f"test split: {named!r} is the training split; splits: {', '.join(source.splits)}")
        return SplitPlan(source, train, named)

    def lacks(split: str) -> str | None:
        table, target = source.read(split), request.target_column
        if target not in table.column_names:
            flaw = f"has no column {target!r}, but {', '.join(table.column_names)}"
            if did_you_mean(
                target, table.column_names
            ):  # only then is the training split read for its columns
                others = set(table.column_names) - set(source.read(train).column_names)
                if meant := did_you_mean(target, others):
                    raise BadInput(f"{source.name}: split {split!r} {flaw}{meant}")
            return flaw
        if table.num_rows == 0:
            return "has no rows"
        labels = read_labels(table, target, split)
        return None if labels.null_count < len(labels) else "has no labels"

    others = tuple(split for split in source.splits if split not in (train, _set_aside(request, source)))
    test, notice = choose_test(others, lacks=lacks, parts=source.parts)
    return SplitPlan(source, train, test, notice)


def _set_aside(request: DatasetRequest, source: SplitSource) -> str | None:
    """The split that is named for selection, so that it is not taken to test on; who names "test" is told of it."""
    wanted = request.selection_split
    return None if wanted in (None, "test") else find_split(source.splits, wanted, source.parts)


def choose_selection(request: DatasetRequest, plan: SplitPlan) -> str | float | None:
    """Where candidates are evaluated: a split, a share of the training rows, or None for the test split.

    Raises:
        BadInput: there is no such split, it plays another part, or the share is none.
    """
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

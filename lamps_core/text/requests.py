"""What `--datasets` means: a text becomes the datasets to load, each with its columns; and loading them by name.

Owns the spelling: registered names, hub ids, files and folders, a YAML file of one's own in the registry's form. Asks
neither the hub nor a dataset: what only reading can show is a failure there.
"""

# os.path says no where pathlib raises: a comma list too long for a file name, a user without a home.
# ruff: noqa: PTH110, PTH111

from __future__ import annotations

import dataclasses
import os.path
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from lamps_core.errors import BadInput, abbreviated, did_you_mean
from lamps_core.registry import RegisteredDataset, read_datasets, registered_datasets
from lamps_core.text.dataset import DatasetRequest, load_text_dataset

if TYPE_CHECKING:
    from collections.abc import Iterable

    from lamps_core.text.dataset import TextDataset

YAML_KINDS = (".yaml", ".yml")


@dataclass(frozen=True)
class NamedRequest:
    """A dataset to load.

    Attributes:
        name: what curves call it; None: what loading calls it.
        request: for `lamps_core.text.dataset.load_text_dataset`.
    """

    name: str | None
    request: DatasetRequest


def dataset_requests(
    datasets: str, *, input_col: str | None, target_col: str | None, max_train_rows: int | None, seed: int
) -> list[NamedRequest]:
    """The datasets a user means, in the order given.

    A registered name is taken for that even where a file or folder is called so: write `./trec` for the folder.

    Args:
        datasets: a comma list of registered names, hub ids, files and folders; or the path of one `.yaml` file in
            the registry's form, for every entry of it.
        input_col: columns of the text, with commas, of the datasets that are not registered.
        target_col: column of the label of the datasets that are not registered.
        max_train_rows: stratified cap on the training rows of each.
        seed: of every draw of rows.

    Raises:
        BadInput: nothing is given, one is given twice, is unknown or lacks its columns, or the YAML file is none
            in the registry's form.
    """
    entries = [entry.strip() for entry in datasets.split(",") if entry.strip()]
    if not entries:
        raise BadInput(
            f"no dataset given: give hub ids, files, folders or registered names ({_known_names()})"
        )
    if len(entries) == 1 and entries[0].lower().endswith(YAML_KINDS):
        found = list(read_datasets(Path(os.path.expanduser(entries[0]))).values())
        names: list[str | None] = [dataset.name for dataset in found]
    else:
        _refuse_twice(entries)
        found = [_dataset(entry, input_col, target_col) for entry in entries]
        names = [entry if entry in registered_datasets() else None for entry in entries]
    return [
        NamedRequest(name, _request(dataset, max_train_rows, seed))
        for name, dataset in zip(names, found, strict=True)
    ]


def _refuse_twice(entries: Iterable[str]) -> None:
    seen: dict[str, str] = {}
    for entry in entries:
        path = os.path.expanduser(entry)
        same = os.path.realpath(path) if os.path.exists(path) and not _is_registered(entry) else entry
        if same in seen:
            also = f" (as {seen[same]})" if seen[same] != entry else ""
            raise BadInput(f"dataset {abbreviated(entry)} is given more than once{also}: name it once")
        seen[same] = entry


def _is_registered(entry: str) -> bool:
    return entry in registered_datasets()


def _dataset(entry: str, input_col: str | None, target_col: str | None) -> RegisteredDataset:
    if _is_registered(entry):
        return registered_datasets()[entry]
    path = os.path.expanduser(entry)
    if path.lower().endswith(YAML_KINDS):
        raise BadInput(f"{abbreviated(entry)} stands in a list: give a YAML file of datasets alone")
    if not os.path.exists(path):
        _refuse_unknown(entry)
    if input_col is None or target_col is None:
        missing = " and ".join(
            option
            for option, given in (("--input-col", input_col), ("--target-col", target_col))
            if not given
        )
        raise BadInput(
            f"dataset {abbreviated(entry)} is not registered, so its columns are not known: give {missing}, "
            "or describe it in a YAML file in the form of data/datasets.yaml"
        )
    return RegisteredDataset(entry, entry, (input_col,), target_col)


def _refuse_unknown(entry: str) -> None:
    """Complain of what is neither a registered name, nor there, nor spelled like a hub id."""
    from lamps_core.text.files import FILE_KINDS

    if entry.startswith((".", "/", "~", "\\")) or entry.lower().endswith(FILE_KINDS):
        raise BadInput(f"dataset {abbreviated(entry)}: no such file or folder")
    if entry.partition(":")[0].count("/") == 1:
        return
    hint = did_you_mean(entry, registered_datasets(), most=3) or f"; registered are {_known_names()}"
    raise BadInput(
        f"{abbreviated(entry)} is no registered dataset, file, folder or hub id such as org/name:config{hint}"
    )


def _known_names() -> str:
    return ", ".join(registered_datasets())


def _request(dataset: RegisteredDataset, max_train_rows: int | None, seed: int) -> DatasetRequest:
    return DatasetRequest(
        dataset=dataset.dataset,
        input_columns=dataset.input_columns,
        target_column=dataset.target_column,
        template=dataset.template,
        max_train_rows=max_train_rows,
        seed=seed,
        train_split=dataset.train_split,
        test_split=dataset.test_split,
    )


def load_named(named: NamedRequest) -> TextDataset:
    """A dataset that was asked for.

    Raises:
        BadInput: it cannot be used; names it, unless it is an option that cannot.
    """
    try:
        dataset = load_text_dataset(named.request)
    except BadInput as error:
        name, told = named.name or named.request.dataset, str(error)
        if named.name is not None and os.path.exists(name):
            told += f"; for the file or folder of that name, write ./{name}"
        said = told.startswith("--") or any(one and one in told for one in (name, named.request.test_dataset))
        raise BadInput(told if said or not name.strip() else f"{name}: {told}") from error
    return dataset if named.name is None else dataclasses.replace(dataset, name=named.name)

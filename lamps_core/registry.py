"""The registries: the paper's candidates and datasets.

Owns the form of `data/models.yaml` and `data/datasets.yaml`. Asks neither the hub nor a dataset: what only reading
can show is a failure there.
"""

# os.path says no where pathlib raises: a comma list too long for a file name, a user without a home.
# ruff: noqa: PTH100, PTH110, PTH111, PTH118

from __future__ import annotations

import functools
import os.path
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import yaml

from lamps_core.errors import BadInput, did_you_mean, first_line
from lamps_core.resources import data_path

if TYPE_CHECKING:
    from collections.abc import Hashable, Sequence
    from pathlib import Path


DATASET_COLUMNS = ("name", "hub id", "text", "label", "licence", "about")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")  # it becomes part of file names


@dataclass(frozen=True)
class RegisteredModel:
    """A candidate that is known without asking the hub.

    Attributes:
        id: hub id.
        family: as the paper groups it.
        parameters: of the body, without a head.
        languages: ISO 639-1 codes, or `multilingual`.
        licence: as the hub names it; `unknown` where that is not known.
        gated: whether its licence must be accepted on the hub first.
    """

    id: str
    family: str
    parameters: int
    languages: tuple[str, ...]
    licence: str
    gated: bool = False


@dataclass(frozen=True)
class RegisteredDataset:
    """A dataset with its columns.

    Attributes:
        name: stable, what curves call it.
        dataset: hub id, or the path of a file or folder, as `--dataset` takes it.
        input_columns: columns of the text.
        target_column: column of the label.
        train_split: where it is not called "train".
        test_split: where it is not called "test".
        template: how the input columns make one text.
        licence: as its repository states it; `unknown` where that is not known.
        about: one line.
        fetched: whether it was ever read with this entry.
    """

    name: str
    dataset: str
    input_columns: tuple[str, ...]
    target_column: str
    train_split: str | None = None
    test_split: str | None = None
    template: str | None = None
    licence: str = "unknown"
    about: str = ""
    fetched: bool = False

    def cells(self) -> tuple[str, ...]:
        """The entry in words: a cell for each of `DATASET_COLUMNS`."""
        inputs = ", ".join(self.input_columns)
        return (self.name, self.dataset, inputs, self.target_column, self.licence, self.about)


@functools.cache
def registered_models() -> dict[str, RegisteredModel]:
    """Every model of `data/models.yaml` by its hub id, in the order of the file."""
    listed = yaml.safe_load(data_path("models.yaml").read_text(encoding="utf-8"))["models"]
    models = [RegisteredModel(**{**entry, "languages": tuple(entry["languages"])}) for entry in listed]
    return {model.id: model for model in models}


@functools.cache
def registered_datasets() -> dict[str, RegisteredDataset]:
    """Every dataset of `data/datasets.yaml` by its name, in the order of the file."""
    return read_datasets(data_path("datasets.yaml"))


def never_fetched(datasets: Sequence[RegisteredDataset]) -> str | None:
    """What a list of datasets must say of those that nobody ever read with their entry; None where there are none."""
    never = sum(not dataset.fetched for dataset in datasets)
    if not never:
        return None
    return f"{never} of {len(datasets)} were never fetched from here: ids and columns are unverified."


# --- The form of datasets.yaml -----------------------------------------------------------------------------

_TEXTS = ("hub", "path", "target_column", "train_split", "test_split", "template", "licence", "about")
_KEYS = (*_TEXTS, "input_columns", "fetched")


class _Loader(yaml.SafeLoader):
    """Refuses a key that is written twice, where the library keeps the last one."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        merge = "tag:yaml.org,2002:merge"
        keys = [self.construct_object(key, deep=True) for key, _ in node.value if key.tag != merge]
        twice = next((key for place, key in enumerate(keys) if key in keys[:place]), None)
        if twice is not None:
            raise yaml.constructor.ConstructorError(
                problem=f"{twice!r} is written twice", problem_mark=node.start_mark
            )
        return super().construct_mapping(node, deep)


def read_datasets(path: Path) -> dict[str, RegisteredDataset]:
    """The entries of a YAML file, by name; paths in them as from where the file lies."""
    try:
        content = yaml.load(path.read_text(encoding="utf-8"), _Loader)  # noqa: S506 - a SafeLoader
    except FileNotFoundError:
        raise BadInput(f"{path}: no such file") from None
    except UnicodeDecodeError:
        raise BadInput(f"{path}: the file is not UTF-8; save it as UTF-8") from None
    except OSError as error:
        raise BadInput(f"{path} cannot be read: {error.strerror}") from error
    except RecursionError:
        raise BadInput(f"{path}: is nested too deep; it needs three levels") from None
    except yaml.YAMLError as error:
        raise BadInput(f"{path} is no YAML: {_yaml_reason(error)}") from error
    except (ValueError, ArithmeticError, AttributeError, LookupError) as error:  # of the parser's conversions
        raise BadInput(
            f"{path}: a value is not what it looks like ({first_line(error)}); "
            "a text that looks like a date or a number goes in quotes"
        ) from error
    entries = content.get("datasets") if isinstance(content, dict) else None
    if not isinstance(entries, dict) or set(content) != {"datasets"}:
        raise BadInput(
            f"{path}: a list of datasets is one key `datasets` with the name of each below it, such as "
            "`datasets: {reviews: {path: reviews.csv, input_columns: [text], target_column: label}}`"
        )
    if not entries:
        raise BadInput(f"{path}: no dataset below the key `datasets`")
    return {name: _read_entry(path, name, entry) for name, entry in entries.items()}


def _yaml_reason(error: yaml.YAMLError) -> str:
    mark = getattr(error, "problem_mark", None)
    problem = getattr(error, "problem", None) or str(error)
    return f"{problem} (line {mark.line + 1})" if mark else " ".join(problem.split())


def _read_entry(path: Path, name: object, entry: object) -> RegisteredDataset:
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise BadInput(
            f"{path}: the name {name!r} of a dataset must be text of letters, digits, '_', '-' and '.' "
            "that begins with a letter or digit"
        )
    where = f"{path}: dataset {name}"
    if not isinstance(entry, dict):
        raise BadInput(
            f"{where}: has no keys below it; it needs hub or path, input_columns and target_column"
        )
    for key in entry:
        if key not in _KEYS:
            hint = did_you_mean(str(key), _KEYS) or f"; keys are {', '.join(_KEYS)}"
            raise BadInput(f"{where}: unknown key {key!r}{hint}")
    texts = {key: _text(entry[key], f"{where}, key {key}") for key in _TEXTS if key in entry}
    columns = _columns(entry.get("input_columns"), f"{where}, key input_columns")
    if not isinstance(entry.get("fetched", False), bool):
        raise BadInput(f"{where}, key fetched: must be true or false, not {entry['fetched']!r}")
    if "target_column" not in texts:
        raise BadInput(f"{where}, key target_column: is missing; name the column of the label")
    return RegisteredDataset(
        name=name,
        dataset=_place(path, where, hub=texts.pop("hub", None), given=texts.pop("path", None)),
        input_columns=columns,
        fetched=entry.get("fetched", False),
        **texts,
    )


def _text(value: object, where: str) -> str:
    if not isinstance(value, str):
        raise BadInput(f"{where}: must be text, not {value!r}; put it in quotes")
    if not value.strip():
        raise BadInput(f"{where}: is empty")
    return value


def _columns(value: object, where: str) -> tuple[str, ...]:
    if value is None:
        raise BadInput(f"{where}: is missing; name the columns of the text, as [title, text]")
    if not isinstance(value, list) or not value:
        raise BadInput(f"{where}: must be a list such as [title, text], not {value!r}")
    return tuple(_text(column, where) for column in value)


def _place(path: Path, where: str, *, hub: str | None, given: str | None) -> str:
    """What `--dataset` would be given; a path is one from the folder of its file."""
    both = f"{where}: needs either hub (a hub id) or path (a file or folder), and not both"
    if hub is not None:
        if given is not None:
            raise BadInput(both)
        if hub.startswith((".", "/", "~")):
            raise BadInput(f"{where}, key hub: {hub} is a path; give it with the key path")
        return hub
    if given is None:
        raise BadInput(both)
    place = os.path.join(os.path.abspath(path.parent), os.path.expanduser(given))
    if not os.path.exists(place):
        raise BadInput(f"{where}, key path: {place} is not there")
    return place

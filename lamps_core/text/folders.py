"""Local files and folders as datasets: which file is of which split.

Owns the layouts of folders and the words that name a split, as `datasets.load_dataset` knows them
(https://huggingface.co/docs/datasets/repository_structure). Its own search is not asked: it takes seconds to import,
knows no split of another name, and puts files that happen to lie together into one. Does not know how a file is read
(`files`), nor what a split is used for (`splits`).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from lamps_core.errors import BadInput
from lamps_core.text.files import FILE_KINDS, SplitSource, concatenate, read_table

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    import pyarrow as pa

    SplitFiles = dict[str, list[Path]]

# Words for each part, in order of precedence.
SPLIT_WORDS: Mapping[str, tuple[str, ...]] = {
    "train": ("train", "training"),
    "validation": ("validation", "dev", "valid", "val"),
    "test": ("test", "testing", "eval", "evaluation"),
}

# What `datasets` writes beside the data.
_METADATA = {"config.json", "dataset_info.json", "dataset_infos.json", "dataset_dict.json", "state.json"}
_SHARD = re.compile(r"(?P<split>.+?)-(?P<number>\d+)-of-(?P<count>\d+)")
_NO_LETTERS = re.compile(r"[\W\d_]+")
_EXPECTED = "a split is one file or folder named for it, such as train.csv, reviews_train.csv or train/"
_MOST_SHOWN = 4  # names of a folder, in an error


def part_of(name: str) -> str | None:
    """The part that a whole word of a name stands for; None if there is none or more than one.

    >>> part_of("reviews_test"), part_of("eval-2"), part_of("latest"), part_of("train_test")
    ('test', 'test', None, None)
    """
    words = {*_NO_LETTERS.split(name.lower())}
    parts = [part for part, names in SPLIT_WORDS.items() if words.intersection(names)]
    return parts[0] if len(parts) == 1 else None


def open_local(path: Path) -> SplitSource:
    """A file (its one split is called "train") or a folder of split files.

    A folder's splits are named by its files: `train.csv`, `test.jsonl`, `dev.parquet`, or in shards
    `train-00000-of-00002.parquet`. A folder in it that is named for a split, such as `train/`, holds the parts of
    that split, joined in the order of their names. Where neither gives a split to train on, the files of the other
    folders in it, such as `data/`, name splits too. Hidden files and the metadata of `datasets` are passed over.

    Raises:
        BadInput: a kind of file that is not read, or a folder without split files.
    """
    if path.is_dir():
        return _open_folder(path)
    if path.suffix.lower() not in FILE_KINDS:
        raise BadInput(
            f"{path}: cannot read {path.suffix or 'a file without suffix'}; use {', '.join(FILE_KINDS)}"
        )
    return SplitSource(name=path.stem, splits=("train",), read=lambda _split: read_table(path))


def _open_folder(folder: Path) -> SplitSource:
    splits = _find_splits(folder)
    if not splits:
        raise BadInput(
            f"{folder}: no train or test file in this folder, which holds {_contents(folder)}; "
            f"{_EXPECTED} ({', '.join(FILE_KINDS)})"
        )
    name = folder.resolve().name

    def read(split: str) -> pa.Table:
        files = splits[split]
        if trouble := _trouble(folder, split, files):
            raise BadInput(f"{folder}: {trouble}")
        return concatenate({path.name: read_table(path) for path in files}, dataset=name)

    return SplitSource(name, tuple(splits), read, parts=_parts(splits), expected=_EXPECTED)


def _find_splits(folder: Path) -> SplitFiles:
    own = _by_name(_data_files(folder))
    if len(own) == 1 and not _holds_part(own):
        return own  # a dataset of one file, whatever lies in folders beside it
    found = _with_folders(own, folder)
    return own if len(own) == 1 and not _holds_part(found, "train") else found


def _with_folders(own: SplitFiles, folder: Path) -> SplitFiles:
    inside = [path for path in _listed(folder) if path.is_dir() and not path.name.startswith("__")]
    named = [path for path in inside if part_of(path.name)]
    if _holds_part(own, "train"):
        # Beside the split to train on, a folder such as eval-results/ rather holds what came of it.
        return _with_missing(own, _by_folder(path for path in named if _is_word(path.name.lower())))
    found = _with_missing(own, _by_folder(named))
    if _holds_part(found, "train"):
        return found
    others = [file for path in inside if part_of(path.name) is None for file in _data_files(path)]
    return _with_missing(found, _by_name(others))


def _with_missing(found: SplitFiles, more: SplitFiles) -> SplitFiles:
    """What was found, and of more what is of no part and no name that is there."""
    there = {part_of(split) for split in found} - {None}
    missing = {split: files for split, files in more.items() if part_of(split) not in there}
    return missing | found


def _holds_part(splits: Iterable[str], *parts: str) -> bool:
    return any(part_of(split) in (parts or SPLIT_WORDS) for split in splits)


def _is_word(split: str) -> bool:
    return any(split in words for words in SPLIT_WORDS.values())


def _parts(splits: Iterable[str]) -> dict[str, str]:
    """Part -> the only split with its word in a longer name."""
    longer = [split for split in splits if not _is_word(split)]
    playing = {part: [split for split in longer if part_of(split) == part] for part in SPLIT_WORDS}
    return {part: names[0] for part, names in playing.items() if len(names) == 1}


def _listed(folder: Path) -> list[Path]:
    try:
        return sorted(path for path in folder.iterdir() if not path.name.startswith("."))
    except OSError as error:
        raise BadInput(f"{folder}: the folder cannot be read: {error.strerror}") from None


def _data_files(folder: Path) -> list[Path]:
    return [
        path
        for path in _listed(folder)
        if path.is_file() and path.suffix.lower() in FILE_KINDS and path.name not in _METADATA
    ]


def _by_name(files: Iterable[Path]) -> SplitFiles:
    splits: SplitFiles = {}
    for path in files:
        shard = _SHARD.fullmatch(path.stem)
        splits.setdefault((shard["split"] if shard else path.stem).lower(), []).append(path)
    return splits


def _by_folder(folders: Iterable[Path]) -> SplitFiles:
    return {folder.name.lower(): files for folder in folders if (files := _data_files(folder))}


def _contents(folder: Path) -> str:
    names = [f"{path.name}/" if path.is_dir() else path.name for path in _listed(folder)]
    more = f" and {len(names) - _MOST_SHOWN} more" if len(names) > _MOST_SHOWN else ""
    return ", ".join(names[:_MOST_SHOWN]) + more or "nothing"


def _trouble(folder: Path, split: str, files: Sequence[Path]) -> str | None:
    """Why the files of a split do not make one table."""
    parents = list(dict.fromkeys(path.parent for path in files))
    if len(parents) > 1:
        names = ", ".join(parent.name for parent in parents)
        return f"split {split!r} is in more than one folder ({names}); give one of them as the dataset"
    shards = [shard for path in files if (shard := _SHARD.fullmatch(path.stem))]
    if parents[0] != folder and part_of(parents[0].name):
        return _trouble_of_parts(split, files, shards)
    if len(shards) < len(files) > 1:
        names = ", ".join(str(path.relative_to(folder)) for path in files)
        return f"more than one file for split {split!r} ({names}); keep one"
    return _trouble_of_shards(split, shards)


def _trouble_of_parts(split: str, files: Sequence[Path], shards: Sequence[re.Match[str]]) -> str | None:
    of_kind = {path.suffix.lower(): path.name for path in reversed(files)}
    if len(of_kind) > 1:
        names = ", ".join(sorted(of_kind.values()))
        return f"more than one kind of file for split {split!r} ({names}); keep one kind"
    sets = {shard["split"].lower() for shard in shards}
    troubles = (
        _trouble_of_shards(split, [shard for shard in shards if shard["split"].lower() == name])
        for name in sorted(sets)
    )
    return next(filter(None, troubles), None)


def _trouble_of_shards(split: str, shards: Sequence[re.Match[str]]) -> str | None:
    trouble = _incomplete(shards) if shards else None
    return trouble and f"shards of split {split!r}: {trouble}"


def _incomplete(shards: Sequence[re.Match[str]]) -> str | None:
    """Why the shards of one split are not all of it, each once."""
    counts = sorted({int(shard["count"]) for shard in shards})
    if len(counts) > 1:
        return f"they are of {' and of '.join(map(str, counts))}; keep those of one count"
    count, numbers = counts[0], [int(shard["number"]) for shard in shards]
    for number in numbers:
        if number >= count:
            return f"number {number} is not below the count, {count}; remove or rename it"
        if numbers.count(number) > 1:
            return f"number {number} is there twice; keep one"
    if len(numbers) == count:
        return None
    missing = next(number for number in range(count) if number not in numbers)
    digits = len(shards[0]["number"])
    name = f"{shards[0]['split']}-{missing:0{digits}}-of-{shards[0]['count']}"
    return f"{count - len(numbers)} of {count} are missing, {name} first; add what is missing"

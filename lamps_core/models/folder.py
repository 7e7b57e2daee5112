"""The files of a model, in a folder or a repository: which there must be, and what tells them from another's.

Reads no weight: of safetensors files the headers alone. Does not know where models come from or how they are loaded.
Imports neither torch nor transformers.
"""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING

from safetensors import SafetensorError, safe_open

from lamps_core.errors import first_line

if TYPE_CHECKING:
    from collections.abc import Collection
    from pathlib import Path

MODEL_FILES = frozenset({".json", ".txt", ".model", ".safetensors"})  # what loading a model folder reads
WEIGHTS, WEIGHTS_INDEX = "model.safetensors", "model.safetensors.index.json"
WEIGHT_FILES = frozenset({WEIGHTS, WEIGHTS_INDEX})  # a model has weights if it has one of these
TOKENIZER_FILES: tuple[frozenset[str], ...] = (
    frozenset({"tokenizer.json"}),
    frozenset({"vocab.txt"}),
    frozenset({"vocab.json", "merges.txt"}),
    frozenset({"vocab.json", "tokenizer_config.json"}),
    frozenset({"spiece.model"}),
    frozenset({"sentencepiece.bpe.model"}),
    frozenset({"tokenizer.model"}),
)
"""A model has a tokenizer if it has all files of one of these sets."""

_MEBIBYTE = 2**20


def model_flaw(names: Collection[str]) -> str | None:
    """What the files of a model lack, and the mend; None if nothing."""
    if "config.json" not in names:
        return "has no config.json: give a folder or repository that save_pretrained wrote"
    if not any(files.issubset(names) for files in TOKENIZER_FILES):
        return "has no tokenizer (tokenizer.json, vocab.txt, ...): save one beside it with save_pretrained"
    if WEIGHT_FILES.isdisjoint(names):
        if any(name.endswith(".bin") for name in names):
            return (
                "has its weights as .bin only, a pickle, never loaded here: if you trust it, convert it with "
                "AutoModel.from_pretrained(MODEL, use_safetensors=False).save_pretrained(FOLDER), "
                "save the tokenizer there too, and give that folder"
            )
        return "has no safetensors weights: save the model with save_pretrained"
    return None


def weight_files(folder: Path) -> list[Path]:
    """The files that hold a model's weights: one, or the shards that its index names, there or not.

    Raises:
        OSError: the index cannot be read.
        ValueError: it is no index.
    """
    whole = folder / WEIGHTS
    if whole.is_file():
        return [whole]
    try:
        shards = set(json.loads((folder / WEIGHTS_INDEX).read_bytes())["weight_map"].values())
        files = [folder / name for name in sorted(shards)]
    except (KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ValueError(f"{WEIGHTS_INDEX} is no index of weights") from error
    if not files:
        raise ValueError(f"{WEIGHTS_INDEX} names no file")
    return files


def weights_flaw(folder: Path) -> str | None:
    """What is wrong with the weights of a folder that has some, and the mend; None if nothing, or there are none."""
    if not any((folder / name).is_file() for name in (WEIGHTS, WEIGHTS_INDEX)):
        return None
    mend = "copy or save the model again"
    try:
        files = weight_files(folder)
    except (OSError, ValueError):
        return f"has a {WEIGHTS_INDEX} that names no files of weights: {mend}"
    for path in files:
        if not path.is_file():
            return f"has no {path.name}, which {WEIGHTS_INDEX} names: {mend}"
        try:
            with safe_open(path, framework="numpy"):
                pass  # it compares the header with the length of the file
        except (OSError, SafetensorError) as error:
            return f"has a {path.name} that is cut short or no safetensors file ({first_line(error)}): {mend}"
    return None


def folder_fingerprint(folder: Path) -> str:
    """Sixteen hex digits that change when a model folder's files do, wherever the folder lies.

    Of each file its name, its size and its first and last MiB: hashing all of a large model takes minutes.
    """
    told = hashlib.sha256()
    for path in sorted(folder.iterdir()):
        if path.suffix not in MODEL_FILES:
            continue
        size = path.stat().st_size
        told.update(f"{path.name}\0{size}\0".encode())
        with path.open("rb") as file:
            told.update(file.read(_MEBIBYTE))
            file.seek(max(0, size - _MEBIBYTE))
            told.update(file.read(_MEBIBYTE))
    return told.hexdigest()[:16]

"""Texts as flat token arrays, tokenised once per (texts, tokenizer, length) and mapped from disk after.

A split of a million rows is two arrays: all token ids end to end, and where each row begins. Knows nothing of
models or training.
"""

from __future__ import annotations

import functools
import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from lamps_core.files import whole_folder

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

CHUNK_ROWS = 10_000  # rows handed to the tokenizer at once: bounds its memory


@dataclass(frozen=True)
class TokenisedSplit:
    """Token ids and labels of one split.

    Attributes:
        values: (tokens,) int32, the rows end to end.
        offsets: (rows + 1,) int64, row i is values[offsets[i]:offsets[i + 1]].
        labels: (rows,) int64.
    """

    values: np.ndarray
    offsets: np.ndarray
    labels: np.ndarray

    def __len__(self) -> int:
        return len(self.labels)

    @functools.cached_property
    def lengths(self) -> np.ndarray:
        """(rows,) tokens of each row."""
        return np.diff(self.offsets)

    def padded(self, rows: np.ndarray, pad_id: int, *, left: bool = False) -> tuple[np.ndarray, np.ndarray]:
        """The rows as one rectangle.

        Returns:
            ids and attention mask, both (len(rows), longest) int64.
        """
        lengths = self.lengths[rows]
        width = int(lengths.max())
        ids = np.full((len(rows), width), pad_id, dtype=np.int64)
        mask = np.zeros((len(rows), width), dtype=np.int64)
        for line, (row, length) in enumerate(zip(rows, lengths, strict=True)):
            place = slice(width - length, width) if left else slice(0, length)
            ids[line, place] = self.values[self.offsets[row] : self.offsets[row + 1]]
            mask[line, place] = 1
        return ids, mask


def forget_last_call(tokenizer: Any) -> None:
    """Drop the truncation and padding that the last call asked for: they would be saved, and hashed, with it."""
    backend = getattr(tokenizer, "_tokenizer", None)
    if backend is not None:
        backend.no_truncation()
        backend.no_padding()


def tokenizer_key(tokenizer: Any) -> str:
    """A hash of all that decides what the tokenizer makes of a text."""
    forget_last_call(tokenizer)
    backend = getattr(tokenizer, "_tokenizer", None)
    # What a tokenizer without a backend does is in its vocabulary and in what it was made with.
    told = (
        backend.to_str()
        if backend is not None
        else repr((sorted(tokenizer.get_vocab().items()), sorted(tokenizer.init_kwargs.items(), key=str)))
    )
    asked = (
        f"{type(tokenizer).__name__} {tokenizer.truncation_side} {tokenizer.pad_token_id} "
        f"{tokenizer.split_special_tokens}"
    )
    return hashlib.sha256(f"{asked}\n{told}".encode()).hexdigest()


def cache_key(tokenizer: Any, *, split_key: str, max_length: int) -> str:
    """The name of a tokenised split in the cache folder."""
    told = f"{tokenizer_key(tokenizer)} {split_key} {max_length}"
    return hashlib.sha256(told.encode()).hexdigest()[:32]


def tokenise(texts: Sequence[str], labels: np.ndarray, tokenizer: Any, *, max_length: int) -> TokenisedSplit:
    """Token ids of every text, cut to `max_length`.

    A text that a tokenizer turns into nothing (white space under GPT-2's) becomes one padding token, attended
    to: a model given no token at all fails.
    """
    pieces: list[np.ndarray] = []
    lengths: list[int] = []
    for start in range(0, len(texts), CHUNK_ROWS):
        encoded = tokenizer(
            list(texts[start : start + CHUNK_ROWS]),
            truncation=True,
            max_length=max_length,
            padding=False,
            return_attention_mask=False,
        )["input_ids"]
        rows = [ids if len(ids) else [tokenizer.pad_token_id] for ids in encoded]
        lengths.extend(len(ids) for ids in rows)
        pieces.append(np.concatenate([np.asarray(ids, dtype=np.int32) for ids in rows]))
    values = np.concatenate(pieces)
    return TokenisedSplit(values, np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64), labels)


def load_tokens(folder: Path) -> TokenisedSplit | None:
    """The split a former call saved in `folder`, mapped from disk, or None where there is none."""
    if not folder.is_dir():
        return None
    arrays = [
        np.load(folder / f"{name}.npy", mmap_mode="r", allow_pickle=False)
        for name in ("values", "offsets", "labels")
    ]
    return TokenisedSplit(arrays[0], np.asarray(arrays[1]), np.asarray(arrays[2]))


def save_tokens(split: TokenisedSplit, folder: Path) -> None:
    """Save a split so that a reader sees all of it or none; the first of two writers wins."""
    with whole_folder(folder) as draft:
        for name in ("values", "offsets", "labels"):
            np.save(draft / f"{name}.npy", getattr(split, name), allow_pickle=False)

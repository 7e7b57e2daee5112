from __future__ import annotations

import shutil
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from transformers import ProphetNetTokenizer

from lamps_core.fine_tuning import tokens
from lamps_core.fine_tuning.pretrained import load_tokenizer
from lamps_core.fine_tuning.tokens import (
    TokenisedSplit,
    cache_key,
    load_tokens,
    save_tokens,
    tokenise,
    tokenizer_key,
)
from lamps_core.models.zoo import materialise
from tests.flushes import Flushes

if TYPE_CHECKING:
    from pathlib import Path

MAX_LENGTH = 12
TEXTS = [
    "rain and wind",
    "",
    "a very old song with a drum and a choir near the cloud",
    "soup",
    "   ",
    "é 漢字",
]
FAMILIES = ["zoo/bert-tiny", "zoo/roberta-tiny", "zoo/gpt2-tiny", "zoo/llama-tiny", "zoo/luke-tiny"]


def tokenizer_of(candidate: str, *, max_length: int = MAX_LENGTH) -> Any:
    return load_tokenizer(str(materialise(candidate)), revision=None, max_length=max_length)


def expected_ids(tokenizer: Any, text: str) -> list[int]:
    ids: list[int] = tokenizer(text, truncation=True, max_length=MAX_LENGTH)["input_ids"]
    return ids or [tokenizer.pad_token_id]


def made_of(texts: list[str], tokenizer: Any) -> TokenisedSplit:
    return tokenise(texts, np.arange(len(texts)), tokenizer, max_length=MAX_LENGTH)


@pytest.mark.parametrize("left", [False, True], ids=["right", "left"])
@pytest.mark.parametrize("candidate", FAMILIES)
def test_padded_rows_are_what_the_tokenizer_makes_of_each_text(candidate: str, left: bool) -> None:
    tokenizer = tokenizer_of(candidate)
    split = made_of(TEXTS, tokenizer)
    rows = np.array([2, 0, 1, 4, 5, 3])
    ids, mask = split.padded(rows, tokenizer.pad_token_id, left=left)
    assert ids.shape == mask.shape == (6, max(len(expected_ids(tokenizer, text)) for text in TEXTS))
    for line, row in enumerate(rows):
        wanted = expected_ids(tokenizer, TEXTS[row])
        padding = [tokenizer.pad_token_id] * (ids.shape[1] - len(wanted))
        attended, ignored = [1] * len(wanted), [0] * len(padding)
        assert ids[line].tolist() == (padding + wanted if left else wanted + padding)
        assert mask[line].tolist() == (ignored + attended if left else attended + ignored)


@given(texts=st.lists(st.text(max_size=40), min_size=1, max_size=9), chunk=st.integers(1, 4))
@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
def test_rows_are_the_same_whatever_the_chunk_handed_to_the_tokenizer(
    monkeypatch: pytest.MonkeyPatch, texts: list[str], chunk: int
) -> None:
    tokenizer = tokenizer_of("zoo/gpt2-tiny")
    monkeypatch.setattr(tokens, "CHUNK_ROWS", chunk)
    split = made_of(texts, tokenizer)
    cut = [
        split.values[start:end].tolist() for start, end in zip(split.offsets, split.offsets[1:], strict=False)
    ]
    assert cut == [expected_ids(tokenizer, text) for text in texts]
    assert split.lengths.tolist() == [len(row) for row in cut]


def test_a_text_without_a_token_is_one_padding_token() -> None:
    tokenizer = tokenizer_of("zoo/gpt2-tiny")
    assert tokenizer("")["input_ids"] == []
    split = made_of(["", "soup", ""], tokenizer)
    ids, mask = split.padded(np.array([0, 2]), tokenizer.pad_token_id)
    assert ids.tolist() == [[tokenizer.pad_token_id]] * 2
    assert mask.tolist() == [[1], [1]]


def test_a_long_text_is_cut_to_the_longest_allowed() -> None:
    split = made_of(["rain " * 500], tokenizer_of("zoo/bert-tiny"))
    assert split.lengths.tolist() == [MAX_LENGTH]


def test_what_is_saved_is_mapped_back_the_same(tmp_path: Path) -> None:
    split = made_of(TEXTS, tokenizer_of("zoo/bert-tiny"))
    assert load_tokens(tmp_path / "key") is None
    save_tokens(split, tmp_path / "key")
    loaded = load_tokens(tmp_path / "key")
    assert loaded is not None
    assert isinstance(loaded.values, np.memmap)
    for name in ("values", "offsets", "labels"):
        np.testing.assert_array_equal(getattr(loaded, name), getattr(split, name))
        assert getattr(loaded, name).dtype == getattr(split, name).dtype
    assert len(loaded) == len(TEXTS)


def test_what_is_saved_is_on_disk_before_it_can_be_seen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flushes = Flushes(monkeypatch)
    save_tokens(made_of(TEXTS, tokenizer_of("zoo/bert-tiny")), tmp_path / "key")
    assert len(list((tmp_path / "key").iterdir())) == 3
    assert flushes.missing(tmp_path) == []


def test_a_writer_that_fails_leaves_nothing(tmp_path: Path) -> None:
    split = made_of(TEXTS, tokenizer_of("zoo/bert-tiny"))
    (tmp_path / "key").write_text("a file, whose name the folder cannot take")
    with pytest.raises(OSError, match="key"):
        save_tokens(split, tmp_path / "key")
    assert [path.name for path in tmp_path.iterdir()] == ["key"]


def test_of_many_writers_at_once_one_wins_and_none_fails(tmp_path: Path) -> None:
    split = made_of(TEXTS, tokenizer_of("zoo/bert-tiny"))
    writers = 8
    together = Barrier(writers)

    def write(_: int) -> None:
        together.wait()
        save_tokens(split, tmp_path / "key")

    with ThreadPoolExecutor(writers) as pool:
        list(pool.map(write, range(writers)))
    assert [path.name for path in tmp_path.iterdir()] == ["key"]
    loaded = load_tokens(tmp_path / "key")
    assert loaded is not None
    np.testing.assert_array_equal(loaded.values, split.values)


def test_a_later_writer_does_not_touch_what_the_first_saved(tmp_path: Path) -> None:
    tokenizer = tokenizer_of("zoo/bert-tiny")
    first = made_of(["rain"], tokenizer)
    save_tokens(first, tmp_path / "key")
    save_tokens(made_of(["song", "soup"], tokenizer), tmp_path / "key")
    loaded = load_tokens(tmp_path / "key")
    assert loaded is not None
    np.testing.assert_array_equal(loaded.values, first.values)


def test_the_key_is_the_same_for_a_fresh_tokenizer_and_a_used_one() -> None:
    used = tokenizer_of("zoo/bert-tiny")
    fresh_key = tokenizer_key(used)
    tokenise(["rain and wind"], np.array([0]), used, max_length=4)
    assert tokenizer_key(used) == fresh_key
    assert tokenizer_key(tokenizer_of("zoo/bert-tiny")) == fresh_key


def test_the_key_names_tokenizer_split_and_length() -> None:
    bert, gpt2 = tokenizer_of("zoo/bert-tiny"), tokenizer_of("zoo/gpt2-tiny")
    keys = [
        cache_key(bert, split_key="a train", max_length=12),
        cache_key(gpt2, split_key="a train", max_length=12),
        cache_key(bert, split_key="a evaluation", max_length=12),
        cache_key(bert, split_key="a train", max_length=13),
    ]
    assert len(set(keys)) == 4


def test_the_key_of_a_tokenizer_without_a_backend_names_how_it_was_made(tmp_path: Path) -> None:
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "[X_SEP]", "rain", "Rain"]
    (tmp_path / "prophetnet.tokenizer").write_text("\n".join(words))
    lower, kept = (
        ProphetNetTokenizer(str(tmp_path / "prophetnet.tokenizer"), do_lower_case=lower)
        for lower in (True, False)
    )
    assert expected_ids(lower, "Rain") != expected_ids(kept, "Rain")
    assert tokenizer_key(lower) != tokenizer_key(kept)


def test_the_key_names_the_side_that_is_cut_off(tmp_path: Path) -> None:
    right, left = tokenizer_of("zoo/bert-tiny"), tokenizer_of("zoo/bert-tiny")
    left.truncation_side = "left"
    text = "rain and wind and a very old song with a drum near the cloud"
    assert expected_ids(left, text) != expected_ids(right, text)
    assert tokenizer_key(left) != tokenizer_key(right)


def test_the_key_names_whether_special_tokens_in_a_text_are_split() -> None:
    found, split = tokenizer_of("zoo/roberta-tiny"), tokenizer_of("zoo/roberta-tiny")
    split.split_special_tokens = True
    assert expected_ids(split, "a</s>") != expected_ids(found, "a</s>")
    assert tokenizer_key(split) != tokenizer_key(found)


def test_candidates_that_share_a_tokenizer_share_its_key(tmp_path: Path) -> None:
    copy = tmp_path / "elsewhere"
    shutil.copytree(materialise("zoo/bert-tiny"), copy)
    elsewhere = load_tokenizer(str(copy), revision=None, max_length=MAX_LENGTH)
    assert tokenizer_key(elsewhere) == tokenizer_key(tokenizer_of("zoo/bert-mini"))

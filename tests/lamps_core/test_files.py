from __future__ import annotations

import errno
import json
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lamps_core.files import move_into_place, safe_name, whole_folder, write_atomically, write_json


def test_a_file_is_replaced_whole_and_no_draft_is_left(tmp_path: Path) -> None:
    path = tmp_path / "new" / "file.txt"
    write_atomically(path, b"one")
    write_atomically(path, b"two")
    assert path.read_bytes() == b"two"
    assert list(path.parent.iterdir()) == [path]


def test_a_write_that_fails_leaves_the_old_file_and_no_draft(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "file.txt"
    write_atomically(path, b"old")

    def full_disk(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full_disk)
    with pytest.raises(OSError, match="No space left"):
        write_atomically(path, b"new")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("value", [float("nan"), float("inf"), {"deep": [float("-inf")]}])
def test_json_without_a_number_is_refused_and_the_old_file_stays(tmp_path: Path, value: Any) -> None:
    path = tmp_path / "value.json"
    write_json(path, {"loss": 1.5})
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(path, value)
    assert json.loads(path.read_text()) == {"loss": 1.5}


@given(
    st.dictionaries(st.text(), st.text() | st.integers() | st.floats(allow_nan=False, allow_infinity=False))
)
def test_json_is_read_back_as_it_was_written(
    tmp_path_factory: pytest.TempPathFactory, value: dict[str, Any]
) -> None:
    path = tmp_path_factory.mktemp("json") / "value.json"
    write_json(path, value)
    assert json.loads(path.read_text(encoding="utf-8")) == value


def test_a_folder_appears_whole_and_no_draft_is_left(tmp_path: Path) -> None:
    folder = tmp_path / "new" / "folder"
    with whole_folder(folder) as draft:
        (draft / "file").write_text("all of it")
        assert not folder.exists()
    assert (folder / "file").read_text() == "all of it"
    assert list(folder.parent.iterdir()) == [folder]


def test_a_folder_that_another_process_made_first_stays(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    with whole_folder(folder) as draft:
        (draft / "file").write_text("second")
        with whole_folder(folder) as theirs:
            (theirs / "file").write_text("first")
    assert (folder / "file").read_text() == "first"
    assert list(tmp_path.iterdir()) == [folder]


def test_a_folder_that_cannot_be_filled_is_not_there_and_leaves_no_draft(tmp_path: Path) -> None:
    def fill() -> None:
        with whole_folder(tmp_path / "folder") as draft:
            (draft / "file").write_text("a part")
            raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space left"):
        fill()
    assert list(tmp_path.iterdir()) == []


NAMES = st.text(min_size=1) | st.from_regex(r"[./a-]{1,6}", fullmatch=True)  # the latter look like paths


@given(NAMES)
def test_any_name_becomes_one_plain_file_name(name: str) -> None:
    made = safe_name(name)
    assert Path(made).name == made
    assert not made.startswith(".")
    assert len(made.encode()) < 128


@given(NAMES, NAMES)
def test_two_names_never_share_a_file(first: str, second: str) -> None:
    assert (safe_name(first) == safe_name(second)) == (first == second)


@given(st.text(min_size=100, max_size=120, alphabet="ab"), st.text(min_size=1, max_size=3, alphabet="ab"))
def test_long_names_that_differ_at_the_end_do_not_share_a_file(name: str, end: str) -> None:
    assert safe_name(name) != safe_name(name + end)


def test_a_safe_name_stays_readable() -> None:
    assert safe_name("zoo/bert-tiny") == "zoo--bert-tiny"
    assert safe_name("my model").startswith("my_model-")


@pytest.mark.parametrize("refused", [None, errno.EPERM, errno.ENOTSUP, errno.EXDEV])
def test_a_name_that_is_taken_stays_also_on_a_file_system_without_hard_links(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, refused: int | None
) -> None:
    if refused is not None:

        def link(source: Path, target: Path) -> None:
            raise OSError(refused, "no hard links")

        monkeypatch.setattr(os, "link", link)
    for content in ("first", "second"):
        (tmp_path / f"draft-{content}").write_text(content)
        move_into_place(tmp_path / f"draft-{content}", tmp_path / "name", replace=False)
    assert (tmp_path / "name").read_text() == "first"
    move_into_place(tmp_path / "draft-second", tmp_path / "name", replace=True)
    assert (tmp_path / "name").read_text() == "second"

"""What `--curves` and `--work` may name, and which errors say that nothing can be kept there."""

from __future__ import annotations

import errno
import subprocess
from typing import TYPE_CHECKING

import numpy as np
import pytest
import safetensors.numpy

from lamps_core.errors import BadInput, CandidateFailed, StorageFailed
from lamps_core.storage import (
    entries,
    is_folder,
    is_local,
    is_there,
    put_whole,
    remove_file,
    storage_failures,
    storage_path,
    unusable_storage,
)
from tests.small_disk import mounted

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.mark.parametrize("text", ["curves", "./curves", "~/curves", "file://{}/curves", "local://{}/curves"])
def test_a_folder_of_this_host_is_an_absolute_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    found = storage_path(text.format(tmp_path))
    assert found == tmp_path / "curves"
    assert is_local(found)


def test_a_path_stays_what_it_is_and_a_url_becomes_one() -> None:
    place = storage_path("memory://bucket/curves")
    assert not is_local(place)
    assert storage_path(place) is place
    assert str(storage_path(str(place))) == str(place)


@pytest.mark.parametrize("text", ["nosuch://bucket", "~nobody-of-that-name/curves"])
def test_what_is_no_storage_is_refused_by_name(text: str) -> None:
    with pytest.raises(BadInput, match=text.partition("/")[0].rstrip(":")):
        storage_path(text)


def test_a_file_lands_whole_in_folders_that_are_not_there_yet(tmp_path: Path) -> None:
    for place in (tmp_path / "a" / "b" / "file", storage_path(f"memory://{tmp_path.name}/a/b/file")):
        put_whole(place, b"first")
        put_whole(place, b"second")
        assert place.read_bytes() == b"second"
        assert [path.name for path in place.parent.iterdir()] == ["file"]


def test_an_error_names_its_file_or_else_the_place() -> None:
    with (
        pytest.raises(StorageFailed, match=r"^/a/file: No space left on device: mend it"),
        storage_failures("/place"),
    ):
        raise OSError(errno.ENOSPC, "No space left on device", "/a/file")
    with (
        pytest.raises(StorageFailed, match=r"^/place: No space left on device: mend it"),
        storage_failures("/place"),
    ):
        raise OSError(errno.ENOSPC, "No space left on device")


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    with mounted(tmp_path / "disk", megabytes=1) as place:
        yield place


def test_a_full_and_a_read_only_disk_are_known_from_every_library_that_writes(small_disk: Path) -> None:
    weights = {"weight": np.zeros(1_000_000, np.float32)}

    def caught(path: Path, *, with_rust: bool) -> str | None:
        try:
            if with_rust:
                safetensors.numpy.save_file(weights, str(path))
            else:
                path.write_bytes(weights["weight"].tobytes())
        except Exception as error:
            try:
                raise CandidateFailed("the model cannot be saved") from error
            except CandidateFailed as ours:
                return unusable_storage(ours, small_disk)
        return None

    for with_rust in (False, True):
        told = caught(small_disk / "file", with_rust=with_rust)
        assert told is not None
        assert str(small_disk) in told
        assert "No space left on device" in told
    (small_disk / "file").unlink()
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    for with_rust in (False, True):
        told = caught(small_disk / "file", with_rust=with_rust)
        assert told is not None
        assert str(small_disk) in told
        assert "Read-only file system" in told


@pytest.mark.parametrize(
    "error",
    [OSError("does not appear to have a file named config.json"), FileNotFoundError(2, "gone"), ValueError()],
)
def test_other_errors_are_not_of_a_disk(error: Exception) -> None:
    assert unusable_storage(error, "place") is None


def test_a_store_that_does_not_answer_is_no_store_without_the_file(silent_store: str, tmp_path: Path) -> None:
    file = storage_path(silent_store) / "file"
    assert not file.is_file()
    with pytest.raises(StorageFailed), storage_failures(silent_store):
        is_there(file)
    assert not is_there(tmp_path / "file")
    (tmp_path / "file").touch()
    assert is_there(tmp_path / "file")
    assert not is_there(tmp_path / "file" / "below")
    with pytest.raises(StorageFailed), storage_failures(silent_store):
        is_folder(file)
    with pytest.raises(StorageFailed), storage_failures(silent_store):
        entries(file)


def test_what_lies_in_a_folder_is_told_alike_of_a_disk_and_a_store(tmp_path: Path) -> None:
    for place in (
        tmp_path / "a",
        storage_path(f"memory://{tmp_path.name}/a"),
        storage_path(f"memory://{tmp_path.name}/b/"),
    ):
        assert (is_there(place), is_folder(place), entries(place)) == (False, False, [])
        put_whole(place / "in" / "file", b"")
        put_whole(place / "file", b"")
        assert entries(place) == [(place / "file", False), (place / "in", True)]
        assert (is_there(place), is_folder(place)) == (True, True)
        assert (is_there(place / "file"), is_folder(place / "file"), entries(place / "file")) == (
            True,
            False,
            [],
        )
        for _ in range(2):
            remove_file(place / "file")
        assert entries(place) == [(place / "in", True)]

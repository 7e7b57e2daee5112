from __future__ import annotations

import contextlib
import json
import multiprocessing
import resource
import shutil
import signal
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lamps_core.errors import BadInput
from lamps_core.search.journal import Journal, read_journal

if TYPE_CHECKING:
    from collections.abc import Iterator
    from multiprocessing.connection import Connection

HEADER: dict[str, Any] = {
    "policy_weights": "ab12",
    "dataset": "topics",
    "models": ["a", "b"],
    "objectives": ["test_loss", "accuracy"],
    "bounds": [None, -0.5],
    "settings": {"batch_size": 8, "max_length": 16},
}

scalars = (
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
)
events = st.lists(st.dictionaries(st.text(max_size=5), scalars, max_size=4), max_size=5)


@contextlib.contextmanager
def fresh_folder() -> Iterator[Path]:
    """A folder for one example: hypothesis keeps a test's own from one to the next."""
    with tempfile.TemporaryDirectory() as name:
        yield Path(name)


def write(path: Path, told: list[dict[str, Any]]) -> None:
    with Journal(path, HEADER) as journal:
        for event in told:
            journal.append(event)


@given(events)
def test_what_was_appended_is_there_when_the_journal_is_opened_again(told: list[dict[str, Any]]) -> None:
    with fresh_folder() as folder:
        path = folder / "journal.jsonl"
        write(path, told)
        with Journal(path, HEADER) as again:
            assert again.events == told
        header, read = read_journal(path)
        assert read == told
        assert header == {"version": 1, **HEADER}


@given(events, st.data())
def test_a_file_cut_at_any_byte_opens_with_its_whole_lines_and_can_be_appended_to(
    told: list[dict[str, Any]], data: st.DataObject
) -> None:
    with fresh_folder() as folder:
        path = folder / "journal.jsonl"
        write(path, told)
        content = path.read_bytes()
        kept = content[: data.draw(st.integers(0, len(content)), label="bytes kept")]
        path.write_bytes(kept)
        whole = told[: max(0, kept.count(b"\n") - 1)]
        with Journal(path, HEADER) as journal:
            assert journal.events == whole
            journal.append({"event": "after"})
        assert read_journal(path)[1] == [*whole, {"event": "after"}]
        assert path.read_bytes().startswith(content[: kept.rfind(b"\n") + 1])


def test_every_single_byte_of_a_journal_may_be_the_last(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    write(path, [{"event": "outcome", "text": "grün\n\u2028"}, {"event": "tested"}])
    content = path.read_bytes()
    for length in range(len(content) + 1):
        path.write_bytes(content[:length])
        with Journal(path, HEADER) as journal:
            assert len(journal.events) == max(0, content[:length].count(b"\n") - 1)
        assert path.read_bytes().endswith(b"\n")


def test_a_reader_does_not_see_the_line_being_written_and_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    write(path, [{"event": "first"}])
    content = path.read_bytes() + b'{"event": "sec'
    path.write_bytes(content)
    assert read_journal(path)[1] == [{"event": "first"}]
    assert path.read_bytes() == content


@pytest.mark.parametrize("damage", [b"", b"{", b"[1]", b"\xff\xfe", b'"text"', b"\0\0\0\0"])
def test_a_damaged_line_in_the_middle_is_named(tmp_path: Path, damage: bytes) -> None:
    path = tmp_path / "journal.jsonl"
    write(path, [{"event": "first"}, {"event": "second"}, {"event": "third"}])
    lines = path.read_bytes().splitlines()
    lines[2] = damage
    path.write_bytes(b"\n".join(lines) + b"\n")
    before = path.read_bytes()
    for opened in (lambda: Journal(path, HEADER), lambda: read_journal(path)):
        with pytest.raises(BadInput, match="line 3 is damaged"):
            opened()
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"dataset": "other"}, 'dataset was "topics", now "other"'),
        ({"models": ["a"]}, r'models was \["a", "b"\], now \["a"\]'),
        ({"bounds": [2.5, None]}, r'bounds was {"accuracy": 0.5}, now {"test_loss": 2.5}'),
        ({"settings": {"batch_size": 8, "max_length": 32}}, r"\(max_length was 16, now 32\)"),
        ({"policy_weights": "cd34"}, "the weights of its policy are others"),
        ({"policy_weights": "cd34", "models": ["b"]}, r'models was \["a", "b"\], now \["b"\]'),
        ({"seed": 1}, "seed was null, now 1"),
        ({"version": 0}, "another version"),
    ],
)
def test_a_journal_of_another_search_is_refused_by_what_differs(
    tmp_path: Path, change: dict[str, Any], said: str
) -> None:
    path = tmp_path / "journal.jsonl"
    if "version" in change:
        path.write_text(json.dumps({**HEADER, **change}) + "\n")
    else:
        write(path, [{"event": "first"}])
    before = path.read_bytes()
    with pytest.raises(BadInput, match=said):
        Journal(path, {**HEADER, **{key: value for key, value in change.items() if key != "version"}})
    assert path.read_bytes() == before


def test_a_setting_that_another_version_did_not_know_and_that_is_not_set_makes_no_other_search(
    tmp_path: Path,
) -> None:
    path = tmp_path / "journal.jsonl"
    write(path, [{"event": "first"}])
    with Journal(path, HEADER | {"settings": HEADER["settings"] | {"warmup": None}}) as journal:
        assert journal.events == [{"event": "first"}]
    with pytest.raises(BadInput, match=r"\(warmup was null, now 3\)"):
        Journal(path, HEADER | {"settings": HEADER["settings"] | {"warmup": 3}})


def test_a_refused_journal_is_let_go_of(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    write(path, [])
    with pytest.raises(BadInput):
        Journal(path, {**HEADER, "dataset": "other"})
    write(path, [{"event": "first"}])
    assert read_journal(path)[1] == [{"event": "first"}]


def test_an_empty_file_is_no_search_to_read_and_a_fresh_one_to_open(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    path.touch()
    with pytest.raises(BadInput, match="no search here"):
        read_journal(path)
    write(path, [{"event": "first"}])
    assert read_journal(path)[1] == [{"event": "first"}]


def test_what_is_not_a_number_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    with Journal(path, HEADER) as journal:
        before = path.read_bytes()
        with pytest.raises(ValueError, match="not JSON compliant"):
            journal.append({"loss": float("nan")})
        assert path.read_bytes() == before
        assert journal.events == []


def _hold(path: Path, ready: Connection) -> None:
    with Journal(path, HEADER):
        ready.send("held")
        ready.recv()


def test_a_second_process_is_told_that_the_folder_is_in_use_until_the_first_ends(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    holder = context.Process(target=_hold, args=(path, theirs))
    holder.start()
    try:
        assert ours.poll(180)
        assert ours.recv() == "held"
        with pytest.raises(BadInput, match=f"{tmp_path} is in use by another lamps run"):
            Journal(path, HEADER)
        read_journal(path)  # whoever has it open
    finally:
        holder.kill()
        holder.join()
    write(path, [{"event": "after the kill"}])
    assert read_journal(path)[1] == [{"event": "after the kill"}]


FULL_AT_BYTES = 4096


def _append_until_full(path: Path, told: Connection) -> None:
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (FULL_AT_BYTES, FULL_AT_BYTES))
    with Journal(path, HEADER) as journal:
        refused = 0
        while refused < 2:  # the second one meets the file that the first one left
            try:
                journal.append({"event": "outcome", "padding": "x" * 300})
            except OSError as error:
                refused += 1
                told.send((len(journal.events), str(error)))


def test_a_full_disk_leaves_whole_lines_and_room_to_go_on(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    writer = context.Process(target=_append_until_full, args=(path, theirs))
    writer.start()
    assert ours.poll(180)
    count, said = ours.recv()
    assert ours.recv()[0] == count
    writer.join()
    assert "is the disk full?" in said
    assert path.read_bytes().endswith(b"}\n")
    assert len(read_journal(path)[1]) == count
    assert FULL_AT_BYTES - 400 < path.stat().st_size <= FULL_AT_BYTES
    with Journal(path, HEADER) as journal:
        journal.append({"event": "after"})
    assert len(read_journal(path)[1]) == count + 1


@pytest.fixture
def tiny_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of two pages; only a superuser can make one."""
    folder = tmp_path / "tiny-disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=8k", "lamps-test", str(folder)]
    if (
        shutil.which("mount") is None
        or subprocess.run(mount, capture_output=True, check=False).returncode != 0
    ):
        pytest.skip("a tmpfs cannot be mounted here")
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def append_for_ever(journal: Journal) -> None:
    while True:
        journal.append({"event": "outcome", "padding": "x" * 300})


def test_a_disk_that_is_really_full_leaves_whole_lines_and_room_to_go_on(tiny_disk: Path) -> None:
    path = tiny_disk / "journal.jsonl"
    filler = tiny_disk / "filler"
    filler.write_bytes(b"x" * 4096)
    with Journal(path, HEADER) as journal:
        with pytest.raises(OSError, match=r"full\?|No space left"):
            append_for_ever(journal)
        count = len(journal.events)
        assert read_journal(path)[1] == journal.events
        filler.unlink()
        journal.append({"event": "after"})
    assert len(read_journal(path)[1]) == count + 1

"""Checkpoints and data between hosts: what is torn or old is never taken, and nothing newer is replaced."""

from __future__ import annotations

import dataclasses
import json
import multiprocessing
import shutil
from functools import partial
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from lamps_core.campaign import shared_work
from lamps_core.campaign.shared_work import (
    drop_checkpoint,
    fetch_checkpoint,
    fetch_data,
    newest_shared_step,
    push_checkpoint,
    push_data,
)
from lamps_core.fine_tuning.checkpoint import RECORD, commit_checkpoint, newest_checkpoint
from lamps_core.storage import Entry, entries, storage_path
from lamps_core.text.dataset import TextDataset, TextSplit
from lamps_core.text.prepared_data import load_prepared
from tests.curve_writers import fetch_and_read, killed_at
from tests.flaky_store import each_failing
from tests.flushes import Flushes

if TYPE_CHECKING:
    from collections.abc import Iterator

FORK = multiprocessing.get_context("fork")


@pytest.fixture(params=["local", "memory"])
def shared(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Any]:
    """A candidate's checkpoints in a shared work folder: a folder, and an object store."""
    if request.param == "local":
        (tmp_path / "shared").mkdir()
        yield tmp_path / "shared" / "model"
        return
    place = storage_path(f"memory://{tmp_path.name}/shared/model")
    yield place
    if place.parent.exists():
        place.fs.rm(place.parent.path, recursive=True)


def committed(host: Path, step: int, *, run: str = "first") -> Path:
    """A host's checkpoints after a step of a candidate, as its worker leaves them."""

    def save(folder: Path) -> None:
        (folder / "config.json").write_text("{}")
        (folder / "model.safetensors").write_bytes(f"{run} {step}".encode() * 1000)

    commit_checkpoint(host, step, save=save, record=lambda: {"step": step, "run": run})
    return host


def told(host: Path) -> dict[str, Any] | None:
    """The record of a host's newest checkpoint, whose weights are whole and of the same step and run."""
    newest = newest_checkpoint(host)
    if newest is None:
        return None
    record = newest.record
    content = f"{record['run']} {record['step']}".encode() * 1000
    assert (newest.folder / "model.safetensors").read_bytes() == content
    assert newest.has_model
    return record


def test_what_one_host_pushes_another_fetches(shared: Any, tmp_path: Path) -> None:
    assert newest_shared_step(shared) is None
    push_checkpoint(committed(tmp_path / "a", 3), shared)
    assert newest_shared_step(shared) == 3
    fetch_checkpoint(shared, tmp_path / "b", step=4)
    assert told(tmp_path / "b") == {"step": 3, "run": "first"}


def test_what_is_left_of_a_checkpoint_that_was_being_deleted_is_in_nobodys_way(
    shared: Any, tmp_path: Path
) -> None:
    push_checkpoint(committed(tmp_path / "a", 3), shared)
    for place in (shared / "step-0003", tmp_path / "b" / "step-0003"):
        if isinstance(place, Path):  # of a store, each push has a folder of its own
            place.mkdir(parents=True, exist_ok=True)
            (place / "model.safetensors").write_bytes(b"torn")
            (place / RECORD).unlink(missing_ok=True)
    push_checkpoint(tmp_path / "a", shared)
    fetch_checkpoint(shared, tmp_path / "b", step=4)
    assert told(tmp_path / "b") == {"step": 3, "run": "first"}


def test_an_older_checkpoint_never_replaces_a_newer_one(shared: Any, tmp_path: Path) -> None:
    push_checkpoint(committed(tmp_path / "fast", 5), shared)
    push_checkpoint(committed(tmp_path / "stale", 3), shared)
    assert newest_shared_step(shared) == 5
    fetch_checkpoint(shared, tmp_path / "fast", step=6)
    fetch_checkpoint(shared, tmp_path / "stale", step=6)
    assert told(tmp_path / "fast") == told(tmp_path / "stale") == {"step": 5, "run": "first"}
    assert [path.name for path in (tmp_path / "stale").iterdir()] == [
        "step-0005"
    ]  # the old one takes no room


def test_a_newer_one_drops_the_older_and_what_killed_copies_left(shared: Any, tmp_path: Path) -> None:
    push_checkpoint(committed(tmp_path / "a", 1), shared)
    torn = shared / ("step-0001-0abc" if not isinstance(shared, Path) else ".draft-0001-0abc")
    if isinstance(shared, Path):
        torn.mkdir()
    (torn / "model.safetensors").write_bytes(b"half")
    push_checkpoint(committed(tmp_path / "a", 2), shared)
    assert len(list(shared.iterdir())) == 1
    assert newest_shared_step(shared) == 2


def test_a_torn_copy_on_an_object_store_is_not_a_checkpoint(tmp_path: Path) -> None:
    shared = storage_path(f"memory://{tmp_path.name}/shared/model")
    push_checkpoint(committed(tmp_path / "a", 2), shared)
    (shared / "step-0003-0abc" / "model.safetensors").write_bytes(b"half")
    assert newest_shared_step(shared) == 2
    fetch_checkpoint(shared, tmp_path / "b", step=3)
    assert told(tmp_path / "b") == {"step": 2, "run": "first"}
    shared.fs.rm(shared.parent.path, recursive=True)


def test_hosts_that_push_the_same_step_at_once_leave_a_whole_one(tmp_path: Path) -> None:
    shared = tmp_path / "shared" / "model"
    hosts = [committed(tmp_path / name, 2, run=name) for name in ("a", "b", "c")]
    processes = [FORK.Process(target=push_checkpoint, args=(host, shared)) for host in hosts]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0, 0, 0]
    assert [path.name for path in shared.iterdir()] == ["step-0002"]
    fetch_checkpoint(shared, tmp_path / "d", step=3)
    assert (told(tmp_path / "d") or {})["run"] in {"a", "b", "c"}


def test_a_host_that_is_slower_with_the_same_step_leaves_the_other_s(
    shared: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow, fast = (committed(tmp_path / name, 2, run=name) for name in ("slow", "fast"))
    pushed = list[Path]()

    def while_it_copies(path: Path) -> list[Entry]:
        if path == slow / "step-0002" and not pushed:
            pushed.append(path)
            push_checkpoint(fast, shared)
        return entries(path)

    monkeypatch.setattr(shared_work, "entries", while_it_copies)
    push_checkpoint(slow, shared)
    assert pushed
    assert newest_shared_step(shared) == 2
    fetch_checkpoint(shared, tmp_path / "c", step=3)
    assert (told(tmp_path / "c") or {})["run"] in {"slow", "fast"}
    push_checkpoint(committed(tmp_path / "c", 3, run="c"), shared)
    assert len(list(shared.iterdir())) == 1


def test_a_push_that_is_killed_at_any_moment_leaves_the_old_or_the_new(tmp_path: Path) -> None:
    host = committed(tmp_path / "host", 1)
    push_checkpoint(host, tmp_path / "before" / "model")
    committed(host, 2)
    for call in count():
        shared = tmp_path / f"shared-{call}" / "model"
        shutil.copytree(tmp_path / "before" / "model", shared)
        killed = killed_at(call, partial(push_checkpoint, host, shared))
        fetch_checkpoint(shared, tmp_path / f"other-{call}", step=3)
        assert (told(tmp_path / f"other-{call}") or {})["step"] in {1, 2}
        push_checkpoint(host, shared)
        assert newest_shared_step(shared) == 2
        if not killed:
            break
    assert call > 5


def test_a_fetch_that_is_killed_at_any_moment_can_be_repeated(tmp_path: Path) -> None:
    shared = tmp_path / "shared" / "model"
    push_checkpoint(committed(tmp_path / "a", 2), shared)
    for call in count():
        local = committed(tmp_path / f"local-{call}", 1)
        killed = killed_at(call, partial(fetch_checkpoint, shared, local, step=3))
        assert (told(local) or {})["step"] in {1, 2}
        fetch_checkpoint(shared, local, step=3)
        assert told(local) == {"step": 2, "run": "first"}
        if not killed:
            break
    assert call > 5


def test_a_checkpoint_that_vanishes_for_a_newer_one_while_it_is_copied_is_left_for_that(
    shared: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    push_checkpoint(committed(tmp_path / "a", 2), shared)
    committed(tmp_path / "a", 3)
    mkdir = Path.mkdir
    pushed: list[Path] = []

    def while_it_begins(path: Path, *args: Any, **options: Any) -> None:
        mkdir(path, *args, **options)
        if path.name == ".draft-0002" and not pushed:
            pushed.append(path)
            push_checkpoint(tmp_path / "a", shared)

    monkeypatch.setattr(Path, "mkdir", while_it_begins)
    fetch_checkpoint(shared, tmp_path / "b", step=4)
    assert pushed
    assert told(tmp_path / "b") == {"step": 3, "run": "first"}


def test_a_checkpoint_whose_files_are_gone_for_good_is_an_error(
    shared: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    push_checkpoint(committed(tmp_path / "a", 1), shared)

    def gone(source: Any, target: Any) -> None:
        raise FileNotFoundError(str(source))

    monkeypatch.setattr(shared_work, "_copy", gone)
    with pytest.raises(FileNotFoundError):
        fetch_checkpoint(shared, tmp_path / "b", step=2)
    assert newest_checkpoint(tmp_path / "b") is None


def test_a_host_s_own_checkpoint_of_a_step_that_lost_its_row_is_kept(shared: Any, tmp_path: Path) -> None:
    push_checkpoint(committed(tmp_path / "a", 2), shared)
    committed(tmp_path / "a", 3)  # and killed before it was pushed
    fetch_checkpoint(shared, tmp_path / "a", step=3)
    assert told(tmp_path / "a") == {"step": 3, "run": "first"}


def test_what_a_host_has_of_a_curve_that_is_made_again_is_dropped(shared: Any, tmp_path: Path) -> None:
    committed(tmp_path / "a", 5)
    fetch_checkpoint(shared, tmp_path / "a", step=0)
    assert told(tmp_path / "a") is None

    committed(tmp_path / "b", 2)
    push_checkpoint(committed(tmp_path / "c", 1, run="second"), shared)
    fetch_checkpoint(shared, tmp_path / "b", step=2, anew=True)
    assert told(tmp_path / "b") == {"step": 1, "run": "second"}

    committed(tmp_path / "b", 2, run="second")
    push_checkpoint(tmp_path / "b", shared)
    before = newest_checkpoint(tmp_path / "b")
    fetch_checkpoint(shared, tmp_path / "b", step=3, anew=True)
    assert newest_checkpoint(tmp_path / "b") == before


def test_dropped_checkpoints_are_gone(shared: Any, tmp_path: Path) -> None:
    drop_checkpoint(shared)
    push_checkpoint(committed(tmp_path / "a", 2), shared)
    drop_checkpoint(shared)
    assert newest_shared_step(shared) is None


def test_a_store_that_fails_for_a_moment_has_not_lost_a_checkpoint(tmp_path: Path) -> None:
    shared = storage_path(f"memory://{tmp_path.name}/shared/model")
    push_checkpoint(committed(tmp_path / "a", 2), shared)
    each_failing(lambda: newest_shared_step(shared), told=2)
    shared.fs.rm(shared.path, recursive=True)


# --- data ------------------------------------------------------------------------------------------------


def dataset(text: str = "rain", *, rows: int = 4) -> TextDataset:
    split = TextSplit((text,) * rows, np.arange(rows) % 2)
    return TextDataset(
        name="tiny", label_names=("no", "yes"), train=split, evaluation=split, test=None, notices=(),
        fingerprint=f"of-{text}-{rows}", selection="test",
    )  # fmt: skip


def test_data_are_refreshed_when_their_description_differs_and_copied_once_otherwise(
    shared: Any, tmp_path: Path
) -> None:
    work, here = shared.parent, tmp_path / "here"
    push_data(dataset("rain"), work)
    fetch_data(work, here)
    assert load_prepared(here / "data").train.texts[0] == "rain"
    (rows,) = (here / "data").glob("*.parquet")
    rows.write_bytes(b"not looked at again")
    fetch_data(work, here)
    assert rows.read_bytes() == b"not looked at again"
    push_data(dataset("snow"), work)
    fetch_data(work, here)
    assert load_prepared(here / "data").train.texts[0] == "snow"


def test_fetched_data_are_on_disk_before_they_can_be_seen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    push_data(dataset(), tmp_path / "work")
    flushes = Flushes(monkeypatch)
    fetch_data(tmp_path / "work", tmp_path / "here")
    assert len(list((tmp_path / "here" / "data").iterdir())) == 2
    assert flushes.missing(tmp_path / "here") == []


def test_the_same_data_are_not_pushed_again(shared: Any) -> None:
    work = shared.parent
    push_data(dataset(), work)
    (rows,) = (path for path in (work / "data").iterdir() if path.name.endswith(".parquet"))
    rows.write_bytes(b"not looked at again")
    push_data(dataset(), work)
    assert rows.read_bytes() == b"not looked at again"
    push_data(dataclasses.replace(dataset(), label_names=("nein", "ja")), work)
    assert json.loads((work / "data" / "dataset.json").read_bytes())["label_names"] == ["nein", "ja"]


def test_processes_of_one_host_that_fetch_at_once_never_read_half_a_file(tmp_path: Path) -> None:
    push_data(dataset(rows=200_000), tmp_path / "work")
    for _ in range(2):
        here = tmp_path / "here"
        processes = [
            FORK.Process(target=fetch_and_read, args=(str(tmp_path / "work"), str(here), 200_000))
            for _ in range(3)
        ]
        for process in processes:
            process.start()
        for process in processes:
            process.join()
        assert [process.exitcode for process in processes] == [0, 0, 0]
        assert not list((here / "data").glob(".*"))
        shutil.rmtree(here)

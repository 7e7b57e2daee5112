from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lamps_core.fine_tuning.checkpoint import commit_checkpoint, newest_checkpoint

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def save_text(text: str) -> Callable[[Path], None]:
    def save(folder: Path) -> None:
        (folder / "config.json").write_text(text)

    return save


def commit(folder: Path, step: int, text: str = "{}") -> dict[str, Any]:
    return commit_checkpoint(folder, step, save=save_text(text), record=lambda: {"step": step})


def names_in(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_a_folder_that_is_not_there_or_empty_has_no_checkpoint(tmp_path: Path) -> None:
    assert newest_checkpoint(tmp_path / "gone") is None
    assert newest_checkpoint(tmp_path) is None


def test_a_commit_returns_its_record_and_is_the_newest(tmp_path: Path) -> None:
    assert commit(tmp_path / "candidate", 3, "three") == {"step": 3}
    newest = newest_checkpoint(tmp_path / "candidate")
    assert newest is not None
    assert (newest.step, newest.record) == (3, {"step": 3})
    assert (newest.folder / "config.json").read_text() == "three"


@given(st.lists(st.integers(0, 20_000), min_size=1, max_size=5, unique=True).map(sorted))
def test_only_the_newest_is_kept(tmp_path_factory: pytest.TempPathFactory, steps: list[int]) -> None:
    folder = tmp_path_factory.mktemp("candidate")
    for step in steps:
        commit(folder, step)
    assert names_in(folder) == {f"step-{steps[-1]:04d}"}
    newest = newest_checkpoint(folder)
    assert newest is not None
    assert newest.step == steps[-1]


def test_the_record_is_asked_for_when_all_else_is_saved(tmp_path: Path) -> None:
    order: list[str] = []

    def record() -> dict[str, Any]:
        order.append("record")
        return {}

    commit_checkpoint(tmp_path, 1, save=lambda _: order.append("save"), record=record)
    assert order == ["save", "record"]


def test_a_step_has_its_name_only_when_it_is_whole(tmp_path: Path) -> None:
    commit(tmp_path, 1)
    seen: list[set[str]] = []

    def save(_: Path) -> None:
        seen.append(names_in(tmp_path))

    def record() -> dict[str, Any]:
        seen.append(names_in(tmp_path))
        return {}

    commit_checkpoint(tmp_path, 2, save=save, record=record)
    assert seen[0] == seen[1]
    assert sorted(re.sub("-[0-9a-f]{8}$", "", name) for name in seen[0]) == [".draft-0002", "step-0001"]


def fail_to_save(folder: Path) -> None:
    (folder / "config.json").write_text("half of")
    raise OSError(28, "No space left on device")


@pytest.mark.parametrize(
    ("save", "record", "error"),
    [
        (fail_to_save, lambda: {"step": 2}, "No space left"),
        (save_text("{}"), lambda: {"test_loss": float("nan")}, "not JSON compliant"),
    ],
    ids=["save", "record"],
)
def test_a_commit_that_fails_leaves_the_older_step_the_newest(
    tmp_path: Path, save: Callable[[Path], None], record: Callable[[], dict[str, Any]], error: str
) -> None:
    commit(tmp_path, 1, "one")
    with pytest.raises((OSError, ValueError), match=error):
        commit_checkpoint(tmp_path, 2, save=save, record=record)
    newest = newest_checkpoint(tmp_path)
    assert newest is not None
    assert (newest.step, newest.record) == (1, {"step": 1})
    assert (newest.folder / "config.json").read_text() == "one"


def test_what_a_killed_worker_left_is_no_checkpoint_and_goes_with_the_next_commit(tmp_path: Path) -> None:
    commit(tmp_path, 1)
    for draft in (".draft-0002-0123abcd", ".draft-0009-0123abcd", "step-0002"):
        (tmp_path / draft).mkdir()
        if draft.startswith("."):  # a checkpoint without a record was being deleted
            (tmp_path / draft / "record.json").write_text("{}")
        (tmp_path / draft / "stale").write_text("")
    newest = newest_checkpoint(tmp_path)
    assert newest is not None
    assert newest.step == 1
    commit(tmp_path, 2)
    assert names_in(tmp_path) == {"step-0002"}
    assert names_in(tmp_path / "step-0002") == {"config.json", "record.json"}


def test_of_two_hosts_with_one_step_the_faster_commits_it_and_the_other_tells_the_same(
    tmp_path: Path,
) -> None:
    def save_while_the_other_does(folder: Path) -> None:
        (folder / "config.json").write_text("half of")
        assert commit_checkpoint(tmp_path, 2, save=save_text("whole"), record=lambda: {"host": "a"}) == {
            "host": "a"
        }
        (folder / "config.json").write_text("late")

    told = commit_checkpoint(tmp_path, 2, save=save_while_the_other_does, record=lambda: {"host": "b"})
    assert told == {"host": "a"}
    assert names_in(tmp_path) == {"step-0002"}
    assert (tmp_path / "step-0002" / "config.json").read_text() == "whole"


def test_a_step_without_a_model_says_so(tmp_path: Path) -> None:
    commit_checkpoint(tmp_path, 0, save=lambda _: None, record=dict)
    newest = newest_checkpoint(tmp_path)
    assert newest is not None
    assert not newest.has_model

"""One step on the host that runs it: what it gave is kept, whenever it is killed and whoever runs it again."""

from __future__ import annotations

import shutil
import time
from functools import partial
from itertools import count
from typing import TYPE_CHECKING, Any

import pytest

from lamps_core.campaign.shared_work import newest_shared_step
from lamps_core.campaign.step import SCRATCH, StepDestination, run_and_keep, scratch_folder
from lamps_core.curves.schema import CurveKey
from lamps_core.curves.store import CurveStore
from lamps_core.errors import StorageFailed
from lamps_core.fine_tuning.checkpoint import commit_checkpoint, newest_checkpoint
from lamps_core.fine_tuning.landmark_step import CandidateRun
from lamps_core.locks import held
from tests.curve_writers import LAST, killed_at, row

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from lamps_core.fine_tuning.steps import StepRequest
    from tests.lamps_core.conftest import Topics

MODEL = "org/model"


class Trainer:
    """In the place of a worker: trains by writing a line, and commits a checkpoint as a worker does."""

    def __init__(self, log: Path, loss: float = 1.0) -> None:
        self.log, self.loss = log, loss

    def __call__(self, request: StepRequest) -> dict[str, Any]:
        newest = newest_checkpoint(request.checkpoint_folder)
        if newest is not None and newest.step == request.step:
            return newest.record
        assert newest is None or newest.step == request.step - 1
        with self.log.open("a") as log:
            log.write(f"{request.step}\n")

        def save(folder: Path) -> None:
            if request.step > 0:
                (folder / "config.json").write_text("{}")

        record = row(request.step, model=request.name, loss=self.loss)
        return commit_checkpoint(request.checkpoint_folder, request.step, save=save, record=lambda: record)

    @property
    def trained(self) -> list[int]:
        return [int(line) for line in self.log.read_text().split()] if self.log.exists() else []


@pytest.fixture
def asked(topics: Topics) -> Callable[[int], StepRequest]:
    """A step of a candidate that needs no building."""
    return lambda step: topics.request(step, candidate=MODEL, location=topics.work)


def kept(curves: Path) -> list[float]:
    (state,) = CurveStore(curves).states().values()
    return [told["test_loss"] for told in state.rows]


def shared_step(request: StepRequest) -> int | None:
    return newest_shared_step(request.checkpoint_folder)


@pytest.mark.parametrize("step", [0, LAST])
def test_a_step_killed_at_any_moment_is_kept_by_the_next_attempt_and_trained_twice_only_if_not_committed(
    asked: Callable[[int], StepRequest], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: int
) -> None:
    request = asked(step)
    for call in count():
        folder = tmp_path / f"killed-{call}"
        folder.mkdir()
        monkeypatch.setenv(SCRATCH, str(folder / "scratch"))
        shutil.rmtree(request.checkpoint_folder, ignore_errors=True)
        destination, trainer = StepDestination(curves=str(folder / "curves")), Trainer(folder / "log")
        store = CurveStore(folder / "curves")
        for earlier in range(step):
            store.append(row(earlier, model=MODEL) | {"dataset": request.dataset})
        killed = killed_at(call, partial(run_and_keep, request, destination, trainer))
        committed = any((folder / "scratch").rglob("record.json"))
        committed = committed and not any((folder / "scratch").rglob(".draft-*/record.json"))
        before = len(trainer.trained)
        record = run_and_keep(request, destination, trainer)
        assert len(trainer.trained) - before == int(not committed)
        assert record["test_loss"] == 1.0
        assert kept(folder / "curves") == [1.0] * (step + 1)
        if step < LAST:
            assert shared_step(request) == step
        else:  # nobody asks for the weights of a complete curve
            assert not any((folder / "scratch").rglob("record.json"))
        if not killed:
            break
    assert call > 15


def test_a_row_that_could_not_be_kept_is_kept_on_the_retry_without_training_again(
    topics: Topics, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(SCRATCH, str(tmp_path / "scratch"))
    curves, destination = tmp_path / "curves", StepDestination(curves=str(tmp_path / "curves"))
    curves.write_text("in the way")
    records: list[dict[str, Any]] = []

    def run(request: StepRequest) -> dict[str, Any]:
        worker = CandidateRun(threads=1, progress=lambda phase, done, total: None)
        records.append(worker.step(request, time.monotonic()))
        return records[-1]

    with pytest.raises(StorageFailed, match=str(curves)):
        run_and_keep(topics.request(), destination, run)
    curves.unlink()
    assert run_and_keep(topics.request(), destination, run) == records[0] == records[1]  # its times too
    state = CurveStore(curves).states()[CurveKey(topics.dataset.name, "zoo/bert-tiny", 7)]
    assert [told["step_seconds"] for told in state.rows] == [records[0]["step_seconds"]]


def test_a_curve_made_anew_takes_nothing_of_what_a_host_still_has(
    asked: Callable[[int], StepRequest], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    destination, curves = StepDestination(curves=str(tmp_path / "curves")), tmp_path / "curves"
    monkeypatch.setenv(SCRATCH, str(tmp_path / "a"))
    for step in range(2):
        run_and_keep(asked(step), destination, Trainer(tmp_path / "log"))
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    shutil.rmtree(asked(0).checkpoint_folder)  # somebody emptied the shared work folder
    anew = StepDestination(curves=destination.curves, anew=True)
    for step, host in enumerate(("a", "b", "a")):
        monkeypatch.setenv(SCRATCH, str(tmp_path / host))
        run_and_keep(asked(step), anew, Trainer(tmp_path / "log-anew", loss=5.0))
    assert Trainer(tmp_path / "log-anew").trained == [0, 1, 2]
    assert kept(curves) == [5.0, 5.0, 5.0]


def test_a_host_drops_what_it_has_of_candidates_that_went_on_elsewhere_or_ended_unless_a_step_uses_it(
    topics: Topics, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    destination, trainer = StepDestination(curves=str(tmp_path / "curves")), Trainer(tmp_path / "log")

    def run(host: str, name: str, step: int) -> None:
        monkeypatch.setenv(SCRATCH, str(tmp_path / host))
        request = topics.request(step, candidate=name, location=topics.work)
        run_and_keep(request, destination, trainer)

    def left(host: str) -> set[str]:
        return {path.parents[1].name for path in (tmp_path / host).rglob("config.json")}

    for name in ("moved", "used", "ended", "stays"):
        for step in range(2):
            run("a", name, step)
    for name in ("moved", "used", "ended"):
        run("b", name, 2)
    run("b", "ended", LAST)
    shutil.rmtree(topics.work / "checkpoints" / "stays")  # and is made again, as far as anybody knows
    run("b", "stays", 0)
    commit_checkpoint(
        next((tmp_path / "b").rglob("moved")),
        3,
        save=lambda folder: (folder / "config.json").touch(),
        record=dict,
    )  # and its host was gone before it was shared
    in_use = next((tmp_path / "a").rglob("checkpoints")) / ".used.use"
    with held(in_use, with_others=True):
        run("a", "other", 0)
    assert left("a") == {"used", "stays"}
    run("a", "other", 1)
    assert left("a") == {"other", "stays"}
    run("b", "other", 2)
    assert left("b") == {"moved", "used", "other"}


@pytest.mark.parametrize("spoilt", ["scratch", "work", "curves"])
def test_the_place_that_cannot_be_used_is_named_and_the_step_goes_on_once_it_is_mended(
    asked: Callable[[int], StepRequest], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, spoilt: str
) -> None:
    monkeypatch.setenv(SCRATCH, str(tmp_path / "scratch"))
    request = asked(0)
    place = {
        "scratch": tmp_path / "scratch",
        "work": request.checkpoint_folder,
        "curves": tmp_path / "curves",
    }[spoilt]
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_text("in the way")
    destination, trainer = StepDestination(curves=str(tmp_path / "curves")), Trainer(tmp_path / "log")
    with pytest.raises(StorageFailed, match=str(place)):
        run_and_keep(request, destination, trainer)
    place.unlink()
    run_and_keep(request, destination, trainer)
    assert kept(tmp_path / "curves") == [1.0]
    assert trainer.trained == [0]


def test_steps_run_in_the_work_folder_itself_unless_told_otherwise(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, lamps_cache: Path
) -> None:
    monkeypatch.delenv(SCRATCH, raising=False)
    assert scratch_folder(str(tmp_path)) is None
    assert scratch_folder("memory://bucket/work") == lamps_cache / "scratch"
    monkeypatch.setenv(SCRATCH, str(tmp_path / "own"))
    assert scratch_folder(str(tmp_path)) == scratch_folder("memory://bucket/work") == tmp_path / "own"

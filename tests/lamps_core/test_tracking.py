"""Curves in TensorBoard, MLflow and Weights & Biases, written by the real libraries and read back."""

from __future__ import annotations

import os
import socket
from typing import TYPE_CHECKING, Any

import pytest
from accelerate import PartialState

from lamps_core.curves.schema import CurveKey
from lamps_core.errors import BadInput
from lamps_core.tracking import PACKAGES, Tracking, parse_trackers
from tests.tracker_records import (
    in_single_precision,
    mlflow_client,
    mlflow_runs,
    tensorboard_scalars,
    wandb_rows,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

KEY = CurveKey("news", "zoo/bert-tiny", 0)
SETTINGS = {"learning_rate": 1e-4, "batch_size": 32, "seed": 0}
TITLE = "zoo--bert-tiny"


@pytest.fixture(autouse=True)
def _environment() -> Iterator[None]:
    """What a tracker's library sets in this process is taken back."""
    before = dict(os.environ)
    yield
    os.environ.clear()
    os.environ.update(before)


def row(step: int) -> dict[str, Any]:
    return {
        "step": step,
        "test_loss": 1.0 / (1 + step),
        "train_seconds": 2.0 * step,
        "train_rows": 16 * step,
        "accuracy": None,
        "parameters": 4000,
        "device": "cpu",
        "complete": step == 3,
    }


def told(trackers: Path, steps: range, names: tuple[str, ...] = tuple(PACKAGES)) -> list[str]:
    """Tell rows one at a time, as a search does; returns the troubles."""
    troubles: list[str] = []
    tracking = Tracking(names, trackers, failed=troubles.append)
    for step in steps:
        tracking.tell(KEY, [row(step)], SETTINGS, ended=step == 3)
    tracking.close()
    return troubles


def test_a_curve_is_one_run_of_every_tracker(tmp_path: Path) -> None:
    assert told(tmp_path, range(4)) == []
    losses = [(step, 1.0 / (1 + step)) for step in range(4)]
    runs = mlflow_runs(tmp_path, "lamps-news")
    assert list(runs) == [KEY.model]
    run = runs[KEY.model]
    assert run.info.status == "FINISHED"
    assert run.data.params["model"] == KEY.model
    assert run.data.params["learning_rate"] == "0.0001"
    assert run.data.params["parameters"] == "4000"
    history = mlflow_client(tmp_path).get_metric_history(run.info.run_id, "test_loss")
    assert [(one.step, one.value) for one in history] == losses
    assert run.data.metrics["train_seconds_so_far"] == 0.0 + 2.0 + 4.0 + 6.0
    assert "accuracy" not in run.data.metrics

    assert tensorboard_scalars(
        tmp_path / "tensorboard" / "lamps-news" / TITLE, "test_loss"
    ) == in_single_precision(losses)

    rows = wandb_rows(tmp_path, KEY.model, "lamps-news")
    assert [(one["_step"], one["test_loss"]) for one in rows] == losses


def test_what_one_life_told_the_next_does_not_tell_again(tmp_path: Path) -> None:
    assert told(tmp_path, range(2)) == []
    assert told(tmp_path, range(4)) == []  # a resumed search tells all that is on record
    run = mlflow_runs(tmp_path, "lamps-news")[KEY.model]
    history = mlflow_client(tmp_path).get_metric_history(run.info.run_id, "train_seconds_so_far")
    assert [(one.step, one.value) for one in history] == [(0, 0.0), (1, 2.0), (2, 6.0), (3, 12.0)]
    scalars = tensorboard_scalars(tmp_path / "tensorboard" / "lamps-news" / TITLE, "train_rows")
    assert scalars == [(0, 0.0), (1, 16.0), (2, 32.0), (3, 48.0)]
    assert [one["_step"] for one in wandb_rows(tmp_path, KEY.model, "lamps-news")] == [0, 1, 2, 3]


def test_a_curve_that_is_made_anew_is_a_run_of_its_own(tmp_path: Path) -> None:
    assert told(tmp_path, range(3)) == []
    Tracking((), tmp_path).forget(KEY)  # a life without trackers forgets for those of the next one
    assert told(tmp_path, range(4)) == []
    client = mlflow_client(tmp_path)
    runs = client.search_runs([client.get_experiment_by_name("lamps-news").experiment_id])
    steps = [[one.step for one in client.get_metric_history(run.info.run_id, "test_loss")] for run in runs]
    assert sorted(steps) == [[0, 1, 2], [0, 1, 2, 3]]
    assert {run.data.metrics["train_seconds_so_far"] for run in runs} == {6.0, 12.0}
    scalars = tensorboard_scalars(tmp_path / "tensorboard" / "lamps-news" / TITLE, "train_seconds_so_far")
    assert scalars == [(0, 0.0), (1, 2.0), (2, 6.0), (3, 12.0)]
    rows = wandb_rows(tmp_path, KEY.model, "lamps-news")
    assert sorted(one["_step"] for one in rows) == [0, 0, 1, 1, 2, 2, 3]
    assert len({file.name.rpartition("-")[2] for file in (tmp_path / "wandb").glob("offline-run-*")}) == 2


def test_curves_whose_names_come_to_the_same_when_joined_are_told_both(tmp_path: Path) -> None:
    tracking = Tracking(("tensorboard",), tmp_path, failed=pytest.fail)
    keys = (CurveKey("news", "short-bert", 0), CurveKey("news-short", "bert", 0))
    for key in keys:
        tracking.tell(key, [row(step) for step in range(4)], SETTINGS, ended=True)
    tracking.close()
    for key in keys:
        folder = tmp_path / "tensorboard" / f"lamps-{key.dataset}" / key.model
        assert len(tensorboard_scalars(folder, "test_loss")) == 4


def test_a_tracker_that_is_gone_is_given_up_and_told_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket() as taken:  # bound, and nobody listens
        taken.bind(("127.0.0.1", 0))
        place = f"127.0.0.1:{taken.getsockname()[1]}"
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://anna:secret@{place}")
        monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
        troubles = told(tmp_path, range(4), ("mlflow", "tensorboard"))
    assert len(troubles) == 1
    assert troubles[0].startswith("--track mlflow was given up (")
    assert place in troubles[0]
    assert "secret" not in troubles[0]
    assert len(tensorboard_scalars(tmp_path / "tensorboard" / "lamps-news" / TITLE, "test_loss")) == 4
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    assert told(tmp_path, range(4), ("mlflow", "tensorboard")) == []
    assert mlflow_runs(tmp_path, "lamps-news")[KEY.model].data.metrics["test_loss"] == 0.25
    assert len(tensorboard_scalars(tmp_path / "tensorboard" / "lamps-news" / TITLE, "test_loss")) == 4


def test_another_server_is_told_everything(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    other = tmp_path / "other"
    (other / "mlflow").mkdir(parents=True)
    assert told(tmp_path, range(2), ("mlflow",)) == []
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{other / 'mlflow' / 'mlflow.db'}")
    assert told(tmp_path, range(4), ("mlflow",)) == []
    run = mlflow_runs(other, "lamps-news")[KEY.model]
    history = mlflow_client(other).get_metric_history(run.info.run_id, "train_seconds_so_far")
    assert [one.step for one in history] == [0, 1, 2, 3]


def test_trackers_that_cannot_begin_are_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(folder: Path) -> list[str]:
        raise ValueError(f"no trackers in {folder.name}")

    monkeypatch.setattr("lamps_core.tracking._prepare", fails)
    troubles = told(tmp_path, range(4), ("mlflow", "tensorboard"))
    assert [words.split(":")[0] for words in troubles] == [
        f"--track {name} was given up (no trackers in {tmp_path.name})" for name in ("mlflow", "tensorboard")
    ]


def test_trackers_join_no_processes_of_whatever_launched_this_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(PartialState, "_shared_state", {})
    monkeypatch.setenv("PMI_SIZE", "2")
    monkeypatch.setenv("PMI_RANK", "1")
    assert told(tmp_path, range(4), ("tensorboard",)) == []
    assert len(tensorboard_scalars(tmp_path / "tensorboard" / "lamps-news" / TITLE, "test_loss")) == 4
    assert (os.environ["PMI_SIZE"], os.environ["PMI_RANK"]) == ("2", "1")


def test_no_tracker_writes_nothing(tmp_path: Path) -> None:
    assert told(tmp_path, range(4), ()) == []
    assert list(tmp_path.iterdir()) == []


def test_a_tracker_nobody_knows_is_refused() -> None:
    with pytest.raises(BadInput, match="--track must be of tensorboard, mlflow, wandb, not comet"):
        parse_trackers("mlflow,comet")


def test_a_tracker_without_its_package_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(PACKAGES, "wandb", "no_such_package")
    with pytest.raises(BadInput, match=r"pip install 'lamps\[wandb\]'"):
        parse_trackers("wandb")

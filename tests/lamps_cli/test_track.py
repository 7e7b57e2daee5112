"""`--track`: a search's and a campaign's curves in real trackers, across a resume."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from lamps_core.curves.reader import read_curves
from tests.campaigns import campaign_arguments, write_datasets
from tests.lamps_command import lamps, search_arguments
from tests.tracker_records import (
    in_single_precision,
    mlflow_client,
    mlflow_runs,
    tensorboard_scalars,
    wandb_rows,
)

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.slow
TRACK = ("--track", "tensorboard,mlflow,wandb")


@pytest.fixture(autouse=True)
def _own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "home").mkdir()
    monkeypatch.setenv("HOME", str(tmp_path / "home"))


def check_trackers(trackers: Path, curves: Path) -> None:
    """Every row of the curves is in every tracker, once."""
    losses: dict[tuple[str, str], list[tuple[int, float]]] = {}
    for row in read_curves(curves).to_pylist():
        losses.setdefault((row["dataset"], row["model"]), []).append((row["step"], row["test_loss"]))
    for (dataset, model), curve in losses.items():
        run = mlflow_runs(trackers, f"lamps-{dataset}")[model]
        history = mlflow_client(trackers).get_metric_history(run.info.run_id, "test_loss")
        assert [(one.step, one.value) for one in history] == curve
        folder = trackers / "tensorboard" / f"lamps-{dataset}" / model.replace("/", "--")
        assert tensorboard_scalars(folder, "test_loss") == in_single_precision(curve)
        rows = wandb_rows(trackers, model, f"lamps-{dataset}")
        assert [(one["_step"], one["test_loss"]) for one in rows] == curve


def test_a_search_and_its_resume_tell_every_row_once(
    topics_csv: Path, tmp_path: Path, prefect_url: str
) -> None:
    budgets: tuple[list[str], ...] = (["--budget", "3steps"], [])
    for budget in budgets:
        done = lamps(
            *search_arguments(topics_csv, "out", *TRACK, *budget, "--json"),
            cwd=tmp_path,
            prefect_url=prefect_url,
        )
        assert done.returncode == 0, done.stderr
        assert [note for note in json.loads(done.stdout)["notices"] if "track" in note] == []
    check_trackers(tmp_path / "out" / "trackers", tmp_path / "out" / "curves")
    # Nothing but the search and Prefect's folder: the trackers' libraries would write to the home and here.
    assert {path.name for path in tmp_path.iterdir()} == {"out", "home", "prefect-home"}
    written = [path for path in (tmp_path / "home").rglob("*") if path.is_file()]
    assert [path for path in written if "mlflow" in str(path) or "wandb" in str(path)] == []


def test_a_campaign_tells_every_row_once(tmp_path: Path, prefect_url: str) -> None:
    datasets = write_datasets(tmp_path, ("first", "second"))
    models = "zoo/bert-tiny,zoo/gpt2-tiny"
    for _ in range(2):
        done = lamps(
            *campaign_arguments(datasets, models, tmp_path / "curves", *TRACK),
            cwd=tmp_path,
            prefect_url=prefect_url,
        )
        assert done.returncode == 0, done.stderr
        assert "--track" not in done.stdout
    check_trackers(tmp_path / "curves" / ".lamps" / "trackers", tmp_path / "curves")

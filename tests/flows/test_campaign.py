"""The campaign flow on a real Prefect server."""

from __future__ import annotations

import os
import signal
import threading
from typing import TYPE_CHECKING, Any

import pytest

from flows.campaign import campaign, outcome_table
from lamps_core.errors import BadInput, LampsError
from lamps_core.progress import CampaignProgress, listener
from lamps_core.workers import execution
from tests.campaigns import STEPS_EACH, facts, key_of, rows_of, write_datasets
from tests.flow_records import recorded
from tests.searches import (
    BETTER,
    MODELS,
    TINY,
    eventually,
    foreign_model,
    nan_model,
    workers_of,
)

if TYPE_CHECKING:
    from pathlib import Path


HELD_SECONDS = 5.0  # in which a step is sent to a free worker

pytestmark = pytest.mark.usefixtures("on_the_server")


@pytest.fixture(scope="module")
def datasets(tmp_path_factory: pytest.TempPathFactory) -> str:
    return write_datasets(tmp_path_factory.mktemp("data"))


def parameters(datasets: str, curves: Path, **changes: Any) -> dict[str, Any]:
    quick = {"models": MODELS, "landmarks": 2, "max_epochs": 2, "input_col": "phrase", "target_col": "topic"}
    return {"datasets": datasets, "curves": str(curves)} | quick | changes


@pytest.fixture(scope="module")
def whole(datasets: str, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A campaign that nothing happened to: its state, and its curves."""
    curves = tmp_path_factory.mktemp("whole") / "curves"
    return campaign(**parameters(datasets, curves), return_state=True), curves


def test_a_campaign_is_a_completed_run_with_a_named_task_a_step_and_its_outcome_as_an_artifact(
    whole: Any,
) -> None:
    state, curves = whole
    record = recorded(state.state_details.flow_run_id, tasks=4 * STEPS_EACH)
    assert record.state.is_completed()
    assert record.name == f"campaign {curves}"
    assert set(record.tasks) == {
        f"{model} step {step} on {dataset}"
        for model in (TINY, BETTER)
        for dataset in ("first", "second")
        for step in range(STEPS_EACH)
    }
    assert {run.run_count for run in record.tasks.values()} == {1}
    assert all(run.state is not None and run.state.is_completed() for run in record.tasks.values())
    artifacts = {artifact.type: artifact for artifact in record.artifacts}
    assert set(artifacts) == {"markdown", "progress"}
    assert artifacts["markdown"].key == "lamps-campaign"
    assert artifacts["markdown"].data == outcome_table(state.result())
    assert artifacts["progress"].data == 100.0


def test_the_result_says_what_was_asked_done_and_spent(whole: Any) -> None:
    state, curves = whole
    result = state.result()
    rows = rows_of(curves)
    assert (result["curves"], result["datasets"]) == (str(curves), ["first", "second"])
    assert result["models"] == MODELS.split(",")
    assert (result["pairs"], result["complete"], result["failed"]) == (4, 4, [])
    assert result["steps"] == len(rows) == 4 * STEPS_EACH
    assert result["spent_seconds"] == pytest.approx(sum(row["step_seconds"] for row in rows))
    assert result["report"].endswith("report.html")


def test_a_killed_worker_is_retried_and_the_curves_are_as_if_it_had_lived(
    datasets: str, tmp_path: Path, whole: Any
) -> None:
    killed: list[int] = []

    def kill_once(told: CampaignProgress) -> None:
        """Once two steps are told, the only worker: it is held until the third has been sent to it."""
        if told.steps_done == 2 and not killed:
            (worker,) = eventually(lambda: workers_of(os.getpid()), what="a worker")
            killed.append(worker.pid)
            os.kill(worker.pid, signal.SIGSTOP)
            threading.Timer(HELD_SECONDS, os.kill, (worker.pid, signal.SIGKILL)).start()

    token = listener.set(kill_once)
    try:
        asked = parameters(datasets, tmp_path / "curves", parallel=1)
        state = campaign(**asked, return_state=True)
    finally:
        listener.reset(token)
    assert len(killed) == 1
    assert facts(tmp_path / "curves") == facts(whole[1])
    record = recorded(state.state_details.flow_run_id, tasks=4 * STEPS_EACH)
    assert record.state.is_completed()
    assert sorted(run.run_count for run in record.tasks.values()) == [1] * (4 * STEPS_EACH - 1) + [2]


def test_what_can_never_work_is_not_retried_and_stays_as_a_failed_row(datasets: str, tmp_path: Path) -> None:
    first = datasets.split(",", maxsplit=1)[0]
    models = f"{foreign_model(tmp_path / 'broken')},{nan_model(tmp_path / 'poisoned')},{TINY}"
    state = campaign(**parameters(first, tmp_path / "curves", models=models), return_state=True)
    record = recorded(state.state_details.flow_run_id, tasks=2 + STEPS_EACH)
    assert record.state.is_completed()
    for model in ("broken", "poisoned"):
        run = record.tasks[f"{model} step 0 on first"]
        assert run.state is not None
        assert run.state.is_failed()
        assert run.run_count == 1
    rows = {row["model"]: row for row in rows_of(tmp_path / "curves") if row["status"] == "failed"}
    assert "cannot be loaded" in rows["broken"]["error"]
    assert "evaluation loss is nan" in rows["poisoned"]["error"]
    told = {row["model"]: row["error"] for row in state.result()["failed"]}
    assert told == {model: row["error"] for model, row in rows.items()}
    table = {artifact.type: artifact.data for artifact in record.artifacts}["markdown"]
    assert "1 of 3 curves complete, 2 failed" in table


def test_a_campaign_of_which_every_pair_fails_is_a_failed_run_that_says_why(
    datasets: str, tmp_path: Path
) -> None:
    asked = parameters(datasets, tmp_path / "curves", models=str(foreign_model(tmp_path / "broken")))
    with pytest.raises(LampsError, match=r"every pair failed; the first: .*cannot be loaded"):
        campaign(**asked)


def test_run_again_it_runs_nothing_starts_no_process_and_leaves_every_row(
    whole: Any, datasets: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = rows_of(whole[1])
    started: list[str] = []
    monkeypatch.setattr(execution, "start_fork_server", lambda: started.append("for a step"))
    result = campaign(**parameters(datasets, whole[1]))
    assert (result["steps"], result["complete"]) == (0, 4)
    assert [key_of(row) for row in rows_of(whole[1])] == [key_of(row) for row in before]
    assert rows_of(whole[1]) == before
    assert not started


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"engine": "dask"}, "needs the scheduler's address"),
        ({"scheduler": "tcp://127.0.0.1:1"}, "--scheduler is of --engine dask"),
        ({"parallel": 0}, "--parallel must be at least 1"),
        ({"target_col": "nosuch"}, "nosuch"),
        ({"hub_token_block": "nosuch"}, "there is no Prefect Secret block nosuch"),
    ],
)
def test_bad_parameters_are_refused_before_anything_is_made(
    datasets: str, tmp_path: Path, change: dict[str, Any], said: str
) -> None:
    with pytest.raises(BadInput, match=said):
        campaign(**parameters(datasets, tmp_path / "curves", **change))
    assert not (tmp_path / "curves").exists()

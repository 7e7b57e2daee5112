"""The tasks as plain functions, and what Prefect is told to try again."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from prefect.client.schemas.objects import TaskRun
from prefect.states import Failed

from lamps_core.errors import (
    BadInput,
    BudgetSpent,
    CandidateFailed,
    HubFailed,
    Interrupted,
    LampsError,
    WorkerDied,
)
from lamps_core.search import Outcome
from lamps_core.search_run import SearchRun
from tasks.landmark_step import RETRIES, export_model, fine_tune_step, worth_another_try
from tests.searches import STEPS_EACH, TINY, quick_request, truncated_model

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    ("error", "again"),
    [
        (WorkerDied("killed by SIGKILL"), True),
        (HubFailed("the hub answered 503"), True),
        (OSError("Input/output error"), True),
        (RuntimeError("anything else"), True),
        (CandidateFailed("cannot be loaded"), False),
        (BudgetSpent("the budget ran out"), False),
        (Interrupted("the run is being shut down"), False),
        (BadInput("no such column"), False),
        (LampsError("anything of ours"), False),
    ],
)
def test_only_what_may_go_well_the_next_time_is_tried_again(error: Exception, again: bool) -> None:
    task_run = TaskRun.model_construct()
    assert worth_another_try(fine_tune_step, task_run, Failed(data=error)) is again


@pytest.mark.parametrize("task", [fine_tune_step, export_model])
def test_a_task_is_retried_with_growing_delays_and_never_answered_from_a_cache(task: object) -> None:
    assert getattr(task, "retries", None) == RETRIES == 2
    assert getattr(task, "retry_delay_seconds", None) == [1, 2]
    assert getattr(task, "retry_condition_fn", None) is worth_another_try
    assert getattr(task, "persist_result", None) is False


def test_the_tasks_run_on_the_execution_of_their_folder(topics_csv: Path, tmp_path: Path) -> None:
    request = quick_request(topics_csv, tmp_path / "out", models=TINY)
    with SearchRun(request) as run:
        while (started := run.ask()) is not None:
            action, asked = started
            record = fine_tune_step.fn(asked)
            assert (record["model"], record["step"]) == (action.candidate, action.step)
            run.tell(Outcome(kind="step", candidate=TINY, step=action.step, seconds=1.0, record=record))
        assert run.search.steps == STEPS_EACH
        (export,) = run.exports()
        assert export_model.fn(export) == {}  # there is no test split kept for the end
        assert (request.out / "models" / "zoo--bert-tiny" / "model.safetensors").is_file()


def test_the_tasks_raise_what_the_worker_said(topics_csv: Path, tmp_path: Path) -> None:
    models = f"{truncated_model(tmp_path / 'broken')}"
    with SearchRun(quick_request(topics_csv, tmp_path / "out", models=models)) as run:
        started = run.ask()
        assert started is not None
        with pytest.raises(CandidateFailed, match="cannot be loaded"):
            fine_tune_step.fn(started[1])

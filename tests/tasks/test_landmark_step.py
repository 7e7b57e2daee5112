"""The tasks as plain functions, and what Prefect is told to try again."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from lamps_core.errors import CandidateFailed
from lamps_core.search.algorithm import Outcome
from lamps_core.search.run import SearchRun
from tasks.landmark_step import export_model, fine_tune_step
from tasks.retries import worth_another_try
from tests.searches import STEPS_EACH, TINY, foreign_model, quick_request

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("one", [fine_tune_step, export_model])
def test_a_task_outlasts_a_minute_without_the_hub_and_is_never_answered_from_a_cache(one: object) -> None:
    delays = getattr(one, "retry_delay_seconds", [])
    assert delays[:2] == [1, 2]
    assert sum(delays) > 60
    assert max(delays) <= 10  # what Ctrl-C may have to wait for
    assert getattr(one, "retry_condition_fn", None) is worth_another_try
    assert getattr(one, "persist_result", None) is False


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
    models = f"{foreign_model(tmp_path / 'broken')}"
    with SearchRun(quick_request(topics_csv, tmp_path / "out", models=models)) as run:
        started = run.ask()
        assert started is not None
        with pytest.raises(CandidateFailed, match="cannot be loaded"):
            fine_tune_step.fn(started[1])

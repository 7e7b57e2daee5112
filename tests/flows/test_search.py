"""The search flow on a real Prefect server."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING, Any

import pytest

from flows.form import defaults_of, filled_in
from flows.search import outcome_table, search, search_request
from lamps_core.errors import BadInput, HostFailed, LampsError
from lamps_core.progress import SearchProgress, listener
from tests.flow_records import recorded
from tests.searches import (
    BETTER,
    MODELS,
    OBJECTIVES,
    STEPS_EACH,
    TINY,
    eventually,
    forecasting_policy,
    foreign_model,
    journal_events,
    nan_model,
    quick_request,
    run_to_the_end,
    steps_on_record,
    without_times,
    workers_of,
)

if TYPE_CHECKING:
    from pathlib import Path


pytestmark = pytest.mark.usefixtures("on_the_server")
ENDED: dict[str, Any] = {
    "objectives": ["test_loss"],
    "failed": [],
    "notices": ["80 rows"],
    "steps": 3,
    "spent_seconds": 5.0,
}


def parameters(csv: Path, out: Path, **changes: Any) -> dict[str, Any]:
    quick = {
        "models": MODELS,
        "objectives": OBJECTIVES,
        "landmarks": 2,
        "max_epochs": 2,
        "policy": "cheapest",
    }
    return (
        {"dataset": str(csv), "input_col": "phrase", "target_col": "topic", "out": str(out)} | quick | changes
    )


@pytest.fixture(scope="module")
def plain(topics_csv: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The same search without Prefect."""
    return run_to_the_end(quick_request(topics_csv, tmp_path_factory.mktemp("plain") / "out"))


def test_a_search_is_a_completed_flow_run_with_a_named_task_a_step_and_its_front_as_an_artifact(
    topics_csv: Path, tmp_path: Path, plain: dict[str, Any]
) -> None:
    state = search(**parameters(topics_csv, tmp_path / "out"), return_state=True)
    assert without_times(state.result()) == without_times(plain)
    record = recorded(state.state_details.flow_run_id, tasks=2 * STEPS_EACH + 2)
    assert record.state.is_completed()
    assert record.name == f"search {topics_csv} by cheapest"
    steps = {f"{model} step {step} on topics" for model in (TINY, BETTER) for step in range(STEPS_EACH)}
    assert set(record.tasks) == steps | {f"export {TINY}", f"export {BETTER}"}
    assert all(run.state is not None and run.state.is_completed() for run in record.tasks.values())
    assert {run.run_count for run in record.tasks.values()} == {1}
    artifacts = {artifact.type: artifact for artifact in record.artifacts}
    assert set(artifacts) == {"markdown", "progress"}
    assert artifacts["markdown"].key == "lamps-front"
    assert artifacts["markdown"].data == outcome_table(state.result())
    assert artifacts["progress"].data == 100.0


def test_candidates_whose_workers_died_are_tried_again_by_the_next_run(
    topics_csv: Path, tmp_path: Path
) -> None:
    short = parameters(topics_csv, tmp_path / "out", models=TINY, step_timeout=1e-3)
    with pytest.raises(LampsError, match="every candidate failed"):
        search(**short)
    result = search(**parameters(topics_csv, tmp_path / "out", models=TINY))
    assert result["failed"] == []
    assert [row["model"] for row in result["front"]] == [TINY]


def test_a_killed_worker_is_retried_and_the_result_is_as_if_it_had_lived(
    topics_csv: Path, tmp_path: Path, plain: dict[str, Any]
) -> None:
    killed: list[int] = []

    def kill_once(told: SearchProgress) -> None:
        trains = [step for step in told.running if (step.step, step.phase) == (2, "train")]
        if trains and not killed:
            (worker,) = eventually(lambda: workers_of(os.getpid()), what="the worker")
            killed.append(worker.pid)
            os.kill(worker.pid, signal.SIGKILL)

    token = listener.set(kill_once)
    try:
        state = search(**parameters(topics_csv, tmp_path / "out"), return_state=True)
    finally:
        listener.reset(token)
    assert len(killed) == 1
    result = state.result()
    assert without_times(result) == without_times(plain)
    told = sum(event["seconds"] for event in journal_events(tmp_path / "out"))
    assert result["spent_seconds"] == pytest.approx(told)
    assert result["lost_seconds"] > 1e-3 > plain["lost_seconds"]  # what the dead attempt took
    record = recorded(state.state_details.flow_run_id, tasks=2 * STEPS_EACH + 2)
    assert record.state.is_completed()
    counts = {name: run.run_count for name, run in record.tasks.items()}
    assert counts.pop(f"{TINY} step 2 on topics") == 2
    assert set(counts.values()) == {1}
    assert (
        len(set(steps_on_record(tmp_path / "out")))
        == len(steps_on_record(tmp_path / "out"))
        == 2 * STEPS_EACH
    )


def test_a_candidate_that_can_never_work_is_not_retried_and_the_search_completes(
    topics_csv: Path, tmp_path: Path
) -> None:
    models = f"{foreign_model(tmp_path / 'broken')},{nan_model(tmp_path / 'poisoned')},{TINY}"
    state = search(**parameters(topics_csv, tmp_path / "out", models=models), return_state=True)
    assert {row["model"] for row in state.result()["failed"]} == {"broken", "poisoned"}
    record = recorded(state.state_details.flow_run_id, tasks=2 + STEPS_EACH + 1)
    assert record.state.is_completed()
    for name in ("broken step 0 on topics", "poisoned step 0 on topics"):
        run = record.tasks[name]
        assert run.state is not None
        assert run.state.is_failed()
        assert run.run_count == 1
    assert f"export {TINY}" in record.tasks


def test_a_step_cut_by_the_budget_is_not_retried(topics_csv: Path, tmp_path: Path) -> None:
    asked = parameters(topics_csv, tmp_path / "out", models=TINY, budget="0.01s")
    state = search(**asked, return_state=True)
    assert state.result()["steps"] == 0
    record = recorded(state.state_details.flow_run_id, tasks=1)
    assert record.state.is_completed()
    assert record.tasks[f"{TINY} step 0 on topics"].run_count == 1


def test_a_search_in_which_every_candidate_fails_is_a_failed_run_that_says_why(
    topics_csv: Path, tmp_path: Path
) -> None:
    models = str(foreign_model(tmp_path / "broken"))
    with pytest.raises(LampsError, match=r"every candidate failed; the first: .*cannot be loaded"):
        search(**parameters(topics_csv, tmp_path / "out", models=models))
    assert (tmp_path / "out" / "result.json").is_file()


@pytest.mark.usefixtures("unkillable")
def test_a_search_whose_only_device_is_held_by_an_unkillable_worker_ends_and_says_so(
    topics_csv: Path, tmp_path: Path
) -> None:
    with pytest.raises(
        HostFailed, match=r"process \d+ of .* cannot be killed.* until that host is restarted"
    ):
        search(**parameters(topics_csv, tmp_path / "out", step_timeout=0.01))
    assert journal_events(tmp_path / "out") == []  # no candidate failed of it


def test_two_steps_at_once_give_the_same_front(
    topics_csv: Path, tmp_path: Path, plain: dict[str, Any]
) -> None:
    result = search(**parameters(topics_csv, tmp_path / "out", parallel=2))
    assert result["parallel"] == 2
    for part in ("front", "candidates", "hypervolume", "steps"):
        assert without_times(result[part]) == without_times(plain[part])


def test_a_flow_resumes_what_a_budget_ended(topics_csv: Path, tmp_path: Path, plain: dict[str, Any]) -> None:
    search(**parameters(topics_csv, tmp_path / "out", budget="3steps"))
    result = search(**parameters(topics_csv, tmp_path / "out"))
    assert without_times(result) == without_times(plain)
    assert len(steps_on_record(tmp_path / "out")) == 2 * STEPS_EACH


def test_a_flow_stops_by_itself_and_its_progress_says_what_is_still_to_be_won(
    topics_csv: Path, tmp_path: Path
) -> None:
    policy = str(forecasting_policy(tmp_path))
    asked = {"policy": policy, "budget": "auto", "stop_below": "100000000%/h", "parallel": 1}
    state = search(**parameters(topics_csv, tmp_path / "out", **asked), return_state=True)
    result = state.result()
    assert result["stopped"].startswith("less than")
    assert any(row["complete"] for row in result["candidates"])
    record = recorded(state.state_details.flow_run_id, tasks=result["steps"] + len(result["front"]))
    (progress,) = (artifact for artifact in record.artifacts if artifact.type == "progress")
    assert progress.description.startswith("budget of topics; expected: ")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"budget": "soon"}, "budget 'soon' is not understood"),
        ({"stop_below": "soon"}, "--stop-below 'soon' is not understood"),
        ({"bounds": "train_seconds"}, "bound 'train_seconds' is not understood"),
        ({"objectives": "speed"}, "'speed' cannot be an objective"),
        ({"landmarks": 0}, "--landmarks must be at least 1"),
    ],
)
def test_bad_parameters_are_refused_before_anything_is_made(
    topics_csv: Path, tmp_path: Path, change: dict[str, Any], said: str
) -> None:
    with pytest.raises(BadInput, match=said):
        search_request(**parameters(topics_csv, tmp_path / "out", **change))
    assert not (tmp_path / "out").exists()


def test_a_cleared_field_of_the_form_means_what_it_does_left_out(topics_csv: Path, tmp_path: Path) -> None:
    given = {"dataset": str(topics_csv), "input_col": "phrase", "target_col": "topic", "out": str(tmp_path)}
    texts = [name for name, value in defaults_of(search).items() if value is None or isinstance(value, str)]
    request = search_request(**filled_in(search, given | dict.fromkeys(texts, "")))
    assert request == search_request(**given)
    assert request.budget.text == "unlimited"
    assert [objective.column for objective in request.objectives] == ["test_loss", "train_seconds"]
    assert (request.models, request.policy, request.settings.landmarks) == ("zoo", "universal", 8)


def test_a_name_with_a_bar_in_it_cannot_break_the_table() -> None:
    row = {"model": "a|b", "test_loss": 0.123456, "accuracy": None, "path": "models/a_b"}
    table = outcome_table(
        ENDED | {"front": [row], "candidates": [{"model": "a|b", "complete": True}]}
    ).splitlines()
    assert table[0] == "1 of 1 candidates complete, 0 failed; 3 steps, 5 s spent."
    assert table[2] == "| model | path | test_loss | accuracy |"
    assert table[4] == "| a\\|b | models/a_b | 0.1235 | – |"


def test_what_failed_and_why_there_is_no_front_is_said_beside_the_run() -> None:
    failed = {"model": "cut", "step": 0, "error": "cannot be loaded"}
    rows = [{"model": "cut", "complete": False}, {"model": "b", "complete": False}]
    told = outcome_table(ENDED | {"front": [], "candidates": rows, "failed": [failed]})
    assert "0 of 2 candidates complete, 1 failed" in told
    assert "No candidate is complete yet: run again with a larger --budget to go on." in told
    assert "| cut | 0 | cannot be loaded |" in told

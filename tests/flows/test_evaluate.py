"""The evaluation flow on a real Prefect server."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING, Any

import psutil
import pytest

from flows.evaluate import evaluate, summary_table
from lamps_core.errors import BadInput
from lamps_core.progress import EvaluationProgress, listener
from tests.flow_records import recorded
from tests.meta_datasets import family_rows, write_meta_dataset

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.usefixtures("on_the_server")
METHODS = ("cheapest", "blind", "oracle")
DATASETS = ("dataset-0", "dataset-1")


@pytest.fixture(scope="module")
def curves(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_meta_dataset(tmp_path_factory.mktemp("curves"), family_rows(len(DATASETS), 8))


def test_an_evaluation_is_a_completed_run_with_a_task_a_method_and_fold_and_a_killed_process_is_retried(
    curves: Path, tmp_path: Path
) -> None:
    killed: list[int] = []

    def kill_once(told: EvaluationProgress) -> None:
        # After the first unit, the one process there is waits for its next: that one finds it dead.
        if told.done == 1 and not killed:
            ours = psutil.Process(os.getpid()).children()
            (child,) = [each for each in ours if "spawn_main" in " ".join(each.cmdline())]
            killed.append(child.pid)
            child.send_signal(signal.SIGKILL)
            child.wait()

    parameters: dict[str, Any] = {"methods": "cheapest,blind", "repeats": 2, "parallel": 1}
    token = listener.set(kill_once)
    try:
        state = evaluate(str(curves), str(tmp_path / "out"), **parameters, return_state=True)
    finally:
        listener.reset(token)
    result = state.result()
    assert len(killed) == 1
    assert len(result["folds"]) == 2 * 2 * len(DATASETS)
    record = recorded(state.state_details.flow_run_id, tasks=len(METHODS) * len(DATASETS))
    assert record.state.is_completed()
    assert record.name == f"evaluate {curves}"
    assert set(record.tasks) == {f"{method} on {dataset}" for method in METHODS for dataset in DATASETS}
    assert sorted(run.run_count for run in record.tasks.values()) == [1] * 5 + [2]
    artifacts = {artifact.type: artifact for artifact in record.artifacts}
    assert artifacts["markdown"].data == summary_table(result)
    assert artifacts["progress"].data == 100.0
    again = evaluate(str(curves), str(tmp_path / "out"), **parameters, return_state=True)
    assert again.result() == result
    assert recorded(again.state_details.flow_run_id, tasks=0).tasks == {}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"methods": "cheepest"}, "did you mean cheapest"),
        ({"bounds": "train_seconds"}, "bound 'train_seconds' is not understood"),
        ({"out": " "}, "--out names no folder"),
        ({"curves": ""}, "--curves names no folder"),
        ({"train_seconds": 0.0}, "--train-seconds must be more than zero"),
        ({"train_steps": 0}, "--train-steps must be at least 1"),
        ({"seed": -1}, "--seed must be between 0"),
    ],
)
def test_bad_parameters_are_refused_before_anything_is_made(
    curves: Path, tmp_path: Path, change: dict[str, Any], said: str
) -> None:
    given = {"curves": str(curves), "out": str(tmp_path / "out")} | change
    with pytest.raises(BadInput, match=said):
        evaluate(**given)
    assert list(tmp_path.iterdir()) == []

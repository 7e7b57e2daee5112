"""The evaluation flow on a real Prefect server."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING, Any

import psutil
import pytest

from flows.evaluate import evaluate, evaluation_request, summary_table
from flows.search import search_request
from flows.train_policy import training_request
from lamps_core.errors import BadInput
from lamps_core.evaluation.run import EvaluationRun
from lamps_core.meta_dataset import read_tasks
from lamps_core.objectives import parse_objectives
from lamps_core.policy_file import write_policy
from lamps_core.policy_training.train import Training
from lamps_core.policy_training.training_run import TrainingRun
from lamps_core.progress import EvaluationProgress, listener
from tests.flow_records import recorded
from tests.meta_datasets import family_rows, with_energy, write_file, write_meta_dataset
from tests.static_order import train

if TYPE_CHECKING:
    from pathlib import Path

METHODS = ("cheapest", "blind", "oracle")
DATASETS = ("dataset-0", "dataset-1")


@pytest.fixture(scope="module")
def curves(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_meta_dataset(tmp_path_factory.mktemp("curves"), family_rows(len(DATASETS), 8))


@pytest.mark.usefixtures("on_the_server")
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


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with curves and with what is none."""
    folder = tmp_path_factory.mktemp("here")
    write_meta_dataset(folder / "single", family_rows(1, 5))
    (folder / "empty").mkdir()
    (folder / "file").touch()
    few = read_tasks(write_meta_dataset(folder / "few", family_rows(2, 6)), parse_objectives())
    write_policy(folder / "few.zip", train(few, seed=0, run=TrainingRun()))
    return folder


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"methods": "blind,cheepest"}, "--methods cheepest: no such method; did you mean cheapest"),
        ({"curves": ""}, "--curves names no place"),
        ({"curves": "{here}/nowhere"}, "nowhere"),
        ({"curves": "{here}/empty"}, "empty"),
        ({"curves": "s3://bucket/curves"}, "copy the curves here first"),
        ({"policies": "{here}/nowhere.zip"}, "nowhere.zip: there is no such policy"),
        ({"policies": "{here}/few.zip"}, "few.zip: does not know the candidate candidate-06"),
        (
            {"policies": "{here}/few.zip", "objectives": "test_loss"},
            "is for the objectives test_loss,train_sec",
        ),
        ({"repeats": 0}, "--repeats must be at least 1, not 0"),
        ({"objectives": "speed"}, "'speed' cannot be an objective"),
        ({"objectives": "accuracy"}, "accuracy is null in a complete row"),
        ({"bounds": "train_seconds"}, "bound 'train_seconds' is not understood"),
        ({"gpu_hour_price": 0.0}, "price of a GPU hour must be more than zero"),
        ({"parallel": 0}, "--parallel must be at least 1, not 0"),
        ({"train_seconds": 0.0}, "--train-seconds must be more than zero"),
        ({"train_steps": 0}, "--train-steps must be at least 1"),
        ({"train_steps": 9}, "--train-steps is for distral, ppo, none of which is compared"),
        (
            {"train_seconds": 9.0, "methods": "cheapest"},
            "--train-seconds is for forecast, distral, ppo, none of which",
        ),
        ({"seed": -1}, "--seed must be between 0"),
        ({"out": " "}, "--out names no place"),
        ({"out": "{here}/file"}, "is a file: name a folder"),
        ({"out": "{here}/file/below"}, "cannot be written: .*file is a file"),
        ({"out": "{here}/few"}, "is not empty and holds no evaluation"),
        ({"curves": "{here}/single", "methods": "portfolio"}, "--methods portfolio: it learns from other"),
    ],
)
def test_bad_parameters_are_refused_before_anything_is_made(
    curves: Path, here: Path, tmp_path: Path, change: dict[str, Any], says: str
) -> None:
    given = {"curves": str(curves), "out": str(tmp_path / "out")} | change
    given = {k: v.format(here=here) if isinstance(v, str) else v for k, v in given.items()}
    with pytest.raises(BadInput, match=says):
        EvaluationRun(evaluation_request(**given))
    assert list(tmp_path.iterdir()) == []


def test_what_the_curves_alone_know_is_an_objective_of_theirs_and_of_no_search(tmp_path: Path) -> None:
    curves = write_file(tmp_path / "curves.parquet", with_energy(family_rows(2, 5)))
    given = {"curves": str(curves), "objectives": "test_loss,energy_joules", "bounds": "energy_joules=1e9"}
    run = EvaluationRun(evaluation_request(out=str(tmp_path / "out"), **given))
    training = Training(training_request(out=str(tmp_path / "policy.zip"), **given))
    for tasks in (run.tasks, training.tasks):
        assert [one.identity for one in tasks[0].objectives] == [["test_loss", None], ["energy_joules", 1e9]]
    with pytest.raises(BadInput, match="'energy_joules' cannot be an objective: choose from test_loss"):
        search_request(dataset="d", input_col="a", target_col="b", out="out", objectives="energy_joules")

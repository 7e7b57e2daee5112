"""Steps that are spread over two devices, through the engines that a campaign runs on."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest
from prefect import flow
from prefect.settings import PREFECT_API_URL, temporary_settings

from flows.engines import DaskEngine, LocalEngine
from lamps_core.campaign.step import StepDestination
from lamps_core.fine_tuning.steps import StepRequest
from lamps_core.settings import FineTuningSettings
from lamps_core.text.dataset import DatasetRequest, load_text_dataset
from lamps_core.text.prepared_data import save_prepared
from tests.campaigns import rows_of
from tests.dask_cluster import DaskCluster

SETTINGS = FineTuningSettings(learning_rate=1e-3, batch_size=8, landmarks=2, max_length=32)


@pytest.fixture
def wide_step(topics_csv: Path, tmp_path: Path) -> StepRequest:
    """The zero-shot step of a candidate on two devices, its data prepared."""
    asked = DatasetRequest(str(topics_csv), ("phrase",), "topic", max_train_rows=40)
    dataset = load_text_dataset(asked)
    save_prepared(dataset, tmp_path / "work" / "data")
    return StepRequest(
        name="zoo/bert-tiny",
        location="zoo/bert-tiny",
        revision=None,
        step=0,
        losses=(),
        settings=dataclasses.asdict(SETTINGS),
        work_folder=str(tmp_path / "work"),
        dataset="topics",
        dataset_fingerprint=dataset.fingerprint,
        run_id=str(tmp_path / "curves"),
        gpus=2,
    )


@flow(name="two steps")
def two_steps(asked: dict[str, Any], scheduler: str | None) -> list[dict[str, Any]]:
    """Two consecutive steps, and beside the second the first of a candidate of one device."""
    step = StepRequest(**{**asked, "losses": ()})
    destination = StepDestination(curves=step.run_id)
    with DaskEngine(scheduler) if scheduler else LocalEngine(step.run_id, parallel=2) as engine:
        assert engine.slots() == 2
        zero = engine.submit(step, destination).result()
        engine.note_worker(step, zero)
        after = dataclasses.replace(step, step=1, losses=(zero["test_loss"],))
        beside = dataclasses.replace(step, name="zoo/gpt2-tiny", location="zoo/gpt2-tiny", gpus=1)
        futures = [engine.submit(request, destination) for request in (after, beside)]
        return [zero, *(future.result() for future in futures)]


def run_two_steps(step: StepRequest, prefect_url: str, scheduler: str | None = None) -> list[dict[str, Any]]:
    with temporary_settings({PREFECT_API_URL: prefect_url}):
        return two_steps(dataclasses.asdict(step), scheduler)


def assert_kept(records: list[dict[str, Any]], step: StepRequest) -> None:
    assert [(record["model"], record["step"]) for record in records] == [
        ("zoo/bert-tiny", 0),
        ("zoo/bert-tiny", 1),
        ("zoo/gpt2-tiny", 0),
    ]
    assert [record["device"].startswith("2 x cpu") for record in records] == [True, True, False]
    kept = {(row["model"], row["step"]): row["test_loss"] for row in rows_of(Path(step.run_id))}
    assert kept == {(record["model"], record["step"]): record["test_loss"] for record in records}


def test_a_step_of_two_slots_runs_on_this_machine(wide_step: StepRequest, prefect_url: str) -> None:
    assert_kept(run_two_steps(wide_step, prefect_url), wide_step)


@pytest.mark.slow
def test_a_step_of_two_slots_runs_on_a_dask_worker_that_has_two(
    wide_step: StepRequest, prefect_url: str, tmp_path: Path
) -> None:
    with DaskCluster(tmp_path / "cluster", workers=1, gpus=2, scratch=False) as cluster:
        cluster.ready()
        records = run_two_steps(wide_step, prefect_url, cluster.address)
    assert_kept(records, wide_step)
    assert len({record["worker"] for record in records}) == 1

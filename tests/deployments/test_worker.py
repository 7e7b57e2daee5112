"""Runs that a process worker starts: their end, their refusal, and what is left when somebody cancels them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.campaigns import STEPS_EACH, facts, rows_of, write_datasets
from tests.lamps_command import wait_for_end
from tests.prefect_site import PrefectSite, flow_processes
from tests.searches import MODELS, TINY, eventually, workers_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def site(prefect_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrefectSite]:
    with PrefectSite(prefect_url, tmp_path_factory.mktemp("site")) as site:
        site.start_worker()
        yield site


def submitted(site: PrefectSite, name: str, **parameters: Any) -> str:
    answer = site.submit(name, **parameters)
    assert answer.status_code == 201, answer.text
    return str(answer.json()["id"])


def quick(datasets: str, curves: Path, **changes: Any) -> dict[str, Any]:
    asked = {"datasets": datasets, "models": MODELS, "curves": str(curves), "landmarks": 2, "max_epochs": 2}
    return asked | {"input_col": "phrase", "target_col": "topic"} | changes


def test_a_campaign_and_a_fingerprint_end_completed(site: PrefectSite, tmp_path: Path) -> None:
    datasets, curves = write_datasets(tmp_path), tmp_path / "curves"
    run = site.wait_for(submitted(site, "campaign", **quick(datasets, curves)), "COMPLETED")
    assert run["name"] == f"campaign {curves}"
    assert len(rows_of(curves)) == 4 * STEPS_EACH
    more = submitted(site, "fingerprint", model="zoo/albert-tiny", curves=str(curves))
    site.wait_for(more, "COMPLETED")
    assert len(rows_of(curves)) == 6 * STEPS_EACH


def test_input_that_only_the_flow_can_judge_is_a_failed_run_with_one_line(
    site: PrefectSite, tmp_path: Path
) -> None:
    asked = quick(write_datasets(tmp_path), tmp_path / "curves", target_col="nosuch")
    run = site.wait_for(submitted(site, "campaign", **asked), "FAILED")
    assert run["run_count"] == 1
    message = run["state"]["message"]
    assert "BadInput: " in message
    assert "nosuch" in message
    assert "\n" not in message
    assert not (tmp_path / "curves").exists()


def test_a_missing_token_block_is_named(site: PrefectSite, tmp_path: Path) -> None:
    asked = quick(write_datasets(tmp_path), tmp_path / "curves", hub_token_block="nosuch-block")
    run = site.wait_for(submitted(site, "campaign", **asked), "FAILED")
    assert "there is no Prefect Secret block nosuch-block" in run["state"]["message"]


def test_a_run_goes_on_where_its_worker_alone_was_killed(site: PrefectSite, tmp_path: Path) -> None:
    datasets, curves = write_datasets(tmp_path, ("first",), rows=1500), tmp_path / "curves"
    run = submitted(site, "campaign", **quick(datasets, curves, models=TINY, landmarks=6))
    eventually(lambda: len(list(curves.rglob("step-*.parquet"))) > 1, seconds=180, what="two rows")
    worker = site.workers.pop()
    worker.kill()
    worker.wait()
    try:
        site.wait_for(run, "COMPLETED")
    finally:
        site.start_worker()
    assert rows_of(curves)[-1]["complete"]


@pytest.mark.parametrize("how", ["cancelled", "killed"])
def test_a_campaign_that_was_stopped_leaves_no_process_and_goes_on_when_run_again(
    site: PrefectSite, tmp_path: Path, how: str
) -> None:
    datasets, curves = write_datasets(tmp_path, ("first",), rows=3000), tmp_path / "curves"
    asked = quick(datasets, curves, models=TINY, landmarks=6, max_epochs=6, patience=6)
    run = submitted(site, "campaign", **asked)
    eventually(lambda: len(list(curves.rglob("step-*.parquet"))) > 1, seconds=180, what="two rows")
    (worker,) = site.workers
    processes = flow_processes(worker)
    assert workers_of(processes[0].pid)
    if how == "cancelled":
        state = {"state": {"type": "CANCELLING", "name": "Cancelling"}}
        assert site.api("POST", f"/flow_runs/{run}/set_state", state).status_code == 201
    else:
        processes[0].kill()  # the flow's own; its children have to notice
    site.wait_for(run, "CANCELLED" if how == "cancelled" else "CRASHED")
    wait_for_end(processes)
    before = rows_of(curves)
    assert not before[-1]["complete"]

    site.wait_for(submitted(site, "campaign", **asked), "COMPLETED")
    assert rows_of(curves)[: len(before)] == before
    site.wait_for(submitted(site, "campaign", **(asked | {"curves": str(tmp_path / "whole")})), "COMPLETED")
    assert facts(curves) == facts(tmp_path / "whole")

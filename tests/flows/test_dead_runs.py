"""A run whose process was killed is told of by the next run on its folder, and by no other."""

from __future__ import annotations

import json
import socket
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from prefect import flow, get_client
from prefect.states import Running

from flows.dead_runs import LABEL, crash_dead_runs
from tests.campaigns import campaign_arguments, write_datasets
from tests.lamps_command import kill_family, lamps, search_arguments, start_lamps
from tests.searches import TINY, eventually

if TYPE_CHECKING:
    from pathlib import Path

LONG = ("--landmarks", "4", "--max-epochs", "6", "--patience", "6", "--models", TINY)


def runs_of(url: str, flow: str, folder: str) -> list[dict[str, Any]]:
    """The runs that began by holding a folder, the oldest first."""
    asked = {"flows": {"name": {"any_": [flow]}}, "sort": "START_TIME_ASC"}
    found = httpx.post(f"{url}/flow_runs/filter", json=asked, timeout=30).json()
    return [run for run in found if str(run["labels"].get("lamps.folder")).endswith(f":{folder}")]


def begun(folder: Path, kind: str) -> bool:
    """Whether a step is on record."""
    if kind == "campaign":
        return bool(list(folder.rglob("step-*.parquet")))
    journal = folder / "journal.jsonl"
    return journal.exists() and any(
        json.loads(line).get("kind") == "step" for line in journal.read_text().splitlines()[1:] if line
    )


@flow(name="fingerprint", persist_result=False)
def dying(folder: str) -> None:
    """Ends nowhere in this test: its run is put on record as one that runs."""


@flow(name="campaign", persist_result=False)
def holding(folder: str) -> None:
    """Holds a folder, as far as the server is told."""
    crash_dead_runs(folder)


@pytest.mark.usefixtures("on_the_server")
def test_a_dead_run_of_another_flow_that_holds_the_same_folder_is_crashed_too(tmp_path: Path) -> None:
    with get_client(sync_client=True) as client:
        dead, elsewhere = (
            client.create_flow_run(dying, parameters={"folder": "x"}, state=Running()) for _ in range(2)
        )
        for run, folder in ((dead, tmp_path), (elsewhere, tmp_path / "elsewhere")):
            client.update_flow_run_labels(run.id, {LABEL: f"{socket.gethostname()}:{folder}"})
        holding(str(tmp_path))
        assert client.read_flow_run(dead.id).state_name == "Crashed"
        assert client.read_flow_run(elsewhere.id).state_name == "Running"


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["search", "campaign"])
def test_the_record_of_a_killed_run_is_crashed_when_it_is_run_again(
    prefect_url: str, tmp_path: Path, kind: str
) -> None:
    datasets = write_datasets(tmp_path, ("first",), rows=600)
    command = (
        search_arguments(tmp_path / "first.csv", "runs", *LONG)
        if kind == "search"
        else campaign_arguments(datasets, TINY, "runs", *LONG)
    )
    # Another run of the same relative folder, elsewhere, lives on: its record must not be touched.
    (tmp_path / "elsewhere").mkdir()
    living = start_lamps(*command, cwd=tmp_path / "elsewhere", prefect_url=prefect_url)
    killed = start_lamps(*command, cwd=tmp_path, prefect_url=prefect_url)
    try:
        eventually(lambda: begun(tmp_path / "runs", kind), seconds=120, what="a step")
        kill_family(killed.pid)
        (dead,) = runs_of(prefect_url, kind, str(tmp_path / "runs"))
        assert dead["state"]["type"] == "RUNNING"  # nobody told the server

        again = lamps(*command, cwd=tmp_path, prefect_url=prefect_url)
        assert again.returncode == 0, again.stderr
        dead, ours = runs_of(prefect_url, kind, str(tmp_path / "runs"))
        assert dead["state"]["type"] == "CRASHED"
        assert dead["state"]["message"] == "its process is gone: another run holds its folder"
        assert ours["state"]["type"] == "COMPLETED"
        (other,) = runs_of(prefect_url, kind, str(tmp_path / "elsewhere" / "runs"))
        assert other["state"]["type"] in {"RUNNING", "COMPLETED"}
    finally:
        for process in (living, killed):
            kill_family(process.pid)
            process.wait()

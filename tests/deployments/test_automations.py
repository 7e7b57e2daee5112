"""The automations, made by the script on a real server, and what they do when a machine dies."""

from __future__ import annotations

import contextlib
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import pytest
from prefect.blocks.notifications import CustomWebhookNotificationBlock
from prefect.client.orchestration import get_client
from prefect.settings import PREFECT_API_URL, PREFECT_HOME, temporary_settings

from deployments.automations import FAILURES, ZOMBIES, put, zombie_automation
from tests.campaigns import write_datasets
from tests.lamps_command import kill_family
from tests.prefect_server import WITH_UI, PrefectServer
from tests.prefect_site import PrefectSite
from tests.searches import TINY, eventually

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SILENT_SECONDS = 40.0  # Prefect sends a heartbeat in 30 seconds at most


@contextlib.contextmanager
def listening() -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """A web server, and what was posted to it."""
    heard: list[dict[str, Any]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            heard.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(204)
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/notice", heard
    finally:
        server.shutdown()
        server.server_close()


def save_webhook(name: str, url: str) -> None:
    words = {"subject": "{{subject}}", "body": "{{body}}"}
    CustomWebhookNotificationBlock(name=name, url=url, json_data=words).save(name, overwrite=True, _sync=True)


@contextlib.contextmanager
def client_of(url: str, home: Path) -> Iterator[None]:
    with temporary_settings({PREFECT_API_URL: url, PREFECT_HOME: home}):
        yield


def names(site: PrefectSite) -> list[str]:
    return sorted(automation["name"] for automation in site.api("POST", "/automations/filter", {}).json())


def test_made_twice_there_is_one_of_each(prefect_url: str, tmp_path: Path) -> None:
    site = PrefectSite(prefect_url, tmp_path / "home")
    with client_of(prefect_url, tmp_path / "client"):
        save_webhook("team", "http://127.0.0.1:1/")
    first = site.automations("--notify-block", "team")
    assert first.stdout.splitlines() == [f"created: {ZOMBIES}", f"created: {FAILURES}"], first.stderr
    again = site.automations("--notify-block", "custom-webhook/team", "--silent-seconds", "600")
    assert again.stdout.splitlines() == [f"updated: {ZOMBIES}", f"updated: {FAILURES}"], again.stderr
    assert names(site) == sorted([ZOMBIES, FAILURES])
    found = {one["name"]: one for one in site.api("POST", "/automations/filter", {}).json()}
    assert found[ZOMBIES]["trigger"]["within"] == 600.0
    for one in found.values():
        assert site.api("DELETE", f"/automations/{one['id']}").status_code == 204


def test_without_a_block_no_notice_is_made_and_it_says_so(prefect_url: str, tmp_path: Path) -> None:
    site = PrefectSite(prefect_url, tmp_path / "home")
    ran = site.automations()
    assert ran.stdout.splitlines() == [
        f"created: {ZOMBIES}", f"left alone: {FAILURES}; it needs --notify-block NAME",
    ]  # fmt: skip
    (only,) = site.api("POST", "/automations/filter", {}).json()
    assert only["name"] == ZOMBIES
    assert site.api("DELETE", f"/automations/{only['id']}").status_code == 204


def test_a_block_that_is_not_there_is_bad_input_and_nothing_is_made(prefect_url: str, tmp_path: Path) -> None:
    site = PrefectSite(prefect_url, tmp_path / "home")
    ran = site.automations("--notify-block", "nosuch")
    assert ran.returncode == 2
    assert ran.stderr == "there is no notification block nosuch: make one in the UI under Blocks\n"
    assert names(site) == []


@pytest.mark.slow
def test_a_run_whose_machine_died_is_crashed_and_people_are_told(tmp_path: Path) -> None:
    for folder in ("server", "data"):
        (tmp_path / folder).mkdir()
    datasets = write_datasets(tmp_path / "data", ("first",), rows=3000)
    server = PrefectServer(tmp_path / "server", environment=WITH_UI)
    server.start()
    try:
        with PrefectSite(server.url, tmp_path / "home") as site, listening() as (url, heard):
            with client_of(server.url, tmp_path / "client"):
                save_webhook("team", url)
                assert site.automations("--notify-block", "team").returncode == 0
                with get_client(sync_client=True) as client:
                    put(client, zombie_automation(SILENT_SECONDS))
            worker = site.start_worker()
            asked = {
                "parameters": {
                    "datasets": datasets, "input_col": "phrase", "target_col": "topic", "models": TINY,
                    "curves": str(tmp_path / "curves"), "max_epochs": 10, "patience": 10,
                },
                "job_variables": {"env": {"PREFECT_FLOWS_HEARTBEAT_FREQUENCY": "30"}},
            }  # fmt: skip
            path = f"/deployments/{site.deployment('campaign')['id']}/create_flow_run"
            run = site.api("POST", path, asked).json()["id"]
            site.wait_for(run, "RUNNING")
            eventually(lambda: heartbeats(site, run), what="a heartbeat of a run that a worker started")
            kill_family(worker.pid)  # as when the power fails: the worker cannot tell of it either
            crashed = site.wait_for(run, "CRASHED", seconds=SILENT_SECONDS + 120)
            assert crashed["state"]["message"].startswith("no heartbeat for 40 s")
            eventually(lambda: heard, what="the notice")
            told = heard[0]
            assert told["subject"] == f"LAMPS: {crashed['name']} is Crashed"
            assert "no heartbeat for 40 s" in told["body"]
            assert f"/runs/flow-run/{run}" in told["body"]
    finally:
        server.kill()


def heartbeats(site: PrefectSite, run: str) -> int:
    wanted = {
        "filter": {
            "event": {"name": ["prefect.flow-run.heartbeat"]},
            "resource": {"id": [f"prefect.flow-run.{run}"]},
        }
    }
    return int(site.api("POST", "/events/filter", wanted).json()["total"])

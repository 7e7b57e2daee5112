"""The hub token: read from a Secret block by whoever needs it, and written nowhere."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from prefect import flow
from prefect.blocks.system import Secret
from prefect.settings import PREFECT_API_URL, PREFECT_HOME, temporary_settings

from lamps_core.errors import BadInput
from lamps_core.models.zoo import materialise
from tasks.secrets import choose_hub_token, use_hub_token
from tests.campaigns import STEPS_EACH, campaign_arguments, rows_of, write_datasets
from tests.dask_cluster import DaskCluster
from tests.gated_hub import serve_gated_model
from tests.lamps_command import lamps, search_arguments
from tests.searches import TINY, foreign_model

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PLANTED = "hf_PlantedTokenThatNobodyMayWrite"
MODEL = "gated/bert-tiny"


@pytest.fixture(autouse=True)
def _on_the_server(
    prefect_url: str, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> Iterator[None]:
    monkeypatch.setenv("HF_TOKEN", "")  # and what a test sets is taken back
    monkeypatch.delenv("HF_TOKEN")
    with temporary_settings({PREFECT_API_URL: prefect_url, PREFECT_HOME: tmp_path_factory.mktemp("client")}):
        yield


def save(name: str, value: str) -> None:
    Secret(value=value).save(name, overwrite=True, _sync=True)


def requests_for_blocks(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What this process asks its server for from now on, so far as it is about blocks."""
    asked: list[str] = []
    send = httpx.AsyncClient.send

    async def noted(self: httpx.AsyncClient, request: httpx.Request, **more: Any) -> httpx.Response:
        if "/block_documents" in request.url.path:
            asked.append(request.url.path)
        return await send(self, request, **more)

    send_sync = httpx.Client.send

    def noted_sync(self: httpx.Client, request: httpx.Request, **more: Any) -> httpx.Response:
        if "/block_documents" in request.url.path:
            asked.append(request.url.path)
        return send_sync(self, request, **more)

    monkeypatch.setattr(httpx.AsyncClient, "send", noted)
    monkeypatch.setattr(httpx.Client, "send", noted_sync)
    return asked


def test_a_block_is_read_once_a_run_and_again_by_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    save("rotated", "first")
    asked = requests_for_blocks(monkeypatch)
    seen: list[str | None] = []

    @flow
    def look() -> None:
        for _ in range(3):
            use_hub_token(choose_hub_token("rotated"))
            seen.append(os.environ.get("HF_TOKEN"))

    look()
    once = len(asked)
    save("rotated", "second")
    asked.clear()
    look()
    assert seen == ["first"] * 3 + ["second"] * 3
    assert len(asked) == once == 1


def test_a_token_of_the_environment_wins(monkeypatch: pytest.MonkeyPatch) -> None:
    save("other", PLANTED)
    monkeypatch.setenv("HF_TOKEN", "of-the-environment")
    assert choose_hub_token("other") == "other"  # a Dask worker may have none
    assert os.environ["HF_TOKEN"] == "of-the-environment"
    use_hub_token(None)
    assert os.environ["HF_TOKEN"] == "of-the-environment"


def test_a_run_without_a_token_does_not_get_that_of_the_run_before() -> None:
    save("before", PLANTED)
    use_hub_token("before")
    assert os.environ["HF_TOKEN"] == PLANTED
    use_hub_token(None)
    assert "HF_TOKEN" not in os.environ


def test_a_missing_block_is_named_in_one_line_and_the_default_one_may_be_missing() -> None:
    with pytest.raises(BadInput, match=r"^there is no Prefect Secret block nosuch: make it with .*$"):
        choose_hub_token("nosuch")
    assert choose_hub_token(None) is None
    assert "HF_TOKEN" not in os.environ


@pytest.mark.slow
def test_a_gated_model_is_loaded_on_a_dask_worker_and_the_token_is_written_nowhere(
    prefect_url: str,
    tmp_path: Path,
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    save("planted", PLANTED)
    datasets = write_datasets(tmp_path, ("first",))
    with serve_gated_model(materialise(TINY), MODEL, PLANTED) as hub:
        monkeypatch.setenv("HF_HUB_OFFLINE", "0")
        monkeypatch.setenv("HF_ENDPOINT", hub.endpoint)
        monkeypatch.setenv("NO_PROXY", "*")
        monkeypatch.setenv("HF_HOME", str(tmp_path / "worker-hub"))
        with DaskCluster(tmp_path / "cluster", workers=1) as cluster:
            cluster.ready()
            monkeypatch.setenv("HF_HOME", str(tmp_path / "flow-hub"))
            arguments = campaign_arguments(
                datasets, MODEL, "curves", "--engine", "dask", "--scheduler", cluster.address
            )
            ran = lamps(*arguments, cwd=tmp_path, prefect_url=prefect_url)
            assert ran.returncode == 1  # no token anywhere
            assert "every pair failed" in ran.stderr
            assert hub.given == []
            assert hub.refused > 0
            named = ("--hub-token-block", "planted", "--retry-failed")
            ran = lamps(*arguments, *named, cwd=tmp_path, prefect_url=prefect_url)
            assert ran.returncode == 0, ran.stderr
    assert "model.safetensors" in hub.given
    assert list((tmp_path / "worker-hub").rglob("model.safetensors"))
    assert not list((tmp_path / "flow-hub").rglob("model.safetensors"))
    rows = rows_of(tmp_path / "curves")
    assert [(row["model"], row["step"]) for row in rows] == [(MODEL, step) for step in range(STEPS_EACH)]

    assert files_with(PLANTED, tmp_path) == []
    assert PLANTED not in ran.stdout + ran.stderr
    databases = list(
        tmp_path_factory.getbasetemp().glob("prefect*/prefect.db*")
    )  # of the server: runs, logs, events
    assert databases
    assert [path for path in databases if PLANTED.encode() in path.read_bytes()] == []


@pytest.mark.parametrize("command", ["search", pytest.param("campaign", marks=pytest.mark.slow)])
def test_secrets_of_the_environment_are_written_nowhere_by_a_run_with_a_failing_step(
    command: str,
    prefect_url: str,
    topics_csv: Path,
    tmp_path: Path,
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    names = (
        "HF_TOKEN", "AWS_SECRET_ACCESS_KEY", "GCP_KEY", "MY_PASSWORD", "WANDB_API_KEY", "MLFLOW_TRACKING_PASSWORD",
    )  # fmt: skip
    planted = {name: f"Planted-{number}-in-the-environment" for number, name in enumerate(names)}
    for name, value in planted.items():
        monkeypatch.setenv(name, value)
    models = f"{TINY},{foreign_model(tmp_path / 'broken')}"
    if command == "search":
        arguments = search_arguments(topics_csv, "out", "--models", models, "--json")
    else:
        tracked = ("--track", "tensorboard,mlflow,wandb", "--json")
        arguments = campaign_arguments(str(topics_csv), models, "out", *tracked)
    ran = lamps(*arguments, cwd=tmp_path, prefect_url=prefect_url)
    assert ran.returncode == 0, ran.stderr
    assert [failed["model"] for failed in json.loads(ran.stdout)["failed"]] == ["broken"]
    databases = list(tmp_path_factory.getbasetemp().glob("prefect*/prefect.db*"))
    assert databases
    for value in planted.values():
        assert files_with(value, tmp_path) == []
        assert value not in ran.stdout + ran.stderr
        assert [path for path in databases if value.encode() in path.read_bytes()] == []


def files_with(text: str, folder: Path) -> list[Path]:
    """Files of any kind that hold a text: Parquet, logs, journals, pages, what Dask spilled."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert len(files) > 10
    return [path for path in files if text.encode() in path.read_bytes()]

"""A campaign whose curves and checkpoints lie in an object store, on Dask workers that share no disk."""

from __future__ import annotations

import json
import os
import re
from typing import TYPE_CHECKING, Any

import pytest

from tests.campaigns import STEPS_EACH, campaign_arguments, facts, write_datasets
from tests.dask_cluster import DaskCluster
from tests.lamps_command import DEADLINE_SECONDS, kill_family, lamps, start_lamps
from tests.s3_server import BUCKET, SECRET, S3Server
from tests.searches import MODELS, eventually

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytest.importorskip("moto")
pytest.importorskip("s3fs")
pytestmark = pytest.mark.slow

PAIRS = 4


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    """A server that every process started from here reaches."""
    with S3Server(tmp_path_factory.mktemp("s3")) as server, pytest.MonkeyPatch.context() as patch:
        for name, value in server.environment.items():
            patch.setenv(name, value)
        yield server


@pytest.fixture(scope="module")
def datasets(tmp_path_factory: pytest.TempPathFactory) -> str:
    return write_datasets(tmp_path_factory.mktemp("datasets"))


def in_store(datasets: str, name: str, cluster: DaskCluster | None = None) -> list[str]:
    on_dask = ("--engine", "dask", "--scheduler", cluster.address) if cluster else ()
    places = ("--work", f"s3://{BUCKET}/{name}/work", "--json")
    return campaign_arguments(datasets, MODELS, f"s3://{BUCKET}/{name}/curves", *places, *on_dask)


def result_of(arguments: list[str], folder: Path, prefect_url: str) -> dict[str, Any]:
    ran = lamps(*arguments, cwd=folder, prefect_url=prefect_url)
    assert ran.returncode == 0, ran.stderr
    result: dict[str, Any] = json.loads(ran.stdout)
    return result


@pytest.fixture(scope="module")
def undisturbed(datasets: str, tmp_path_factory: pytest.TempPathFactory, prefect_url: str) -> Path:
    """The curves of the same campaign on this machine and its disk, on as many threads as a Dask worker has."""
    folder = tmp_path_factory.mktemp("undisturbed")
    arguments = campaign_arguments(datasets, MODELS, "curves", "--parallel", "1", "--json")
    assert result_of(arguments, folder, prefect_url)["complete"] == PAIRS
    return folder / "curves"


def test_a_campaign_on_dask_leaves_in_a_store_what_it_leaves_on_a_disk(
    store: S3Server, datasets: str, undisturbed: Path, tmp_path: Path, prefect_url: str
) -> None:
    with DaskCluster(tmp_path / "cluster") as cluster:
        cluster.ready()
        first = result_of(in_store(datasets, "whole", cluster), tmp_path, prefect_url)
        assert (first["complete"], first["failed"], first["steps"]) == (PAIRS, [], PAIRS * STEPS_EACH)
        again = result_of(in_store(datasets, "whole", cluster), tmp_path, prefect_url)
        assert (again["complete"], again["steps"]) == (PAIRS, 0)
    assert store.facts("whole/curves") == facts(undisturbed)
    assert [path for path in store.files().find(BUCKET) if path.endswith(".safetensors")] == []


def test_a_campaign_whose_worker_and_flow_were_killed_goes_on_where_it_was(
    store: S3Server, datasets: str, undisturbed: Path, tmp_path: Path, prefect_url: str
) -> None:
    curves = "killed/curves"

    def rows() -> int:
        return len([path for path in store.files().find(f"{BUCKET}/{curves}") if path.endswith(".parquet")])

    with DaskCluster(tmp_path / "cluster") as cluster:
        cluster.ready()
        arguments = in_store(datasets, "killed", cluster)
        command = start_lamps(*arguments, cwd=tmp_path, prefect_url=prefect_url)
        eventually(lambda: rows() >= 2, seconds=DEADLINE_SECONDS, what="two rows")
        cluster.kill("worker0")
        killed_at = rows()
        eventually(lambda: rows() > killed_at + 1, seconds=DEADLINE_SECONDS, what="rows of the other worker")
        assert command.poll() is None, "the campaign ended before its flow was killed"
        kill_family(command.pid)
        command.wait()
        before = store.rows(curves)
        result = result_of(arguments, tmp_path, prefect_url)
        assert result["complete"] == PAIRS
    assert [row for row in store.rows(curves) if row in before] == before
    assert store.facts(curves) == facts(undisturbed)


def test_one_more_model_is_added_to_curves_in_a_store(
    store: S3Server, datasets: str, tmp_path: Path, prefect_url: str
) -> None:
    result_of(in_store(datasets, "added"), tmp_path, prefect_url)
    added = ("fingerprint", "--model", "zoo/albert-tiny", "--curves", f"s3://{BUCKET}/added/curves", "--json")
    assert result_of(list(added), tmp_path, prefect_url)["steps"] == 2 * STEPS_EACH
    assert {row["model"] for row in store.rows("added/curves")} == {*MODELS.split(","), "zoo/albert-tiny"}


CURVES = f"s3://{BUCKET}/refused/curves"


@pytest.mark.parametrize(
    ("more", "environment", "says"),
    [
        (("--curves", "s3://no-such-bucket/curves"), {}, "s3://no-such-bucket/curves cannot be used"),
        (("--work", "s3://no-such-bucket/work"), {}, "--work s3://no-such-bucket/work cannot be used"),
        ((), {"AWS_ENDPOINT_URL": "http://127.0.0.1:9"}, f"{CURVES} cannot be used: Could not connect"),
        ((), {"AWS_ACCESS_KEY_ID": None, "AWS_SECRET_ACCESS_KEY": None}, "Unable to locate credentials"),
        (("--curves", f"s3://somebody:{SECRET}@{BUCKET}/curves"), {}, "a password in it"),
        (("--curves", "s3://"), {}, "names no folder"),
    ],
)
def test_a_store_that_cannot_be_used_is_named_in_one_line(
    store: S3Server, tmp_path: Path, more: tuple[str, ...], environment: dict[str, str | None], says: str
) -> None:
    datasets = write_datasets(tmp_path)
    with pytest.MonkeyPatch.context() as patch:
        for name, value in environment.items():
            patch.delenv(name) if value is None else patch.setenv(name, value)
        check_refused(campaign_arguments(datasets, MODELS, CURVES, *more), tmp_path, says)
    assert not [path for path in store.files().find(BUCKET) if "/refused/" in path]


def test_wrong_credentials_are_told_in_one_line_and_kept_secret(
    datasets: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with S3Server(tmp_path, strict=True) as server:
        for name, value in server.environment.items():
            monkeypatch.setenv(name, value)
        arguments = campaign_arguments(datasets, MODELS, CURVES)
        check_refused(arguments, tmp_path, f"{CURVES} cannot be used: .*(Access Key|Forbidden|denied)")


def check_refused(arguments: list[str], folder: Path, says: str) -> None:
    assert "PREFECT_API_URL" not in os.environ
    ran = lamps(*arguments, cwd=folder)
    assert ran.returncode == 2, ran.stderr
    (line,) = [line for line in ran.stderr.splitlines() if line.startswith("lamps: ")]
    assert re.search(says, line), line
    assert "Traceback" not in ran.stderr
    assert SECRET not in ran.stdout + ran.stderr


def test_the_report_of_a_store_is_asked_for_from_a_copy(store: S3Server, tmp_path: Path) -> None:
    check_refused(["report", f"s3://{BUCKET}/whole/curves"], tmp_path, "copy it here first")

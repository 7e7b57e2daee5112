"""A Dask scheduler that dies in the middle of a campaign."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.campaigns import campaign_arguments, rows_of, write_datasets
from tests.dask_cluster import DaskCluster
from tests.lamps_command import DEADLINE_SECONDS, lamps, start_lamps
from tests.searches import MODELS, eventually

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.slow
def test_a_scheduler_that_dies_ends_the_campaign_in_one_line_and_with_another_it_goes_on(
    tmp_path: Path, prefect_url: str
) -> None:
    datasets, curves = write_datasets(tmp_path), tmp_path / "curves"

    def arguments(cluster: DaskCluster) -> list[str]:
        on_dask = ("--engine", "dask", "--scheduler", cluster.address)
        return campaign_arguments(datasets, MODELS, curves, *on_dask)

    with DaskCluster(tmp_path / "first") as cluster:
        cluster.ready()
        command = start_lamps(*arguments(cluster), cwd=tmp_path, prefect_url=prefect_url)
        eventually(lambda: list(curves.rglob("step-*.parquet")), seconds=DEADLINE_SECONDS, what="a row")
        cluster.kill("scheduler")
        assert command.wait(timeout=DEADLINE_SECONDS) == 1
    told = (tmp_path / "stderr").read_text()
    assert f"lamps: the Dask scheduler at {cluster.address} is gone" in told
    assert "KeyError" not in told
    before = [row for row in rows_of(curves) if row["status"] != "failed"]
    with DaskCluster(tmp_path / "second") as another:
        another.ready()
        again = lamps(*arguments(another), cwd=tmp_path, prefect_url=prefect_url)
        assert again.returncode == 0, again.stderr
        assert "\n4 of 4 curves complete" in again.stdout
    assert [row for row in rows_of(curves) if row in before] == before

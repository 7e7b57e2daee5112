"""Campaigns on a Prefect server whose database is PostgreSQL, the two killed in the middle of one."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from tests.campaigns import STEPS_EACH, campaign_arguments, facts, rows_of, write_datasets
from tests.lamps_command import DEADLINE_SECONDS, kill_family, lamps, start_lamps
from tests.postgres_server import PostgresServer
from tests.prefect_server import PrefectServer
from tests.searches import MODELS, eventually

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]

RUNS = "select name, state_type from flow_run order by created"
STEPS = "select count(*) from task_run where state_type = 'COMPLETED'"


def test_a_campaign_is_on_record_in_postgresql_and_goes_on_after_both_servers_were_killed(
    tmp_path: Path,
) -> None:
    datasets = write_datasets(tmp_path)
    (tmp_path / "server").mkdir()
    with PostgresServer() as database:
        setting = {"PREFECT_SERVER_DATABASE_CONNECTION_URL": database.url}
        server = PrefectServer(tmp_path / "server", environment=setting)
        server.start()
        try:
            whole = campaign_arguments(datasets, MODELS, "whole", "--json")
            ran = lamps(*whole, cwd=tmp_path, prefect_url=server.url)
            assert ran.returncode == 0, ran.stderr
            assert json.loads(ran.stdout)["complete"] == 4
            assert database.ask(RUNS) == ["campaign whole|COMPLETED"]
            assert database.ask(STEPS) == [str(4 * STEPS_EACH)]

            killed = campaign_arguments(datasets, MODELS, "killed", "--json")
            command = start_lamps(*killed, cwd=tmp_path, prefect_url=server.url)
            curves = tmp_path / "killed"
            eventually(
                lambda: len(list(curves.rglob("step-*.parquet"))) >= 3,
                seconds=DEADLINE_SECONDS,
                what="three steps",
            )
            server.kill()
            database.kill()
            kill_family(command.pid)
            command.wait()
            before = rows_of(curves)

            database.start()
            server.start()
            assert database.ask(RUNS)[0] == "campaign whole|COMPLETED"
            again = lamps(*killed, cwd=tmp_path, prefect_url=server.url)
            assert again.returncode == 0, again.stderr
            assert [row for row in rows_of(curves) if row in before] == before
            assert facts(curves) == facts(tmp_path / "whole")
            # The run that was killed is told dead: no row of the server's says that it still runs.
            assert database.ask(RUNS) == [
                "campaign whole|COMPLETED", "campaign killed|CRASHED", "campaign killed|COMPLETED",
            ]  # fmt: skip
        finally:
            server.kill()

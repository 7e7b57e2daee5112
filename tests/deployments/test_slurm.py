"""A campaign through the files for Slurm, on a real Slurm: it ends, and goes on after jobs of it were killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.campaigns import campaign_arguments, facts, rows_of, write_datasets
from tests.dask_cluster import free_port
from tests.lamps_command import DEADLINE_SECONDS, environment, lamps, start_lamps
from tests.searches import MODELS, eventually
from tests.slurm import Slurm

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1500)]

CHECKOUT = Path(__file__).parents[2]
FILES = CHECKOUT / "deployments" / "slurm"
LONG = 2 * DEADLINE_SECONDS


@pytest.fixture(scope="module")
def slurm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Slurm]:
    with Slurm(tmp_path_factory.mktemp("slurm")) as running:
        yield running


@pytest.fixture(scope="module")
def datasets(tmp_path_factory: pytest.TempPathFactory) -> str:
    return write_datasets(tmp_path_factory.mktemp("datasets"))


@pytest.fixture(scope="module")
def undisturbed(datasets: str, tmp_path_factory: pytest.TempPathFactory, prefect_url: str) -> Path:
    """The curves of the same campaign on this machine, on as many threads as a Dask worker has."""
    folder = tmp_path_factory.mktemp("undisturbed")
    arguments = campaign_arguments(datasets, MODELS, "curves", "--parallel", "1")
    ran = lamps(*arguments, cwd=folder, prefect_url=prefect_url)
    assert ran.returncode == 0, ran.stderr
    return folder / "curves"


def job_environment(folder: Path, prefect_url: str | None) -> dict[str, str]:
    """Of what Slurm runs: our interpreter first on the path, and a key of this test's own."""
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    tls, files = str(folder / "tls"), str(FILES)
    return environment(folder / "prefect-home", prefect_url) | {
        "PATH": path, "LAMPS_TLS": tls, "LAMPS_SLURM": files, "TMPDIR": str(folder),
    }  # fmt: skip


def rows(curves: Path) -> int:
    return len(list(curves.rglob("step-*.parquet")))


def test_one_allocation_runs_a_campaign_and_after_its_death_the_next_goes_on(
    slurm: Slurm, datasets: str, undisturbed: Path, tmp_path: Path
) -> None:
    curves, log = tmp_path / "curves", tmp_path / "log"
    _, *options = campaign_arguments(datasets, MODELS, curves)
    batch = ("--gres=gpu:2", f"--output={log}", str(FILES / "campaign.sbatch"), *options)
    variables = job_environment(tmp_path, None)  # no Prefect server: the job starts one of its own
    first = slurm.submit(*batch, cwd=tmp_path, environment=variables)
    eventually(lambda: rows(curves) >= 3, seconds=LONG, what="three rows")
    slurm.kill(first)
    eventually(lambda: first not in slurm.jobs(), what="the end of the killed job")
    before = rows_of(curves)
    second = slurm.submit(*batch, cwd=tmp_path, environment=variables)
    eventually(lambda: second not in slurm.jobs(), seconds=LONG, what="the end of the second job")
    assert slurm.state(second) == "COMPLETED", log.read_text()
    assert [row for row in rows_of(curves) if row in before] == before
    assert facts(curves) == facts(undisturbed)


def test_jobs_come_with_a_campaign_which_goes_on_when_one_is_killed(
    slurm: Slurm, datasets: str, undisturbed: Path, tmp_path: Path, prefect_url: str
) -> None:
    variables = job_environment(tmp_path, prefect_url) | slurm.environment
    address = f"tls://127.0.0.1:{free_port()}"
    program = [
        sys.executable, str(FILES / "cluster.py"), "--max-jobs", "2", "--directive=--gres=gpu:1", "--cores", "1",
        "--memory", "1GB", "--host", "127.0.0.1", "--port", address.rpartition(":")[2],
    ]  # fmt: skip
    with_key = ["bash", "-c", f'source "{FILES}/tls.sh" && exec "$@"', "bash"]
    with (tmp_path / "cluster.log").open("ab") as out:
        cluster = subprocess.Popen([*with_key, *program], cwd=tmp_path, env=variables, stdout=out, stderr=out)
    try:
        eventually(
            lambda: address in (tmp_path / "cluster.log").read_text(),
            seconds=LONG,
            what="the scheduler's start",
        )
        curves = tmp_path / "curves"
        on_dask = ("--engine", "dask", "--scheduler", address)
        with pytest.MonkeyPatch.context() as patch:
            for name, value in tls_variables(with_key, variables).items():
                patch.setenv(name, value)
            command = start_lamps(
                *campaign_arguments(datasets, MODELS, curves, *on_dask), cwd=tmp_path, prefect_url=prefect_url
            )
        eventually(lambda: rows(curves) >= 2, seconds=LONG, what="two rows")
        killed = slurm.running()[0]
        slurm.kill(killed)
        assert command.wait(timeout=LONG) == 0, (tmp_path / "stderr").read_text()
        assert facts(curves) == facts(undisturbed)
    finally:
        cluster.send_signal(signal.SIGTERM)
        cluster.wait(timeout=DEADLINE_SECONDS)
    eventually(lambda: not slurm.jobs(), what="the end of the cluster's jobs")


def tls_variables(with_key: list[str], variables: dict[str, str]) -> dict[str, str]:
    """What `tls.sh` sets."""
    told = subprocess.run(
        [*with_key, "env"], env=variables, capture_output=True, text=True, check=True
    ).stdout
    pairs = (line.partition("=") for line in told.splitlines())
    return {name: value for name, _, value in pairs if name.startswith("DASK_DISTRIBUTED__COMM__")}

"""A campaign on a Dask cluster, of which everything is killed once and again, ends as one that was left alone."""

from __future__ import annotations

import random
import time
from collections import Counter
from functools import partial
from typing import TYPE_CHECKING

import psutil
import pyarrow.dataset
import pytest

from lamps_core.curves.reader import read_curves
from tests.campaigns import campaign_arguments, facts, key_of, rows_of, write_datasets
from tests.dask_cluster import DaskCluster
from tests.lamps_command import DEADLINE_SECONDS, kill_family, lamps, start_lamps
from tests.prefect_server import PrefectServer
from tests.searches import eventually

if TYPE_CHECKING:
    import subprocess
    from pathlib import Path

MODELS = "zoo/bert-tiny,zoo/gpt2-tiny,zoo/distilbert-tiny,zoo/albert-tiny,zoo/roberta-tiny,zoo/opt-tiny"
DATASETS = ("first", "second", "third")
OPTIONS = ("--landmarks", "3", "--max-epochs", "3", "--patience", "3")
ROWS = 6 * 3 * 6  # pairs, and the steps of each
ROUNDS = 3  # each kills a child, a Dask worker, the flow and the server, in an order drawn by chance

pytestmark = [pytest.mark.faults, pytest.mark.timeout(1500)]


class Site:
    """A person's machines: a Prefect server, a Dask cluster, and the command, each started again when it dies."""

    def __init__(
        self, folder: Path, arguments: list[str], cluster: DaskCluster, server: PrefectServer
    ) -> None:
        self.folder, self.arguments, self.cluster, self.server = folder, arguments, cluster, server
        self.starts = 0
        self.command = self.started()

    def started(self) -> subprocess.Popen[str]:
        self.starts += 1
        return start_lamps(*self.arguments, cwd=self.folder, prefect_url=self.server.url)

    def kill_a_child(self, chance: random.Random) -> bool:
        """A process that fine-tunes: below the fork server of a Dask worker."""
        found = [
            child
            for process in self.cluster.processes.values()
            for child in psutil.Process(process.pid).children(recursive=True)
            if is_fine_tuning(child)
        ]
        if not found:
            return False
        chance.choice(found).kill()
        return True

    def kill_a_worker(self, chance: random.Random) -> bool:
        number = chance.randrange(self.cluster.workers)
        self.cluster.kill(f"worker{number}")
        self.cluster.start_worker(number)
        return True

    def kill_the_flow(self, _: random.Random) -> bool:
        kill_family(self.command.pid)
        self.command.wait()
        self.command = self.started()
        return True

    def kill_the_server(self, _: random.Random) -> bool:
        self.server.kill()
        self.server.start()
        return True

    def tend(self) -> bool:
        """Start the command again if it ended in failure; whether it ended well."""
        code = self.command.poll()
        if code is None:
            return False
        if code != 0:
            assert code == 1, (self.folder / "stderr").read_text()
            self.command = self.started()
        return code == 0


def is_fine_tuning(process: psutil.Process) -> bool:
    """A worker child: its parent is a fork server, which is not one of multiprocessing's own helpers."""
    try:
        parent = process.parent()
        return parent is not None and any("forkserver" in word for word in parent.cmdline())
    except psutil.Error:
        return False


def row_count(curves: Path) -> int:
    return len(list(curves.rglob("*.parquet")))


def check_what_is_there(curves: Path, seen: set[tuple[str, str, int, int]]) -> None:
    """No row that was once there is gone, and none is there twice."""
    if row_count(curves) == 0:
        return
    keys = [key_of(row) for row in rows_of(curves)]
    assert len(set(keys)) == len(keys)
    assert seen <= set(keys)
    seen.update(keys)
    read_curves(curves)


def test_a_campaign_that_everything_was_killed_of_ends_as_one_left_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    datasets = write_datasets(tmp_path, DATASETS, rows=300)
    for name in ("server", "undisturbed", "killed"):
        (tmp_path / name).mkdir()
    server = PrefectServer(tmp_path / "server")
    server.start()
    chance, kills = random.Random(3), Counter[str]()
    try:
        with DaskCluster(tmp_path / "cluster") as cluster:
            cluster.ready()
            on_dask = (*OPTIONS, "--engine", "dask", "--scheduler", cluster.address)
            alone = tmp_path / "undisturbed" / "curves"
            whole = lamps(
                *campaign_arguments(datasets, MODELS, alone, *on_dask),
                cwd=tmp_path / "undisturbed",
                prefect_url=server.url,
                seconds=4 * DEADLINE_SECONDS,
            )
            assert whole.returncode == 0, whole.stderr

            curves = tmp_path / "killed" / "curves"
            site = Site(
                tmp_path / "killed", campaign_arguments(datasets, MODELS, curves, *on_dask), cluster, server
            )
            run_through_kills(site, curves, chance, kills)
            eventually(site.tend, seconds=2 * DEADLINE_SECONDS, what="the end of the campaign")
            with capsys.disabled():
                print(f"\nkills: {dict(kills)}; the command was started {site.starts} times")
            assert facts(curves) == facts(alone)
    finally:
        server.kill()
    assert pyarrow.dataset.dataset(curves).count_rows() == ROWS
    assert min(kills[name] for name in ("child", "worker", "flow", "server")) >= ROUNDS


def await_row(site: Site, curves: Path) -> None:
    """Until there is one more."""
    before = row_count(curves)
    eventually(
        lambda: site.tend() or row_count(curves) > before, seconds=DEADLINE_SECONDS, what="another row"
    )


def run_through_kills(site: Site, curves: Path, chance: random.Random, kills: Counter[str]) -> None:
    """Kill one thing after the other while the campaign goes on."""
    seen: set[tuple[str, str, int, int]] = set()
    faults = {
        "child": site.kill_a_child,
        "worker": site.kill_a_worker,
        "flow": site.kill_the_flow,
        "server": site.kill_the_server,
    }
    for _ in range(ROUNDS):
        names = list(faults)
        chance.shuffle(names)
        for name in names:
            await_row(site, curves)
            assert site.command.poll() is None, "the campaign ended before everything was killed"
            time.sleep(chance.uniform(0.0, 1.0))  # the moment of the fault
            eventually(partial(faults[name], chance), what=f"something to kill: {name}")
            kills[name] += 1
            check_what_is_there(curves, seen)

"""Where steps run: what is refused, what a Dask cluster tells, and what a campaign says while it waits for one."""

from __future__ import annotations

import re
import subprocess
import sys
from concurrent.futures import Future
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import distributed
import pytest

from flows import campaign as campaign_flow
from flows.campaign import _waits_for, run_steps
from flows.engines import DaskEngine, LocalEngine, engine_of
from lamps_core.campaign.request import CampaignRequest
from lamps_core.campaign.run import CampaignRun
from lamps_core.campaign.step import StepDestination, run_and_keep
from lamps_core.errors import BadInput, HostFailed, LampsError
from lamps_core.host.machine import Machine
from lamps_core.host.memory import host_memory
from lamps_core.progress import listener
from lamps_core.text.dataset import DatasetRequest
from lamps_core.text.requests import NamedRequest
from lamps_core.workers.execution import Execution
from lamps_core.workers.pool import DeviceSlot
from tests.campaigns import campaign_arguments, rows_of, write_datasets
from tests.dask_cluster import DaskCluster
from tests.gpu_host import A100, CUT_UP, GIB, LARGE
from tests.lamps_command import family, lamps
from tests.searches import QUICK, STEPS_EACH, TINY, eventually

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from lamps_core.fine_tuning.steps import StepRequest
    from tests.gpu_host import GpuHost

ONE_CPU = Machine(1, 2**36, 1, cuda=False, name="cpu")


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"engine": "dask"}, "--scheduler tcp://HOST:8786"),
        (
            {"engine": "dask", "scheduler": "tcp://127.0.0.1:9", "parallel": 2},
            "--parallel is of --engine local",
        ),
        (
            {"engine": "dask", "scheduler": "tcp://127.0.0.1:9", "step_timeout": 0.0},
            "--step-timeout must be more",
        ),
        ({"engine": "local", "scheduler": "tcp://127.0.0.1:9"}, "--scheduler is of --engine dask"),
        ({"engine": "local", "parallel": 0}, "--parallel must be at least 1, not 0"),
        ({"engine": "local", "step_timeout": -1.0}, "--step-timeout must be more than zero, not -1"),
        ({"engine": "local", "step_timeout": float("nan")}, "--step-timeout must be more than zero, not nan"),
        ({"engine": "slurm"}, "--engine must be local or dask, not slurm"),
    ],
)
def test_options_that_do_not_go_together_are_refused(options: dict[str, Any], says: str) -> None:
    given: dict[str, Any] = {"scheduler": None, "parallel": None, "step_timeout": None} | options
    with pytest.raises(BadInput, match=says):
        engine_of(run_id="any", **given)


@pytest.mark.parametrize(
    "address",
    [
        "not an address",
        "head",
        "head:8786",
        "tcp://head",
        "tcp://head:port",
        "tcp://head:0",
        "tcp://head:65536",
        "tcp://head:8786/",
        "tcp://ada:secret@head:8786",
        "tcp://:8786",
        "tcp://he..ad:8786",
        "tcp://[::1",
        "tcp://::1:8786",
        "ucx://head:8786",
        "wss://head:8786",
    ],
)
def test_an_address_that_dask_cannot_use_is_refused_before_a_client_is_made(
    address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(distributed, "Client", None)
    with pytest.raises(BadInput, match=rf"{re.escape(address)}($| asks for the cluster's key)"):
        engine_of("dask", run_id="any", scheduler=address, parallel=None, step_timeout=None)


@pytest.mark.parametrize(
    "address",
    ["tcp://head:8786", "ws://10.0.0.1:1", "tcp://lamps-scheduler.lamps.svc:65535", "tcp://[::1]:8786"],
)
def test_a_scheduler_that_does_not_answer_may_be_asked_again(
    address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError("Timed out")

    monkeypatch.setattr(distributed, "Client", refuse)
    with pytest.raises(
        LampsError, match=re.escape(f"no Dask scheduler answers at {address} (Timed out): start")
    ) as told:
        engine_of("dask", run_id="any", scheduler=address, parallel=None, step_timeout=None)
    assert not isinstance(told.value, BadInput)  # whose exit code tells a cluster not to try again


def test_the_plan_is_made_for_the_devices_of_the_slots(gpu_host: GpuHost) -> None:
    gpu_host.has(CUT_UP, visible=LARGE.uuid)
    engine = LocalEngine("any")
    assert engine.machine() == Machine(1, LARGE.memory_bytes, 1, cuda=True, name=LARGE.name)
    assert [slot.cuda_device for slot in engine._slots] == [LARGE.uuid]


def test_steps_at_once_share_the_memory_of_their_device(gpu_host: GpuHost) -> None:
    gpu_host.has(A100)
    assert LocalEngine("any", parallel=4).machine() == Machine(
        4, 10 * GIB, 1, cuda=True, name=A100.name, sharing=4
    )
    gpu_host.has()
    whole, shared = (LocalEngine("any", parallel=count).machine() for count in (1, 2))
    assert (whole.device_memory_bytes, shared.device_memory_bytes) == (
        host_memory().total_bytes,
        host_memory().total_bytes // 2,
    )


@pytest.mark.slow
def test_a_dask_engine_follows_the_workers_that_come_and_go(tmp_path: Path) -> None:
    with DaskCluster(tmp_path, workers=0) as cluster:
        engine: DaskEngine = eventually(lambda: connected(cluster.address), what="the scheduler's start")
        try:
            with pytest.raises(
                BadInput, match=f"{cluster.address} has no worker with --resources GPU=1: start"
            ):
                engine.machine(wait_seconds=0)
            assert (engine.slots(), engine.most_of_a_worker()) == (0, 0)
            cluster.start_worker(0)
            machine = engine.machine()  # waits for it
            assert (machine.slots, machine.devices_of_a_host, machine.cuda) == (1, 1, False)
            assert (engine.slots(), engine.most_of_a_worker()) == (1, 1)
            cluster.kill("worker0")
            eventually(lambda: engine.slots() == 0, what="the loss of the worker")
            cluster.kill("scheduler")
            eventually(lambda: is_gone(engine), what="the loss of the scheduler")
        finally:
            engine.close()


def connected(address: str) -> DaskEngine | None:
    try:
        return DaskEngine(address)
    except LampsError:
        return None


def is_gone(engine: DaskEngine) -> bool:
    try:
        engine.slots()
    except LampsError as error:
        return "is gone: start it and its workers" in str(error)
    return False


@pytest.fixture
def run(topics_csv: Path, tmp_path: Path) -> CampaignRun:
    """A campaign of one pair."""
    data = NamedRequest(None, DatasetRequest(str(topics_csv), ("phrase",), "topic", max_train_rows=40))
    curves = str(tmp_path / "curves")
    return CampaignRun(CampaignRequest(curves=curves, datasets=(data,), models=TINY, settings=QUICK))


@pytest.mark.slow
def test_a_step_that_hangs_is_ended_on_a_dask_worker_too(tmp_path: Path, prefect_url: str) -> None:
    datasets = write_datasets(tmp_path, ("first",))
    with DaskCluster(tmp_path / "cluster", workers=1) as cluster:
        cluster.ready()
        more = ("--engine", "dask", "--scheduler", cluster.address, "--step-timeout", "0.01")
        ran = lamps(
            *campaign_arguments(datasets, TINY, "curves", *more), cwd=tmp_path, prefect_url=prefect_url
        )
    assert ran.returncode == 1, ran.stderr
    (row,) = rows_of(tmp_path / "curves")
    assert row["error"] == "after 3 attempts: no answer within 0.01 s (--step-timeout)"


@pytest.mark.slow
def test_a_dask_worker_keeps_no_more_warm_for_two_campaigns_than_for_one(
    tmp_path: Path, prefect_url: str
) -> None:
    datasets = write_datasets(tmp_path, ("first",))
    kept = []
    with DaskCluster(tmp_path / "cluster", workers=1) as cluster:
        cluster.ready()
        for curves in ("curves", "others"):
            more = ("--engine", "dask", "--scheduler", cluster.address)
            ran = lamps(
                *campaign_arguments(datasets, TINY, curves, *more), cwd=tmp_path, prefect_url=prefect_url
            )
            assert ran.returncode == 0, ran.stderr
            kept.append(len(family(cluster.processes["worker0"].pid)))
    assert kept[0] == kept[1]


class Lost:
    """An engine of one slot, whose worker cannot be killed."""

    def slots(self) -> int:
        return 1

    def submit(self, request: StepRequest, destination: StepDestination) -> Future[Any]:
        future: Future[Any] = Future()
        future.set_exception(HostFailed("process 7 cannot be killed"))
        return future


def test_a_host_whose_worker_cannot_be_killed_ends_the_campaign_and_fails_no_pair(
    run: CampaignRun,
) -> None:
    engine, untold = cast("Any", Lost()), cast("Any", None)
    with run.opened(ONE_CPU), pytest.raises(HostFailed, match="process 7 cannot be killed"):
        run_steps(run, engine, untold)
    assert not run.survey.store.states()


class Shrunken:
    """An engine whose one worker is gone, and comes back after it was asked for twice."""

    def __init__(self, run: Callable[[StepRequest], dict[str, Any]]) -> None:
        self._run = run
        self._asked = 0
        self._waiting: list[tuple[Future[Any], StepRequest, StepDestination]] = []

    def slots(self) -> int:
        return 1

    def most_of_a_worker(self) -> int:
        self._asked += 1
        if self._asked < 2:
            return 0
        self._work()
        return 1

    def submit(self, request: StepRequest, destination: StepDestination) -> Future[Any]:
        future: Future[Any] = Future()
        self._waiting.append((future, request, destination))
        if self._asked >= 2:
            self._work()
        return future

    def _work(self) -> None:
        while self._waiting:
            future, request, destination = self._waiting.pop()
            future.set_result(run_and_keep(request, destination, self._run))

    def note_worker(self, request: StepRequest, record: dict[str, Any]) -> None:
        pass


def test_a_step_that_nobody_left_can_take_is_waited_for_aloud(
    run: CampaignRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(campaign_flow, "WAKE_SECONDS", 0.05)
    execution = Execution([DeviceSlot(None, 1)])
    said: list[str] = []
    token = listener.set(lambda event: said.append(event.message))
    try:
        with run.opened(ONE_CPU):
            engine: Any = Shrunken(execution.run_step)
            untold: Any = SimpleNamespace(update=lambda percent: None)  # there is no server to tell
            run_steps(run, engine, untold)
    finally:
        listener.reset(token)
        execution.close()
    assert said[0] == "waiting for a worker with 1 GPU slot: none is left"
    assert len(said) == 1 + STEPS_EACH
    (state,) = run.survey.store.states().values()
    assert state.complete


def test_what_a_step_waits_for_is_said_in_numbers() -> None:
    assert _waits_for(1, 1) is None
    assert _waits_for(4, 2) == "waiting for a worker with 4 GPU slots: the largest that is left has 2"


def test_flows_import_no_torch_which_would_cost_every_command_seconds() -> None:
    flows = (
        "flows.campaign, flows.evaluate, flows.fingerprint, flows.push, flows.search, flows.train_policy, "
        "lamps_cli.main"
    )
    code = f"import sys, {flows}; sys.exit('torch' in sys.modules or 'gymnasium' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0

"""Where a campaign's steps run: on this machine's device slots, or on the workers of a Dask cluster.

An engine is a context manager, entered inside a flow. It says what it runs on, which may be asked before it is
entered, and takes one step at a time. Does not know what is run next nor what comes of it.
"""

from __future__ import annotations

import contextlib
import dataclasses
import math
import re
import sys
import time
from typing import TYPE_CHECKING, Any

from prefect.task_runners import ThreadPoolTaskRunner

from lamps_core.errors import BadInput, Interrupted, LampsError, first_line
from lamps_core.host.devices import devices_here
from lamps_core.host.machine import SlotsOfAHost, machine_of
from lamps_core.workers import execution
from lamps_core.workers.pool import campaign_slots, check_parallel, check_step_timeout
from tasks.landmark_step import SLOT, fine_tune_step

if TYPE_CHECKING:
    from typing import Self

    from prefect.futures import PrefectFuture

    from lamps_core.campaign.step import StepDestination
    from lamps_core.fine_tuning.steps import StepRequest
    from lamps_core.host.machine import Machine

LOOK_SECONDS = 2.0  # the least between two looks at which workers a Dask cluster has
CONNECT_SECONDS = 15
# Checked before there is a client: one that cannot read its address hangs for half a minute and prints a traceback.
SCHEDULER = re.compile(
    r"(?P<scheme>tcp|tls|ws|wss)://"
    r"(?:\[[0-9A-Fa-f:.]+(?:%\w+)?\]|[\w-]{1,63}(?:\.[\w-]{1,63})*):(?P<port>[0-9]{1,5})"
)


class LocalEngine:
    """This machine's GPUs, or slots that share its cores."""

    def __init__(
        self, run_id: str, *, parallel: int | None = None, step_timeout: float | None = None
    ) -> None:
        """Choose the slots.

        Args:
            run_id: the campaign, as its steps name it.
            parallel: steps at once; None takes every GPU, or several slots of a CPU.
            step_timeout: seconds after which a step is taken for hung.
        """
        self._run_id = run_id
        self._slots = campaign_slots(parallel)
        self._timeout = step_timeout
        # A thread a step, and it waits for its worker: more threads than slots do no harm.
        self._runner = ThreadPoolTaskRunner(max_workers=len(self._slots))

    def machine(self, *, wait_seconds: float = math.inf) -> Machine:
        """The devices of this machine."""
        return machine_of([SlotsOfAHost("here", devices_here(), len(self._slots))])

    def slots(self) -> int:
        """Steps that can run at once: as many as there are."""
        return len(self._slots)

    def most_of_a_worker(self) -> int:
        """Slots that one step can be spread over: all of them."""
        return len(self._slots)

    def note_worker(self, request: StepRequest, record: dict[str, Any]) -> None:
        """Nothing: the worker pool knows which slot is warm."""

    def seconds_of_failed(self, request: StepRequest) -> float | None:
        """Seconds of all attempts at a step that failed, without the pauses between them."""
        return execution.execution_of(self._run_id).seconds_of(request.key)

    def submit(self, request: StepRequest, destination: StepDestination) -> PrefectFuture[dict[str, Any]]:
        """Start a step in a thread, which waits for a worker process."""
        execution.execution_of(self._run_id).make_ready()
        return self._runner.submit(fine_tune_step, {"request": request, "destination": destination})

    def gone(self) -> LampsError:
        """Only the end of this process cancels its steps, so the run is being shut down."""
        return Interrupted("the run is being shut down")

    def close(self) -> None:
        """Nothing was opened to look at the devices."""

    def __enter__(self) -> Self:
        """Be what the steps of the campaign find in this process."""
        mine = execution.Execution(self._slots, step_timeout_seconds=self._timeout)
        execution.begin(self._run_id, mine)
        self._runner.__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        """Kill the workers, then let the threads that waited for them end."""
        execution.shut_down(self._run_id)
        self._runner.__exit__(None, None, None)


class DaskEngine:
    """The workers of a running Dask cluster that were started with `--resources GPU=n`."""

    def __init__(
        self, scheduler: str, *, step_timeout: float | None = None, hub_token_block: str | None = None
    ) -> None:
        """Connect to the scheduler.

        Args:
            scheduler: its address, which `check_engine` has looked at.
            step_timeout: seconds after which a step is taken for hung; its worker keeps to it.
            hub_token_block: Prefect Secret block that the workers read the hub token from.

        Raises:
            LampsError: none answers there; it may be about to start.
        """
        from distributed import Client

        self._scheduler = scheduler
        self._timeout = step_timeout
        self._hub_token_block = hub_token_block
        self._looked_at = float("-inf")
        self._resources: dict[str, int] = {}
        self._stack = contextlib.ExitStack()
        self._warm: dict[tuple[str, str], str] = {}
        try:
            self._client = Client(scheduler, timeout=CONNECT_SECONDS, set_as_default=False)
        except (OSError, ValueError) as error:  # OSError is a timeout or a refused connection, too
            raise LampsError(
                f"no Dask scheduler answers at {scheduler} ({first_line(error)}): start one with dask scheduler, "
                "or correct --scheduler"
            ) from error

    def machine(self, *, wait_seconds: float = math.inf) -> Machine:
        """The devices of the workers, as they tell them.

        Args:
            wait_seconds: for a worker, since they come and go.

        Raises:
            BadInput: there is still none.
        """
        from distributed.comm import get_address_host

        began = time.monotonic()
        if not self._workers():  # they may be waiting for their turn in the queue of a cluster
            print(f"waiting for a Dask worker with --resources {SLOT}=1 ...", file=sys.stderr)
        while not (workers := self._workers()):
            if time.monotonic() - began > wait_seconds:
                raise BadInput(
                    f"the Dask scheduler at {self._scheduler} has no worker with --resources {SLOT}=1: start one "
                    f"with dask worker {self._scheduler} --nthreads 1 --resources {SLOT}=1"
                )
            time.sleep(LOOK_SECONDS)
        told = self._client.run(devices_here, workers=list(workers))
        return machine_of(
            [
                SlotsOfAHost(get_address_host(address), devices, workers[address])
                for address, devices in told.items()
            ]
        )

    def slots(self) -> int:
        """Steps that can run at once, on the workers that are there now."""
        return sum(self._workers().values())

    def most_of_a_worker(self) -> int:
        """Slots that one step can be spread over: those of the worker with most of them; 0 where there is none now."""
        return max(self._workers().values(), default=0)

    def _workers(self) -> dict[str, int]:
        """Address of each worker that takes steps -> how many at once."""
        if time.monotonic() - self._looked_at > LOOK_SECONDS:
            # A client that lost its scheduler knows of no workers, and says for a while that it is connecting.
            told = self._client.scheduler_info(n_workers=-1).get("workers")
            if told is None or self._client.status not in {"running", "connecting"}:
                raise self.gone()
            counts = {address: int(worker["resources"].get(SLOT, 0)) for address, worker in told.items()}
            self._resources = {address: count for address, count in counts.items() if count > 0}
            self._looked_at = time.monotonic()
        return self._resources

    def note_worker(self, request: StepRequest, record: dict[str, Any]) -> None:
        """Remember where a step ran, for the next one of its pair: the model is still loaded there."""
        self._warm[request.work_folder, request.name] = record["worker"]

    def seconds_of_failed(self, request: StepRequest) -> float | None:
        """Not known: a failed task brings no record back from its host."""
        return None

    def submit(self, request: StepRequest, destination: StepDestination) -> PrefectFuture[dict[str, Any]]:
        """Start a step on a worker with free slots, the one that is warm for its pair if it still lives."""
        import dask

        asked: dict[str, Any] = {"resources": {SLOT: request.gpus}}
        warm = self._warm.get((request.work_folder, request.name))
        if warm in self._workers():
            asked |= {"workers": [warm], "allow_other_workers": True}
        destination = dataclasses.replace(destination, step_timeout_seconds=self._timeout)
        parameters = {
            "request": request,
            "destination": destination,
            "hub_token_block": self._hub_token_block,
        }
        with dask.annotate(**asked):
            return self._runner.submit(fine_tune_step, parameters)

    def __enter__(self) -> Self:
        """Begin to take steps."""
        from prefect_dask import DaskTaskRunner

        self._runner = self._stack.enter_context(DaskTaskRunner(address=self._scheduler))
        return self

    def __exit__(self, *error: object) -> None:
        """Leave the cluster; steps that run there go on to their end, and keep what they give."""
        self._stack.close()
        self.close()

    def gone(self) -> LampsError:
        """Steps are lost when the scheduler is gone, or was restarted and does not know them."""
        return LampsError(
            f"the Dask scheduler at {self._scheduler} is gone: start it and its workers, and run again"
        )

    def close(self) -> None:
        """End the connection, also of an engine that was not entered."""
        self._client.close(timeout=5)


Engine = LocalEngine | DaskEngine


def engine_of(
    engine: str,
    *,
    scheduler: str | None,
    run_id: str,
    parallel: int | None,
    step_timeout: float | None,
    hub_token_block: str | None = None,
) -> Engine:
    """The engine that a user named.

    Raises:
        BadInput: as by `check_engine`.
        LampsError: no scheduler answers.
    """
    check_engine(engine, scheduler=scheduler, parallel=parallel, step_timeout=step_timeout)
    if engine == "dask":
        return DaskEngine(str(scheduler), step_timeout=step_timeout, hub_token_block=hub_token_block)
    return LocalEngine(run_id, parallel=parallel, step_timeout=step_timeout)


def check_engine(
    engine: str, *, scheduler: str | None, parallel: int | None, step_timeout: float | None
) -> None:
    """Refuse what no engine can be made of, before anything is waited for.

    Raises:
        BadInput: options that do not go together, or a scheduler's address that cannot be used.
    """
    check_step_timeout(step_timeout)
    if engine == "dask":
        if not scheduler:
            raise BadInput("--engine dask needs the scheduler's address: --scheduler tcp://HOST:8786")
        if parallel is not None:
            raise BadInput("--parallel is of --engine local: on Dask, start as many workers as you want")
        _check_scheduler(scheduler)
        return
    if engine != "local":
        raise BadInput(f"--engine must be local or dask, not {engine}")
    if scheduler:
        raise BadInput("--scheduler is of --engine dask: give that too, or leave it out")
    check_parallel(parallel)


def _check_scheduler(address: str) -> None:
    import dask

    parts = SCHEDULER.fullmatch(address)
    if parts is None or not 0 < int(parts["port"]) < 2**16:
        raise BadInput(f"--scheduler must be like tcp://HOST:8786 (or tls, ws, wss), not {address}")
    if parts["scheme"] in {"tls", "wss"} and not dask.config.get("distributed.comm.tls.ca-file", None):
        raise BadInput(f"{address} asks for the cluster's key, and none is set here: see docs/cluster.md")

from __future__ import annotations

import contextlib
import dataclasses
import gc
import json
import math
import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import psutil
import pytest
import transformers
from safetensors.torch import load_file

from lamps_core.errors import BudgetSpent, CandidateFailed, HostFailed, Interrupted, WorkerDied
from lamps_core.fine_tuning.checkpoint import newest_checkpoint
from lamps_core.fine_tuning.landmark_step import CandidateRun
from lamps_core.fine_tuning.steps import ExportRequest
from lamps_core.models.zoo import materialise
from lamps_core.text.dataset import TextDataset, TextSplit
from lamps_core.workers import worker
from lamps_core.workers.pool import DeviceSlot, WorkerPool, device_slots
from tests.gpu_build import GUARD, compile_guard
from tests.gpu_host import A100, H100
from tests.lamps_core.conftest import CPU

if TYPE_CHECKING:
    from collections.abc import Callable
    from multiprocessing.connection import Connection

    from lamps_core.workers.group import _Process
    from tests.gpu_host import GpuHost
    from tests.lamps_core.conftest import Topics

REPOSITORY = Path(__file__).parents[3]
A_STEP_OF_A_POOL = """
import json, os, signal, sys
from lamps_core.fine_tuning.steps import StepRequest
from lamps_core.workers.pool import DeviceSlot, WorkerPool

pool = WorkerPool([DeviceSlot(None, threads=1)])

def halt(message):
    os.kill(pool.worker_pid(0), signal.SIGSTOP)
    print("halted", flush=True)

pool.run_step(StepRequest(**json.loads(sys.argv[1])), progress=halt)
"""

STEPS_WHERE_TORCH_KNOWS_A_GPU = """
import json, sys
from lamps_core.workers import group as worker_group
from lamps_core.fine_tuning.steps import StepRequest
from lamps_core.workers.pool import DeviceSlot, WorkerPool

worker_group.PRELOAD.insert(0, "tests.gpu_build")
pool = WorkerPool([DeviceSlot(None, threads=1)])
first, second = json.loads(sys.argv[1])
loss = pool.run_step(StepRequest(**first))["test_loss"]
print(pool.run_step(StepRequest(**second | {"losses": [loss]}))["step"])
pool.close()
"""


@pytest.fixture
def pool(new_pool: Callable[..., WorkerPool]) -> WorkerPool:
    return new_pool()


class Halt:
    """A listener that stops the worker at its first word, so that its step never ends."""

    def __init__(self, pool: WorkerPool, sent: signal.Signals = signal.SIGSTOP) -> None:
        self.pool, self.sent = pool, sent
        self.pid = -1
        self.at = math.inf
        self.done = threading.Event()

    def __call__(self, _: dict[str, Any]) -> None:
        if self.done.is_set():
            return
        self.pid = worker_pid(self.pool)
        os.kill(self.pid, self.sent)
        self.at = time.monotonic()
        self.done.set()


def worker_pid(pool: WorkerPool, slot: int = 0) -> int:
    pid = pool.worker_pid(slot)
    assert pid is not None
    return pid


def has_ended(process: psutil.Process) -> bool:
    """Whether nothing of it runs: where nobody waits for orphans, a zombie remains."""
    try:
        return process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def eventually(condition: Callable[[], bool], *, seconds: float = 60.0) -> bool:
    """Whether a condition holds before a deadline."""
    deadline = time.monotonic() + seconds
    pause = threading.Event()
    while not condition():
        if time.monotonic() > deadline:
            return False
        pause.wait(0.02)
    return True


def measured(record: dict[str, Any]) -> dict[str, Any]:
    """What of a record does not depend on the clock or the process."""
    return {
        name: value
        for name, value in record.items()
        if "seconds" not in name and name not in {"created_at", "peak_memory_bytes", "eval_rows_per_second"}
    }


# --- Steps in a worker -------------------------------------------------------------------------------------


@pytest.mark.parametrize("family", ["bert", "gpt2"])
def test_steps_of_a_worker_are_bit_by_bit_those_of_this_process(
    pool: WorkerPool, new_topics: Callable[..., Topics], family: str
) -> None:
    there, here = new_topics("there"), new_topics("here")
    run = CandidateRun(threads=1, progress=lambda *_: None)
    losses: tuple[float, ...] = ()
    for step in range(4):
        request = there.request(step, losses, candidate=f"zoo/{family}-tiny")
        record = pool.run_step(request)
        own = run.step(here.request(step, losses, candidate=f"zoo/{family}-tiny"), time.monotonic())
        assert measured(record) == measured(own)
        losses = (*losses, record["test_loss"])
    weights = []
    for topics in (there, here):
        newest = newest_checkpoint(topics.request(candidate=f"zoo/{family}-tiny").checkpoint_folder)
        assert newest is not None
        weights.append(load_file(newest.folder / "model.safetensors"))
    assert all(weight.equal(weights[1][name]) for name, weight in weights[0].items())


def test_a_step_tells_its_phases_in_their_order(pool: WorkerPool, topics: Topics) -> None:
    told: list[dict[str, Any]] = []
    record = pool.run_step(topics.request())
    pool.run_step(topics.request(1, (record["test_loss"],)), progress=told.append)
    assert list(dict.fromkeys(message["phase"] for message in told)) == ["train", "evaluate", "save"]
    assert all(message["done"] <= message["total"] for message in told)


def test_a_worker_lives_as_long_as_its_candidate_takes_steps(
    pool: WorkerPool, new_topics: Callable[..., Topics]
) -> None:
    topics = new_topics("work")
    pids = []
    first = pool.run_step(topics.request())
    pids.append(worker_pid(pool))
    pool.run_step(topics.request(1, (first["test_loss"],)))
    pids.append(worker_pid(pool))
    pool.run_step(topics.request(candidate="zoo/gpt2-tiny"))
    pids.append(worker_pid(pool))
    assert pids[0] == pids[1] != pids[2]
    assert not psutil.pid_exists(pids[0])
    pool.run_step(new_topics("other run").request(candidate="zoo/gpt2-tiny"))
    assert worker_pid(pool) != pids[2]


def test_two_candidates_that_take_turns_keep_a_worker_each(
    new_pool: Callable[..., WorkerPool], topics: Topics
) -> None:
    pool = new_pool(CPU, CPU)
    curves: dict[str, tuple[float, ...]] = {"zoo/bert-tiny": (), "zoo/gpt2-tiny": ()}
    pids = []
    for step in range(2):
        for candidate, losses in curves.items():
            record = pool.run_step(topics.request(step, losses, candidate=candidate))
            curves[candidate] = (*losses, record["test_loss"])
        pids.append({pool.worker_pid(slot) for slot in (0, 1)})
    assert pids[0] == pids[1]
    assert None not in pids[0]


def test_a_retired_worker_is_gone_and_the_next_step_has_another(pool: WorkerPool, topics: Topics) -> None:
    record = pool.run_step(topics.request())
    first = worker_pid(pool)
    pool.retire(0)
    assert pool.worker_pid(0) is None
    assert not psutil.pid_exists(first)
    assert pool.run_step(topics.request(1, (record["test_loss"],)))["step"] == 1
    assert worker_pid(pool) != first


def test_an_export_goes_through_a_worker(pool: WorkerPool, topics: Topics, tmp_path: Path) -> None:
    losses: tuple[float, ...] = ()
    for step in range(3):
        losses = (
            *losses,
            pool.run_step(topics.request(step, losses, landmarks=1, max_epochs=2))["test_loss"],
        )
    last = topics.request(2, losses[:-1], landmarks=1, max_epochs=2)
    request = ExportRequest(last=last, target=str(tmp_path / "model"), evaluate_test=False)
    assert pool.export(request) == {}
    assert (tmp_path / "model" / "model.safetensors").is_file()


def test_a_candidate_that_cannot_be_loaded_fails_with_the_reason(pool: WorkerPool, topics: Topics) -> None:
    with pytest.raises(CandidateFailed, match="the tokenizer or configuration cannot be loaded"):
        pool.run_step(topics.request(location=topics.work / "gone"))
    assert pool.run_step(topics.request())["step"] == 0


# --- The process -------------------------------------------------------------------------------------------


def test_a_worker_has_a_session_and_a_process_group_of_its_own(pool: WorkerPool, topics: Topics) -> None:
    pool.run_step(topics.request())
    pid = worker_pid(pool)
    assert os.getsid(pid) == os.getpgid(pid) == pid
    assert os.getsid(0) != pid


def test_ctrl_c_does_not_reach_a_worker(pool: WorkerPool, topics: Topics) -> None:
    listener = Halt(pool, signal.SIGINT)
    assert pool.run_step(topics.request(), progress=listener)["step"] == 0
    assert listener.done.is_set()
    assert worker_pid(pool) == listener.pid


def told_by_a_worker(target: Callable[..., None], *told: Any) -> Any:
    """What a worker answers that is forked as the pool's are, its connection closed at once."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["lamps_core.workers.preload"])
    ours, theirs = context.Pipe()
    answer, telling = context.Pipe()
    process = context.Process(target=target, args=(theirs, *told, telling))
    process.start()
    theirs.close()
    ours.close()
    assert answer.poll(180)
    received = answer.recv()
    process.join(180)
    assert process.exitcode == 0
    return received


def answer_then_tell(
    connection: Connection, slot: DeviceSlot, options: dict[str, Any], told: Connection
) -> None:
    """A worker that, when its parent has closed the connection, tells of its environment."""
    worker.main(connection, slot.environment, options)
    print("to standard output", flush=True)
    os.write(2, b"to standard error\n")
    told.send({name: os.environ.get(name) for name in ("CUDA_VISIBLE_DEVICES", "OMP_NUM_THREADS")})


def tokenise_then_tell(
    connection: Connection, location: str, options: dict[str, Any], told: Connection
) -> None:
    """A worker that, when its parent has closed the connection, tokenises and tells of its threads and the ids."""
    from lamps_core.fine_tuning.pretrained import load_tokenizer
    from lamps_core.fine_tuning.tokens import tokenise

    worker.main(connection, {}, options)
    before = len(os.listdir("/proc/self/task"))  # noqa: PTH208 - of the kernel
    texts = [f"rain and wind {number}" for number in range(2_000)]
    tokenizer = load_tokenizer(location, revision=None, max_length=32)
    split = tokenise(texts, np.zeros(len(texts), np.int64), tokenizer, max_length=32)
    told.send((len(os.listdir("/proc/self/task")) - before, split.values.tolist()))  # noqa: PTH208


@pytest.mark.parametrize(("device", "visible"), [("GPU-5af1", "GPU-5af1"), ("1", "1"), (None, "")])
def test_a_worker_sees_its_own_device_and_prints_to_its_log(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], device: str | None, visible: str
) -> None:
    log = tmp_path / "logs" / "candidate.log"
    options = {"log": str(log), "threads": 3, "memory_limit_bytes": None}
    told = told_by_a_worker(answer_then_tell, DeviceSlot(device, 3), options)
    assert told == {"CUDA_VISIBLE_DEVICES": visible, "OMP_NUM_THREADS": "3"}
    assert log.read_text().splitlines() == ["to standard output", "to standard error"]
    assert "to standard" not in "".join(capfd.readouterr())


def test_a_worker_tokenises_on_its_threads(tmp_path: Path) -> None:
    log, location = str(tmp_path / "log"), str(materialise("zoo/bert-tiny"))
    alone, together = (
        told_by_a_worker(
            tokenise_then_tell, location, {"log": log, "threads": threads, "memory_limit_bytes": None}
        )
        for threads in (1, 3)
    )
    assert (alone[0], together[0]) == (0, 3)
    assert alone[1] == together[1]


def test_workers_train_where_torch_knows_a_gpu(topics: Topics, tmp_path: Path) -> None:
    requests = [asdict(topics.request(step)) for step in (0, 1)]
    told = subprocess.run(
        [sys.executable, "-c", STEPS_WHERE_TORCH_KNOWS_A_GPU, json.dumps(requests)],
        env=os.environ | {GUARD: str(compile_guard(tmp_path))},
        capture_output=True,
        text=True,
        cwd=REPOSITORY,
        check=False,
    )
    assert (told.stdout, told.returncode) == ("1\n", 0), told.stderr


def count_objects(told: Connection) -> None:
    """Tell what the garbage collector leaves alone, and what it searches."""
    told.send((gc.get_freeze_count(), len(gc.get_objects())))


def test_a_worker_does_not_search_for_garbage_what_the_fork_server_imported() -> None:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["lamps_core.workers.preload"])
    answer, told = context.Pipe()
    process = context.Process(target=count_objects, args=(told,))
    process.start()
    assert answer.poll(180)
    frozen, searched = answer.recv()
    process.join(180)
    assert searched < frozen / 5


def test_slots_share_the_cores(gpu_host: GpuHost, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda _: set(range(8)))
    gpu_host.has()
    assert device_slots() == (DeviceSlot(None, 8),)
    assert device_slots(3) == (DeviceSlot(None, 2),) * 3
    assert device_slots(20) == (DeviceSlot(None, 1),) * 20


@pytest.mark.parametrize(
    ("named", "devices"),
    [(None, ["0", "1", "0"]), ("1,0", ["1", "0", "1"]), ("GPU-5, GPU-1", ["GPU-5", "GPU-1", "GPU-5"])],
)
def test_slots_take_turns_on_the_gpus_that_are_visible(
    gpu_host: GpuHost, named: str | None, devices: list[str]
) -> None:
    gpu_host.has(H100, A100, visible=named)
    assert [slot.cuda_device for slot in device_slots(3)] == devices
    assert len(device_slots()) == 2


# --- Ends --------------------------------------------------------------------------------------------------


def test_a_worker_killed_in_its_step_is_told_by_its_signal_and_the_next_call_succeeds(
    pool: WorkerPool, topics: Topics
) -> None:
    zero = pool.run_step(topics.request())
    killer = Halt(pool, signal.SIGKILL)
    first = topics.request(1, (zero["test_loss"],))
    with pytest.raises(
        WorkerDied, match=r"zoo/bert-tiny: killed by SIGKILL; last line of zoo--bert-tiny\.log"
    ):
        pool.run_step(first, progress=killer)
    assert pool.worker_pid(0) is None
    again = pool.run_step(first)
    assert again["step"] == 1
    assert worker_pid(pool) != killer.pid


def test_a_worker_killed_between_steps_does_not_show(pool: WorkerPool, topics: Topics) -> None:
    zero = pool.run_step(topics.request())
    pid = worker_pid(pool)
    os.kill(pid, signal.SIGKILL)
    assert eventually(lambda: not psutil.pid_exists(pid))
    assert pool.run_step(topics.request(1, (zero["test_loss"],)))["step"] == 1


def test_an_error_of_a_models_own_code_ends_the_candidate_and_not_only_its_process(
    pool: WorkerPool, topics: Topics, edited: Callable[..., Path]
) -> None:
    few_tokens = edited("zoo/bert-tiny")
    config = transformers.AutoConfig.from_pretrained(few_tokens)
    config.vocab_size = 10
    transformers.AutoModel.from_config(config).save_pretrained(few_tokens)
    request = dataclasses.replace(topics.request(), name="few", location=str(few_tokens))
    with pytest.raises(
        CandidateFailed, match=r"^IndexError: index out of range in self: .*lower --max-length$"
    ):
        pool.run_step(request)
    assert pool.run_step(topics.request())["step"] == 0


def test_a_worker_that_fails_by_itself_is_told_by_the_last_line_of_its_log(
    pool: WorkerPool, topics: Topics
) -> None:
    shutil.rmtree(topics.work / "data")
    with pytest.raises(WorkerDied, match=r"exit code 1; last line of .*no usable prepared dataset"):
        pool.run_step(topics.request())


def test_a_budget_that_runs_out_in_a_step_stops_it_at_once(pool: WorkerPool, topics: Topics) -> None:
    halt = Halt(pool)
    budget_seconds = 0.3
    with pytest.raises(BudgetSpent):
        pool.run_step(
            topics.request(),
            progress=halt,
            remaining_seconds=lambda: halt.at + budget_seconds - time.monotonic(),
        )
    assert time.monotonic() - halt.at < budget_seconds + 60  # the step itself would never have ended
    assert not psutil.pid_exists(halt.pid)
    assert newest_checkpoint(topics.request().checkpoint_folder) is None
    assert pool.run_step(topics.request())["step"] == 0


def test_a_step_past_its_timeout_is_taken_for_hung(pool: WorkerPool, topics: Topics) -> None:
    zero = pool.run_step(topics.request())
    pid = worker_pid(pool)
    os.kill(pid, signal.SIGSTOP)
    with pytest.raises(WorkerDied, match=r"no answer within 0\.5 s \(--step-timeout\)"):
        pool.run_step(topics.request(1, (zero["test_loss"],)), timeout_seconds=0.5)
    assert not psutil.pid_exists(pid)


def test_a_worker_that_cannot_be_killed_takes_its_slot_along(
    unkillable: list[_Process], new_pool: Callable[..., WorkerPool], topics: Topics
) -> None:
    pool = new_pool(CPU, CPU)
    zero = pool.run_step(topics.request())
    pid = worker_pid(pool)
    os.kill(pid, signal.SIGSTOP)
    with pytest.raises(WorkerDied, match=f"process {pid} of zoo/bert-tiny on .* cannot be killed.*restarted"):
        pool.run_step(topics.request(1, (zero["test_loss"],)), timeout_seconds=0.5)
    assert psutil.pid_exists(pid)
    assert pool.run_step(topics.request(candidate="zoo/gpt2-tiny"))["step"] == 0
    assert pool.worker_pid(0) is None
    pool.retire(1)
    with pytest.raises(HostFailed, match=f"process {pid} of zoo/bert-tiny on .* cannot be killed"):
        pool.run_step(topics.request(candidate="zoo/gpt2-tiny"))
    assert len(unkillable) == 2


def test_a_step_that_waits_for_the_slot_of_an_unkillable_worker_is_told_so(
    unkillable: list[_Process], pool: WorkerPool, topics: Topics
) -> None:
    halt, spent = Halt(pool), threading.Event()
    with ThreadPoolExecutor(2) as threads:
        under_way = threads.submit(
            pool.run_step, topics.request(), progress=halt, remaining_seconds=lambda: 1.0 - spent.is_set()
        )
        assert halt.done.wait(180)
        waiting = threads.submit(pool.run_step, topics.request(candidate="zoo/gpt2-tiny"))
        assert eventually(lambda: len(pool._queue) == 1)
        spent.set()
        with pytest.raises(BudgetSpent):
            under_way.result(timeout=60)
        with pytest.raises(HostFailed, match=f"process {halt.pid} of zoo/bert-tiny"):
            waiting.result(timeout=60)
    assert unkillable


def test_a_pool_closes_in_spite_of_a_worker_that_cannot_be_killed(
    unkillable: list[_Process], pool: WorkerPool, topics: Topics
) -> None:
    halt = Halt(pool)
    with ThreadPoolExecutor(1) as threads:
        under_way = threads.submit(pool.run_step, topics.request(), progress=halt)
        assert halt.done.wait(180)
        pool.close()
        with pytest.raises(Interrupted):
            under_way.result(timeout=60)
    assert psutil.pid_exists(halt.pid)
    assert not set(multiprocessing.active_children()) & {each.process for each in unkillable}


def test_closing_the_pool_interrupts_the_step_under_way_and_the_one_that_waits(
    pool: WorkerPool, topics: Topics
) -> None:
    halt = Halt(pool)
    with ThreadPoolExecutor(2) as threads:
        under_way = threads.submit(pool.run_step, topics.request(), progress=halt)
        assert halt.done.wait(180)
        waiting: Future[dict[str, Any]] = threads.submit(
            pool.run_step, topics.request(candidate="zoo/gpt2-tiny")
        )
        assert not waiting.done()
        pool.close()
        for step in (under_way, waiting):
            with pytest.raises(Interrupted):
                step.result(timeout=60)
    assert not psutil.pid_exists(halt.pid)
    with pytest.raises(Interrupted):
        pool.run_step(topics.request())


def test_closing_twice_is_closing_once(pool: WorkerPool, topics: Topics) -> None:
    pool.run_step(topics.request())
    process = psutil.Process(worker_pid(pool))
    pool.close()
    pool.close()
    assert has_ended(process)


def test_nothing_outlives_the_process_that_owns_the_pool(topics: Topics) -> None:
    owner = subprocess.Popen(
        [sys.executable, "-c", A_STEP_OF_A_POOL, json.dumps(asdict(topics.request()))],
        stdout=subprocess.PIPE,
        text=True,
        cwd=REPOSITORY,
    )
    family: list[psutil.Process] = []
    with owner:
        try:
            assert owner.stdout is not None
            assert owner.stdout.readline() == "halted\n"
            family = psutil.Process(owner.pid).children(recursive=True)
            # one of them is stopped: a worker that cannot even see that its connection was closed
            assert eventually(lambda: any(process.status() == psutil.STATUS_STOPPED for process in family))
        finally:
            owner.kill()
    try:
        assert eventually(lambda: all(has_ended(process) for process in family))
    finally:
        for process in family:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()


# --- Memory ------------------------------------------------------------------------------------------------


def test_a_worker_short_of_memory_cuts_its_batch_until_it_fits(
    new_pool: Callable[..., WorkerPool], new_topics: Callable[..., Topics], wide_candidate: Path
) -> None:
    rows = TextSplit(("rain and wind " * 200,) * 32, np.arange(32) % 3)
    dataset = TextDataset(
        "long", ("a", "b", "c"), rows, rows.take(np.arange(3)), None, (), "long texts", "test"
    )
    topics = new_topics("work", dataset)
    asked: dict[str, Any] = {
        "candidate": "wide", "location": wide_candidate, "landmarks": 1, "batch_size": 32, "max_length": 512
    }  # fmt: skip
    new_pool().run_step(topics.request(**asked | {"candidate": "first"}))  # which makes the tokens of both
    ample = new_pool()
    zero = ample.run_step(topics.request(**asked))
    bytes_at_rest = psutil.Process(worker_pid(ample)).memory_info().vms
    short = new_pool(DeviceSlot(None, threads=1, memory_limit_bytes=bytes_at_rest + 300 * 2**20))
    record = short.run_step(topics.request(1, (zero["test_loss"],), **asked))
    assert zero["micro_batch_size"] == 32
    assert record["micro_batch_size"] in {1, 2, 4, 8, 16}
    assert record["train_rows"] == 32
    assert "out of memory at micro-batch 32: trying 16" in (topics.work / "logs" / "wide.log").read_text()

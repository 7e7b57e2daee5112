"""Steps of a candidate that several processes hold together, on CPU slots: the code of GPUs, over gloo."""

from __future__ import annotations

import dataclasses
import json
import os
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import psutil
import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from lamps_core.errors import BudgetSpent, CandidateFailed, Interrupted, WorkerDied
from lamps_core.fine_tuning.checkpoint import newest_checkpoint
from lamps_core.fine_tuning.optimizer_state import OPTIMIZER
from lamps_core.fine_tuning.steps import ExportRequest
from lamps_core.models.zoo import materialise
from lamps_core.text.dataset import TextDataset, TextSplit
from lamps_core.workers.group import environments
from lamps_core.workers.pool import DeviceSlot, WorkerPool
from tests.hub_server import serve_hub_server
from tests.lamps_core.conftest import CPU
from tests.searches import eventually, nan_model

if TYPE_CHECKING:
    from collections.abc import Callable

    from lamps_core.fine_tuning.checkpoint import Checkpoint
    from lamps_core.fine_tuning.steps import StepRequest
    from tests.lamps_core.conftest import Topics

TINY = "zoo/bert-tiny"
REPOSITORY = Path(__file__).parents[3]
A_STEP = """
import json, sys
from lamps_core.fine_tuning.steps import StepRequest
from lamps_core.workers.pool import DeviceSlot, WorkerPool

pool = WorkerPool([DeviceSlot(None, threads=1)])
print("step", pool.run_step(StepRequest(**json.loads(sys.argv[1])))["step"])
pool.close()
"""
REPLACED_SERVER = """
import json, os, signal, sys
from multiprocessing import forkserver
from pathlib import Path
from lamps_core.workers import group as worker_group
from lamps_core.fine_tuning.steps import StepRequest
from lamps_core.workers.pool import DeviceSlot

worker_group.PRELOAD = []  # nothing is asked of its workers
worker_group.start_fork_server()
first = forkserver._forkserver._forkserver_pid
os.kill(first, signal.SIGKILL)
os.waitid(os.P_PID, first, os.WEXITED | os.WNOWAIT)
group = worker_group.WorkerGroup({0: DeviceSlot(None, threads=1)}, StepRequest(**json.loads(sys.argv[1])))
second = forkserver._forkserver._forkserver_pid
lines = Path(f"/proc/{second}/status").read_text().splitlines()
blocked = next(int(line.split()[1], 16) for line in lines if line.startswith("SigBlk"))
worker_group.end([group])
print(second != first, bool(blocked >> (signal.SIGINT - 1) & 1))
"""
LARGER_FAMILIES = ["distilbert", "roberta", "opt", "llama", "qwen2", "luke"]


class Curve:
    """A candidate's curve in the making, on as many processes as its steps ask for."""

    def __init__(self, pool: WorkerPool, topics: Topics, **asked: Any) -> None:
        self.pool, self.topics, self.asked = pool, topics, {"gpus": 2} | asked
        self.records: list[dict[str, Any]] = []

    @property
    def losses(self) -> tuple[float, ...]:
        return tuple(record["test_loss"] for record in self.records)

    def step(self, *, gpus: int | None = None) -> dict[str, Any]:
        asked = self.asked | ({"gpus": gpus} if gpus is not None else {})
        request = self.topics.request(len(self.records), self.losses, **asked)
        self.records.append(self.pool.run_step(request))
        return self.records[-1]

    def steps(self, count: int) -> Curve:
        for _ in range(count):
            self.step()
        return self

    @property
    def newest(self) -> Checkpoint:
        found = newest_checkpoint(self.topics.request(**self.asked).checkpoint_folder)
        assert found is not None
        return found

    def tensors(self, name: str = "model.safetensors") -> dict[str, torch.Tensor]:
        return load_file(self.newest.folder / name)


@pytest.fixture
def pool(new_pool: Callable[..., WorkerPool]) -> WorkerPool:
    return new_pool(CPU, CPU)


def pids(pool: WorkerPool) -> list[int]:
    found = [pool.worker_pid(slot) for slot in (0, 1)]
    return [pid for pid in found if pid is not None]


def assert_close(found: Curve, expected: Curve) -> None:
    """The same losses and weights but for the order of sums.

    AdamW turns a gradient that is nothing but rounding (a key's bias shifts all scores alike) into a whole update,
    so that single weights may differ by as much as they moved.
    """
    assert found.losses == pytest.approx(expected.losses, abs=1e-5)
    others = expected.tensors()
    weights = found.tensors()
    assert weights.keys() == others.keys()
    differences = torch.cat([(weight - others[name]).abs().flatten() for name, weight in weights.items()])
    assert float((differences < 1e-5).double().mean()) > 0.99
    assert float(differences.max()) < 2e-3


# --- The curve ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "family",
    ["bert", "gpt2", "albert", *(pytest.param(name, marks=pytest.mark.slow) for name in LARGER_FAMILIES)],
)
def test_without_dropout_two_processes_give_the_curve_of_one(
    pool: WorkerPool, new_topics: Callable[..., Topics], still: Callable[[str], Path], family: str
) -> None:
    asked = {
        "candidate": f"zoo/{family}-tiny",
        "location": still(f"zoo/{family}-tiny"),
        "learning_rate": 1e-3,
    }
    one = Curve(pool, new_topics("one"), **asked, gpus=1).steps(4)
    two = Curve(pool, new_topics("two"), **asked).steps(4)
    assert_close(two, one)
    for record, other in zip(two.records, one.records, strict=True):
        same = (
            "accuracy",
            "macro_f1",
            "parameters",
            "train_rows",
            "train_tokens",
            "flops_per_token",
            "train_flops",
        )
        assert {name: record[name] for name in same} == {name: other[name] for name in same}
        assert (record["gpus"], record["device"]) == (0, "2 x cpu x1")
        assert (other["gpus"], other["device"]) == (0, "cpu x1")
        assert (record["batch_size"], record["micro_batch_size"]) == (8, 4)
    assert {path.name for path in two.newest.folder.iterdir()} == {
        path.name for path in one.newest.folder.iterdir()
    }


def test_a_curve_of_fresh_groups_is_bit_by_bit_that_of_a_warm_one(
    pool: WorkerPool, new_topics: Callable[..., Topics]
) -> None:
    warm = Curve(pool, new_topics("warm"), micro_batch_size=3).steps(3)
    cold = Curve(pool, new_topics("cold"), micro_batch_size=3)
    for _ in range(3):
        cold.step()
        pool.retire(1)
        assert pids(pool) == []
    assert cold.losses == warm.losses
    for name in ("model.safetensors", OPTIMIZER):
        mine, theirs = cold.tensors(name), warm.tensors(name)
        assert mine.keys() == theirs.keys()
        assert all(torch.equal(tensor, theirs[key]) for key, tensor in mine.items())


@pytest.mark.parametrize(("before", "after"), [(2, 1), (1, 2)])
def test_a_curve_goes_on_with_another_number_of_processes(
    pool: WorkerPool,
    new_topics: Callable[..., Topics],
    still: Callable[[str], Path],
    before: int,
    after: int,
) -> None:
    asked = {"location": still(TINY), "learning_rate": 1e-3}
    one = Curve(pool, new_topics("one"), **asked, gpus=1).steps(4)
    mixed = Curve(pool, new_topics("mixed"), **asked, gpus=before).steps(2)
    mixed.step(gpus=after)
    mixed.step(gpus=after)
    assert_close(mixed, one)


def test_a_checkpoint_of_two_processes_is_a_plain_folder_of_transformers(
    pool: WorkerPool, topics: Topics
) -> None:
    curve = Curve(pool, topics, candidate="zoo/gpt2-tiny").steps(3)
    model = AutoModelForSequenceClassification.from_pretrained(curve.newest.folder).eval()
    tokenizer = AutoTokenizer.from_pretrained(topics.request(candidate="zoo/gpt2-tiny").location)
    rows = topics.dataset.evaluation
    with torch.inference_mode():
        logits = model(**tokenizer(list(rows.texts), padding=True, return_tensors="pt")).logits
    loss = torch.nn.functional.cross_entropy(logits, torch.from_numpy(rows.labels))
    assert float(loss) == pytest.approx(curve.losses[-1], abs=1e-5)
    assert type(model).__name__ == "GPT2ForSequenceClassification"


def test_odd_numbers_of_rows_count_once(
    pool: WorkerPool,
    new_topics: Callable[..., Topics],
    topics_dataset: TextDataset,
    still: Callable[[str], Path],
) -> None:
    # D_1 has one row, D_2 two, all are nine: an update of eight, and one of a single row.
    rows, evaluation = topics_dataset.train.take(np.arange(9)), topics_dataset.evaluation.take(np.arange(7))
    dataset = TextDataset("odd", topics_dataset.label_names, rows, evaluation, None, (), "odd rows", "test")
    asked = {"location": still(TINY), "learning_rate": 1e-3, "landmarks": 4, "max_length": 4}
    one = Curve(pool, new_topics("one", dataset), **asked, gpus=1).steps(5)
    two = Curve(pool, new_topics("two", dataset), **asked, micro_batch_size=2).steps(5)
    assert [record["train_rows"] for record in two.records] == [0, 1, 2, 4, 9]
    assert_close(two, one)


def test_in_bf16_the_curve_is_that_of_one_process_and_weights_stay_fp32(
    pool: WorkerPool, new_topics: Callable[..., Topics], still: Callable[[str], Path]
) -> None:
    asked = {"location": still(TINY), "learning_rate": 1e-3, "precision": "bf16"}
    one = Curve(pool, new_topics("one"), **asked, gpus=1).steps(3)
    two = Curve(pool, new_topics("two"), **asked).steps(3)
    exact = Curve(pool, new_topics("exact"), **asked | {"precision": "fp32"}, gpus=1).steps(1)
    assert two.losses == pytest.approx(one.losses, abs=1e-3)
    assert two.losses[0] == pytest.approx(one.losses[0], abs=1e-6)
    assert abs(two.losses[0] - exact.losses[0]) > 1e-6
    assert {record["dtype"] for record in two.records} == {"bf16"}
    assert {tensor.dtype for tensor in two.tensors().values()} == {torch.float32}


def test_dropout_of_a_group_is_drawn_from_the_seed(
    pool: WorkerPool, new_topics: Callable[..., Topics]
) -> None:
    def curve(name: str, **asked: Any) -> tuple[float, ...]:
        return Curve(pool, new_topics(name), **asked).steps(2).losses

    first = curve("first")
    assert curve("again") == first
    assert curve("seed", seed=8)[1] != first[1]


def test_an_export_of_a_group_is_a_model_with_its_test_loss(
    pool: WorkerPool, new_topics: Callable[..., Topics], topics_dataset: TextDataset, tmp_path: Path
) -> None:
    data = topics_dataset
    dataset = TextDataset(
        "held", data.label_names, data.train, data.evaluation, data.evaluation, (), "held", "test"
    )
    topics = new_topics("work", dataset)
    curve = Curve(pool, topics, landmarks=1, max_epochs=2).steps(3)
    last = topics.request(2, curve.losses[:-1], **curve.asked)
    request = ExportRequest(last=last, target=str(tmp_path / "model"), evaluate_test=True)
    told = pool.export(request)
    assert told["test_loss"] == pytest.approx(curve.losses[-1], abs=1e-6)
    assert told["accuracy"] == curve.records[-1]["accuracy"]
    assert [path.name for path in tmp_path.iterdir() if "model" in path.name] == ["model"]
    AutoModelForSequenceClassification.from_pretrained(tmp_path / "model")


# --- The processes -----------------------------------------------------------------------------------------


class Stop:
    """A listener that sends a signal to one of a pool's workers at the first word of a phase."""

    def __init__(self, pool: WorkerPool, slot: int, sent: signal.Signals, *, phase: str = "train") -> None:
        self.pool, self.slot, self.sent, self.phase = pool, slot, sent, phase
        self.family: list[psutil.Process] = []
        self.at = float("inf")
        self.done = threading.Event()

    def __call__(self, told: dict[str, Any]) -> None:
        if self.done.is_set() or told["phase"] != self.phase:
            return
        self.family = [psutil.Process(pid) for pid in pids(self.pool)]
        os.kill(self.family[self.slot].pid, self.sent)
        self.at = time.monotonic()
        self.done.set()

    @property
    def all_ended(self) -> bool:
        return len(self.family) == 2 and not any(process.is_running() for process in self.family)


def test_a_group_lives_as_long_as_its_candidate_takes_steps(pool: WorkerPool, topics: Topics) -> None:
    curve = Curve(pool, topics).steps(1)
    first = pids(pool)
    assert len(set(first)) == 2
    curve.steps(1)
    assert pids(pool) == first
    pool.run_step(
        topics.request(candidate="zoo/gpt2-tiny")
    )  # takes one slot: the group cannot live on the other
    assert not any(psutil.pid_exists(pid) for pid in first)
    assert len(pids(pool)) == 1
    curve.steps(1)
    assert len(pids(pool)) == 2


@pytest.mark.parametrize("slot", [0, 1])
@pytest.mark.parametrize("phase", ["train", "evaluate"])
def test_a_process_killed_in_a_step_ends_its_group_at_once_and_the_next_call_succeeds(
    pool: WorkerPool, topics: Topics, slot: int, phase: str
) -> None:
    curve = Curve(pool, topics).steps(1)
    killer = Stop(pool, slot, signal.SIGKILL, phase=phase)
    request = topics.request(1, curve.losses, gpus=2)
    with pytest.raises(
        WorkerDied,
        match=rf"zoo/bert-tiny: process {slot + 1} of 2: killed by SIGKILL; last line of zoo--bert",
    ):
        pool.run_step(request, progress=killer)
    assert time.monotonic() - killer.at < 60  # the other would wait for it for minutes
    assert killer.all_ended
    assert pids(pool) == []
    curve.step()
    assert len(pids(pool)) == 2


def test_a_process_killed_between_steps_does_not_show(pool: WorkerPool, topics: Topics) -> None:
    curve = Curve(pool, topics).steps(1)
    before = pids(pool)
    os.kill(before[1], signal.SIGKILL)
    eventually(lambda: not psutil.pid_exists(before[1]), what="its end")
    curve.step()
    assert not set(pids(pool)) & set(before)
    assert not psutil.pid_exists(before[0])


def test_a_group_of_which_one_hangs_is_ended_by_its_deadline_or_its_budget(
    pool: WorkerPool, topics: Topics
) -> None:
    losses = Curve(pool, topics).steps(1).losses
    request = topics.request(1, losses, gpus=2)
    hung = pids(pool)
    os.kill(hung[1], signal.SIGSTOP)
    with pytest.raises(WorkerDied, match=r"no answer within 0\.5 s \(--step-timeout\)"):
        pool.run_step(request, timeout_seconds=0.5)
    assert not any(psutil.pid_exists(pid) for pid in hung)
    halt = Stop(pool, 1, signal.SIGSTOP)
    with pytest.raises(BudgetSpent):
        pool.run_step(request, progress=halt, remaining_seconds=lambda: halt.at + 0.3 - time.monotonic())
    assert halt.all_ended


def test_closing_the_pool_ends_the_group_under_way_and_the_request_that_waits(
    pool: WorkerPool, topics: Topics
) -> None:
    losses = Curve(pool, topics).steps(1).losses
    halt = Stop(pool, 1, signal.SIGSTOP)
    with ThreadPoolExecutor(2) as threads:
        under_way = threads.submit(pool.run_step, topics.request(1, losses, gpus=2), progress=halt)
        assert halt.done.wait(180)
        waiting = threads.submit(pool.run_step, topics.request(candidate="zoo/gpt2-tiny", gpus=2))
        pool.close()
        for step in (under_way, waiting):
            with pytest.raises(Interrupted):
                step.result(timeout=60)
    assert halt.all_ended


def test_a_candidate_that_fails_ends_its_group_with_the_reason(
    pool: WorkerPool, topics: Topics, tmp_path: Path
) -> None:
    location = nan_model(tmp_path / "nan")
    with pytest.raises(CandidateFailed, match="the evaluation loss is nan"):
        pool.run_step(topics.request(location=location, gpus=2))
    assert pids(pool) == []
    with pytest.raises(CandidateFailed, match="cannot be loaded"):
        pool.run_step(topics.request(location=tmp_path / "gone", gpus=2))
    assert pool.run_step(topics.request(gpus=2))["step"] == 0


@pytest.mark.slow
def test_a_group_short_of_memory_begins_anew_with_fewer_rows(
    new_pool: Callable[..., WorkerPool], new_topics: Callable[..., Topics], wide_candidate: Path
) -> None:
    rows = TextSplit(("rain and wind " * 200,) * 32, np.arange(32) % 3)
    dataset = TextDataset(
        "long", ("a", "b", "c"), rows, rows.take(np.arange(3)), None, (), "long texts", "test"
    )
    asked: dict[str, Any] = {
        "candidate": "wide", "location": wide_candidate, "landmarks": 1, "batch_size": 32, "max_length": 512
    }  # fmt: skip
    ample = new_pool(CPU, CPU)
    curve = Curve(ample, new_topics("work", dataset), **asked, micro_batch_size=1).steps(2)
    at_rest = max(psutil.Process(pid).memory_info().vms for pid in pids(ample))
    assert curve.records[1]["micro_batch_size"] == 1
    slot = DeviceSlot(None, threads=1, memory_limit_bytes=at_rest + 300 * 2**20)
    short = Curve(new_pool(slot, slot), new_topics("short", dataset), **asked).steps(2)
    assert short.records[1]["micro_batch_size"] in {1, 2, 4, 8}
    assert short.records[1]["train_rows"] == 32
    assert short.losses == pytest.approx(curve.losses, abs=0.05)  # dropout falls otherwise in other passes


def test_a_worker_of_a_group_sees_the_devices_of_all() -> None:
    alone = environments([DeviceSlot("3", 2)])
    assert alone == [{"CUDA_VISIBLE_DEVICES": "3", "OMP_NUM_THREADS": "2"}]
    first, second = environments([DeviceSlot("3", 2), DeviceSlot("GPU-a", 4)])
    assert first["CUDA_VISIBLE_DEVICES"] == second["CUDA_VISIBLE_DEVICES"] == "3,GPU-a"
    assert [each["OMP_NUM_THREADS"] for each in (first, second)] == ["2", "4"]
    assert [(each["RANK"], each["LOCAL_RANK"], each["WORLD_SIZE"]) for each in (first, second)] == [
        ("0", "0", "2"),
        ("1", "1", "2"),
    ]
    assert first["MASTER_PORT"] == second["MASTER_PORT"]


def run_a_step(
    request: StepRequest, environment: dict[str, str], *, cwd: Path = REPOSITORY
) -> subprocess.CompletedProcess[str]:
    """A step in a process of its own, with an environment of its own, started as a console script is."""
    return subprocess.run(
        [sys.executable, "-P", "-c", A_STEP, json.dumps(asdict(request))],
        env=os.environ | environment,
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    ("size", "rank"),
    [
        ("WORLD_SIZE", "RANK"),
        ("PMI_SIZE", "PMI_RANK"),  # of Slurm's srun
        ("OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_RANK"),
        ("MV2_COMM_WORLD_SIZE", "MV2_COMM_WORLD_RANK"),
    ],
)
def test_a_lone_worker_does_not_wait_for_the_processes_of_a_launcher(
    topics: Topics, size: str, rank: str
) -> None:
    told = {size: "8", rank: "3", "LOCAL_RANK": "3", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "9"}
    ran = run_a_step(topics.request(), told)
    assert ran.stdout == "step 0\n", ran.stderr


@pytest.mark.slow
def test_a_worker_for_which_the_hub_failed_says_so_and_the_step_can_be_done_once_it_answers(
    topics: Topics, tmp_path: Path
) -> None:
    request = dataclasses.replace(topics.request(candidate=TINY), name="ada/bert", location="ada/bert")
    with serve_hub_server() as hub:
        files = {path.name: path.read_bytes() for path in materialise(TINY).iterdir()}
        hub.add("model", "ada/bert", files)
        hub.failing.append(("GET", "/model.safetensors", 503))
        user = {
            "HF_ENDPOINT": hub.endpoint, "HF_HOME": str(tmp_path / "hf"), "HF_HUB_OFFLINE": "0",
            "HF_HUB_DISABLE_XET": "1", "NO_PROXY": "*", "no_proxy": "*",
        }  # fmt: skip
        ran = [run_a_step(request, user) for _ in range(2)]
    assert f"HubFailed: the model cannot be loaded: {hub.endpoint} answered 503\n" in ran[0].stderr
    assert ran[1].stdout == "step 0\n", ran[1].stderr


def test_nothing_of_the_current_folder_is_run_where_data_may_lie(topics: Topics, tmp_path: Path) -> None:
    for name in ("random.py", "signal.py", "torch.py"):
        (tmp_path / name).write_text(f"open({str(tmp_path / 'ran')!r}, 'w').close()")
    ran = run_a_step(topics.request(), {"PYTHONSAFEPATH": ""}, cwd=tmp_path)
    assert ran.stdout == "step 0\n", ran.stderr
    assert not (tmp_path / "ran").exists()


def test_a_fork_server_that_ends_while_it_imports_is_no_answer_of_a_user(
    tmp_path: Path,
) -> None:
    (tmp_path / "ends_at_once.py").write_text("import os; os._exit(1)")
    script = (
        "from lamps_core.workers import group; group.PRELOAD = ['ends_at_once']; group.start_fork_server(); "
        "group.wait_for_fork_server()"
    )
    ran = subprocess.run(
        [sys.executable, "-P", "-c", script],
        env=os.environ | {"PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert "WorkerDied: the process that workers are forked from ended" in ran.stderr


def test_a_mirrors_password_is_in_no_reason_of_a_workers_end(pool: WorkerPool, topics: Topics) -> None:
    def told(message: dict[str, Any]) -> None:
        log = topics.work / "logs" / "zoo--bert-tiny.log"
        log.write_text("ConnectError: http://ada:s3cret@mirror.example/api does not answer\n")
        os.kill(pids(pool)[0], signal.SIGKILL)

    with pytest.raises(WorkerDied) as died:
        pool.run_step(topics.request(), progress=told)
    assert "last line of zoo--bert-tiny.log: ConnectError: http://mirror.example/api" in str(died.value)
    assert "s3cret" not in str(died.value)


# --- Slots -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("slots", [(CPU,), (DeviceSlot("0", 1), DeviceSlot("0", 1))], ids=["one", "same-gpu"])
def test_a_step_that_needs_more_devices_than_there_are_does_not_fit(
    topics: Topics, slots: tuple[DeviceSlot, ...]
) -> None:
    pool = WorkerPool(slots)
    with pytest.raises(
        CandidateFailed,
        match="does not fit here: zoo/bert-tiny is to be spread over 2 devices, and this process has slots on 1 device",
    ):
        pool.run_step(topics.request(gpus=2))
    assert pids(pool) == []


def test_steps_of_two_slots_take_turns(pool: WorkerPool, new_topics: Callable[..., Topics]) -> None:
    with ThreadPoolExecutor(4) as threads:
        steps = [
            threads.submit(pool.run_step, new_topics(str(number)).request(gpus=2)) for number in range(3)
        ]
        assert [step.result(timeout=120)["step"] for step in steps] == [0, 0, 0]


def test_a_step_of_two_slots_is_not_passed_by_small_ones(
    pool: WorkerPool, new_topics: Callable[..., Topics]
) -> None:
    began: list[str] = []
    halt = Stop(pool, 0, signal.SIGSTOP, phase="load")

    def run(name: str, gpus: int, progress: Callable[[dict[str, Any]], None] | None = None) -> None:
        def tell(told: dict[str, Any]) -> None:
            if name not in began:
                began.append(name)
            if progress is not None:
                progress(told)

        pool.run_step(new_topics(name).request(gpus=gpus), progress=tell)

    def waiting(count: int) -> bool:
        return len(pool._queue) == count

    with ThreadPoolExecutor(3) as threads:
        steps = [threads.submit(run, "halted", 1, halt)]
        assert halt.done.wait(180)  # it holds the first slot, the second is free
        steps.append(threads.submit(run, "wide", 2))
        eventually(lambda: waiting(1), what="the wide step's wait")
        steps.append(threads.submit(run, "small", 1))
        eventually(lambda: waiting(2), what="the small step's wait")
        os.kill(halt.family[0].pid, signal.SIGCONT)
        for step in steps:
            step.result(timeout=120)
    assert began == ["halted", "wide", "small"]


def test_ctrl_c_is_kept_from_a_fork_server_that_takes_the_place_of_one_killed(topics: Topics) -> None:
    ran = subprocess.run(
        [sys.executable, "-c", REPLACED_SERVER, json.dumps(asdict(topics.request()))],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=True,
    )
    assert ran.stdout.split() == ["True", "True"]

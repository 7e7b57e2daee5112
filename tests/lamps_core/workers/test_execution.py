"""Steps on real workers, metered."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import psutil
import pytest

from lamps_core.errors import BudgetSpent, CandidateFailed, Interrupted, WorkerDied
from lamps_core.fine_tuning.steps import StepRequest
from lamps_core.search.budget import parse_budget
from lamps_core.search.run import SearchRun
from lamps_core.workers import execution
from lamps_core.workers.execution import Execution, execution_of
from lamps_core.workers.pool import DeviceSlot
from tests.searches import TINY, eventually, foreign_model, quick_request, workers_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SLOTS = (DeviceSlot(None, 1),)


@pytest.fixture
def opened(topics_csv: Path, tmp_path: Path) -> Iterator[list[StepRequest]]:
    """Zero-shot steps of a good candidate and a broken one, in a folder that is ready for them."""
    models = f"{TINY},{foreign_model(tmp_path / 'broken')}"
    with SearchRun(quick_request(topics_csv, tmp_path / "out", models=models, parallel=2)) as run:
        asked = [run.ask(), run.ask()]
        yield [started[1] for started in asked if started is not None]


@pytest.fixture
def step(opened: list[StepRequest]) -> StepRequest:
    return opened[0]


def test_a_step_is_in_flight_while_it_runs_and_is_no_longer_when_it_is_done(step: StepRequest) -> None:
    seen: list[tuple[str, float]] = []

    def note() -> None:
        ((_, name, _, number), (_, told)) = next(iter(metered.running.items()))
        assert (name, number) == (TINY, 0)
        seen.append((told["phase"], metered.used_seconds()))

    metered = Execution(SLOTS, changed=note)
    try:
        record = metered.run_step(step)
    finally:
        metered.close()
    phases = list(dict.fromkeys(phase for phase, _ in seen))
    assert phases == ["load", "evaluate", "save"]
    seconds = [at for _, at in seen]
    assert seconds == sorted(seconds)
    assert 0 < seconds[-1] <= record["step_seconds"] + 10.0
    assert metered.running == {}
    # Done, and not in what is spent before it is told: no second is missed or counted twice.
    assert metered.used_seconds() == metered.seconds_of(step.key) == record["step_seconds"]
    metered.settle(step.key, spent_seconds=record["step_seconds"])
    assert metered.used_seconds() == metered.spent_seconds == record["step_seconds"]
    assert metered.seconds_of(step.key) == 0.0


def test_attempts_that_came_to_nothing_are_added_up_until_they_are_settled(
    opened: list[StepRequest],
) -> None:
    broken = opened[1]
    metered = Execution(SLOTS)
    try:
        with pytest.raises(CandidateFailed, match="cannot be loaded"):
            metered.run_step(broken)
        once = metered.used_seconds()
        with pytest.raises(CandidateFailed):
            metered.run_step(broken)
    finally:
        metered.close()
    assert metered.running == {}
    both = metered.seconds_of(broken.key)
    assert 0 < once < both == metered.used_seconds()
    metered.settle(broken.key, spent_seconds=both)
    assert (metered.seconds_of(broken.key), metered.used_seconds()) == (0.0, both)


STEP = StepRequest(
    name="a",
    location="",
    revision=None,
    step=1,
    losses=(2.0,),
    settings={"seed": 0},
    work_folder="",
    dataset="topics",
    dataset_fingerprint="",
    run_id="made up",
)


@dataclass
class Attempts:
    """A pool whose attempts at a step take what they are told, by a clock of their own.

    Attributes:
        plan: of each attempt its seconds, and the `step_seconds` of its record; None of one that dies.
        now: what the clock says.
    """

    plan: list[tuple[float, float | None]]
    now: float = 100.0
    seen: list[float] = field(default_factory=list)

    def run_step(self, _: StepRequest, **__: Any) -> dict[str, Any]:
        seconds, step_seconds = self.plan.pop(0)
        self.now += seconds
        if step_seconds is None:
            raise WorkerDied("it died")
        return {"step_seconds": step_seconds}


@pytest.fixture
def attempts(monkeypatch: pytest.MonkeyPatch) -> Attempts:
    made = Attempts([])
    monkeypatch.setattr(execution, "time", SimpleNamespace(monotonic=lambda: made.now))
    return made


def metering(attempts: Attempts) -> Execution:
    metered = Execution([], budget=parse_budget("10s"))
    metered.pool = cast("Any", attempts)
    return metered


@pytest.mark.parametrize("dies", [False, True])
def test_a_step_that_ends_is_counted_once_by_whoever_asks_meanwhile(attempts: Attempts, dies: bool) -> None:
    class Watched:
        """A lock behind which another thread waits, to ask as soon as it is free."""

        def __init__(self) -> None:
            self._lock, self._asking = threading.Lock(), False

        def __enter__(self) -> None:
            self._lock.acquire()

        def __exit__(self, *_: object) -> None:
            self._lock.release()
            if not self._asking:
                self._asking = True
                attempts.seen.append(metered.used_seconds())
                self._asking = False

    metered = metering(attempts)
    metered._lock = cast("Any", Watched())
    attempts.plan = [(0.5, None if dies else 0.5)]
    if dies:
        with pytest.raises(WorkerDied):
            metered.run_step(STEP)
    else:
        metered.run_step(STEP)
    assert metered.seconds_of(STEP.key) == 0.5
    metered.settle(STEP.key, spent_seconds=0.5)
    assert attempts.seen[0] == 0.0
    assert set(attempts.seen[1:]) == {0.5}


def test_attempts_that_died_are_part_of_what_the_step_cost_that_a_later_one_did(attempts: Attempts) -> None:
    metered = metering(attempts)
    attempts.plan = [(4.0, None), (3.0, None), (2.0, 1.75)]
    for died in (4.0, 7.0):
        with pytest.raises(WorkerDied):
            metered.run_step(STEP)
        assert metered.used_seconds() == died
    assert metered.run_step(STEP) == {"step_seconds": 1.75}
    assert metered.seconds_of(STEP.key) == metered.used_seconds() == 8.75
    metered.settle(STEP.key, spent_seconds=8.75)
    assert metered.used_seconds() == 8.75


def test_a_step_whose_answer_was_lost_is_not_paid_for_twice(attempts: Attempts) -> None:
    metered = metering(attempts)
    attempts.plan = [(4.0, None), (0.25, 3.75)]  # the first one committed it, and died before it said so
    with pytest.raises(WorkerDied):
        metered.run_step(STEP)
    metered.run_step(STEP)
    assert metered.seconds_of(STEP.key) == 4.25
    metered.settle(STEP.key, spent_seconds=4.25)
    attempts.plan = [(0.25, 3.75)]  # committed by a run before this one: nobody has paid for it yet
    metered.run_step(STEP)
    assert metered.seconds_of(STEP.key) == 3.75


@pytest.mark.parametrize("spent", [0.0, 59.99])
def test_a_step_is_stopped_when_what_is_spent_and_in_flight_reaches_the_budget(
    step: StepRequest, spent: float
) -> None:
    metered = Execution(SLOTS, budget=parse_budget("0.01s" if spent == 0.0 else "60s"))
    metered.spent_seconds = spent
    try:
        with pytest.raises(BudgetSpent):
            metered.run_step(step)
    finally:
        metered.close()
    assert 0 < metered.seconds_of(step.key) < 30
    assert metered.running == {}


def test_a_budget_in_steps_stops_no_step(step: StepRequest) -> None:
    metered = Execution(SLOTS, budget=parse_budget("1steps"))
    metered.spent_seconds = 1e9
    try:
        assert metered.run_step(step)["step"] == 0
    finally:
        metered.close()


def test_a_step_that_does_not_answer_in_time_is_taken_for_a_dead_worker(step: StepRequest) -> None:
    metered = Execution(SLOTS, step_timeout_seconds=1e-6)
    try:
        with pytest.raises(WorkerDied, match="--step-timeout"):
            metered.run_step(step)
    finally:
        metered.close()


def test_each_folder_finds_its_own_execution(tmp_path: Path) -> None:
    mine, other, later = (Execution(SLOTS) for _ in range(3))
    execution.begin(str(tmp_path), mine)
    execution.begin(str(tmp_path / "other"), other)
    assert execution_of(str(tmp_path)) is mine
    assert execution_of(str(tmp_path / "other")) is other
    execution.shut_down(str(tmp_path))
    execution.shut_down(str(tmp_path))
    execution.begin(str(tmp_path), later)  # the same search, resumed in the same process
    assert execution_of(str(tmp_path)) is later
    of_none = execution_of(str(tmp_path / "third"))
    assert execution_of(str(tmp_path / "third")) is of_none
    for folder in ("", "other", "third"):
        execution.shut_down(str(tmp_path / folder))


def test_a_step_that_comes_after_the_end_is_refused_and_starts_no_worker(step: StepRequest) -> None:
    execution.begin("a folder", Execution(SLOTS))
    execution.shut_down("a folder")
    before = workers_of(psutil.Process().pid)
    with pytest.raises(Interrupted):
        execution_of("a folder").run_step(step)
    assert workers_of(psutil.Process().pid) == before


def test_closing_a_folder_ends_its_workers_and_the_step_that_runs(step: StepRequest) -> None:
    started, ended = threading.Event(), threading.Event()
    metered = Execution(SLOTS, changed=started.set)
    execution.begin("a folder", metered)
    raised: list[BaseException] = []

    def work() -> None:
        try:
            for _ in range(1000):  # a step that is done is answered again at once: it never ends by itself
                metered.run_step(step)
        except Interrupted as error:
            raised.append(error)
        ended.set()

    before = set(workers_of(psutil.Process().pid))
    threading.Thread(target=work, daemon=True).start()
    assert started.wait(180)
    mine = eventually(lambda: set(workers_of(psutil.Process().pid)) - before, what="a worker's start")
    execution.shut_down("a folder")
    assert ended.wait(180)
    assert len(raised) == 1
    eventually(lambda: not any(worker.is_running() for worker in mine), what="the end of the workers")

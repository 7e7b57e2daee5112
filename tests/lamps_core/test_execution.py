"""Steps on real workers, metered."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import psutil
import pytest

from lamps_core import execution
from lamps_core.budget import parse_budget
from lamps_core.errors import BudgetSpent, CandidateFailed, Interrupted, WorkerDied
from lamps_core.execution import Execution, execution_of
from lamps_core.search_run import SearchRun
from lamps_core.worker_pool import DeviceSlot
from tests.searches import TINY, eventually, quick_request, truncated_model, workers_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from lamps_core.steps import StepRequest

SLOTS = (DeviceSlot(None, 1),)


@pytest.fixture
def opened(topics_csv: Path, tmp_path: Path) -> Iterator[list[StepRequest]]:
    """Zero-shot steps of a good candidate and a broken one, in a folder that is ready for them."""
    models = f"{TINY},{truncated_model(tmp_path / 'broken')}"
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
        seen.append((told["phase"], metered.in_flight_seconds()))

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
    assert metered.in_flight_seconds() == record["step_seconds"]
    metered.settle(step.key, spent_seconds=record["step_seconds"])
    assert metered.in_flight_seconds() == 0.0
    assert metered.spent_seconds == record["step_seconds"]
    assert metered.lost_seconds(step.key) == 0.0


def test_attempts_that_came_to_nothing_are_added_up_until_they_are_asked_for(
    opened: list[StepRequest],
) -> None:
    broken = opened[1]
    metered = Execution(SLOTS)
    try:
        with pytest.raises(CandidateFailed, match="cannot be loaded"):
            metered.run_step(broken)
        once = metered.in_flight_seconds()
        with pytest.raises(CandidateFailed):
            metered.run_step(broken)
    finally:
        metered.close()
    assert metered.running == {}
    assert 0 < once < metered.in_flight_seconds() == metered.lost_seconds(broken.key)
    assert metered.lost_seconds(broken.key) == 0.0


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
    assert 0 < metered.lost_seconds(step.key) < 30
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
    execution.register(str(tmp_path), mine)
    execution.register(str(tmp_path / "other"), other)
    assert execution_of(str(tmp_path)) is mine
    assert execution_of(str(tmp_path / "other")) is other
    execution.unregister(str(tmp_path))
    execution.unregister(str(tmp_path))
    execution.register(str(tmp_path), later)  # the same search, resumed in the same process
    assert execution_of(str(tmp_path)) is later
    of_none = execution_of(str(tmp_path / "third"))
    assert execution_of(str(tmp_path / "third")) is of_none
    for folder in ("", "other", "third"):
        execution.unregister(str(tmp_path / folder))


def test_a_step_that_comes_after_the_end_is_refused_and_starts_no_worker(step: StepRequest) -> None:
    execution.register("a folder", Execution(SLOTS))
    execution.unregister("a folder")
    before = workers_of(psutil.Process().pid)
    with pytest.raises(Interrupted):
        execution_of("a folder").run_step(step)
    assert workers_of(psutil.Process().pid) == before


def test_closing_a_folder_ends_its_workers_and_the_step_that_runs(step: StepRequest) -> None:
    started, ended = threading.Event(), threading.Event()
    metered = Execution(SLOTS, changed=started.set)
    execution.register("a folder", metered)
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
    execution.unregister("a folder")
    assert ended.wait(180)
    assert len(raised) == 1
    eventually(lambda: not any(worker.is_running() for worker in mine), what="the end of the workers")

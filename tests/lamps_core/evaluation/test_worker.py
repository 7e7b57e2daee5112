"""The child processes of an evaluation: one that dies takes nothing with it but its own unit."""

from __future__ import annotations

import os
import signal
import threading
from typing import TYPE_CHECKING

import psutil
import pytest

from lamps_core.errors import Interrupted, LampsError, WorkerDied
from lamps_core.evaluation.methods import Contender
from lamps_core.evaluation.unit import TrainingLimits, Unit, run_unit
from lamps_core.evaluation.worker import UnitWorkers
from lamps_core.meta_dataset import read_tasks
from lamps_core.objectives import parse_objectives
from tests.meta_datasets import family_rows, write_meta_dataset
from tests.searches import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lamps_core.task import Task


@pytest.fixture(scope="module")
def tasks(tmp_path_factory: pytest.TempPathFactory) -> tuple[Task, ...]:
    folder = write_meta_dataset(tmp_path_factory.mktemp("curves"), family_rows(2, 8))
    return read_tasks(folder, parse_objectives())


@pytest.fixture(scope="module")
def workers(tasks: tuple[Task, ...]) -> Iterator[UnitWorkers]:
    made = UnitWorkers(tasks, 1)
    yield made
    made.close()


def unit(method: str, repeats: int = 1) -> Unit:
    contender = Contender(name=method, kind="untrained", random=method == "blind", about="")
    return Unit(
        contender=contender,
        dataset="dataset-0",
        repeats=tuple(range(repeats)),
        seed=0,
        limits=TrainingLimits(),
    )


def children(before: set[int]) -> list[psutil.Process]:
    """Those of this process that were not there before and run our code."""
    found = psutil.Process(os.getpid()).children()
    return [child for child in found if child.pid not in before and "spawn_main" in " ".join(child.cmdline())]


def test_a_child_gives_what_this_process_would(workers: UnitWorkers, tasks: tuple[Task, ...]) -> None:
    assert workers.run(unit("blind", 3)) == run_unit(tasks, unit("blind", 3))


def test_a_unit_that_fails_leaves_its_child_alive(workers: UnitWorkers) -> None:
    with pytest.raises(LampsError, match="KeyError: 'nonesuch'"):
        workers.run(unit("nonesuch"))
    assert workers.run(unit("cheapest"))["rows"][0]["method"] == "cheapest"


def test_a_killed_child_is_told_of_and_the_next_unit_gets_another(tasks: tuple[Task, ...]) -> None:
    before = {child.pid for child in psutil.Process(os.getpid()).children()}
    made = UnitWorkers(tasks, 1)
    failures: list[Exception] = []

    def long_unit() -> None:
        try:
            made.run(unit("blind", 100_000))
        except LampsError as error:
            failures.append(error)

    thread = threading.Thread(target=long_unit)
    thread.start()
    (child,) = eventually(lambda: children(before), what="the child's start")
    child.send_signal(signal.SIGKILL)
    thread.join()
    assert [type(error) for error in failures] == [WorkerDied]
    assert "killed by SIGKILL" in str(failures[0])
    assert made.run(unit("cheapest"))["rows"]
    thread = threading.Thread(target=long_unit)
    thread.start()
    eventually(lambda: len(made._children) == 1 and made._idle.empty(), what="a unit in flight")
    made.close()
    thread.join()
    assert [type(error) for error in failures] == [WorkerDied, Interrupted]
    assert children(before) == []
    with pytest.raises(Interrupted):
        made.run(unit("cheapest"))

"""What a worker answers, without a process of its own."""

from __future__ import annotations

import errno
import multiprocessing
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import pytest

from lamps_core.errors import CandidateFailed, HubFailed, LampsError, ShortOfMemory, StorageFailed
from lamps_core.workers.group import RequestLimits, WorkerGroup, _Process
from lamps_core.workers.worker import Worker

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.lamps_core.conftest import Topics

DISK = OSError(errno.ENOSPC, "No space left on device", "/a/file")
FULL = StorageFailed("/a/file: No space left on device: mend it and run again")


@pytest.fixture
def asked(topics: Topics, monkeypatch: pytest.MonkeyPatch) -> Callable[[Exception], None]:
    """Asks a worker for a step that fails of an error."""

    def ask(error: Exception) -> None:
        def fail(*_: Any) -> None:
            raise error

        ours, theirs = multiprocessing.Pipe()
        worker = Worker(theirs, threads=1)
        monkeypatch.setattr(worker._run, "step", fail)
        request = topics.request()
        worker.answer({"do": "step", "request": asdict(request), "dispatched_at": 0.0})
        group = WorkerGroup({}, request)
        group._workers.append(_Process(cast("Any", None), ours, Path()))
        group.ask({}, RequestLimits())

    return ask


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (CandidateFailed("no row fits"), CandidateFailed("no row fits")),
        (HubFailed("the hub answered 503"), HubFailed("the hub answered 503")),
        (ShortOfMemory("CUDA out of memory", 8), ShortOfMemory("CUDA out of memory", 8)),
        (DISK, FULL),
        (KeyError("loss"), CandidateFailed("KeyError: 'loss'")),
    ],
)
def test_an_error_that_is_told_is_raised_in_the_process_that_asked(
    asked: Callable[[Exception], None], error: Exception, told: LampsError
) -> None:
    with pytest.raises(LampsError) as raised:
        asked(error)
    assert type(raised.value) is type(told)
    assert (raised.value.args, str(raised.value)) == (told.args, str(told))


def test_an_error_of_another_kind_ends_the_worker(asked: Callable[[Exception], None]) -> None:
    with pytest.raises(RuntimeError, match="CUDA error"):
        asked(RuntimeError("CUDA error: an illegal memory access was encountered"))

"""Processes that write and read a folder at once or are killed in the middle, and rows for them."""

from __future__ import annotations

import os
import signal
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow.dataset

from lamps_core.campaign.shared_work import fetch_data
from lamps_core.curves.reader import read_curves
from lamps_core.curves.store import CurveStore
from lamps_core.text.prepared_data import load_prepared

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from multiprocessing.synchronize import Event

LAST = 3  # the complete step
CHANGES = ("rename", "replace", "link", "unlink", "mkdir", "rmdir", "fsync")  # system calls of the os module


def row(step: int, *, model: str = "bert", loss: float = 1.0, **more: Any) -> dict[str, Any]:
    """A row of a curve that is complete with step `LAST`."""
    return {
        "dataset": "trec", "model": model, "seed": 0, "step": step, "test_loss": loss, "train_seconds": 2.0,
        "step_seconds": 3.0, "parameters": 100, "complete": step == LAST, "source": "measured",
    } | more  # fmt: skip


def failed(step: int, **more: Any) -> dict[str, Any]:
    """The row of a step that failed."""
    key = {
        name: value
        for name, value in row(step, **more).items()
        if name in {"dataset", "model", "seed", "step"}
    }
    return key | {"source": "measured", "status": "failed", "error": "killed"}


def key_of(told: dict[str, Any]) -> tuple[str, str, int, int]:
    return told["dataset"], told["model"], told["seed"], told["step"]


def seen_outside(folder: Path) -> dict[tuple[str, str, int, int], float]:
    """Each row's loss by key, as pyarrow sees them; no key twice."""
    rows = pyarrow.dataset.dataset(folder).to_table().to_pylist()
    counted = Counter(key_of(told) for told in rows)
    assert max(counted.values()) == 1, [key for key, count in counted.items() if count > 1]
    return {key_of(told): told["test_loss"] for told in rows}


def write_curves(folder: str, models: list[str], loss: float, looked: Sequence[Event]) -> None:
    """Append every row of these curves, each curve in order; no step is begun before the last one was looked at."""
    store = CurveStore(Path(folder))
    for step in range(LAST + 1):
        if step > 0:
            looked[step - 1].wait()
        for model in models:
            store.append(row(step, model=model, loss=loss))


def compact_until_whole(folder: str, curves: int) -> None:
    """Compact again and again, as the one who may, until every curve is one file."""
    store = CurveStore(Path(folder))
    while len(list(Path(folder).glob("[!.]*.parquet"))) < curves:
        store.compact()


def read_until_whole(folder: str, curves: int, looked: Sequence[Event], told: Any) -> None:
    """Read without a pause; sends the times that pyarrow and LAMPS did, and pyarrow's misses.

    A step of which a row was seen is told, and all of them at the end: who waits for this reader does not outlive it.
    """
    try:
        told.send(dict(_looks(Path(folder), curves * (LAST + 1), looked)))
    finally:
        for event in looked:
            event.set()


def _looks(folder: Path, rows: int, looked: Sequence[Event]) -> Counter[str]:
    counted = Counter[str]()
    losses: dict[tuple[str, str, int, int], float] = {}
    while counted["whole"] < 2:
        try:
            seen = seen_outside(folder)
            assert {key: seen[key] for key in seen if key in losses} == {
                key: losses[key] for key in seen if key in losses
            }, "a row changed"
            losses |= seen
            counted["outside"] += 1
        except FileNotFoundError:
            counted["missed"] += 1
        table = read_curves(folder)
        ours = {key_of(told): told["test_loss"] for told in table.to_pylist()}
        assert losses.items() <= ours.items(), f"gone: {sorted(losses.keys() - ours.keys())[:3]}"
        losses = ours
        for step in {key[-1] for key in ours if key[-1] < len(looked)}:
            looked[step].set()
        counted["ours"] += 1
        counted["whole"] += len(ours) == rows
    return counted


def fetch_and_read(work: str, here: str, rows: int) -> None:
    """Bring a dataset to this host, as each of its Dask workers does, and read it."""
    fetch_data(Path(work), Path(here))
    for _ in range(5):
        assert len(load_prepared(Path(here) / "data").train) == rows


def killed_at(call: int, operation: Callable[[], Any]) -> bool:
    """Run an operation in a child that kills itself before its n-th change to a disk; whether it came that far.

    The child is a fork: what is killed is this very code, at a moment that a clock could not hit.
    """
    pid = os.fork()
    if pid == 0:
        try:
            _kill_before(call)
            operation()
        except BaseException:
            os._exit(1)
        os._exit(0)
    _, status = os.waitpid(pid, 0)
    assert os.WIFSIGNALED(status) or os.WEXITSTATUS(status) == 0, "the operation raised"
    return os.WIFSIGNALED(status)


def _kill_before(call: int) -> None:
    count = 0

    def hooked(change: Callable[..., Any]) -> Callable[..., Any]:
        def wrapped(*args: Any, **options: Any) -> Any:
            nonlocal count
            if count == call:
                os.kill(os.getpid(), signal.SIGKILL)
            count += 1
            return change(*args, **options)

        return wrapped

    def half_written(path: Path, content: bytes) -> int:
        """Two changes: the first half, then the rest."""
        with path.open("wb") as file:
            half = hooked(file.write)(content[: len(content) // 2])
            file.flush()
            return int(half + hooked(file.write)(content[half:]))

    for name in CHANGES:
        setattr(os, name, hooked(getattr(os, name)))
    setattr(Path, "write_bytes", half_written)  # noqa: B010

"""One landmark step of a campaign on the host that runs it: fetch what it needs, run it, keep what it gave.

The order of what is kept makes a step safe to run again at any moment: the worker commits the checkpoint, a
scratch folder's checkpoint is copied to the shared work folder, then the row lands in the curves. Each is
idempotent by (dataset, candidate, seed, step). Does not know what decides the next step, nor Prefect.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import shutil
import socket
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lamps_core.campaign.shared_work import fetch_checkpoint, fetch_data, newest_shared_step, push_checkpoint
from lamps_core.curves.store import CurveStore
from lamps_core.errors import StorageFailed
from lamps_core.files import safe_name
from lamps_core.fine_tuning.checkpoint import newest_checkpoint
from lamps_core.locks import held, held_if_free
from lamps_core.models.zoo import PREFIX, materialise
from lamps_core.resources import cache_folder
from lamps_core.storage import is_folder, is_local, storage_failures, storage_path

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from lamps_core.fine_tuning.steps import StepRequest

SCRATCH = "LAMPS_SCRATCH"  # a host's own folder, from and to which the shared work folder is copied


@dataclass(frozen=True, kw_only=True)
class StepDestination:
    """Where a campaign's step is kept.

    Attributes:
        curves: the curves folder, a path or an fsspec URL.
        anew: the curve is made a second time: its row replaces the one that is there.
        step_timeout_seconds: after which the step is taken for hung; None for that of the engine.
    """

    curves: str
    anew: bool = False
    step_timeout_seconds: float | None = None


def run_and_keep(
    request: StepRequest, destination: StepDestination, run: Callable[[StepRequest], dict[str, Any]]
) -> dict[str, Any]:
    """Run a step and append its row to the curves.

    Args:
        request: the step; its work folder is the shared one, a path or an fsspec URL.
        destination: where the row goes.
        run: runs a step whose work folder lies on this host.

    Returns:
        The step's record.

    Raises:
        StorageFailed: the curves, the work or the scratch folder cannot be written or read.
        LampsError: as `run` does.
    """
    with on_this_host(request, anew=destination.anew) as here:
        record = run(here)
        scratch = here.work_folder != request.work_folder
        if scratch and not record["complete"]:  # nobody asks for the weights of a complete one
            with storage_failures(f"{here.checkpoint_folder} to {request.work_folder}"), held(here.lock_file):
                push_checkpoint(here.checkpoint_folder, _shared_checkpoints(request))
        row = record | {"dataset": request.dataset}
        store = CurveStore(storage_path(destination.curves))
        with storage_failures(destination.curves):
            store.append_anew(row) if destination.anew else store.append(row)
        if scratch and record["complete"]:
            shutil.rmtree(here.checkpoint_folder, ignore_errors=True)
    return record


@contextlib.contextmanager
def on_this_host(request: StepRequest, *, anew: bool = False) -> Iterator[StepRequest]:
    """The request with folders of this host: its own build of a zoo candidate, its scratch folder if it has one.

    Args:
        request: the step as the campaign asks for it.
        anew: its curve is made a second time: a checkpoint that only this host has is of the first attempt.

    Yields:
        The request; what it needs on this host is not deleted before the block ends.

    Raises:
        StorageFailed: the scratch or the work folder cannot be written or read, or cannot be seen from this host.
    """
    if request.location.startswith(PREFIX):
        with storage_failures(cache_folder()):
            request = dataclasses.replace(request, location=str(materialise(request.location)))
    scratch = scratch_folder(request.work_folder)
    if scratch is None:
        _see_data(request.work_folder)
        yield request
        return
    shared, folder = storage_path(request.work_folder), scratch / safe_name(request.run_id)
    here = dataclasses.replace(request, work_folder=str(folder / shared.name))
    with contextlib.ExitStack() as stack:
        with storage_failures(f"{request.work_folder} to {scratch}"):
            stack.enter_context(held(_use_of(here.checkpoint_folder), with_others=True))
            with held(here.lock_file):
                fetch_data(shared, Path(here.work_folder))
                fetch_checkpoint(
                    _shared_checkpoints(request), here.checkpoint_folder, step=request.step, anew=anew
                )
            _drop_left_behind(folder, shared.parent)
        yield here


def drop_scratch(work: str, run_id: str) -> None:
    """Delete what the steps of a campaign left in this host's scratch folder, unless one of them still runs.

    Args:
        work: the campaign's work folder, or one in it.
        run_id: of the campaign.
    """
    scratch = scratch_folder(work)
    if scratch is None:
        return
    folder = scratch / safe_name(run_id)
    with contextlib.ExitStack() as stack:
        in_use = folder.glob("*/checkpoints/.*.use")
        if all(stack.enter_context(held_if_free(lock)) for lock in in_use):
            shutil.rmtree(folder, ignore_errors=True)


def _use_of(checkpoints: Path) -> Path:
    """The lock file that steps of a candidate hold on this host, from its fetched checkpoint to its kept row."""
    return checkpoints.with_name(f".{checkpoints.name}.use")


def _drop_left_behind(folder: Path, shared: Any) -> None:
    """Delete a campaign's checkpoints in a scratch folder whose candidates have ended, or went on elsewhere.

    Args:
        folder: the campaign's in this host's scratch folder.
        shared: its work folder.
    """
    for place in folder.glob("*/checkpoints/[!.]*"):
        with held_if_free(_use_of(place)) as free:
            if free and _is_left_behind(place, shared / place.relative_to(folder).as_posix()):
                shutil.rmtree(place, ignore_errors=True)


def _is_left_behind(place: Path, shared: Any) -> bool:
    own = newest_checkpoint(place)
    if own is not None and not own.has_model:  # of step 0: it takes no room, and may not be shared yet
        return False
    newest = newest_shared_step(shared)
    return own is None or newest is None or own.step < newest


def _see_data(work: str) -> None:
    """See that a shared work folder is there: a host that does not mount it would begin an empty one of its own."""
    if not is_folder(Path(work) / "data"):
        raise StorageFailed(
            f"{work} holds no data as seen from {socket.gethostname()}: mount the shared folder there, and run again"
        )


def scratch_folder(work: str) -> Path | None:
    """This host's own folder for steps of a shared work folder; None where they run in the shared one."""
    named = os.environ.get(SCRATCH)
    if named:
        return Path(named).expanduser().absolute()
    return None if is_local(storage_path(work)) else cache_folder() / "scratch"


def _shared_checkpoints(request: StepRequest) -> Any:
    return storage_path(request.work_folder) / "checkpoints" / safe_name(request.name)

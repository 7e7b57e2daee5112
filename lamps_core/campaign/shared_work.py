"""Checkpoints and prepared data copied between a shared work folder and a host's own scratch folder.

A checkpoint in the shared folder is `step-0007` (committed there by a rename) or, on an object store,
`step-0007-<attempt>`, which is whole once its record is there. Does not know what is in a checkpoint but its
record.
"""

from __future__ import annotations

import contextlib
import re
import shutil
import tempfile
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lamps_core.files import draft_beside, flush, flush_folder
from lamps_core.fine_tuning.checkpoint import (
    RECORD,
    checkpoint_after,
    drop_older,
    newest_checkpoint,
    show_checkpoint,
)
from lamps_core.storage import entries, is_folder, is_local, is_there, put_whole
from lamps_core.text.prepared_data import save_prepared

if TYPE_CHECKING:
    from lamps_core.fine_tuning.checkpoint import Checkpoint
    from lamps_core.text.dataset import TextDataset

_FOLDER = re.compile(r"step-(\d{4,})(-[0-9a-f]+)?")
_OF_A_STEP = re.compile(r"(?:step|\.draft)-(\d{4,})(-[0-9a-f]+)?")  # what a killed copy left, too
_DESCRIPTION = "dataset.json"
_CHUNK = 16 * 2**20


def newest_shared_step(checkpoints: Any) -> int | None:
    """The last step committed in a candidate's shared checkpoints; None if there is none."""
    newest = _newest(checkpoints)
    return None if newest is None else newest[0]


def _newest(checkpoints: Any) -> tuple[int, Any] | None:
    found = [
        (int(match[1]), path.name, path)
        for path, _ in entries(checkpoints)
        if (match := _FOLDER.fullmatch(path.name)) and is_there(path / RECORD)
    ]
    if not found:
        return None
    step, _, path = max(found, key=lambda entry: entry[:2])
    return step, path


def fetch_checkpoint(shared: Any, local: Path, *, step: int, anew: bool = False) -> None:
    """Bring the newest shared checkpoint of a candidate to this host, if it is newer than the one here.

    Called by the holder of the candidate's lock file. A checkpoint here that cannot lead to the step is dropped.

    Args:
        shared: the candidate's checkpoints in the shared work folder.
        local: those of this host.
        step: to be run next.
        anew: the curve is made a second time: a checkpoint that only this host has is of the first attempt.
    """
    own = newest_checkpoint(local)
    if own is not None and (own.step > step or (anew and not _is_shared(own, shared))):
        shutil.rmtree(local)
        own = None
    while (newest := _newest(shared)) is not None and (own is None or own.step < newest[0]):
        newest_step, folder = newest
        draft = local / f".draft-{newest_step:04d}"
        try:
            _copy_folder(folder, draft)
        except (FileNotFoundError, NotADirectoryError):
            if _newest(shared) == newest:
                raise
        # Else another host pushed a newer one, and drops this one: it may be torn.
        if _newest(shared) == newest:
            show_checkpoint(draft, checkpoint_after(local, newest_step).folder)
            drop_older(local, newest_step)
            return


def _is_shared(own: Checkpoint, shared: Any) -> bool:
    newest = _newest(shared)
    return (
        newest is not None
        and newest[0] == own.step
        and (newest[1] / RECORD).read_bytes() == (own.folder / RECORD).read_bytes()
    )


def _copy_folder(folder: Any, draft: Path) -> None:
    """Copy a checkpoint into a draft of it, flushed."""
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir(parents=True)
    for path in _with_record_last(folder):
        _copy(path, draft / path.name)
    flush_folder(draft)


def _with_record_last(folder: Any) -> list[Any]:
    return sorted((path for path, _ in entries(folder)), key=lambda path: path.name == RECORD)


def push_checkpoint(local: Path, shared: Any) -> None:
    """Copy this host's newest checkpoint of a candidate to the shared folder, and drop the older ones there."""
    own = newest_checkpoint(local)
    shared_step = newest_shared_step(shared)
    if own is None or (shared_step is not None and shared_step >= own.step):
        return
    name, attempt = own.folder.name, uuid.uuid4().hex[:8]
    if is_local(shared):
        draft = shared / f".draft-{own.step:04d}-{attempt}"
        try:
            _copy_folder(own.folder, draft)
            show_checkpoint(draft, shared / name)
            flush(shared)
        except OSError:
            shutil.rmtree(draft, ignore_errors=True)
            if newest_shared_step(shared) != own.step:  # else another host was faster with the same step
                raise
    else:
        for path in _with_record_last(own.folder):  # with the record, it counts
            _copy(path, shared / f"{name}-{attempt}" / path.name)
    for path, _ in entries(shared):
        match = _OF_A_STEP.fullmatch(path.name)
        if match and int(match[1]) < own.step:
            _remove(path)


def drop_checkpoint(shared: Any) -> None:
    """Delete a candidate's shared checkpoints."""
    if is_folder(shared):
        _remove(shared)


def push_data(dataset: TextDataset, shared_work: Any) -> None:
    """Put a prepared dataset into a shared work folder, unless the same one is there."""
    with tempfile.TemporaryDirectory(prefix="lamps-data-") as folder:
        save_prepared(dataset, Path(folder))
        _copy_data(Path(folder), shared_work / "data")


def fetch_data(shared_work: Any, work: Path) -> None:
    """Bring the prepared dataset of a shared work folder to this host, unless the same one is here.

    Several processes of a host may do so at once, while others read what is there.
    """
    _copy_data(shared_work / "data", work / "data")


def _copy_data(source: Any, target: Any) -> None:
    """Copy the files of a prepared dataset, its description last, unless the target has the same description."""
    told = (source / _DESCRIPTION).read_bytes()
    if is_there(target / _DESCRIPTION) and (target / _DESCRIPTION).read_bytes() == told:
        return
    if is_local(target):
        target.mkdir(parents=True, exist_ok=True)
    for path, _ in entries(source):
        if path.name != _DESCRIPTION and not path.name.startswith("."):
            _copy_whole(path, target / path.name)
    put_whole(target / _DESCRIPTION, told)


def _copy_whole(source: Any, target: Any) -> None:
    if not is_local(target):
        _copy(source, target)  # a store shows an object when it is whole
        return
    draft = draft_beside(target)
    try:
        _copy(source, draft)
        flush(draft)
        draft.replace(target)
    finally:
        draft.unlink(missing_ok=True)


def _copy(source: Any, target: Any) -> None:
    with source.open("rb") as reading, target.open("wb") as writing:
        shutil.copyfileobj(reading, writing, _CHUNK)


def _remove(folder: Any) -> None:
    if is_local(folder):
        shutil.rmtree(folder, ignore_errors=True)
    else:
        with contextlib.suppress(FileNotFoundError):  # another host was faster
            folder.fs.rm(folder.path, recursive=True)

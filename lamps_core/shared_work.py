"""Checkpoints and prepared data copied between a shared work folder and a host's own scratch folder.

A checkpoint in the shared folder is `step-0007` (committed there by a rename) or, on an object store,
`step-0007-<attempt>`, which is whole once its record is there. Does not know what is in a checkpoint but its
record.
"""

from __future__ import annotations

import re
import shutil
import tempfile
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lamps_core.checkpoint import RECORD, newest_checkpoint
from lamps_core.prepared_data import save_prepared
from lamps_core.storage import is_local

if TYPE_CHECKING:
    from lamps_core.text_data import TextDataset

_FOLDER = re.compile(r"step-(\d{4,})(-[0-9a-f]+)?")
_DESCRIPTION = "dataset.json"
_CHUNK = 16 * 2**20


def newest_shared_step(checkpoints: Any) -> int | None:
    """The last step committed in a candidate's shared checkpoints; None if there is none."""
    newest = _newest(checkpoints)
    return None if newest is None else newest[0]


def _newest(checkpoints: Any) -> tuple[int, Any] | None:
    if not checkpoints.is_dir():
        return None
    found = [
        (int(match[1]), path.name, path)
        for path in checkpoints.iterdir()
        if (match := _FOLDER.fullmatch(path.name)) and (path / RECORD).is_file()
    ]
    if not found:
        return None
    step, _, path = max(found, key=lambda entry: entry[:2])
    return step, path


def fetch_checkpoint(shared: Any, local: Path) -> None:
    """Bring the newest shared checkpoint of a candidate to this host, if it is newer than the one here."""
    newest, own = _newest(shared), newest_checkpoint(local)
    if newest is None or (own is not None and own.step >= newest[0]):
        return
    step, folder = newest
    draft = local / f".draft-{step:04d}"
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir(parents=True)
    for path in folder.iterdir():
        _copy(path, draft / path.name)
    target = local / f"step-{step:04d}"
    shutil.rmtree(target, ignore_errors=True)
    draft.rename(target)


def push_checkpoint(local: Path, shared: Any) -> None:
    """Copy this host's newest checkpoint of a candidate to the shared folder, and drop the older ones there."""
    own = newest_checkpoint(local)
    shared_step = newest_shared_step(shared)
    if own is None or (shared_step is not None and shared_step >= own.step):
        return
    attempt = f"{own.step:04d}-{uuid.uuid4().hex[:8]}"
    if is_local(shared):
        draft = shared / f".draft-{attempt}"
        _copy_checkpoint(own.folder, draft)
        _show(draft, shared / own.folder.name)
    else:
        _copy_checkpoint(own.folder, shared / f"step-{attempt}")
    for path in list(shared.iterdir()):
        match = _FOLDER.fullmatch(path.name)
        if match and int(match[1]) < own.step:
            _remove(path)


def _show(draft: Path, target: Path) -> None:
    """Commit a copied checkpoint, unless another host has done this very step meanwhile: either is as good."""
    try:
        draft.rename(target)
    except OSError:
        if not target.is_dir():
            raise
        shutil.rmtree(draft, ignore_errors=True)


def _copy_checkpoint(source: Path, target: Any) -> None:
    """Copy the files of a checkpoint, its record last: with it, the copy counts."""
    if is_local(target):
        target.mkdir(parents=True)
    for path in sorted(source.iterdir(), key=lambda path: (path.name == RECORD, path.name)):
        _copy(path, target / path.name)


def drop_checkpoint(shared: Any) -> None:
    """Delete a candidate's shared checkpoints."""
    if shared.is_dir():
        _remove(shared)


def push_data(dataset: TextDataset, shared_work: Any) -> None:
    """Put a prepared dataset into a shared work folder, its description last."""
    with tempfile.TemporaryDirectory(prefix="lamps-data-") as folder:
        save_prepared(dataset, Path(folder))
        _copy_data(Path(folder), shared_work / "data")


def fetch_data(shared_work: Any, work: Path) -> None:
    """Bring the prepared dataset of a shared work folder to this host, unless the same one is here."""
    here, there = work / "data", shared_work / "data"
    told = (there / _DESCRIPTION).read_bytes()
    if (here / _DESCRIPTION).is_file() and (here / _DESCRIPTION).read_bytes() == told:
        return
    _copy_data(there, here)


def _copy_data(source: Any, target: Any) -> None:
    if is_local(target):
        target.mkdir(parents=True, exist_ok=True)
    for path in sorted(source.iterdir(), key=lambda path: path.name == _DESCRIPTION):
        _copy(path, target / path.name)


def _copy(source: Any, target: Any) -> None:
    with source.open("rb") as reading, target.open("wb") as writing:
        shutil.copyfileobj(reading, writing, _CHUNK)


def _remove(folder: Any) -> None:
    if is_local(folder):
        shutil.rmtree(folder, ignore_errors=True)
    else:
        folder.fs.rm(folder.path, recursive=True)

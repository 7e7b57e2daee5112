"""The state of a candidate after a step, committed by one rename; only the newest is kept.

A checkpoint is a folder `step-0007` that holds an ordinary `transformers` model folder, the optimiser's state
and the step's record. The rename that gives it its name commits the step: a step whose folder exists is done
and never run again, whoever asks. Knows nothing of tensors, and imports no torch: commands and flows look here.
"""

from __future__ import annotations

import json
import re
import shutil
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from lamps_core.files import flush, flush_folder, readable_like

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

RECORD = "record.json"
FOLDER_NAME = re.compile(r"step-(\d{4,})")


@dataclass(frozen=True)
class Checkpoint:
    """A committed step.

    Attributes:
        folder: where it lies.
        step: the landmark step it follows.
    """

    folder: Path
    step: int

    @property
    def record(self) -> dict[str, Any]:
        """The step's record, as it was returned when the step was run."""
        return json.loads((self.folder / RECORD).read_text(encoding="utf-8"))

    @property
    def has_model(self) -> bool:
        """False after step 0, whose model is the pretrained one with its seeded head."""
        return (self.folder / "config.json").is_file()


def newest_checkpoint(folder: Path) -> Checkpoint | None:
    """The last committed step in a candidate's folder; drafts are not looked at."""
    found = [
        Checkpoint(path, int(match[1]))
        for path in (folder.iterdir() if folder.is_dir() else ())
        if (match := FOLDER_NAME.fullmatch(path.name)) and (path / RECORD).is_file()
    ]
    return max(found, key=lambda checkpoint: checkpoint.step, default=None)


def checkpoint_after(folder: Path, step: int) -> Checkpoint:
    """The checkpoint of a step in a candidate's folder, whether it is there or not."""
    return Checkpoint(folder / f"step-{step:04d}", step)


def commit_checkpoint(
    folder: Path,
    step: int,
    *,
    save: Callable[[Path], None],
    record: Callable[[], dict[str, Any]],
) -> dict[str, Any]:
    """Write and commit a step, then drop the older ones.

    Args:
        folder: the candidate's.
        step: the step done.
        save: writes model and optimiser into the folder it is given.
        record: called when all else is on disk, so that the record's times hold the saving too.

    Returns:
        The committed record: ours, or the one another host committed first.
    """
    draft = folder / f".draft-{step:04d}-{uuid.uuid4().hex[:8]}"
    draft.mkdir(parents=True)
    try:
        save(draft)
        flush_folder(draft)
        told = record()
        (draft / RECORD).write_text(json.dumps(told, allow_nan=False), encoding="utf-8")
        flush(draft / RECORD)
        readable_like(draft / RECORD)
        flush(draft)
        show_checkpoint(draft, checkpoint_after(folder, step).folder)
    except Exception:
        shutil.rmtree(draft, ignore_errors=True)
        newest = newest_checkpoint(folder)
        if newest is None or newest.step != step:
            raise
        return newest.record
    flush(folder)
    drop_older(folder, step)
    return told


def show_checkpoint(draft: Path, target: Path) -> None:
    """Give a flushed draft its name, in place of a checkpoint that was being deleted as its writer was killed.

    Raises:
        OSError: there is a whole one.
    """
    if target.exists() and not (target / RECORD).exists():
        shutil.rmtree(target)
    draft.rename(target)


def drop_older(folder: Path, step: int) -> None:
    """Delete checkpoints before `step` and drafts that a killed worker left."""
    for path in folder.iterdir():
        match = FOLDER_NAME.fullmatch(path.name)
        if path.name.startswith(".draft-") or (match and int(match[1]) < step):
            shutil.rmtree(path, ignore_errors=True)

"""Files that are whole or not there: written beside their place, flushed to disk, renamed."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import hashlib
import json
import os
import re
import shutil
import stat
import time
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lamps_core.errors import BadInput

if TYPE_CHECKING:
    from collections.abc import Iterator

DRAFT_SECONDS = 86_400  # a draft of this age is of a writer that was killed
_DRAFT = re.compile(r"\..+\.[0-9a-f]{32}")  # as `draft_beside` names it


def draft_beside(path: Path) -> Path:
    """A unique hidden path beside `path`, to write a draft to; `drop_drafts` recognises it."""
    return path.with_name(f".{path.name}.{uuid.uuid4().hex}")


def write_atomically(path: Path, content: bytes) -> None:
    """Replace a file by one rename, after its bytes are on disk.

    Raises:
        OSError: names the file, not its draft.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = draft_beside(path)
    try:
        draft.write_bytes(content)
        flush(draft)
        draft.replace(path)
    except BaseException as error:
        draft.unlink(missing_ok=True)
        if isinstance(error, OSError) and str(error.filename) == str(draft):
            raise OSError(error.errno, error.strerror, str(path)) from error
        raise
    flush(path.parent)


def readable_like(file: Path) -> None:
    """Give all files of a folder the mode of one: safetensors makes files that nobody but their owner reads."""
    mode = stat.S_IMODE(file.stat().st_mode)
    for path in file.parent.iterdir():
        if path.is_file():
            path.chmod(mode)


def drop_drafts(folder: Path, *, older_than_seconds: float = 0.0) -> None:
    """Delete the drafts that killed writers left, anywhere in a folder.

    Args:
        folder: local.
        older_than_seconds: what is younger may be of a writer that lives; 0 where nobody writes now.
    """
    for place, folders, files in os.walk(folder):
        drafts = [name for name in (*folders, *files) if _DRAFT.fullmatch(name)]
        folders[:] = [name for name in folders if name not in drafts]
        for draft in (Path(place) / name for name in drafts):
            if _age_seconds(draft) < older_than_seconds:
                continue
            if draft.is_dir():
                shutil.rmtree(draft, ignore_errors=True)
            else:
                draft.unlink(missing_ok=True)


def _age_seconds(path: Path) -> float:
    """Since it was changed; never below 0, whatever the clocks say, and 0 where it is gone."""
    with contextlib.suppress(FileNotFoundError):
        return max(0.0, time.time() - path.stat().st_mtime)
    return 0.0


def make_folder(path: Path) -> None:
    """Make a folder, and those above it, on disk too; one that is there is fine."""
    if path.is_dir():
        return
    make_folder(path.parent)
    path.mkdir(exist_ok=True)
    with contextlib.suppress(PermissionError):  # the folder above may be another's, and not ours to list
        flush(path.parent)


def refuse_unwritable(folder: Path, named: str) -> None:
    """Refuse a folder that cannot be written into or, if it is not there, cannot be made. Makes nothing.

    Args:
        folder: that is going to be written into.
        named: what the user calls it, such as `--out runs/reviews`.

    Raises:
        BadInput: it may not; tells what is in the way.
        OSError: no folder can have such a name.
    """
    nearest = next(place for place in (folder.absolute(), *folder.absolute().parents) if place.exists())
    if not nearest.is_dir():
        raise BadInput(f"{named} cannot be written: {nearest} is a file")
    if not os.access(nearest, os.W_OK | os.X_OK):
        raise BadInput(f"{named} cannot be written: {nearest} does not allow it")


@contextlib.contextmanager
def usable_folder(folder: Path, named: str) -> Iterator[None]:
    """Refuse a folder that nothing can be written to; the block looks at what it holds.

    Args:
        folder: that is going to be written into, there or not.
        named: what the user calls it, such as `--out runs/reviews`.

    Raises:
        BadInput: it is a file, cannot be written or made, or, in the block, an operating system's error.
    """
    try:
        if folder.exists() and not folder.is_dir():
            raise BadInput(f"{named} is a file: name a folder")
        yield
        refuse_unwritable(folder, named)
    except OSError as error:  # a name too long for a file, a folder that may not be listed
        raise BadInput(f"{named} cannot be used: {error.strerror or error}") from error


@contextlib.contextmanager
def whole_folder(folder: Path) -> Iterator[Path]:
    """Give a draft to fill with files: flushed, it becomes `folder` by one rename as the block ends.

    Where another process was first, its folder stays. The draft is gone in any case.

    Raises:
        OSError: the draft cannot be made, or the name is taken by what is no folder.
    """
    draft = draft_beside(folder)
    try:
        draft.mkdir(parents=True)
        yield draft
        flush_folder(draft)
        try:
            draft.rename(folder)
        except OSError:
            if not folder.is_dir():
                raise
        flush(folder.parent)
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def exchange_folders(new: Path, place: Path) -> None:
    """Swap a flushed folder with the one at `place`, so that a reader finds the old or the new one at any moment.

    Uses renameat2(2); where a file system lacks it, two renames, between which there is no folder for a moment.
    """
    flush(new)
    libc = ctypes.CDLL(None, use_errno=True)
    if hasattr(libc, "renameat2"):
        here = -100  # AT_FDCWD
        if libc.renameat2(here, os.fsencode(new), here, os.fsencode(place), 2) == 0:  # RENAME_EXCHANGE
            flush(place.parent)
            return
    aside = draft_beside(place)
    place.rename(aside)
    new.rename(place)
    aside.rename(new)
    flush(place.parent)


def move_into_place(draft: Path, path: Path, *, replace: bool) -> None:
    """Give a flushed draft its name; without `replace`, a file of that name stays and the draft is dropped."""
    if not replace:
        try:
            os.link(draft, path)
        except FileExistsError:
            return
        except PermissionError:
            pass  # a file system without hard links
        except OSError as error:
            # The last, where none may lead from one folder to another.
            if error.errno not in {errno.ENOTSUP, errno.ENOSYS, errno.EXDEV}:
                raise
        else:
            return
        if path.exists():
            return
    draft.replace(path)


def write_json(path: Path, value: Any) -> None:
    """Write a value as JSON, atomically; NaN and infinity are refused."""
    text = json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False)
    write_atomically(path, (text + "\n").encode())


def json_object(content: bytes) -> dict[str, Any]:
    """The object that a file of JSON holds, which somebody else may have written.

    Raises:
        ValueError: no JSON, nested too deep, or JSON of something else.
    """
    try:
        value = json.loads(content)
    except RecursionError:
        raise ValueError("it is nested too deep") from None
    if not isinstance(value, dict):
        raise ValueError("it holds no JSON object")
    return value


def flush(path: Path) -> None:
    """Have the operating system put a file's bytes, or a folder's names, on disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def flush_folder(folder: Path) -> None:
    """Flush every file directly inside a folder, then the folder."""
    for path in folder.iterdir():
        flush(path)
    flush(folder)


def safe_name(name: str) -> str:
    """A file name for any name: readable, no path in it, different for different names.

    A name that is already safe stays as it is, but for `/`, which becomes `--`.

    >>> safe_name("google-bert/bert-base-uncased")
    'google-bert--bert-base-uncased'
    """
    readable = re.sub(r"[^A-Za-z0-9._-]", "_", name.replace("/", "--")).lstrip(".")[:80]
    if readable.replace("--", "/") == name:
        return readable
    return f"{readable}-{hashlib.sha256(name.encode()).hexdigest()[:8]}"

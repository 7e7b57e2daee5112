"""A folder by local path or fsspec URL, and files in it that appear whole or not at all.

Owns what `--curves` and `--work` may name. Knows nothing of what is stored.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lamps_core.errors import BadInput, StorageFailed
from lamps_core.files import write_atomically

if TYPE_CHECKING:
    from collections.abc import Iterator

# A disk or a server that nothing can be written to: whoever comes next will fare no better.
UNUSABLE = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO, errno.ESTALE})
_IN_RUST = re.compile(r"\(os error (\d+)\)(?: at path \"([^\"]+)\")?")  # how safetensors tells of it
HERE = ("file://", "local://")  # what fsspec calls this host's file system


def storage_path(text: str | Path) -> Any:
    """A local path, absolute, as `pathlib.Path`; a URL of another file system as `upath.UPath`.

    Raises:
        BadInput: a protocol that is not known, or whose package is not installed.
    """
    if isinstance(text, str) and text.startswith(HERE):
        text = text.partition("://")[2]
    if not isinstance(text, str) or "://" not in text:
        return _local(text) if isinstance(text, (str, Path)) else text
    from fsspec import get_filesystem_class
    from upath import UPath

    protocol = text.partition("://")[0]
    try:
        get_filesystem_class(protocol)
    except ImportError as error:
        raise BadInput(f"{protocol}:// cannot be used: {error}") from error
    except ValueError:
        raise BadInput(
            f"{protocol}:// is no storage that fsspec knows: give a folder, or s3://bucket/folder"
        ) from None
    return UPath(text)


def _local(text: str | Path) -> Path:
    try:
        return Path(text).expanduser().absolute()
    except RuntimeError as error:  # ~name of nobody here
        raise BadInput(f"{text} cannot be used: {error}") from None


def is_local(path: Any) -> bool:
    """Whether a path of `storage_path` is of this host's file system."""
    return type(path).__module__.partition(".")[0] == "pathlib"


def put_whole(path: Any, content: bytes) -> None:
    """Write a file: by a rename locally, by one PUT on an object store."""
    if is_local(path):
        write_atomically(path, content)
    else:
        path.fs.pipe_file(path.path, content)


@contextlib.contextmanager
def naming(place: Any) -> Iterator[None]:
    """Say which disk or store is full, read-only or away.

    Args:
        place: named where the error itself names no file, as of a disk that ran full in the middle of one.

    Raises:
        StorageFailed: in the place of an OSError.
    """
    try:
        yield
    except OSError as error:
        raise StorageFailed(
            f"{error.filename or place}: {error.strerror or error}: mend it and run again"
        ) from error


def unusable_storage(error: BaseException, place: Any) -> str | None:
    """What to say of an error if a full, read-only or broken disk is behind it, else None.

    Args:
        error: of any library: one of our own may have been raised from that of the disk.
        place: named where the error names no file.
    """
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, OSError) and cause.errno in UNUSABLE:
            return f"{cause.filename or place}: {cause.strerror}: mend it and run again"
        told = _IN_RUST.search(str(cause))
        if told and int(told[1]) in UNUSABLE:
            return f"{told[2] or place}: {os.strerror(int(told[1]))}: mend it and run again"
        cause = cause.__cause__ or cause.__context__
    return None

"""A folder by local path or fsspec URL, and files in it that appear whole or not at all.

Owns what `--curves` and `--work` may name. Knows nothing of what is stored.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import socket
import stat
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from lamps_core.errors import BadInput, StorageFailed
from lamps_core.files import write_atomically

if TYPE_CHECKING:
    from collections.abc import Iterator

# A disk or a server that nothing can be written to: whoever comes next will fare no better.
UNUSABLE = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO, errno.ESTALE})
_IN_RUST = re.compile(r"\(os error (\d+)\)(?: at path \"([^\"]+)\")?")  # how safetensors tells of it
HIDDEN = ".lamps"  # readers of a folder of Parquet files pass over names that begin with a dot
HERE = ("file://", "local://")  # what fsspec calls this host's file system
READ_ONLY = frozenset({"http", "https", "data", "github", "reference"})
# Whose errors are of a store, though not all of them are OSError: the clients that fsspec's file systems stand on.
CLIENTS = frozenset({"botocore", "aiobotocore", "aiohttp", "azure", "gcsfs", "google"})


def storage_path(text: str | Path) -> Any:
    """A local path, absolute, as `pathlib.Path`; a URL of another file system as `upath.UPath`.

    Raises:
        BadInput: a protocol that is not known, or whose package is not installed; a password in the URL.
    """
    if isinstance(text, str) and text.startswith(HERE):
        text = text.partition("://")[2]
    if not isinstance(text, str) or "://" not in text:
        return _expanded(text).absolute() if isinstance(text, (str, Path)) else text
    from fsspec import get_filesystem_class
    from upath import UPath

    protocol, _, rest = text.partition("://")
    if not rest.strip("/"):
        raise BadInput(f"{text} names no folder: give one, such as s3://bucket/folder")
    if ":" in rest.partition("/")[0].rpartition("@")[0]:
        raise BadInput(
            f"a {protocol}:// URL with a password in it would be told to Prefect and its logs: "
            "leave it out, and give it in the environment or the store's own files"
        )
    try:
        get_filesystem_class(protocol)
    except ImportError as error:
        raise BadInput(f"{protocol}:// cannot be used: {error}") from error
    except ValueError:
        raise BadInput(
            f"{protocol}:// is no storage that fsspec knows: give a folder, or s3://bucket/folder"
        ) from None
    # Other hosts write there too: a listing of before says nothing of now.
    return UPath(text, use_listings_cache=False)


def refuse_blank(text: str, option: str, example: str) -> None:
    """Refuse a place that is nothing but blanks: as a path it would be the current folder.

    Args:
        text: as it was written.
        option: what it was written for.
        example: of such a place.

    Raises:
        BadInput: with the example.
    """
    if not text.strip():
        raise BadInput(f"{option} names no place: give one, such as {example}")


def given_path(text: str, option: str, example: str) -> Path:
    """A path of this host as somebody wrote it, who may have had no shell to expand `~`.

    Args:
        text: as it was written.
        option: what it was written for.
        example: of such a path.

    Raises:
        BadInput: nothing but blanks, or `~` of nobody here.
    """
    refuse_blank(text, option, example)
    return _expanded(text)


def refuse_url(path: Path, message: str) -> None:
    """Refuse a URL that was taken for a path.

    Raises:
        BadInput: with the message.
    """
    if ":/" in str(path):  # pathlib makes one slash of two
        raise BadInput(message)


def _expanded(text: str | Path) -> Path:
    try:
        return Path(text).expanduser()
    except RuntimeError as error:  # ~name of nobody here
        raise BadInput(f"{text} cannot be used: {error}") from None


def is_local(path: Any) -> bool:
    """Whether a path of `storage_path` is of this host's file system."""
    return type(path).__module__.partition(".")[0] == "pathlib"


# fsspec's `is_file`, `is_dir`, `exists` and all that stands on them (`iterdir`, `unlink`, `glob`) take an error of the
# store for a no. What follows raises it: what could not be asked for a moment would be trained again.


def is_there(path: Any) -> bool:
    """Whether a file or a folder is there."""
    return _mode(path) is not None


def is_folder(path: Any) -> bool:
    """Whether a folder is there."""
    mode = _mode(path)
    return mode is not None and stat.S_ISDIR(mode)


def _mode(path: Any) -> int | None:
    try:
        return int(path.stat().st_mode)
    except (FileNotFoundError, NotADirectoryError):
        return None


class Entry(NamedTuple):
    """A file or a folder in a folder."""

    path: Any
    is_folder: bool


def entries(folder: Any) -> list[Entry]:
    """What lies directly in a folder, by name; nothing where there is no folder."""
    try:
        found = _scanned(folder) if is_local(folder) else _listed(folder)
    except (FileNotFoundError, NotADirectoryError):
        return []
    return [Entry(folder / name, is_folder) for name, is_folder in sorted(found)]


def _scanned(folder: Path) -> list[tuple[str, bool]]:
    with os.scandir(folder) as found:
        return [(entry.name, entry.is_dir()) for entry in found]


def _listed(folder: Any) -> list[tuple[str, bool]]:
    place = folder.path.rstrip("/")
    told = [
        (entry["name"].rstrip("/"), entry["type"] == "directory")
        for entry in folder.fs.ls(folder.path, detail=True)
    ]
    # A file's listing, and that of a folder with a marker, hold the thing itself.
    return [(name.rpartition("/")[2], is_folder) for name, is_folder in told if name != place]


def remove_file(path: Any) -> None:
    """Delete a file, if it is there."""
    with contextlib.suppress(FileNotFoundError):
        if is_local(path):
            path.unlink()
        else:
            path.fs.rm_file(path.path)


def put_whole(path: Any, content: bytes) -> None:
    """Write a file: by a rename locally, by one PUT on an object store."""
    if is_local(path):
        write_atomically(path, content)
    else:
        path.fs.pipe_file(path.path, content)


def unusable_storage(error: BaseException, place: Any) -> str | None:
    """What to say of an error if a full, read-only or broken disk is behind it, else None.

    Args:
        error: of any library; that of the disk may be its cause.
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


def check_store(path: Any, option: str) -> None:
    """See that a folder of a store can be listed, and that its bucket is there; nothing is written.

    Args:
        path: as `storage_path` gives it; a local one is not looked at.
        option: that named it.

    Raises:
        BadInput: no such bucket, no credentials or wrong ones, or nobody answers; or nothing can be kept there.
    """
    if is_local(path):
        return
    if path.protocol in READ_ONLY:
        raise BadInput(f"{option} {path} cannot be used: {path.protocol}:// can only be read")
    try:
        _look(path)
    except Exception as error:
        # The file systems of fsspec that are no stores say so by these, where they lack what they stand on.
        if not is_of_a_store(error) and not isinstance(error, (TypeError, ValueError, NotImplementedError)):
            raise
        raise BadInput(f"{option} {path} cannot be used: {_told(error)}") from None


def _look(path: Any) -> None:
    try:
        path.fs.ls(path.path)
    except FileNotFoundError:
        if not path.drive:  # not a store of buckets: the folder is made when it is written to
            return
        # A folder is there once something is in it, but a bucket must have been made.
        with contextlib.suppress(PermissionError):  # some may list their folder of a bucket and nothing else
            path.fs.ls(path.drive)


@contextlib.contextmanager
def storage_failures(place: str | Path) -> Iterator[None]:
    """Turn errors of a disk or a store inside the block into one line that names the place.

    Args:
        place: named where the error itself names no file, as of a disk that ran full in the middle of one.

    Raises:
        StorageFailed: in their place.
    """
    try:
        yield
    except Exception as error:
        if not is_of_a_store(error):
            raise
        named = getattr(error, "filename", None) or place
        seen_from = f" (seen from {socket.gethostname()})" if "://" in str(place) else ""
        raise StorageFailed(f"{named}: {_told(error)}{seen_from}: mend it and run again") from error


def is_of_a_store(error: Exception) -> bool:
    """Whether an error is of a disk, or of the client of an object store."""
    modules = {base.__module__.partition(".")[0] for base in type(error).__mro__}
    return isinstance(error, OSError) or not modules.isdisjoint(CLIENTS)


def _told(error: Exception) -> str:
    """What an error says, in one line."""
    told = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return " ".join(told.split()).rstrip(".")

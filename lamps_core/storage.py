"""A folder by local path or fsspec URL, and files in it that appear whole or not at all.

Owns what `--curves` and `--work` may name. Knows nothing of what is stored.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from lamps_core.errors import BadInput
from lamps_core.files import write_atomically


def storage_path(text: str | Path) -> Any:
    """A local path, absolute, as `pathlib.Path`; a URL of another file system as `upath.UPath`.

    Raises:
        BadInput: a protocol that is not known, or whose package is not installed.
    """
    if isinstance(text, str) and text.startswith("file://"):
        text = text.removeprefix("file://")
    if not isinstance(text, str) or "://" not in text:
        return text if not isinstance(text, (str, Path)) else Path(text).expanduser().absolute()
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


def is_local(path: Any) -> bool:
    """Whether a path of `storage_path` is of this host's file system."""
    return type(path).__module__.partition(".")[0] == "pathlib"


def put_whole(path: Any, content: bytes) -> None:
    """Write a file: by a rename locally, by one PUT on an object store."""
    if is_local(path):
        write_atomically(path, content)
    else:
        path.fs.pipe_file(path.path, content)

"""Locks on files: who holds one is a process of this host, and its end lets go of it.

Owns how a lock file is held, and which one holds a whole folder. Does not know what the lock is for.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

from lamps_core.errors import BadInput
from lamps_core.resources import cache_folder
from lamps_core.storage import HIDDEN, is_local, storage_path

if TYPE_CHECKING:
    from collections.abc import Iterator


def lock_if_free(descriptor: int) -> bool:
    """Lock an open file if nobody has; tells whether. Closing it lets go."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


@contextlib.contextmanager
def held(path: Path, *, with_others: bool = False) -> Iterator[None]:
    """Hold a lock file; waits until no other process of this host does. The end of a process lets go of it.

    Args:
        path: of the lock file.
        with_others: who says so, too, may hold it at the same time.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_SH if with_others else fcntl.LOCK_EX)
        yield


@contextlib.contextmanager
def held_if_free(path: Path) -> Iterator[bool]:
    """Hold a lock file if nobody else does; yields whether it is held."""
    with path.open("w") as file:
        yield lock_if_free(file.fileno())


@contextlib.contextmanager
def locked(place: str, *, named: str | None = None) -> Iterator[None]:
    """Hold a folder for one run; on an object store, for one run of this host.

    Args:
        place: the folder.
        named: what the user calls it, such as `--out runs/reviews`; None for `place`.

    Raises:
        BadInput: another run holds it.
    """
    folder = storage_path(place)
    if is_local(folder):
        path = Path(folder) / HIDDEN / "lock"
    else:
        path = cache_folder() / "locks" / hashlib.sha256(str(folder).encode()).hexdigest()[:16]
    path.parent.mkdir(parents=True, exist_ok=True)
    with held_if_free(path) as free:
        if not free:
            raise BadInput(f"{named or place} is in use by another lamps run: wait for it, or stop it")
        yield

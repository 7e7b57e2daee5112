"""A store in memory that fails one request, as one does that is busy for a moment."""

from __future__ import annotations

import contextlib
import errno
from typing import TYPE_CHECKING, Any

import pytest
from fsspec import AbstractFileSystem
from fsspec.implementations.memory import MemoryFileSystem

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ASKED = ("info", "ls")  # what all other questions of a file system come to
OF_ANY = (
    "exists",
    "isdir",
    "isfile",
    "find",
    "glob",
    "walk",
)  # as fsspec has them of a store with no better ones


@contextlib.contextmanager
def failing_request(number: int) -> Iterator[list[str]]:
    """Has `memory://` fail its n-th request, counted from 0; yields what was asked so far."""
    asked: list[str] = []

    def counted(name: str) -> Callable[..., Any]:
        answer = getattr(MemoryFileSystem, name)

        def answered(*args: Any, **options: Any) -> Any:
            asked.append(name)
            if len(asked) == number + 1:
                raise OSError(errno.EBUSY, "503 Service Unavailable")
            return answer(*args, **options)

        return answered

    with pytest.MonkeyPatch.context() as patch:
        for name in ASKED:
            patch.setattr(MemoryFileSystem, name, counted(name))
        for name in OF_ANY:
            patch.setattr(MemoryFileSystem, name, getattr(AbstractFileSystem, name))
        yield asked


def each_failing(ask: Callable[[], Any], *, told: Any) -> None:
    """See that whichever request fails, the answer is the true one or an error, and never another."""
    number, done = 0, False
    while not done:
        with failing_request(number) as asked:
            with contextlib.suppress(OSError):
                assert ask() == told, f"request {number} failed, a {asked[number]}"
            done = len(asked) <= number
        number += 1
    assert number > 1

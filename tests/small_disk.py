"""A small file system, and how it runs full."""

from __future__ import annotations

import contextlib
import os
import subprocess
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@contextlib.contextmanager
def mounted(place: Path, *, megabytes: int) -> Iterator[Path]:
    """Mount one at a folder, which is made; the test is skipped where that is not allowed."""
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", str(place)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("a tmpfs cannot be mounted here")
    try:
        yield place
    finally:
        subprocess.run(["umount", "-l", str(place)], check=True)


@contextlib.contextmanager
def full(disk: Path, *, leaving: int = 0) -> Iterator[None]:
    """Leave a small file system so many free bytes, whatever else writes to it, until the block ends."""
    filler = disk / "filler"
    try:
        with filler.open("wb") as file:
            while (free := _free_bytes(disk) - leaving) > 0:
                with contextlib.suppress(OSError):  # another was faster with some of it
                    os.posix_fallocate(file.fileno(), file.seek(0, os.SEEK_END), free)
        yield
    finally:
        filler.unlink(missing_ok=True)


def _free_bytes(disk: Path) -> int:
    there = os.statvfs(disk)
    return there.f_bavail * there.f_frsize

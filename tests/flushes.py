"""Which files are on disk: a power cut takes the bytes of those that nobody flushed after they were written."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pytest


class Flushes:
    """Every flush of this process from here on, with the name that a file had at that moment."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._found: dict[int, tuple[int, int]] = {}
        self._names: dict[int, str] = {}
        flush = os.fsync

        def noted(descriptor: int) -> None:
            told = os.fstat(descriptor)
            flush(descriptor)
            self._found[told.st_ino] = (told.st_size, told.st_mtime_ns)
            self._names[told.st_ino] = str(Path(f"/proc/self/fd/{descriptor}").readlink())

        monkeypatch.setattr("os.fsync", noted)

    def missing(self, folder: Path) -> list[Path]:
        """The visible files below a folder that were not flushed as they are, under a name that was hidden yet."""
        found = (path for path in folder.rglob("[!.]*") if path.is_file())
        return [path for path in found if not self._was_safe(path)]

    def _was_safe(self, path: Path) -> bool:
        told = path.stat()
        flushed_as = self._names.get(told.st_ino, str(path))
        hidden = any(part.startswith(".") for part in Path(flushed_as).parts)
        return hidden and self._found[told.st_ino] == (told.st_size, told.st_mtime_ns)

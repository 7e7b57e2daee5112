"""A wall clock that jumps, and power that is cut: what a library loaded before libc makes of a command's processes."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    import random

SOURCE = Path(__file__).with_suffix(".c")


class FaultShim:
    """Of all commands that are started with its `variables`."""

    def __init__(self, folder: Path) -> None:
        """Compile it; the test is skipped where there is no C compiler."""
        compiler = shutil.which("cc") or shutil.which("gcc")
        if compiler is None:
            pytest.skip("no C compiler: the clock cannot be shifted, nor is it known what is on disk")
        library = folder / "fault_shim.so"
        subprocess.run(
            [compiler, "-shared", "-fPIC", "-O1", "-Wall", "-Werror", "-o", str(library), str(SOURCE)],
            check=True,
        )
        self._clock, self._syncs = folder / "clock", folder / "syncs"
        self._clock.write_bytes(bytes(8))
        self._syncs.touch()
        self.variables = {
            "LD_PRELOAD": str(library),
            "LAMPS_FAULT_CLOCK": str(self._clock),
            "LAMPS_FAULT_SYNCS": str(self._syncs),
        }

    def jump(self, seconds: int) -> None:
        """Let the wall clock of the processes be so much ahead of this machine's, or behind; at once."""
        with self._clock.open("r+b") as file:  # in place: it is mapped
            file.write(seconds.to_bytes(8, "little", signed=True))

    def cut_power(self, folder: Path, chance: random.Random) -> list[Path]:
        """Take bytes that were never flushed, as a file system may when the power goes; returns whose.

        Called when no process writes any more. What was appended to a flushed file is cut anywhere behind its
        flushed part, what was never flushed is cut anywhere. Names stay as they are: that a rename outlives the
        power is not tried.
        """
        torn = []
        known = self._flushed()
        for path in sorted(path for path in folder.rglob("*") if path.is_file() and not path.is_symlink()):
            told = path.stat()
            size, changed = known.get(told.st_ino, (0, 0))
            if changed == told.st_mtime_ns or told.st_size == 0:
                continue
            with path.open("r+b") as file:
                file.truncate(chance.randint(min(size, told.st_size), told.st_size))
            torn.append(path)
        return torn

    def _flushed(self) -> dict[int, tuple[int, int]]:
        """Inode -> size and time of change in ns when it was flushed last."""
        lines = (line.split() for line in self._syncs.read_text().splitlines())
        return {
            int(inode): (int(size), int(seconds) * 10**9 + int(rest)) for inode, size, seconds, rest in lines
        }

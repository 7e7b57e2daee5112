"""The faults are real: the clock of a command jumps while it runs, and a power cut takes what was not flushed alone."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest

from tests.fault_shim import FaultShim

if TYPE_CHECKING:
    from pathlib import Path

CLOCKS = """
import datetime, sys, time
for _ in sys.stdin:
    print(time.time(), time.monotonic(), datetime.datetime.now().timestamp(), flush=True)
"""
WRITER = """
import os, sys
def write(name, *, flushed, appended):
    with open(name, "wb", buffering=0) as file:
        file.write(b"x" * flushed)
        if flushed:
            os.fsync(file)
        file.write(b"y" * appended)
os.chdir(sys.argv[1])
write("safe", flushed=1000, appended=0)
write("appended", flushed=1000, appended=1000)
write("never", flushed=0, appended=1000)
write(".draft", flushed=1000, appended=0)
os.rename(".draft", "renamed")
"""


def test_the_clock_of_a_running_command_jumps_and_its_stop_watch_does_not(tmp_path: Path) -> None:
    shim = FaultShim(tmp_path)
    with subprocess.Popen(
        [sys.executable, "-c", CLOCKS],
        env=os.environ | shim.variables,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        for ahead in (0, 86_400, -365 * 86_400):
            shim.jump(ahead)
            process.stdin.write("now\n")
            process.stdin.flush()
            wall, monotonic, civil = map(float, process.stdout.readline().split())
            assert wall == pytest.approx(time.time() + ahead, abs=60.0)
            assert civil == pytest.approx(wall, abs=1.0)
            assert monotonic == pytest.approx(time.monotonic(), abs=60.0)
        process.stdin.close()


def test_a_power_cut_takes_what_was_not_flushed_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "shim").mkdir()
    shim = FaultShim(tmp_path / "shim")
    sizes = set()
    for seed in range(5):
        folder = tmp_path / f"{seed}"
        folder.mkdir()
        command = [sys.executable, "-c", WRITER, str(folder)]
        subprocess.run(command, env=os.environ | shim.variables, check=True)
        torn = shim.cut_power(folder, random.Random(seed))
        assert [path.name for path in torn] == ["appended", "never"]
        for name in ("safe", "renamed"):
            assert (folder / name).read_bytes() == b"x" * 1000
        appended = (folder / "appended").read_bytes()
        assert appended == (b"x" * 1000 + b"y" * 1000)[: len(appended)]
        assert 1000 <= len(appended) <= 2000
        sizes.add((folder / "never").stat().st_size)
    assert len(sizes) > 2

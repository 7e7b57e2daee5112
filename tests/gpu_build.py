"""A host whose torch knows a GPU, as far as forks care: what a fork server imports before anything else of LAMPS.

Training itself runs on the CPU. torch asks every guard of devices for how many there are at the first backward pass.
"""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
from pathlib import Path

import pytest
import torch
from torch.utils.cpp_extension import include_paths, library_paths

SOURCE = Path(__file__).with_suffix(".cpp")
GUARD = "LAMPS_TEST_GUARD"  # names the library


def compile_guard(folder: Path) -> Path:
    """Compile it; the test is skipped where there is no C++ compiler, or a torch that has such a guard itself."""
    compiler = shutil.which("c++") or shutil.which("g++")
    if compiler is None or torch.accelerator.current_accelerator() is not None:
        pytest.skip("no C++ compiler, or a torch for GPUs")
    library = folder / "gpu_build.so"
    paths = [*(f"-I{path}" for path in include_paths()), *(f"-L{path}" for path in library_paths())]
    command = [compiler, "-shared", "-fPIC", "-std=c++20", *paths, str(SOURCE), "-lc10", "-o", str(library)]
    subprocess.run(command, check=True)
    return library


def _known_accelerator(check_available: bool = False) -> torch.device | None:
    """Of a build for GPUs, on a host that has none that it could use."""
    return None if check_available else torch.device("cuda")


if GUARD in os.environ:
    ctypes.CDLL(os.environ[GUARD])
    torch.accelerator.current_accelerator = _known_accelerator

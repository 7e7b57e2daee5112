"""What the driver's tool tells, and which of it counts: an `nvidia-smi` of ours stands first on the path."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import psutil
import pytest

from lamps_core import devices
from lamps_core.devices import Devices, devices_here
from lamps_core.errors import LampsError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

TWO = """81559, NVIDIA H100 80GB HBM3, 0, GPU-1a2b3c4d-0000-0000-0000-000000000000
40960, NVIDIA A100-PCIE-40GB, 1, GPU-5e6f7a8b-0000-0000-0000-000000000000"""
CPU = Devices(1, psutil.virtual_memory().total, "cpu", cuda=False)
FIRST = Devices(1, 81559 * 2**20, "NVIDIA H100 80GB HBM3", cuda=True)
SECOND = Devices(1, 40960 * 2**20, "NVIDIA A100-PCIE-40GB", cuda=True)
BOTH = Devices(2, 40960 * 2**20, "NVIDIA H100 80GB HBM3", cuda=True)


@pytest.fixture
def tool(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Puts a shell script in the place of the driver's tool."""
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")

    def write(script: str) -> None:
        path = tmp_path / "nvidia-smi"
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)

    return write


@pytest.mark.parametrize(
    ("visible", "wanted"),
    [
        (None, BOTH),
        ("0,1", BOTH),
        ("1,0", BOTH),
        ("0", FIRST),
        (" 1 ", SECOND),
        ("", CPU),
        ("-1", CPU),
        ("7", CPU),
        ("NoDevFiles", CPU),
        ("GPU-5e6f7a8b-0000-0000-0000-000000000000", SECOND),
        ("GPU-1a2b", FIRST),
        ("GPU-1a2b,GPU-5e6f", BOTH),
        ("GPU-9", CPU),
    ],
)
def test_the_gpus_that_count_are_the_visible_ones(
    tool: Callable[[str], None], monkeypatch: pytest.MonkeyPatch, visible: str | None, wanted: Devices
) -> None:
    tool(f"cat <<END\n{TWO}\nEND")
    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert devices_here() == wanted


def test_the_tool_is_asked_for_what_is_read(tool: Callable[[str], None]) -> None:
    tool(
        'test "$*" = "--query-gpu=memory.total,name,index,uuid --format=csv,noheader,nounits" || exit 2\n'
        "echo '81559, NVIDIA H100 80GB HBM3, 0, GPU-1'"
    )
    assert devices_here() == FIRST


def test_a_gpu_that_shares_the_memory_of_the_machine_has_that(tool: Callable[[str], None]) -> None:
    tool("echo '[N/A], NVIDIA GB10, 0, GPU-1'")
    assert devices_here() == Devices(1, psutil.virtual_memory().total, "NVIDIA GB10", cuda=True)


@pytest.mark.parametrize(
    "script",
    [
        "echo 'NVIDIA-SMI has failed because it could not communicate with the NVIDIA driver.'; exit 9",
        "echo 'No devices were found'",
        "exit 0",
    ],
)
def test_a_tool_that_finds_no_gpu_leaves_the_cpu(tool: Callable[[str], None], script: str) -> None:
    tool(script)
    assert devices_here() == CPU


def test_a_machine_without_the_tool_has_its_cpu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert devices_here() == CPU


def test_a_tool_that_hangs_is_said_with_what_to_do(
    tool: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    tool("exec sleep 600")
    monkeypatch.setattr(devices, "TOOL_SECONDS", 0.2)
    with pytest.raises(LampsError, match=r"nvidia-smi does not answer within 0\.2 s.*CUDA_VISIBLE_DEVICES="):
        devices_here()

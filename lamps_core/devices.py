"""What this machine trains on: GPUs and their memory, else the CPU and the machine's.

Asks the driver's tools in a process of their own: no CUDA context is started here. Knows nothing of slots.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import dataclass

import psutil

from lamps_core.errors import LampsError

TOOL_SECONDS = 60.0  # nvidia-smi takes seconds on a host of eight GPUs whose driver was asleep


@dataclass(frozen=True)
class Devices:
    """The devices of one host that a worker there can use.

    Attributes:
        count: GPUs, or 1 for a CPU.
        memory_bytes: of the smallest GPU, or of the machine.
        name: of the first GPU, or `cpu`.
        cuda: whether they are GPUs.
    """

    count: int
    memory_bytes: int
    name: str
    cuda: bool


def devices_here() -> Devices:
    """The GPUs that `CUDA_VISIBLE_DEVICES` leaves visible, else the CPU.

    Raises:
        LampsError: the driver's tool hangs.
    """
    gpus = _gpus()
    machine_bytes = psutil.virtual_memory().total
    if not gpus:
        return Devices(1, machine_bytes, "cpu", cuda=False)
    # A GPU that shares the machine's memory tells none of its own.
    smallest = min(machine_bytes if memory is None else memory for memory, _ in gpus)
    return Devices(len(gpus), smallest, gpus[0][1], cuda=True)


def _gpus() -> list[tuple[int | None, str]]:
    """(bytes or None, name) of each visible GPU, as the driver's tool tells them; none where it fails."""
    tool, visible = shutil.which("nvidia-smi"), os.environ.get("CUDA_VISIBLE_DEVICES")
    if tool is None or visible == "":
        return []
    query = [tool, "--query-gpu=memory.total,name,index,uuid", "--format=csv,noheader,nounits"]
    try:
        asked = subprocess.run(query, capture_output=True, text=True, timeout=TOOL_SECONDS, check=False)
    except subprocess.TimeoutExpired:
        raise LampsError(
            f"{tool} does not answer within {TOOL_SECONDS:g} s: the GPU driver is stuck; restart the machine, "
            "or set CUDA_VISIBLE_DEVICES= to use the CPU"
        ) from None
    if asked.returncode:
        return []
    named = None if visible is None else [place.strip() for place in visible.split(",") if place.strip()]
    told = [[part.strip() for part in line.split(",")] for line in asked.stdout.splitlines()]
    return [
        (int(memory) * 2**20 if memory.isdigit() else None, name)
        for memory, name, index, uuid in (line for line in told if len(line) == 4)
        if named is None or any(_is_named(place, index, uuid) for place in named)
    ]


def _is_named(place: str, index: str, uuid: str) -> bool:
    """Whether an entry of `CUDA_VISIBLE_DEVICES` names a GPU: its index, or the beginning of its UUID."""
    return place == index or (place.startswith("GPU-") and uuid.startswith(place))

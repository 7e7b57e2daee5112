"""What this machine trains on: GPUs and their memory, else the CPU and the machine's.

Asks the driver's tools in a process of their own: no CUDA context is started here. Knows nothing of slots.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import dataclass

import psutil


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
    """The GPUs that `CUDA_VISIBLE_DEVICES` leaves visible, else the CPU."""
    gpus = _gpus()
    if not gpus:
        return Devices(1, psutil.virtual_memory().total, "cpu", cuda=False)
    return Devices(len(gpus), min(memory for memory, _ in gpus), gpus[0][1], cuda=True)


def _gpus() -> list[tuple[int, str]]:
    """(bytes, name) of each visible GPU, as the driver's tool tells them."""
    tool, visible = shutil.which("nvidia-smi"), os.environ.get("CUDA_VISIBLE_DEVICES")
    if tool is None or visible == "":
        return []
    query = [tool, "--query-gpu=memory.total,name,index,uuid", "--format=csv,noheader,nounits"]
    asked = subprocess.run(query, capture_output=True, text=True, timeout=60, check=False)
    if asked.returncode:
        return []
    told = [[part.strip() for part in line.split(",")] for line in asked.stdout.splitlines() if line.strip()]
    named = {place.strip() for place in visible.split(",")} if visible is not None else None
    return [
        (int(memory) * 2**20, name)
        for memory, name, index, uuid in told
        if named is None or index in named or uuid in named
    ]

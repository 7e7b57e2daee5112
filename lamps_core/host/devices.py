"""What this machine trains on: the GPUs that torch can use and their memory, else the CPU and the host's.

Asks torch in a process of its own: no CUDA context is started here, and a driver that hangs holds up nobody for
ever. Knows nothing of slots.
"""

from __future__ import annotations

import functools
import json
import os
import subprocess
import sys
from dataclasses import dataclass

from lamps_core.errors import LampsError
from lamps_core.host.memory import host_memory

# From a cold disk torch takes a minute, and the driver of eight GPUs that was asleep takes seconds.
ASK_SECONDS = 120.0
CPU_INSTEAD = "or set CUDA_VISIBLE_DEVICES= to use the CPU"
# Counted twice: before it is started, CUDA is only asked where there is a GPU; then it counts one instance of MIG
# where the driver's library counts whole GPUs.
GPUS_CODE = """
import torch
if torch.cuda.device_count():
    torch.cuda.init()
gpus = [torch.cuda.get_device_properties(index) for index in range(torch.cuda.device_count())]
"""
_ASK = f"""{GPUS_CODE}
import json
print(json.dumps([[gpu.name, gpu.total_memory] for gpu in gpus]))
"""


@dataclass(frozen=True)
class Devices:
    """The devices of one host that a worker there can use.

    Attributes:
        gpus: index or UUID of each GPU for `CUDA_VISIBLE_DEVICES`; none on a CPU.
        memory_bytes: of the smallest GPU, or of the host.
        name: of the first GPU, or `cpu`.
    """

    gpus: tuple[str, ...]
    memory_bytes: int
    name: str

    @property
    def cuda(self) -> bool:
        """Whether they are GPUs."""
        return bool(self.gpus)

    @property
    def count(self) -> int:
        """GPUs, or 1 for a CPU."""
        return max(1, len(self.gpus))

    def dealt(self, count: int) -> list[str | None]:
        """The GPU for each of `count` simultaneous steps, dealt in turn; None for the CPU.

        >>> Devices(("3", "5"), 2**30, "some GPU").dealt(3)
        ['3', '5', '3']
        """
        places: tuple[str | None, ...] = self.gpus or (None,)
        return [places[index % len(places)] for index in range(count)]


@functools.cache
def devices_here() -> Devices:
    """The GPUs that `CUDA_VISIBLE_DEVICES` leaves visible, else the CPU; asked once in the life of a process.

    Of several MIG instances only the first visible one counts: a process cannot use more.

    Raises:
        LampsError: there is a GPU that torch cannot use, or its driver hangs.
    """
    told = _told_gpus() if _is_built_for_gpus() else []
    names = _visible_names(len(told))
    if not names:
        return Devices((), host_memory().total_bytes, "cpu")
    return Devices(names, min(memory for _, memory in told), told[0][0])


def _is_built_for_gpus() -> bool:
    import torch

    known = torch.accelerator.current_accelerator()  # of this build of torch: no device is touched to tell
    return known is not None and known.type == "cuda"  # so is ROCm called


def _told_gpus() -> list[tuple[str, int]]:
    """Name and bytes of each GPU, as torch tells them in a process of its own."""
    asked = subprocess.Popen(
        [sys.executable, "-P", "-c", _ASK], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        told, complaints = asked.communicate(timeout=ASK_SECONDS)
    except subprocess.TimeoutExpired:
        asked.kill()  # its end is not waited for: a process that hangs in the driver has none
        raise LampsError(
            f"torch finds no answer about the GPUs within {ASK_SECONDS:g} s: the GPU driver is stuck; restart the "
            f"machine, {CPU_INSTEAD}"
        ) from None
    if asked.returncode:
        reason = complaints.strip().splitlines()[-1:] or ["no reason given"]
        raise LampsError(f"torch cannot use the GPU ({reason[0]}): mend its driver, {CPU_INSTEAD}")
    return [(name, memory) for name, memory in json.loads(told)]


def _visible_names(count: int) -> tuple[str, ...]:
    """What `CUDA_VISIBLE_DEVICES` calls the devices of which torch sees so many: it takes them in this order."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is None:
        return tuple(str(index) for index in range(count))
    return tuple(name.strip() for name in visible.split(",") if name.strip())[:count]

"""A host with GPUs, made up: what torch would tell of it."""

from __future__ import annotations

import dataclasses
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from lamps_core.host.devices import devices_here

if TYPE_CHECKING:
    import pytest

STAND_IN = Path(__file__).parent / "stand_in"
GIB = 2**30


@dataclass(frozen=True)
class Gpu:
    """A GPU, or an instance that MIG cut out of one."""

    uuid: str
    name: str
    memory_bytes: int
    instances: tuple[Gpu, ...] = ()


H100 = Gpu("GPU-1a2b3c4d-0000", "NVIDIA H100 80GB HBM3", 80 * GIB)
A100 = Gpu("GPU-5e6f7a8b-0000", "NVIDIA A100-PCIE-40GB", 40 * GIB)
SMALL = Gpu("MIG-1111-0000", "NVIDIA A100-PCIE-40GB MIG 1g.5gb", 5 * GIB)
LARGE = Gpu("MIG-2222-0000", "NVIDIA A100-PCIE-40GB MIG 3g.20gb", 20 * GIB)
CUT_UP = dataclasses.replace(A100, instances=(SMALL, LARGE))


class GpuHost:
    """Makes this process take its host for another, until the test ends."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._patch = monkeypatch
        monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
        monkeypatch.setenv("PYTHONPATH", f"{STAND_IN}{os.pathsep}{os.environ.get('PYTHONPATH', '')}")
        monkeypatch.setattr(
            "torch.accelerator.current_accelerator", lambda check_available=False: torch.device("cuda")
        )

    def has(self, *gpus: Gpu, visible: str | None = None, broken: str = "", hangs: bool = False) -> None:
        """Say what there is.

        Args:
            gpus: in the order of their indices.
            visible: `CUDA_VISIBLE_DEVICES`; None leaves it as it is.
            broken: what torch says when it is to use one.
            hangs: whether the driver never answers.
        """
        told = {"gpus": [dataclasses.asdict(gpu) for gpu in gpus], "broken": broken, "hangs": hangs}
        self._patch.setenv("LAMPS_TEST_GPUS", json.dumps(told))
        if visible is not None:
            self._patch.setenv("CUDA_VISIBLE_DEVICES", visible)
        devices_here.cache_clear()

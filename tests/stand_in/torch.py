"""torch, as far as it tells of GPUs, over a made-up host: first on the path of a process that asks it for them.

`LAMPS_TEST_GPUS` is the host in JSON, see `tests/gpu_host.py`. Which devices are seen is CUDA's rule: those that
`CUDA_VISIBLE_DEVICES` names, up to the first that is none; once MIG is in use, one instance and nothing else.
"""

from __future__ import annotations

import json
import os
import signal
from types import SimpleNamespace
from typing import Any

HOST = json.loads(os.environ["LAMPS_TEST_GPUS"])


def _named(name: str) -> dict[str, Any] | None:
    for index, gpu in enumerate(HOST["gpus"]):
        if name == str(index) or (name.startswith("GPU-") and gpu["uuid"].startswith(name)):
            return gpu
        for instance in gpu["instances"]:
            if instance["uuid"] == name:
                return instance
    return None


def _visible() -> list[dict[str, Any]]:
    """As the driver's library tells them, which takes a GPU for one whatever MIG makes of it."""
    every = ",".join(str(index) for index in range(len(HOST["gpus"])))
    found = []
    for name in os.environ.get("CUDA_VISIBLE_DEVICES", every).split(","):
        device = _named(name.strip())
        if device is None:
            break
        found.append(device)
    return found


def _enumerated() -> list[dict[str, Any]]:
    """As CUDA tells them."""
    told = [gpu["instances"][0] if gpu.get("instances") else gpu for gpu in _visible()]
    instances = [device for device in told if device["uuid"].startswith("MIG-")]
    return instances[:1] or told


class _Cuda:
    started = False

    def device_count(self) -> int:
        if HOST["hangs"]:
            signal.pause()
        return len(_enumerated() if self.started else _visible())

    def init(self) -> None:
        if HOST["broken"]:
            raise RuntimeError(HOST["broken"])
        self.started = True

    def get_device_properties(self, index: int) -> SimpleNamespace:
        device = _enumerated()[index]
        return SimpleNamespace(name=device["name"], total_memory=device["memory_bytes"])


cuda = _Cuda()

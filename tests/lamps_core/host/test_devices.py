"""Which devices there are, and what of them a process sees: asked of a torch of ours over made-up hosts."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import torch

from lamps_core.errors import LampsError
from lamps_core.host import devices
from lamps_core.host.devices import Devices, devices_here
from lamps_core.host.memory import host_memory
from tests.gpu_host import A100, CUT_UP, GIB, H100, LARGE, SMALL

if TYPE_CHECKING:
    from tests.gpu_host import Gpu, GpuHost

CPU = Devices((), host_memory().total_bytes, "cpu")


@pytest.mark.parametrize(
    ("visible", "wanted"),
    [
        (None, Devices(("0", "1"), 40 * GIB, H100.name)),
        ("0,1", Devices(("0", "1"), 40 * GIB, H100.name)),
        ("1,0", Devices(("1", "0"), 40 * GIB, A100.name)),
        ("0", Devices(("0",), 80 * GIB, H100.name)),
        (" 1 ", Devices(("1",), 40 * GIB, A100.name)),
        ("1,7,0", Devices(("1",), 40 * GIB, A100.name)),
        ("", CPU),
        ("-1", CPU),
        ("7", CPU),
        ("NoDevFiles", CPU),
        (A100.uuid, Devices((A100.uuid,), 40 * GIB, A100.name)),
        ("GPU-1a2b,GPU-5e6f", Devices(("GPU-1a2b", "GPU-5e6f"), 40 * GIB, H100.name)),
        ("GPU-9", CPU),
    ],
)
def test_the_gpus_that_count_are_the_visible_ones(
    gpu_host: GpuHost, visible: str | None, wanted: Devices
) -> None:
    gpu_host.has(H100, A100, visible=visible)
    assert devices_here() == wanted


@pytest.mark.parametrize(
    ("visible", "name", "instance"),
    [
        (None, "0", SMALL),
        ("0", "0", SMALL),
        (LARGE.uuid, LARGE.uuid, LARGE),
        (f"{LARGE.uuid},{SMALL.uuid}", LARGE.uuid, LARGE),
    ],
)
def test_of_a_gpu_that_mig_cut_up_one_instance_counts(
    gpu_host: GpuHost, visible: str | None, name: str, instance: Gpu
) -> None:
    gpu_host.has(CUT_UP, CUT_UP, visible=visible)
    assert devices_here() == Devices((name,), instance.memory_bytes, instance.name)


def test_a_host_without_gpus_has_its_cpu(gpu_host: GpuHost) -> None:
    gpu_host.has()
    assert devices_here() == CPU


def test_a_torch_that_was_built_without_gpus_is_asked_for_none(
    gpu_host: GpuHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    gpu_host.has(H100)
    monkeypatch.setattr("torch.accelerator.current_accelerator", lambda: None)
    assert devices_here() == CPU


def test_the_devices_are_asked_for_once(gpu_host: GpuHost, monkeypatch: pytest.MonkeyPatch) -> None:
    gpu_host.has(A100)
    first = devices_here()
    monkeypatch.delenv("LAMPS_TEST_GPUS")
    assert devices_here() == first


def test_a_gpu_that_torch_cannot_use_is_said_with_what_to_do(gpu_host: GpuHost) -> None:
    gpu_host.has(A100, broken="The NVIDIA driver on your system is too old")
    with pytest.raises(
        LampsError, match=r"cannot use the GPU \(RuntimeError: The NVIDIA .* too old\): mend.*CUDA_VISIBLE"
    ):
        devices_here()


def test_a_driver_that_hangs_is_said_with_what_to_do(
    gpu_host: GpuHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    gpu_host.has(A100, hangs=True)
    monkeypatch.setattr(devices, "ASK_SECONDS", 0.2)
    with pytest.raises(LampsError, match=r"no answer about the GPUs within 0\.2 s.*CUDA_VISIBLE_DEVICES="):
        devices_here()


def test_the_torch_that_is_installed_answers() -> None:
    assert len(devices._told_gpus()) == torch.cuda.device_count()

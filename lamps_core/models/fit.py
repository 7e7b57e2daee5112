"""How many devices a candidate needs for fine-tuning, estimated before anything of it is downloaded.

Owns the estimate of memory and the choice of 1, 2, 4 or 8 devices. Does not know what devices there are, nor how
a step is spread over them.

The estimate is of AdamW on fp32 weights: 4 bytes a parameter for the weights, 4 for gradients, 8 for the two
moments, and one more to agree with what was measured: 1.5 billion parameters take 25 to 28 GB, 3 billion 51 to
58 GB, 8 billion 120 to 135 GB. Of GPUs with 40 GB it asks for one, two and four; the four are tight.
"""

from __future__ import annotations

from lamps_core.errors import CandidateFailed

BYTES_PER_PARAMETER = 17
FIXED_BYTES = 2**30  # the device's own context, and activations
USABLE = 0.9  # share of a device's memory to plan for: fragmentation takes the rest
MOST_DEVICES = 8
_GIB = 2**30


class DoesNotFit(CandidateFailed):
    """A candidate needs more memory than there is; the message has the figures."""


def training_memory_bytes(parameters: int, *, devices: int = 1) -> int:
    """Memory that fine-tuning needs on each device.

    Args:
        parameters: of the model.
        devices: that its weights, gradients and optimiser state are spread over evenly (FSDP). The fixed part
            does not shrink.
    """
    return -(-BYTES_PER_PARAMETER * parameters // devices) + FIXED_BYTES


def devices_needed(parameters: int | None, *, device_memory_bytes: int | None, most: int) -> int:
    """The fewest devices that a candidate can be fine-tuned on: 1, 2, 4 or 8.

    Args:
        parameters: of the candidate; None where that is not known, which counts as one device.
        device_memory_bytes: of the smallest device; None where that is not known, which counts as enough. On a
            CPU, the host's memory. Where several steps share a device, the share of one.
        most: devices that one host has; 1 on a CPU.

    Raises:
        DoesNotFit: no such number of devices is enough.
        ValueError: there is no device.
    """
    if most < 1:
        raise ValueError(f"most must be at least 1, not {most}")
    if parameters is None or device_memory_bytes is None:
        return 1
    devices = 1
    while training_memory_bytes(parameters, devices=devices) > USABLE * device_memory_bytes:
        devices *= 2
        if devices > min(most, MOST_DEVICES):
            figures = memory_figures(parameters, device_memory_bytes=device_memory_bytes, most=most)
            raise DoesNotFit(f"does not fit this cluster: {figures}")
    return devices


def memory_figures(parameters: int, *, device_memory_bytes: int, most: int) -> str:
    """In words, what a candidate needs and what there is; arguments as of `devices_needed`."""
    needed = f"needs about {training_memory_bytes(parameters) / _GIB:.0f} GiB"
    there = "there is at most 1 device" if most == 1 else f"there are at most {most} devices"
    return f"{needed}, {there} of {device_memory_bytes / _GIB:.0f} GiB ({USABLE:g} of it usable)"

"""What a campaign runs on: the devices of its hosts, and how much of one a step has where several share it."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lamps_core.host.devices import Devices


@dataclass(frozen=True)
class Machine:
    """What a campaign runs on.

    Attributes:
        slots: steps at once, over all hosts.
        device_memory_bytes: that one step has of a device, its equal share where several run there at once; None
            where it is not known.
        devices_of_a_host: that one step can be spread over.
        cuda: whether the devices are GPUs.
        name: of the device, for a person.
        sharing: steps at once on one device.
    """

    slots: int
    device_memory_bytes: int | None
    devices_of_a_host: int
    cuda: bool
    name: str
    sharing: int = 1


# The paper's, its section 5: what a person with no GPU at hand would rent.
RENTED_GPU = Machine(1, 40 * 2**30, 8, cuda=True, name="A100 40 GB")


@dataclass(frozen=True)
class SlotsOfAHost:
    """Slots of one process that runs steps.

    Attributes:
        host: its name; any that tells hosts apart.
        devices: that the process sees.
        count: slots, which take turns on the devices.
    """

    host: str
    devices: Devices
    count: int


def machine_of(workers: Sequence[SlotsOfAHost]) -> Machine:
    """Combine the slots of all hosts; memory per step is the smallest share any step would get.

    Args:
        workers: at least one. Those of one host share its CPU, and GPUs that they call by one name.
    """
    at_once = Counter((each.host, device) for each in workers for device in each.devices.dealt(each.count))

    def sharing(worker: SlotsOfAHost) -> int:
        return max(at_once[worker.host, device] for device in worker.devices.dealt(worker.count))

    def share_bytes(worker: SlotsOfAHost) -> int:
        return worker.devices.memory_bytes // sharing(worker)

    least = min(workers, key=share_bytes)
    most = max(min(each.count, each.devices.count) for each in workers)
    devices = least.devices
    return Machine(
        sum(each.count for each in workers),
        share_bytes(least),
        most if devices.cuda else 1,
        devices.cuda,
        devices.name,
        sharing(least),
    )

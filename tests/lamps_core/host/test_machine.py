"""How much of a device one step has: several may run on it at once."""

from __future__ import annotations

import pytest

from lamps_core.host.devices import Devices
from lamps_core.host.machine import Machine, SlotsOfAHost, machine_of

GIB = 2**30
CPU = Devices((), 24 * GIB, "cpu")
ONE = Devices(("0",), 40 * GIB, "A100")
OTHER = Devices(("1",), 40 * GIB, "A100")
TWO = Devices(("0", "1"), 40 * GIB, "A100")


@pytest.mark.parametrize(
    ("workers", "wanted"),
    [
        ([("a", CPU, 1)], Machine(1, 24 * GIB, 1, cuda=False, name="cpu")),
        ([("a", CPU, 2)], Machine(2, 12 * GIB, 1, cuda=False, name="cpu", sharing=2)),
        ([("a", ONE, 1)], Machine(1, 40 * GIB, 1, cuda=True, name="A100")),
        ([("a", ONE, 2)], Machine(2, 20 * GIB, 1, cuda=True, name="A100", sharing=2)),
        ([("a", TWO, 2)], Machine(2, 40 * GIB, 2, cuda=True, name="A100")),
        ([("a", TWO, 1)], Machine(1, 40 * GIB, 1, cuda=True, name="A100")),
        ([("a", TWO, 3)], Machine(3, 20 * GIB, 2, cuda=True, name="A100", sharing=2)),
    ],
)
def test_slots_of_one_process_share_its_devices(
    workers: list[tuple[str, Devices, int]], wanted: Machine
) -> None:
    assert machine_of([SlotsOfAHost(*each) for each in workers]) == wanted


@pytest.mark.parametrize(
    ("workers", "share_bytes"),
    [
        ([("a", CPU, 1), ("a", CPU, 2)], 8 * GIB),
        ([("a", CPU, 1), ("b", CPU, 1)], 24 * GIB),
        ([("a", ONE, 1), ("a", OTHER, 1)], 40 * GIB),
        ([("a", ONE, 1), ("a", ONE, 1)], 20 * GIB),
        ([("a", ONE, 1), ("b", ONE, 1)], 40 * GIB),
        ([("a", TWO, 2), ("b", ONE, 4)], 10 * GIB),
    ],
)
def test_workers_of_one_host_share_what_both_of_them_see(
    workers: list[tuple[str, Devices, int]], share_bytes: int
) -> None:
    assert machine_of([SlotsOfAHost(*each) for each in workers]).device_memory_bytes == share_bytes

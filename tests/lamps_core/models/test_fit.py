from __future__ import annotations

import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lamps_core.errors import CandidateFailed
from lamps_core.fine_tuning import memory
from lamps_core.models.fit import USABLE, DoesNotFit, devices_needed, training_memory_bytes

GB, GIB = 10**9, 2**30
PARAMETERS = st.integers(1, 10**12)
MEMORY = st.integers(2 * GIB, 200 * GIB)


@pytest.mark.parametrize(
    ("parameters", "least", "most"),
    [
        (1_543_714_304, 25 * GB, 28 * GB),
        (3_085_938_688, 51 * GB, 58 * GB),
        (7_504_924_672, 120 * GB, 135 * GB),
    ],
)
def test_the_estimate_agrees_with_what_was_measured(parameters: int, least: int, most: int) -> None:
    assert least <= training_memory_bytes(parameters) <= most


@pytest.mark.parametrize("device_bytes", [40 * GB, 40 * GIB])
@pytest.mark.parametrize(
    ("parameters", "devices"),
    [
        (71_200, 1),
        (1_543_714_304, 1),
        (3_085_938_688, 2),
        (3_212_749_824, 2),
        (7_504_924_672, 4),
        (13_000_000_000, 8),
    ],
)
def test_devices_of_40_gb_for_the_sizes_of_the_paper(
    parameters: int, devices: int, device_bytes: int
) -> None:
    assert devices_needed(parameters, device_memory_bytes=device_bytes, most=8) == devices


def test_what_does_not_fit_says_so_with_figures() -> None:
    with pytest.raises(DoesNotFit) as caught:
        devices_needed(8_000_000_000, device_memory_bytes=40 * GIB, most=2)
    assert str(caught.value) == (
        "does not fit this cluster: needs about 128 GiB, there are at most 2 devices of 40 GiB (0.9 of it usable)"
    )
    with pytest.raises(CandidateFailed, match="there is at most 1 device of 16 GiB"):
        devices_needed(1_500_000_000, device_memory_bytes=16 * GIB, most=1)


def test_the_failure_crosses_a_process_boundary_unchanged() -> None:
    with pytest.raises(DoesNotFit) as caught:
        devices_needed(10**12, device_memory_bytes=GIB, most=1)
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)


@given(parameters=PARAMETERS, memory_bytes=MEMORY, most=st.integers(1, 16))
def test_the_answer_is_the_smallest_power_of_two_that_is_enough(
    parameters: int, memory_bytes: int, most: int
) -> None:
    allowed = [number for number in (1, 2, 4, 8) if number <= most]
    enough = [
        number
        for number in allowed
        if training_memory_bytes(parameters, devices=number) <= USABLE * memory_bytes
    ]
    if enough:
        assert devices_needed(parameters, device_memory_bytes=memory_bytes, most=most) == enough[0]
    else:
        with pytest.raises(DoesNotFit):
            devices_needed(parameters, device_memory_bytes=memory_bytes, most=most)


@given(parameters=PARAMETERS, devices=st.sampled_from([1, 2, 4]))
def test_more_devices_need_less_each_and_more_together(parameters: int, devices: int) -> None:
    each = training_memory_bytes(parameters, devices=devices)
    halved = training_memory_bytes(parameters, devices=2 * devices)
    assert halved <= each
    assert 2 * halved > each


def test_what_is_not_known_counts_as_one_device() -> None:
    assert devices_needed(None, device_memory_bytes=GIB, most=8) == 1
    assert devices_needed(10**12, device_memory_bytes=None, most=8) == 1


def test_no_device_at_all_is_a_mistake_of_the_caller() -> None:
    with pytest.raises(ValueError, match="most must be at least 1"):
        devices_needed(1, device_memory_bytes=GIB, most=0)


def test_the_usable_share_is_the_one_that_micro_batches_are_planned_with() -> None:
    assert USABLE == memory.HEADROOM

"""Errors cross processes: what they carry must arrive."""

from __future__ import annotations

import pickle

from lamps_core.errors import ShortOfMemory


def test_a_shortage_of_memory_comes_back_from_another_process_with_what_did_not_fit() -> None:
    failed = pickle.loads(pickle.dumps(ShortOfMemory("CUDA out of memory", 16)))
    assert (failed.reason, failed.micro_batch_size) == ("CUDA out of memory", 16)
    assert str(failed) == "out of memory at micro-batch 16: CUDA out of memory"

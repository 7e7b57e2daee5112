"""Errors cross processes: what they carry must arrive."""

from __future__ import annotations

import pickle

import pytest

from lamps_core.errors import ShortOfMemory, first_line


def test_a_shortage_of_memory_comes_back_from_another_process_with_what_did_not_fit() -> None:
    failed = pickle.loads(pickle.dumps(ShortOfMemory("CUDA out of memory", 16)))
    assert (failed.reason, failed.micro_batch_size) == ("CUDA out of memory", 16)
    assert str(failed) == "out of memory at micro-batch 16: CUDA out of memory"


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ("  one\ntwo", "one"),
        ("We cannot load:\n  the file", "We cannot load: the file"),
        ("", "OSError"),
        ("x" * 400, "x" * 300),
        ("at http://ada:s3cret@mirror.example/x", "at http://mirror.example/x"),
        ("x" * 280 + " http://ada:s3cret@mirror.example", "x" * 280 + " http://mirror.examp"),
    ],
)
def test_the_first_line_of_an_error_is_short_and_tells_no_password(said: str, told: str) -> None:
    assert first_line(OSError(said)) == told

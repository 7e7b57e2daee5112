"""Arithmetic on one thread.

The matrices here are small: on a busy machine, threads that wait for each other took twenty times as long as the
arithmetic. It also makes sums the same on every machine.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextlib.contextmanager
def one_thread() -> Iterator[None]:
    """Let torch use one thread; the number that was set comes back."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)

"""Torch on one thread while a policy is trained, or decides.

The networks and matrices are small: a second thread gains nothing and busy-waits, which on a machine with other work
took twenty times as long as the arithmetic.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextlib.contextmanager
def one_thread() -> Iterator[None]:
    """Use one torch thread inside the block, then restore the previous number."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)

"""How many rows fit in one forward and backward pass on a GPU.

Measures the longest rows at micro-batch 1 and 2 on throwaway state, extrapolates along the line, verifies:
at most four attempts. The effective batch never changes, only how it is cut.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from lamps_core.fine_tuning.pretrained import is_out_of_memory
from lamps_core.fine_tuning.training import summed_loss

if TYPE_CHECKING:
    from collections.abc import Callable

    from lamps_core.fine_tuning.tokens import TokenisedSplit
    from lamps_core.fine_tuning.training import FineTune

HEADROOM = 0.9  # share of the free memory to plan for: fragmentation takes the rest
ADAMW_BYTES_PER_PARAMETER = 8  # two fp32 moments, allocated only at the first update


def largest_micro_batch(
    peak_bytes: Callable[[int], int | None], *, batch_size: int, limit_bytes: float
) -> int | None:
    """The largest micro-batch whose peak memory stays under a limit.

    Args:
        peak_bytes: peak memory of a pass over that many of the longest rows; None when it ran out.
        batch_size: the effective batch, beyond which a micro-batch has no use.
        limit_bytes: what may be used.

    Returns:
        A micro-batch size that was tried and fits, or None if one row does not. `peak_bytes` is called at
        most four times.
    """
    one = peak_bytes(1)
    if one is None or one > limit_bytes:
        return None
    two = peak_bytes(2) if batch_size > 1 else None
    if two is None or two > limit_bytes:
        return 1
    slope = max(1, two - one)
    wanted = int(min(batch_size, 1 + (limit_bytes - one) // slope))
    best = 2
    for attempt in (wanted, wanted // 2):
        if attempt <= best:
            break
        peak = peak_bytes(attempt)
        if peak is not None and peak <= limit_bytes:
            return attempt
    return best


def micro_batch_for(tune: FineTune, split: TokenisedSplit, *, batch_size: int) -> int | None:
    """`largest_micro_batch` of this model on its GPU; weights, optimiser and peak memory are left as they were."""
    peak_before = tune.peak_bytes
    longest = np.argsort(-split.lengths, kind="stable")[:batch_size]
    parameters = sum(parameter.numel() for parameter in tune.model.parameters())
    free_bytes, _ = torch.cuda.mem_get_info(tune.device)
    held_bytes = torch.cuda.memory_allocated(tune.device)
    limit = HEADROOM * (free_bytes + held_bytes) - ADAMW_BYTES_PER_PARAMETER * parameters

    def peak_bytes(rows: int) -> int | None:
        torch.cuda.reset_peak_memory_stats(tune.device)
        try:
            tune.accelerator.backward(summed_loss(tune, split, longest[:rows]))
        except RuntimeError as error:
            if not is_out_of_memory(error):
                raise
            return None
        finally:
            tune.optimizer.zero_grad()
            torch.cuda.empty_cache()
        return torch.cuda.max_memory_allocated(tune.device)

    tune.model.train()
    found = largest_micro_batch(peak_bytes, batch_size=batch_size, limit_bytes=limit)
    tune.forget_attempt(peak_before)
    return found

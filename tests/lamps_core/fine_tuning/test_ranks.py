from __future__ import annotations

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from lamps_core.fine_tuning.ranks import ALONE, Ranks


@given(
    rows=st.lists(st.integers(0, 10**6), unique=True, max_size=70),
    count=st.integers(1, 8),
    size=st.integers(1, 40),
)
def test_every_row_counts_once_and_every_process_makes_as_many_passes(
    rows: list[int], count: int, size: int
) -> None:
    dealt = [list(Ranks(rank, count).passes(np.array(rows, dtype=np.int64), size)) for rank in range(count)]
    assert len({len(passes) for passes in dealt}) == 1
    counted = [row for passes in dealt for part, counts in passes if counts for row in part.tolist()]
    assert sorted(counted) == sorted(rows)
    assert all(0 < len(part) <= size for passes in dealt for part, _ in passes)
    assert all(counts or len(part) == 1 for passes in dealt for part, counts in passes)


@given(rows=st.lists(st.integers(0, 100), min_size=1, max_size=70), count=st.integers(1, 8))
def test_rows_in_order_of_length_are_dealt_like_cards(rows: list[int], count: int) -> None:
    by_length = np.sort(np.array(rows))
    first_of_each = [next(Ranks(rank, count).passes(by_length, 1)) for rank in range(count)]
    assert [part[0] for part, counts in first_of_each if counts] == by_length[:count].tolist()


def test_alone_every_number_is_ones_own() -> None:
    tensor = torch.tensor([1.5, 2.0])
    assert ALONE.sum(tensor) is tensor
    assert (ALONE.total(0.1), ALONE.largest(7), ALONE.agree(-1)) == (0.1, 7, -1)
    assert not torch.distributed.is_initialized()
    ALONE.barrier()

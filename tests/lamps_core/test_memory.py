from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lamps_core.memory import largest_micro_batch, micro_batch_for
from lamps_core.pretrained import load_model, load_tokenizer
from lamps_core.settings import FineTuningSettings
from lamps_core.tokens import tokenise
from lamps_core.training import start_fine_tune
from lamps_core.zoo import materialise


class Device:
    """A GPU by its figures: what a pass over some rows takes, and where it runs out."""

    def __init__(self, peaks: list[int], memory: int) -> None:
        self.peaks = peaks
        self.memory = memory
        self.tried: dict[int, int | None] = {}
        self.calls = 0

    def peak_bytes(self, rows: int) -> int | None:
        self.calls += 1
        peak = self.peaks[rows - 1]
        self.tried[rows] = peak if peak <= self.memory else None
        return self.tried[rows]


@given(
    base=st.integers(0, 1000), row=st.integers(1, 100), batch=st.integers(1, 64), limit=st.integers(0, 5000)
)
def test_where_memory_grows_by_the_row_the_largest_that_fits_is_found(
    base: int, row: int, batch: int, limit: int
) -> None:
    device = Device([base + row * rows for rows in range(1, batch + 1)], memory=limit + 500)
    found = largest_micro_batch(device.peak_bytes, batch_size=batch, limit_bytes=limit)
    fitting = [rows for rows in range(1, batch + 1) if base + row * rows <= limit]
    assert found == (fitting[-1] if fitting else None)


@given(
    growth=st.lists(st.integers(0, 200), min_size=1, max_size=64),
    limit=st.integers(0, 5000),
    spare=st.integers(0, 500),
)
def test_whatever_memory_does_the_answer_was_tried_and_fits_in_at_most_four_attempts(
    growth: list[int], limit: int, spare: int
) -> None:
    device = Device(np.cumsum(growth).tolist(), memory=limit + spare)
    found = largest_micro_batch(device.peak_bytes, batch_size=len(growth), limit_bytes=limit)
    assert device.calls <= 4
    if found is None:
        assert device.peaks[0] > limit
    else:
        peak = device.tried[found]
        assert peak is not None
        assert peak <= limit


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_the_probe_on_a_gpu_finds_the_whole_batch_and_leaves_the_model_as_it_was() -> None:
    folder = str(materialise("zoo/bert-tiny"))
    tokenizer = load_tokenizer(folder, revision=None, max_length=32)
    split = tokenise(["rain and wind", "soup"] * 20, np.zeros(40, dtype=np.int64), tokenizer, max_length=32)
    model = load_model(folder, revision=None, label_names=("a", "b"), pad_token_id=0, seed=0)
    tune = start_fine_tune(model, FineTuningSettings())
    before = {name: weight.clone() for name, weight in tune.model.state_dict().items()}
    assert micro_batch_for(tune, split, batch_size=32) == 32
    assert all(torch.equal(weight, before[name]) for name, weight in tune.model.state_dict().items())
    assert not tune.optimizer.state_dict()["state"]
    assert all(parameter.grad is None for parameter in tune.model.parameters())

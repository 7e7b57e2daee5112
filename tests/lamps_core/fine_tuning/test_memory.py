from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lamps_core.fine_tuning.memory import largest_micro_batch, micro_batch_for
from lamps_core.fine_tuning.pretrained import load_model, load_tokenizer
from lamps_core.fine_tuning.tokens import tokenise
from lamps_core.fine_tuning.training import FineTune, evaluate, start_fine_tune
from lamps_core.models.zoo import materialise
from lamps_core.settings import FineTuningSettings

if TYPE_CHECKING:
    from collections.abc import Callable

    from lamps_core.fine_tuning.tokens import TokenisedSplit


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


def started() -> tuple[FineTune, TokenisedSplit]:
    folder = str(materialise("zoo/bert-tiny"))
    tokenizer = load_tokenizer(folder, revision=None, max_length=32)
    split = tokenise(["rain and wind", "soup"] * 20, np.zeros(40, dtype=np.int64), tokenizer, max_length=32)
    model = load_model(folder, revision=None, label_names=("a", "b"), pad_token_id=0, seed=0)
    return start_fine_tune(model, FineTuningSettings()), split


class Peak:
    """The figure of a GPU: how much was allocated, and the most since it was set back."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.allocated = self.most = 100
        monkeypatch.setattr(torch.cuda, "max_memory_allocated", lambda _: self.most)
        monkeypatch.setattr(torch.cuda, "reset_peak_memory_stats", lambda _: self.take(0, anew=True))
        monkeypatch.setattr(FineTune, "device", torch.device("cuda"))

    def take(self, extra: int, *, anew: bool = False) -> None:
        self.most = max(0 if anew else self.most, self.allocated + extra)


@pytest.mark.parametrize(("trained", "evaluated", "peak"), [(300, 40, 400), (20, 40, 140)])
def test_peak_memory_is_the_most_of_a_step_but_for_what_ran_out(
    monkeypatch: pytest.MonkeyPatch, trained: int, evaluated: int, peak: int
) -> None:
    tune, _ = started()
    gpu = Peak(monkeypatch)
    gpu.take(trained)
    before = tune.peak_bytes
    for _ in range(2):
        gpu.take(9000)
        tune.forget_attempt(before)
    gpu.take(evaluated)
    assert tune.peak_bytes == peak


def test_an_evaluation_that_runs_out_of_memory_on_a_cpu_is_done_with_smaller_batches() -> None:
    tune, split = started()
    if tune.device.type != "cpu":
        pytest.skip("needs a machine without a GPU")
    whole = evaluate(tune, split)
    tune.model.register_forward_pre_hook(out_of_memory_above(10), with_kwargs=True)
    assert evaluate(tune, split).loss == pytest.approx(whole.loss, abs=1e-6)
    assert (tune.peak_bytes, tune.earlier_peak_bytes) == (0, 0)


def out_of_memory_above(rows: int, *, device: str = "cpu") -> Callable[..., None]:
    """A hook that lets a pass over more rows ask torch for more memory than there is, holding 64 MiB."""

    def hook(_: Any, __: Any, inputs: dict[str, torch.Tensor]) -> None:
        if len(inputs["input_ids"]) > rows:
            held = torch.empty(2**26, dtype=torch.uint8, device=device)
            torch.empty(2**50, dtype=torch.uint8, device=held.device)

    return hook


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_what_ran_out_on_a_gpu_is_in_no_peak_and_what_came_before_it_is() -> None:
    tune, split = started()
    tune.model.register_forward_pre_hook(out_of_memory_above(10, device="cuda"), with_kwargs=True)
    before = tune.peak_bytes
    assert micro_batch_for(tune, split, batch_size=32) == 2
    assert tune.peak_bytes == before
    evaluate(tune, split)
    assert tune.peak_bytes < before + 2**25  # the attempt held twice that
    held = torch.empty(2**27, dtype=torch.uint8, device="cuda")
    del held
    tune.evaluation_tokens = 2**16
    evaluate(tune, split)
    assert 2**27 <= tune.peak_bytes < before + 2**27 + 2**25


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_the_probe_on_a_gpu_finds_the_whole_batch_and_leaves_the_model_as_it_was() -> None:
    tune, split = started()
    before = {name: weight.clone() for name, weight in tune.model.state_dict().items()}
    assert micro_batch_for(tune, split, batch_size=32) == 32
    assert all(torch.equal(weight, before[name]) for name, weight in tune.model.state_dict().items())
    assert not tune.optimizer.state_dict()["state"]
    assert all(parameter.grad is None for parameter in tune.model.parameters())

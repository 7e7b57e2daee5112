"""The optimiser's state comes back from its file as it was."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch

from lamps_core.fine_tuning.optimizer_state import load_optimizer, save_optimizer
from lamps_core.fine_tuning.pretrained import load_model
from lamps_core.fine_tuning.tokens import TokenisedSplit
from lamps_core.fine_tuning.training import start_fine_tune, train_epoch
from lamps_core.models.zoo import materialise
from lamps_core.settings import FineTuningSettings

if TYPE_CHECKING:
    from pathlib import Path

    from lamps_core.fine_tuning.training import FineTune

SETTINGS = FineTuningSettings(learning_rate=5e-3, batch_size=8)


def trained(family: str) -> tuple[FineTune, TokenisedSplit]:
    """A candidate after one epoch over two batches of random tokens."""
    ids = np.random.default_rng(0).integers(10, 1000, 160)
    split = TokenisedSplit(ids.astype(np.int32), np.arange(0, 161, 10), np.arange(16) % 3)
    tune = start_fine_tune(new_model(family), SETTINGS)
    train_epoch(tune, split, np.arange(16), SETTINGS, step=1)
    return tune, split


def new_model(family: str) -> Any:
    folder = str(materialise(f"zoo/{family}-tiny"))
    return load_model(folder, revision=None, label_names=("a", "b", "c"), pad_token_id=1, seed=0)


def flat(optimizer: Any) -> dict[str, torch.Tensor]:
    state = optimizer.state_dict()["state"]
    return {f"{index}.{name}": tensor for index, entry in state.items() for name, tensor in entry.items()}


@pytest.mark.parametrize("family", ["bert", "gpt2", "luke"])  # some of LUKE's weights never have a gradient
def test_the_optimiser_comes_back_bit_by_bit(tmp_path: Path, family: str) -> None:
    tune, _ = trained(family)
    save_optimizer(tune.optimizer, tmp_path)
    fresh = start_fine_tune(new_model(family), SETTINGS)
    load_optimizer(fresh.optimizer, tmp_path)
    saved, loaded = flat(tune.optimizer), flat(fresh.optimizer)
    assert saved.keys() == loaded.keys()
    assert len(saved) >= 3
    for key, tensor in saved.items():
        assert torch.equal(loaded[key], tensor)
        assert loaded[key].dtype == tensor.dtype == torch.float32
    assert fresh.optimizer.state_dict()["param_groups"] == tune.optimizer.state_dict()["param_groups"]


def test_training_goes_on_from_it_as_if_it_had_never_stopped(tmp_path: Path) -> None:
    tune, split = trained("luke")
    tune.model.save_pretrained(tmp_path)
    save_optimizer(tune.optimizer, tmp_path)
    model = load_model(str(tmp_path), revision=None, label_names=("a", "b", "c"), pad_token_id=1, seed=5)
    resumed = start_fine_tune(model, SETTINGS)
    load_optimizer(resumed.optimizer, tmp_path)
    for each in (tune, resumed):
        train_epoch(each, split, np.arange(16), SETTINGS, step=2)
    expected = tune.model.state_dict()
    assert all(torch.equal(weight, expected[name]) for name, weight in resumed.model.state_dict().items())

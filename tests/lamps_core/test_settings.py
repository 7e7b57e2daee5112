from __future__ import annotations

import dataclasses
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lamps_core.errors import BadInput
from lamps_core.settings import DEFAULT_LEARNING_RATE, FineTuningSettings

OTHER_VALUES: dict[str, Any] = {
    "learning_rate": 1e-5,
    "batch_size": 16,
    "landmarks": 7,
    "patience": 2,
    "max_epochs": 9,
    "max_length": 256,
    "max_grad_norm": 2.0,
    "seed": 1,
    "precision": "fp32",
}
FEW_LOSSES = st.lists(st.integers(0, 5).map(float), max_size=25)  # few values, so that ties occur


def complete_by_walking(losses: list[float], settings: FineTuningSettings) -> bool:
    """The stopping criterion as a person would keep count of it, epoch after epoch."""
    epochs, since_best = 0, 0
    best: float | None = None
    for step, loss in enumerate(losses):
        if step < settings.landmarks:
            continue
        epochs += 1
        if best is None or loss < best:
            best, since_best = loss, 0
        else:
            since_best += 1
    return epochs > 0 and (since_best >= settings.patience or epochs >= settings.max_epochs)


@given(FEW_LOSSES, st.integers(1, 8), st.integers(1, 4), st.integers(1, 12))
def test_a_curve_is_complete_when_a_plain_count_of_epochs_says_so(
    losses: list[float], landmarks: int, patience: int, max_epochs: int
) -> None:
    settings = FineTuningSettings(landmarks=landmarks, patience=patience, max_epochs=max_epochs)
    assert settings.is_complete(losses) == complete_by_walking(losses, settings)


def test_landmarks_before_the_full_dataset_do_not_use_up_patience() -> None:
    settings = FineTuningSettings(landmarks=3, patience=3)
    rising = [1.0, 2.0, 3.0]
    assert not settings.is_complete(rising)
    assert not settings.is_complete([*rising, 4.0, 5.0, 6.0])
    assert settings.is_complete([*rising, 4.0, 5.0, 6.0, 7.0])


def test_a_loss_equal_to_the_best_is_no_better_one() -> None:
    settings = FineTuningSettings(landmarks=1, patience=2)
    assert settings.is_complete([9.0, 1.0, 1.0, 1.0])
    assert not settings.is_complete([9.0, 1.0, 1.0, 0.5])


def test_a_curve_that_keeps_improving_ends_at_max_epochs() -> None:
    settings = FineTuningSettings(landmarks=2, max_epochs=4)
    losses = [float(10 - step) for step in range(6)]  # steps 0 and 1, then epochs 2 to 5
    assert not settings.is_complete(losses[:-1])
    assert settings.is_complete(losses)


def test_every_field_is_changed_by_the_next_test() -> None:
    assert set(OTHER_VALUES) == {field.name for field in dataclasses.fields(FineTuningSettings)}


@pytest.mark.parametrize("name", OTHER_VALUES)
def test_the_hash_names_every_field(name: str) -> None:
    changed = dataclasses.replace(FineTuningSettings(), **{name: OTHER_VALUES[name]})
    assert changed.config_hash != FineTuningSettings().config_hash


def test_the_hash_of_curves_that_are_on_disk_is_still_that_of_their_settings() -> None:
    assert FineTuningSettings().config_hash == "053ef25530c7477b"


def test_the_rate_asked_for_goes_before_the_candidates_own() -> None:
    asked, unasked = FineTuningSettings(learning_rate=1e-3), FineTuningSettings()
    assert [asked.rate_with(None), asked.rate_with(1e-4)] == [1e-3, 1e-3]
    assert [unasked.rate_with(None), unasked.rate_with(1e-4)] == [DEFAULT_LEARNING_RATE, 1e-4]
    assert unasked.with_rate_of(1e-4) == FineTuningSettings(learning_rate=1e-4)


def test_the_hash_is_sixteen_hex_digits_and_the_same_for_equal_settings() -> None:
    settings = FineTuningSettings(learning_rate=0.001)
    assert re.fullmatch("[0-9a-f]{16}", settings.config_hash)
    assert settings.config_hash == FineTuningSettings(**dataclasses.asdict(settings)).config_hash


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("--batch-size", 0),
        ("--landmarks", 0),
        ("--landmarks", 31),
        ("--patience", -1),
        ("--max-epochs", 0),
        ("--max-length", 0),
        ("--learning-rate", 0.0),
        ("--learning-rate", -1e-5),
        ("--learning-rate", 1.0),
        ("--learning-rate", float("nan")),
        ("--seed", -1),
        ("--seed", 2**31),
    ],
)
def test_an_impossible_value_is_refused_by_its_option_and_value(option: str, value: float) -> None:
    field = option.removeprefix("--").replace("-", "_")
    with pytest.raises(BadInput) as refused:
        FineTuningSettings(**{field: value})  # type: ignore[arg-type]
    assert str(refused.value).startswith(f"{option} must be ")
    assert str(refused.value).endswith(f"not {value}")
    assert "\n" not in str(refused.value)

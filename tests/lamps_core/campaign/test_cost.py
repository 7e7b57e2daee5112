"""What a curve is expected to cost, and the room it needs."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from lamps_core.campaign.cost import (
    ASSUMED_SPEED,
    DatasetSize,
    Speed,
    dataset_size,
    disk_need,
    expected_seconds,
    speed_of,
)
from lamps_core.campaign.schedule import Pair
from lamps_core.curves.schema import CurveKey
from lamps_core.curves.store import CurveState
from lamps_core.settings import FineTuningSettings
from lamps_core.text.dataset import TextDataset, TextSplit

SETTINGS = FineTuningSettings(landmarks=2, max_epochs=3)
SIZE = DatasetSize(train_rows=100, evaluation_rows=50, tokens=10.0)
KEY = CurveKey("trec", "bert", 0)


def split(texts: list[str]) -> TextSplit:
    return TextSplit(tuple(texts), np.zeros(len(texts), dtype=np.int64))


def row(step: int, *, seconds: float, gpus: int = 0) -> dict[str, object]:
    training = seconds if step else 0.0
    return {
        "parameters": 1000, "train_rows": 100 if step else 0, "train_seconds": training,
        "step_seconds": training + 0.25, "gpus": gpus,
    }  # fmt: skip


def test_a_dataset_is_as_long_as_its_characters_say_cut_at_the_longest_text_a_model_takes() -> None:
    evaluation = split(["x"] * 7)
    dataset = TextDataset("d", ("a",), split(["x" * 40, "x" * 4000]), evaluation, None, (), "", "test")
    assert dataset_size(dataset, max_length=20) == DatasetSize(2, 7, (10 + 20) / 2)


def test_the_seconds_of_a_curve_are_its_operations_at_the_speed_and_its_steps_overhead() -> None:
    speed = Speed(operations=1e6, by_model={}, step_seconds=0.5, full_epochs=2.0, measured_steps=0)
    trained = 50 + 100 + 100  # half the rows, then two full epochs
    tokens = 10 * (6 * trained + 2 * 50 * 4)
    assert expected_seconds(Pair(KEY), SIZE, 1000, SETTINGS, speed) == pytest.approx(4 * 0.5 + tokens / 1e3)


def test_what_is_done_costs_nothing_more_and_more_devices_take_less_time() -> None:
    speed = Speed(operations=1e6, by_model={}, step_seconds=0.0, full_epochs=2.0, measured_steps=0)
    whole = expected_seconds(Pair(KEY), SIZE, 1000, SETTINGS, speed)
    rest = expected_seconds(Pair(KEY, losses=(1.0, 0.9)), SIZE, 1000, SETTINGS, speed)
    two = expected_seconds(Pair(KEY, gpus=2), SIZE, 1000, SETTINGS, speed)
    assert 0 < rest < whole
    assert two == pytest.approx(whole / 2)


def test_a_curve_longer_than_expected_still_has_a_step_to_go() -> None:
    speed = Speed(operations=1e6, by_model={}, step_seconds=0.5, full_epochs=1.0, measured_steps=0)
    assert expected_seconds(Pair(KEY, losses=(1.0,) * 9), SIZE, 1000, SETTINGS, speed) > 0.5


def test_speed_is_read_off_the_curves_that_are_there() -> None:
    rows = (row(0, seconds=0), row(1, seconds=2.0), row(2, seconds=2.0), row(3, seconds=2.0))
    states = {
        KEY: CurveState(rows=rows, complete=True, failure=None),
        CurveKey("unknown", "bert", 0): CurveState(rows=(row(1, seconds=99),), complete=False, failure=None),
    }
    speed = speed_of(states, {"trec": SIZE}, SETTINGS, cuda=False)
    assert speed.operations == speed.by_model["bert"] == 6 * 1000 * 10 * 100 / 2.0
    assert (speed.full_epochs, speed.measured_steps) == (2.0, 3)
    assert (
        speed.step_seconds == 0.0
    )  # evaluating 50 rows takes a sixth of training on 100, all of it and more


def test_what_a_measured_curve_took_is_what_the_same_one_is_expected_to_take() -> None:
    evaluation = 2.0 * 2 * 50 / (6 * 100)
    whole = [seconds + evaluation + 0.25 for seconds in (0.0, 1.0, 2.0, 2.0)]
    rows = tuple(
        {**row(step, seconds=seconds), "train_rows": trained, "step_seconds": whole[step]}
        for step, (trained, seconds) in enumerate([(0, 0.0), (50, 1.0), (100, 2.0), (100, 2.0)])
    )
    longer = CurveState(rows=(*rows, *rows[-1:] * 9), complete=True, failure=None)
    states = {KEY: CurveState(rows=rows, complete=True, failure=None), CurveKey("other", "bert", 0): longer}
    speed = speed_of(states, {"trec": SIZE}, SETTINGS, cuda=False)
    assert expected_seconds(Pair(KEY), SIZE, 1000, SETTINGS, speed) == pytest.approx(sum(whole))


def test_speed_of_another_kind_of_device_is_not_taken() -> None:
    states = {KEY: CurveState(rows=(row(1, seconds=2.0, gpus=1),), complete=False, failure=None)}
    speed = speed_of(states, {"trec": SIZE}, SETTINGS, cuda=False)
    assert (speed.operations, speed.measured_steps) == (ASSUMED_SPEED[False], 0)
    assert speed.full_epochs == min(SETTINGS.max_epochs, SETTINGS.patience + 2)
    patient = dataclasses.replace(SETTINGS, max_epochs=50)
    assert speed_of({}, {}, patient, cuda=True).full_epochs == patient.patience + 2


def test_disk_holds_every_download_and_the_checkpoints_of_the_largest_under_way() -> None:
    need = disk_need([10, 1000, 100, 1000], downloads=[4000, 400], slots=2)
    assert (need.downloads, need.checkpoints) == (4400, 2 * 12 * 2000)

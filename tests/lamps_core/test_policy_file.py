"""What a policy's card refuses, and how a policy takes the place of another."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import numpy as np
import pytest

from lamps_core.errors import BadInput
from lamps_core.objectives import parse_objectives
from lamps_core.policy_file import (
    PolicyCard,
    PolicyFile,
    priced,
    read_policy,
    replace_policy,
    write_policy,
)

if TYPE_CHECKING:
    from pathlib import Path


def policy(number: float, *, objectives: str = "test_loss,dollars", price: float = 3.0) -> PolicyFile:
    asked = parse_objectives(objectives, gpu_hour_price=price)
    card = PolicyCard(
        kind="pool",
        algorithm="forecast",
        objectives=tuple(one.column for one in asked),
        candidates=("a", "b"),
        datasets=("first",),
        meta_dataset=f"{number}",
        network={},
        settings=priced(asked),
    )
    return PolicyFile(card, {"weights": np.full(3, number)})


def test_a_policy_for_dollars_at_another_price_is_refused() -> None:
    card = policy(1.0).card
    card.check_fits(["a"], parse_objectives("test_loss,dollars", gpu_hour_price=3.0), place="here")
    with pytest.raises(
        BadInput, match="here: was trained for dollars at 3 a GPU hour, not 2: give --gpu-hour-price 3"
    ):
        card.check_fits(["a"], parse_objectives("test_loss,dollars", gpu_hour_price=2.0), place="here")


def test_without_dollars_the_price_is_nobodys_concern() -> None:
    card = policy(1.0, objectives="test_loss,train_seconds").card
    assert card.settings == {}
    card.check_fits(["a"], parse_objectives(gpu_hour_price=2.0), place="here")


@pytest.mark.parametrize("name", ["policy", "policy.zip"])
def test_whoever_reads_while_a_policy_is_replaced_finds_the_old_or_the_new(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    files = [policy(float(number)) for number in range(2)]
    write_policy(path, files[0])
    digests, ended = {file.digest() for file in files}, threading.Event()
    found: list[str] = []

    def read() -> None:
        while not ended.is_set():
            try:
                found.append(read_policy(path).digest())
            except BadInput as error:  # pragma: no cover - a test that fails
                found.append(str(error))

    reader = threading.Thread(target=read)
    reader.start()
    for turn in range(1, 21):
        replace_policy(path, files[turn % 2])
    ended.set()
    reader.join()
    assert found
    if name.endswith(
        ".zip"
    ):  # a folder's two files are read one after the other: a replacement may lie between
        assert set(found) <= digests
    assert not [told for told in found if "there is no such policy" in told]
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_a_link_to_a_policy_stays_a_link(tmp_path: Path) -> None:
    write_policy(tmp_path / "first", policy(0.0))
    (tmp_path / "latest").symlink_to(tmp_path / "first")
    replace_policy(tmp_path / "latest", policy(1.0))
    assert (tmp_path / "latest").is_symlink()
    assert read_policy(tmp_path / "first").digest() == policy(1.0).digest()

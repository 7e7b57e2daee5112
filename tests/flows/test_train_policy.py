"""The train_policy flow on a real server."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from prefect import get_client

from flows.train_policy import train_policy, training_request
from lamps_core.errors import BadInput
from lamps_core.policy_file import read_policy
from lamps_core.progress import TrainingProgress, listening
from tests.meta_datasets import family_rows, write_meta_dataset

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def curves(tmp_path: Path) -> Path:
    return write_meta_dataset(tmp_path / "curves", family_rows(4, 5, steps=3))


@pytest.mark.usefixtures("on_the_server")
def test_a_flow_trains_tells_and_leaves_a_table(curves: Path, tmp_path: Path) -> None:
    events: list[TrainingProgress] = []
    with listening(events.append):
        told = train_policy(
            curves=str(curves),
            out=str(tmp_path / "policy"),
            algorithm="ppo",
            exclude_datasets="dataset-0, dataset-1",
            objectives="train_seconds,test_loss",
            bounds="test_loss=9,train_seconds=1e6",
            steps=1,
        )
    card = read_policy(tmp_path / "policy").card
    assert card.datasets == ("dataset-2", "dataset-3")
    assert card.objectives == ("train_seconds", "test_loss")
    assert told["policy"] == str(tmp_path / "policy")
    assert told["validation_score"] is None  # two datasets: none is kept out
    assert events[-1].share_done == 1.0
    with get_client(sync_client=True) as client:
        tables = [one for one in client.read_artifacts() if one.key == "lamps-policy"]
    table = max(tables, key=lambda one: str(one.created))  # other tests leave theirs on the same server
    assert "| datasets | dataset-2, dataset-3 |" in str(table.data)
    assert "| score on datasets kept out | none were |" in str(table.data)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"out": " "}, "--out names no place"),
        ({"bounds": "test_loss"}, "write it like"),
    ],
)
def test_what_cannot_be_parsed_is_refused(change: dict[str, str], said: str) -> None:
    with pytest.raises(BadInput, match=said):
        training_request(**({"curves": "curves", "out": "policy"} | change))

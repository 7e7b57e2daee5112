from __future__ import annotations

from pathlib import Path

import datasets
import pytest

from lamps_core.errors import BadInput
from lamps_core.text_hub import open_hub
from tests.text_datasets import load, write_parquet


@pytest.fixture
def hub_repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A folder laid out as a hub repository, which `load_dataset` reads by its relative path as by an id."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    card = ["---", "configs:"]
    for config in ("one", "two"):
        card += [f"- config_name: {config}", "  data_files:"]
        for split in ("train", "test"):
            labels = [-1] * 6 if split == "test" else [0, 1] * 3
            write_parquet(
                tmp_path / f"org/name/{config}/{split}.parquet",
                {"text": [f"{config} {split} {row}" for row in range(6)], "label": labels},
                names=["no", "yes"],
            )
            card += [f"  - split: {split}", f"    path: {config}/{split}.parquet"]
    (tmp_path / "org/name/README.md").write_text("\n".join([*card, "---"]))
    return "org/name"


@pytest.mark.parametrize(("configs", "rows"), [("one", 6), ("one+two", 12), ("*", 12)])
def test_hub_configurations_are_concatenated_with_their_class_names(
    hub_repository: str, configs: str, rows: int
) -> None:
    assert open_hub(f"{hub_repository}:{configs}").splits == ("train", "test")
    dataset = load(f"{hub_repository}:{configs}")
    assert dataset.name == f"{hub_repository}:{configs}"
    assert dataset.label_names == ("no", "yes")
    assert len(dataset.train) + len(dataset.evaluation) == rows
    assert dataset.notices[0].startswith("the test split has no labels: 20% of the training rows")


def test_configurations_offer_the_splits_they_share(hub_repository: str) -> None:
    card = Path(hub_repository) / "README.md"
    shared = card.read_text()
    card.write_text(shared.replace("split: train\n    path: two", "split: extra\n    path: two"))
    assert open_hub(f"{hub_repository}:one+two").splits == ("test",)
    card.write_text(card.read_text().replace("split: test\n    path: two", "split: other\n    path: two"))
    with pytest.raises(BadInput, match="org/name:one\\+two: its configurations share no split"):
        open_hub(f"{hub_repository}:one+two")


def test_an_unknown_configuration_is_refused_with_those_there_are(hub_repository: str) -> None:
    with pytest.raises(BadInput, match=r"'three' not found.*one.*two"):
        open_hub(f"{hub_repository}:three")


def test_a_hub_that_cannot_be_reached_is_bad_input(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(
        BadInput, match=r"'no-such-org/nothing' is no local file.*check the name, the network"
    ):
        load("no-such-org/nothing")


@pytest.mark.parametrize("name", ["csv", "a/b:c:d", ""])
def test_a_name_that_is_no_hub_id_is_refused(name: str) -> None:
    with pytest.raises(BadInput, match="no hub id such as org/name"):
        open_hub(name)

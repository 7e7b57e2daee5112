from __future__ import annotations

import json
import re
import shutil
from typing import TYPE_CHECKING

import pytest
from safetensors.numpy import load_file, save_file

from lamps_core.models.folder import weights_flaw
from lamps_core.models.zoo import materialise

if TYPE_CHECKING:
    from pathlib import Path


def whole_model(folder: Path, *, shards: int = 0) -> Path:
    """A copy of a tiny model, its weights in as many shards."""
    shutil.copytree(materialise("zoo/bert-tiny"), folder)
    if shards:
        tensors = load_file(folder / "model.safetensors")
        (folder / "model.safetensors").unlink()
        weight_map: dict[str, str] = {}
        for shard in range(shards):
            part = {name: tensors[name] for name in sorted(tensors)[shard::shards]}
            file = f"model-{shard + 1:05}-of-{shards:05}.safetensors"
            save_file(part, folder / file)
            weight_map |= dict.fromkeys(part, file)
        (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": weight_map}))
    return folder


@pytest.mark.parametrize("shards", [0, 2])
def test_weights_that_are_whole_have_no_flaw_and_those_cut_short_have(shards: int, tmp_path: Path) -> None:
    folder = whole_model(tmp_path / "mine", shards=shards)
    assert weights_flaw(folder) is None
    last = max(folder.glob("*.safetensors"))
    content = last.read_bytes()
    for kept in (0, 5, 100, len(content) // 2, len(content) - 1):
        last.write_bytes(content[:kept])
        assert re.search(
            f"has a {last.name} that is cut short .*: copy or save the model again",
            weights_flaw(folder) or "",
        )


def test_a_pointer_in_the_place_of_weights_is_told(tmp_path: Path) -> None:
    folder = whole_model(tmp_path / "mine")
    pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 437951328\n"
    (folder / "model.safetensors").write_text(pointer)
    assert re.search(r"cut short or no safetensors file \(", weights_flaw(folder) or "")


def test_a_shard_that_is_not_there_is_named(tmp_path: Path) -> None:
    folder = whole_model(tmp_path / "mine", shards=3)
    (folder / "model-00002-of-00003.safetensors").unlink()
    assert re.search(
        r"has no model-00002-of-00003.safetensors, which .*index.json names: copy", weights_flaw(folder) or ""
    )


@pytest.mark.parametrize(
    "index",
    ["", "[]", "{}", '{"weight_map": {}}', '{"weight_map": 1}', '{"weight_map": {"a": 7}}', "[" * 200_000],
)
def test_an_index_that_names_no_files_is_told(index: str, tmp_path: Path) -> None:
    folder = whole_model(tmp_path / "mine", shards=1)
    (folder / "model.safetensors.index.json").write_text(index)
    assert re.search(r"index.json that names no files of weights: copy or save", weights_flaw(folder) or "")

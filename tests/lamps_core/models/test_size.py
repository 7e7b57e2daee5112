from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file
from transformers import AutoModel

from lamps_core.models.candidates import Candidate, resolve_candidates
from lamps_core.models.size import CandidateSize, candidate_sizes, folder_size
from lamps_core.models.zoo import materialise
from lamps_core.registry import registered_models
from tests.local_hub import Hub, HubUser

SIZES = """
import dataclasses, json, sys
from lamps_core.models.size import candidate_sizes
from lamps_core.models.candidates import Candidate
asked = [Candidate(*fields) for fields in json.loads(sys.argv[1])]
print(json.dumps({name: dataclasses.astuple(size) for name, size in candidate_sizes(asked).items()}))
"""


def on_hub(name: str, revision: str | None = None) -> Candidate:
    return Candidate(f"{name}@{revision}" if revision else name, "hub", name, None, revision)


@pytest.fixture
def user(tmp_path: Path) -> HubUser:
    return HubUser(tmp_path / "home")


def sizes(user: HubUser, *candidates: Candidate, **environment: str) -> dict[str, CandidateSize]:
    asked = json.dumps([dataclasses.astuple(candidate) for candidate in candidates])
    return {name: CandidateSize(*told) for name, told in user.ask(SIZES, asked, **environment).items()}


# --- Files


@pytest.mark.parametrize("name", ["zoo/bert-tiny", "zoo/gpt2-tiny", "zoo/albert-tiny"])
def test_the_parameters_in_the_files_are_those_of_the_model_that_is_loaded(name: str) -> None:
    (candidate,) = resolve_candidates(name)
    size = candidate_sizes([candidate])[name]
    model = AutoModel.from_pretrained(candidate.location)
    assert size.parameters == sum(parameter.numel() for parameter in model.parameters())
    assert size.weight_bytes == (Path(candidate.location) / "model.safetensors").stat().st_size


def test_shards_are_counted_by_their_index_and_other_files_not_at_all(tmp_path: Path) -> None:
    shards = {"model-00001-of-00002.safetensors": "first", "model-00002-of-00002.safetensors": "second"}
    for file, name in shards.items():
        save_file({name: np.zeros((3, 5), np.float16)}, tmp_path / file)
    save_file({"adapter": np.zeros(1000, np.float32)}, tmp_path / "adapter_model.safetensors")
    index = {"weight_map": {name: file for file, name in shards.items()} | {"tied": next(iter(shards))}}
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps(index))
    size = folder_size(tmp_path)
    assert size.parameters == 30
    assert size.weight_bytes == sum((tmp_path / file).stat().st_size for file in shards)


def test_no_weight_is_read(tmp_path: Path) -> None:
    """A file that is a header and then a hole of 64 GiB is counted at once."""
    header = {"weight": {"dtype": "F32", "shape": [2**17, 2**17], "data_offsets": [0, 2**36]}}
    text = json.dumps(header).encode()
    with (tmp_path / "model.safetensors").open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        file.truncate(8 + len(text) + 2**36)
    assert folder_size(tmp_path) == CandidateSize(2**34, 8 + len(text) + 2**36)


@pytest.mark.parametrize(
    "files",
    [
        {},
        {"model.safetensors": b""},
        {"model.safetensors": b"no header at all"},
        {"model.safetensors.index.json": b"{}"},
        {"model.safetensors.index.json": b"no JSON"},
        {"model.safetensors.index.json": b'{"weight_map": {"a": "nosuch.safetensors"}}'},
        {"model.safetensors.index.json": b'{"weight_map": {"a": 7}}'},
        {"model.safetensors.index.json": b'["weight_map"]'},
    ],
)
def test_files_that_are_missing_or_broken_make_the_size_unknown(
    files: dict[str, bytes], tmp_path: Path
) -> None:
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    assert folder_size(tmp_path) == CandidateSize(None, None)


# --- The registry and the hub


def test_registered_candidates_are_known_without_asking(user: HubUser, hub: Hub) -> None:
    name = "google-bert/bert-base-uncased"
    found = sizes(user, on_hub(name), on_hub(name, "v2"), HF_ENDPOINT=hub.endpoint)
    known = CandidateSize(registered_models()[name].parameters, None)
    assert found == {name: known, f"{name}@v2": known}
    assert hub.asked == []


def test_a_candidate_in_the_hub_cache_is_read_there(user: HubUser, hub: Hub) -> None:
    for repository in ("some/cached", "google-bert/bert-base-uncased"):
        snapshot = user.cache(repository, ())
        shutil.copytree(materialise("zoo/bert-tiny"), snapshot, dirs_exist_ok=True)
    expected = folder_size(materialise("zoo/bert-tiny"))
    found = sizes(
        user, on_hub("some/cached"), on_hub("google-bert/bert-base-uncased"), HF_ENDPOINT=hub.endpoint
    )
    assert found["some/cached"] == expected
    registered = found["google-bert/bert-base-uncased"]
    assert registered.weight_bytes == expected.weight_bytes
    assert registered.parameters == registered_models()["google-bert/bert-base-uncased"].parameters
    assert hub.asked == []


def test_the_hub_is_asked_for_the_others_and_says_what_it_knows(user: HubUser, hub: Hub) -> None:
    counted: dict[str, Any] = {"safetensors": {"parameters": {"F32": 900}, "total": 900}}
    weights = {"rfilename": "model.safetensors", "size": 3600}
    pickle = {"rfilename": "pytorch_model.bin", "size": 3700}
    hub.add(
        "some/model",
        siblings=[weights, pickle, {"rfilename": "onnx/model.safetensors", "size": 1}],
        **counted,
    )
    hub.add("some/model/revision/v2", **counted)
    hub.add("some/pickle", siblings=[pickle])
    hub.refuse("some/gated")
    asked = [on_hub(name) for name in ("some/model", "some/pickle", "some/gated", "some/nosuch")]
    found = sizes(user, *asked, on_hub("some/model", "v2"), HF_ENDPOINT=hub.endpoint)
    unknown = CandidateSize(None, None)
    assert found == {
        "some/model": CandidateSize(900, 3600),
        "some/model@v2": CandidateSize(900, None),
        "some/pickle": unknown,
        "some/gated": unknown,
        "some/nosuch": unknown,
    }


@pytest.mark.parametrize(
    "environment", [{"HF_HUB_OFFLINE": "1"}, {"HF_ENDPOINT": "http://127.0.0.1:9"}], ids=["offline", "no hub"]
)
def test_without_a_hub_the_size_is_unknown(environment: dict[str, str], user: HubUser) -> None:
    names = [f"some/model-{number}" for number in range(30)]
    found = sizes(user, *map(on_hub, names), **environment)
    assert found == dict.fromkeys(names, CandidateSize(None, None))

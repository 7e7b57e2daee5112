"""Curves and policies by hub ids: what is fetched, what is found again without the hub, and what is refused."""

from __future__ import annotations

import shutil
from dataclasses import replace
from typing import TYPE_CHECKING

import huggingface_hub
import huggingface_hub.constants
import numpy as np
import pytest

from lamps_core.curves.reader import read_curves
from lamps_core.errors import BadInput
from lamps_core.hub.download import POLICY as POLICY_WANTED
from lamps_core.hub.download import curves_to_read, find
from lamps_core.policies.loading import load_policy, shipped_policy
from lamps_core.policy_file import read_policy, write_policy
from tests.hub_user import push, used_hub
from tests.meta_datasets import family_rows, write_meta_dataset

if TYPE_CHECKING:
    from pathlib import Path

    from tests.hub_server import HubServer

hub = used_hub

POLICY = shipped_policy("pool")


@pytest.fixture
def curves(tmp_path: Path) -> Path:
    return write_meta_dataset(tmp_path / "curves", family_rows(3, 4, steps=3))


def test_what_is_in_the_cache_loads_though_the_hub_is_off_or_down(
    hub: HubServer, curves: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    push(POLICY, "ada/policy")
    push(curves, "ada/curves")
    wanted = read_policy(POLICY).digest()
    assert read_policy(find("ada/policy").path).digest() == wanted
    rows = read_curves(curves_to_read("ada/curves"))
    hub.down = 503
    assert read_policy(find("ada/policy").path).digest() == wanted
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    asked = len(hub.asked)
    assert read_policy(find("ada/policy").path).digest() == wanted
    assert read_curves(curves_to_read("ada/curves")).equals(rows)
    assert len(hub.asked) == asked


def test_what_is_not_in_the_cache_is_one_clear_line_where_the_hub_is_off_or_down(
    hub: HubServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.down = 503
    with pytest.raises(BadInput, match=r"--policy ada/policy: .* answered 503; nor is it in the cache"):
        find("ada/policy")
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(
        BadInput, match=r"--curves ada/curves: .* not in the cache, and the hub is switched off"
    ):
        curves_to_read("ada/curves")


def test_what_is_nearly_a_path_is_not_asked_of_the_hub(
    hub: HubServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    push(POLICY, "ada/polcy")
    (tmp_path / "ada").mkdir()
    shutil.copy(POLICY, tmp_path / "ada" / "policy.zip")
    monkeypatch.chdir(tmp_path)
    asked = len(hub.asked)
    with pytest.raises(BadInput, match=r"--policy ada/polcy: .* did you mean ada/policy.zip\?"):
        find("ada/polcy")
    with pytest.raises(BadInput, match=r"did you mean ada/policy.zip\?"):
        find("ada/policy")
    assert len(hub.asked) == asked
    assert read_policy(find("ada/polcy@main").path).digest() == read_policy(POLICY).digest()


def test_a_commit_is_loaded_again_whatever_came_since_and_without_asking(
    hub: HubServer, tmp_path: Path
) -> None:
    (first,) = push(POLICY, "ada/policy")
    asked_for = f"ada/policy@{first.commit}"
    assert find(asked_for).commit == first.commit
    other = replace(read_policy(POLICY), weights={"network": np.zeros(3, np.float32)})
    write_policy(tmp_path / "other.zip", other)
    (second,) = push(tmp_path / "other.zip", "ada/policy")
    assert find("ada/policy").commit == second.commit != first.commit
    asked = len(hub.asked)
    assert read_policy(find(asked_for).path).digest() == read_policy(POLICY).digest()
    assert len(hub.asked) == asked


def test_a_commit_of_which_the_cache_has_the_card_alone_is_asked_for(
    hub: HubServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    (pushed,) = push(POLICY, "ada/policy")
    asked_for = f"ada/policy@{pushed.commit}"
    huggingface_hub.hf_hub_download("ada/policy", "README.md", revision=pushed.commit)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(BadInput, match="not in the cache, and the hub is switched off"):
        find(asked_for)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
    assert read_policy(find(asked_for).path).digest() == read_policy(POLICY).digest()


def test_a_repository_that_is_not_there_private_or_of_another_kind_is_one_line(
    hub: HubServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(
        BadInput, match=r"--policy ada/none: there is no such policy here, and .* not there, or private"
    ):
        find("ada/none")
    push(POLICY, "ada/policy")
    with pytest.raises(BadInput, match="there is no such revision"):
        find("ada/policy@v9")
    hub.add("model", "ada/pickle", {"policy.pkl": b"cos\nsystem\n", "README.md": b"a policy"})
    with pytest.raises(BadInput, match=r"it has no policy\.json or weights\.safetensors"):
        find("ada/pickle")
    monkeypatch.delenv("HF_TOKEN")
    with pytest.raises(BadInput, match=r"not there, or private: .* set HF_TOKEN .* answered 401"):
        find("ada/policy")


def test_a_hostile_policy_is_refused_by_its_size_before_it_is_fetched(
    hub: HubServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.add("model", "eve/policy", {"policy.json": b"{}", "weights.safetensors": b"x" * 1000})
    with pytest.raises(BadInput, match="it is too large: 1,002 bytes"):
        find("eve/policy", replace(POLICY_WANTED, most_bytes=100))
    assert not [path for _, path in hub.asked if "/resolve/" in path]


def test_nothing_but_the_files_of_a_policy_or_of_curves_is_fetched(hub: HubServer, curves: Path) -> None:
    extra = {"evil.py": b"import os", "weights.pkl": b"cos", "notes.zip": b"PK"}
    for kind, name, place in (("model", "ada/policy", POLICY), ("dataset", "ada/curves", curves)):
        push(place, name)
        repository = hub.repositories[kind, name]
        repository.commit("main", {**repository.files(), **extra})
    found = [find("ada/policy").path, curves_to_read("ada/curves")]
    names = {path.name for folder in found for path in folder.iterdir()}
    assert names == {"policy.json", "weights.safetensors", "curves.parquet"}


def test_a_broken_policy_of_the_hub_is_refused_as_a_broken_file_is(hub: HubServer) -> None:
    hub.add("model", "eve/policy", {"policy.json": b"[]", "weights.safetensors": b"\x80\x04cos"})
    with pytest.raises(BadInput, match="holds no JSON object"):
        load_policy("eve/policy")

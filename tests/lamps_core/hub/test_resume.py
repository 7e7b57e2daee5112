"""A search by a policy of the hub goes on with the policy that it began with, whatever came since."""

from __future__ import annotations

import dataclasses
import json
from typing import TYPE_CHECKING

import huggingface_hub.constants
import pytest

from lamps_core.errors import BadInput
from lamps_core.policies.loading import shipped_policy
from lamps_core.policy_file import read_policy, write_policy
from lamps_core.search.run import SearchRun
from tests.hub_user import push, used_hub
from tests.searches import quick_request, run_steps

if TYPE_CHECKING:
    from pathlib import Path

    from tests.hub_server import HubServer

hub = used_hub


def test_a_search_goes_on_with_the_policy_of_the_hub_that_it_began_with(
    hub: HubServer, topics_csv: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    policy = shipped_policy("universal")
    (begun,) = push(policy, "ada/policy")
    request = quick_request(topics_csv, tmp_path / "out", policy="ada/policy")
    with SearchRun(request) as run:
        assert run_steps(run, 1) == 1
        assert run.search.policy.name == "ada/policy"
    header = json.loads((tmp_path / "out/journal.jsonl").read_text().splitlines()[0])
    assert (header["policy"], header["policy_commit"]) == ("ada/policy", begun.commit)
    file = read_policy(policy)
    other = dataclasses.replace(file, card=dataclasses.replace(file.card, datasets=("another",)))
    write_policy(tmp_path / "other.zip", other)
    (later,) = push(tmp_path / "other.zip", "ada/policy")
    assert later.commit != begun.commit
    SearchRun(request).close()
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    with SearchRun(request) as run:
        assert run_steps(run, 1) == 1
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
    with pytest.raises(BadInput, match="holds another search"):
        SearchRun(dataclasses.replace(request, policy=f"ada/policy@{later.commit}"))

"""Flows that push to the hub: the real client and a real Prefect server, against a hub on this machine."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner
from prefect.blocks.system import Secret

from flows.push import push as push_flow
from flows.search import search
from flows.train_policy import train_policy
from lamps_cli.train_policy import train_policy as command
from lamps_core.errors import BadInput, PushFailed
from lamps_core.hub.download import find
from lamps_core.policies.loading import shipped_policy
from lamps_core.policy_file import read_policy
from tests.hub_server import TOKEN, HubServer
from tests.hub_user import push, used_hub
from tests.meta_datasets import family_rows, write_meta_dataset
from tests.searches import TINY

if TYPE_CHECKING:
    from pathlib import Path

hub = used_hub

pytestmark = pytest.mark.usefixtures("on_the_server")


@pytest.fixture
def curves(tmp_path: Path) -> Path:
    return write_meta_dataset(tmp_path / "curves", family_rows(3, 4, steps=3))


def trained(curves: Path | str, out: Path, **more: Any) -> dict[str, Any]:
    return train_policy(curves=str(curves), out=str(out), algorithm="ppo", steps=1, **more)


def keep_token_in(block: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The token is in a Secret block alone."""
    monkeypatch.delenv("HF_TOKEN")
    monkeypatch.setattr("tasks.secrets._read", {})
    Secret(value=TOKEN).save(block, overwrite=True, _sync=True)


def test_a_policy_is_pushed_by_a_task_that_asks_a_failing_hub_again(
    hub: HubServer, curves: Path, tmp_path: Path
) -> None:
    hub.failing.append(("POST", "/commit/", 500))
    told = trained(curves, tmp_path / "policy.zip", push_to_hub="ada/policy")
    (pushed,) = told["pushed"]
    assert (pushed["repository"], pushed["private"]) == ("ada/policy", True)
    assert [path for _, path in hub.asked if "/commit/" in path] == 2 * ["/api/models/ada/policy/commit/main"]
    assert read_policy(find("ada/policy").path).digest() == read_policy(tmp_path / "policy.zip").digest()


def test_a_push_that_is_refused_leaves_the_policy_and_the_command_that_pushes_it(
    hub: HubServer, curves: Path, tmp_path: Path
) -> None:
    out = tmp_path / "a policy.zip"
    hub.failing.append(("POST", "/commit/", 403))
    with pytest.raises(PushFailed) as told:
        trained(curves, out, push_to_hub="ada/policy")
    assert f"run lamps push '{out}' ada/policy to push it" in str(told.value)
    assert told.value.result["policy"] == str(out)
    assert len([path for _, path in hub.asked if "/commit/" in path]) == 1  # what refuses is not asked again
    push(out, "ada/policy")
    assert read_policy(find("ada/policy").path).digest() == read_policy(out).digest()


def test_a_push_that_cannot_succeed_stops_a_flow_before_it_begins(
    hub: HubServer, curves: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(BadInput, match="who does not belong to eve"):
        trained(curves, tmp_path / "policy.zip", push_to_hub="eve/policy")
    monkeypatch.delenv("HF_TOKEN")
    with pytest.raises(BadInput, match="there is no token of the hub"):
        trained(curves, tmp_path / "policy.zip", push_to_hub="ada/policy")
    assert not (tmp_path / "policy.zip").exists()
    assert hub.written() == []


def test_the_token_of_a_secret_block_reads_private_curves_and_pushes_what_was_learned_of_them(
    hub: HubServer, curves: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    push(curves, "ada/curves")
    keep_token_in("adas-hub", monkeypatch)
    told = trained(
        "ada/curves", tmp_path / "remote.zip", push_to_hub="ada/policy", hub_token_block="adas-hub"
    )
    assert [one["repository"] for one in told["pushed"]] == ["ada/policy"]
    trained(curves, tmp_path / "local.zip")
    cards = [read_policy(tmp_path / f"{name}.zip").card for name in ("local", "remote")]
    assert cards[0].meta_dataset == cards[1].meta_dataset


def test_a_command_reads_the_block_before_it_asks_for_what_is_private(
    hub: HubServer, curves: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    push(curves, "ada/curves")
    keep_token_in("of-ada", monkeypatch)
    arguments = ["--curves", "ada/curves", "--out", str(tmp_path / "policy.zip"), "--algorithm", "ppo"]
    arguments += ["--steps", "1", "--push-to-hub", "ada/policy"]
    ran = CliRunner().invoke(command, arguments)
    assert isinstance(ran.exception, BadInput)
    assert "not there, or private" in str(ran.exception)
    ran = CliRunner().invoke(command, [*arguments, "--hub-token-block", "of-ada"], catch_exceptions=False)
    assert ran.exit_code == 0
    assert "ada/policy (private, main at" in ran.stdout
    assert TOKEN not in ran.output


def test_a_flow_pushes_what_the_command_does_with_the_token_of_a_block(
    hub: HubServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    keep_token_in("that-pushes", monkeypatch)
    place = str(shipped_policy("pool"))
    told = push_flow(place, "ada/policy", public=True, revision="v2", hub_token_block="that-pushes")
    (pushed,) = told["pushed"]
    assert (pushed["private"], pushed["revision"]) == (False, "v2")
    assert set(hub.model("ada/policy").files()) == {".gitattributes"}
    again = push(place, "ada/policy", revision="v2")
    assert [one.commit for one in again] == [pushed["commit"]]
    with pytest.raises(BadInput, match="target eve/policy: the token is of ada"):
        push_flow(place, "eve/policy", hub_token_block="that-pushes")


@pytest.mark.slow
def test_a_search_without_a_front_pushes_nothing_and_says_so(
    hub: HubServer, topics_csv: Path, tmp_path: Path
) -> None:
    columns = {"input_col": "phrase", "target_col": "topic", "policy": "cheapest"}
    told = search(
        dataset=str(topics_csv),
        out=str(tmp_path / "out"),
        models=TINY,
        budget="1steps",
        push_to_hub="ada/topics",
        **columns,
    )
    assert (told["front"], told["pushed"]) == ([], [])
    assert hub.written() == []

"""`lamps push` and `--push-to-hub` as a user runs them, with a hub on this machine as the mirror that is named."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from lamps_core.curves.reader import read_curves
from lamps_core.policies.loading import shipped_policy
from lamps_core.publishing.push import uploads_of
from lamps_core.resources import data_path
from tests.campaigns import campaign_arguments, write_datasets
from tests.commands import check_command
from tests.hub_server import TOKEN, HubServer, serve_hub_server
from tests.lamps_command import lamps, search_arguments
from tests.searches import BETTER, MODELS, TINY, forecasting_policy, steps_on_record

if TYPE_CHECKING:
    from collections.abc import Iterator

PAGE = Path(__file__).parents[2] / "docs" / "hub.md"
POOL = shipped_policy("pool")


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[HubServer]:
    """The hub of every command that is started: `HF_ENDPOINT` names it, as it would name a mirror."""
    with serve_hub_server() as server:
        for name, value in {
            "HF_ENDPOINT": server.endpoint,
            "HF_HOME": str(tmp_path / "hf-home"),
            "HF_HUB_OFFLINE": "0",
            "HF_HUB_DISABLE_XET": "1",
            "HF_TOKEN": TOKEN,
            "NO_PROXY": "*",
            "no_proxy": "*",
        }.items():
            monkeypatch.setenv(name, value)
        yield server


def run(
    *arguments: str, cwd: Path, prefect_url: str | None = None, code: int = 0
) -> subprocess.CompletedProcess[str]:
    ran = lamps(*arguments, cwd=cwd, prefect_url=prefect_url)
    assert ran.returncode == code, ran.stderr
    assert TOKEN not in ran.stdout + ran.stderr
    return ran


def python(code: str, *arguments: str) -> Any:
    """What the code printed as JSON, in a process that knows nothing of LAMPS."""
    ran = subprocess.run(
        [sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=True, timeout=300
    )
    return json.loads(ran.stdout.splitlines()[-1])


def test_a_policy_is_pushed_to_a_mirror_once_and_what_it_refuses_is_one_line(
    hub: HubServer, tmp_path: Path
) -> None:
    place = str(POOL)
    told = run("push", place, "ada/policy", cwd=tmp_path).stdout
    commit = hub.model("ada/policy").branches["main"]
    assert told == f"hub: {hub.endpoint}/ada/policy (private, main at {commit[:8]})\n"
    again = json.loads(run("push", place, "ada/policy", "--public", "--json", cwd=tmp_path).stdout)
    assert [(one["commit"], one["private"]) for one in again["pushed"]] == [(commit, True)]
    refused = run("push", place, "eve/policy", cwd=tmp_path, code=2)
    assert refused.stderr.splitlines() == [
        "lamps: ORG/NAME eve/policy: the token is of ada, who does not belong to eve: "
        "name one of ada/..., team/..., or use another token"
    ]
    hub.down = 503
    failed = run("push", place, "ada/policy", cwd=tmp_path, code=1)
    assert failed.stderr.splitlines() == [f"lamps: ORG/NAME ada/policy: {hub.endpoint} answered 503"]


def test_the_commands_of_the_page_and_of_every_card_are_ones_that_lamps_takes() -> None:
    cards = [
        dict(one.files)["README.md"] for one in (*uploads_of("shipped", "a/b"), *uploads_of(str(POOL), "a/c"))
    ]
    texts = [PAGE.read_text(encoding="utf-8"), *(card.decode() for card in cards if isinstance(card, bytes))]
    lines = "\n".join(texts).replace("\\\n", " ").splitlines()
    commands = [shlex.split(line, comments=True) for line in lines if line.startswith("lamps ")]
    assert len(commands) == 11
    for command in commands:
        check_command(command)


PREDICT = """
import json, sys, torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer
told = []
for place in sys.argv[1:]:
    tokenizer = AutoTokenizer.from_pretrained(place)
    model = AutoModelForSequenceClassification.from_pretrained(place)
    with torch.inference_mode():
        given = tokenizer(["rain and a cloud", "old cheese", "violin"], return_tensors="pt", padding=True)
        told.append(model(**given).logits.tolist())
print(json.dumps(told))
"""
LOAD = """
import json, sys
from datasets import load_dataset
print(json.dumps(load_dataset(sys.argv[1], split="train").to_list(), default=str))
"""


@pytest.mark.slow
def test_a_search_pushes_its_front_which_predicts_the_same_from_the_hub(
    hub: HubServer, topics_csv: Path, tmp_path: Path, prefect_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = search_arguments(topics_csv, "out", "--push-to-hub", "ada/topics")
    hub.failing += 9 * [("POST", "/commit/", 503)]
    failed = run(*arguments, cwd=tmp_path, prefect_url=prefect_url, code=1)
    assert "Front: no other complete candidate" in failed.stdout  # what was found is shown all the same
    last = failed.stderr.splitlines()[-1]
    assert last.startswith("lamps: push to ada/topics-")
    assert last.endswith("run lamps push out ada/topics to push it")
    front = json.loads((tmp_path / "out/result.json").read_text())["front"]
    hub.failing.clear()
    told = run("push", "out", "ada/topics", "--json", cwd=tmp_path)
    pushed = [one["repository"] for one in json.loads(told.stdout)["pushed"]]
    assert sorted(pushed) == ["ada/topics-zoo-bert-tiny", "ada/topics-zoo-gpt2-tiny"]
    places = [str(tmp_path / "out" / row["path"]) for row in front]
    monkeypatch.setenv("HF_HOME", str(tmp_path / "another-home"))
    names = {TINY: "ada/topics-zoo-bert-tiny", BETTER: "ada/topics-zoo-gpt2-tiny"}
    local, remote = (python(PREDICT, *which) for which in (places, [names[row["model"]] for row in front]))
    assert local == remote


@pytest.mark.slow
def test_a_campaigns_curves_are_the_same_from_the_hub(
    hub: HubServer, tmp_path: Path, prefect_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = campaign_arguments(write_datasets(tmp_path), MODELS, "curves", "--push-to-hub", "ada/curves")
    told = run(*arguments, cwd=tmp_path, prefect_url=prefect_url).stdout
    assert f"hub: {hub.endpoint}/datasets/ada/curves (private, " in told
    monkeypatch.setenv("HF_HOME", str(tmp_path / "another-home"))
    local, loaded = read_curves(tmp_path / "curves").to_pylist(), python(LOAD, "ada/curves")
    columns = ("dataset", "model", "step", "test_loss", "step_seconds", "complete", "source")
    assert [[row[name] for name in columns] for row in loaded] == [
        [row[name] for name in columns] for row in local
    ]
    folds: list[Any] = []
    for curves in ("curves", "ada/curves"):
        options = ("--curves", curves, "--out", f"evaluation-{len(folds)}", "--methods", "cheapest,oracle")
        more = ("--repeats", "1", "--objectives", "test_loss,parameters", "--json")
        ran = run("evaluate", *options, *more, cwd=tmp_path, prefect_url=prefect_url)
        folds.append(json.loads(ran.stdout)["folds"])
    assert folds[0] == folds[1]


@pytest.mark.slow
def test_a_search_by_a_policy_of_the_hub_goes_on_without_the_hub(
    hub: HubServer, topics_csv: Path, tmp_path: Path, prefect_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    run("push", str(forecasting_policy(tmp_path)), "ada/policy", cwd=tmp_path)
    arguments = search_arguments(topics_csv, "out", "--policy", "ada/policy", "--json")
    first = run(*arguments, "--budget", "3steps", cwd=tmp_path, prefect_url=prefect_url)
    told = json.loads(first.stdout)
    assert (told["steps"], told["policy"]) == (3, "ada/policy")
    assert told["policy_commit"] == hub.model("ada/policy").branches["main"]
    # From here on the cache has to do.
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    asked = len(hub.asked)
    ran = run(*arguments, cwd=tmp_path, prefect_url=prefect_url)
    assert json.loads(ran.stdout)["front"]
    steps = steps_on_record(tmp_path / "out")
    assert len(steps) == len(set(steps))
    train = ("train-policy", "--curves", "ada/curves", "--out", "x.zip")
    refused = run(*train, cwd=tmp_path, prefect_url=prefect_url, code=2)
    assert "not in the cache, and the hub is switched off here (HF_HUB_OFFLINE)" in refused.stderr
    assert len(hub.asked) == asked


@pytest.mark.slow
def test_the_shipped_curves_go_round_by_the_hub(hub: HubServer, tmp_path: Path) -> None:
    run("push", "shipped", "team/measured", "--public", cwd=tmp_path)
    assert not hub.dataset("team/measured").private
    assert len(python(LOAD, "team/measured")) == len(read_curves(data_path("curves")))

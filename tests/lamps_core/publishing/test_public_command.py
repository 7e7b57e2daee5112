from __future__ import annotations

import shlex

import pytest

from lamps_cli.search import search
from lamps_core.publishing.public_command import _ALONE, public_command
from tests.commands import check_command

CANDIDATES = ["zoo/bert-tiny", "my-model"]


def told(command: str | None, *, policy_of_hub: bool = False) -> str | None:
    return public_command(command, dataset="reviews", candidates=CANDIDATES, policy_of_hub=policy_of_hub)


def test_paths_tokens_and_folders_stay_at_home() -> None:
    given = (
        "lamps search --dataset /home/ada/secret/reviews.csv --test-dataset=/home/ada/secret/test.csv --input-col text "
        "--target-col label --models /home/ada/models.txt --policy /home/ada/policies/mine.zip --budget '$5' --json "
        "--hub-token-block adas-token --push-to-hub ada/reviews --bound accuracy=0.9 --bound dollars=2 "
        "--template '{a}\n{b}' --out /home/ada/runs"
    )
    command = told(given)
    assert command is not None
    for word in ("ada", "home", "secret", "token"):
        assert word not in command
    words = shlex.split(command)
    check_command(words)
    options = dict(zip(words[2::2], words[3::2], strict=True))
    assert options["--dataset"] == "reviews"
    assert options["--models"] == ",".join(CANDIDATES)
    assert options["--policy"] == "mine.zip"
    assert options["--test-dataset"] == "test.csv"
    assert options["--template"] == "{a}\n{b}"
    assert words.count("--bound") == 2


def test_presets_and_hub_ids_are_kept() -> None:
    given = "lamps search --dataset d.csv --models zoo-small --policy org/policy@v1 --out x"
    command = told(given, policy_of_hub=True)
    assert (
        command
        == "lamps search --dataset reviews --models zoo-small --policy org/policy@v1 --out runs/search"
    )


def test_a_policy_of_a_folder_that_is_not_on_this_machine_is_not_taken_for_one_of_the_hub() -> None:
    command = told("lamps search --dataset d --policy clients/acme --test-dataset clients/secret --out x")
    assert command is not None
    assert "clients" not in command
    assert "--policy acme --test-dataset secret" in command


def test_a_value_that_begins_with_dashes_is_no_option() -> None:
    given = "lamps search --json --template '-- {a}' --hub-token-block --seed --dataset d --bound=a=1"
    words = shlex.split(told(given) or "")
    assert words[2:-2] == ["--template", "-- {a}", "--dataset", "reviews", "--bound", "a=1"]


def test_every_option_of_a_search_is_known_to_take_a_value_or_none() -> None:
    assert {name for one in search.params if getattr(one, "is_flag", False) for name in one.opts} == _ALONE


@pytest.mark.parametrize("command", [None, "", "python run.py", "lamps search 'open"])
def test_what_is_no_search_command_is_left_out(command: str | None) -> None:
    assert told(command) is None

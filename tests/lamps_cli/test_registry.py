from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner

from lamps_cli.registry import datasets, models
from lamps_core.models.candidates import presets
from lamps_core.models.zoo import zoo_names
from lamps_core.registry import registered_datasets, registered_models
from tests.local_hub import Hub, HubUser, serve_hub

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from click import Command

CHECK = "from lamps_cli.registry import models; models(['--check', '--json'])"


@pytest.fixture
def hub() -> Iterator[Hub]:
    with serve_hub() as hub:
        yield hub


def printed(command: Command, *arguments: str) -> str:
    result = CliRunner().invoke(command, list(arguments))
    assert result.exit_code == 0, result.output
    return result.stdout


def rows_of(table: str) -> list[list[str]]:
    """The cells of each row, without the header."""
    return [
        [cell.strip() for cell in line.strip("│").split("│")]
        for line in table.splitlines()
        if line.startswith("│")
    ]


def test_models_lists_the_registry_and_the_zoo_one_line_each_where_there_is_no_terminal() -> None:
    rows = {row[0]: row[1:] for row in rows_of(printed(models))}
    assert list(rows) == [*presets()["paper"].models, *presets()["zoo"].models]
    bert = registered_models()["google-bert/bert-base-cased"]
    assert rows[bert.id] == ["BERT", f"{bert.parameters:,}", "en", "apache-2.0", ""]
    assert rows["meta-llama/Llama-3.2-1B"][-1] == "gated"
    assert all(int(rows[name][1].replace(",", "")) > 10_000 for name in zoo_names())


def test_models_as_json_are_what_the_registry_holds() -> None:
    listed = {row["name"]: row for row in json.loads(printed(models, "--json"))}
    assert list(listed) == [*registered_models(), *zoo_names()]
    for model in registered_models().values():
        row = listed[model.id]
        assert (row["parameters"], row["languages"]) == (model.parameters, list(model.languages))
        assert (row["licence"], row["gated"], row["zoo"]) == (model.licence, model.gated, False)
    assert all(listed[name]["zoo"] for name in zoo_names())


def test_a_zoo_that_cannot_be_built_is_listed_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("no folder")
    monkeypatch.setenv("LAMPS_CACHE", str(tmp_path / "file"))
    listed = {row["name"]: row for row in json.loads(printed(models, "--json"))}
    assert all(listed[name]["parameters"] is None for name in zoo_names())


def test_check_without_a_hub_says_so_in_every_row_and_does_not_fail() -> None:
    rows = {row[1]: row for row in rows_of(printed(models, "--check"))}
    assert all(rows[name][2].startswith("hub not reachable") for name in registered_models())
    assert all(rows[name][0] == "ok" for name in zoo_names())
    assert all(row[3].startswith(("fits", "too big: needs about")) for row in rows.values())


def test_check_tells_reachable_gated_and_missing_models_apart(hub: Hub, tmp_path: Path) -> None:
    hub.add("google-bert/bert-base-cased")
    hub.add("meta-llama/Llama-3.2-1B", gated="manual")
    hub.answers["meta-llama/Llama-3.2-1B/auth-check"] = (200, {}, {})
    hub.add("meta-llama/Llama-3.2-3B", gated="manual")
    hub.refuse("meta-llama/Llama-3.2-3B/auth-check")
    told: list[dict[str, Any]] = HubUser(tmp_path).ask(CHECK, HF_ENDPOINT=hub.endpoint)
    found = {row["name"]: (row["hub"]["ok"], row["hub"]["found"]) for row in told}
    assert found["google-bert/bert-base-cased"] == (True, "reachable")
    assert found["meta-llama/Llama-3.2-1B"] == (True, "gated, open to this token")
    assert found["meta-llama/Llama-3.2-3B"][0] is False
    assert found["openai-community/gpt2"] == (False, "not on the hub, or private")
    assert found["zoo/bert-tiny"][0] is True
    assert {row["fit"]["ok"] for row in told} <= {True, False}


def test_datasets_lists_the_registry_and_says_that_nothing_was_fetched() -> None:
    output = printed(datasets)
    rows = {row[0]: row[1:] for row in rows_of(output)}
    assert list(rows) == list(registered_datasets())
    assert rows["mmlu"][:3] == ["cais/mmlu:all", "question, choices", "answer"]
    assert output.splitlines()[-1].startswith("9 of 9 were never fetched from here")


def test_datasets_as_json_are_what_the_registry_holds() -> None:
    listed = json.loads(printed(datasets, "--json"))
    assert [row["name"] for row in listed] == list(registered_datasets())
    assert {row["fetched"] for row in listed} == {False}


@pytest.mark.parametrize("command", [models, datasets])
def test_help_ends_with_an_example(command: Command) -> None:
    assert "Example: lamps " in printed(command, "--help")

"""What a form asked for, as a command that asks for the same."""

from __future__ import annotations

import inspect
import shlex
from typing import TYPE_CHECKING, Any

import pytest

from flows.form import filled_in
from flows.search import command_of
from flows.search import search as search_flow
from lamps_cli.search import check
from lamps_cli.search import search as search_command
from lamps_core.errors import BadInput
from lamps_core.workers import group
from tests.searches import TINY, quick_request

if TYPE_CHECKING:
    from pathlib import Path

ASKED = {"dataset": "my reviews.csv", "input_col": "text", "target_col": "label", "out": "/tmp/o'ut"}


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"models": "zoo-small", "budget": "auto,$5", "stop_below": "1%/h", "parallel": 2, "seed": 7},
        {"objectives": "accuracy,dollars", "bounds": "accuracy=0.5,dollars=2", "gpu_hour_price": 1.5},
        {
            "selection_split": "0.1",
            "template": "{title}: {body}\n$HOME",
            "learning_rate": 1e-05,
            "max_train_rows": 10,
        },
        {
            "precision": "bf16",
            "retry_failed": True,
            "step_timeout": 60.0,
            "hub_token_block": "my-token",
            "test_dataset": "",
            "max_length": 64,
        },
    ],
)
def test_the_command_of_a_form_is_read_as_the_same_parameters(changes: dict[str, Any]) -> None:
    defaults = {
        name: None if one.default is inspect.Parameter.empty else one.default
        for name, one in inspect.signature(search_flow.fn).parameters.items()
    }
    parameters = filled_in(search_flow, defaults | ASKED | changes)
    program, name, *words = shlex.split(command_of(parameters))
    assert (program, name) == ("lamps", "search")
    read = search_command.make_context("search", words).params
    read["bounds"] = ",".join(read["bounds"])
    del read["as_json"]
    wanted = {key: None if value == "" and key != "bounds" else value for key, value in parameters.items()}
    assert {key: wanted[key] for key in read} == read
    assert set(wanted) - set(read) == {"command"}


def test_what_a_worker_needs_is_imported_beside_the_wait_for_a_server_where_there_may_be_a_step_to_run(
    topics_csv: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[str] = []
    monkeypatch.setattr(group, "start_fork_server", lambda: started.append("for a step"))
    with pytest.raises(BadInput, match="nosuch"):
        check(quick_request(topics_csv, tmp_path / "out", models="zoo/nosuch"))
    assert not started
    request = quick_request(topics_csv, tmp_path / "out", models=TINY)
    check(request)
    assert len(started) == 1
    (request.out / "result.json").write_text("{}", encoding="utf-8")
    check(request)
    assert len(started) == 1

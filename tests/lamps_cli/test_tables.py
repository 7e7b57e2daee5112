"""What commands print of their results."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from lamps_cli.tables import (
    print_campaign,
    print_checked,
    print_checks,
    print_datasets,
    print_models,
    print_plan,
    print_search,
)
from lamps_core.host.doctor import Check
from lamps_core.models.availability import Availability
from lamps_core.models.listing import CheckedModel, ModelRow
from lamps_core.registry import RegisteredDataset

if TYPE_CHECKING:
    import pytest


def test_a_search_says_who_is_beyond_which_bound_in_natural_units(capsys: pytest.CaptureFixture[str]) -> None:
    good = {"model": "good", "complete": True, "accuracy": 0.9, "peak_memory_bytes": 2**30, "dollars": 1.5}
    poor = good | {"model": "poor", "accuracy": 0.5, "beyond": ["accuracy"]}
    dear = good | {
        "model": "dear",
        "complete": False,
        "dollars": 9.0,
        "beyond": ["dollars"],
        "stopped": "beyond a bound",
    }
    result: dict[str, Any] = {
        "dataset": "reviews", "notices": [], "failed": [], "steps": 9, "spent_seconds": 8.0, "selection": "test",
        "objectives": ["accuracy", "peak_memory_bytes", "dollars"], "bounds": [-0.8, None, 2.0],
        "candidates": [good, poor, dear], "front": [good | {"test_loss": 0.25, "path": "models/good"}],
    }  # fmt: skip
    print_search(result, Path("runs"))
    told = capsys.readouterr().out
    assert "out of bounds: poor (accuracy 50.0 %, bound 80.0 %)" in told
    assert "out of bounds: dear (dollars $9.00, bound $2.00)" in told
    for part in ("90.0 %", "1.00 GiB", "$1.50", "0.2500"):
        assert part in told.split("Front:")[1]


def test_a_search_without_a_front_says_that_nothing_is_pushed(capsys: pytest.CaptureFixture[str]) -> None:
    result: dict[str, Any] = {
        "dataset": "reviews", "notices": [], "failed": [], "steps": 1, "spent_seconds": 8.0, "selection": "test",
        "objectives": ["test_loss"], "bounds": [None], "candidates": [{"model": "a", "complete": False}], "front": [],
    }  # fmt: skip
    print_search(result, Path("runs"))
    assert "hub:" not in capsys.readouterr().out
    print_search(result | {"pushed": []}, Path("runs"))
    assert capsys.readouterr().out.endswith("\nhub: nothing to push: there is no front\n")


def test_a_search_without_a_front_says_what_to_do(capsys: pytest.CaptureFixture[str]) -> None:
    done: dict[str, Any] = {"model": "a", "complete": True, "test_loss": 0.5, "beyond": ["test_loss"]}
    result: dict[str, Any] = {
        "dataset": "reviews", "notices": [], "failed": [], "steps": 1, "spent_seconds": 8.0, "selection": "test",
        "objectives": ["test_loss"], "bounds": [0.2], "candidates": [done], "front": [],
    }  # fmt: skip
    begun = {"model": "b", "complete": False, "test_loss": 0.9}
    for candidates, told in (
        ([done], "every candidate is beyond a bound"),
        ([done, begun], "No complete candidate is within the bounds: loosen --bound"),
        ([begun], "No candidate is complete yet"),
    ):
        print_search(result | {"candidates": candidates}, Path("runs"))
        assert told in capsys.readouterr().out


def test_names_and_places_of_a_front_are_never_cut(capsys: pytest.CaptureFixture[str]) -> None:
    row = {"model": "organisation/a-rather-long-name-of-a-model", "test_loss": 0.5, "accuracy": 0.9}
    row |= {
        "train_seconds": 1.0,
        "parameters": 4_000,
        "path": "models/organisation--a-rather-long-name-of-a-model",
    }
    result: dict[str, Any] = {
        "dataset": "reviews", "notices": [], "failed": [], "steps": 1, "spent_seconds": 8.0, "selection": "test",
        "objectives": ["test_loss", "train_seconds", "parameters"], "bounds": [None] * 3, "candidates": [],
        "front": [row],
    }  # fmt: skip
    print_search(result, Path("runs"))
    told = capsys.readouterr().out
    assert "\u2026" not in told
    columns = [line.split("\u2502") for line in told.splitlines() if "\u2502" in line]
    assert "".join(cells[1].strip() for cells in columns) == row["model"]
    assert "".join(cells[-2].strip() for cells in columns) == row["path"]


def test_a_fingerprint_says_what_became_of_the_policy(capsys: pytest.CaptureFixture[str]) -> None:
    result: dict[str, Any] = {
        "failed": [],
        "complete": 2,
        "pairs": 2,
        "steps": 8,
        "spent_seconds": 1.0,
        "curves": "c",
        "notices": [],
    }
    told = {"policy": "p.zip", "added": ["zoo/new"], "words": ["a full retraining would change nothing"]}
    print_campaign(result | {"policy": told})
    print_campaign(result | {"policy": told | {"added": [], "words": ["it is universal"]}})
    lines = capsys.readouterr().out.splitlines()
    assert "policy: p.zip: now knows zoo/new" in lines
    assert "policy: p.zip: left as it is" in lines
    assert {"a full retraining would change nothing", "it is universal"} <= set(lines)


HOSTILE = "org/[bold red]model[/]\x1b[2J\u202e"


def test_hostile_names_of_files_are_shown_as_they_are_written_and_control_nothing(
    capsys: pytest.CaptureFixture[str],
) -> None:
    model = {"model": HOSTILE, "complete": True, "test_loss": 0.5, "accuracy": 0.9, "path": HOSTILE}
    failed = {"model": HOSTILE, "dataset": HOSTILE, "step": 0, "error": HOSTILE}
    pushed = {"url": HOSTILE, "private": True, "revision": HOSTILE, "commit": "0" * 8}
    common = {"notices": [HOSTILE], "failed": [failed], "steps": 9, "spent_seconds": 8.0, "pushed": [pushed]}
    print_search(
        common
        | {
            "dataset": HOSTILE,
            "selection": HOSTILE,
            "objectives": ["test_loss"],
            "bounds": [0.1],
            "candidates": [model | {"beyond": ["test_loss"]}],
            "front": [model],
        },
        Path("runs"),
    )
    extended = {"policy": HOSTILE, "added": [HOSTILE], "words": [HOSTILE]}
    print_campaign(
        common | {"complete": 1, "pairs": 1, "curves": HOSTILE, "report": HOSTILE, "policy": extended}
    )
    row = {"model": HOSTILE, "dataset": HOSTILE, "reason": HOSTILE, "seed": 0, "next_step": 0, "gpus": 1}
    cost = {"speed_from_steps": 1, "dollars": None, "device_hours": 1.0, "wall_hours": 1.0, "rented": None}
    plan = {
        "asked": 2,
        "done": 0,
        "slots": 1,
        "device": HOSTILE,
        "disk_shortage": HOSTILE,
        "notices": [HOSTILE],
    }
    disk = {"disk_bytes": {"downloads": 0, "checkpoints": 0}}
    print_plan(plan | cost | disk | {"to_run": [row | {"hours": 1.0}], "does_not_fit": [row]})
    print_checks([Check(HOSTILE, False, HOSTILE, HOSTILE)])
    told = capsys.readouterr().out
    assert not {"\x1b", "\u202e"} & set(told)
    assert told.count("org/[bold red]model[/]\ufffd[2J\ufffd") > 20


def test_hostile_names_of_a_registry_are_shown_as_they_are_written_and_control_nothing(
    capsys: pytest.CaptureFixture[str],
) -> None:
    model = ModelRow(f"{HOSTILE}\r\x07", HOSTILE, 1, (HOSTILE,), HOSTILE, gated=False, zoo=False)
    print_models([model])
    print_checked([CheckedModel(model, Availability(None, HOSTILE), Availability(True, HOSTILE))])
    print_datasets([RegisteredDataset(HOSTILE, HOSTILE, (HOSTILE,), HOSTILE, about=HOSTILE)])
    told = capsys.readouterr().out
    assert not {"\x1b", "\u202e", "\r", "\x07"} & set(told)
    assert told.count("org/[bold red]model[/]\ufffd[2J\ufffd") == 4 + 3 + 5

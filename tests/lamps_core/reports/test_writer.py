from __future__ import annotations

import itertools
import json
import math
import re
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lamps_core.curves.schema import write_curve
from lamps_core.errors import BadInput
from lamps_core.reports.label_layout import Box, place_beside, spread
from lamps_core.reports.page import page_script
from lamps_core.reports.writer import write_report
from lamps_core.search.record import read_search
from tests.pages import HOSTILE, Page

if TYPE_CHECKING:
    from pathlib import Path


def curve(
    model: str, losses: list[float], *, seconds: float = 1.0, complete: bool = False
) -> list[dict[str, Any]]:
    last = len(losses) - 1
    return [
        {
            "dataset": "made-up",
            "model": model,
            "seed": 0,
            "step": step,
            "test_loss": loss,
            "train_seconds": seconds * step,
            "step_seconds": seconds * step + 1,
            "parameters": 1_000_000,
            "complete": complete and step == last,
            "source": "simulated",
            "accuracy": 1 - loss / 4,
        }
        for step, loss in enumerate(losses)
    ]


def search_folder(
    folder: Path, names: list[str], *, objectives: tuple[str, ...] = ("test_loss", "train_seconds")
) -> Path:
    """A finished search: each candidate is better and dearer than the one before, the last is left early."""
    candidates: list[dict[str, Any]] = []
    for rank, name in enumerate(names):
        complete = rank < len(names) - 1
        losses = [2.0, 1.5, 1.0 / (rank + 1)] if complete else [2.0]
        write_curve(folder / "curves", curve(name, losses, seconds=rank + 1.0, complete=complete))
        values = {
            "test_loss": losses[-1],
            "train_seconds": 3.0 * (rank + 1),
            "accuracy": 1 - losses[-1] / 4,
            "parameters": 10**6,
        }
        about = {key: values[key] for key in objectives} if complete else {}
        candidates.append({"model": name, "steps": len(losses), "complete": complete, **about})
    front = [
        row | {"accuracy": 0.9, "path": f"models/{row['model']}"} for row in candidates if row["complete"]
    ]
    result = {
        "dataset": "made-up",
        "objectives": list(objectives),
        "reference": [2.5 for _ in objectives],
        "hypervolume": 0.9,
        "spent_seconds": 81.2,
        "budget": "40steps",
        "steps": 3 * len(names) - 2,
        "policy": "cheapest",
        "front": front,
        "candidates": candidates,
        "failed": [{"model": "too-big", "step": 0, "error": "does not fit: needs 120 GB"}],
        "selection": "test",
        "seed": 0,
        "notices": ["20 % of the rows were reserved"],
        "lamps_version": "0.1.0",
        "config": {"learning_rate": None, "batch_size": 32},
        "parallel": 1,
        "devices": ["cpu"],
    }
    (folder / "result.json").write_text(json.dumps(result), encoding="utf-8")
    return folder


def test_a_report_says_what_the_search_found(tmp_path: Path) -> None:
    path = write_report(search_folder(tmp_path, ["tiny", "small", "base", "large"]))
    page = Page(path)
    assert path == tmp_path / "report.html"
    assert "3 models worth choosing from" in page.text
    assert "10 landmark steps over 5 candidates, 1 min 21 s spent of a budget of 40 steps" in page.text
    assert "Decisions were made on the test split" in page.text
    assert "AutoModelForSequenceClassification.from_pretrained('models/base')" in page.text
    assert "does not fit: needs 120 GB" in page.text
    assert "20 % of the rows were reserved" in page.text
    assert "not complete" in page.text
    assert page.count("svg") == 3
    assert [file.name for file in tmp_path.iterdir() if file.name.startswith(".")] == []


def test_every_front_model_is_named_in_text_in_every_figure(tmp_path: Path) -> None:
    page = write_report(search_folder(tmp_path, ["tiny", "small", "base", "large"])).read_text()
    figures = re.findall(r"<svg.*?</svg>", page, re.DOTALL)
    for figure in figures:
        for name in ("tiny", "small", "base"):
            assert re.search(rf"<text[^>]*>{name}</text>", figure)


def test_a_split_of_its_own_for_decisions_is_not_warned_of(tmp_path: Path) -> None:
    search_folder(tmp_path, ["a", "b"])
    result = json.loads((tmp_path / "result.json").read_text()) | {"selection": "validation"}
    (tmp_path / "result.json").write_text(json.dumps(result))
    text = Page(write_report(tmp_path)).text
    assert "a split of their own: validation" in text
    assert "expect slightly worse" not in text


def test_the_front_shows_the_test_split_and_the_figures_what_decided(tmp_path: Path) -> None:
    search_folder(tmp_path, ["a", "b", "c"])
    result = json.loads((tmp_path / "result.json").read_text()) | {"selection": "validation"}
    for row in result["front"]:
        row.update({"selection_loss": row["test_loss"], "test_loss": 7.25})
    (tmp_path / "result.json").write_text(json.dumps(result))
    source = write_report(tmp_path).read_text()
    front, rest = source.split("Trade-off</h2>")
    assert "7.2500" in front
    assert "Loss that decided" in front
    assert "7.25" not in rest
    assert "0.5000" in rest


def test_a_maximised_objective_runs_the_other_way_and_its_reference_is_turned_back(tmp_path: Path) -> None:
    search_folder(tmp_path, ["a", "b", "c"], objectives=("accuracy", "train_seconds"))
    result = json.loads((tmp_path / "result.json").read_text()) | {"reference": [-0.6, 9.0]}
    (tmp_path / "result.json").write_text(json.dumps(result))
    source = write_report(tmp_path).read_text()
    figure = source.split("<svg")[1]
    heights = {
        label: float(up) for up, label in re.findall(r'<text[^>]*? y="([\d.]+)"[^>]*>(0\.\d+)</text>', figure)
    }
    ascending = [heights[label] for label in sorted(heights)]
    assert len(ascending) >= 2
    assert ascending == sorted(ascending)
    assert "reference point</dt><dd>60.0 %, 9.0</dd>" in source


def test_hostile_names_are_shown_and_never_obeyed(tmp_path: Path) -> None:
    path = write_report(search_folder(tmp_path, [HOSTILE, HOSTILE + "2", HOSTILE + "3"]))
    page = Page(path)
    assert [attributes.get("type") for tag, attributes in page.tags if tag == "script"] == [
        "application/json",
        "module",
    ]
    assert page.scripts[1] == page_script()
    named = [candidate["name"] for candidate in json.loads(page.scripts[0])["candidates"]]
    assert HOSTILE.replace("\u202e", "\ufffd").replace("\x1b", "\ufffd") in named
    assert not any(name.startswith("on") for _, attributes in page.tags for name in attributes)
    assert HOSTILE.replace("\u202e", "\ufffd").replace("\x1b", "\ufffd") in page.text
    assert not set(path.read_text(encoding="utf-8")) & {"\u202e", "\x1b"}
    assert "49" not in page.text.split("All candidates")[1].split("Settings")[0]


def test_nothing_is_fetched_from_anywhere(tmp_path: Path) -> None:
    path = write_report(search_folder(tmp_path, ["a", "b", "c"]))
    page = Page(path)
    links = [
        attributes[name]
        for _, attributes in page.tags
        for name in ("src", "href", "srcset", "action")
        if name in attributes
    ]
    assert links
    assert all(link.startswith("#") for link in links)
    source = path.read_text(encoding="utf-8")
    assert "@import" not in source
    assert all(target.startswith("#") for target in re.findall(r"url\(([^)]*)\)", source))
    assert not {"link", "iframe", "object", "embed", "img"} & {tag for tag, _ in page.tags}
    assert not any("src" in attributes for _, attributes in page.tags)
    policies = [attributes["content"] for _, attributes in page.tags if "http-equiv" in attributes]
    assert len(policies) == 1
    assert policies[0].startswith("default-src 'none'; script-src 'sha256-")
    assert "unsafe-eval" not in policies[0]


def test_ids_are_unique_and_every_link_inside_the_page_has_its_target(tmp_path: Path) -> None:
    path = write_report(search_folder(tmp_path, ["a", "b", "c", "d"]))
    page = Page(path)
    ids = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    source = path.read_text(encoding="utf-8")
    targets = set(re.findall(r'href="#([^"]+)"', source)) | set(re.findall(r"url\(#([^)]+)\)", source))
    assert targets
    assert targets <= set(ids)
    spoken = [attributes["aria-labelledby"].split() for tag, attributes in page.tags if tag == "svg"]
    assert all(set(names) <= set(ids) for names in spoken)


def test_the_same_search_gives_the_same_bytes(tmp_path: Path) -> None:
    first = write_report(search_folder(tmp_path / "one", ["a", "b", "c"])).read_bytes()
    second = write_report(search_folder(tmp_path / "two", ["a", "b", "c"])).read_bytes()
    assert first == second
    assert write_report(tmp_path / "one").read_bytes() == first


def journal_folder(folder: Path, *events: dict[str, Any], **asked: Any) -> Path:
    """An unfinished search for accuracy and training seconds, over four models."""
    header = {
        "version": 1,
        "dataset": "made-up",
        "models": ["good", "slow", "broken", "waiting"],
        "policy": "zigzag",
        "objectives": ["accuracy", "train_seconds"],
        "bounds": [None, 5.0],
        "selection": "test",
        "settings": {"seed": 7, "batch_size": 32},
    } | asked
    lines = [json.dumps(line) + "\n" for line in (header, *events)]
    (folder / "journal.jsonl").write_text("".join(lines), encoding="utf-8")
    return folder


def outcomes(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [
        {
            "event": "outcome",
            "kind": "step",
            "candidate": row["model"],
            "step": row["step"],
            "seconds": row["step_seconds"],
            "record": row,
            "error": None,
        }
        for row in rows
    ]


def lost(kind: str, candidate: str, seconds: float, error: str | None = None) -> dict[str, Any]:
    about = {"event": "outcome", "kind": kind, "candidate": candidate, "step": 0, "seconds": seconds}
    return about | {"record": None, "error": error}


def test_an_unfinished_search_is_reported_as_it_was_asked_for(tmp_path: Path) -> None:
    journal_folder(
        tmp_path,
        *outcomes(curve("good", [2.0, 1.0, 0.5], complete=True)),
        *outcomes(curve("slow", [2.0, 0.4], seconds=9.0)),
        lost("failed", "broken", 100.0, "no safetensors"),
        lost("cut", "waiting", 20.0),
    )
    search = read_search(tmp_path)
    # good: 1 + 2 + 3 s; slow: 1 + 10 s
    assert (search.steps, search.spent_seconds) == (6, 137.0)
    assert search.objectives == ("accuracy", "train_seconds")
    assert [row["model"] for row in search.front] == ["good"]
    assert search.reference == (0.875, 5.0)
    found = {item.name: item for item in search.candidates}
    assert {name: item.spent_seconds for name, item in found.items()} == {
        "good": 6.0,
        "slow": 11.0,
        "broken": 100.0,
        "waiting": 20.0,
    }
    assert (found["slow"].stopped, found["slow"].beyond) == ("beyond a bound", ("train_seconds",))
    assert found["good"].objectives == {"accuracy": 0.875, "train_seconds": 3.0}
    text = Page(write_report(tmp_path)).text
    assert "Unfinished: 1 model on the front so far" in text
    assert "6 landmark steps over 4 candidates, 2 min 17 s spent." in text
    assert "Decisions were made on the test split" in text
    for part in ("no safetensors", "zigzag", "training seconds 9.0, bound 5.0", "not tried"):
        assert part in text


def test_what_a_failed_candidate_and_lost_attempts_took_is_told_of_a_finished_search_as_well(
    tmp_path: Path,
) -> None:
    search_folder(tmp_path, ["good", "slow"])
    steps = outcomes([*curve("good", [2.0, 1.5, 1.0], complete=True), *curve("slow", [2.0])])
    steps[1]["seconds"] += 7.0  # of an attempt that died
    journal_folder(tmp_path, *steps, lost("failed", "too-big", 100.0, "does not fit"))
    spent = {item.name: item.spent_seconds for item in read_search(tmp_path).candidates}
    assert spent == {"good": 1.0 + 9.0 + 3.0, "slow": 1.0, "too-big": 100.0}


def test_an_unfinished_search_says_which_split_of_its_own_decides(tmp_path: Path) -> None:
    steps = outcomes(curve("good", [2.0, 1.0], complete=True))
    tested = {"event": "tested", "candidate": "good", "measured": {"test_loss": 7.25, "accuracy": 0.5}}
    asked = {"objectives": ["test_loss"], "bounds": [None], "selection": "testing rows"}
    text = Page(write_report(journal_folder(tmp_path, *steps, tested, **asked))).text
    assert "a split of their own: testing rows" in text
    assert "7.2500" in text
    measured = read_search(journal_folder(tmp_path, *steps, **asked)).front[0]
    assert (measured["selection_loss"], measured["test_loss"]) == (1.0, None)


def test_a_search_that_has_just_begun_is_reported(tmp_path: Path) -> None:
    text = Page(write_report(journal_folder(tmp_path))).text
    assert "Unfinished: no model complete yet" in text
    assert "0 landmark steps over 4 candidates" in text
    assert text.count("not tried") == 4


@pytest.mark.parametrize("asked", [{"objectives": ["nothing"]}, {"bounds": []}, {"models": ["other"]}])
def test_a_journal_of_no_search_is_refused(tmp_path: Path, asked: dict[str, Any]) -> None:
    journal_folder(tmp_path, lost("cut", "waiting", 1.0), **asked)
    with pytest.raises(BadInput):
        write_report(tmp_path)


def test_without_a_budget_the_report_says_so(tmp_path: Path) -> None:
    search_folder(tmp_path, ["a", "b"])
    result = json.loads((tmp_path / "result.json").read_text()) | {"budget": "unlimited"}
    (tmp_path / "result.json").write_text(json.dumps(result))
    text = Page(write_report(tmp_path)).text
    assert "1 min 21 s spent, no budget." in text


@pytest.mark.parametrize("stopped", [None, "less than 1 % more hypervolume was expected in as long again"])
def test_the_report_says_what_going_on_was_expected_to_bring(tmp_path: Path, stopped: str | None) -> None:
    search_folder(tmp_path, ["a", "b", "c"])
    result = json.loads((tmp_path / "result.json").read_text())
    result |= {"budget": "auto", "stop_below": "1%", "stopped": stopped}
    result |= {"expected_gain": 0.004, "expected_gain_seconds": 60.0}
    (tmp_path / "result.json").write_text(json.dumps(result))
    text = Page(write_report(tmp_path)).text
    assert "1 min 21 s spent, until little more was expected" in text
    assert ("The search stopped by itself: less than 1 % more" in text) == (stopped is not None)
    assert "Going on was expected to bring 0.4 % more hypervolume in the next 1 min (24 % an hour)." in text
    assert "stop below" in text
    why = "the search stopped by itself" if stopped else "the budget ended"
    assert f"left after step 0: {why}" in text
    assert f"Not fine-tuned to the end: 1 left when {why}, 1 failed." in text
    assert "unlimited" not in text


def test_the_page_says_which_bound_a_candidate_is_beyond_and_writes_units(tmp_path: Path) -> None:
    names = ["accuracy", "peak_memory_bytes", "dollars"]
    values = {"accuracy": 0.5, "peak_memory_bytes": 3 * 2**30, "dollars": 0.5}
    candidates = [
        {"model": "good", "complete": True} | values,
        {"model": "poor", "complete": True, "beyond": ["accuracy"]} | values | {"accuracy": 0.25},
        {"model": "large", "complete": False, "steps": 1, "stopped": "beyond a bound", "beyond": names[1:2]},
    ]
    front = [{"model": "good", "path": "models/good"} | values]
    result = {
        "objectives": names,
        "candidates": candidates,
        "front": front,
        "reference": [-0.4, 4 * 2**30, 1.5],
        "bounds": [-0.4, 4 * 2**30, None],
    }
    (tmp_path / "result.json").write_text(json.dumps(result))
    text = Page(write_report(tmp_path)).text
    for part in ("complete, beyond a bound", "accuracy 25.0 %, bound 40.0 %", "peak memory beyond its bound"):
        assert part in text
    for part in ("50.0 %", "25.0 %", "3.00 GiB", "$0.50", "40.0 %, 4.00 GiB, $1.50", "Peak memory (GiB)"):
        assert part in text


BEYOND = {"stopped": "beyond a bound", "complete": False, "steps": 1}


@pytest.mark.parametrize(
    ("candidates", "failed", "headline"),
    [
        ({"a": BEYOND, "b": BEYOND}, [], "No model: every candidate went beyond a bound"),
        ({"a": {}, "b": {}}, ["a", "b"], "No model: every candidate failed"),
        ({"a": BEYOND, "b": {}}, ["b"], "No model: 1 failed and 1 went beyond a bound"),
        ({"a": BEYOND, "b": {}}, [], "No model was fine-tuned to the end"),
        ({"a": {"complete": True, "test_loss": 0.5}}, [], "No complete model is within the bounds"),
        (
            {"a": {"complete": True, "beyond": ["test_loss"]}},
            [],
            "No model: every candidate went beyond a bound",
        ),
    ],
)
def test_the_headline_says_why_there_is_no_model(
    tmp_path: Path, candidates: dict[str, dict[str, Any]], failed: list[str], headline: str
) -> None:
    result = {
        "objectives": ["test_loss"],
        "candidates": [{"model": name} | about for name, about in candidates.items()],
        "failed": [{"model": name, "step": 0, "error": "too big"} for name in failed],
    }
    (tmp_path / "result.json").write_text(json.dumps(result))
    assert f"<h1>{headline}</h1>" in write_report(tmp_path).read_text()


@pytest.mark.parametrize(
    ("objectives", "figures"),
    [
        (("test_loss",), 2),
        (("test_loss", "train_seconds", "parameters"), 4),
        (("accuracy", "train_seconds"), 3),
    ],
)
def test_there_is_a_trade_off_figure_for_each_objective_after_the_first(
    tmp_path: Path, objectives: tuple[str, ...], figures: int
) -> None:
    page = Page(write_report(search_folder(tmp_path, ["a", "b", "c"], objectives=objectives)))
    assert page.count("svg") == figures
    assert ("Trade-off" in page.text) == (len(objectives) > 1)


def test_seventy_candidates_that_all_end_at_one_place_are_still_drawn(tmp_path: Path) -> None:
    names = [f"organisation/model-{index:02}" for index in range(70)]
    search_folder(tmp_path, names)
    result = json.loads((tmp_path / "result.json").read_text())
    for row in [*result["front"], *result["candidates"]]:
        if row.get("complete"):
            row.update({"test_loss": 0.5, "train_seconds": 5.0})
    (tmp_path / "result.json").write_text(json.dumps(result))
    page = Page(write_report(tmp_path))
    assert page.count("svg") == 3
    assert all(name in page.text for name in names)


def test_what_is_no_search_is_refused_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="holds neither a search nor learning curves"):
        write_report(tmp_path)
    (tmp_path / "result.json").write_text('{"dataset": ')
    with pytest.raises(BadInput, match="is damaged"):
        write_report(tmp_path)
    (tmp_path / "result.json").write_text("[]")
    with pytest.raises(BadInput, match="holds no JSON object"):
        write_report(tmp_path)
    (tmp_path / "result.json").write_text("{}")
    with pytest.raises(BadInput, match="does not hold a search's result"):
        write_report(tmp_path)
    assert not (tmp_path / "report.html").exists()


places = st.floats(0, 100, allow_nan=False)


@given(st.lists(places, max_size=8).map(sorted))
def test_spread_positions_keep_their_order_their_distance_and_the_range(wanted: list[float]) -> None:
    found = spread(wanted, gap=10.0, low=0.0, high=100.0)
    assert len(found) == len(wanted)
    assert all(later - earlier >= 10.0 - 1e-9 for earlier, later in itertools.pairwise(found))
    assert all(-1e-9 <= position <= 100.0 + 1e-9 for position in found)


@given(st.lists(st.tuples(places, places), min_size=1, max_size=20), st.floats(1, 60))
def test_placed_labels_lie_in_the_frame_and_cover_nothing(
    anchors: list[tuple[float, float]], width: float
) -> None:
    frame = Box(0, 0, 100, 100)
    taken: list[Box] = []
    for anchor in anchors:
        box = place_beside(anchor, width, frame=frame, taken=taken, angles=(0.0, 90.0, 180.0, 270.0))
        if box is None:
            continue
        assert frame.holds(box)
        assert not any(box.overlaps(other) for other in taken)
        assert math.isclose(box.right - box.left, width, abs_tol=1e-9)
        taken.append(box)

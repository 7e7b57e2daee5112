"""The page of a folder of learning curves."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lamps_core.curves.schema import CurveKey, write_curve
from lamps_core.errors import BadInput
from lamps_core.reports.campaign import read_meta_dataset
from lamps_core.reports.page import page_script
from lamps_core.reports.writer import write_report
from tests.pages import HOSTILE, Page

if TYPE_CHECKING:
    from pathlib import Path


def rows(
    dataset: str,
    model: str,
    losses: list[float],
    *,
    complete: bool = True,
    seconds: float = 60.0,
    **more: Any,
) -> list[dict[str, Any]]:
    return [
        {
            "dataset": dataset, "model": model, "seed": 0, "step": step, "test_loss": loss,
            "train_seconds": seconds if step else 0.0, "step_seconds": seconds + 30, "parameters": 10**6,
            "complete": complete and step == len(losses) - 1, "source": "measured", **more,
        }
        for step, loss in enumerate(losses)
    ]  # fmt: skip


def failure(dataset: str, model: str, reason: str, step: int = 0) -> dict[str, Any]:
    return {
        "dataset": dataset, "model": model, "seed": 0, "step": step, "source": "measured", "status": "failed",
        "error": reason, "step_seconds": 90.0,
    }  # fmt: skip


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two datasets: one candidate complete on both, one failed, one begun, one only on the first."""
    write_curve(tmp_path, rows("news", "small", [2.0, 1.5, 1.0]))
    write_curve(tmp_path, rows("mails", "small", [2.0, 1.5, 1.0]))
    write_curve(tmp_path, rows("news", "large", [2.0, 1.2, 0.5], seconds=600.0, gpus=2))
    write_curve(tmp_path, rows("mails", "begun", [2.0, 1.9], complete=False))
    for name in ("news", "mails"):
        write_curve(tmp_path, [failure(name, "broken", "does not fit this cluster")])
    return tmp_path


def test_the_page_counts_what_is_complete_failed_unfinished_and_not_begun(folder: Path) -> None:
    path = write_report(folder)
    assert path == folder / ".lamps" / "report.html"
    page = Page(path)
    assert "3 of 8 learning curves complete, 2 failed, 1 unfinished, 2 not begun" in page.text
    assert "4 candidates on 2 datasets: 11 landmark steps on record." in page.text


def test_each_cell_of_the_coverage_says_how_far_its_curve_is(folder: Path) -> None:
    page = Page(write_report(folder))
    titles = {
        attributes["title"]: attributes["class"]
        for tag, attributes in page.tags
        if tag == "td" and "title" in attributes
    }
    assert titles == {
        "small on news: complete after 3 steps": "complete",
        "small on mails: complete after 3 steps": "complete",
        "large on news: complete after 3 steps": "complete",
        "large on mails: not begun": "missing",
        "begun on mails: 2 steps so far": "unfinished",
        "begun on news: not begun": "missing",
        "broken on news: failed: does not fit this cluster": "failed",
        "broken on mails: failed: does not fit this cluster": "failed",
    }


def test_failures_of_one_reason_stand_together(folder: Path) -> None:
    page = Page(write_report(folder))
    assert "broken on mails, step 0" in page.text
    assert "broken on news, step 0" in page.text
    assert sum(tag == "td" and attributes.get("class") == "error" for tag, attributes in page.tags) == 1


def test_the_cost_counts_every_step_once_and_every_gpu(folder: Path) -> None:
    page = Page(write_report(folder))
    gpu_seconds = 2 * 3 * 630
    assert "On GPUs1 h 3 min" in page.text.replace("\n", "")
    assert f"${gpu_seconds / 3600 * 3.67:.2f}" in page.text
    assert "Lost to failures3 min" in page.text.replace("\n", "")


def test_there_are_two_figures_for_each_dataset_and_one_front_of_each(folder: Path) -> None:
    page = Page(write_report(folder))
    assert page.count("svg") == 4
    assert page.text.count("The front on") == 2


def test_a_curve_that_failed_and_then_went_on_to_its_end_is_complete(tmp_path: Path) -> None:
    done = rows("news", "small", [2.0, 1.0])
    write_curve(tmp_path, [*done, failure("news", "small", "after 3 attempts: killed", step=1)])
    assert read_meta_dataset(tmp_path).state(CurveKey("news", "small", 0)) == "complete"
    assert "All 1 learning curve complete" in Page(write_report(tmp_path)).text


def test_numbers_that_were_not_measured_here_are_said_not_to_be(folder: Path) -> None:
    assert "Not everything here was measured" not in Page(write_report(folder)).text
    write_curve(folder, rows("toys", "small", [1.0, 0.5], source="simulated"))
    assert "4 curves measured, 1 curve simulated" in Page(write_report(folder)).text


def test_curves_of_the_required_columns_alone_are_shown(tmp_path: Path) -> None:
    pq.write_table(pa.Table.from_pylist(rows("news", "small", [2.0, 1.0])), tmp_path / "theirs.parquet")
    page = Page(write_report(tmp_path))
    assert "All 1 learning curve complete" in page.text
    assert page.count("svg") == 2


def test_curves_with_placeholders_for_numbers_are_left_out_of_the_figures_aloud(tmp_path: Path) -> None:
    write_curve(
        tmp_path,
        [
            row | {"train_seconds": 1.7e308, "step_seconds": 1.7e308}
            for row in rows("odd", "small", [2.0, 1.0])
        ],
    )
    write_curve(tmp_path, rows("news", "small", [2.0, 1.0]))
    page = Page(write_report(tmp_path))
    assert "small: its numbers are too large" in page.text
    assert page.count("svg") == 2


def test_names_reach_the_page_as_text_and_nothing_else(tmp_path: Path) -> None:
    write_curve(tmp_path, rows(HOSTILE, HOSTILE, [2.0, 1.0]))
    write_curve(tmp_path, [failure(HOSTILE, "broken", HOSTILE)])
    page = Page(write_report(tmp_path))
    assert not {"img", "link", "iframe"} & {tag for tag, _ in page.tags}
    assert page.scripts[1:] == [page_script()]
    assert not any(name.startswith("on") for _, attributes in page.tags for name in attributes)
    assert "\x1b" not in page.text
    assert "\u202e" not in page.text


def test_the_same_curves_give_the_same_bytes(folder: Path) -> None:
    first = write_report(folder).read_bytes()
    assert write_report(folder).read_bytes() == first


@pytest.mark.slow
def test_seventy_candidates_on_nine_datasets_fit_on_a_page(tmp_path: Path) -> None:
    for dataset in range(9):
        for model in range(70):
            losses = [2.0, 1.0 + model / 100, 0.5 + (model * 7 % 70) / 100]
            write_curve(
                tmp_path,
                rows(f"dataset-{dataset}", f"organisation/model-{model:02}", losses, seconds=model + 1.0),
            )
    page = Page(write_report(tmp_path))
    assert page.count("svg") == 18
    assert "All 630 learning curves complete" in page.text


def test_a_damaged_file_is_named(folder: Path) -> None:
    next(folder.glob("*.parquet")).write_bytes(b"PAR1")
    with pytest.raises(BadInput, match=r"\.parquet: cannot be read as Parquet"):
        write_report(folder)

"""What the code of earlier commits wrote is read by today's.

`tests/data/version-1/search` was left by a search at commit 49bd6be: its journal has no `started` and no `model_files`.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from lamps_core.curve_reader import curves_by_key, read_curves
from lamps_core.search_record import read_search
from lamps_core.search_run import SearchRun
from tests.searches import MODELS, STEPS_EACH, quick_request

OLD = Path(__file__).parents[1] / "data" / "version-1" / "search"
STEPS = STEPS_EACH * len(MODELS.split(","))


def topics(folder: Path) -> Path:
    """The dataset of the old search."""
    rows = [("a storm", "weather") if row % 2 else ("soup with bread", "food") for row in range(120)]
    lines = [f"{text} {row},{topic}\n" for row, (text, topic) in enumerate(rows)]
    (folder / "topics.csv").write_text("phrase,topic\n" + "".join(lines))
    return folder / "topics.csv"


def test_curves_of_an_older_version_are_read() -> None:
    curves = curves_by_key(read_curves(OLD / "curves"))
    assert [key.model for key in curves] == MODELS.split(",")
    assert all(curve.complete and len(curve.table) == STEPS_EACH for curve in curves.values())


def test_a_finished_and_an_unfinished_search_of_an_older_version_are_read(tmp_path: Path) -> None:
    shutil.copytree(OLD, tmp_path / "out")
    finished = read_search(tmp_path / "out")
    (tmp_path / "out" / "result.json").unlink()
    unfinished = read_search(tmp_path / "out")
    assert (finished.finished, unfinished.finished) == (True, False)
    assert {one.name for one in finished.candidates} == {one.name for one in unfinished.candidates}
    assert len(unfinished.outcomes) == STEPS


def test_a_search_of_an_older_version_goes_on_where_it_was(tmp_path: Path) -> None:
    shutil.copytree(OLD, tmp_path / "out")
    journal = tmp_path / "out" / "journal.jsonl"
    header, *events = journal.read_text().splitlines(keepends=True)
    journal.write_text(header + "".join(events[:5]))
    run = SearchRun(quick_request(topics(tmp_path), tmp_path / "out"))
    try:
        assert run.search.steps == 5
        assert run.search.candidates[MODELS.split(",")[1]].next_step == 1
    finally:
        run.close()

from __future__ import annotations

import csv
from collections import Counter
from typing import TYPE_CHECKING

import pytest

from lamps_core.docstrings import TOPIC_MODULES, WORDS_OF_SENTENCE, main, write_docstrings
from lamps_core.errors import BadInput

if TYPE_CHECKING:
    from pathlib import Path


def read_rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("docstrings") / "new" / "docstrings.csv"
    assert write_docstrings(path, rows=2400) == 2400
    return path


def test_the_dataset_has_the_rows_asked_for_in_balanced_topics_without_repeats(written: Path) -> None:
    rows = read_rows(written)
    assert Counter(row["topic"] for row in rows) == dict.fromkeys(TOPIC_MODULES, 400)
    assert len({row["text"] for row in rows}) == 2400
    shortest, longest = WORDS_OF_SENTENCE
    assert all(shortest <= len(row["text"].split()) <= longest for row in rows)


def test_topics_are_mixed_so_that_the_head_of_the_file_sees_them_all(written: Path) -> None:
    assert {row["topic"] for row in read_rows(written)[:60]} == set(TOPIC_MODULES)


def test_the_dataset_is_the_same_every_time_and_the_command_says_what_it_wrote(
    written: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([str(tmp_path / "again.csv"), "--rows", "2400"]) == 0
    assert "2400 sentences of 6 topics" in capsys.readouterr().out.replace(",", "")
    assert (tmp_path / "again.csv").read_bytes() == written.read_bytes()


def test_asking_for_more_rows_than_there_are_gives_all(tmp_path: Path) -> None:
    rows = write_docstrings(tmp_path / "a.csv", rows=10**6)
    assert rows == len(read_rows(tmp_path / "a.csv"))
    assert 3000 < rows < 10**5


def test_fewer_rows_than_topics_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(BadInput, match="--rows must be at least 6"):
        write_docstrings(tmp_path / "a.csv", rows=5)
    assert main([str(tmp_path / "a.csv"), "--rows", "5"]) == 2
    assert capsys.readouterr().err.startswith("error: --rows")
    assert not (tmp_path / "a.csv").exists()

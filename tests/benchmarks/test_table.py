"""The table of all benchmarks is made of what each printed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from benchmarks import table
from benchmarks.ratios import Ratio, tell, told

if TYPE_CHECKING:
    from pathlib import Path

PAGE = f"Before.\n{table.BEGIN}\nold\n{table.END}\nAfter.\n"


def test_what_a_benchmark_tells_is_read_back_from_its_output(capsys: pytest.CaptureFixture[str]) -> None:
    ratio = Ratio(what="a step", value=1.0312, over="a bare loop", goal="<= 1.05")
    print("something else: 3")
    tell(ratio)
    assert told(capsys.readouterr().out) == [ratio]


@pytest.mark.parametrize(
    ("value", "unit", "text"), [(1.0312, "", "1.03"), (8.13e-8, "apart", "8.1e-08 apart"), (0.0, "s", "0 s")]
)
def test_a_value_is_written_for_a_person(value: float, unit: str, text: str) -> None:
    assert Ratio(what="", value=value, over="", unit=unit).text == text


def test_the_table_of_a_page_is_renewed_and_the_rest_stays() -> None:
    once = table.with_results(PAGE, ["| a |"], when="One run:")
    assert once == table.with_results(once, ["| a |"], when="One run:")
    assert once.startswith("Before.\n")
    assert once.endswith("\nAfter.\n")
    assert "old" not in once
    assert "| a |" in once


def test_a_benchmark_that_fails_has_a_row_that_says_so_and_the_command_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = tmp_path / "README.md"
    page.write_text(PAGE)
    monkeypatch.setattr(table, "README", page)
    monkeypatch.setattr(table, "COMMANDS", {"gone": "no_such_benchmark", "later": "another"})
    assert table.main(["--out", str(tmp_path / "bench"), "--only", "gone"]) == 1
    assert "| `no_such_benchmark` | failed | | | |\n| `another` | not run | | | |" in page.read_text()

from __future__ import annotations

from lamps_core.report_words import markdown_table


def test_a_table_escapes_bars_and_puts_numbers_to_the_right() -> None:
    assert markdown_table(("method", "hours"), [("a|b", "1.50")], numbers=1).splitlines() == [
        "| method | hours |",
        "| --- | ---: |",
        "| a\\|b | 1.50 |",
    ]


def test_a_table_without_rows_is_its_head() -> None:
    assert markdown_table(("model", "path"), []).splitlines() == ["| model | path |", "| --- | --- |"]

"""What a command prints at its end: tables on stdout."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from lamps_core.doctor import Check

MARKS = {True: "[green]ok[/]", False: "[red]fails[/]", None: "[yellow]note[/]"}


def print_search(result: dict[str, Any], out: Path) -> None:
    """The front of a search, what it cost, and where everything lies."""
    console = Console(soft_wrap=True)
    for notice in result["notices"]:
        console.print(f"note: {notice}", markup=False, highlight=False)
    for failure in result["failed"]:
        line = f"failed: {failure['model']} at step {failure['step']}: {failure['error']}"
        console.print(line, markup=False, highlight=False)
    complete = sum(row["complete"] for row in result["candidates"])
    console.print(
        f"{result['dataset']}: {result['steps']} steps, {result['spent_seconds']:.1f} s spent, {complete} of "
        f"{len(result['candidates'])} candidates complete, decided on: {result['selection']}",
        markup=False,
        highlight=False,
    )
    if result["front"]:
        console.print(_front(result))
    else:
        console.print(_why_no_front(result), markup=False)
    console.print(f"report: {out / 'report.html'}", markup=False, highlight=False)


def _why_no_front(result: dict[str, Any]) -> str:
    failed = {row["model"] for row in result["failed"]}
    if all(row.get("stopped") or row["complete"] or row["model"] in failed for row in result["candidates"]):
        return (
            "No front: every candidate is beyond a bound, or failed. Loosen --bound, or try other --models."
        )
    return "No candidate is complete yet: run again with a larger --budget to go on."


def _front(result: dict[str, Any]) -> Table:
    columns = ["model", *dict.fromkeys([*result["objectives"], "test_loss", "accuracy"]), "path"]
    table = Table(title="Front: no other complete candidate is better on every objective")
    for column in columns:
        table.add_column(column, justify="left" if column in {"model", "path"} else "right")
    for row in result["front"]:
        table.add_row(*(_cell(row[column]) for column in columns))
    return table


def _cell(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else escape(str(value))


def print_checks(checks: Sequence[Check]) -> None:
    """What `lamps doctor` found."""
    table = Table()
    for column in ("", "check", "found", "mend"):
        table.add_column(column)
    for check in checks:
        table.add_row(MARKS[check.ok], escape(check.name), escape(check.found), escape(check.mend))
    Console(soft_wrap=False).print(table)

"""`lamps models` and `lamps datasets`: what the registries hold, as tables or JSON on stdout.

Owns the printing. Names are hostile: markup in them is not read, control characters in them do not reach the
terminal.
"""

from __future__ import annotations

import dataclasses
import sys
from typing import TYPE_CHECKING

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from lamps_cli.options import json_option, print_result
from lamps_core.models.listing import check_models, listed_models
from lamps_core.registry import never_fetched, registered_datasets
from lamps_core.report_words import displayable

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from lamps_core.models.listing import CheckedModel, ModelRow
    from lamps_core.registry import RegisteredDataset

MARKS = {True: ("ok", "green"), False: ("no", "red"), None: ("?", "yellow")}


@click.command(epilog="Example: lamps models --check")
@click.option("--check", is_flag=True, help="Ask the hub for each, and whether it fits this machine.")
@json_option
def models(check: bool, as_json: bool) -> None:
    """The models of the registry (the preset `paper`) and of the zoo."""
    with Console(stderr=True).status("Building the zoo, once"):
        rows = listed_models()
    checks = check_models(rows) if check else None
    told = [row.as_dict() for row in checks or rows]
    print_result(told, lambda _: _print_checks(checks) if checks else _print_models(rows), as_json=as_json)


@click.command(epilog="Example: lamps campaign --datasets trec,emotion --models zoo --curves runs/curves")
@json_option
def datasets(as_json: bool) -> None:
    """The datasets of the registry: names for --datasets that bring their columns."""
    listed = list(registered_datasets().values())
    told = [dataclasses.asdict(dataset) for dataset in listed]
    print_result(told, lambda _: _print_datasets(listed), as_json=as_json)


def _print_datasets(listed: Sequence[RegisteredDataset]) -> None:
    table = _table("name", "hub id", "text", "label", "licence", "about")
    for dataset in listed:
        inputs = ", ".join(dataset.input_columns)
        _add(
            table,
            dataset.name,
            dataset.dataset,
            inputs,
            dataset.target_column,
            dataset.licence,
            dataset.about,
        )
    _print(table)
    if told := never_fetched(listed):
        print(told)


def _print_models(rows: Iterable[ModelRow]) -> None:
    table = _table("name", "family", "parameters", "languages", "licence", "gated", right=("parameters",))
    for row in rows:
        parameters = "–" if row.parameters is None else f"{row.parameters:,}"
        languages = ", ".join(row.languages) or "–"
        _add(table, row.name, row.family, parameters, languages, row.licence, "gated" if row.gated else "")
    _print(table)


def _print_checks(checks: Iterable[CheckedModel]) -> None:
    table = _table("", "name", "hub", "this machine")
    for check in checks:
        word, style = MARKS[check.usable]
        table.add_row(
            Text(word, style=style), *map(_cell, (check.model.name, check.hub.found, check.fit.found))
        )
    _print(table)


def _table(*columns: str, right: tuple[str, ...] = ()) -> Table:
    table = Table()
    for column in columns:
        table.add_column(column, justify="right" if column in right else "left", overflow="fold")
    return table


def _add(table: Table, *cells: str) -> None:
    table.add_row(*map(_cell, cells))


def _cell(text: str) -> Text:
    return Text(displayable(text))


def _print(table: Table) -> None:
    # A pipe has no width: one line a row, for grep.
    console = Console() if sys.stdout.isatty() else Console(width=10_000)
    console.print(table)

"""`lamps models` and `lamps datasets`: what the registries hold, as tables or JSON on stdout.

Owns the printing. Names are hostile: markup in them is not read, control characters in them do not reach the
terminal.
"""

from __future__ import annotations

import dataclasses
import json
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from lamps_cli.options import json_option
from lamps_core.errors import BadInput
from lamps_core.registry import registered_datasets, registered_models
from lamps_core.report_words import displayable

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from lamps_core.models.availability import Availability

MARKS = {True: ("ok", "green"), False: ("no", "red"), None: ("?", "yellow")}


@dataclass(frozen=True)
class ModelRow:
    """A model as `lamps models` lists it.

    Attributes:
        name: hub id or zoo name.
        family: as the paper groups it; the architecture of a zoo candidate.
        parameters: None for a zoo candidate that cannot be built here.
        languages: none for the zoo, whose weights are random.
        licence: as the hub names it.
        gated: whether its licence must be accepted on the hub first.
        zoo: whether it needs no hub.
    """

    name: str
    family: str
    parameters: int | None
    languages: tuple[str, ...]
    licence: str
    gated: bool
    zoo: bool


@click.command(epilog="Example: lamps models --check")
@click.option("--check", is_flag=True, help="Ask the hub for each, and whether it fits this machine.")
@json_option
def models(check: bool, as_json: bool) -> None:
    """The models of the registry (the preset `paper`) and of the zoo."""
    rows = _model_rows()
    checks = _checks(rows) if check else None
    if as_json:
        print(json.dumps([_model_json(row, checks) for row in rows], indent=2))
    elif checks is None:
        _print_models(rows)
    else:
        _print_checks(checks)


@click.command(epilog="Example: lamps campaign --datasets trec,emotion --models zoo --curves runs/curves")
@json_option
def datasets(as_json: bool) -> None:
    """The datasets of the registry: names for --datasets that bring their columns."""
    listed = list(registered_datasets().values())
    if as_json:
        print(json.dumps([dataclasses.asdict(dataset) for dataset in listed], indent=2))
        return
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
    never = sum(not dataset.fetched for dataset in listed)
    if never:
        print(f"{never} of {len(listed)} were never fetched from here: ids and columns are unverified.")


def _model_rows() -> list[ModelRow]:
    registered = [
        ModelRow(
            model.id, model.family, model.parameters, model.languages, model.licence, model.gated, zoo=False
        )
        for model in registered_models().values()
    ]
    return [*registered, *_zoo_rows()]


def _zoo_rows() -> list[ModelRow]:
    from lamps_core.models.zoo import zoo_entry, zoo_names

    with Console(stderr=True).status("Building the zoo, once"):
        return [
            ModelRow(
                name, zoo_entry(name).model_type, _zoo_parameters(name), (), "apache-2.0", False, zoo=True
            )
            for name in zoo_names()
        ]


def _zoo_parameters(name: str) -> int | None:
    from lamps_core.models.size import folder_size
    from lamps_core.models.zoo import materialise

    try:
        return folder_size(materialise(name)).parameters
    except BadInput:  # a cache that cannot be written is no reason to list nothing
        return None


def _checks(rows: Sequence[ModelRow]) -> dict[str, tuple[Availability, Availability]]:
    """What the hub says of each model, and whether it fits here."""
    from lamps_core.host.devices import devices_here
    from lamps_core.models.availability import Availability, ask_hub, fit_here

    devices = devices_here()
    answers = ask_hub(row.name for row in rows if not row.zoo)
    here = Availability(True, "zoo: needs no hub")
    return {row.name: (answers.get(row.name, here), fit_here(row.parameters, devices)) for row in rows}


def _model_json(row: ModelRow, checks: dict[str, tuple[Availability, Availability]] | None) -> dict[str, Any]:
    told = dataclasses.asdict(row)
    if checks is not None:
        hub, fit = checks[row.name]
        told |= {"hub": dataclasses.asdict(hub), "fit": dataclasses.asdict(fit)}
    return told


def _print_models(rows: Iterable[ModelRow]) -> None:
    table = _table("name", "family", "parameters", "languages", "licence", "gated", right=("parameters",))
    for row in rows:
        parameters = "–" if row.parameters is None else f"{row.parameters:,}"
        languages = ", ".join(row.languages) or "–"
        _add(table, row.name, row.family, parameters, languages, row.licence, "gated" if row.gated else "")
    _print(table)


def _print_checks(checks: dict[str, tuple[Availability, Availability]]) -> None:
    table = _table("", "name", "hub", "this machine")
    for name, (hub, fit) in checks.items():
        ok = None if None in (hub.ok, fit.ok) else True
        word, style = MARKS[False if False in (hub.ok, fit.ok) else ok]
        table.add_row(Text(word, style=style), *map(_cell, (name, hub.found, fit.found)))
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

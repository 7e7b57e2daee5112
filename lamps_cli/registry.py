"""`lamps models` and `lamps datasets`: what the registries hold."""

from __future__ import annotations

import dataclasses

import click
from rich.console import Console

from lamps_cli.options import json_option, print_result
from lamps_core.models.listing import check_models, listed_models
from lamps_core.registry import registered_datasets


@click.command(epilog="Example: lamps models --check")
@click.option("--check", is_flag=True, help="Ask the hub for each, and whether it fits this machine.")
@json_option
def models(check: bool, as_json: bool) -> None:
    """The models of the registry (the preset `paper`) and of the zoo."""
    from lamps_cli.tables import print_checked, print_models

    with Console(stderr=True).status("Building the zoo, once"):
        rows = listed_models()
    checks = check_models(rows) if check else None
    told = [row.as_dict() for row in checks or rows]
    print_result(told, lambda _: print_checked(checks) if checks else print_models(rows), as_json=as_json)


@click.command(epilog="Example: lamps campaign --datasets trec,emotion --models zoo --curves runs/curves")
@json_option
def datasets(as_json: bool) -> None:
    """The datasets of the registry: names for --datasets that bring their columns."""
    from lamps_cli.tables import print_datasets

    listed = list(registered_datasets().values())
    told = [dataclasses.asdict(dataset) for dataset in listed]
    print_result(told, lambda _: print_datasets(listed), as_json=as_json)

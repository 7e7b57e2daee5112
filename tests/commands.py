"""Whether a written command is one that the installed program takes; it is parsed and not run."""

from __future__ import annotations

from typing import Any

import click


def check_command(words: list[str]) -> None:
    """Raises where `dask`, `lamps` or `prefect` would refuse the words before doing anything."""
    program, *rest = words
    if program == "prefect":
        from prefect.cli._app import _app

        _app.parse_args(rest, print_error=False, exit_on_error=False)
        return
    command = {"dask": _dask, "lamps": _lamps}[program]()
    while isinstance(command, click.Group):
        context = click.Context(command)
        found = command.get_command(context, rest[0])
        assert found is not None, words
        command, rest = found, rest[1:]
    command.make_context(words[1], rest)


def _dask() -> Any:
    from dask.cli import cli
    from distributed.cli import dask_scheduler, dask_worker

    cli.add_command(dask_scheduler.main, "scheduler")
    cli.add_command(dask_worker.main, "worker")
    return cli


def _lamps() -> Any:
    from lamps_cli.main import cli

    return cli

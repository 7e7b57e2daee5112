"""The `lamps simulate` command: a thin way into `lamps_core.simulation.curves`."""

from __future__ import annotations

from typing import Any

import click

from lamps_cli.options import json_option, print_result


@click.command(epilog="Example: lamps simulate --out runs/simulated --seed 1")
@click.option("--out", required=True, help="Folder for the curves, new or empty.")
@click.option("--seed", default=0, show_default=True, help="Of all chance: the same seed, the same curves.")
@json_option
def simulate(out: str, seed: int, as_json: bool) -> None:
    """Write simulated curves of the paper's 70 candidates on its nine datasets; nothing in them is measured."""
    from lamps_core.simulation import curves
    from lamps_core.storage import given_path

    told = curves.simulate(given_path(out, "--out", "runs/simulated"), seed=seed)
    print_result(told, lambda _: _print_curves(told, out), as_json=as_json)


def _print_curves(told: dict[str, Any], out: str) -> None:
    print(
        f"{told['candidates']} candidates on {told['datasets']} datasets, {told['steps']:,} landmark steps, "
        f"{told['gpu_hours']:,.0f} GPU hours: simulated, not measured"
    )
    print(out)

"""The `lamps search` command: a thin way into the search flow."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from lamps_cli.options import (
    fine_tuning_options,
    hub_token_option,
    json_option,
    objective_options,
    push_option,
    show_result,
    track_option,
)
from lamps_core.errors import BadInput
from lamps_core.prices import GPU_HOUR_PRICE

if TYPE_CHECKING:
    from lamps_core.search.request import SearchRequest

# Whose empty text is an unset variable of a script: it must not mean a search without end, or one on other data.
NEVER_EMPTY = {
    "budget": "90s, 2h, 40steps, $50 or auto",
    "test_dataset": "a dataset such as test.csv",
    "selection_split": "validation, or a share such as 0.1",
    "template": "one such as '{question} {choices}'",
}


@click.command(
    epilog="Example: lamps search --dataset reviews.csv --input-col text --target-col label --models zoo "
    "--budget 10m --out runs/reviews"
)
@click.option("--dataset", required=True, help="Hub id (org/name:config), or a file or folder of text files.")
@click.option("--input-col", required=True, help="Column of the text; several with commas.")
@click.option("--target-col", required=True, help="Column of the label.")
@click.option("--out", required=True, help="Folder of the search; run again with the same one, it resumes.")
@click.option(
    "--test-dataset", help="Another dataset to evaluate on; else its test split, else 20 % reserved."
)
@click.option(
    "--models", default="zoo", show_default=True, help="Comma list, a file with one a line, or a preset."
)
@click.option(
    "--policy",
    default="universal",
    show_default=True,
    help="universal (trained, ships with LAMPS), cheapest, zigzag, blind, mo_asha, ehvi or ats; or the folder, .zip "
    "or hub id of a trained one.",
)
@click.option(
    "--budget",
    help="90s, 2h, 40steps, $50, auto (until little more is expected) or several: auto,2h; without one, until every "
    "candidate is complete.",
)
@click.option(
    "--stop-below",
    default="1%",
    show_default=True,
    help="Of --budget auto: stop when less more hypervolume is expected in as long again (1%) or an hour (1%/h).",
)
@click.option(
    "--gpu-hour-price",
    default=GPU_HOUR_PRICE,
    show_default=True,
    help="For dollars, of a budget or an objective.",
)
@objective_options
@click.option(
    "--selection-split", help="validation, or a share such as 0.1: decide there, not on the test split."
)
@click.option("--max-train-rows", type=int, help="Stratified cap on the training rows.")
@click.option("--template", help="How several columns make one text: '{question}\\n{choices}'.")
@click.option("--parallel", type=int, help="Steps at once.  [default: one a GPU, or one on a CPU]")
@click.option(
    "--retry-failed", is_flag=True, help="Try candidates again that failed for a lasting reason, too."
)
@hub_token_option
@push_option
@track_option
@fine_tuning_options
@json_option
def search(as_json: bool, bounds: tuple[str, ...], **parameters: Any) -> None:
    """Find the fine-tuned models nobody would beat on test loss and training time."""
    for name, example in NEVER_EMPTY.items():
        if parameters[name] == "":
            raise BadInput(f"--{name.replace('_', '-')} is empty: give {example}, or leave the option out")
    parameters["bounds"] = ",".join(bounds)
    parameters["command"] = shlex.join(["lamps", *sys.argv[1:]])
    from lamps_cli.tables import print_search

    out = Path(parameters["out"])
    show_result(lambda: _run_search(parameters), lambda result: print_search(result, out), as_json=as_json)


def _run_search(parameters: dict[str, Any]) -> dict[str, Any]:
    from lamps_cli.flow_run import run_flow
    from lamps_cli.live import SEARCH
    from lamps_cli.server import quieten_prefect, read_hub_token

    quieten_prefect()
    from flows.search import search as flow
    from flows.search import search_request
    from lamps_core.hub.access import check_push

    request = search_request(**parameters)
    read_hub_token(parameters["hub_token_block"])
    if parameters["push_to_hub"]:
        # The token may be in a block of a temporary server.
        check_push(parameters["push_to_hub"], of_a_front=True, needs_token=False)
    return run_flow(flow, parameters, check=lambda: check(request), view=SEARCH)


def check(request: SearchRequest) -> None:
    """Make every complaint about the input.

    Where there may be a step to run, what its worker needs is imported from then on, beside the wait for a server.
    """
    from lamps_core.search.run import SearchRun
    from lamps_core.workers.group import start_fork_server

    SearchRun(request).close()
    if not (request.out / "result.json").exists():
        start_fork_server()

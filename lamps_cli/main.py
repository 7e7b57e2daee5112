"""The `lamps` command: one function a command, each a thin way into a flow or `lamps_core`.

Exit codes: 0 done, 1 the work failed, 2 bad input, 130 Ctrl-C with everything kept.
"""

from __future__ import annotations

import json
import os
import shlex
import signal
import sys
from pathlib import Path
from typing import Any, NoReturn

import click

from lamps_core import __version__
from lamps_core.errors import BadInput, LampsError

HELP = {"help_option_names": ["-h", "--help"], "max_content_width": 110}


def main() -> NoReturn:
    """Entry point of the console script."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        code = cli.main(standalone_mode=False, prog_name="lamps") or 0
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
        code = 2
    except click.ClickException as error:
        code = _fail(error.format_message(), 2)
    except BadInput as error:
        code = _fail(str(error), 2)
    except LampsError as error:
        code = _fail(str(error), 1)
    except (KeyboardInterrupt, click.Abort):
        code = _fail("interrupted; what is done is kept, run the same command again to go on", 130)
    except Exception as error:
        if os.environ.get("LAMPS_DEBUG"):
            raise
        code = _fail(f"{type(error).__name__}: {error} (LAMPS_DEBUG=1 shows where)", 1)
    sys.exit(code)


def _fail(message: str, code: int) -> int:
    print("lamps: " + " ".join(message.split()), file=sys.stderr)
    return code


@click.group(context_settings=HELP)
@click.version_option(__version__, prog_name="lamps")
def cli() -> None:
    """Which pretrained language model should I fine-tune on my dataset?"""


def _json_option(command: Any) -> Any:
    return click.option("--json", "as_json", is_flag=True, help="Print the result as JSON on stdout.")(
        command
    )


@cli.command(
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
@click.option("--policy", default="cheapest", show_default=True, help="cheapest, zigzag or blind.")
@click.option("--budget", help="90s, 2h, 40steps or $50; without one, until every candidate is complete.")
@click.option("--gpu-hour-price", default=3.67, show_default=True, help="Dollars, for a budget in dollars.")
@click.option("--objectives", default="test_loss,train_seconds", show_default=True, help="What to minimise.")
@click.option("--bound", "bounds", multiple=True, help="Upper bound of an objective: train_seconds=3600.")
@click.option(
    "--selection-split", help="validation, or a share such as 0.1: decide there, not on the test split."
)
@click.option("--max-train-rows", type=int, help="Stratified cap on the training rows.")
@click.option("--template", help="How several columns make one text: '{question}\\n{choices}'.")
@click.option("--parallel", type=int, help="Steps at once.  [default: one a GPU, or one on a CPU]")
@click.option("--seed", default=0, show_default=True, help="Of the head, the batches, the reserved rows.")
@click.option("--learning-rate", type=float, help="AdamW's.  [default: 7e-6, or the zoo's own]")
@click.option("--batch-size", default=32, show_default=True, help="Rows in one update.")
@click.option("--landmarks", default=8, show_default=True, help="K, nested subsets.")
@click.option("--patience", default=3, show_default=True, help="Full epochs without a better loss.")
@click.option("--max-epochs", default=10, show_default=True, help="Full epochs at most.")
@click.option("--max-length", default=512, show_default=True, help="Tokens kept of a text.")
@click.option("--precision", type=click.Choice(["auto", "fp32", "bf16"]), default="auto", show_default=True)
@click.option("--step-timeout", type=float, help="Seconds before a step is taken for hung.")
@_json_option
def search(as_json: bool, bounds: tuple[str, ...], **parameters: Any) -> None:
    """Find the fine-tuned models nobody would beat on test loss and training time."""
    if parameters["budget"] == "":  # an unset variable of a script must not mean: without end
        raise BadInput(
            "--budget is empty: give 90s, 2h, 40steps or $50, or leave the option out for no limit"
        )
    parameters["bounds"] = ",".join(bounds)
    parameters["command"] = shlex.join(["lamps", *sys.argv[1:]])
    result = _run_search(parameters)
    _print_result(result, Path(parameters["out"]), as_json=as_json)


def _run_search(parameters: dict[str, Any]) -> dict[str, Any]:
    from lamps_cli.live import LiveDisplay
    from lamps_cli.server import prefect_server, quieten_prefect
    from lamps_core.progress import listener

    quieten_prefect()
    from flows.search import search as search_flow
    from flows.search import search_request
    from lamps_core.search_run import SearchRun

    request = search_request(**parameters)
    with prefect_server() as wait_until_ready:
        SearchRun(request).close()  # every complaint about the input comes before the wait for the server
        wait_until_ready()
        with LiveDisplay() as display:
            token = listener.set(display.update)
            try:
                return search_flow(**parameters)
            finally:
                listener.reset(token)


def _print_result(result: dict[str, Any], out: Path, *, as_json: bool) -> None:
    if as_json:
        print(json.dumps(result, indent=2))
        return
    from lamps_cli.tables import print_search

    print_search(result, out)


@cli.command(epilog="Example: lamps report runs/reviews")
@click.argument("folder", type=click.Path(path_type=Path))
@_json_option
def report(folder: Path, as_json: bool) -> None:
    """Write the self-contained HTML report of a search."""
    from lamps_core.report import write_report

    path = write_report(folder)
    print(json.dumps({"report": str(path)}) if as_json else path)


@cli.command(epilog="Example: lamps doctor")
@_json_option
def doctor(as_json: bool) -> None:
    """What works on this machine, what does not, and how to mend it."""
    from dataclasses import asdict

    from lamps_core.doctor import run_checks

    checks = run_checks()
    if as_json:
        print(json.dumps([asdict(check) for check in checks], indent=2))
    else:
        from lamps_cli.tables import print_checks

        print_checks(checks)
    if any(check.ok is False for check in checks):
        raise LampsError("something above does not work")


if __name__ == "__main__":
    main()

"""Options that several commands take, and how they tell what they came to."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

import click

from lamps_core.errors import PushFailed
from lamps_core.report_words import displayable
from lamps_core.settings import FineTuningSettings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

_DEFAULTS = FineTuningSettings()
_FINE_TUNING = (
    click.option(
        "--seed",
        default=_DEFAULTS.seed,
        show_default=True,
        help="Of the head, the batches, the reserved rows.",
    ),
    click.option("--learning-rate", type=float, help="AdamW's.  [default: 7e-6, or the zoo's own]"),
    click.option("--batch-size", default=_DEFAULTS.batch_size, show_default=True, help="Rows in one update."),
    click.option("--landmarks", default=_DEFAULTS.landmarks, show_default=True, help="K, nested subsets."),
    click.option(
        "--patience", default=_DEFAULTS.patience, show_default=True, help="Full epochs without a better loss."
    ),
    click.option(
        "--max-epochs", default=_DEFAULTS.max_epochs, show_default=True, help="Full epochs at most."
    ),
    click.option(
        "--max-length", default=_DEFAULTS.max_length, show_default=True, help="Tokens kept of a text."
    ),
    click.option(
        "--precision",
        type=click.Choice(["auto", "fp32", "bf16"]),
        default=_DEFAULTS.precision,
        show_default=True,
    ),
    click.option("--step-timeout", type=float, help="Seconds before a step is taken for hung."),
)


def fine_tuning_options(command: Any) -> Any:
    """How candidates are fine-tuned: the fields of `FineTuningSettings`, and when a step is taken for hung."""
    for option in reversed(_FINE_TUNING):
        command = option(command)
    return command


def objective_options(command: Any) -> Any:
    """`--objectives` and `--bound`: what is minimised, and within what limits."""
    command = click.option(
        "--bound",
        "bounds",
        multiple=True,
        help="The most an objective may be (of a maximised one, the least): train_seconds=3600, accuracy=0.9.",
    )(command)
    return click.option(
        "--objectives",
        default="test_loss,train_seconds",
        show_default=True,
        help="What is best, six at most, with commas: test_loss, accuracy, macro_f1, train_seconds, "
        "parameters, peak_memory_bytes, eval_rows_per_second, dollars (training seconds x GPUs x price) ...; of "
        "recorded curves any numeric column; see docs/objectives.md.",
    )(command)


def hub_token_option(command: Any) -> Any:
    """`--hub-token-block`: where the token of the hub is read from."""
    words = "Prefect Secret block of the hub token, for gated and private repositories.  [default: hf-token]"
    return click.option("--hub-token-block", help=words)(command)


def push_option(command: Any) -> Any:
    """`--push-to-hub`: the repository that what was made is pushed to at the end."""
    words = "Push what was made to this repository of the hub, such as my-name/reviews; a new one is private."
    return click.option("--push-to-hub", metavar="ORG/NAME", help=words)(command)


def show_result(
    run: Callable[[], dict[str, Any]], show: Callable[[dict[str, Any]], None], *, as_json: bool
) -> None:
    """Print what a flow came to, even if it could not be pushed to the hub, which is said behind it."""
    try:
        result = run()
    except PushFailed as failed:
        print_result(failed.result, show, as_json=as_json)
        raise
    print_result(result, show, as_json=as_json)


def print_result(result: Any, show: Callable[[Any], None], *, as_json: bool) -> None:
    """Print a result on stdout: as JSON, or as `show` prints it for a person."""
    if as_json:
        print(json.dumps(result, indent=2))
    else:
        show(result)


def tell_notices(notices: Iterable[str]) -> None:
    """Say on stderr what the user is to know of what was given, before the work begins."""
    for notice in notices:
        print(f"note: {displayable(notice)}", file=sys.stderr)


def track_option(command: Any) -> Any:
    """`--track`: which experiment trackers are told the curves."""
    words = "Experiment trackers to tell the curves, with commas: tensorboard, mlflow, wandb; see docs/trackers.md."
    return click.option("--track", help=words)(command)


def json_option(command: Any) -> Any:
    """`--json`: the result as JSON on stdout, and nothing else there."""
    return click.option("--json", "as_json", is_flag=True, help="Print the result as JSON on stdout.")(
        command
    )

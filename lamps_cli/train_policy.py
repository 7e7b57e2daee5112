"""The `lamps train-policy` command: a thin way into its flow."""

from __future__ import annotations

from typing import Any

import click

from lamps_cli.options import (
    hub_token_option,
    json_option,
    objective_options,
    push_option,
    show_result,
    tell_notices,
)
from lamps_core.errors import BadInput
from lamps_core.prices import GPU_HOUR_PRICE


@click.command(
    name="train-policy",
    epilog="Example: lamps train-policy --curves runs/curves --out runs/policy --algorithm distral --seconds 600",
)
@click.option(
    "--curves",
    required=True,
    help="Folder of learning curves, as lamps campaign leaves it; org/name of the hub; or shipped, those that "
    "come with LAMPS.",
)
@click.option(
    "--out", required=True, help="The policy: a folder, or a .zip; run again after Ctrl-C, it goes on."
)
@click.option(
    "--algorithm",
    default="forecast",
    show_default=True,
    help="forecast, distral (the paper's), ppo, or universal, which serves any candidates and objectives.",
)
@click.option("--exclude-dataset", "exclude_datasets", multiple=True, help="Leave a dataset out; repeatable.")
@click.option(
    "--steps",
    type=int,
    help="Environment steps of distral or ppo, rounded up to whole rollouts.  [default: the algorithm's]",
)
@click.option(
    "--seconds",
    type=float,
    help="Longest training of distral or ppo; forecast takes seconds.  [default: no limit]",
)
@objective_options
@click.option(
    "--gpu-hour-price", default=GPU_HOUR_PRICE, show_default=True, help="Dollars, for the objective dollars."
)
@click.option("--seed", default=0, show_default=True, help="Of the weights and all that is drawn.")
@click.option("--warm-start", help="A policy of distral or ppo to begin with.")
@click.option(
    "--set",
    "settings",
    multiple=True,
    help="A setting of distral or ppo, such as epochs=10, or of universal, such as members=2; repeatable.",
)
@hub_token_option
@push_option
@json_option
def train_policy(
    as_json: bool,
    exclude_datasets: tuple[str, ...],
    bounds: tuple[str, ...],
    settings: tuple[str, ...],
    **parameters: Any,
) -> None:
    """Train a policy on recorded curves: which candidate to go on with, and when to leave one."""
    for name in exclude_datasets:
        if "," in name:
            raise BadInput(f"--exclude-dataset {name}: give the option once for each dataset")
    parameters["exclude_datasets"] = ",".join(exclude_datasets)
    parameters["bounds"] = ",".join(bounds)
    parameters["settings"] = ",".join(settings)
    from lamps_cli.tables import print_policy

    show_result(lambda: _run(parameters), print_policy, as_json=as_json)


def _run(parameters: dict[str, Any]) -> dict[str, Any]:
    from lamps_cli.flow_run import run_flow
    from lamps_cli.server import quieten_prefect, read_hub_token
    from lamps_cli.training_live import TRAINING

    quieten_prefect()
    from flows.train_policy import train_policy as flow
    from flows.train_policy import training_request
    from lamps_core.hub.access import check_push
    from lamps_core.policy_training.train import Training

    read_hub_token(parameters["hub_token_block"])
    if parameters["push_to_hub"]:
        check_push(parameters["push_to_hub"], needs_token=False)  # which a temporary server may have
    return run_flow(
        flow,
        parameters,
        check=lambda: tell_notices(Training(training_request(**parameters)).notices),
        view=TRAINING,
    )

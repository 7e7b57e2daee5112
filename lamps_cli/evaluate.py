"""The `lamps evaluate` command: a thin way into its flow."""

from __future__ import annotations

from typing import Any

import click

from lamps_cli.options import hub_token_option, json_option, objective_options, print_result, tell_notices
from lamps_core.errors import BadInput
from lamps_core.prices import GPU_HOUR_PRICE


@click.command(
    epilog="Example: lamps evaluate --curves runs/curves --methods untrained --policy runs/policy.zip "
    "--out runs/evaluation"
)
@click.option(
    "--curves",
    required=True,
    help="Folder of learning curves of several datasets; org/name of the hub; or shipped, the measured ones that come "
    "with LAMPS.",
)
@click.option("--out", required=True, help="Folder of the results; run again with the same one, it resumes.")
@click.option(
    "--policy",
    "policies",
    multiple=True,
    help="Folder, zip or hub id of a trained policy, judged on the datasets that it was not trained on; or a "
    "method, such as universal.",
)
@click.option(
    "--methods",
    help="Names with commas, or untrained or all.  [default: every untrained one, forecast and universal]",
)
@click.option(
    "--folds",
    type=click.Choice(["loo"]),
    default="loo",
    show_default=True,
    help="loo: each dataset is held out in its turn.",
)
@click.option("--repeats", default=5, show_default=True, help="Of each fold, each with a seed of its own.")
@objective_options
@click.option(
    "--seed", default=0, show_default=True, help="Of the first repeat; each further one has the next."
)
@click.option(
    "--train-seconds",
    type=float,
    help="Longest training of distral or ppo, in each fold and repeat.  [default: no limit]",
)
@click.option(
    "--train-steps",
    type=int,
    help="Environment steps of a training of distral or ppo.  [default: the algorithm's own]",
)
@click.option(
    "--gpu-hour-price",
    default=GPU_HOUR_PRICE,
    show_default=True,
    help="Dollars, for costs and the objective dollars.",
)
@click.option("--parallel", type=int, help="Processes at once.  [default: one a core]")
@hub_token_option
@json_option
def evaluate(as_json: bool, policies: tuple[str, ...], bounds: tuple[str, ...], **parameters: Any) -> None:
    """Replay recorded curves: which method finds the front soonest on a dataset it has not seen?"""
    methods = parameters.pop("methods")
    if methods is not None and not methods.strip(" ,"):
        raise BadInput("--methods is empty: name some, untrained or all, or leave the option out")
    for path in policies:
        if "," in path or not path.strip():
            raise BadInput(
                f"--policy {path!r}: give each policy an option of its own, its path without commas"
            )
    listed = {"methods": methods or "", "policies": ",".join(policies), "bounds": ",".join(bounds)}
    from lamps_cli.tables import print_evaluation

    print_result(_run(parameters | listed), print_evaluation, as_json=as_json)


def _run(parameters: dict[str, Any]) -> dict[str, Any]:
    from lamps_cli.evaluate_live import EVALUATION
    from lamps_cli.flow_run import run_flow
    from lamps_cli.server import quieten_prefect, read_hub_token

    quieten_prefect()
    from flows.evaluate import evaluate as flow
    from flows.evaluate import evaluation_request
    from lamps_core.evaluation.run import EvaluationRun

    read_hub_token(parameters["hub_token_block"])
    request = evaluation_request(**parameters)
    return run_flow(
        flow, parameters, check=lambda: tell_notices(EvaluationRun(request).notices), view=EVALUATION
    )

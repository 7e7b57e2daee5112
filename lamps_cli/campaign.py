"""The `lamps campaign` and `lamps fingerprint` commands: thin ways into their flows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from lamps_cli.options import (
    fine_tuning_options,
    hub_token_option,
    json_option,
    print_result,
    push_option,
    show_result,
    track_option,
)
from lamps_core.prices import GPU_HOUR_PRICE

if TYPE_CHECKING:
    from collections.abc import Callable

    from lamps_core.campaign.request import CampaignRequest

ENGINE_OPTIONS = (
    click.option(
        "--engine",
        type=click.Choice(["local", "dask"]),
        default="local",
        show_default=True,
        help="This machine's devices, or the workers of a Dask cluster.",
    ),
    click.option("--scheduler", help="Address of the Dask scheduler: tcp://HOST:8786."),
    click.option(
        "--parallel",
        type=int,
        help="Steps at once on this machine.  [default: one a GPU, or several on a CPU]",
    ),
    click.option("--work", help="Folder or URL for checkpoints.  [default: beside the curves]"),
    click.option(
        "--retry-failed", is_flag=True, help="Try pairs again that failed for a lasting reason, too."
    ),
    hub_token_option,
    click.option("--plan", is_flag=True, help="Print what would run and what it costs; run nothing."),
)


def engine_options(command: Any) -> Any:
    """Where the steps run, and what is run again."""
    for option in reversed(ENGINE_OPTIONS):
        command = option(command)
    return command


@click.command(
    epilog="Example: lamps campaign --datasets reviews.csv,news.csv --input-col text --target-col label "
    "--models zoo --curves runs/curves"
)
@click.option(
    "--datasets",
    required=True,
    help="Names of lamps datasets, hub ids, files or folders, with commas; or a YAML file like data/datasets.yaml.",
)
@click.option("--models", required=True, help="Comma list, a file with one a line, or a preset.")
@click.option(
    "--curves", required=True, help="Folder or URL of the curves; run again, only what is missing runs."
)
@click.option("--input-col", help="Column of the text, for datasets that are not in the registry.")
@click.option("--target-col", help="Column of the label, for datasets that are not in the registry.")
@click.option("--max-train-rows", type=int, help="Stratified cap on the training rows.")
@click.option("--gpu-hour-price", default=GPU_HOUR_PRICE, show_default=True, help="Dollars, for the cost.")
@engine_options
@push_option
@track_option
@fine_tuning_options
@json_option
def campaign(as_json: bool, plan: bool, **parameters: Any) -> None:
    """Record the learning curves of every model on every dataset."""
    from lamps_cli.server import quieten_prefect, read_hub_token

    quieten_prefect()
    from flows.campaign import campaign as flow
    from flows.campaign import campaign_request
    from lamps_core.hub.access import check_push

    read_hub_token(parameters["hub_token_block"])
    if parameters["push_to_hub"] and not plan:
        check_push(parameters["push_to_hub"], needs_token=False)  # which a temporary server may have
    _run(flow, campaign_request(**parameters), parameters, plan=plan, as_json=as_json)


@click.command(epilog="Example: lamps fingerprint --model zoo/bert-small --curves runs/curves")
@click.option("--model", required=True, help="Hub id, local folder or zoo name.")
@click.option("--curves", required=True, help="Folder or URL of the curves that it is added to.")
@engine_options
@click.option("--step-timeout", type=float, help="Seconds before a step is taken for hung.")
@click.option("--policy", help="A policy trained on these curves, which is to know the model as well.")
@click.option("--out", help="Where the extended policy is written.  [default: in the place of the old one]")
@click.option("--steps", type=int, help="By which a policy of distral or ppo goes on.  [default: 100000]")
@click.option("--full", is_flag=True, help="Retrain a policy of distral or ppo in full as well, to compare.")
@json_option
def fingerprint(as_json: bool, plan: bool, **parameters: Any) -> None:
    """Add one model to every dataset of a meta-dataset, and to a policy trained on it."""
    from lamps_cli.server import quieten_prefect, read_hub_token

    quieten_prefect()
    from flows.fingerprint import extension_of, fingerprint_request
    from flows.fingerprint import fingerprint as flow

    read_hub_token(parameters["hub_token_block"])
    extension_of(**parameters)  # a policy that does not fit is refused before anything runs
    _run(flow, fingerprint_request(**parameters), parameters, plan=plan, as_json=as_json)


def _run(
    flow: Callable[..., dict[str, Any]],
    request: CampaignRequest,
    parameters: dict[str, Any],
    *,
    plan: bool,
    as_json: bool,
) -> None:
    """Print the plan, or run the flow and print what it came to."""
    from flows.campaign import plan_of
    from lamps_cli.tables import print_campaign, print_plan

    if plan:
        print_result(plan_of(request, parameters), print_plan, as_json=as_json)
    else:
        show_result(lambda: _run_flow(flow, request, parameters), print_campaign, as_json=as_json)


def check(request: CampaignRequest, parameters: dict[str, Any]) -> None:
    """Make every complaint about the input.

    Where steps are left to run here, what their workers need is imported from then on, beside the wait for a server.
    """
    from flows.campaign import machine_asked_for
    from lamps_core.campaign.survey import CampaignSurvey
    from lamps_core.workers.group import start_fork_server

    survey = CampaignSurvey(request)
    survey.refuse_in_use()
    plan = survey.plan(machine_asked_for(survey, parameters))
    plan.check_disk(survey.work.local())
    if plan.pairs and parameters["engine"] == "local":
        start_fork_server()


def _run_flow(
    flow: Callable[..., dict[str, Any]], request: CampaignRequest, parameters: dict[str, Any]
) -> dict[str, Any]:
    from flows.campaign import ENGINE_CHOICE
    from flows.engines import check_engine
    from lamps_cli.campaign_live import CAMPAIGN
    from lamps_cli.flow_run import run_flow

    check_engine(**{name: parameters[name] for name in ENGINE_CHOICE})  # before a server is asked for, too
    return run_flow(
        flow,
        parameters,
        check=lambda: check(request, parameters),
        view=CAMPAIGN,
        cluster=parameters["scheduler"],
    )

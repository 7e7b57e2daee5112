"""The campaign flow: every (candidate, dataset) pair's landmark steps until its curve is complete.

The flow's parameters are the form a person fills in in the Prefect UI, so they are flat and described.
"""

from __future__ import annotations

import contextlib
import math
from concurrent.futures import CancelledError
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any, Literal

from prefect import flow

from flows.artifacts import ProgressArtifact, notes_and_failures, show_table
from flows.dead_runs import crash_dead_runs
from flows.engines import Engine, engine_of
from flows.form import FINE_TUNING, Positive, Price, defaults_of, filled_in
from flows.task_states import forget_ended_tasks
from lamps_core.campaign.plan_words import NAME_COLUMNS, PLAN_COLUMNS, plan_rows, plan_words
from lamps_core.campaign.request import CampaignRequest
from lamps_core.campaign.run import CampaignRun
from lamps_core.campaign.survey import CampaignSurvey
from lamps_core.errors import HostFailed, Interrupted, LampsError, StorageFailed, reason_of
from lamps_core.hub.access import check_push
from lamps_core.prices import GPU_HOUR_PRICE, check_price
from lamps_core.report_words import counted, markdown_table
from lamps_core.settings import FineTuningSettings
from lamps_core.text.requests import dataset_requests
from lamps_core.tracking import parse_trackers
from tasks.hub import with_push
from tasks.retries import retries_after
from tasks.secrets import choose_hub_token

if TYPE_CHECKING:
    from collections.abc import Mapping

    from prefect.futures import PrefectFuture

    from lamps_core.campaign.schedule import Pair
    from lamps_core.curves.schema import CurveKey
    from lamps_core.fine_tuning.steps import StepRequest
    from lamps_core.host.machine import Machine

ENGINE_CHOICE = ("engine", "scheduler", "parallel", "step_timeout")
PLAN_SECONDS = 15.0  # that a plan waits for a worker of a Dask cluster
WAKE_SECONDS = 5.0  # how long machines that came or went may go unnoticed while no step ends


@flow(name="campaign", flow_run_name="campaign {curves}", persist_result=False)
def campaign(
    datasets: str,
    models: str,
    curves: str,
    input_col: str | None = None,
    target_col: str | None = None,
    max_train_rows: int | None = None,
    engine: Literal["local", "dask"] = "local",
    scheduler: str | None = None,
    parallel: int | None = None,
    work: str | None = None,
    retry_failed: bool = False,
    gpu_hour_price: Price = GPU_HOUR_PRICE,
    seed: int = 0,
    learning_rate: float | None = None,
    batch_size: Positive = 32,
    landmarks: Positive = 8,
    patience: Positive = 3,
    max_epochs: Positive = 10,
    max_length: Positive = 512,
    precision: Literal["auto", "fp32", "bf16"] = "auto",
    step_timeout: float | None = None,
    hub_token_block: str | None = None,
    push_to_hub: str | None = None,
    track: str | None = None,
    plan: bool = False,
) -> dict[str, Any]:
    """Fine-tune every model on every dataset, landmark step by landmark step, and record the learning curves.

    Args:
        datasets: Names of the registry, hub ids, files or folders, with commas; or a YAML file like data/datasets.yaml.
        models: Hub ids, folders or zoo names, with commas; a file with one a line; or a preset such as zoo-small.
        curves: Folder or URL of the curves; what is there is not run again.
        input_col: Column of the text, for datasets that are not in the registry.
        target_col: Column of the label, for datasets that are not in the registry.
        max_train_rows: Stratified cap on the training rows; None for all.
        engine: This machine's devices, or a Dask cluster's workers.
        scheduler: Address of the Dask scheduler, such as tcp://head:8786.
        parallel: Steps at once on this machine; None for one a GPU, or several on a CPU.
        work: Folder or URL for checkpoints; None for one beside the curves.
        retry_failed: Try pairs again that failed for a lasting reason, too.
        gpu_hour_price: Dollars for an hour of a GPU, for costs.
        seed: Fixes the head, the batches and the reserved rows.
        learning_rate: AdamW's; None for 7e-6, or the zoo's own.
        batch_size: Rows in one update.
        landmarks: K, the number of nested subsets, each twice as large as the one before.
        patience: Full epochs without a better loss before stopping.
        max_epochs: Full epochs at most.
        max_length: Tokens kept of a text.
        precision: Number format of the forward pass.
        step_timeout: Seconds after which a step is taken for hung; None for never.
        hub_token_block: Name of the Prefect Secret block with the hub token, for gated models; None for hf-token.
        push_to_hub: Where on the hub (org/name) the curves are pushed; private where new; None for nowhere.
        track: Experiment trackers to tell the curves, with commas: tensorboard, mlflow, wandb.
        plan: Only say what would run and what it costs, in a table; run nothing.

    Returns:
        How many curves are complete, what failed and why, and what was spent; the plan where that was asked for.

    Raises:
        BadInput: an argument cannot be used; nothing was run.
        LampsError: nothing could be fine-tuned, or a disk is full.
        PushFailed: all is done but the push.
    """
    parameters = filled_in(campaign, locals())
    parameters["hub_token_block"] = choose_hub_token(parameters["hub_token_block"])
    if plan:
        return planned(campaign_request(**parameters), parameters)
    if push_to_hub:
        check_push(push_to_hub)
    result = run_campaign(campaign_request(**parameters), parameters)
    return with_push(result, curves, push_to_hub)


def campaign_request(*, datasets: str, models: str, curves: str, **rest: Any) -> CampaignRequest:
    """The flow's flat parameters as what `lamps_core` takes.

    Raises:
        BadInput: one that cannot be parsed.
    """
    asked = defaults_of(campaign) | rest
    check_price(asked["gpu_hour_price"])
    found = dataset_requests(
        datasets,
        input_col=asked["input_col"],
        target_col=asked["target_col"],
        max_train_rows=asked["max_train_rows"],
        seed=asked["seed"],
    )
    return CampaignRequest(
        curves=curves,
        datasets=tuple(found),
        models=models,
        settings=FineTuningSettings(**{name: asked[name] for name in FINE_TUNING}),
        work=(asked["work"] or "").strip() or None,
        retry_failed=asked["retry_failed"],
        gpu_hour_price=asked["gpu_hour_price"],
        track=parse_trackers(asked["track"]),
    )


def planned(request: CampaignRequest, parameters: Mapping[str, Any]) -> dict[str, Any]:
    """The plan of a campaign, shown beside the flow run; runs nothing.

    Args:
        request: the campaign.
        parameters: of the flow.

    Returns:
        As `CampaignSurvey.plan_in_full`.

    Raises:
        BadInput: something that was asked for cannot be used.
    """
    told = plan_of(request, parameters)
    show_table(plan_table(told), key="lamps-plan", description="What the campaign would run, and its cost")
    return told


def plan_of(request: CampaignRequest, parameters: Mapping[str, Any]) -> dict[str, Any]:
    """As `planned`, without a server."""
    survey = CampaignSurvey(request, plan_only=True)
    # A run may stand before a worker of a Dask cluster in a queue; a plan is wanted now.
    return survey.plan_in_full(machine_asked_for(survey, parameters, wait_seconds=PLAN_SECONDS))


def machine_asked_for(
    survey: CampaignSurvey, parameters: Mapping[str, Any], *, wait_seconds: float = math.inf
) -> Machine:
    """What the engine that was asked for runs on.

    Args:
        survey: of the campaign.
        parameters: of the flow.
        wait_seconds: for a worker of a Dask cluster.
    """
    chosen = {name: parameters[name] for name in ENGINE_CHOICE}
    with contextlib.closing(engine_of(run_id=survey.id, **chosen)) as engine:
        return engine.machine(wait_seconds=wait_seconds)


def plan_table(plan: dict[str, Any]) -> str:
    """A plan as Markdown."""
    table = markdown_table(PLAN_COLUMNS, plan_rows(plan), numbers=len(PLAN_COLUMNS) - NAME_COLUMNS)
    return "\n".join([*(f"- {line}" for line in plan_words(plan)), "", table])


def run_campaign(request: CampaignRequest, parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Run what is missing of a campaign, inside a flow.

    Args:
        request: the campaign.
        parameters: of the flow; those that `engine_of` takes choose where the steps run.

    Returns:
        As `CampaignRun.result`, with the report's path.

    Raises:
        BadInput: the engine or the folder cannot be used; nothing was run.
        LampsError: every pair failed, or the engine or a disk is gone.
    """
    run = CampaignRun(request)
    chosen = {name: parameters[name] for name in (*ENGINE_CHOICE, "hub_token_block")}
    engine = engine_of(run_id=run.survey.id, **chosen)
    # Closed also where it is not entered: the folder may be another's, or the disk too small.
    with contextlib.closing(engine), run.opened(engine.machine()) as plan, engine:
        crash_dead_runs(request.curves)  # the folder is ours: whoever had it is gone
        run.note(f"{run.survey.left_in_words(plan)}, {counted(engine.slots(), 'slot')}")
        progress = ProgressArtifact(f"curves of {request.curves}", percent=run.percent_done)
        run_steps(run, engine, progress)
        progress.finish()
    result = run.finish()
    show_table(outcome_table(result), key="lamps-campaign", description="What the campaign came to")
    if result["failed"] and len(result["failed"]) == result["pairs"]:
        raise LampsError(f"every pair failed; the first: {result['failed'][0]['error']}")
    return result


def run_steps(run: CampaignRun, engine: Engine, progress: ProgressArtifact) -> None:
    """Keep every slot busy with what the campaign asks for, until it asks for nothing more."""
    finished: SimpleQueue[tuple[Pair, StepRequest, PrefectFuture[dict[str, Any]]]] = SimpleQueue()
    flying: dict[CurveKey, int] = {}
    while not run.schedule.done:
        while (started := run.ask(engine.slots())) is not None:
            pair, request, destination = started
            flying[pair.key] = request.gpus
            future = engine.submit(request, destination)
            future.add_done_callback(
                lambda done, pair=pair, request=request: finished.put((pair, request, done))
            )
        try:
            pair, request, future = finished.get(timeout=WAKE_SECONDS)
        except Empty:  # machines may have come, or gone
            run.note(_waits_for(max(flying.values(), default=1), engine.most_of_a_worker()))
            continue
        del flying[pair.key]
        _tell(run, engine, pair, request, future)
        forget_ended_tasks()
        progress.update(run.percent_done)


def _waits_for(asked: int, there: int) -> str | None:
    """What a step in flight waits for that nobody who is left can give it, if there is such a step."""
    if asked <= there:
        return None
    left = f"the largest that is left has {there}" if there else "none is left"
    return f"waiting for a worker with {asked} GPU slot{'s' * (asked > 1)}: {left}"


def _tell(
    run: CampaignRun,
    engine: Engine,
    pair: Pair,
    request: StepRequest,
    future: PrefectFuture[dict[str, Any]],
) -> None:
    """Record what came of a task: a row, or the failure of a pair.

    Raises:
        LampsError: no pair can go on: a disk is full, the engine or a host is gone, or the run is being shut down.
    """
    try:
        record = future.result()
    except (HostFailed, Interrupted, StorageFailed):
        raise
    except CancelledError as error:  # nobody here cancels a step: its engine lost it, and all others with it
        raise engine.gone() from error
    except Exception as error:
        retries = retries_after(error)
        attempts = retries + 1 if retries else None
        seconds = engine.seconds_of_failed(request)
        run.tell_failed(pair, reason_of(error), attempts=attempts, seconds=seconds)
        return
    engine.note_worker(request, record)
    run.tell(pair, record)


def outcome_table(result: dict[str, Any]) -> str:
    """What a campaign came to, as Markdown."""
    columns = {"dataset": "dataset", "model": "model", "step": "step", "why": "error"}
    lines = [
        f"{result['complete']} of {result['pairs']} curves complete, {len(result['failed'])} failed; "
        f"{counted(result['steps'], 'step')} run, {result['spent_seconds']:.0f} s spent.",
        *notes_and_failures(result["notices"], result["failed"], columns),
    ]
    return "\n".join(lines)

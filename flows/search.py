"""The search flow: Algorithm 1, one fine-tuning task per action.

The flow's parameters are the form a person fills in in the Prefect UI, so they are flat and described.
"""

from __future__ import annotations

import shlex
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any, Literal

from prefect import flow
from prefect.task_runners import ThreadPoolTaskRunner

from flows.artifacts import ProgressArtifact, notes_and_failures, show_table
from flows.dead_runs import crash_dead_runs
from flows.form import FINE_TUNING, Positive, Price, comma_separated, defaults_of, filled_in
from lamps_core.errors import (
    BudgetSpent,
    HostFailed,
    Interrupted,
    LampsError,
    StorageFailed,
    reason_of,
)
from lamps_core.hub.access import check_push
from lamps_core.objectives import DEFAULT_OBJECTIVES, parse_objectives
from lamps_core.policies.loading import DEFAULT_POLICY
from lamps_core.policies.stopping import STOP_BELOW
from lamps_core.prices import GPU_HOUR_PRICE
from lamps_core.quantities import number
from lamps_core.report_words import counted, markdown_table
from lamps_core.search.algorithm import Action, Outcome
from lamps_core.search.budget import parse_budget
from lamps_core.search.request import SearchRequest
from lamps_core.search.run import SearchRun
from lamps_core.search.standing import why_no_front
from lamps_core.settings import FineTuningSettings
from lamps_core.storage import given_path
from lamps_core.text.dataset import DatasetRequest
from lamps_core.tracking import parse_trackers
from tasks.hub import with_push
from tasks.landmark_step import export_model, fine_tune_step
from tasks.retries import retries_after
from tasks.secrets import choose_hub_token

if TYPE_CHECKING:
    from prefect.futures import PrefectFuture

    from lamps_core.progress import SearchProgress

MOST_PARALLEL = 64


@flow(
    name="search",
    flow_run_name="search {dataset} by {policy}",
    # More threads than slots do no harm: the search starts no more steps than there are slots.
    task_runner=ThreadPoolTaskRunner(max_workers=MOST_PARALLEL),
    persist_result=False,
)
def search(
    dataset: str,
    input_col: str,
    target_col: str,
    out: str,
    models: str = "zoo",
    test_dataset: str | None = None,
    policy: str = DEFAULT_POLICY,
    budget: str | None = None,
    stop_below: str = STOP_BELOW,
    gpu_hour_price: Price = GPU_HOUR_PRICE,
    objectives: str = DEFAULT_OBJECTIVES,
    bounds: str = "",
    selection_split: str | None = None,
    max_train_rows: int | None = None,
    template: str | None = None,
    parallel: int | None = None,
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
    retry_failed: bool = False,
    command: str | None = None,
) -> dict[str, Any]:
    """Find the fine-tuned models that nobody beats on every objective (Algorithm 1 of the paper).

    Args:
        dataset: Hub id; or a CSV, TSV, JSON Lines or Parquet file; or a folder with train and test files.
        input_col: Column of the text; several with commas.
        target_col: Column of the label.
        out: Folder of the search, an absolute path; one that holds this search is resumed.
        models: Hub ids, folders or zoo names, with commas; a file with one a line; or a preset such as zoo-small.
        test_dataset: Another dataset to evaluate on; None for the dataset's own test split, or 20 % of its rows.
        policy: What decides next: universal, cheapest, zigzag, blind, mo_asha, ehvi, ats; a trained one's path or id.
        budget: When to stop: 90s, 2h, 40steps, $50, auto or several, such as auto,2h; None for no limit.
        stop_below: Budget auto stops below so much more expected: 1% in as long again, or 1%/h in an hour of steps.
        gpu_hour_price: Dollars for an hour of a GPU, for a budget in dollars and the objective dollars.
        objectives: What to minimise, six at most, with commas: columns of the curves, or dollars (training seconds x
            GPUs x price).
        bounds: Upper bounds of objectives such as train_seconds=3600, with commas.
        selection_split: validation, or a share such as 0.1, to leave the test split alone until the end.
        max_train_rows: Stratified cap on the training rows; None for all.
        template: How several columns make one text, such as {title}: {body}.
        parallel: Steps at once; None for one a GPU, or one on a CPU.
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
        push_to_hub: Where on the hub (org/name) the front's models are pushed; private where new; None for nowhere.
        track: Experiment trackers to tell the curves, with commas: tensorboard, mlflow, wandb.
        retry_failed: Try candidates again that failed for a lasting reason, too.
        command: How this was started, for the report; leave it out.

    Returns:
        What `result.json` in `out` holds.

    Raises:
        BadInput: an argument cannot be used; nothing was run.
        LampsError: every candidate failed; `result.json` is written all the same.
        PushFailed: all is done but the push.
    """
    parameters = filled_in(search, locals())
    choose_hub_token(hub_token_block or None)
    if push_to_hub:
        check_push(push_to_hub, of_a_front=True)
    request = search_request(**parameters | {"command": command or command_of(parameters)})
    with SearchRun(request) as run:
        crash_dead_runs(out)  # the folder is ours: whoever had it is gone
        progress = ProgressArtifact(f"budget of {request.data.dataset}")
        _run_steps(run, progress)
        _export_front(run)
        result = run.finish()
        progress.finish(description=_expected(run.progress()))
        show_table(outcome_table(result), key="lamps-front", description="What the search came to")
    if len(result["failed"]) == len(result["candidates"]):
        raise LampsError(f"every candidate failed; the first: {result['failed'][0]['error']}")
    if not result["front"]:  # `pushed` says that nothing was
        return result | ({"pushed": []} if push_to_hub else {})
    return with_push(result, out, push_to_hub)


def search_request(*, dataset: str, input_col: str, target_col: str, out: str, **rest: Any) -> SearchRequest:
    """The flow's flat parameters as what `lamps_core` takes.

    Raises:
        BadInput: one that cannot be parsed.
    """
    asked = defaults_of(search) | rest
    price = asked["gpu_hour_price"]
    return SearchRequest(
        data=DatasetRequest(
            dataset=dataset,
            input_columns=(input_col,),
            target_column=target_col,
            seed=asked["seed"],
            max_train_rows=asked["max_train_rows"],
            test_dataset=asked["test_dataset"],
            template=asked["template"],
            selection_split=asked["selection_split"],
        ),
        models=asked["models"],
        objectives=parse_objectives(
            asked["objectives"], bounds=comma_separated(asked["bounds"]), gpu_hour_price=price
        ),
        budget=parse_budget(asked["budget"], gpu_hour_price=price, stop_below=asked["stop_below"]),
        out=given_path(out, "--out", "runs/first"),
        gpu_hour_price=price,
        policy=asked["policy"].strip(),
        settings=FineTuningSettings(**{name: asked[name] for name in FINE_TUNING}),
        parallel=asked["parallel"],
        step_timeout_seconds=asked["step_timeout"],
        command=asked["command"],
        track=parse_trackers(asked["track"]),
        retry_failed=asked["retry_failed"],
    )


def command_of(parameters: dict[str, Any]) -> str:
    """The `lamps search` that asks for what a form did, for the report: everything that is not as by default.

    Args:
        parameters: of the flow.
    """
    defaults = defaults_of(search)
    words = ["lamps", "search"]
    for name, value in parameters.items():
        if name == "command" or value in (None, defaults.get(name)):
            continue
        if value is True:
            words.append(f"--{name.replace('_', '-')}")
            continue
        several = name == "bounds"  # an option once for each
        for part in str(value).split(",") if several else [str(value)]:
            words += ["--bound" if several else f"--{name.replace('_', '-')}", part]
    return shlex.join(words)


def _run_steps(run: SearchRun, progress: ProgressArtifact) -> None:
    """Keep every slot busy with what the search asks for, until it asks for nothing more."""
    finished: SimpleQueue[tuple[Action, PrefectFuture[dict[str, Any]]]] = SimpleQueue()
    while True:
        while (started := run.ask()) is not None:
            action, request = started
            future = fine_tune_step.submit(request)
            future.add_done_callback(lambda done, action=action: finished.put((action, done)))
        if run.search.running == 0:
            break
        run.tell(_outcome(run, *finished.get()))
        now = run.progress()
        progress.update(100 * now.budget_share, description=_expected(now))


def _expected(now: SearchProgress) -> str:
    """Whose budget it is and, where it is known, what is still to be won."""
    return f"budget of {now.dataset}" + (f"; expected: {now.expected}" if now.expected else "")


def _outcome(run: SearchRun, action: Action, future: PrefectFuture[dict[str, Any]]) -> Outcome:
    """What came of a task: a record, the end of the budget, or the failure of a candidate.

    Raises:
        HostFailed: processes that cannot be killed hold the devices: no candidate can go on.
        StorageFailed: a disk cannot be written: no candidate can go on.
        Interrupted: the run is being shut down.
    """
    name, step, seconds = action.candidate, action.step, run.seconds_of(action)
    try:
        record = future.result()
    except (HostFailed, Interrupted, StorageFailed):
        raise
    except BudgetSpent:
        return Outcome(kind="cut", candidate=name, step=step, seconds=seconds)
    except Exception as error:
        told = reason_of(error)
        passing = retries_after(error) > 0
        return Outcome(kind="failed", candidate=name, step=step, seconds=seconds, error=told, passing=passing)
    return Outcome(kind="step", candidate=name, step=step, seconds=seconds, record=record)


def _export_front(run: SearchRun) -> None:
    """Save every front model that is not saved yet.

    Raises:
        LampsError: One cannot be saved; the others are.
    """
    requests = run.exports()
    if requests:
        run.drop_result()
    futures = [export_model.submit(request) for request in requests]
    failures: list[Exception] = []
    for request, future in zip(requests, futures, strict=True):
        try:
            measured = future.result()
        except Exception as error:
            failures.append(error)
            continue
        run.exported(request.last.name, measured)
    if failures:
        raise failures[0]


def outcome_table(result: dict[str, Any]) -> str:
    """What a search came to, as Markdown: the front, and what failed."""
    complete = sum(row["complete"] for row in result["candidates"])
    columns = {"failed": "model", "step": "step", "why": "error"}
    lines = [
        f"{complete} of {len(result['candidates'])} candidates complete, {len(result['failed'])} failed; "
        f"{counted(result['steps'], 'step')}, {result['spent_seconds']:.0f} s spent.",
        "",
        _front_table(result) if result["front"] else why_no_front(result),
        *notes_and_failures(result["notices"], result["failed"], columns),
    ]
    return "\n".join(lines)


def _front_table(result: dict[str, Any]) -> str:
    numbers = dict.fromkeys([*result["objectives"], "test_loss", "accuracy"])
    columns = ["model", "path", *numbers]
    rows = [
        [row["model"], row["path"], *(number(column, row[column]) for column in numbers)]
        for row in result["front"]
    ]
    return markdown_table(columns, rows, numbers=len(numbers))

"""The search flow: Algorithm 1, one fine-tuning task per action.

The flow's parameters are the form a person fills in in the Prefect UI, so they are flat and described.
"""

from __future__ import annotations

import time
from pathlib import Path
from queue import SimpleQueue
from typing import TYPE_CHECKING, Annotated, Any, Literal

from prefect import flow
from prefect.artifacts import (
    create_markdown_artifact,
    create_progress_artifact,
    update_progress_artifact,
)
from prefect.task_runners import ThreadPoolTaskRunner
from pydantic import Field

from lamps_core.budget import GPU_HOUR_PRICE, parse_budget
from lamps_core.errors import BadInput, BudgetSpent, Interrupted, LampsError, StorageFailed
from lamps_core.objectives import DEFAULT_OBJECTIVES, parse_objectives
from lamps_core.search import Action, Outcome
from lamps_core.search_run import SearchRequest, SearchRun
from lamps_core.settings import FineTuningSettings
from lamps_core.text_data import DatasetRequest
from tasks.landmark_step import export_model, fine_tune_step

if TYPE_CHECKING:
    from prefect.futures import PrefectFuture

ARTIFACT_SECONDS = 5.0  # the least between two updates of the progress artifact: each is a call to the server
MOST_PARALLEL = 64


@flow(
    name="search",
    flow_run_name="search {dataset} by {policy}",
    # More threads than slots do no harm: the search starts no more steps than there are slots.
    task_runner=ThreadPoolTaskRunner(max_workers=MOST_PARALLEL),
    persist_result=False,
)
def search(
    dataset: Annotated[
        str, Field(description="Hub id, or a CSV, TSV, JSON Lines or Parquet file, or a folder")
    ],
    input_col: Annotated[str, Field(description="Column of the text; several with commas")],
    target_col: Annotated[str, Field(description="Column of the label")],
    out: Annotated[str, Field(description="Folder of the search; one that holds this search is resumed")],
    models: Annotated[str, Field(description="Comma list, a file with one a line, or a preset")] = "zoo",
    test_dataset: Annotated[str | None, Field(description="Another dataset to evaluate on")] = None,
    policy: Annotated[str, Field(description="cheapest, zigzag or blind")] = "cheapest",
    budget: Annotated[str | None, Field(description="90s, 2h, 40steps or $50; empty for no limit")] = None,
    gpu_hour_price: Annotated[
        float, Field(description="Dollars, for a budget in dollars", gt=0)
    ] = GPU_HOUR_PRICE,
    objectives: Annotated[str, Field(description="What to minimise")] = DEFAULT_OBJECTIVES,
    bounds: Annotated[str, Field(description="Upper bounds such as train_seconds=3600, with commas")] = "",
    selection_split: Annotated[
        str | None, Field(description="validation, or a share such as 0.1, to leave the test split alone")
    ] = None,
    max_train_rows: Annotated[int | None, Field(description="Stratified cap on the training rows")] = None,
    template: Annotated[str | None, Field(description="How several columns make one text")] = None,
    parallel: Annotated[int | None, Field(description="Steps at once; empty for one a GPU")] = None,
    seed: Annotated[int, Field(description="Of the head, the batches, the reserved rows")] = 0,
    learning_rate: Annotated[
        float | None, Field(description="AdamW; empty for 7e-6 or the zoo's own")
    ] = None,
    batch_size: Annotated[int, Field(description="Rows in one update")] = 32,
    landmarks: Annotated[int, Field(description="K, nested subsets")] = 8,
    patience: Annotated[int, Field(description="Full epochs without a better loss before stopping")] = 3,
    max_epochs: Annotated[int, Field(description="Full epochs at most")] = 10,
    max_length: Annotated[int, Field(description="Tokens kept of a text")] = 512,
    precision: Annotated[Literal["auto", "fp32", "bf16"], Field(description="Of the forward pass")] = "auto",
    step_timeout: Annotated[
        float | None, Field(description="Seconds before a step is taken for hung")
    ] = None,
    command: Annotated[str | None, Field(description="How this was started, for the report")] = None,
) -> dict[str, Any]:
    """Find the fine-tuned models that nobody beats on every objective (Algorithm 1 of the paper).

    Returns:
        What `result.json` in `out` holds.

    Raises:
        BadInput: an argument cannot be used; nothing was run.
        LampsError: no candidate could be evaluated.
    """
    request = search_request(**locals())
    with SearchRun(request) as run:
        progress_artifact = create_progress_artifact(0.0, description=f"budget of {request.data.dataset}")
        _run_steps(run, progress_artifact)
        _export_front(run)
        result = run.finish()
        update_progress_artifact(progress_artifact, progress=100.0)
        create_markdown_artifact(front_table(result), key="lamps-front", description="Front of the search")
    if len(result["failed"]) == len(result["candidates"]):
        raise LampsError(f"every candidate failed; the first: {result['failed'][0]['error']}")
    return result


def search_request(
    *,
    dataset: str,
    input_col: str,
    target_col: str,
    out: str,
    gpu_hour_price: float = GPU_HOUR_PRICE,
    **rest: Any,
) -> SearchRequest:
    """The flow's flat parameters as what `lamps_core` takes.

    Raises:
        BadInput: one that cannot be parsed.
    """
    if not out.strip():  # as a path it would be the current folder
        raise BadInput("--out names no folder: give one, such as runs/first")
    seed = rest.get("seed", 0)
    names = ("learning_rate", "batch_size", "landmarks", "patience", "max_epochs", "max_length", "precision")
    bounds = [bound for bound in (rest.get("bounds") or "").split(",") if bound.strip()]
    return SearchRequest(
        data=DatasetRequest(
            dataset=dataset,
            input_columns=(input_col,),
            target_column=target_col,
            seed=seed,
            **{
                name: rest.get(name)
                for name in ("test_dataset", "template", "selection_split", "max_train_rows")
            },
        ),
        models=rest.get("models", "zoo"),
        objectives=parse_objectives(rest.get("objectives", DEFAULT_OBJECTIVES), bounds=bounds),
        budget=parse_budget(rest.get("budget") or None, gpu_hour_price=gpu_hour_price),
        out=Path(out),
        policy=rest.get("policy", "cheapest"),
        settings=FineTuningSettings(seed=seed, **{name: rest[name] for name in names if name in rest}),
        parallel=rest.get("parallel"),
        step_timeout_seconds=rest.get("step_timeout"),
        command=rest.get("command"),
    )


def _run_steps(run: SearchRun, progress_artifact: Any) -> None:
    """Keep every slot busy with what the search asks for, until it asks for nothing more."""
    finished: SimpleQueue[tuple[Action, PrefectFuture[dict[str, Any]]]] = SimpleQueue()
    told_at = time.monotonic()
    while True:
        while (started := run.ask()) is not None:
            action, request = started
            future = fine_tune_step.submit(request)
            future.add_done_callback(lambda done, action=action: finished.put((action, done)))
        if run.search.running == 0:
            return
        run.tell(_outcome(run, *finished.get()))
        if time.monotonic() - told_at > ARTIFACT_SECONDS:
            update_progress_artifact(progress_artifact, progress=100 * run.progress().budget_share)
            told_at = time.monotonic()


def _outcome(run: SearchRun, action: Action, future: PrefectFuture[dict[str, Any]]) -> Outcome:
    """What came of a task: a record, the end of the budget, or the failure of a candidate.

    Raises:
        StorageFailed, Interrupted: no candidate can go on.
    """
    name, step = action.candidate, action.step
    try:
        record = future.result()
    except (Interrupted, StorageFailed):
        raise
    except BudgetSpent:
        seconds = run.lost_seconds(action)
        return Outcome(kind="cut", candidate=name, step=step, seconds=seconds)
    except Exception as error:
        told = str(error) if isinstance(error, LampsError) else f"{type(error).__name__}: {error}"
        seconds = run.lost_seconds(action)
        return Outcome(kind="failed", candidate=name, step=step, seconds=seconds, error=told)
    return Outcome(kind="step", candidate=name, step=step, seconds=record["step_seconds"], record=record)


def _export_front(run: SearchRun) -> None:
    """Save every front model that is not saved yet.

    Raises:
        CandidateFailed: one cannot be saved.
    """
    requests = run.exports()
    if requests:
        run.drop_result()
    futures = [export_model.submit(request) for request in requests]
    for request, future in zip(requests, futures, strict=True):
        run.exported(request.last.name, future.result())


def front_table(result: dict[str, Any]) -> str:
    """The front as a Markdown table."""
    columns = ["model", *dict.fromkeys([*result["objectives"], "test_loss", "accuracy", "path"])]
    lines = ["| " + " | ".join(columns) + " |", "|" + " --- |" * len(columns)]
    for row in result["front"]:
        cells = (row[column] for column in columns)
        shown = (f"{cell:.4g}" if isinstance(cell, float) else str(cell) for cell in cells)
        lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in shown) + " |")
    return "\n".join(lines)

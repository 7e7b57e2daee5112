"""The evaluation flow: recorded curves replayed by every method, one dataset held out at a time (Section 6).

The flow's parameters are the form a person fills in in the Prefect UI, so they are flat and described.
"""

from __future__ import annotations

from queue import SimpleQueue
from typing import TYPE_CHECKING, Any, Literal

from prefect import flow
from prefect.task_runners import ThreadPoolTaskRunner

from flows.artifacts import ProgressArtifact, show_table
from flows.dead_runs import crash_dead_runs
from flows.form import Positive, Price, comma_separated, defaults_of, filled_in
from flows.task_states import forget_ended_tasks
from lamps_core.errors import Interrupted, StorageFailed, reason_of
from lamps_core.evaluation.request import EvaluationRequest
from lamps_core.evaluation.run import EvaluationRun
from lamps_core.evaluation.unit import TrainingLimits
from lamps_core.evaluation.worker import UnitWorkers, register, shut_down
from lamps_core.hub.download import curves_to_read
from lamps_core.objectives import DEFAULT_OBJECTIVES, parse_objectives
from lamps_core.prices import GPU_HOUR_PRICE
from lamps_core.quantities import UNKNOWN
from lamps_core.report_words import markdown_table
from lamps_core.storage import given_path
from tasks.evaluation import evaluate_unit
from tasks.secrets import choose_hub_token

if TYPE_CHECKING:
    from prefect.futures import PrefectFuture

MOST_PARALLEL = 128


@flow(
    name="evaluate",
    flow_run_name="evaluate {curves}",
    # More threads than units in flight do no harm: the evaluation starts no more than it has processes for.
    task_runner=ThreadPoolTaskRunner(max_workers=MOST_PARALLEL),
    persist_result=False,
)
def evaluate(
    curves: str,
    out: str,
    methods: str = "",
    policies: str = "",
    folds: Literal["loo"] = "loo",
    repeats: Positive = 5,
    objectives: str = DEFAULT_OBJECTIVES,
    bounds: str = "",
    seed: int = 0,
    train_seconds: float | None = None,
    train_steps: int | None = None,
    gpu_hour_price: Price = GPU_HOUR_PRICE,
    parallel: int | None = None,
    hub_token_block: str | None = None,
) -> dict[str, Any]:
    """Replay recorded curves, one dataset held out at a time, and compare methods and trained policies.

    Args:
        curves: Folder of curves, an absolute path; org/name of the hub; or shipped, those that come with LAMPS.
        out: Folder of the results, an absolute path; one that holds this evaluation is resumed.
        methods: Names with commas, or untrained or all; empty for every untrained one,
            the default algorithm and the universal policy that ships.
        policies: Folders, zips or hub ids of trained policies, or names of methods, with commas.
        folds: Which datasets are held out: loo, each one in its turn.
        repeats: Of each fold; each has a seed of its own.
        objectives: What to minimise, six at most, with commas: columns of the curves, or dollars (training seconds x
            GPUs x price).
        bounds: Upper bounds of objectives such as train_seconds=3600, with commas.
        seed: Of the first repeat; each further one has the next.
        train_seconds: Seconds that distral or ppo are trained at most in each fold and repeat; None for no limit.
        train_steps: Environment steps of each training of distral or ppo; None for the algorithm's own number.
        gpu_hour_price: Dollars for an hour of a GPU, for costs and the objective dollars.
        parallel: Processes at once; None for one a core.
        hub_token_block: Name of the Prefect Secret block with the hub token; None for hf-token.

    Returns:
        What `evaluation.json` in `out` holds.

    Raises:
        BadInput: an argument cannot be used; nothing was run.
        LampsError: a method failed on a dataset; the results of the others are written.
    """
    parameters = filled_in(evaluate, locals())
    choose_hub_token(hub_token_block or None)
    run = EvaluationRun(evaluation_request(**parameters))
    with run.opened():
        crash_dead_runs(out)  # the folder is ours: whoever had it is gone
        progress = ProgressArtifact(f"methods on {curves}", percent=run.percent_done)
        _run_units(run, progress)
        progress.finish()
        result = run.result()
        show_table(summary_table(result), key="lamps-evaluation", description="What each method comes to")
        return run.finish(result)


def evaluation_request(*, curves: str, out: str, **rest: Any) -> EvaluationRequest:
    """The flow's flat parameters as what `lamps_core` takes.

    Raises:
        BadInput: one that cannot be parsed.
    """
    asked = defaults_of(evaluate) | rest
    return EvaluationRequest(
        curves=curves_to_read(curves),
        out=given_path(out, "--out", "runs/evaluation"),
        objectives=parse_objectives(
            asked["objectives"],
            bounds=comma_separated(asked["bounds"]),
            gpu_hour_price=asked["gpu_hour_price"],
            recorded=True,
        ),
        methods=comma_separated(asked["methods"]),
        policies=comma_separated(asked["policies"]),
        limits=TrainingLimits(seconds=asked["train_seconds"], steps=asked["train_steps"]),
        repeats=asked["repeats"],
        seed=asked["seed"],
        gpu_hour_price=asked["gpu_hour_price"],
        parallel=asked["parallel"],
    )


def _run_units(run: EvaluationRun, progress: ProgressArtifact) -> None:
    """Keep every process busy with what the evaluation asks for, until it asks for nothing more."""
    name = str(run.request.out.resolve())
    finished: SimpleQueue[tuple[str, PrefectFuture[dict[str, Any]]]] = SimpleQueue()
    register(name, UnitWorkers(run.tasks, run.parallel, tell=run.training))
    try:
        while True:
            while (started := run.ask()) is not None:
                key, unit = started
                future = evaluate_unit.submit(unit, key, name, run.training_folder(key))
                future.add_done_callback(lambda done, key=key: finished.put((key, done)))
            if not run.running:
                return
            _tell(run, *finished.get())
            forget_ended_tasks()
            progress.update(run.percent_done)
    finally:
        shut_down(name)


def _tell(run: EvaluationRun, key: str, future: PrefectFuture[dict[str, Any]]) -> None:
    """Keep what came of a task: a part, or the failure of a unit.

    Raises:
        LampsError: nothing can go on: a disk is full, or the run is being shut down.
    """
    try:
        part = future.result()
    except (Interrupted, StorageFailed):
        raise
    except Exception as error:
        run.tell_failed(key, reason_of(error))
        return
    run.tell(key, part)


def summary_table(result: dict[str, Any]) -> str:
    """What each method comes to, as Markdown."""
    lines = [*(f"- {line}" for line in result["words"]), ""] if result["words"] else []
    rows = []
    for row in result["summary"]:
        ratio = row["oracle_ratio_at_0.98"]
        cells = (
            row["method"],
            f"{row['reduction_at_0.98']:.1%}",
            UNKNOWN if ratio is None else f"{ratio:.2f}",
            f"{row['regret_auc']:.3f}",
            f"{row['hours_to_0.98']:,.2f}",
        )
        rows.append(cells)
    head = ("method", "reduction at 98 %", "times the Oracle", "regret", "mean hours")
    return "\n".join([*lines, markdown_table(head, rows, numbers=4)])

"""The train-policy flow: a policy that learns from recorded curves which candidate to go on with.

The flow's parameters are the form a person fills in in the Prefect UI, so they are flat and described.
"""

from __future__ import annotations

from typing import Any, Literal

from prefect import flow

from flows.artifacts import ProgressArtifact, show_table
from flows.dead_runs import crash_dead_runs
from flows.form import Positive, Price, comma_separated, defaults_of, filled_in
from lamps_core.errors import BadInput
from lamps_core.hub.access import check_push
from lamps_core.hub.download import curves_to_read, find
from lamps_core.objectives import DEFAULT_OBJECTIVES, parse_objectives
from lamps_core.policy_training.algorithms import DEFAULT_ALGORITHM
from lamps_core.policy_training.train import Training, TrainingRequest
from lamps_core.prices import GPU_HOUR_PRICE
from lamps_core.progress import TrainingProgress, listener, listening
from lamps_core.report_words import markdown_table
from lamps_core.storage import given_path
from tasks.hub import with_push
from tasks.secrets import choose_hub_token

Algorithm = Literal["forecast", "distral", "ppo", "universal"]


@flow(name="train-policy", flow_run_name="train {algorithm} on {curves}", persist_result=False)
def train_policy(
    curves: str,
    out: str,
    algorithm: Algorithm = DEFAULT_ALGORITHM,
    exclude_datasets: str = "",
    steps: Positive | None = None,
    seconds: float | None = None,
    objectives: str = DEFAULT_OBJECTIVES,
    bounds: str = "",
    gpu_hour_price: Price = GPU_HOUR_PRICE,
    seed: int = 0,
    warm_start: str | None = None,
    settings: str = "",
    hub_token_block: str | None = None,
    push_to_hub: str | None = None,
) -> dict[str, Any]:
    """Train a policy on a folder of learning curves (Section 5 of the paper).

    Args:
        curves: Folder of curves, an absolute path; org/name of the hub; or shipped, those that come with LAMPS.
        out: Where the policy is written: a folder, or a file that ends in .zip; an absolute path.
        algorithm: forecast of how curves go on, the paper's distral, ppo, or universal for any candidates.
        exclude_datasets: Datasets to leave out, with commas.
        steps: Environment steps of distral or ppo, rounded up to whole rollouts; None for the algorithm's default.
        seconds: Longest training of distral or ppo; None for no limit.
        objectives: What to minimise, six at most, with commas: columns of the curves, or dollars (training seconds x
            GPUs x price).
        bounds: Upper bounds of objectives such as train_seconds=3600, with commas; not of universal, which takes any.
        gpu_hour_price: Dollars for an hour of a GPU, for the objective dollars.
        seed: Fixes the weights that the training begins with, and all that it draws.
        warm_start: A policy of distral or ppo to begin with, or its hub id; None for random weights.
        settings: Of distral or ppo, such as entropy_coefficient=0.02, or of universal, such as members=2, with commas.
        hub_token_block: Name of the Prefect Secret block with the hub token; None for hf-token.
        push_to_hub: Where on the hub (org/name) the policy is pushed; private where new; None for nowhere.

    Returns:
        Where the policy is, what it was trained on, and its score on datasets kept out of the training.

    Raises:
        BadInput: an argument cannot be used; nothing was run.
        PushFailed: all is done but the push.
    """
    parameters = filled_in(train_policy, locals())
    choose_hub_token(hub_token_block or None)
    if push_to_hub:
        check_push(push_to_hub)
    training = Training(training_request(**parameters))
    with training.opened():
        crash_dead_runs(training.folder)  # the folder is ours: whoever had it is gone
        progress, outer = ProgressArtifact(f"training of {out}"), listener.get()

        def tell(event: TrainingProgress) -> None:
            if outer is not None:
                outer(event)
            progress.update(100 * event.share_done)

        with listening(tell):
            result = training.run()
        progress.finish()
    show_table(policy_table(result), key="lamps-policy", description="The policy that was trained")
    return with_push(result, out, push_to_hub)


def training_request(*, curves: str, out: str, **rest: Any) -> TrainingRequest:
    """The flow's flat parameters as what `lamps_core` takes.

    Raises:
        BadInput: one that cannot be parsed.
    """
    asked = defaults_of(train_policy) | rest
    return TrainingRequest(
        curves=curves_to_read(curves),
        out=given_path(out, "--out", "runs/policy.zip"),
        algorithm=asked["algorithm"],
        exclude=comma_separated(asked["exclude_datasets"]),
        steps=asked["steps"],
        seconds=asked["seconds"],
        objectives=parse_objectives(
            asked["objectives"],
            bounds=comma_separated(asked["bounds"]),
            gpu_hour_price=asked["gpu_hour_price"],
            recorded=True,
        ),
        seed=asked["seed"],
        warm_start=find(asked["warm_start"]).path if asked["warm_start"] else None,
        settings=_settings(comma_separated(asked["settings"])),
    )


def _settings(given: tuple[str, ...]) -> dict[str, str]:
    """`name=value` each, by name."""
    told = {}
    for one in given:
        name, equals, value = one.partition("=")
        if not equals or not value.strip():
            raise BadInput(f"--set {one}: write it like entropy_coefficient=0.02")
        told[name.strip()] = value.strip()
    return told


def policy_table(result: dict[str, Any]) -> str:
    """What a training came to, as Markdown."""
    score = result["validation_score"]
    rows = {
        "policy": result["policy"],
        "algorithm": result["algorithm"],
        "objectives": ", ".join(result["objectives"]),
        "datasets": ", ".join(result["datasets"]),
        "candidates": result["candidates"],
        "seconds": f"{result['seconds']:.0f}",
        "score on datasets kept out": "none were" if score is None else f"{score:.3f}",
    }
    return markdown_table(("", ""), [(name, str(value)) for name, value in rows.items()])

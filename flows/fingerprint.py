"""The fingerprint flow: one more candidate on every dataset of a meta-dataset (Appendix F of the paper).

The flow's parameters are the form a person fills in in the Prefect UI, so they are flat and described.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from prefect import flow

from flows.artifacts import show_table
from flows.campaign import planned, run_campaign
from flows.form import Positive, defaults_of, filled_in
from lamps_core.campaign.request import CampaignRequest, of_record
from lamps_core.errors import BadInput
from lamps_core.models.candidates import resolve_candidates
from lamps_core.storage import given_path
from tasks.secrets import choose_hub_token

if TYPE_CHECKING:
    from lamps_core.policy_training.extend import Extension


@flow(name="fingerprint", flow_run_name="fingerprint {model} in {curves}", persist_result=False)
def fingerprint(
    model: str,
    curves: str,
    engine: Literal["local", "dask"] = "local",
    scheduler: str | None = None,
    parallel: int | None = None,
    work: str | None = None,
    retry_failed: bool = False,
    step_timeout: float | None = None,
    hub_token_block: str | None = None,
    policy: str | None = None,
    out: str | None = None,
    steps: Positive | None = None,
    full: bool = False,
    plan: bool = False,
) -> dict[str, Any]:
    """Fine-tune one model on every dataset of a meta-dataset, with the settings of its campaign; extend a policy by it.

    Args:
        model: Hub id, local folder or zoo name.
        curves: Folder or URL of the curves that it is added to.
        engine: This machine's devices, or a Dask cluster's workers.
        scheduler: Address of the Dask scheduler, such as tcp://head:8786.
        parallel: Steps at once on this machine; None for one a GPU, or several on a CPU.
        work: Folder or URL for checkpoints; None for the campaign's.
        retry_failed: Try datasets again where it failed for a lasting reason, too.
        step_timeout: Seconds after which a step is taken for hung; None for never.
        hub_token_block: Name of the Prefect Secret block with the hub token, for gated models; None for hf-token.
        policy: A policy trained on these curves, to know the model as well; None to add curves alone.
        out: Where the extended policy is written, an absolute path; None for the place of the old one.
        steps: Environment steps by which a policy of distral or ppo goes on; None for 100,000.
        full: Retrain a policy of distral or ppo in full as well, to compare; forecast, in seconds, always is.
        plan: Only say what would run and what it costs, in a table; run nothing.

    Returns:
        How many of its curves are complete, what failed and why, and what was spent; what became of the policy. The
        plan where that was asked for.

    Raises:
        BadInput: an argument cannot be used, the folder does not say how its curves were made, or the policy was not
            trained on them.
        LampsError: it failed on every dataset, or a disk is full.
    """
    parameters = filled_in(fingerprint, locals())
    parameters["hub_token_block"] = choose_hub_token(parameters["hub_token_block"])
    extension = extension_of(**parameters)
    if plan:
        return planned(fingerprint_request(**parameters), parameters)
    result = run_campaign(fingerprint_request(**parameters), parameters)
    if extension is None:
        return result
    told = extension.run()
    show_table(policy_words(told), key="lamps-policy", description="The policy that was extended")
    return result | {"policy": told}


def extension_of(*, model: str, curves: str, **rest: Any) -> Extension | None:
    """What the flow's flat parameters ask of a policy; None where they ask nothing.

    Raises:
        BadInput: the policy cannot be extended on these curves.
    """
    asked = defaults_of(fingerprint) | rest
    if not asked["policy"]:
        given = next((name for name in ("steps", "full", "out") if asked[name]), None)
        if given is not None:
            raise BadInput(f"--{given} is about a policy: give --policy as well")
        return None
    from lamps_core.policy_training.extend import Extension, ExtensionRequest

    return Extension(
        ExtensionRequest(
            policy=given_path(asked["policy"], "--policy", "runs/policy.zip"),
            curves=given_path(curves, "--curves", "runs/curves"),
            candidates=tuple(candidate.name for candidate in resolve_candidates(model)),
            out=given_path(asked["out"], "--out", "runs/policy.zip") if asked["out"] else None,
            steps=asked["steps"],
            full=asked["full"],
        )
    )


def policy_words(told: dict[str, Any]) -> str:
    """What became of a policy, as Markdown."""
    added = f", which now knows {', '.join(told['added'])}" if told["added"] else ", as it was"
    lines = [f"`{told['policy']}`{added}.", "", *(f"- {line}" for line in told["words"])]
    return "\n".join(lines)


def fingerprint_request(*, model: str, curves: str, **rest: Any) -> CampaignRequest:
    """The flow's flat parameters as what `lamps_core` takes.

    Raises:
        BadInput: the folder does not say how its curves were made.
    """
    asked = defaults_of(fingerprint) | rest
    return of_record(
        CampaignRequest(
            curves=curves,
            datasets=None,
            models=model,
            work=(asked["work"] or "").strip() or None,
            retry_failed=asked["retry_failed"],
        )
    )

"""The fingerprint flow: one more candidate on every dataset of a meta-dataset (Appendix F of the paper).

The flow's parameters are the form a person fills in in the Prefect UI, so they are flat and described.
"""

from __future__ import annotations

from typing import Any, Literal

from prefect import flow

from flows.campaign import run_campaign
from lamps_core.campaign_request import CampaignRequest, of_record
from tasks.secrets import choose_hub_token


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
) -> dict[str, Any]:
    """Fine-tune one model on every dataset of a meta-dataset, with the settings of its campaign.

    Args:
        model: Hub id, local folder or zoo name.
        curves: Folder or URL of the curves that it is added to.
        engine: This machine's devices, or a Dask cluster's workers.
        scheduler: Address of the Dask scheduler, such as tcp://head:8786.
        parallel: Steps at once on this machine; None for all of its devices.
        work: Folder or URL for checkpoints; None for the campaign's.
        retry_failed: Try datasets again where it failed for a lasting reason, too.
        step_timeout: Seconds after which a step is taken for hung; None for never.
        hub_token_block: Name of the Prefect Secret block with the hub token, for gated models; None for hf-token.

    Returns:
        How many of its curves are complete, what failed and why, and what was spent.

    Raises:
        BadInput: an argument cannot be used, or the folder does not say how its curves were made.
        LampsError: it failed on every dataset, or a disk is full.
    """
    hub_token_block = choose_hub_token(hub_token_block or None)
    parameters = locals()
    return run_campaign(fingerprint_request(**parameters), parameters)


def fingerprint_request(*, model: str, curves: str, **rest: Any) -> CampaignRequest:
    """The flow's flat parameters as what `lamps_core` takes.

    Raises:
        BadInput: the folder does not say how its curves were made.
    """
    return of_record(
        CampaignRequest(
            curves=curves,
            datasets=None,
            models=model,
            work=rest.get("work") or None,
            retry_failed=rest.get("retry_failed", False),
        )
    )

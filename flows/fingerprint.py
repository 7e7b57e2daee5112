"""The fingerprint flow: one more candidate on every dataset of a meta-dataset (Appendix F of the paper).

The flow's parameters are the form a person fills in in the Prefect UI, so they are flat and described.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from prefect import flow
from pydantic import Field

from flows.campaign import run_campaign
from lamps_core.campaign_run import CampaignRequest, CampaignRun, of_record
from tasks.secrets import use_hub_token


@flow(name="fingerprint", flow_run_name="fingerprint {model} in {curves}", persist_result=False)
def fingerprint(
    model: Annotated[str, Field(description="Hub id, local folder or zoo name")],
    curves: Annotated[str, Field(description="Folder or URL of the curves that it is added to")],
    engine: Annotated[
        Literal["local", "dask"], Field(description="This machine's devices, or a Dask cluster's workers")
    ] = "local",
    scheduler: Annotated[
        str | None, Field(description="Address of the Dask scheduler, such as tcp://head:8786")
    ] = None,
    parallel: Annotated[
        int | None, Field(description="Steps at once on this machine; empty for all of its devices")
    ] = None,
    work: Annotated[
        str | None, Field(description="Folder or URL for checkpoints; empty for the campaign's")
    ] = None,
    retry_failed: Annotated[
        bool, Field(description="Try datasets again where it failed for a lasting reason, too")
    ] = False,
    step_timeout: Annotated[
        float | None, Field(description="Seconds before a step is taken for hung")
    ] = None,
    hub_token_block: Annotated[
        str | None, Field(description="Prefect Secret block of the hub token, for gated models")
    ] = None,
) -> dict[str, Any]:
    """Fine-tune one model on every dataset of a meta-dataset, with the settings of its campaign.

    Returns:
        How many of its curves are complete, what failed and why, and what was spent.

    Raises:
        BadInput: an argument cannot be used, or the folder does not say how its curves were made.
        LampsError: it failed on every dataset, or a disk is full.
    """
    use_hub_token(hub_token_block)
    run = CampaignRun(fingerprint_request(**locals()))
    return run_campaign(run, engine=engine, scheduler=scheduler, parallel=parallel, step_timeout=step_timeout)


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

"""The push flow: what was made goes to the Hugging Face hub, as `lamps push` brings it there.

The flow's parameters are the form a person fills in in the Prefect UI, so they are flat and described.
"""

from __future__ import annotations

from typing import Any

from prefect import flow

from lamps_core.hub.access import check_push
from tasks.hub import push_to_hub
from tasks.secrets import choose_hub_token


@flow(name="push", flow_run_name="push {place} to {target}", persist_result=False)
def push(
    place: str,
    target: str,
    public: bool = False,
    revision: str | None = None,
    hub_token_block: str | None = None,
) -> dict[str, Any]:
    """Push a search's front, one of its models, curves or a policy to the hub; a hub that fails is asked again.

    Args:
        place: What a search, campaign or training wrote, or a model of a search: an absolute path; or shipped.
        target: The repository, org/name; each model of a front has one of its own, org/name-model.
        public: Make new repositories that everybody sees.
        revision: A branch, made where there is none; None for main.
        hub_token_block: Name of the Prefect Secret block with the hub token; None for hf-token.

    Returns:
        The rows of `tasks.hub.push_to_hub` as `pushed`.

    Raises:
        BadInput: an argument cannot be used, or the hub refuses it.
        HubFailed: the hub cannot be reached or failed, and failed again.
    """
    choose_hub_token(hub_token_block or None)
    check_push(target, option="target")
    return {"pushed": push_to_hub(place, target, public=public, revision=revision or None)}

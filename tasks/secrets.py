"""Secrets of a run, read from Prefect when they are needed: the hub token, for gated models."""

from __future__ import annotations

import os

from lamps_core.errors import BadInput

DEFAULT_BLOCK = "hf-token"


def use_hub_token(block: str | None) -> None:
    """Set `HF_TOKEN` for this process from a Prefect Secret block, unless the environment has one.

    Args:
        block: its name; None takes `hf-token` if there is such a block.

    Raises:
        BadInput: a named block is not there.
    """
    if os.environ.get("HF_TOKEN"):
        return
    from prefect.blocks.system import Secret

    try:
        os.environ["HF_TOKEN"] = str(Secret.load(block or DEFAULT_BLOCK, _sync=True).get())
    except ValueError:
        if block is not None:
            raise BadInput(
                f"there is no Prefect Secret block {block}: make it with "
                f"Secret(value=...).save({block!r}), or set HF_TOKEN"
            ) from None

"""The models flow: the models that have names, as `lamps models` lists them.

The flow's parameters are the form a person fills in in the Prefect UI, so they are flat and described.
"""

from __future__ import annotations

from typing import Any

from prefect import flow

from flows.artifacts import show_table
from lamps_core.models.listing import CHECK_COLUMNS, MODEL_COLUMNS, check_models, listed_models
from lamps_core.report_words import markdown_table
from tasks.secrets import choose_hub_token


@flow(name="models", flow_run_name="models", persist_result=False)
def models(check: bool = False, hub_token_block: str | None = None) -> list[dict[str, Any]]:
    """List the models of the registry and of the zoo.

    Args:
        check: Ask the hub for each, and whether it fits the machine that this runs on.
        hub_token_block: Name of the Prefect Secret block with the hub token, for gated models; None for hf-token.

    Returns:
        A row a model; with `hub` and `fit` where they were asked.
    """
    choose_hub_token(hub_token_block or None)
    rows = listed_models()
    checks = check_models(rows) if check else None
    columns = CHECK_COLUMNS if checks else MODEL_COLUMNS
    table = markdown_table(columns, (row.cells() for row in checks or rows))
    show_table(table, key="lamps-models", description="The models of the registry and of the zoo")
    return [row.as_dict() for row in checks or rows]

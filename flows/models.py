"""The models flow: the models that have names, as `lamps models` lists them.

The flow's parameters are the form a person fills in in the Prefect UI, so they are flat and described.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from prefect import flow

from flows.artifacts import show_table
from lamps_core.models.listing import check_models, listed_models
from lamps_core.report_words import markdown_table
from tasks.secrets import choose_hub_token

if TYPE_CHECKING:
    from collections.abc import Iterable

    from lamps_core.models.listing import CheckedModel, ModelRow

MARKS = {True: "ok", False: "no", None: "?"}


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
    table = checks_table(checks) if checks else models_table(rows)
    show_table(table, key="lamps-models", description="The models of the registry and of the zoo")
    return [row.as_dict() for row in checks or rows]


def models_table(rows: Iterable[ModelRow]) -> str:
    """The models, as Markdown."""
    head = ("name", "family", "languages", "licence", "gated", "parameters")
    cells = (
        (
            row.name,
            row.family,
            ", ".join(row.languages),
            row.licence,
            "gated" if row.gated else "",
            "" if row.parameters is None else f"{row.parameters:,}",
        )
        for row in rows
    )
    return markdown_table(head, cells, numbers=1)


def checks_table(checks: Iterable[CheckedModel]) -> str:
    """Which of the models can be fine-tuned here, as Markdown."""
    rows = ((MARKS[one.usable], one.model.name, one.hub.found, one.fit.found) for one in checks)
    return markdown_table(("", "name", "hub", "this machine"), rows)

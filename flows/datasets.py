"""The datasets flow: the datasets that have names, as `lamps datasets` lists them."""

from __future__ import annotations

import dataclasses
from typing import Any

from prefect import flow

from flows.artifacts import show_table
from lamps_core.registry import DATASET_COLUMNS, never_fetched, registered_datasets
from lamps_core.report_words import markdown_table


@flow(name="datasets", flow_run_name="datasets", persist_result=False)
def datasets() -> list[dict[str, Any]]:
    """List the datasets of the registry: names for a campaign that bring their columns.

    Returns:
        A row a dataset.
    """
    listed = list(registered_datasets().values())
    table = markdown_table(DATASET_COLUMNS, (one.cells() for one in listed))
    shown = "\n\n".join(filter(None, (table, never_fetched(listed))))
    show_table(shown, key="lamps-datasets", description="The datasets of the registry")
    return [dataclasses.asdict(one) for one in listed]

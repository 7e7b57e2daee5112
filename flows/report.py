"""The report flow: the page of a folder, as `lamps report` writes it.

The flow's parameters are the form a person fills in in the Prefect UI, so they are flat and described.
"""

from __future__ import annotations

from prefect import flow

from lamps_core.reports.writer import write_report
from lamps_core.storage import given_path


@flow(name="report", flow_run_name="report {folder}", persist_result=False)
def report(folder: str) -> dict[str, str]:
    """Write the self-contained HTML report of a search, an evaluation, or the curves of a campaign.

    Args:
        folder: What the out or curves of the run was; an absolute path.

    Returns:
        Where the page is, as `report`.

    Raises:
        BadInput: the folder holds none of these, or cannot be written.
    """
    return {"report": str(write_report(given_path(folder, "folder", "runs/first")))}

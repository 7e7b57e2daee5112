"""The doctor flow: what works on the machine that the run is on, as `lamps doctor` finds it.

A worker's machine need not be the one that somebody sits at; what it lacks is shown beside the run.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from prefect import flow
from prefect.settings import get_current_settings

from flows.artifacts import show_table
from lamps_core.errors import LampsError
from lamps_core.host.doctor import run_checks
from lamps_core.report_words import markdown_table
from tasks.secrets import choose_hub_token

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lamps_core.host.doctor import Check

MARKS = {True: "ok", False: "fails", None: "note"}


@flow(name="doctor", flow_run_name="doctor", persist_result=False)
def doctor(hub_token_block: str | None = None) -> list[dict[str, Any]]:
    """Look what works on this machine, what does not, and how to mend it.

    Args:
        hub_token_block: Name of the Prefect Secret block with the hub token; None for hf-token.

    Returns:
        A row a check, with what was found and how to mend it.

    Raises:
        LampsError: something does not work; the table beside the run says what.
    """
    choose_hub_token(hub_token_block or None)
    checks = run_checks(get_current_settings().api.url)
    show_table(checks_table(checks), key="lamps-doctor", description="What works on the machine of the run")
    failed = [check.name for check in checks if check.ok is False]
    if failed:
        raise LampsError(f"does not work: {', '.join(failed)}")
    return [asdict(check) for check in checks]


def checks_table(checks: Sequence[Check]) -> str:
    """What was found, as Markdown."""
    rows = [(MARKS[check.ok], check.name, check.found, check.mend) for check in checks]
    return markdown_table(("", "check", "found", "mend"), rows)

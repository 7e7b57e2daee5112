"""What a flow run shows in the Prefect UI while it runs and at its end. A server that is gone ends no run."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, Any

import httpx
from prefect.artifacts import (
    create_markdown_artifact,
    create_progress_artifact,
    update_progress_artifact,
)
from prefect.exceptions import PrefectException
from prefect.settings import PREFECT_CLIENT_MAX_RETRIES, temporary_settings

from lamps_core.report_words import markdown_table

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from uuid import UUID

UPDATE_SECONDS = 5.0  # the least between two updates: each is a call to the server

_logger = logging.getLogger(__name__)


class ProgressArtifact:
    """How far a flow run is."""

    def __init__(self, description: str, *, percent: float = 0.0) -> None:
        """Show it, if the server answers."""
        self._artifact = _told(lambda: create_progress_artifact(percent, description=description))
        self._next_at = time.monotonic() + UPDATE_SECONDS

    def update(self, percent: float, *, description: str | None = None) -> None:
        """Show how far the run is, unless that was done a moment ago."""
        if time.monotonic() > self._next_at:
            # Nobody waits a minute for a progress bar.
            with temporary_settings({PREFECT_CLIENT_MAX_RETRIES: 0}):
                self.finish(percent, description=description)
            self._next_at = time.monotonic() + UPDATE_SECONDS

    def finish(self, percent: float = 100.0, *, description: str | None = None) -> None:
        """Show how far the run came."""
        if (artifact := self._artifact) is not None:
            _told(lambda: update_progress_artifact(artifact, progress=percent, description=description))


def show_table(markdown: str, *, key: str, description: str) -> None:
    """Show what a flow run came to, if the server answers."""
    _told(lambda: create_markdown_artifact(markdown, key=key, description=description))


def notes_and_failures(
    notices: Iterable[str], failed: Iterable[Mapping[str, Any]], columns: Mapping[str, str]
) -> list[str]:
    """What a run has to tell beside what it came to, as lines of Markdown; none where there is nothing.

    Args:
        notices: for the user to read.
        failed: what failed.
        columns: of the table of what failed: title -> key.
    """
    notes = [f"- note: {notice}" for notice in notices]
    rows = [[str(row[key]) for key in columns.values()] for row in failed]
    table = [markdown_table(tuple(columns), rows)] if rows else []
    return [line for lines in (notes, table) if lines for line in ("", *lines)]


def _told(tell: Callable[[], UUID]) -> UUID | None:
    try:
        return tell()
    except (httpx.HTTPError, PrefectException) as error:
        _logger.warning("the Prefect server was not told how the run stands: %s", error)
        return None

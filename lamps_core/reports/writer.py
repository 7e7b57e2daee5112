"""The report of a folder: a search's, an evaluation's, or a campaign's curves; one self-contained HTML page each.

Owns which page a folder gets and where it is written. The pages know what they show.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lamps_core.curves.reader import holds_curves
from lamps_core.errors import BadInput
from lamps_core.evaluation.record import is_evaluation, read_evaluation
from lamps_core.files import write_atomically
from lamps_core.reports.campaign import render_campaign
from lamps_core.reports.evaluation import write_pages
from lamps_core.reports.search import render_search
from lamps_core.search.record import is_search, read_search
from lamps_core.storage import HIDDEN, refuse_url

if TYPE_CHECKING:
    from pathlib import Path


def write_report(folder: Path) -> Path:
    """Write the page of a folder that somebody asks for; see `update_report`.

    Raises:
        BadInput: the folder holds nothing to report on, cannot be written, or is of an object store.
    """
    try:
        return update_report(folder)
    except OSError as error:
        raise BadInput(f"{error.filename or folder} cannot be written: {error.strerror or error}") from error


def update_report(folder: Path) -> Path:
    """Write the page of a folder, whole or not at all: the same record gives the same bytes.

    Args:
        folder: what `lamps search --out` or `lamps campaign --curves` was given, finished or not; what
            `lamps evaluate --out` was given, finished; or any folder of learning curves.

    Returns:
        The page's path: `report.html` of a search or an evaluation, whose figures are drawn again, too; in a
        folder of curves `.lamps/report.html`, because readers of such a folder take every file for Parquet
        whose name, and whose folder's, does not begin with a dot.

    Raises:
        BadInput: the folder holds none of these, or is of an object store.
        OSError: the page cannot be written.
    """
    refuse_url(
        folder, "lamps report reads a folder of this host: copy it here first, such as with aws s3 sync"
    )
    if is_evaluation(folder):
        return _write_evaluation(folder)
    if is_search(folder):
        page, path = render_search(read_search(folder)), folder / "report.html"
    elif holds_curves(folder):
        page, path = render_campaign(folder), folder / HIDDEN / "report.html"
    else:
        raise BadInput(
            f"{folder} holds neither a search nor learning curves, nor an evaluation: give what --out or "
            "--curves was given"
        )
    write_atomically(path, page.encode("utf-8", errors="replace"))
    return path


def _write_evaluation(folder: Path) -> Path:
    result = read_evaluation(folder)
    try:
        return write_pages(folder, result)
    except (LookupError, TypeError, ValueError, AttributeError, ZeroDivisionError) as error:
        raise BadInput(
            f"{folder}/evaluation.json is damaged ({error!r}): run lamps evaluate again"
        ) from error

"""A report's page: what all of them share, whatever they show.

Owns the layout around a report (`page_files/`), its style and its script, and what a page may do: it is one file, its
policy forbids the network and any script but its own. Every text is escaped, and control characters and marks that
turn text around do not survive. Does not know what a page shows.
"""

from __future__ import annotations

import base64
import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jinja2
from jinja2.utils import htmlsafe_json_dumps
from markupsafe import Markup

from lamps_core.report_words import displayable

if TYPE_CHECKING:
    from collections.abc import Mapping

_HERE = Path(__file__).parent
# In this order one module, so that each may use what stands in those before it.
SCRIPTS = ("controls.js", "marks.js", "views.js", "explorer.js", "page.js")


def render_page(template: str, *, data: Mapping[str, Any] | None = None, **shown: Any) -> str:
    """Render a template that lies beside this module.

    Args:
        template: its file's name; it extends `page_files/page.html.j2`.
        data: what the page's script is told, as JSON can hold it; names in it are `displayable`.
        shown: what the template uses.
    """
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader([_HERE, _HERE / "page_files"]),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_finalized,
    )
    script = page_script()
    return environment.get_template(template).render(
        policy=content_policy(script),
        script=Markup(script),  # noqa: S704 (our own file)
        data=htmlsafe_json_dumps(dict(data or {}), separators=(",", ":")),
        **shown,
    )


def page_script() -> str:
    """The script of every page."""
    return "\n".join((_HERE / "page_files" / name).read_text(encoding="utf-8") for name in SCRIPTS)


def content_policy(script: str) -> str:
    """What the page may do: run this script, be styled, and nothing else; fetch nothing, send nothing."""
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return (
        f"default-src 'none'; script-src 'sha256-{digest}'; style-src 'unsafe-inline'; base-uri 'none'; "
        "form-action 'none'"
    )


def _finalized(value: Any) -> Any:
    # Control characters and marks that turn text around would survive HTML escaping.
    if isinstance(value, str) and not isinstance(value, Markup):
        return "\n".join(displayable(line) for line in value.split("\n"))
    return value

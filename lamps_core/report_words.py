"""How a report says times and counts: the words and formats that all pages share, beside those of `quantities`.

Owns the environment in which a page's template is rendered: everything is escaped, and control characters and
marks that turn text around do not survive. Does not know what a page shows.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

from lamps_core.label_layout import displayable


def render_page(template: str, **shown: Any) -> str:
    """Render a template that lies beside this module; every text in it is escaped."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_finalized,
    )
    return environment.get_template(template).render(**shown)


def _finalized(value: Any) -> Any:
    # Control characters and marks that turn text around would survive HTML escaping.
    if isinstance(value, str) and not isinstance(value, Markup):
        return "\n".join(displayable(line) for line in value.split("\n"))
    return value


def duration(seconds: float) -> str:
    """Write a time the way a person would say it.

    >>> duration(81.2), duration(5400), duration(0.5)
    ('1 min 21 s', '1 h 30 min', '0.5 s')
    """
    if seconds < 60:
        return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s" if rest else f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if minutes else f"{hours} h"


def counted(count: int, noun: str) -> str:
    """A number with its noun.

    >>> counted(1, "curve"), counted(1200, "curve")
    ('1 curve', '1,200 curves')
    """
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"

"""A matplotlib figure as one `<svg>` element that is part of an HTML page.

Owns the palette and what an inlined figure needs: ids of its own, a title and a description to be read
aloud, tooltips, text that stays text, and colours that are CSS variables with a fallback, so that a page can
be light or dark. The same figure gives the same bytes. No global matplotlib state is used but the two
settings that SVG output can only read from there, and those for the length of one call.
"""

from __future__ import annotations

import io
import re
import warnings
import xml.etree.ElementTree as ET
from typing import TYPE_CHECKING

import matplotlib as mpl

if TYPE_CHECKING:
    from collections.abc import Mapping

    from matplotlib.figure import Figure

INK, MUTED, FAINT, GRID, CARD = "#1f2328", "#68707c", "#b3b9c2", "#e7e9ec", "#ffffff"
# Okabe and Ito (2008), without the yellow and the black that vanish on a light or a dark card.
FRONT_COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
_VARIABLES = {INK: "--ink", MUTED: "--muted", FAINT: "--faint", GRID: "--grid", CARD: "--card"} | {
    colour: f"--front-{index}" for index, colour in enumerate(FRONT_COLOURS)
}


def inline_svg(
    figure: Figure,
    *,
    name: str,
    title: str,
    description: str,
    tooltips: Mapping[str, str],
    attributes: Mapping[str, Mapping[str, str]] | None = None,
) -> str:
    """Draw a figure as SVG for the inside of a page.

    Args:
        figure: at 72 dots per inch, so that an SVG unit is a pixel.
        name: prefix of every id; different for each figure of a page.
        title: what the figure shows, in a few words.
        description: what somebody who cannot see it should know.
        tooltips: from a `gid` given to an artist to the text shown when a pointer rests on it.
        attributes: from a `gid` to what the artist's element is given besides, for the page's style and script.

    Returns:
        One `<svg>` element without namespaces, every text in it escaped.
    """
    buffer = io.BytesIO()
    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": name}), warnings.catch_warnings():
        # Names may hold letters that matplotlib's own font lacks; the reader's browser has others.
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None})
    root = ET.fromstring(buffer.getvalue())  # noqa: S314 (written by matplotlib one line above)
    slug = re.sub(r"[^a-z0-9]+", "-", name.lower())
    for parent in list(root.iter()):
        for child in list(parent):
            if child.tag.endswith(("metadata", "style")):
                parent.remove(child)
    for element in root.iter():
        element.attrib.update((attributes or {}).get(element.get("id", ""), {}))
        if tooltip := tooltips.get(element.get("id", "")):
            hover = ET.Element("title")
            hover.text = tooltip
            element.insert(0, hover)
        _adapt(element, slug)
    root.attrib = {
        "viewBox": root.attrib["viewBox"],
        "role": "img",
        "aria-labelledby": f"{slug}-title {slug}-description",
        "stroke-linejoin": "round",
    }
    for place, (tag, text) in enumerate((("title", title), ("desc", description))):
        spoken = ET.Element(tag, {"id": f"{slug}-{'title' if tag == 'title' else 'description'}"})
        spoken.text = text
        root.insert(place, spoken)
    return ET.tostring(root, encoding="unicode")


def standalone_svg(svg: str) -> str:
    """The same figure as a file of its own, on white: no page lends it colours or a font.

    Args:
        svg: as `inline_svg` gives it.

    >>> standalone_svg('<svg viewBox="0 0 90 50"><g style="fill: var(--ink, #1f2328)" /></svg>')[-79:]
    '<rect width="90" height="50" fill="#ffffff" /><g style="fill: #1f2328" /></svg>'
    """
    width, height = re.search(r'viewBox="0 0 ([\d.]+) ([\d.]+)"', svg).groups()  # type: ignore[union-attr]
    plain = re.sub(r"var\(--[a-z0-9-]+, ([^)]*)\)", r"\1", svg)
    head, _, rest = plain.partition(">")
    named = head.replace("<svg", f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}"')
    return f'{named}><rect width="{width}" height="{height}" fill="{CARD}" />{rest}'


def _adapt(element: ET.Element, slug: str) -> None:
    """Drop namespaces, which HTML does without, and make ids, links, fonts and colours the page's."""
    element.tag = element.tag.rpartition("}")[2]
    element.attrib = {
        plain: _adapted(plain, value, slug)
        for plain, value in ((key.rpartition("}")[2], value) for key, value in element.attrib.items())
    }


def _adapted(attribute: str, value: str, slug: str) -> str:
    match attribute:
        case "id":
            return f"{slug}-{value}"
        case "href" | "clip-path":
            return value.replace("#", f"#{slug}-", 1)
        case "style":
            value = re.sub(r"font: ([\d.]+px) [^;]*", r"font: \1 var(--sans, sans-serif)", value)
            return re.sub(r"#[0-9a-f]{6}", _themed, value)
        case _:
            return value


def _themed(found: re.Match[str]) -> str:
    variable = _VARIABLES.get(found[0])
    return f"var({variable}, {found[0]})" if variable else found[0]

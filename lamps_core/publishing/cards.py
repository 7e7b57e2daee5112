"""What all cards of the hub share: metadata on top, Markdown below, names that cannot break either.

The same facts give the same bytes, so that a second push of the same thing changes nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lamps_core import __version__
from lamps_core.report_words import markdown_table

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

TAG = "lamps"


def card(data: Any, lines: Iterable[str]) -> bytes:
    """The README of a repository.

    Args:
        data: a `CardData` of huggingface_hub.
        lines: of Markdown.
    """
    from huggingface_hub import RepoCard

    text = "\n".join(["---", data.to_yaml(), "---", "", *lines, ""])
    return str(RepoCard(text)).encode()


def code(text: object) -> str:
    """A name as Markdown shows it, whatever is in it.

    >>> code("a|b `c`")
    "`a|b 'c'`"
    """
    plain = " ".join(str(text).replace("`", "'").split())
    return f"`{plain}`" if plain else "–"


def names(texts: Iterable[object], *, most: int = 40) -> str:
    """Names with commas, and how many more there are."""
    shown = [code(text) for text in texts]
    more = f" and {len(shown) - most} more" if len(shown) > most else ""
    return ", ".join(shown[:most]) + more


def facts(rows: Sequence[tuple[str, str]]) -> list[str]:
    """Two columns of Markdown: what, and its value; rows without a value are left out."""
    return markdown_table(("", ""), [row for row in rows if row[1]]).splitlines()


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """A table of Markdown: text in the first column, numbers in the others."""
    return markdown_table(head, rows, numbers=len(head) - 1).splitlines()


def made_by(version: object = __version__) -> str:
    """The last line of every card."""
    return f"Made and pushed by LAMPS (language model Pareto selection), version {code(version)}."

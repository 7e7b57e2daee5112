"""The versions of files that LAMPS writes: what to say of one that this LAMPS does not read."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


def is_later(found: object, known: int) -> bool:
    """Whether a file's version is newer than the one that this LAMPS knows."""
    return isinstance(found, int) and found > known


def version_trouble(place: Path, found: object, known: int, otherwise: str) -> str:
    """What to say of a file of another version.

    Args:
        place: of it.
        found: version it tells.
        known: that this LAMPS reads.
        otherwise: than upgrading, what can be done.
    """
    if is_later(found, known):
        return f"{place} was written by a later version of LAMPS: upgrade LAMPS, or {otherwise}"
    return f"{place} was written by another version of LAMPS: {otherwise}"

"""Where labels go in a figure so that they can be read: pure geometry in pixels, the origin at bottom left.

Knows no drawing library. Text widths are estimates, a little wide on purpose: the reader's font is unknown.
"""

from __future__ import annotations

import math
import unicodedata
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lamps_core.report_words import displayable

if TYPE_CHECKING:
    from collections.abc import Sequence

LINE_PIXELS = 15.0
# The average letter of a sans-serif font at 12 pixels; system fonts lie between 6.0 and 7.2.
_LETTER_PIXELS = 7.0
_RADII = (9.0, 15.0, 24.0, 36.0, 50.0, 70.0)


@dataclass(frozen=True)
class Box:
    """A rectangle with its sides along the axes."""

    left: float
    bottom: float
    right: float
    top: float

    def overlaps(self, other: Box) -> bool:
        """Whether the two share more than an edge."""
        return (
            self.left < other.right
            and other.left < self.right
            and self.bottom < other.top
            and other.bottom < self.top
        )

    def holds(self, other: Box) -> bool:
        """Whether the other lies inside this one."""
        return (
            self.left <= other.left
            and other.right <= self.right
            and self.bottom <= other.bottom
            and other.top <= self.top
        )

    def nearest(self, point: tuple[float, float]) -> tuple[float, float]:
        """Return the point of the rectangle that is nearest to another."""
        across = min(max(point[0], self.left), self.right)
        up = min(max(point[1], self.bottom), self.top)
        return across, up


def box_around(point: tuple[float, float], radius: float) -> Box:
    """Return the square around a point."""
    return Box(point[0] - radius, point[1] - radius, point[0] + radius, point[1] + radius)


def shortened(name: str, letters: int = 32) -> str:
    """Cut the middle out of a displayable name that is too long for a figure.

    >>> shortened("organisation/a-model-with-a-very-long-name", 20)
    'organisati…long-name'
    """
    name = displayable(name)
    if len(name) <= letters:
        return name
    head = letters // 2
    return f"{name[:head]}…{name[len(name) - (letters - head - 1) :]}"


def width_of(text: str) -> float:
    """Estimate how wide a text is at 12 pixels; East Asian letters count double."""
    letters = sum(2 if unicodedata.east_asian_width(letter) in "WF" else 1 for letter in text)
    return letters * _LETTER_PIXELS


def place_beside(
    anchor: tuple[float, float],
    width: float,
    *,
    frame: Box,
    taken: Sequence[Box],
    angles: Sequence[float],
) -> Box | None:
    """Find the nearest free place for one line of text beside a point.

    Args:
        anchor: the point.
        width: of the text, pixels.
        frame: the text must lie inside.
        taken: what the text must not cover.
        angles: directions from the point in degrees, the preferred first.

    Returns:
        The text's rectangle, or None where nothing near is free.
    """
    for radius in _RADII:
        for angle in angles:
            box = _box_towards(anchor, width, radius=radius, angle=angle)
            if frame.holds(box) and not any(box.overlaps(other) for other in taken):
                return box
    return None


def _box_towards(anchor: tuple[float, float], width: float, *, radius: float, angle: float) -> Box:
    toward_right, toward_top = math.cos(math.radians(angle)), math.sin(math.radians(angle))
    # The text hangs on the side that faces the point: left of it, right of it, or centred over it.
    hang = 0.5 if abs(toward_right) < 0.1 else float(toward_right < 0)
    left = anchor[0] + radius * toward_right - width * hang
    middle = anchor[1] + radius * toward_top
    return Box(left, middle - LINE_PIXELS / 2, left + width, middle + LINE_PIXELS / 2)


def spread(wanted: Sequence[float], *, gap: float, low: float, high: float) -> list[float]:
    """Move ascending positions apart, in order and as little as two passes can, into a range.

    >>> spread([1.0, 1.0, 9.0], gap=2.0, low=0.0, high=10.0)
    [1.0, 3.0, 9.0]
    >>> spread([9.0, 10.0], gap=2.0, low=0.0, high=10.0)
    [8.0, 10.0]
    """
    places: list[float] = []
    for position in wanted:
        places.append(max(position, places[-1] + gap if places else low))
    limit = high
    for index in reversed(range(len(places))):
        places[index] = min(places[index], limit)
        limit = places[index] - gap
    return places

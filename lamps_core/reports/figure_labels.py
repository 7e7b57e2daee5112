"""Names written into a plot beside what they name, so that each can be read.

Owns which labels come first, what happens when there is no room, and the thin lines that lead to a label
moved away. Where a label fits is geometry (`label_layout`). Everything here is in pixels of a figure at 72
dots per inch whose axes have their final limits.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from matplotlib.transforms import IdentityTransform

from lamps_core.reports.inline_svg import FAINT, INK, MUTED
from lamps_core.reports.label_layout import LINE_PIXELS, Box, box_around, place_beside, spread, width_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes

Pixel = tuple[float, float]

# A front point is labelled where nothing can be (below and left of the front), others where there is room.
_FRONT_ANGLES = (225.0, 0.0, 180.0, 45.0, 270.0, 90.0, 315.0, 135.0)
_OTHER_ANGLES = (0.0, 45.0, 90.0, 315.0, 135.0, 270.0, 180.0, 225.0)
_SAMPLE_PIXELS = 6.0
_CORNER_ANGLES = (180.0, 270.0, 225.0)


@dataclass(frozen=True)
class Label:
    """A name that waits for its place.

    Attributes:
        text: the name, displayable and not too long.
        number: what stands for the name where it has no room.
        anchor: the point it names.
        colour: of the line that leads to it.
    """

    text: str
    number: int
    anchor: Pixel
    colour: str = FAINT


def pixel(plot: Axes, point: tuple[float, float]) -> Pixel:
    """Return where a point of the data lies."""
    across, up = plot.transData.transform(point)
    return float(across), float(up)


def label_points(
    plot: Axes,
    front: Sequence[Label],
    others: Sequence[Label],
    *,
    reference: Pixel | None,
    keep_off: Sequence[Pixel] = (),
) -> None:
    """Name the points of a scatter plot: the front by name, the others all by name or all by number.

    Args:
        plot: its axes.
        front: the points that matter most.
        others: the rest.
        reference: the reference point, if it is shown.
        keep_off: what no label may cover, such as `stairs`.
    """
    taken = [box_around(label.anchor, 5) for label in (*front, *others)]
    taken += [box_around(place, 1.5) for place in keep_off]
    if reference:
        taken.append(box_around(reference, 6))
        box = _place(plot, reference, "reference point", taken, _CORNER_ANGLES)
        _write(plot, "reference point", box, MUTED, anchor=reference)
    for label in sorted(front, key=lambda label: label.anchor):
        _name_or_number(plot, label, taken)
    ordered = sorted(others, key=lambda label: label.anchor)
    texts = [label.text for label in ordered]
    # A mixture of names and numbers would read as two kinds of candidate.
    if not all(_try_all(plot, ordered, texts, list(taken))):
        texts = [str(label.number) for label in ordered]
    boxes = _try_all(plot, ordered, texts, taken)
    for label, text, box in zip(ordered, texts, boxes, strict=True):
        _write_beside(plot, label, text, box, MUTED)


def stairs(places: Sequence[Pixel]) -> list[Pixel]:
    """Points along a line that goes across to the next place first and then up or down to it, a few pixels apart."""
    found = []
    for (left, before), (right, after) in itertools.pairwise(places):
        across = max(1, round(abs(right - left) / _SAMPLE_PIXELS))
        upright = max(1, round(abs(after - before) / _SAMPLE_PIXELS))
        found += [(left + (right - left) * index / across, before) for index in range(across)]
        found += [(right, before + (after - before) * index / upright) for index in range(upright)]
    return found


def name_line_ends(plot: Axes, labels: Sequence[Label], *, keep_off: Sequence[Pixel]) -> None:
    """Name lines beside their last points, off the points of `keep_off`."""
    taken = [box_around(point, 4) for point in keep_off]
    for label in sorted(labels, key=lambda label: label.anchor):
        _name_or_number(plot, label, taken)


def name_in_column(plot: Axes, labels: Sequence[Label]) -> None:
    """Name lines in a column right of the plot, in the order in which they end."""
    ordered = sorted(labels, key=lambda label: label.anchor[1])
    frame = _frame(plot)
    left = frame.right + 24
    heights = spread(
        [label.anchor[1] for label in ordered], gap=LINE_PIXELS, low=frame.bottom, high=frame.top
    )
    for label, height in zip(ordered, heights, strict=True):
        _draw_leader(plot, label, (left - 4, height))
        width = width_of(label.text)
        box = Box(left, height - LINE_PIXELS / 2, left + width, height + LINE_PIXELS / 2)
        _write(plot, label.text, box, INK, anchor=label.anchor, gid=f"name-{label.number}")


def _frame(plot: Axes) -> Box:
    extent = plot.bbox
    return Box(extent.x0 + 2, extent.y0 + 2, extent.x1 - 2, extent.y1 - 2)


def _place(plot: Axes, anchor: Pixel, text: str, taken: list[Box], angles: Sequence[float]) -> Box | None:
    box = place_beside(anchor, width_of(text), frame=_frame(plot), taken=taken, angles=angles)
    if box:
        taken.append(box)
    return box


def _try_all(plot: Axes, labels: Sequence[Label], texts: Sequence[str], taken: list[Box]) -> list[Box | None]:
    return [
        _place(plot, label.anchor, text, taken, _OTHER_ANGLES)
        for label, text in zip(labels, texts, strict=True)
    ]


def _name_or_number(plot: Axes, label: Label, taken: list[Box]) -> None:
    for text in (label.text, str(label.number)):
        if box := _place(plot, label.anchor, text, taken, _FRONT_ANGLES):
            _write_beside(plot, label, text, box, INK)
            return


def _write_beside(plot: Axes, label: Label, text: str, box: Box | None, colour: str) -> None:
    if box is None:
        return
    nearest = box.nearest(label.anchor)
    if math.dist(nearest, label.anchor) > 14:
        _draw_leader(plot, label, nearest)
    _write(plot, text, box, colour, anchor=label.anchor, gid=f"name-{label.number}")


def _write(
    plot: Axes, text: str, box: Box | None, colour: str, *, anchor: Pixel, gid: str | None = None
) -> None:
    if box is None:
        return
    # The box is a guess of the text's width: its side that faces the anchor is the one to keep.
    side, left = "center", (box.left + box.right) / 2
    if anchor[0] >= box.right:
        side, left = "right", box.right
    elif anchor[0] <= box.left:
        side, left = "left", box.left
    plot.text(
        left,
        (box.bottom + box.top) / 2,
        text,
        transform=IdentityTransform(),
        color=colour,
        fontsize=12,
        horizontalalignment=side,
        verticalalignment="center_baseline",
        parse_math=False,
        zorder=6,
        gid=gid,
    )


def _draw_leader(plot: Axes, label: Label, end: Pixel) -> None:
    plot.plot(
        [label.anchor[0], end[0]],
        [label.anchor[1], end[1]],
        transform=IdentityTransform(),
        clip_on=False,
        color=label.colour,
        linewidth=0.8,
        gid=f"lead-{label.number}",
        zorder=2.5,
        scalex=False,
        scaley=False,
    )

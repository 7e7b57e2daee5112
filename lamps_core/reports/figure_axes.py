"""The axes of a report's figures: size, look, scales, numbers beside an axis; and where a point lies in the SVG.

Knows nothing of what is drawn.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from matplotlib.axis import XAxis
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter, NullLocator

from lamps_core.reports.figure_labels import pixel
from lamps_core.reports.inline_svg import FAINT, GRID, INK, MUTED

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from matplotlib.axes import Axes
    from matplotlib.axis import Axis

WIDTH, HEIGHT = 900, 500
LEFT, RIGHT, TOP, BOTTOM = 64, 20, 16, 54
# An axis turns logarithmic when its largest value is so many times its smallest.
LOG_RATIO = 12.0


def blank(
    *,
    left: float = LEFT,
    right: float = RIGHT,
    top: float = TOP,
    bottom: float = BOTTOM,
    height: float = HEIGHT,
) -> tuple[Figure, Axes]:
    """An empty figure of a page with its axes, so far from each of its edges."""
    # 72 dots per inch: a unit of the SVG is a pixel, a point and the unit of every label's place.
    figure = Figure(figsize=(WIDTH / 72, height / 72), dpi=72)
    plot = figure.add_axes(
        (
            left / WIDTH,
            bottom / height,
            (WIDTH - left - right) / WIDTH,
            (height - top - bottom) / height,
        )
    )
    style_axes(plot)
    return figure, plot


def style_axes(plot: Axes) -> None:
    """Give axes the look of every report: no frame, a faint grid below what is drawn."""
    plot.patch.set_visible(False)
    plot.spines[["top", "right", "left"]].set_visible(False)
    plot.spines["bottom"].set_color(FAINT)
    plot.grid(color=GRID, linewidth=1)
    plot.set_axisbelow(True)
    plot.tick_params(colors=MUTED, labelsize=12, length=0, pad=6, which="both")
    for axis in (plot.xaxis, plot.yaxis):
        axis.label.set(color=INK, fontsize=13)
        axis.labelpad = 8


def scale(
    axis: Axis, values: Sequence[float], reference: float | None = None, *, always_log: bool = False
) -> None:
    """Give an axis limits that hold the values and the reference, linear or logarithmic as they ask for."""
    known = [value for value in (*values, reference) if value is not None and math.isfinite(value)] or [1.0]
    low, high = min(known), max(known)
    if low > 0 and (always_log or high / low > LOG_RATIO):
        margin = max((high / low) ** 0.06, 1.05)
        # Labels of the best points hang on their lower left, where nothing else can be.
        scale_log(axis, low / margin**2, high * margin, fine=high / low < 2000)
    else:
        margin = (high - low) * 0.07 or abs(high) * 0.1 or 1.0
        _set_limits(axis, low - 1.5 * margin, high + margin)
        # No quarters: their labels are too long for the margin.
        axis.set_major_locator(MaxNLocator(nbins=9, steps=[1, 2, 5, 10]))
        axis.set_major_formatter(FuncFormatter(tick_text))


def scale_log(axis: Axis, low: float, high: float, *, fine: bool, most: int | None = None) -> None:
    """Give an axis a logarithmic scale from `low` to `high`.

    Args:
        axis: of a figure.
        low: its least value.
        high: its largest.
        fine: whether numbers stand at 1, 2 and 5 of a decade, or at 1 alone.
        most: numbers beside it, about; None for as many as there is room for.
    """
    plot = axis.axes
    (plot.set_xscale if isinstance(axis, XAxis) else plot.set_yscale)("log")
    _set_limits(axis, low, high)
    axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0) if fine else (1.0,), numticks=most))
    axis.set_minor_locator(NullLocator())
    axis.set_minor_formatter(NullFormatter())
    axis.set_major_formatter(FuncFormatter(tick_text))


def _set_limits(axis: Axis, low: float, high: float) -> None:
    (axis.axes.set_xlim if isinstance(axis, XAxis) else axis.axes.set_ylim)(low, high)


def tick_text(value: float, _: int | None = None) -> str:
    """A number beside an axis."""
    return f"{value / 1e6:,.6g} M" if abs(value) >= 1e6 else f"{value:,.6g}"


def scale_steps(plot: Axes, last: float) -> None:
    """Give an axis whole steps, from 0."""
    plot.set_xlim(-0.2, last + 0.2)
    every = max(1, math.ceil(last / 20))
    plot.set_xticks(list(range(0, int(last) + 1, every)))


def place(plot: Axes, point: tuple[float, float]) -> tuple[float, float]:
    """Where a point of the data lies in the SVG, whose origin is at top left; as the page's script needs it."""
    across, up = pixel(plot, point)
    return round(across, 1), round(float(plot.figure.bbox.height) - up, 1)


def places(plot: Axes, points: Iterable[tuple[float, float]]) -> str:
    """`place` of several points, as one attribute: `x,y x,y`."""
    return " ".join(f"{across:g},{up:g}" for across, up in (place(plot, point) for point in points))

"""The figures of a report, as SVG to be put inside an HTML page.

Owns how candidates are drawn: marks, scales, labels. Does not know where the numbers come from nor what the
page around a figure looks like. The same data gives the same bytes.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from matplotlib.axis import XAxis
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter, NullLocator

from lamps_core.figure_labels import Label, label_points, name_in_column, name_line_ends, pixel
from lamps_core.inline_svg import CARD, FAINT, FRONT_COLOURS, GRID, INK, MUTED, inline_svg
from lamps_core.label_layout import displayable, shortened

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from matplotlib.axes import Axes
    from matplotlib.axis import Axis

Standing = Literal["front", "complete", "unfinished"]

# Past six colours the dashes tell candidates apart.
_DASHES: tuple[str | tuple[int, tuple[float, ...]], ...] = ("-", (0, (5, 1.5)), (0, (1.5, 1.2)))
_WIDTH, _HEIGHT = 900, 500
_LEFT, _RIGHT, _TOP, _BOTTOM = 64, 20, 16, 54
_NAME_COLUMN = 206
# An axis turns logarithmic when its largest value is so many times its smallest.
_LOG_RATIO = 12.0


@dataclass(frozen=True, kw_only=True)
class DrawnCandidate:
    """One candidate as the figures draw it.

    Attributes:
        name: what it is called; may hold any character.
        number: its row in the page's table of candidates, from 1: a point's label where a name has no room.
        standing: `front`, `complete` (dominated) or `unfinished`.
        rank: its place on the front, from 0, which gives its colour; 0 when not on the front.
        objectives: name to value; empty unless complete.
        steps: landmark steps run, ascending.
        losses: evaluation loss after each of them, nats.
        seconds: training seconds summed up to each of them.
    """

    name: str
    number: int
    standing: Standing
    rank: int = 0
    objectives: Mapping[str, float]
    steps: tuple[int, ...] = ()
    losses: tuple[float, ...] = ()
    seconds: tuple[float, ...] = ()

    @property
    def colour(self) -> str:
        """Its colour in every figure of a page."""
        if self.standing == "front":
            return FRONT_COLOURS[self.rank % len(FRONT_COLOURS)]
        return FAINT

    @property
    def dashes(self) -> str | tuple[int, tuple[float, ...]]:
        """Its line style in every figure of a page."""
        return _DASHES[self.rank // len(FRONT_COLOURS) % len(_DASHES)]


@dataclass(frozen=True, kw_only=True)
class Axes2D:
    """Which objective lies along which axis, and what is written there.

    An axis whose larger values are better runs the other way, so that lower left is better in every figure.
    """

    across: str
    across_title: str
    across_maximised: bool = False
    up: str
    up_title: str
    up_maximised: bool = False


def front_figure(
    candidates: Sequence[DrawnCandidate],
    axes: Axes2D,
    *,
    reference: tuple[float, float] | None = None,
    joined: bool = True,
) -> str:
    """Draw the complete candidates, one objective against another, each in natural units.

    Args:
        candidates: those without both objectives are left out.
        axes: what lies along each axis.
        reference: the reference point, (across, up).
        joined: whether to join the front by a step line and shade what it dominates up to the reference
            point. With more than two objectives the front is no staircase in any plane: pass False.

    Returns:
        One `<svg>` element.
    """
    shown = [item for item in candidates if axes.across in item.objectives and axes.up in item.objectives]
    figure, plot = _blank(right=_RIGHT)
    points = [(item.objectives[axes.across], item.objectives[axes.up]) for item in shown]
    _scale(plot.xaxis, [point[0] for point in points], reference and reference[0])
    _scale(plot.yaxis, [point[1] for point in points], reference and reference[1])
    plot.set_xlabel(axes.across_title)
    plot.set_ylabel(axes.up_title)
    front = [point for item, point in zip(shown, points, strict=True) if item.standing == "front"]
    plot.xaxis.set_inverted(axes.across_maximised)
    plot.yaxis.set_inverted(axes.up_maximised)
    if joined and front:
        _draw_staircase(plot, sorted(front, reverse=axes.across_maximised), reference)
    tooltips = _draw_points(plot, shown, points, axes)
    _label_candidates(plot, shown, points, reference)
    count = len(front)
    return inline_svg(
        figure,
        name=f"front-{axes.across}-{axes.up}",
        title=f"{axes.up_title} against {axes.across_title}",
        description=f"{len(shown)} complete candidates, {count} on the front. The table holds the numbers.",
        tooltips=tooltips,
    )


def curve_figure(
    candidates: Sequence[DrawnCandidate], *, against: Literal["step", "seconds"], loss_title: str
) -> str:
    """Draw the learning curves, a line a candidate, those of the front in colour and named.

    Args:
        candidates: those without a step are left out.
        against: the horizontal axis: landmark steps, or training seconds so far on a logarithmic axis, which
            cannot hold step 0.
        loss_title: what is written along the vertical axis.

    Returns:
        One `<svg>` element.
    """
    by_step = against == "step"
    figure, plot = _blank(right=_NAME_COLUMN if by_step else _RIGHT)
    lines = [(item, _line(item, by_step=by_step)) for item in candidates]
    lines = [(item, line) for item, line in lines if line]
    lines.sort(key=lambda pair: (pair[0].standing == "front", -pair[0].rank))
    _scale(plot.yaxis, [loss for _, line in lines for _, loss in line])
    if by_step:
        _scale_steps(plot, max((step for _, line in lines for step, _ in line), default=1))
    else:
        _scale(plot.xaxis, [seconds for _, line in lines for seconds, _ in line], always_log=True)
    plot.set_ylabel(loss_title)
    plot.set_xlabel("Landmark step (0: before any training)" if by_step else "Training seconds so far")
    tooltips = {}
    for item, line in lines:
        tooltips[f"curve-{item.number}"] = displayable(item.name)
        _draw_curve(plot, item, line)
    _name_curves(plot, [pair for pair in lines if pair[0].standing == "front"], in_column=by_step)
    return inline_svg(
        figure,
        name=f"curves-{against}",
        title=f"{loss_title} against {'landmark steps' if by_step else 'training seconds'}",
        description=f"Learning curves of {len(lines)} candidates. The table holds their last values.",
        tooltips=tooltips,
    )


def _blank(*, right: int) -> tuple[Figure, Axes]:
    # 72 dots per inch: a unit of the SVG is a pixel, a point and the unit of every label's place.
    figure = Figure(figsize=(_WIDTH / 72, _HEIGHT / 72), dpi=72)
    plot = figure.add_axes(
        (
            _LEFT / _WIDTH,
            _BOTTOM / _HEIGHT,
            (_WIDTH - _LEFT - right) / _WIDTH,
            (_HEIGHT - _TOP - _BOTTOM) / _HEIGHT,
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


def _scale(
    axis: Axis, values: Sequence[float], reference: float | None = None, *, always_log: bool = False
) -> None:
    known = [value for value in (*values, reference) if value is not None and math.isfinite(value)] or [1.0]
    low, high = min(known), max(known)
    plot, across = axis.axes, isinstance(axis, XAxis)
    set_limits: Callable[..., object] = plot.set_xlim if across else plot.set_ylim
    if low > 0 and (always_log or high / low > _LOG_RATIO):
        (plot.set_xscale if across else plot.set_yscale)("log")
        margin = max((high / low) ** 0.06, 1.05)
        # Labels of the best points hang on their lower left, where nothing else can be.
        set_limits(low / margin**2, high * margin)
        subdivisions = (1.0, 2.0, 5.0) if high / low < 2000 else (1.0,)
        axis.set_major_locator(LogLocator(subs=subdivisions))
        axis.set_minor_locator(NullLocator())
        axis.set_minor_formatter(NullFormatter())
    else:
        margin = (high - low) * 0.07 or abs(high) * 0.1 or 1.0
        set_limits(low - 1.5 * margin, high + margin)
        # No quarters: their labels are too long for the margin.
        axis.set_major_locator(MaxNLocator(nbins=9, steps=[1, 2, 5, 10]))
    axis.set_major_formatter(FuncFormatter(tick_text))


def tick_text(value: float, _: int | None = None) -> str:
    """A number beside an axis."""
    return f"{value / 1e6:,.6g} M" if abs(value) >= 1e6 else f"{value:,.6g}"


def _scale_steps(plot: Axes, last: float) -> None:
    plot.set_xlim(-0.2, last + 0.2)
    every = max(1, math.ceil(last / 20))
    plot.set_xticks(list(range(0, int(last) + 1, every)))


def _draw_staircase(
    plot: Axes, front: list[tuple[float, float]], reference: tuple[float, float] | None
) -> None:
    """Join the front, the best across first, and shade what it dominates."""
    # The limits come worst last, whichever way an axis runs.
    right, top = reference or (plot.get_xlim()[1], plot.get_ylim()[1])
    across = [front[0][0], *(point[0] for point in front), right]
    up = [top, *(point[1] for point in front), front[-1][1]]
    plot.plot(across, up, drawstyle="steps-post", color=MUTED, linewidth=1.2, zorder=2)
    if reference:
        plot.fill_between(
            across, up, [top] * len(up), step="post", color=MUTED, alpha=0.07, linewidth=0, zorder=0
        )


def _draw_points(
    plot: Axes, shown: Sequence[DrawnCandidate], points: Sequence[tuple[float, float]], axes: Axes2D
) -> dict[str, str]:
    tooltips = {}
    for item, (across, up) in zip(shown, points, strict=True):
        on_front = item.standing == "front"
        tooltips[f"point-{item.number}"] = (
            f"{displayable(item.name)}\n{axes.up_title} {up:.4g}\n{axes.across_title} {across:.4g}"
        )
        plot.plot(
            [across],
            [up],
            marker="o",
            markersize=10 if on_front else 7,
            markerfacecolor=item.colour,
            markeredgecolor=CARD,
            markeredgewidth=1.2,
            zorder=4 if on_front else 3,
            gid=f"point-{item.number}",
        )
    return tooltips


def _line(item: DrawnCandidate, *, by_step: bool) -> list[tuple[float, float]]:
    if by_step:
        return [(float(step), loss) for step, loss in zip(item.steps, item.losses, strict=True)]
    pairs = zip(item.seconds, item.losses, strict=True)
    return [(seconds, loss) for seconds, loss in pairs if seconds > 0]


def _draw_curve(plot: Axes, item: DrawnCandidate, line: Sequence[tuple[float, float]]) -> None:
    on_front = item.standing == "front"
    plot.plot(
        [point[0] for point in line],
        [point[1] for point in line],
        color=item.colour,
        linestyle=item.dashes,
        linewidth=2.2 if on_front else 1.1,
        marker="o" if item.standing != "unfinished" else None,
        markevery=[len(line) - 1],
        markersize=7 if on_front else 4.5,
        markeredgecolor=CARD if on_front else item.colour,
        zorder=4 if on_front else 2,
        gid=f"curve-{item.number}",
    )


def _label_candidates(
    plot: Axes,
    shown: Sequence[DrawnCandidate],
    points: Sequence[tuple[float, float]],
    reference: tuple[float, float] | None,
) -> None:
    if reference:
        plot.plot(*reference, marker="P", markersize=9, color=MUTED, markeredgewidth=0, zorder=3)
    labels = [
        (item.standing == "front", Label(shortened(item.name), item.number, pixel(plot, point)))
        for item, point in zip(shown, points, strict=True)
    ]
    label_points(
        plot,
        [label for on_front, label in labels if on_front],
        [label for on_front, label in labels if not on_front],
        reference=pixel(plot, reference) if reference else None,
    )


def _name_curves(
    plot: Axes, lines: Sequence[tuple[DrawnCandidate, list[tuple[float, float]]]], *, in_column: bool
) -> None:
    labels = [
        Label(shortened(item.name, 24), item.number, pixel(plot, line[-1]), item.colour)
        for item, line in lines
    ]
    if in_column:
        name_in_column(plot, labels)
    else:
        name_line_ends(
            plot, labels, keep_off=[pixel(plot, point) for _, line in lines for point in _along(line)]
        )


def _along(line: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """Return the points of a line and those halfway between them."""
    halfway = [((a[0] + b[0]) / 2, (a[1] + b[1]) / 2) for a, b in itertools.pairwise(line)]
    return [*line, *halfway]

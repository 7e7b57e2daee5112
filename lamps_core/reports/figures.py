"""The figures of candidates in a report, as SVG to be put inside an HTML page: the front, and learning curves.

Owns how candidates are drawn: their marks and labels, and what the page's script is told of these (`data-`
attributes: whose a mark is, where it lies). Does not know where the numbers come from nor what the page around a
figure looks like. The same data gives the same bytes.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from lamps_core.report_words import displayable
from lamps_core.reports.figure_axes import RIGHT, blank, place, places, scale, scale_steps
from lamps_core.reports.figure_labels import (
    Label,
    Pixel,
    label_points,
    name_in_column,
    name_line_ends,
    pixel,
    stairs,
)
from lamps_core.reports.inline_svg import CARD, FAINT, FRONT_COLOURS, MUTED, inline_svg
from lamps_core.reports.label_layout import shortened

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from matplotlib.axes import Axes

Standing = Literal["front", "complete", "unfinished"]

# Past six colours the dashes tell candidates apart.
_DASHES: tuple[str | tuple[int, tuple[float, ...]], ...] = ("-", (0, (5, 1.5)), (0, (1.5, 1.2)))
_NAME_COLUMN = 206


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
        facts: what else is shown where a pointer rests on its marks, a line each: `label: value`.
    """

    name: str
    number: int
    standing: Standing
    rank: int = 0
    objectives: Mapping[str, float]
    steps: tuple[int, ...] = ()
    losses: tuple[float, ...] = ()
    seconds: tuple[float, ...] = ()
    facts: tuple[str, ...] = ()

    @property
    def told(self) -> str:
        """What is shown where a pointer rests on its marks."""
        return "\n".join([displayable(self.name), *self.facts])

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

    Attributes:
        across: column of the objective along the horizontal axis.
        across_title: what is written at that axis.
        across_maximised: whether its larger values are better.
        up: column of the objective along the vertical axis.
        up_title: what is written at that axis.
        up_maximised: whether its larger values are better.
    """

    across: str
    across_title: str
    across_maximised: bool = False
    up: str
    up_title: str
    up_maximised: bool = False

    @property
    def named(self) -> tuple[tuple[str, str], ...]:
        """Both objectives and their titles, the one along the vertical axis first."""
        return (self.up, self.up_title), (self.across, self.across_title)


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
    figure, plot = blank(right=RIGHT)
    points = [(item.objectives[axes.across], item.objectives[axes.up]) for item in shown]
    scale(plot.xaxis, [point[0] for point in points], reference and reference[0])
    scale(plot.yaxis, [point[1] for point in points], reference and reference[1])
    plot.set_xlabel(axes.across_title)
    plot.set_ylabel(axes.up_title)
    front = [point for item, point in zip(shown, points, strict=True) if item.standing == "front"]
    plot.xaxis.set_inverted(axes.across_maximised)
    plot.yaxis.set_inverted(axes.up_maximised)
    steps = []
    if joined and front:
        steps = _draw_staircase(plot, sorted(front, reverse=axes.across_maximised), reference)
    for item, point in zip(shown, points, strict=True):
        draw_mark(plot, item, point, gid=f"point-{item.number}", sizes=(10, 7))
    _label_candidates(plot, list(zip(shown, points, strict=True)), reference, keep_off=steps)
    count = len(front)
    return inline_svg(
        figure,
        name=f"front-{axes.across}-{axes.up}",
        title=f"{axes.up_title} against {axes.across_title}",
        description=f"{len(shown)} complete candidates, {count} on the front. The table holds the numbers.",
        tooltips={f"point-{item.number}": _point_told(item, axes) for item in shown},
        attributes=name_attributes(shown)
        | {"staircase": _staircase_attributes(plot, reference), "shade": {"class": "shade"}}
        | {
            f"point-{item.number}": mark_attributes(plot, item, point)
            for item, point in zip(shown, points, strict=True)
        },
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
    figure, plot = blank(right=_NAME_COLUMN if by_step else RIGHT)
    lines = [(item, _line(item, by_step=by_step)) for item in candidates]
    lines = [(item, line) for item, line in lines if line]
    lines.sort(key=lambda pair: (pair[0].standing == "front", -pair[0].rank))
    scale(plot.yaxis, [loss for _, line in lines for _, loss in line])
    if by_step:
        scale_steps(plot, max((step for _, line in lines for step, _ in line), default=1))
    else:
        scale(plot.xaxis, [seconds for _, line in lines for seconds, _ in line], always_log=True)
    plot.set_ylabel(loss_title)
    plot.set_xlabel("Landmark step (0: before any training)" if by_step else "Training seconds so far")
    for item, line in lines:
        _draw_curve(plot, item, line)
    _name_curves(plot, [pair for pair in lines if pair[0].standing == "front"], in_column=by_step)
    return inline_svg(
        figure,
        name=f"curves-{against}",
        title=f"{loss_title} against {'landmark steps' if by_step else 'training seconds'}",
        description=f"Learning curves of {len(lines)} candidates. The table holds their last values.",
        tooltips={f"curve-{item.number}": item.told for item, _ in lines},
        attributes=name_attributes(item for item, _ in lines)
        | {f"curve-{item.number}": _curve_attributes(plot, item, line) for item, line in lines},
    )


def name_attributes(items: Iterable[DrawnCandidate]) -> dict[str, dict[str, str]]:
    """Attributes, by gid, of the names beside marks and of the thin lines that lead to them."""
    return {
        f"{part}-{item.number}": {"class": part, "data-candidate": str(item.number)}
        for item in items
        for part in ("name", "lead")
    }


def _curve_attributes(
    plot: Axes, item: DrawnCandidate, line: Sequence[tuple[float, float]]
) -> dict[str, str]:
    """Whose a curve is, its first step, and where each step lies and what its loss was."""
    return {
        "class": f"mark curve {item.standing}",
        "data-candidate": str(item.number),
        "data-first": str(item.steps[len(item.steps) - len(line)]),
        "data-along": places(plot, line),
        "data-losses": " ".join(f"{loss:.4f}" for _, loss in line),
    }


def _staircase_attributes(plot: Axes, reference: tuple[float, float] | None) -> dict[str, str]:
    across, up = place(plot, _corner(plot, reference))
    return {"class": "staircase", "data-corner": f"{across:g},{up:g}"}


def _point_told(item: DrawnCandidate, axes: Axes2D) -> str:
    if item.facts:
        return item.told
    values = ((title, item.objectives[name]) for name, title in axes.named)
    return "\n".join([item.told, *(f"{title}: {value:.4g}" for title, value in values)])


def _draw_staircase(
    plot: Axes, front: list[tuple[float, float]], reference: tuple[float, float] | None
) -> list[Pixel]:
    """Join the front, the best across first, and shade what it dominates; returns where the line runs."""
    right, top = _corner(plot, reference)
    line = [(front[0][0], top)]
    for across, up in [*front, (right, front[-1][1])]:
        line += [(across, line[-1][1]), (across, up)]
    plot.plot(*zip(*line, strict=True), color=MUTED, linewidth=1.2, zorder=2, gid="staircase")
    if reference:
        outline = zip(*line, (right, top), strict=True)
        plot.fill(*outline, color=MUTED, alpha=0.07, linewidth=0, zorder=0, gid="shade")
    return stairs([pixel(plot, place) for place in line])


def _corner(plot: Axes, reference: tuple[float, float] | None) -> tuple[float, float]:
    """Where what a front dominates ends: the limits come worst last, whichever way an axis runs."""
    return reference or (plot.get_xlim()[1], plot.get_ylim()[1])


def draw_mark(
    plot: Axes,
    item: DrawnCandidate,
    point: tuple[float, float],
    *,
    gid: str,
    sizes: tuple[int, int],
    clipped: bool = True,
) -> None:
    """Draw the mark of a candidate.

    Args:
        plot: where.
        item: whose.
        point: in the units of the axes.
        gid: of the mark.
        sizes: of one on the front, and of any other.
        clipped: whether it ends where the axes do.
    """
    on_front = item.standing == "front"
    plot.plot(
        [point[0]],
        [point[1]],
        marker="o",
        markersize=sizes[0] if on_front else sizes[1],
        markerfacecolor=item.colour,
        markeredgecolor=CARD,
        markeredgewidth=1.2,
        clip_on=clipped,
        zorder=4 if on_front else 3,
        gid=gid,
    )


def mark_attributes(plot: Axes, item: DrawnCandidate, point: tuple[float, float]) -> dict[str, str]:
    """What the page's script is told of a mark: whose it is, and where it lies."""
    return {
        "class": f"mark point {item.standing}",
        "data-candidate": str(item.number),
        "data-at": places(plot, [point]),
    }


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
    shown: Sequence[tuple[DrawnCandidate, tuple[float, float]]],
    reference: tuple[float, float] | None,
    *,
    keep_off: Sequence[Pixel],
) -> None:
    if reference:
        plot.plot(*reference, marker="P", markersize=9, color=MUTED, markeredgewidth=0, zorder=3)
    labels = [
        (item.standing == "front", Label(shortened(item.name), item.number, pixel(plot, point)))
        for item, point in shown
    ]
    label_points(
        plot,
        [label for on_front, label in labels if on_front],
        [label for on_front, label in labels if not on_front],
        reference=pixel(plot, reference) if reference else None,
        keep_off=keep_off,
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

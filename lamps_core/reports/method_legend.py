"""How each method is drawn in every figure of an evaluation, and the legend that says so.

Owns colours, marks and dashes by method. Knows nothing of the figures' numbers.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from matplotlib.lines import Line2D

from lamps_core.evaluation.summary import ORACLE
from lamps_core.reports.figure_axes import WIDTH
from lamps_core.reports.inline_svg import FRONT_COLOURS, INK
from lamps_core.reports.label_layout import shortened, width_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from matplotlib.figure import Figure

Dashes = Literal["-"] | tuple[int, tuple[float, ...]]
_DASHES: tuple[Dashes, ...] = ("-", (0, (4, 1.5)), (0, (1.2, 1.2)))
_MARKERS = ("o", "s", "^", "D")
_LEGEND_LINE = 20.0


@dataclass(frozen=True)
class Style:
    """How a method is drawn in every figure.

    Attributes:
        name: the method's.
        colour: of its line and marks.
        marker: matplotlib's sign for a mark.
        dashes: matplotlib's line style.
    """

    name: str
    colour: str
    marker: str
    dashes: Dashes


def styles(methods: Iterable[str]) -> dict[str, Style]:
    """One a method, by name; past six colours the marks and dashes tell them apart."""
    others = [name for name in dict.fromkeys(methods) if name != ORACLE]
    found = {ORACLE: Style(ORACLE, INK, "*", (0, (2, 1)))}
    for index, name in enumerate(others):
        rank = index // len(FRONT_COLOURS)
        colour = FRONT_COLOURS[index % len(FRONT_COLOURS)]
        found[name] = Style(name, colour, _MARKERS[rank % len(_MARKERS)], _DASHES[rank % len(_DASHES)])
    return found


def _legend_lines(drawn: Iterable[Style]) -> list[list[tuple[float, Style]]]:
    """Lines of (left edge, style), as many as fit side by side."""
    lines: list[list[tuple[float, Style]]] = [[]]
    left = 8.0
    for style in drawn:
        width = 30.0 + width_of(shortened(style.name, 30)) + 16.0
        if lines[-1] and left + width > WIDTH - 8.0:
            lines.append([])
            left = 8.0
        lines[-1].append((left, style))
        left += width
    return lines


def legend_height(drawn: Iterable[Style]) -> float:
    """Pixels that the legend of these takes."""
    return _LEGEND_LINE * len(_legend_lines(drawn)) + 12.0


def draw_legend(figure: Figure, drawn: Sequence[Style], height: float, *, marks: bool) -> None:
    """Write a legend into the top of a figure so many pixels high: with marks as in Figure 3, or lines alone."""
    for row, line in enumerate(_legend_lines(drawn)):
        up = 1.0 - (_LEGEND_LINE * (row + 0.5) + 2.0) / height
        for left, style in line:
            figure.add_artist(
                Line2D(
                    [left / WIDTH, (left + 22.0) / WIDTH],
                    [up, up],
                    color=style.colour,
                    linestyle="-" if marks else style.dashes,
                    linewidth=1.0 if marks else 2.0,
                    marker=style.marker if marks else None,
                    markevery=[1],
                    markersize=7,
                )
            )
            figure.text(
                (left + 29.0) / WIDTH,
                up,
                shortened(style.name, 30),
                color=INK,
                fontsize=12,
                verticalalignment="center_baseline",
                parse_math=False,
            )

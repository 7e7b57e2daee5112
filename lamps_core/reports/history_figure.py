"""The figure of how a search went: what was spent against the hypervolume of the candidates complete by then.

Owns how it is drawn, and what the page's script is told of it: where its axes lie, for the cursor.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lamps_core.reports.figure_axes import BOTTOM, LEFT, RIGHT, TOP, WIDTH, blank
from lamps_core.reports.figure_labels import Label, label_points, pixel, stairs
from lamps_core.reports.figures import draw_mark, mark_attributes, name_attributes
from lamps_core.reports.inline_svg import MUTED, inline_svg
from lamps_core.reports.label_layout import shortened

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes

    from lamps_core.reports.figures import DrawnCandidate
    from lamps_core.search.history import Moment

_HEIGHT = 300
_HOURS_FROM = 7200.0  # seconds from which the axis counts in hours


def history_figure(moments: Sequence[Moment], candidates: Sequence[DrawnCandidate]) -> str | None:
    """Draw the share of the final hypervolume against what was spent, a mark where a candidate was complete.

    Args:
        moments: of the search, oldest first.
        candidates: those of the page.

    Returns:
        One `<svg>` element; None where there is no hypervolume.
    """
    if not moments or not moments[-1].hypervolume > 0.0:
        return None
    whole, total = moments[-1].hypervolume, moments[-1].spent_seconds
    unit, named = (3600.0, "Hours spent") if total >= _HOURS_FROM else (1.0, "Seconds spent")
    figure, plot = blank(height=_HEIGHT)
    plot.set_xlim(0.0, total / unit)
    plot.set_ylim(0.0, 108.0)
    plot.set_yticks([0, 25, 50, 75, 100])
    plot.set_xlabel(f"{named} on all steps")
    plot.set_ylabel("Hypervolume, % of the final")
    line = [(0.0, 0.0), *((one.spent_seconds / unit, 100 * one.hypervolume / whole) for one in moments)]
    across, up = [point[0] for point in line], [point[1] for point in line]
    plot.plot(across, up, drawstyle="steps-post", color=MUTED, linewidth=1.6, gid="history")
    plot.fill_between(across, up, step="post", color=MUTED, alpha=0.07, linewidth=0)
    by_name = {item.name: item for item in candidates}
    ends = {
        one.candidate: point
        for one, point in zip(moments, line[1:], strict=True)
        if one.completed and by_name[one.candidate].objectives
    }
    drawn = [(by_name[name], point) for name, point in ends.items()]
    _draw_ends(plot, drawn, line)
    frame = f"{LEFT} {WIDTH - RIGHT} {TOP} {_HEIGHT - BOTTOM}"
    return inline_svg(
        figure,
        name="history",
        title="Hypervolume against what was spent",
        description=f"{len(ends)} candidates complete, one after another. The table holds their numbers.",
        tooltips={f"end-{item.number}": item.told for item, _ in drawn},
        attributes={"history": {"class": "history", "data-frame": frame}}
        | name_attributes(item for item, _ in drawn)
        | {f"end-{item.number}": mark_attributes(plot, item, point) for item, point in drawn},
    )


def _draw_ends(
    plot: Axes,
    drawn: Sequence[tuple[DrawnCandidate, tuple[float, float]]],
    line: Sequence[tuple[float, float]],
) -> None:
    for item, point in drawn:
        draw_mark(plot, item, point, gid=f"end-{item.number}", sizes=(9, 6), clipped=False)
    labels = [
        Label(shortened(item.name, 24), item.number, pixel(plot, point))
        for item, point in drawn
        if item.standing == "front"
    ]
    steps = stairs([pixel(plot, point) for point in line])
    label_points(plot, labels, [], reference=None, keep_off=steps)

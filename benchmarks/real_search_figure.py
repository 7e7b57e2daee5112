"""Figure and table of real searches: share of the hypervolume against the time spent, by method and dataset.

Time is that of the processor, which other work on the machine moves little: with one thread, what the clock would say
on an idle machine, less the waiting for a disk. The table has the clock's in its last column.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from lamps_core.evaluation.folds import KEY_SHARE
from lamps_core.report_words import displayable
from lamps_core.reports.figure_axes import WIDTH, style_axes, tick_text
from lamps_core.reports.inline_svg import INK, MUTED, inline_svg, standalone_svg
from lamps_core.reports.method_legend import draw_legend, legend_height, styles

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from matplotlib.axes import Axes

    from benchmarks.real_search_record import Judged
    from lamps_core.reports.method_legend import Style

BARS = ("blind", "cheapest")
MOMENTS = (0.05, 0.1, 0.2, 0.5)  # of the exhaustive search
BEYOND = 1.2  # of the exhaustive search, where the figure ends
_LEFT, _GAP, _PANEL, _BOTTOM, _TITLE = 64.0, 34.0, 260.0, 54.0, 26.0


def share_figure(rows: Sequence[Judged]) -> str:
    """A panel a dataset: the mean share over seeds by method, between the least and the most.

    Returns:
        An SVG file.
    """
    datasets, drawn = _in_order(rows), styles(_methods(rows))
    legend = legend_height(drawn[name] for name in _methods(rows))
    height = legend + _TITLE + _PANEL + _BOTTOM
    figure = Figure(figsize=(WIDTH / 72, height / 72), dpi=72)
    width = (WIDTH - _LEFT - 20.0 - _GAP * (len(datasets) - 1)) / len(datasets)
    tooltips: dict[str, str] = {}
    for place, dataset in enumerate(datasets):
        left = _LEFT + place * (width + _GAP)
        plot = figure.add_axes(
            (left / WIDTH, _BOTTOM / height, width / WIDTH, _PANEL / height), label=dataset
        )
        of_dataset = [row for row in rows if row.dataset == dataset]
        _draw_panel(plot, of_dataset, drawn, place, tooltips)
        plot.set_title(dataset, color=INK, fontsize=13, loc="left", parse_math=False)
        if place == 0:
            plot.set_ylabel("Share of the front's hypervolume")
    draw_legend(figure, [drawn[name] for name in _methods(rows)], height, marks=False)
    svg = inline_svg(
        figure,
        name="real-search",
        title="Share of the front's hypervolume against the processor seconds that a real search spent",
        description=(
            f"{', '.join(_methods(rows))} on {' and '.join(datasets)}: means over seeds, and bands from the least to "
            "the most. The table beside it holds the numbers."
        ),
        tooltips=tooltips,
    )
    return standalone_svg(svg) + "\n"


def _draw_panel(
    plot: Axes, rows: Sequence[Judged], drawn: dict[str, Style], place: int, tooltips: dict[str, str]
) -> None:
    style_axes(plot)
    everything = float(np.mean([row.exhaustive_cpu for row in rows]))
    end = BEYOND * everything
    plot.set_xlim(0.0, end)
    plot.axvline(everything, color=MUTED, linewidth=2, gid=f"all-{place}")
    tooltips[f"all-{place}"] = f"exhaustive search {everything:,.4g} s"
    plot.set_ylim(0.0, 1.03)
    plot.xaxis.set_major_locator(MaxNLocator(nbins=6, steps=[1, 2, 5, 10]))
    for axis in (plot.xaxis, plot.yaxis):
        axis.set_major_formatter(FuncFormatter(tick_text))
    plot.set_xlabel("Processor seconds spent")
    plot.axhline(KEY_SHARE, color=MUTED, linewidth=1, linestyle=(0, (4, 3)))
    for name in _methods(rows):
        style = drawn[name]
        paths = [row.cpu for row in rows if row.method == name]
        moments = np.unique(np.concatenate([*(path.spent_seconds for path in paths), [end]]))
        moments = moments[moments <= end]
        shares = np.array([path.at(moments) for path in paths])
        known = ~np.isnan(shares).any(axis=0)
        moments, shares = moments[known], shares[:, known]
        least, most = shares.min(axis=0), shares.max(axis=0)
        plot.fill_between(moments, least, most, step="post", color=style.colour, alpha=0.12, linewidth=0)
        gid = f"share-{place}-{name}"
        plot.plot(
            moments,
            shares.mean(axis=0),
            drawstyle="steps-post",
            color=style.colour,
            linestyle=style.dashes,
            linewidth=2.0,
            gid=gid,
        )
        tooltips[gid] = displayable(name)


def share_table(rows: Sequence[Judged]) -> str:
    """The figure's numbers as a Markdown table: means over seeds, and from the least to the most."""
    heads = [f"at {moment:.0%}" for moment in MOMENTS]
    titles = ["dataset", "method", "seeds", *heads, f"time to {KEY_SHARE:.0%}", "by the clock"]
    lines = [titles, ["---", "---", *["---:"] * (len(titles) - 2)]]
    for dataset in _in_order(rows):
        for method in _methods(rows):
            found = [row for row in rows if (row.dataset, row.method) == (dataset, method)]
            if found:
                lines.append([dataset, f"`{method}`", str(len(found)), *_cells(found)])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def exhaustive_told(rows: Sequence[Judged]) -> str:
    """What the exhaustive searches took, in words."""
    told = []
    for dataset in _in_order(rows):
        found = sorted({f"{row.exhaustive_cpu:.0f}" for row in rows if row.dataset == dataset}, key=float)
        told.append(f"{' and '.join(found)} processor seconds on {dataset}")
    return "; ".join(told)


def _cells(rows: Sequence[Judged]) -> list[str]:
    cells = [
        _spread([float(row.cpu.at(moment * row.exhaustive_cpu)) for row in rows], "{:.2f}".format)
        for moment in MOMENTS
    ]
    walls = [row.wall.seconds_to(KEY_SHARE) / row.exhaustive for row in rows]
    cpus = [row.cpu.seconds_to(KEY_SHARE) / row.exhaustive_cpu for row in rows]
    return [*cells, _spread(cpus, "{:.0%}".format), _spread(walls, "{:.0%}".format)]


def _spread(values: Sequence[float], written: Callable[[float], str]) -> str:
    """Mean, least and most; of one, that one; where one is not known, nothing.

    >>> _spread([0.5, 1.0], "{:.2f}".format)
    '0.75 (0.50 to 1.00)'
    """
    if not np.isfinite(values).all():
        return "not reached"
    if len(values) == 1:
        return written(values[0])
    return f"{written(float(np.mean(values)))} ({written(min(values))} to {written(max(values))})"


def _in_order(rows: Sequence[Judged]) -> list[str]:
    return list(dict.fromkeys(row.dataset for row in rows))


def _methods(rows: Sequence[Judged]) -> list[str]:
    """The two bars first, then what is compared with them."""
    return sorted({row.method for row in rows}, key=lambda name: (name not in BARS, name))

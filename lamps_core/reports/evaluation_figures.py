"""Figures 3, 4 and 5 of the paper, from what `evaluation.json` holds, as SVG.

Owns what each figure shows and its scales. Does not know how a number came about.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullLocator

from lamps_core.evaluation.folds import KEY_SHARE
from lamps_core.evaluation.summary import reached_seconds
from lamps_core.evaluation.unit import REWARD, STEPS
from lamps_core.report_words import displayable
from lamps_core.reports.figure_axes import WIDTH, blank, places, scale_log, style_axes, tick_text
from lamps_core.reports.inline_svg import CARD, GRID, INK, MUTED, inline_svg
from lamps_core.reports.label_layout import shortened
from lamps_core.reports.method_legend import Style, draw_legend, legend_height, styles

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    import numpy.typing as npt
    from matplotlib.axes import Axes

    FloatArray = npt.NDArray[np.float64]

Row = dict[str, Any]
OPTIMAL_REWARD = 3000.0  # of the normalised reward (paper, Appendix C)
LEAST_LOSS = 1e-3  # of Figure 4's axis: less is drawn there
_FEW_PLACES = 48  # of a line, by which a pointer finds it
_COLUMNS, _PANEL_HEIGHT, _PANEL_GAP = 3, 176.0, 56.0
_LEFT, _BOTTOM = 76.0, 52.0  # of the axes


def methods_of(result: Row) -> list[str]:
    """Those that have rows, in order."""
    return list(dict.fromkeys(row["method"] for row in result["folds"]))


def time_figure(result: Row) -> str:
    """Figure 3: hours to 98 % of the hypervolume on each held-out dataset, and those of an exhaustive search.

    A line ends at the mean over repeats; where they differ, a thin one spans them.
    """
    methods, datasets = methods_of(result), _datasets(result)
    drawn, lane = styles(methods), 9.0
    row_height = lane * len(methods) + 16.0
    legend = legend_height(drawn[name] for name in methods)
    height = legend + row_height * len(datasets) + _BOTTOM
    figure, plot = blank(left=170.0, top=legend, bottom=_BOTTOM, height=height)
    low, high = _bounds(row for row in result["folds"])
    plot.set_xlim(low, high)
    plot.set_ylim(len(datasets) * row_height, 0.0)
    plot.grid(visible=False, axis="y")
    _scale_hours(plot, low, high)
    plot.set_yticks([])
    plot.set_xlabel("Hours of a GPU until 98 % of the hypervolume is reached")
    tooltips: dict[str, str] = {}
    attributes: dict[str, dict[str, str]] = {}
    for place, dataset in enumerate(datasets):
        top = place * row_height
        rows = [row for row in result["folds"] if row["dataset"] == dataset]
        everything = float(np.mean([row["exhaustive_seconds"] for row in rows])) / 3600
        plot.plot(
            [everything] * 2, [top + 6, top + row_height - 6], color=MUTED, linewidth=2, gid=f"all-{place}"
        )
        tooltips[f"all-{place}"] = f"{displayable(dataset)}\nexhaustive search {everything:,.4g} h"
        if place:
            plot.axhline(top, color=GRID, linewidth=1)
        _beside(plot, shortened(dataset, 22), top + row_height / 2)
        for index, name in enumerate(methods):
            of_method = [row for row in rows if row["method"] == name]
            if of_method:
                gid = f"time-{place}-{index}"
                end = _lollipop(plot, of_method, drawn[name], top + 8 + lane * (index + 0.5), gid)
                attributes[gid] = _mark(index, "point") | {"data-at": places(plot, [end])}
                tooltips[gid] = _time_told(name, dataset, of_method)
    draw_legend(figure, [drawn[name] for name in methods], height, marks=True)
    return inline_svg(
        figure,
        name="figure-3",
        title="Time to 98 % of the hypervolume on each held-out dataset",
        description=f"{len(methods)} methods on {len(datasets)} datasets; the table holds their means.",
        tooltips=tooltips,
        attributes=attributes,
    )


def _mark(method: int, kind: str) -> dict[str, str]:
    """What the page's script is told of a mark: which method's it is, from 1, as the page's table counts them."""
    return {"class": f"mark front {kind}", "data-candidate": str(method + 1)}


def _lollipop(plot: Axes, rows: Sequence[Row], style: Style, up: float, gid: str) -> tuple[float, float]:
    """Draw one, and return where it ends."""
    hours = np.array([reached_seconds(row) for row in rows]) / 3600
    seen = any(row.get("seen") for row in rows)
    plot.plot([plot.get_xlim()[0], hours.mean()], [up, up], color=style.colour, linewidth=1.0, alpha=0.35)
    if np.ptp(hours) > 0:
        plot.plot([hours.min(), hours.max()], [up, up], color=style.colour, linewidth=2.4, alpha=0.6)
    end = max(float(hours.mean()), plot.get_xlim()[0])
    plot.plot(
        [end],
        [up],
        marker=style.marker,
        markersize=8 if style.marker == "*" else 6,
        color=style.colour,
        markerfacecolor=CARD if seen else style.colour,
        markeredgecolor=style.colour,
        zorder=3,
        gid=gid,
    )
    return end, up


def _time_told(name: str, dataset: str, rows: Sequence[Row]) -> str:
    hours = np.array([reached_seconds(row) for row in rows]) / 3600
    spread = f" ({hours.min():,.4g} to {hours.max():,.4g})" if np.ptp(hours) > 0 else ""
    never = sum(row["seconds_to"][str(KEY_SHARE)] is None for row in rows)
    notes = f"\nnever reached in {never} of {len(rows)} repeats" if never else ""
    notes += "\ntrained on this dataset" if any(row.get("seen") for row in rows) else ""
    return f"{displayable(name)} on {displayable(dataset)}\nHours: {hours.mean():,.4g}{spread}{notes}"


def loss_figure(result: Row) -> str:
    """Figure 4: hypervolume loss, 1 - share, against the hours spent, a panel a held-out dataset."""
    methods, datasets = methods_of(result), _datasets(result)
    drawn = styles(methods)
    legend = legend_height(drawn[name] for name in methods)
    lines = math.ceil(len(datasets) / _COLUMNS)
    height = legend + lines * (_PANEL_HEIGHT + _PANEL_GAP) + 22.0
    figure = Figure(figsize=(WIDTH / 72, height / 72), dpi=72)
    width = (WIDTH - _LEFT) / _COLUMNS - 22.0
    tooltips: dict[str, str] = {}
    attributes: dict[str, dict[str, str]] = {}
    for place, dataset in enumerate(datasets):
        left = _LEFT + (place % _COLUMNS) * (width + 22.0)
        bottom = height - legend - (place // _COLUMNS + 1) * (_PANEL_HEIGHT + _PANEL_GAP) + 34.0
        plot = figure.add_axes(
            (left / WIDTH, bottom / height, width / WIDTH, _PANEL_HEIGHT / height), label=f"panel {place}"
        )
        rows = [row for row in result["folds"] if row["dataset"] == dataset]
        gids = {name: f"loss-{place}-{index}" for index, name in enumerate(methods)}
        for name, line in _loss_panel(plot, rows, drawn, gids).items():
            tooltips[gids[name]] = f"{displayable(name)} on {displayable(dataset)}"
            mark = _mark(methods.index(name), "curve")
            attributes[gids[name]] = mark | {"data-first": "0", "data-along": line}
        plot.set_title(shortened(dataset, 30), loc="left", fontsize=12, color=INK, parse_math=False)
        if place % _COLUMNS:
            plot.set_yticklabels([])
        else:
            plot.set_ylabel("Hypervolume loss", fontsize=12)
    figure.text(
        0.5, 8.0 / height, "Hours of a GPU spent", color=INK, fontsize=13, horizontalalignment="center"
    )
    draw_legend(figure, [drawn[name] for name in methods], height, marks=False)
    return inline_svg(
        figure,
        name="figure-4",
        title="Hypervolume loss against the hours spent",
        description=f"{len(methods)} methods, a panel for each of {len(datasets)} held-out datasets.",
        tooltips=tooltips,
        attributes=attributes,
    )


def _loss_panel(
    plot: Axes, rows: Sequence[Row], drawn: dict[str, Style], gids: dict[str, str]
) -> dict[str, str]:
    """Draw one, and return where each method's line runs."""
    style_axes(plot)
    plot.set_yscale("log")
    plot.set_ylim(LEAST_LOSS * 0.8, 1.25)
    low = min((row["trajectory"]["spent_seconds"][0] for row in rows), default=1.0) / 3600
    high = max(row["exhaustive_seconds"] for row in rows) / 3600
    low = max(low, high * 1e-6) * 0.9
    plot.set_xlim(low, high * 1.1)
    _scale_hours(plot, low, high * 1.1)
    plot.yaxis.set_major_locator(FixedLocator([1.0, 0.1, 0.01, LEAST_LOSS]))
    plot.yaxis.set_minor_locator(NullLocator())
    plot.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.3g}"))
    plot.axhline(1.0 - KEY_SHARE, color=MUTED, linewidth=1, linestyle=(0, (4, 3)))
    lines: dict[str, str] = {}
    for name, style in drawn.items():
        of_method = [row for row in rows if row["method"] == name]
        if not of_method:
            continue
        hours, mean, least, most = _mean_loss(of_method, high * 1.1)
        if (most > least).any():
            plot.fill_between(hours, least, most, step="post", color=style.colour, alpha=0.12, linewidth=0)
        plot.plot(
            hours,
            mean,
            drawstyle="steps-post",
            color=style.colour,
            linestyle=style.dashes,
            linewidth=1.5,
            gid=gids[name],
        )
        some = np.unique(np.linspace(0, len(hours) - 1, _FEW_PLACES).astype(int))
        lines[name] = places(plot, zip(hours[some].tolist(), mean[some].tolist(), strict=True))
    return lines


def _mean_loss(rows: Sequence[Row], end: float) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
    """Hours at which a repeat's loss falls, up to `end`; the mean loss from then on, the least and the most."""
    spent = [np.array(row["trajectory"]["spent_seconds"]) / 3600 for row in rows]
    shares = [np.array(row["trajectory"]["share"]) for row in rows]
    hours = np.unique(np.concatenate([*spent, [end]]))
    losses = []
    for when, share in zip(spent, shares, strict=True):
        place = np.searchsorted(when, hours, side="right") - 1
        losses.append(1.0 - np.where(place >= 0, share[np.maximum(place, 0)], 0.0))
    found = np.maximum(np.array(losses), LEAST_LOSS)
    return hours, np.maximum(np.mean(losses, axis=0), LEAST_LOSS), found.min(axis=0), found.max(axis=0)


def rewards_of(result: Row) -> list[Row]:
    """The rewards that trainings recorded, of those with at least two points to draw."""
    return [line for line in result["rewards"] if len(line[STEPS]) > 1]


def reward_figure(result: Row) -> str:
    """Figure 5: the normalised reward while policies trained; a note in its place if none recorded one.

    Returns:
        A faint line a training, and a bold one a method: the mean over its trainings that had come so far.
    """
    lines = rewards_of(result)
    if not lines:
        return _no_rewards()
    methods = list(dict.fromkeys(line["method"] for line in lines))
    drawn = styles(methods_of(result))
    legend = legend_height(drawn[name] for name in methods)
    height = 420.0 + legend
    figure, plot = blank(left=_LEFT, top=legend, bottom=_BOTTOM, height=height)
    plot.axhline(OPTIMAL_REWARD, color=MUTED, linewidth=1, linestyle=(0, (4, 3)))
    tooltips: dict[str, str] = {}
    for index, line in enumerate(lines):
        style = drawn[line["method"]]
        plot.plot(
            line[STEPS], line[REWARD], color=style.colour, linewidth=0.8, alpha=0.3, gid=f"reward-{index}"
        )
        tooltips[f"reward-{index}"] = f"{displayable(line['method'])} without {displayable(line['dataset'])}"
    for name in methods:
        steps, mean = _mean_reward([line for line in lines if line["method"] == name])
        plot.plot(steps, mean, color=drawn[name].colour, linestyle=drawn[name].dashes, linewidth=2.2)
    values = [value for line in lines for value in line[REWARD]]
    low, high = min(*values, 0.0), max(*values, OPTIMAL_REWARD)
    plot.set_ylim(low - 0.04 * (high - low), high + 0.06 * (high - low))
    plot.set_xlim(0.0, max(line[STEPS][-1] for line in lines))
    for axis in (plot.xaxis, plot.yaxis):
        axis.set_major_locator(MaxNLocator(nbins=7, steps=[1, 2, 5, 10]))
        axis.set_major_formatter(FuncFormatter(tick_text))
    plot.set_xlabel("Environment steps")
    plot.set_ylabel("Normalised reward (3000: optimal)")
    draw_legend(figure, [drawn[name] for name in methods], height, marks=False)
    return inline_svg(
        figure,
        name="figure-5",
        title="Normalised reward while policies trained",
        description=f"{len(lines)} trainings of {', '.join(methods)}; 3000 is the optimal reward.",
        tooltips=tooltips,
    )


def _no_rewards() -> str:
    figure, plot = blank(left=_LEFT, top=0.0, bottom=_BOTTOM, height=120.0)
    plot.set_axis_off()
    told = "No method was trained by reinforcement: compare distral or ppo to draw their rewards."
    plot.text(0.5, 0.5, told, ha="center", va="center", color=MUTED)
    return inline_svg(
        figure,
        name="figure-5",
        title="Normalised reward while policies trained",
        description=told,
        tooltips={},
    )


def _mean_reward(lines: Sequence[Row]) -> tuple[FloatArray, FloatArray]:
    steps = np.linspace(0.0, max(line[STEPS][-1] for line in lines), 200)
    found = np.array(
        [np.interp(steps, line[STEPS], line[REWARD], left=np.nan, right=np.nan) for line in lines]
    )
    known = ~np.isnan(found).all(axis=0)
    return steps[known], np.nanmean(found[:, known], axis=0)


# --- what the figures share ----------------------------------------------------------------------------------------


def _datasets(result: Row) -> list[str]:
    """The dearest last."""
    cost = {row["dataset"]: row["exhaustive_seconds"] for row in result["folds"]}
    return sorted(cost, key=lambda dataset: (cost[dataset], dataset))


def _bounds(rows: Iterable[Row]) -> tuple[float, float]:
    """The hours axis of Figure 3."""
    found = [(reached_seconds(row) / 3600, row["exhaustive_seconds"] / 3600) for row in rows]
    high = max(whole for _, whole in found)
    low = min((reached for reached, _ in found if reached > 0), default=high)
    return max(low, high * 1e-7) / 1.8, high * 1.4


def _scale_hours(plot: Axes, low: float, high: float) -> None:
    scale_log(plot.xaxis, low, high, fine=math.log10(high / low) < 1.5, most=7)


def _beside(plot: Axes, text: str, up: float) -> None:
    """A name left of the axes."""
    plot.annotate(
        text,
        (0.0, up),
        xycoords=("axes fraction", "data"),
        xytext=(-10.0, 0.0),
        textcoords="offset points",
        color=INK,
        fontsize=12,
        horizontalalignment="right",
        verticalalignment="center",
        annotation_clip=False,
        parse_math=False,
    )

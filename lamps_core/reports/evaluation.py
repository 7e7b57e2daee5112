"""The page of an evaluation: who wins where, what each method comes to, Figures 3, 4 and 5.

Made from `evaluation.json` alone. Owns the words and the numbers' formats; the template beside this file owns the
layout, `evaluation_figures` the drawing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from markupsafe import Markup

from lamps_core.evaluation.summary import (
    REFERENCES,
    first_on,
    hours_told,
    mean_oracle_seconds,
    mean_seconds,
)
from lamps_core.files import write_atomically
from lamps_core.quantities import UNKNOWN, number, title
from lamps_core.report_words import counted, not_measured
from lamps_core.reports.evaluation_figures import (
    loss_figure,
    methods_of,
    reward_figure,
    rewards_of,
    time_figure,
)
from lamps_core.reports.inline_svg import standalone_svg
from lamps_core.reports.page import render_page

if TYPE_CHECKING:
    from pathlib import Path

Row = dict[str, Any]
FIGURES = {"figure-3.svg": time_figure, "figure-4.svg": loss_figure, "figure-5.svg": reward_figure}
TRAINED = "trained on the other datasets"


def write_pages(folder: Path, result: Row) -> Path:
    """Write the figures and the page, each whole or not at all: the same result gives the same bytes.

    Args:
        folder: of the evaluation.
        result: what `evaluation.json` holds.

    Returns:
        The page's path.
    """
    drawn = {name: figure(result) for name, figure in FIGURES.items()}
    for name, svg in drawn.items():
        write_atomically(folder / name, standalone_svg(svg).encode("utf-8", errors="replace"))
    path = folder / "report.html"
    write_atomically(path, _page(folder.name, result, drawn).encode("utf-8", errors="replace"))
    return path


def _page(name: str, result: Row, drawn: dict[str, str]) -> str:
    return render_page(
        "evaluation.html.j2",
        folder=name,
        headline=headline(result),
        summary=_summary(result),
        not_measured=not_measured({row["dataset"]: row["source"] for row in result["datasets"]}),
        words=result["words"],
        notices=result["notices"],
        failed=result["failed"],
        methods=method_rows(result),
        wins=_wins(result),
        datasets=_datasets(result),
        # Our own SVG, its text escaped by the XML writer.
        figures={file.removesuffix(".svg"): Markup(svg) for file, svg in drawn.items()},  # noqa: S704
        rewards=bool(rewards_of(result)),
        price=f"${result['gpu_hour_price']:,.2f}",
        settings=_settings(result),
    )


def headline(result: Row) -> str:
    """Who is quickest on average."""
    feasible = [row for row in result["summary"] if row["method"] not in REFERENCES]
    if not feasible:
        return "Only the reference methods (oracle, exhaustive) were compared"
    best = max(feasible, key=lambda row: float(row["reduction_at_0.98"]))
    trained = " (trained on some of these datasets)" if best["seen"] or best.get("unseen") else ""
    return f"{best['method']} is quickest: {best['reduction_at_0.98']:.1%} less than an exhaustive search{trained}"


def _summary(result: Row) -> str:
    datasets = {row["dataset"] for row in result["datasets"]}
    return (
        f"{counted(len(methods_of(result)), 'method')} on {counted(len(datasets), 'held-out dataset')}, "
        f"{counted(result['repeats'], 'repeat')} each, until 98 % of the hypervolume of all candidates is reached. "
        f"Objectives: {', '.join(title(name).lower() for name in result['objectives'])}."
    )


def method_rows(result: Row) -> list[Row]:
    """The table of methods, in words and numbers as people read them."""
    about = {row["name"]: row for row in result["methods"]}
    wins = first_on(result["folds"])
    return [
        {
            "name": row["method"],
            "number": methods_of(result).index(row["method"]) + 1,
            "about": about[row["method"]]["about"],
            "kind": TRAINED if about[row["method"]]["kind"] == "trained" else "",
            "hours": hours_told(row["hours_to_0.98"]),
            "exhaustive_hours": hours_told(row["exhaustive_hours"]),
            "dollars": f"{row['dollars_to_0.98']:,.2f}",
            "exhaustive_dollars": f"{row['exhaustive_dollars']:,.2f}",
            "reduction": _with_interval(row["reduction_at_0.98"], row["reduction_interval"], "{:.1%}"),
            "oracle": _with_interval(row["oracle_ratio_at_0.98"], row["oracle_ratio_interval"], "{:.2f}"),
            "regret": _with_interval(row["regret_auc"], row["regret_auc_interval"], "{:.3f}"),
            "first": "\u2013"
            if row["seen"] or row["method"] in REFERENCES
            else str(len(wins.get(row["method"], []))),
            "datasets": str(row["datasets"]) + _seen(row),
        }
        for row in result["summary"]
    ]


def _seen(row: Row) -> str:
    """How many of a method's datasets it was trained on."""
    unseen = row.get("unseen")
    if unseen:
        return f" ({row['datasets'] - unseen['datasets']} seen)"
    return " (seen)" if row["seen"] else ""


def _with_interval(mean: float | None, interval: list[float] | None, form: str) -> tuple[str, str]:
    """The mean, and its interval or nothing."""
    if mean is None:
        return UNKNOWN, ""
    ends = [form.format(end) for end in interval or ()]
    return form.format(mean), " to ".join(ends)


def _wins(result: Row) -> list[Row]:
    """Which methods are first on each dataset, and how long they and the Oracle take."""
    wins = first_on(result["folds"])
    means, oracle = mean_seconds(result["folds"]), mean_oracle_seconds(result["folds"])
    rows = []
    for dataset, methods in means.items():
        winners = [method for method, won in wins.items() if dataset in won]
        order = sorted((m for m in methods if m not in {*REFERENCES, *winners}), key=lambda m: methods[m])
        rows.append(
            {
                "dataset": dataset,
                "first": ", ".join(winners) or "\u2013",
                "hours": hours_told(methods[winners[0]] / 3600) if winners else "\u2013",
                "second": f"{order[0]} ({hours_told(methods[order[0]] / 3600)} h)" if order else "\u2013",
                "oracle": hours_told(oracle[dataset] / 3600) if dataset in oracle else UNKNOWN,
            }
        )
    return rows


def _datasets(result: Row) -> list[Row]:
    several = len({row["seed"] for row in result["datasets"]}) > 1
    return [
        {
            "name": f"{row['dataset']} (seed {row['seed']})" if several else row["dataset"],
            "candidates": str(row["candidates"]),
            "complete": str(row["complete"]),
            "front": str(row["front"]),
            "hours": hours_told(row["exhaustive_seconds"] / 3600),
            "dollars": f"{row['exhaustive_seconds'] / 3600 * result['gpu_hour_price']:,.2f}",
            "source": row["source"],
        }
        for row in result["datasets"]
    ]


def _settings(result: Row) -> list[tuple[str, str]]:
    bounds = [
        f"{name} {number(name, bound)}"
        for name, bound in zip(result["objectives"], result["bounds"], strict=True)
        if bound is not None
    ]
    return [
        ("repeats", str(result["repeats"])),
        ("seed", str(result["seed"])),
        ("objectives", ", ".join(result["objectives"])),
        ("bounds", ", ".join(bounds) or "none"),
        ("GPU hour", f"${result['gpu_hour_price']:,.2f}"),
        ("meta-dataset", result["meta_dataset"]),
        ("LAMPS", result["lamps_version"]),
    ]

"""The page of a campaign: learning curves by dataset and candidate, what is covered, what failed, what it cost.

Reads any folder of learning curves, also one made by others or still growing. Owns the words, the numbers and
which figures there are; the template beside this file owns the layout, `figures` the drawing.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from itertools import accumulate
from typing import TYPE_CHECKING, Any

import numpy as np
from markupsafe import Markup

from lamps_core.campaign.folder import dataset_notices, read_record
from lamps_core.curves.reader import curves_by_key, read_both
from lamps_core.curves.schema import Curve, CurveKey
from lamps_core.errors import LampsError
from lamps_core.front import hypervolume, non_dominated, reference_point
from lamps_core.objectives import DEFAULT_OBJECTIVES
from lamps_core.prices import GPU_HOUR_PRICE
from lamps_core.quantities import number, parameters, title
from lamps_core.report_words import counted, duration
from lamps_core.reports.figures import Axes2D, DrawnCandidate, curve_figure, front_figure
from lamps_core.reports.page import render_page
from lamps_core.task import TOO_LARGE, countable

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    import numpy.typing as npt

OBJECTIVES = tuple(DEFAULT_OBJECTIVES.split(","))
# A symbol beside the colour, for those who see no difference between colours.
SYMBOLS = {"complete": "\u25cf", "unfinished": "\u25d0", "failed": "\u2715", "missing": "\u00b7"}


@dataclass(frozen=True)
class CurveCollection:
    """The curves of a folder, and what failed.

    Attributes:
        curves: by key; a curve that is not complete is there too.
        failures: the failed row of each curve that could not go on.
    """

    curves: dict[CurveKey, Curve]
    failures: dict[CurveKey, dict[str, Any]]

    @property
    def tasks(self) -> list[tuple[str, int]]:
        """Every (dataset, seed), sorted."""
        return sorted({(key.dataset, key.seed) for key in {**self.curves, **self.failures}})

    @property
    def models(self) -> list[str]:
        """Every candidate, the smallest first."""
        sizes: dict[str, int] = {}
        for key, curve in self.curves.items():
            sizes[key.model] = int(curve.column("parameters")[0])
        names = {key.model for key in {**self.curves, **self.failures}}
        return sorted(names, key=lambda name: (sizes.get(name, 0), name))

    def state(self, key: CurveKey) -> str:
        """`complete`, `unfinished`, `failed` or `missing`."""
        curve = self.curves.get(key)
        if curve is not None and curve.complete:
            return "complete"
        if key in self.failures:
            return "failed"
        return "unfinished" if curve is not None else "missing"


def read_meta_dataset(folder: Path) -> CurveCollection:
    """Read a folder of learning curves.

    Raises:
        BadInput: as `curves.reader.read_curves`.
    """
    curves, failed = read_both(folder)
    return CurveCollection(
        curves=curves_by_key(curves),
        failures={CurveKey(row["dataset"], row["model"], row["seed"]): row for row in failed.to_pylist()},
    )


def render_campaign(folder: Path) -> str:
    """Return the page of a folder of learning curves."""
    found = read_meta_dataset(folder)
    states = [
        found.state(CurveKey(name, model, seed)) for name, seed in found.tasks for model in found.models
    ]
    tasks = [_task(found, name, seed) for name, seed in found.tasks]
    return render_page(
        "campaign.html.j2",
        folder=folder.name,
        headline=_headline(states),
        summary=_summary(found),
        sources=_sources(found),
        tiles=_tiles(found, states),
        symbols=SYMBOLS,
        tasks=tasks,
        coverage=_coverage(found),
        failures=_failures(found),
        notices=_notices(folder, found),
        models=[_model(found, name) for name in found.models],
        titles=[title(name) for name in OBJECTIVES],
    )


def _headline(states: list[str]) -> str:
    if not states:
        return "No learning curve yet"
    complete = states.count("complete")
    if complete == len(states):
        return f"All {counted(len(states), 'learning curve')} complete"
    # Not "missing": a candidate may never have been asked for on a dataset.
    words = {"failed": "failed", "unfinished": "unfinished", "missing": "not begun"}
    rest = [f"{count} {word}" for state, word in words.items() if (count := states.count(state))]
    return f"{complete} of {counted(len(states), 'learning curve')} complete, {', '.join(rest)}"


def _summary(found: CurveCollection) -> str:
    datasets, seeds = {name for name, _ in found.tasks}, {seed for _, seed in found.tasks}
    steps = sum(len(curve.table) for curve in found.curves.values())
    of_seeds = f", {counted(len(seeds), 'seed')}" if len(seeds) > 1 else ""
    return (
        f"{counted(len(found.models), 'candidate')} on {counted(len(datasets), 'dataset')}{of_seeds}: "
        f"{counted(steps, 'landmark step')} on record."
    )


def _sources(found: CurveCollection) -> str | None:
    """A warning where the numbers are not all measured here."""
    counts: dict[str, int] = defaultdict(int)
    for curve in found.curves.values():
        counts[curve.source] += 1
    if set(counts) <= {"measured"}:
        return None
    return ", ".join(f"{counted(count, 'curve')} {source}" for source, count in sorted(counts.items()))


def _notices(folder: Path, found: CurveCollection) -> list[str]:
    """What was said of the datasets as a campaign of the folder read them."""
    try:
        record = read_record(str(folder))
    except LampsError:  # what a campaign says when it goes on; the curves can be shown without
        return []
    recorded = record.datasets if record else {}
    return dataset_notices((task[0], recorded[task].notices) for task in found.tasks if task in recorded)


def _tiles(found: CurveCollection, states: list[str]) -> list[tuple[str, str]]:
    rows = [row for curve in found.curves.values() for row in curve.rows()]
    lost = sum(row["step_seconds"] or 0.0 for row in found.failures.values())
    gpu_seconds = sum(row["step_seconds"] * (row["gpus"] or 0) for row in rows)
    tiles = [(name.capitalize(), str(states.count(name))) for name in SYMBOLS if name in states]
    tiles.append(("All steps", duration(sum(row["step_seconds"] for row in rows))))
    tiles.append(("Training alone", duration(sum(row["train_seconds"] for row in rows))))
    if gpu_seconds:
        tiles.append(("On GPUs", duration(gpu_seconds)))
        tiles.append((f"At ${GPU_HOUR_PRICE} a GPU hour", f"${gpu_seconds / 3600 * GPU_HOUR_PRICE:,.2f}"))
    if lost:
        tiles.append(("Lost to failures", duration(lost)))
    return tiles


def _coverage(found: CurveCollection) -> dict[str, Any]:
    """The matrix: candidates down, datasets across."""
    several = len({seed for _, seed in found.tasks}) > 1
    rows = []
    for model in found.models:
        cells = []
        for name, seed in found.tasks:
            key = CurveKey(name, model, seed)
            state, curve = found.state(key), found.curves.get(key)
            steps = len(curve.table) if curve is not None else 0
            why = found.failures[key]["error"] if state == "failed" else None
            cells.append({"state": state, "steps": steps, "title": _cell_title(key, state, steps, why)})
        rows.append({"model": model, "cells": cells})
    heads = [f"{name} (seed {seed})" if several else name for name, seed in found.tasks]
    return {"heads": heads, "rows": rows}


def _cell_title(key: CurveKey, state: str, steps: int, why: str | None) -> str:
    told = {
        "complete": f"complete after {counted(steps, 'step')}",
        "unfinished": f"{counted(steps, 'step')} so far",
        "failed": f"failed: {why or 'no reason recorded'}",
        "missing": "not begun",
    }
    return f"{key.model} on {key.dataset}: {told[state]}"


def _failures(found: CurveCollection) -> list[dict[str, Any]]:
    """Failed curves by reason, the most frequent first."""
    by_reason: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for key, row in sorted(found.failures.items()):
        if found.state(key) == "failed":
            by_reason[row["error"] or "no reason recorded"].append(row)
    groups = sorted(by_reason.items(), key=lambda group: (-len(group[1]), group[0]))
    return [
        {
            "reason": reason,
            "pairs": [f"{row['model']} on {row['dataset']}, step {row['step']}" for row in rows],
            "lost": duration(sum(row["step_seconds"] or 0.0 for row in rows)),
        }
        for reason, rows in groups
    ]


def _task(found: CurveCollection, name: str, seed: int) -> dict[str, Any]:
    """One dataset: its figures, its front, its cost."""
    curves = {
        key.model: curve for key, curve in found.curves.items() if (key.dataset, key.seed) == (name, seed)
    }
    counted_with = {model: curve for model, curve in curves.items() if _is_countable(curve)}
    complete = {model: _objectives(curve) for model, curve in counted_with.items() if curve.complete}
    front = _front(complete)
    drawn = _drawn(found.models, counted_with, front)
    points = np.array([list(values.values()) for values in complete.values()]).reshape(-1, len(OBJECTIVES))
    reference = reference_point(points, [None] * len(OBJECTIVES)) if len(points) else None
    spent = sum(float(curve.column("step_seconds").sum()) for curve in curves.values())
    return {
        "name": name,
        "seed": seed,
        "figures": _figures(drawn, reference),
        "left_out": [model for model in curves if model not in counted_with],
        "why": TOO_LARGE,
        "front": [
            {
                "model": model,
                "number": found.models.index(model) + 1,
                "values": [number(column, value) for column, value in complete[model].items()],
                "accuracy": number("accuracy", curves[model].rows()[-1]["accuracy"]),
                "parameters": parameters(int(curves[model].column("parameters")[0])),
            }
            for model in front
        ],
        "hypervolume": None if reference is None else f"{hypervolume(points, reference):.4g}",
        "reference": None if reference is None else ", ".join(f"{value:.4g}" for value in reference),
        "curves": len(curves),
        "complete": sum(curve.complete for curve in curves.values()),
        "spent": duration(spent),
    }


def _is_countable(curve: Curve) -> bool:
    return countable([*curve.column("test_loss"), *_objectives(curve).values()])


def _objectives(curve: Curve) -> dict[str, float]:
    """The default objectives of a curve so far: loss of its last step, training time over all of them."""
    return {
        "test_loss": float(curve.column("test_loss")[-1]),
        "train_seconds": float(curve.column("train_seconds").sum()),
    }


def _front(complete: dict[str, dict[str, float]]) -> list[str]:
    """Names on the front, the best loss first."""
    if not complete:
        return []
    kept = non_dominated([list(values.values()) for values in complete.values()])
    names = [name for name, on_front in zip(complete, kept, strict=True) if on_front]
    return sorted(names, key=lambda name: complete[name]["test_loss"])


def _drawn(models: list[str], curves: dict[str, Curve], front: list[str]) -> list[DrawnCandidate]:
    return [
        DrawnCandidate(
            name=model,
            number=row,
            standing="front" if model in front else "complete" if curves[model].complete else "unfinished",
            rank=front.index(model) if model in front else 0,
            objectives=_objectives(curves[model]) if curves[model].complete else {},
            steps=tuple(int(step) for step in curves[model].column("step")),
            losses=tuple(float(loss) for loss in curves[model].column("test_loss")),
            seconds=tuple(accumulate(float(seconds) for seconds in curves[model].column("train_seconds"))),
            facts=_facts(curves[model]),
        )
        for row, model in enumerate(models, start=1)
        if model in curves
    ]


def _facts(curve: Curve) -> tuple[str, ...]:
    """A curve in a few numbers, `label: value`."""
    rows, values = curve.rows(), _objectives(curve)
    told = [(title(name), number(name, value)) for name, value in values.items()]
    if rows[-1]["accuracy"] is not None:
        told.append((title("accuracy"), number("accuracy", rows[-1]["accuracy"])))
    told.append(("Steps", str(len(rows))))
    told.append((title("parameters"), parameters(int(rows[0]["parameters"]))))
    told.append(("Spent", duration(sum(row["step_seconds"] for row in rows))))
    return tuple(f"{label}: {value}" for label, value in told)


def _figures(drawn: list[DrawnCandidate], reference: npt.NDArray[np.float64] | None) -> list[Markup]:
    """Loss against step (Figure 2 of the paper), and the complete candidates with their front."""
    svgs = [curve_figure(drawn, against="step", loss_title="Test loss (nats)")] if drawn else []
    if any(item.objectives for item in drawn):
        axes = Axes2D(
            across="train_seconds",
            across_title=title("train_seconds"),
            up="test_loss",
            up_title=title("test_loss"),
        )
        corner = (float(reference[1]), float(reference[0])) if reference is not None else None
        svgs.append(front_figure(drawn, axes, reference=corner))
    return [Markup(svg) for svg in svgs]  # noqa: S704 (our own SVG, its text escaped by the XML writer)


def _model(found: CurveCollection, model: str) -> dict[str, Any]:
    """One candidate: its curve on each dataset, and its cost."""
    curves = sorted(
        ((key, curve) for key, curve in found.curves.items() if key.model == model), key=lambda pair: pair[0]
    )
    every = sum(_spent(curve for _, curve in found.curves.items()))
    spent = sum(_spent(curve for _, curve in curves))
    failed = [key for key in found.failures if key.model == model and found.state(key) == "failed"]
    return {
        "name": model,
        "parameters": parameters(int(curves[0][1].column("parameters")[0]) if curves else None),
        "complete": sum(curve.complete for _, curve in curves),
        "failed": len(failed),
        "spent": duration(spent),
        "share": f"{spent / every:.0%}" if every else "\u2013",
        "curves": [_curve_row(found, key, curve) for key, curve in curves],
    }


def _spent(curves: Iterable[Curve]) -> list[float]:
    return [float(curve.column("step_seconds").sum()) for curve in curves]


def _curve_row(found: CurveCollection, key: CurveKey, curve: Curve) -> dict[str, Any]:
    rows = curve.rows()
    return {
        "dataset": key.dataset,
        "seed": key.seed,
        "state": found.state(key),
        "steps": len(rows),
        "first": number("test_loss", rows[0]["test_loss"]),
        "last": number("test_loss", rows[-1]["test_loss"]),
        "accuracy": number("accuracy", rows[-1]["accuracy"]),
        "spent": duration(sum(row["step_seconds"] for row in rows)),
    }

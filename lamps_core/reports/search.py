"""The report of a search: one self-contained HTML page.

Owns the words, the numbers' formats and which figures there are. The template beside this file owns the layout,
`page` what all pages share, `search_page_data` what the script is told, `figures` the drawing, `search.record` the
reading. Every name is hostile until the template has escaped it; only the SVG of `figures`, which escapes its own
text, is taken as it is.
"""

from __future__ import annotations

import re
import shlex
from typing import TYPE_CHECKING, Any

from markupsafe import Markup

from lamps_core.objectives import MAXIMISED
from lamps_core.prices import dollars
from lamps_core.quantities import number, on_axis, parameters, title
from lamps_core.report_words import counted, duration, expected_gain
from lamps_core.reports.figures import Axes2D, DrawnCandidate, curve_figure, front_figure
from lamps_core.reports.history_figure import history_figure
from lamps_core.reports.page import render_page
from lamps_core.reports.search_page_data import candidate_facts, item_spent, page_data
from lamps_core.reports.search_reasons import reason, stopped_early
from lamps_core.search.history import history

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lamps_core.search.history import Moment
    from lamps_core.search.record import CandidateRecord, Row, SearchRecord


_NO_LIMIT = {"unlimited": ", no budget", "auto": ", until little more was expected"}  # by the budget's text


def render_search(search: SearchRecord) -> str:
    """Return the page of a search."""
    moments = history(search)
    data = page_data(search, moments)
    return render_page("search.html.j2", data=data, **_view(search, moments, data["limits"]))


def _view(search: SearchRecord, moments: Sequence[Moment], limits: list[Row]) -> dict[str, Any]:
    """Everything the template shows, as plain values."""
    drawn = _drawn(search)
    return {
        "search": search,
        "headline": _headline(search),
        "summary": _summary(search),
        "expected": _expected(search),
        "selection": _selection(search.result.get("selection")),
        "figures": _front_figures(search, drawn),
        "curves": _curve_figures(drawn),
        "history": _marked_up(history_figure(moments, drawn)),
        "moments": len(moments),
        "limits": [limit["title"] for limit in limits],
        "tiles": _tiles(search),
        "stopped_early": stopped_early(search),
        "has_selection_loss": any(row.get("selection_loss") is not None for row in search.front),
        "objectives": [title(name) for name in search.objectives],
        "front": [_front_row(row, search) for row in search.front],
        "candidates": [_candidate_row(item, search) for item in search.candidates],
        "notices": [str(notice) for notice in search.result.get("notices") or []],
        "settings": _settings(search),
        "command": _command(search.result.get("command")),
    }


def _headline(search: SearchRecord) -> str:
    count = len(search.front)
    models = counted(count, "model")
    if not search.finished:
        return f"Unfinished: {models} on the front so far" if count else "Unfinished: no model complete yet"
    return f"{models} worth choosing from" if count else _why_none(search)


def _why_none(search: SearchRecord) -> str:
    """The headline of a search that ended with an empty front."""
    if any(len(item.objectives) == len(search.objectives) for item in search.candidates):
        return "No complete model is within the bounds"
    failed = sum(item.failed for item in search.candidates)
    beyond = sum(bool(item.stopped or item.beyond) and not item.failed for item in search.candidates)
    if not search.candidates or failed + beyond < len(search.candidates):
        return "No model was fine-tuned to the end"
    if failed and beyond:
        return f"No model: {failed} failed and {beyond} went beyond a bound"
    return "No model: every candidate failed" if failed else "No model: every candidate went beyond a bound"


def _summary(search: SearchRecord) -> str:
    complete = sum(item.complete for item in search.candidates)
    spent = duration(search.spent_seconds)
    budget = search.result.get("budget")
    share = f" of a budget of {_budget(str(budget))}" if budget else ""
    share = _NO_LIMIT.get(str(budget), share)
    tried = sum(item.steps > 0 for item in search.candidates)
    better = " and ".join(title(name).lower() for name in search.objectives)
    told = (
        f"{counted(search.steps, 'landmark step')} over {counted(len(search.candidates), 'candidate')}, "
        f"{spent} spent{share}. {tried} {'was' if tried == 1 else 'were'} looked at, {complete} fine-tuned "
        f"to the end, {len(search.front)} on the front"
    )
    if len(search.front) == 0:
        return f"{told}."
    return f"{told}: no other complete candidate is at least as good in {better} and better in one."


def _expected(search: SearchRecord) -> str | None:
    """Whether the search stopped by itself, and what going on was expected to bring; None where nobody knows."""
    gain, seconds = search.result.get("expected_gain"), search.result.get("expected_gain_seconds")
    if gain is None or seconds is None:
        return None
    going_on = f"Going on was expected to bring {expected_gain(float(gain), float(seconds))}."
    stopped = search.result.get("stopped")
    return f"The search stopped by itself: {stopped}. {going_on}" if stopped else going_on


def _selection(selection: Any) -> dict[str, Any] | None:
    """Which rows decided, and what that means for the numbers on the page."""
    if not selection:
        return None
    if selection == "test":
        return {
            "optimistic": True,
            "title": "Decisions were made on the test split",
            "text": "The rows that chose which model goes on, when one is complete and which are on the "
            "front are the rows that score them here, so expect slightly worse on new text. For a figure "
            "that no decision has touched, search again with --selection-split validation, or 0.1 to keep a "
            "tenth of the training rows for deciding.",
        }
    return {
        "optimistic": False,
        "title": f"Decisions were made on a split of their own: {selection}",
        "text": "The test split took no part in choosing: the front's test figures below are its own. "
        "Curves, figures and the table of all candidates show the split that decided.",
    }


def _drawn(search: SearchRecord) -> list[DrawnCandidate]:
    ranks = {str(row["model"]): rank for rank, row in enumerate(search.front)}
    return [
        DrawnCandidate(
            name=item.name,
            number=number,
            standing="front" if item.on_front else "complete" if item.complete else "unfinished",
            rank=ranks.get(item.name, 0),
            objectives={name: value * on_axis(name)[0] for name, value in item.objectives.items()},
            steps=tuple(int(row["step"]) for row in item.curve),
            losses=tuple(float(row["test_loss"]) for row in item.curve),
            seconds=item.train_seconds_so_far,
            facts=tuple(f"{label}: {value}" for label, value in candidate_facts(item, search)),
        )
        for number, item in enumerate(search.candidates, start=1)
    ]


def _front_figures(search: SearchRecord, drawn: list[DrawnCandidate]) -> list[Markup]:
    """The first objective against each other one, which is none where there is one objective."""
    names = search.objectives
    if not any(item.objectives for item in drawn):
        return []
    reference = [
        None if value is None else value * on_axis(name)[0]
        for name, value in zip(names, search.reference, strict=True)
    ]
    figures = []
    for index, across in enumerate(names[1:], start=1):
        axes = Axes2D(
            across=across,
            across_title=on_axis(across)[1],
            across_maximised=across in MAXIMISED,
            up=names[0],
            up_title=on_axis(names[0])[1],
            up_maximised=names[0] in MAXIMISED,
        )
        corner = (reference[index], reference[0])
        known = (corner[0], corner[1]) if corner[0] is not None and corner[1] is not None else None
        figures.append(_marked_up(front_figure(drawn, axes, reference=known, joined=len(names) == 2)))
    return figures


def _curve_figures(drawn: list[DrawnCandidate]) -> list[Markup]:
    if not any(item.steps for item in drawn):
        return []
    title = "Test loss (nats)"
    svgs = [curve_figure(drawn, against="step", loss_title=title)]
    if any(seconds > 0 for item in drawn for seconds in item.seconds):
        svgs.append(curve_figure(drawn, against="seconds", loss_title=title))
    return [_marked_up(svg) for svg in svgs]


def _marked_up(svg: str | None) -> Markup:
    """Our own SVG, its text escaped by the XML writer."""
    return Markup(svg or "")  # noqa: S704


def _tiles(search: SearchRecord) -> list[tuple[str, str, str]]:
    """The search in numbers: name, number, what it is out of."""
    candidates, spent = search.candidates, search.spent_seconds
    price = search.gpu_hour_price
    budget = str(search.result.get("budget") or "")
    limit = "" if budget in {"", "unlimited"} else f"of a budget of {_budget(budget)}"
    volume = search.result.get("hypervolume")
    tiles = [
        ("On the front", str(len(search.front)), f"of {counted(len(candidates), 'candidate')}"),
        (
            "Fine-tuned to the end",
            str(sum(item.complete for item in candidates)),
            f"{sum(item.steps > 0 for item in candidates)} looked at",
        ),
        ("Landmark steps", f"{search.steps:,}", f"{spent / search.steps:.1f} s each" if search.steps else ""),
        ("Spent", duration(spent), limit or f"{spent / 3600:,.3g} hours"),
        (
            "Cost",
            number("dollars", dollars(spent, 1, price)),
            f"{spent / 3600:,.3g} h at ${price:,.2f} a GPU hour",
        ),
    ]
    if volume:
        tiles.append(("Hypervolume", f"{float(volume):,.4g}", "up to the reference point"))
    return tiles


def _front_row(row: Row, search: SearchRecord) -> dict[str, Any]:
    objectives = search.objectives
    names = [item.name for item in search.candidates]
    accuracy = None if "accuracy" in objectives else row.get("accuracy")
    return {
        "model": row["model"],
        "number": names.index(str(row["model"])) + 1,
        "values": [number(name, row.get(name)) for name in objectives],
        "selection_loss": number("test_loss", row.get("selection_loss")),
        "accuracy": number("accuracy", accuracy),
        "path": row.get("path"),
        "code": _loading(str(row["path"])) if row.get("path") else None,
    }


def _loading(path: str) -> str:
    return (
        "from transformers import AutoModelForSequenceClassification, AutoTokenizer\n"
        f"tokenizer = AutoTokenizer.from_pretrained({path!r})\n"
        f"model = AutoModelForSequenceClassification.from_pretrained({path!r})"
    )


def _candidate_row(item: CandidateRecord, search: SearchRecord) -> dict[str, Any]:
    state = [item.on_front, item.complete, not item.failed, True].index(True)
    # Before a candidate is complete its latest loss is all there is to compare it by.
    last = {"test_loss": item.curve[-1]["test_loss"]} if item.curve else {}
    values = last | item.objectives
    return {
        "model": item.name,
        "state": _state(item),
        "group": ("front", "complete", "open", "failed")[state],
        "steps": item.steps,
        "why": reason(item, search),
        "cells": [
            ("loss" if name == "test_loss" else "value", number(name, values.get(name)))
            for name in search.objectives
        ],
        "accuracy": number("accuracy", item.accuracy),
        "parameters": parameters(item.parameters),
        "spent": item_spent(item, search.gpu_hour_price),
    }


def _state(item: CandidateRecord) -> str:
    if item.failed:
        return "failed"
    if item.stopped:
        return item.stopped
    if item.complete:
        return "on the front" if item.on_front else "complete, beyond a bound" if item.beyond else "complete"
    return "not complete" if item.steps else "not tried"


def _settings(search: SearchRecord) -> list[tuple[str, str]]:
    result = search.result
    keys = (
        "policy",
        "budget",
        "stop_below",
        "selection",
        "seed",
        "parallel",
        "devices",
        "rows",
        "labels",
        "lamps_version",
    )
    pairs: list[tuple[str, Any]] = [(key, result[key]) for key in keys if result.get(key) is not None]
    pairs = [
        (key, "none") if (key, value) == ("budget", "unlimited") else (key, value) for key, value in pairs
    ]
    pairs.append(("objectives", search.objectives))
    told = [
        number(name, value)
        for name, value in zip(search.objectives, search.reference, strict=True)
        if value is not None
    ]
    if told:
        pairs.append(("reference point", told))
    config = result.get("config")
    pairs += sorted(config.items()) if isinstance(config, dict) else []
    return [(key.replace("_", " "), _shown(value)) for key, value in pairs]


def _shown(value: Any) -> str:
    if isinstance(value, (list, tuple)):
        return ", ".join(_shown(item) for item in value)
    if isinstance(value, dict):
        return ", ".join(f"{key} {_shown(item)}" for key, item in value.items())
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "chosen at run time" if value is None else str(value)


def _command(command: Any) -> str | None:
    if isinstance(command, list):
        return shlex.join(str(part) for part in command)
    return str(command) if command else None


def _budget(text: str) -> str:
    found = re.fullmatch(r"([\d.]+)\s*([a-z]+)", text.strip().lower())
    return f"{found[1]} {found[2]}" if found else text

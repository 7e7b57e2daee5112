"""The card of a front model on the hub: which search made it, its numbers, and what else was on the front.

Says names, numbers and settings; no text of the data, and no path of the machine.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from lamps_core.objectives import MAXIMISED
from lamps_core.publishing.cards import TAG, card, code, facts, made_by, names, table
from lamps_core.publishing.public_command import public_command
from lamps_core.quantities import number, title
from lamps_core.report_words import counted, duration

if TYPE_CHECKING:
    from collections.abc import Mapping

    from lamps_core.search.record import Row, SearchRecord

MODEL_TAG = "lamps-front-model"
_METRICS = {"accuracy": "accuracy", "macro_f1": "f1", "test_loss": "loss"}  # ours to the hub's
_OF_THE_HUB = re.compile(r"(?P<id>[^/:@]+/[^/:@]+)(?::(?P<config>[^:]+))?")


def model_card(repository: str, row: Row, search: SearchRecord, *, base: str | None) -> bytes:
    """The README of one front model.

    Args:
        repository: it is pushed to.
        row: of the model, as in `result.json`.
        search: that it is of.
        base: the hub id that it was fine-tuned from; None where the hub does not have it.
    """
    return card(_metadata(row, search, base), _text(repository, row, search))


def _metadata(row: Row, search: SearchRecord, base: str | None) -> Any:
    from huggingface_hub import EvalResult, ModelCardData

    found = _OF_THE_HUB.fullmatch(search.dataset)
    dataset = found["id"] if found else re.sub(r"[^\w.-]+", "-", search.dataset) or "local"
    results = [
        EvalResult(
            task_type="text-classification",
            dataset_type=dataset,
            dataset_name=search.dataset,
            dataset_config=found["config"] if found else None,
            dataset_split="test",
            metric_type=metric,
            metric_name=title(name),
            metric_value=row[name],
        )
        for name, metric in _METRICS.items()
        if row.get(name) is not None
    ]
    return ModelCardData(
        library_name="transformers",
        pipeline_tag="text-classification",
        tags=[TAG, MODEL_TAG],
        base_model=base,
        datasets=[found["id"]] if found else None,
        model_name=str(row["model"]) if results else None,
        eval_results=results or None,
    )


def _text(repository: str, row: Row, search: SearchRecord) -> list[str]:
    result, name = search.result, repository.partition("/")[2]
    return [
        f"# {name}",
        "",
        f"{code(row['model'])} fine-tuned for text classification on {code(search.dataset)}: one of "
        f"{counted(len(search.front), 'model')} on the front of a LAMPS search. No other candidate that was trained to "
        f"the end is better on every objective ({names(search.objectives)}).",
        "",
        *table(
            ["", "this model"],
            [[title(key), number(key, value)] for key, value in _numbers(row, search).items()],
        ),
        "",
        *_how_to_use(repository, result),
        "## The search that made it",
        "",
        *facts(_of_the_search(row, search)),
        "",
        *_again(search),
        "## The whole front",
        "",
        *_front(row, search),
        "",
        "## What to know",
        "",
        *_limits(search),
        "",
        made_by(result.get("lamps_version", "unknown")),
    ]


def _numbers(row: Mapping[str, Any], search: SearchRecord) -> dict[str, Any]:
    columns = [*search.objectives, "test_loss", "accuracy", "macro_f1", "train_seconds", "parameters"]
    return {name: row[name] for name in dict.fromkeys(columns) if row.get(name) is not None}


def _how_to_use(repository: str, result: Row) -> list[str]:
    labels = result.get("labels") or []
    return [
        "```python",
        "from transformers import pipeline",
        "",
        f'classify = pipeline("text-classification", model="{repository}", truncation=True)',
        "```",
        "",
        *([f"Labels: {names(labels)}.", ""] if labels else []),
    ]


def _rate_of(row: Row) -> Row:
    """The rate that was used; nothing in results of before it was on record."""
    return {"learning_rate": row["learning_rate"]} if row.get("learning_rate") is not None else {}


def _of_the_search(row: Row, search: SearchRecord) -> list[tuple[str, str]]:
    result = search.result
    bounds = [
        f"{code(name)} at {'least' if name in MAXIMISED else 'most'} {number(name, abs(bound))}"
        for name, bound in zip(search.objectives, search.bounds, strict=True)
        if bound is not None
    ]
    complete = sum(one.complete for one in search.candidates)
    rows = result.get("rows") or {}
    return [
        (
            "dataset",
            f"{code(search.dataset)}, {', '.join(f'{count:,} {name} rows' for name, count in rows.items())}",
        ),
        ("decided on", code(result.get("selection", "test"))),
        ("objectives", names(search.objectives)),
        ("bounds", "; ".join(bounds)),
        (
            "candidates",
            f"{len(search.candidates)}, of which {complete} complete and {len(search.failed)} failed",
        ),
        (
            "policy",
            code("@".join(str(result[name]) for name in ("policy", "policy_commit") if name in result)),
        ),
        ("budget", f"{code(result.get('budget') or 'unlimited')}; spent {duration(search.spent_seconds)}"),
        ("landmark steps", f"{search.steps:,}"),
        ("seed", str(result.get("seed", "unknown"))),
        ("settings", _settings((result.get("config") or {}) | _rate_of(row))),
        ("devices", names(result.get("devices") or [])),
        ("LAMPS", code(result.get("lamps_version", "unknown"))),
    ]


def _settings(config: Mapping[str, Any]) -> str:
    told = {key: value for key, value in config.items() if value is not None and key != "seed"}
    return ", ".join(f"{key.replace('_', ' ')} {value}" for key, value in told.items())


def _again(search: SearchRecord) -> list[str]:
    command = public_command(
        search.result.get("command"),
        dataset=search.dataset,
        candidates=[str(one["model"]) for one in search.result["candidates"]],
        policy_of_hub="policy_commit" in search.result,
    )
    if command is None:
        return []
    # A template may hold what ends a fence: this one is longer.
    fence = "`" * (1 + max(len(run) for run in ["``", *re.findall("`+", command)]))
    return [
        "To run it again, with the dataset and any local model under these names:",
        "",
        f"{fence}bash",
        command,
        fence,
        "",
    ]


def _front(row: Row, search: SearchRecord) -> list[str]:
    columns = list(dict.fromkeys([*search.objectives, "test_loss", "accuracy"]))
    return table(
        ["model", *(title(name) for name in columns)],
        (
            [f"**{code(one['model'])}**" if one["model"] == row["model"] else code(one["model"])]
            + [number(name, one.get(name)) for name in columns]
            for one in search.front
        ),
    )


def _limits(search: SearchRecord) -> list[str]:
    lines = []
    if search.result.get("selection", "test") == "test":
        lines.append(
            "- The candidates were compared on the test split, early stopping included: its loss and accuracy are a "
            "little too good for a model that was picked by them."
        )
    return [
        *lines,
        "- Times are of the machine above: believe their ratios.",
        "- Nothing but the quantities above was measured: nothing is known of bias, of other data, or of what the "
        "base model learned before.",
        "- The terms of the base model and of the dataset apply to this model, too.",
    ]

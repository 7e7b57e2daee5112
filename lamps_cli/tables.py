"""What a command prints at its end: tables on stdout.

Names are hostile: markup in them is not read, control characters in them do not reach the terminal.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from lamps_core.campaign.plan_words import NAME_COLUMNS, PLAN_COLUMNS, plan_rows, plan_words
from lamps_core.models.listing import CHECK_COLUMNS, MODEL_COLUMNS
from lamps_core.quantities import beside_bound, number
from lamps_core.registry import DATASET_COLUMNS, never_fetched
from lamps_core.report_words import counted, displayable, expected_gain, not_measured
from lamps_core.search.standing import why_no_front

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence
    from pathlib import Path

    from lamps_core.host.doctor import Check
    from lamps_core.models.listing import CheckedModel, ModelRow
    from lamps_core.registry import RegisteredDataset

MARKS = {True: "[green]ok[/]", False: "[red]fails[/]", None: "[yellow]note[/]"}
USABLE_STYLES = {"ok": "green", "no": "red", "?": "yellow"}


def print_search(result: dict[str, Any], out: Path) -> None:
    """The front of a search, what it cost, and where everything lies."""
    console = _console()
    for notice in result["notices"]:
        _say(console, f"note: {notice}")
    for failure in result["failed"]:
        line = f"failed: {failure['model']} at step {failure['step']}: {failure['error']}"
        _say(console, line)
    complete = sum(row["complete"] for row in result["candidates"])
    _say(
        console,
        f"{result['dataset']}: {counted(result['steps'], 'step')}, {result['spent_seconds']:.1f} s spent, "
        f"{complete} of {len(result['candidates'])} candidates complete, decided on: {result['selection']}",
    )
    for row in result["candidates"]:
        if row.get("beyond"):
            _say(console, f"out of bounds: {_beyond(row, result)}")
    if result.get("expected_gain") is not None:
        _say(console, _still_expected(result))
    if result["front"]:
        console.print(_front(result))
    else:
        _say(console, why_no_front(result))
    _say(console, f"report: {out / 'report.html'}")
    if result.get("pushed") == []:
        _say(console, "hub: nothing to push: there is no front")
    print_pushed(result.get("pushed", ()))


def _console() -> Console:
    """For tables: what does not fit a line is wrapped, on lines that are not too short to be read."""
    console = Console(soft_wrap=True)
    console.width = max(console.width, 100)
    return console


def _beyond(row: dict[str, Any], result: dict[str, Any]) -> str:
    """A candidate, and what of it is beyond which bound."""
    told = [
        f"{name} {beside_bound(name, row[name], abs(bound))}"
        for name, bound in zip(result["objectives"], result["bounds"], strict=True)
        if name in row["beyond"]
    ]
    return f"{row['model']} ({'; '.join(told)})"


def _still_expected(result: dict[str, Any]) -> str:
    """What going on would bring, and how, where the search stopped by itself."""
    told = f"expected of going on: {expected_gain(result['expected_gain'], result['expected_gain_seconds'])}"
    if result.get("stopped"):
        told += f"; stopped: {result['stopped']} (a smaller --stop-below or another --budget goes on)"
    return told


def _front(result: dict[str, Any]) -> Table:
    columns = ["model", *dict.fromkeys([*result["objectives"], "test_loss", "accuracy"]), "path"]
    table = Table(title="Front: no other complete candidate is better on every objective")
    for column in columns:
        table.add_column(column, justify="left" if column in {"model", "path"} else "right", overflow="fold")
    for row in result["front"]:
        table.add_row(*(_cell(column, row[column]) for column in columns))
    return table


def _cell(column: str, value: Any) -> str | Text:
    return _text(str(value)) if column in {"model", "path"} else number(column, value)


def print_campaign(result: dict[str, Any]) -> None:
    """What a campaign came to, and where everything lies."""
    console = Console(soft_wrap=True)
    for notice in result["notices"]:
        _say(console, f"note: {notice}")
    for row in result["failed"]:
        line = f"failed: {row['model']} on {row['dataset']} at step {row['step']}: {row['error']}"
        _say(console, line)
    _say(
        console,
        f"{result['complete']} of {result['pairs']} curves complete, {len(result['failed'])} failed; "
        f"{counted(result['steps'], 'step')} run, {result['spent_seconds']:.1f} s spent",
    )
    _say(console, f"curves: {result['curves']}")
    if "report" in result:
        _say(console, f"report: {result['report']}")
    if "policy" in result:
        _print_extension(console, result["policy"])
    print_pushed(result.get("pushed", ()))


def _print_extension(console: Console, told: dict[str, Any]) -> None:
    """What became of the policy that a new candidate was added to."""
    state = f"now knows {', '.join(told['added'])}" if told["added"] else "left as it is"
    for line in (f"policy: {told['policy']}: {state}", *told["words"]):
        _say(console, line)


def print_evaluation(result: dict[str, Any]) -> None:
    """What each method comes to, who wins where, and where everything lies."""
    from lamps_core.reports.evaluation import method_rows

    console = _console()
    table = Table(title="Time to 98 % of the hypervolume, means over held-out datasets and repeats")
    table.add_column("method", overflow="fold", min_width=10)
    for column in ("reduction", "x oracle", "regret", "hours", "dollars", "first on", "datasets"):
        table.add_column(column, justify="right", min_width=6)
    for row in method_rows(result):
        cells = ("hours", "dollars", "first", "datasets")
        spread = ("\n".join(part for part in row[cell] if part) for cell in ("reduction", "oracle", "regret"))
        table.add_row(_text(row["name"]), *spread, *(row[cell] for cell in cells))
    console.print(table)
    made = not_measured({row["dataset"]: row["source"] for row in result["datasets"]})
    notices = [*result["notices"], *([made] if made else [])]
    for line in (*result["words"], *(f"note: {notice}" for notice in notices)):
        _say(console, line)
    _say(console, f"report: {result['report']}")


def print_policy(result: dict[str, Any]) -> None:
    """What a training came to, and where the policy lies."""
    console = Console(soft_wrap=True)
    for notice in result["notices"]:
        _say(console, f"note: {notice}")
    score = result["validation_score"]
    judged = "" if score is None else f", score on datasets kept out {score:.3f}"
    _say(
        console,
        f"{result['algorithm']} on {len(result['datasets'])} datasets, {result['candidates']} candidates: "
        f"{result['seconds']:.0f} s{judged}",
    )
    _say(console, f"policy: {result['policy']}")
    print_pushed(result.get("pushed", ()))


def print_pushed(rows: Iterable[dict[str, Any]]) -> None:
    """Where on the hub something lies now, and who sees it."""
    console = Console(soft_wrap=True)
    for row in rows:
        seen = "private" if row["private"] else "public"
        line = f"hub: {row['url']} ({seen}, {row['revision']} at {row['commit'][:8]})"
        _say(console, line)


def print_plan(plan: dict[str, Any]) -> None:
    """What a campaign would run, and what it is expected to cost."""
    console = Console(soft_wrap=True)
    if plan["to_run"]:
        table = Table(title="To run, the longest first")
        for place, column in enumerate(PLAN_COLUMNS):
            table.add_column(column, justify="left" if place < NAME_COLUMNS else "right")
        for cells in plan_rows(plan):
            table.add_row(*map(_text, cells))
        console.print(table)
    for line in plan_words(plan):
        _say(console, line)


def print_checks(checks: Sequence[Check]) -> None:
    """What `lamps doctor` found."""
    table = Table()
    for column in ("", "check", "found", "mend"):
        table.add_column(column)
    for check in checks:
        table.add_row(MARKS[check.ok], *map(_text, (check.name, check.found, check.mend)))
    Console(soft_wrap=False).print(table)


def print_models(rows: Iterable[ModelRow]) -> None:
    """The models that have names."""
    _print_list(MODEL_COLUMNS, (map(_text, row.cells()) for row in rows), numbers={"parameters"})


def print_checked(checks: Iterable[CheckedModel]) -> None:
    """Which of the models that have names can be used here."""
    rows = (check.cells() for check in checks)
    shown = ((Text(mark, style=USABLE_STYLES[mark]), *map(_text, cells)) for mark, *cells in rows)
    _print_list(CHECK_COLUMNS, shown)


def print_datasets(listed: Sequence[RegisteredDataset]) -> None:
    """The datasets that have names."""
    _print_list(DATASET_COLUMNS, (map(_text, dataset.cells()) for dataset in listed))
    if told := never_fetched(listed):
        print(told)


def _print_list(
    columns: Iterable[str], rows: Iterable[Iterable[Text]], *, numbers: Collection[str] = ()
) -> None:
    """What has names, one a line; `numbers` are the columns that stand to the right."""
    table = Table()
    for column in columns:
        table.add_column(column, justify="right" if column in numbers else "left", overflow="fold")
    for cells in rows:
        table.add_row(*cells)
    # A pipe has no width: one line a row, for grep.
    console = Console() if sys.stdout.isatty() else Console(width=10_000)
    console.print(table)


def _say(console: Console, line: str) -> None:
    console.print(_text(line))


def _text(text: str) -> Text:
    return Text(displayable(text))

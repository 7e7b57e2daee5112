"""What a person sees of an evaluation while it runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Group
from rich.table import Table
from rich.text import Text

from lamps_cli.live import Instant, View, bar, clock_time, message_line
from lamps_core.report_words import displayable

if TYPE_CHECKING:
    from rich.console import RenderableType

    from lamps_core.progress import EvaluationProgress

_OTHER_LINES = 4


def _draw(event: EvaluationProgress, at: Instant) -> RenderableType:
    line = Table.grid(padding=(0, 1))
    line.add_row(
        bar(event.done + event.failed, event.units, width=30),
        Text(f"{event.done} of {event.units} units", no_wrap=True),
        Text(f"{clock_time(at.elapsed)} elapsed", style="dim", no_wrap=True),
    )
    if event.failed:
        line.add_row(Text(f"{event.failed} failed", style="red"))
    parts: list[RenderableType] = [Text.assemble(("LAMPS ", "bold"), displayable(event.curves)), line]
    running = Table.grid(padding=(0, 1))
    for name, share in event.running[: max(at.height - _OTHER_LINES, 3)]:
        cells = [Text(f"  {displayable(name)}", no_wrap=True, overflow="ellipsis")]
        running.add_row(*cells, bar(share, 1.0, width=16) if share else Text(""))
    parts.append(running)
    if event.message:
        parts.append(message_line(event.message))
    return Group(*parts)


def _lines(_: EvaluationProgress | None, event: EvaluationProgress, seconds: float) -> list[Text]:
    """One line for each unit that ended."""
    if not event.message:
        return []
    told = f"{event.done} of {event.units} units, {event.failed} failed"
    return [Text(f"[{clock_time(seconds)}] {displayable(event.message)} | {told}")]


EVALUATION = View(_draw, _lines)

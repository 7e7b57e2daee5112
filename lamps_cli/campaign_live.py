"""What a person sees of a campaign while it runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Group
from rich.table import Table
from rich.text import Text

from lamps_cli.live import Instant, View, bar, clock_time, message_line, running_table
from lamps_core.report_words import counted, displayable

if TYPE_CHECKING:
    from rich.console import RenderableType

    from lamps_core.progress import CampaignProgress

_OTHER_LINES = 5


def _draw(event: CampaignProgress, at: Instant) -> RenderableType:
    room = max(at.height - _OTHER_LINES, 3)
    line = Table.grid(padding=(0, 1))
    ended = event.complete + event.failed
    line.add_row(
        bar(ended, event.pairs, width=30),
        Text(f"{ended} of {event.pairs} curves", no_wrap=True),
        Text(
            f"{event.spent_seconds:,.0f} s spent, {clock_time(at.elapsed)} elapsed", style="dim", no_wrap=True
        ),
    )
    parts: list[RenderableType] = [Text.assemble(("LAMPS ", "bold"), displayable(event.curves)), line]
    if event.running:
        parts.append(running_table(event.running[:room], at.now))
    counts = Text(
        f"{counted(event.steps_done, 'step')} \u00b7 {counted(event.slots, 'slot')} \u00b7 {event.complete} complete",
        no_wrap=True,
    )
    if event.failed:
        counts.append(f" \u00b7 {event.failed} failed", style="red")
    parts.append(counts)
    if event.message:
        parts.append(message_line(event.message))
    return Group(*parts)


def _lines(_: CampaignProgress | None, event: CampaignProgress, seconds: float) -> list[Text]:
    """One line for each outcome."""
    parts = [
        f"[{clock_time(seconds)}] {displayable(event.message)}",
        f"{event.complete} of {event.pairs} curves complete, {event.failed} failed",
        f"{event.spent_seconds:,.0f} s spent",
    ]
    return [Text(" | ".join(parts))] if event.message else []


CAMPAIGN = View(_draw, _lines)

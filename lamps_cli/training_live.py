"""What a person sees of the training of a policy while it runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Group
from rich.table import Table
from rich.text import Text

from lamps_cli.live import Instant, View, bar, clock_time
from lamps_core.report_words import displayable

if TYPE_CHECKING:
    from rich.console import RenderableType

    from lamps_core.progress import TrainingProgress

LINES = 20  # at most, where nothing can be redrawn: a training has thousands of rounds


def _draw(event: TrainingProgress, at: Instant) -> RenderableType:
    line = Table.grid(padding=(0, 1))
    left = at.elapsed * (1 - event.share_done) / event.share_done if event.share_done else 0.0
    times = f"{clock_time(at.elapsed)} elapsed, about {clock_time(left)} left"
    line.add_row(
        bar(event.share_done, 1.0, width=30),
        Text(f"{event.share_done:4.0%}", no_wrap=True),
        Text(times, style="dim", no_wrap=True),
    )
    title = Text.assemble(
        ("LAMPS ", "bold"),
        displayable(event.policy),
        (f"  {displayable(event.algorithm)} on {event.datasets} datasets", "dim"),
        overflow="ellipsis",
        no_wrap=True,
    )
    scalars = Table.grid(padding=(0, 2))
    for name, value in list(event.scalars.items())[: max(at.height - 3, 1)]:
        scalars.add_row(Text(displayable(name).replace("_", " "), style="dim"), Text(_number(value)))
    return Group(title, line, scalars)


def _lines(before: TrainingProgress | None, event: TrainingProgress, seconds: float) -> list[Text]:
    """A line whenever another twentieth is done."""
    if before is not None and int(LINES * before.share_done) == int(LINES * event.share_done):
        return []
    told = [
        f"{displayable(name).replace('_', ' ')} {_number(value)}" for name, value in event.scalars.items()
    ]
    return [Text(" | ".join([f"[{clock_time(seconds)}] {event.share_done:.0%}", *told]))]


def _number(value: float) -> str:
    return f"{value:,.0f}" if float(value).is_integer() else f"{value:,.4g}"


TRAINING = View(_draw, _lines)

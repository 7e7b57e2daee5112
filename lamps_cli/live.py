"""The live display of a search or a campaign in a terminal, and plain lines where there is none.

Owns what a person sees on stderr while the work runs, and what is seen of a search; stdout is left to results.
Knows only the events of `lamps_core.progress`, and imports nothing heavy. Names are hostile: markup in them is
not read, control characters in them do not reach the terminal.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from lamps_core.quantities import UNKNOWN, number
from lamps_core.report_words import counted, displayable

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType
    from typing import Self

    from rich.console import RenderableType

    from lamps_core.progress import RunningStep, SearchProgress

REFRESHES_PER_SECOND = 8
_HEADER_LINES = 6
_TABLE_LINES = 3
# Budgets of which no share is spent, by their text.
_NO_LIMIT = {"unlimited": "no budget", "auto": "budget auto"}
_PHASES = {"load": "loading", "train": "training", "evaluate": "evaluating", "save": "saving"}


@dataclass(frozen=True)
class Instant:
    """When and where an event is drawn.

    Attributes:
        now: of the display's clock, seconds.
        elapsed: since the display began, seconds.
        height: lines of the terminal.
    """

    now: float
    elapsed: float
    height: int


@dataclass(frozen=True)
class View:
    """How events are shown.

    Attributes:
        draw: the state of an event, redrawn several times a second.
        lines: what is written where nothing can be redrawn, from the event before (None: the first), the event
            and the seconds since the display began.
    """

    draw: Callable[[Any, Instant], RenderableType]
    lines: Callable[[Any, Any, float], list[Text]]


class LiveDisplay:
    """Shows the work while the `with` block runs; `update` is its listener, callable from any thread."""

    def __init__(
        self,
        console: Console | None = None,
        *,
        view: View | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Choose between the live display and plain lines.

        Args:
            console: where to write; stderr by default.
            view: how events are shown; those of a search by default.
            clock: seconds, the one that `RunningStep.started_seconds` was read from.
        """
        self._view = view or SEARCH
        self._console = console or Console(stderr=True, force_terminal=sys.stderr.isatty())
        self._clock = clock
        self._began = clock()
        self._latest: Any = None
        self._lock = threading.Lock()
        self._live = self._new_live() if _can_redraw(self._console) else None

    def __enter__(self) -> Self:
        """Begin to draw."""
        self._began = self._clock()
        if self._live:
            self._live.start(refresh=False)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Leave the last state on the screen, if any, the cursor shown and below it, whatever ended the block."""
        if self._live:
            self._live.transient = self._latest is None
            self._live.stop()

    def update(self, event: Any) -> None:
        """Take in the newest event: drawn at the next refresh, or written as lines where nothing is drawn."""
        with self._lock:
            before, self._latest = self._latest, event
            if self._live is None:
                for line in self._view.lines(before, event, self._clock() - self._began):
                    self._console.print(line, soft_wrap=True)

    def _new_live(self) -> Live:
        # stdout may carry --json: it must not be drawn into.
        return Live(
            get_renderable=self._draw,
            console=self._console,
            refresh_per_second=REFRESHES_PER_SECOND,
            redirect_stdout=False,
            vertical_overflow="crop",
        )

    def _draw(self) -> RenderableType:
        event = self._latest
        now = self._clock()
        if event is None:
            return Text(f"Preparing … {clock_time(now - self._began)}", style="dim")
        return self._view.draw(event, Instant(now, now - self._began, self._console.height))


def _draw_search(event: SearchProgress, at: Instant) -> RenderableType:
    room = max(at.height - _HEADER_LINES, 3)
    running = event.running[: max(1, room // 2)]
    parts: list[RenderableType] = [_header(event), _budget_line(event, at.elapsed)]
    if event.expected:
        parts.append(Text(f"expected: {event.expected}", overflow="ellipsis", no_wrap=True))
    if running:
        parts.append(running_table(running, at.now))
    parts.append(_counts(event, hidden=len(event.running) - len(running)))
    rows = room - len(running) - _TABLE_LINES
    if event.front and rows > 0:
        parts.append(_front_table(event.front, rows))
    if event.message:
        parts.append(message_line(event.message))
    return Group(*parts)


def message_line(message: str) -> Text:
    """What just happened, cut to the terminal's width."""
    return Text(displayable(message), style="dim", overflow="ellipsis", no_wrap=True)


def _can_redraw(console: Console) -> bool:
    return console.is_terminal and not console.is_dumb_terminal and not os.environ.get("CI")


def _header(event: SearchProgress) -> Text:
    return Text.assemble(
        ("LAMPS ", "bold"),
        displayable(event.dataset),
        (f"  {displayable(event.policy)}", "dim"),
        overflow="ellipsis",
        no_wrap=True,
    )


def _budget_line(event: SearchProgress, elapsed: float) -> Table:
    times = f"{event.spent_seconds:,.0f} s spent, {clock_time(elapsed)} elapsed"
    line = Table.grid(padding=(0, 1))
    if event.budget_text in _NO_LIMIT:
        line.add_row(Text(_NO_LIMIT[event.budget_text], no_wrap=True), Text(times, style="dim", no_wrap=True))
        return line
    share = min(max(event.budget_share, 0.0), 1.0)
    line.add_row(
        bar(share, 1.0, width=30),
        Text(f"{share:4.0%} of {displayable(event.budget_text)}", no_wrap=True),
        Text(times, style="dim", no_wrap=True),
    )
    return line


def bar(done: float, total: float, *, width: int) -> ProgressBar:
    """A progress bar; one that pulses where the total is unknown."""
    return ProgressBar(
        total=total or None,
        completed=done,
        width=width,
        pulse=total <= 0,
        complete_style="cyan",
        finished_style="green",
        pulse_style="cyan",
    )


def running_table(running: tuple[RunningStep, ...], now: float) -> Table:
    """The steps in flight, one a line."""
    table = Table.grid(padding=(0, 1))
    table.add_column(no_wrap=True, overflow="ellipsis", ratio=1, max_width=44)
    table.add_column(justify="right", no_wrap=True)
    table.add_column(no_wrap=True, min_width=10)
    table.add_column(no_wrap=True)
    table.add_column(justify="right", no_wrap=True)
    for step in running:
        table.add_row(
            Text(f"  {displayable(step.candidate)}"),
            Text(f"step {step.step}", style="dim"),
            Text(_PHASES.get(step.phase, displayable(step.phase))),
            bar(step.done, step.total, width=16),
            Text(clock_time(now - step.started_seconds), style="dim"),
        )
    return table


def _counts(event: SearchProgress, *, hidden: int) -> Text:
    text = Text(
        f"{counted(event.steps_done, 'step')} · {event.complete} of {event.candidates} candidates complete",
        no_wrap=True,
    )
    if event.failed:
        text.append(f" · {event.failed} failed", style="red")
    if hidden > 0:
        text.append(f" · {hidden} more running", style="dim")
    return text


def _front_table(front: tuple[dict[str, object], ...], rows: int) -> Table:
    columns = [name for name, value in front[0].items() if _is_number(value)]
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    table.add_column(f"Front ({len(front)})", no_wrap=True, overflow="ellipsis", max_width=48)
    for name in columns:
        table.add_column(
            displayable(name).replace("_", " ").replace("[", r"\["), justify="right", no_wrap=True
        )
    for row in front[:rows]:
        table.add_row(
            Text(displayable(str(row.get("model", "")))), *(_value(name, row.get(name)) for name in columns)
        )
    if len(front) > rows:
        table.add_row(Text(f"… {len(front) - rows} more", style="dim"))
    return table


def _ended_lines(before: SearchProgress | None, event: SearchProgress, seconds: float) -> list[Text]:
    """One line for each step that ended since the event before, and one for those of earlier runs."""
    if before is None and not event.ended:
        on_record = [f"{counted(event.steps_done, 'step')} on record"] if event.steps_done else []
        return [_line(name, event, seconds=seconds) for name in on_record]
    told = 0 if before is None else len(before.ended)
    return [
        _line(
            f"{displayable(one.candidate)} step {one.step}",
            event,
            *["1 just failed"] * one.failed,
            displayable(one.message),
            seconds=seconds,
        )
        for one in event.ended[told:]
    ]


def _line(name: str, event: SearchProgress, *more: str, seconds: float) -> Text:
    share = f"{event.budget_share:.0%} of {displayable(event.budget_text)} spent"
    parts = [
        f"[{clock_time(seconds)}] {name}",
        _NO_LIMIT.get(event.budget_text, share),
        f"{counted(event.steps_done, 'step')}, {event.complete} complete, {event.failed} failed",
        f"{len(event.front)} on the front",
    ]
    if event.expected:
        parts.append(f"expected: {event.expected}")
    return Text(" | ".join([*parts, *more]))


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _value(name: str, value: object) -> Text:
    return Text(number(name, value) if _is_number(value) else UNKNOWN)


def clock_time(seconds: float) -> str:
    """Minutes and seconds, hours where there are any."""
    minutes, rest = divmod(int(max(seconds, 0)), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


SEARCH = View(_draw_search, _ended_lines)

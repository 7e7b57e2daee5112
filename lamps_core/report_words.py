"""How reports and commands say names, times and counts: what they all share, beside `quantities`."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence


def duration(seconds: float) -> str:
    """Write a time the way a person would say it.

    >>> duration(81.2), duration(5400), duration(59.7), duration(0.5), duration(0.04)
    ('1 min 21 s', '1 h 30 min', '1 min', '0.5 s', '40 ms')
    """
    if not math.isfinite(seconds):
        return "endless"
    if 0.0 < seconds < 0.05:
        return f"{1000.0 * seconds:.2g} ms"
    if seconds < 59.5:
        return f"{seconds:.1f} s" if seconds < 9.95 else f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s" if rest else f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if minutes else f"{hours} h"


def expected_gain(gain: float, seconds: float) -> str:
    """Describe a forecast gain: its size, the time it takes, and its rate.

    The rate is per hour, minute or second: the longest of these with a rate of at most 100 %.

    Args:
        gain: of hypervolume, as a share of what is then reached.
        seconds: of steps until then.

    >>> expected_gain(0.031, 118.0)
    '3.1 % more hypervolume in the next 1 min 58 s (95 % an hour)'
    >>> expected_gain(0.02, 4.0), expected_gain(0.0, 9.0)
    ('2 % more hypervolume in the next 4.0 s (30 % a minute)', 'no more hypervolume')
    """
    if not gain > 0.0:
        return "no more hypervolume"
    paces = [("an hour", 3600.0), ("a minute", 60.0), ("a second", 1.0)]
    in_spans = [(span, 100.0 * gain * length / max(seconds, 1e-9)) for span, length in paces]
    span, pace = next((told for told in in_spans if told[1] <= 100.0), in_spans[-1])
    return f"{_rounded(100.0 * gain)} % more hypervolume in the next {duration(seconds)} ({_rounded(pace)} % {span})"


def _rounded(percent: float) -> str:
    """Two digits, of what is more than a thousandth; never with an exponent."""
    if percent < 0.001:
        return "less than 0.001"
    return f"{percent:.0f}" if percent >= 10.0 else f"{float(f'{percent:.2g}'):g}"


def counted(count: int, noun: str) -> str:
    """A number with its noun.

    >>> counted(1, "curve"), counted(1200, "curve")
    ('1 curve', '1,200 curves')
    """
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def markdown_table(head: Sequence[str], rows: Iterable[Sequence[str]], *, numbers: int = 0) -> str:
    """A table in Markdown; neither a bar nor the end of a line in a cell ends it.

    Args:
        head: a title for each column.
        rows: their cells.
        numbers: how many of the last columns hold numbers, which stand to the right.

    >>> print(markdown_table(["model", "why"], [["a|b", "first\\nsecond"]]))
    | model | why |
    | --- | --- |
    | a\\|b | first second |
    """
    rules = ["---"] * (len(head) - numbers) + ["---:"] * numbers
    cells = ([" ".join(cell.split()).replace("|", "\\|") for cell in row] for row in rows)
    return "\n".join(f"| {' | '.join(line)} |" for line in (head, rules, *cells))


def displayable(name: str) -> str:
    """Replace what cannot be shown, such as control characters and marks that turn text around.

    >>> displayable("a\x1b[2Jb")
    'a\ufffd[2Jb'
    """
    return "".join(letter if letter.isprintable() else "\ufffd" for letter in name)


def not_measured(sources: Mapping[str, str]) -> str | None:
    """What a reader must know of where curves come from; None where all were measured.

    Args:
        sources: dataset -> `measured`, `simulated` or `imported`.

    >>> not_measured({"a": "simulated"}), not_measured({"a": "measured", "b": "simulated", "c": "simulated"})
    ('the curves are simulated, not measured', 'the curves of a are measured, of b and c simulated')
    """
    kinds = sorted(set(sources.values()), key=lambda source: (source != "measured", source))
    if kinds == ["measured"]:
        return None
    if len(kinds) == 1:
        return f"the curves are {kinds[0]}, not measured"
    datasets = [joined_names([name for name in sources if sources[name] == kind], most=4) for kind in kinds]
    first, *others = (f"of {names}" for names in datasets)
    rest = (f"{names} {kind}" for names, kind in zip(others, kinds[1:], strict=True))
    return ", ".join([f"the curves {first} are {kinds[0]}", *rest])


def joined_names(names: Sequence[str], most: int = 2) -> str:
    """Names as a person lists them; of more than `most` the rest are counted.

    >>> joined_names(["a"]), joined_names(["a", "b"]), joined_names(["a", "b", "c", "d"])
    ('a', 'a and b', 'a, b and 2 more')
    """
    rest = [f"{len(names) - most} more"] if len(names) > most else []
    shown = [*names[:most], *rest]
    return " and ".join(filter(None, [", ".join(shown[:-1]), *shown[-1:]]))

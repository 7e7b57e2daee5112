"""One form for what benchmarks find, so that `benchmarks.table` can put all of them into one table."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass

MARK = "ratio: "


@dataclass(frozen=True, kw_only=True)
class Ratio:
    """What was measured, against what.

    Attributes:
        what: was measured.
        value: the measured over the baseline, or what the goal is about.
        over: the baseline, measured in the same run.
        goal: such as `<= 1.05`; empty where none was set.
        unit: of the value, where it is no ratio.
    """

    what: str
    value: float
    over: str
    goal: str = ""
    unit: str = ""

    @property
    def text(self) -> str:
        """The value for a person: 1.03, 41 ms, 8.1e-08."""
        small = f"{self.value:.1e}" if 0 < abs(self.value) < 1e-3 else f"{self.value:.3g}"
        return f"{small} {self.unit}".rstrip()


def tell(ratio: Ratio) -> None:
    """Print it on a line of its own."""
    print(MARK + json.dumps(asdict(ratio)), flush=True)


def told(output: str) -> list[Ratio]:
    """Those in the output of a benchmark.

    >>> [one.text for one in told('warming up\\nratio: {"what": "ours", "value": 1.0312, "over": "plain"}')]
    ['1.03']
    """
    lines = (line.removeprefix(MARK) for line in output.splitlines() if line.startswith(MARK))
    return [Ratio(**json.loads(line)) for line in lines]

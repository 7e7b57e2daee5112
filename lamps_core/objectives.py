"""Names of objectives and their bounds -> numbers to be minimised, read from the rows of a curve.

A quantity to maximise has its sign turned here, once, on its way in (`value`, `bound`), and once on its way
back to people (`natural`). Knows nothing of dominance or search.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from lamps_core.curves import MEASURED_COLUMNS
from lamps_core.errors import BadInput

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

DEFAULT_OBJECTIVES = "test_loss,train_seconds"

MAXIMISED = frozenset({"accuracy", "macro_f1", "eval_rows_per_second"})
SUMMED = frozenset({"train_seconds", "step_seconds", "train_flops", "cpu_seconds"})
_CONSTANT = frozenset({"parameters"})


@dataclass(frozen=True)
class Objective:
    """A column of the curves as a number to be minimised.

    Attributes:
        column: of the curve schema.
        maximise: larger is better in nature, so the sign is turned.
        aggregate: over the rows of a curve: their sum, or the value at the last one.
        bound: f_max of equation 1, in minimised form; None where there is none.
    """

    column: str
    maximise: bool
    aggregate: Literal["sum", "last"]
    bound: float | None = None

    @property
    def monotone(self) -> bool:
        """Whether it never falls as a curve goes on (a sum of costs, a constant): past its bound it stays."""
        return not self.maximise and (self.aggregate == "sum" or self.column in _CONSTANT)

    def value(self, rows: Sequence[Mapping[str, Any]]) -> float | None:
        """The objective after the rows of a curve so far, to be minimised.

        Args:
            rows: of one candidate, step 0 first.

        Returns:
            None where it is not known: no rows yet, or a null or a number that is not finite among those it
            is made of.

        >>> train_seconds = parse_objectives("train_seconds")[0]
        >>> train_seconds.value([{"train_seconds": 0.0}, {"train_seconds": 1.5}, {"train_seconds": 2.0}])
        3.5
        """
        counted = rows if self.aggregate == "sum" else rows[-1:]
        found = [row.get(self.column) for row in counted]
        known = [float(number) for number in found if number is not None and math.isfinite(number)]
        if not found or len(known) < len(found):
            return None
        total = math.fsum(known)
        return _turned(total) if self.maximise else total

    def natural(self, value: float) -> float:
        """The number as people know it: `value` with its sign turned back.

        >>> parse_objectives("accuracy")[0].natural(-0.91)
        0.91
        """
        return _turned(value) if self.maximise else value


def parse_objectives(text: str = DEFAULT_OBJECTIVES, *, bounds: Sequence[str] = ()) -> tuple[Objective, ...]:
    """Read a list of objectives and their bounds.

    Args:
        text: columns of the curve schema that hold a measured number, separated by commas.
        bounds: `column=number` in natural units: the most a column may be, the least where it is maximised.

    Raises:
        BadInput: no objective, an unknown one, one named twice; a bound that is not `column=number`, that is
            on something that is no objective, or given twice.

    >>> [objective.bound for objective in parse_objectives("accuracy,train_seconds", bounds=["accuracy=0.9"])]
    [-0.9, None]
    """
    columns = [name.strip() for name in text.split(",") if name.strip()]
    if not columns:
        raise BadInput(f"no objective given: name at least one of {', '.join(MEASURED_COLUMNS)}")
    for column in columns:
        if column not in MEASURED_COLUMNS:
            raise BadInput(f"{column!r} cannot be an objective: choose from {', '.join(MEASURED_COLUMNS)}")
        if columns.count(column) > 1:
            raise BadInput(f"objective {column!r} is given twice: name it once")
    limits = _parse_bounds(bounds, columns)
    return tuple(_objective(column, limits.get(column)) for column in columns)


def bounds_of(objectives: Sequence[Objective]) -> tuple[float, ...]:
    """f_max of each objective, minimised; infinite where there is none.

    >>> bounds_of(parse_objectives("accuracy,train_seconds", bounds=["accuracy=0.9"]))
    (-0.9, inf)
    """
    return tuple(math.inf if objective.bound is None else objective.bound for objective in objectives)


def _objective(column: str, bound: float | None) -> Objective:
    maximise = column in MAXIMISED
    return Objective(
        column,
        maximise=maximise,
        aggregate="sum" if column in SUMMED else "last",
        bound=_turned(bound) if maximise and bound is not None else bound,
    )


def _parse_bounds(bounds: Sequence[str], columns: Sequence[str]) -> dict[str, float]:
    limits: dict[str, float] = {}
    for bound in bounds:
        name, equals, number = bound.partition("=")
        column = name.strip()
        if not equals:
            raise BadInput(f"bound {bound!r} is not understood: write it like train_seconds=3600")
        if column not in columns:
            raise BadInput(f"bound {bound!r} is on no objective: choose from {', '.join(columns)}")
        if column in limits:
            raise BadInput(f"{column!r} has two bounds: give one")
        limits[column] = _finite(number, bound)
    return limits


def _finite(number: str, bound: str) -> float:
    try:
        limit = float(number)
    except ValueError:
        limit = math.nan
    if not math.isfinite(limit):
        raise BadInput(f"bound {bound!r} needs a finite number, like train_seconds=3600")
    return limit


def _turned(value: float) -> float:
    return 0.0 - value  # not -value: nobody wants to read an accuracy of -0.0

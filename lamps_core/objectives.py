"""Names of objectives and their bounds -> numbers to be minimised, read from the rows of a curve.

A quantity to maximise has its sign turned here, once, on its way in (`value`, `bound`), and once on its way
back to people (`natural`). `dollars` is no column: it is counted from columns. Knows nothing of
dominance or search.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from lamps_core.curves.schema import CURVE_SCHEMA, MEASURED_COLUMNS
from lamps_core.errors import BadInput, did_you_mean
from lamps_core.prices import GPU_HOUR_PRICE, check_price, dollars

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    import numpy.typing as npt

    FloatArray = npt.NDArray[np.float64]

DOLLARS = "dollars"
OBJECTIVES = (*MEASURED_COLUMNS, DOLLARS)
DEFAULT_OBJECTIVES = "test_loss,train_seconds"
# The time that a hypervolume takes grows by the power of their number: of 70 points on the front, BoTorch counts it in
# 0.04 s for 3 objectives, 0.4 s for 4 and 7 s for 5; of 30, in 6 s for 6 and half a minute for 7.
MOST_OBJECTIVES = 6

MAXIMISED = frozenset({"accuracy", "macro_f1", "eval_rows_per_second"})
SHARES = frozenset({"accuracy", "macro_f1"})
SECONDS = frozenset({"train_seconds", "step_seconds", "cpu_seconds"})
SUMMED = SECONDS | {"train_flops", DOLLARS}
PEAKS = frozenset({"peak_memory_bytes"})
_CONSTANT = frozenset({"parameters"})
# What people call some of them.
_OTHER_WORDS = {
    "test_loss": ("loss", "cross_entropy", "error"),
    "train_seconds": ("time", "seconds", "training_time", "train_time"),
    "peak_memory_bytes": ("memory", "ram", "vram", "gpu_memory"),
    "eval_rows_per_second": ("inference", "throughput", "latency", "speed", "rows_per_second"),
    "parameters": ("params", "size", "model_size"),
    "macro_f1": ("f1",),
    "train_flops": ("flops", "operations"),
    DOLLARS: ("cost", "price", "usd", "money", "$"),
}


@dataclass(frozen=True)
class Objective:
    """A measured number of the curves as a number to be minimised.

    Attributes:
        column: of the curve schema, or `dollars`; of recorded curves also one beside the schema.
        maximise: larger is better in nature, so the sign is turned.
        aggregate: over the rows of a curve: their sum, their maximum, or the value of the last one.
        bound: f_max of equation 1, in minimised form; None where there is none.
        gpu_hour_price: of `dollars`; None for any other.
    """

    column: str
    maximise: bool
    aggregate: Literal["sum", "most", "last"]
    bound: float | None = None
    gpu_hour_price: float | None = None

    @property
    def constant(self) -> bool:
        """Whether its value after the zero-shot evaluation is final."""
        return self.column in _CONSTANT

    @property
    def monotone(self) -> bool:
        """Whether it never falls as a curve goes on (a sum of costs, a peak, a constant): past its bound it stays."""
        return not self.maximise and (self.aggregate in {"sum", "most"} or self.constant)

    @property
    def identity(self) -> list[Any]:
        """What makes two objectives different, as JSON can hold it: a run resumes only with the same ones."""
        priced = [] if self.gpu_hour_price is None else [self.gpu_hour_price]
        return [self.column, self.bound, *priced]

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
        counted = rows[-1:] if self.aggregate == "last" else rows
        found = [self._of_row(row) for row in counted]
        known = [number for number in found if number is not None and math.isfinite(number)]
        if not found or len(known) < len(found):
            return None
        total = math.fsum(known) if self.aggregate == "sum" else max(known)
        return _sign_flipped(total) if self.maximise else total

    def _of_row(self, row: Mapping[str, Any]) -> float | None:
        found = row.get("train_seconds" if self.gpu_hour_price is not None else self.column)
        if found is None or self.gpu_hour_price is None:
            return None if found is None else float(found)
        return dollars(float(found), row.get("gpus"), self.gpu_hour_price)

    def along(self, column: Callable[[str], FloatArray]) -> FloatArray:
        """The objective after each row of a curve: `value` of its first row, of its first two, and so on.

        Args:
            column: (rows,) of the curve by name, step 0 first, NaN where unknown.

        Returns:
            (rows,) to be minimised; NaN where unknown.
        """
        if self.gpu_hour_price is not None:
            gpus = np.nan_to_num(column("gpus"), nan=1.0)
            found = column("train_seconds") * np.maximum(gpus, 1.0) * self.gpu_hour_price / 3600.0
        else:
            found = column(self.column)
        if self.aggregate == "sum":
            with np.errstate(over="ignore"):  # what is too large to be summed is infinite, and seen to be
                found = np.cumsum(found)
        elif self.aggregate == "most":
            found = np.maximum.accumulate(found)  # which hands a NaN on, as a sum does
        return 0.0 - found if self.maximise else found

    def natural(self, value: float) -> float:
        """The number as people know it: `value` with its sign turned back.

        >>> parse_objectives("accuracy")[0].natural(-0.91)
        0.91
        """
        return _sign_flipped(value) if self.maximise else value


def parse_objectives(
    text: str = DEFAULT_OBJECTIVES,
    *,
    bounds: Sequence[str] = (),
    gpu_hour_price: float = GPU_HOUR_PRICE,
    recorded: bool = False,
) -> tuple[Objective, ...]:
    """Read a list of objectives and their bounds.

    Args:
        text: columns of the curve schema that hold a measured number, or `dollars`, separated by commas.
        bounds: `column=number` in natural units: the most a column may be, the least where it is maximised.
        gpu_hour_price: of `dollars`.
        recorded: whether a column beside the schema may be named too, as of recorded curves, which are then to have
            it (`meta_dataset.read_table`).

    Raises:
        BadInput: no objective, an unknown one, one named twice, more than `MOST_OBJECTIVES`; a bound that is not
            `column=number`, that is on something that is no objective, or given twice; a price that is not more
            than zero.

    >>> [objective.bound for objective in parse_objectives("accuracy,train_seconds", bounds=["accuracy=0.9"])]
    [-0.9, None]
    """
    check_price(gpu_hour_price)
    columns = [name.strip() for name in text.split(",") if name.strip()]
    if not columns:
        raise BadInput(f"no objective given: name at least one of {', '.join(OBJECTIVES)}")
    for column in columns:
        if column not in OBJECTIVES and not (recorded and _is_beside(column)):
            raise no_objective(column)
        if columns.count(column) > 1:
            raise BadInput(f"objective {column!r} is given twice: name it once")
    if len(columns) > MOST_OBJECTIVES:
        raise BadInput(
            f"{len(columns)} objectives are too many to count a hypervolume in: name {MOST_OBJECTIVES} at most"
        )
    limits = _parse_bounds(bounds, columns)
    return tuple(_objective(column, limits.get(column), gpu_hour_price) for column in columns)


def beside_schema(objectives: Sequence[Objective]) -> list[str]:
    """The columns of objectives that are not in the curve schema: what a step of LAMPS does not measure."""
    return [objective.column for objective in objectives if _is_beside(objective.column)]


def _is_beside(column: str) -> bool:
    return column not in {*CURVE_SCHEMA.names, DOLLARS}


def no_objective(name: str, *, beside: Sequence[str] = ()) -> BadInput:
    """The error for a name that cannot be an objective; it lists those that can.

    Args:
        name: that was given.
        beside: columns of numbers that there are beside the schema.
    """
    known = (*OBJECTIVES, *beside)
    word = name.lower().replace(" ", "_").replace("-", "_")
    meant = next((column for column, words in _OTHER_WORDS.items() if word in words), word)
    hint = did_you_mean(meant, known)
    return BadInput(f"{name!r} cannot be an objective{hint}: choose from {', '.join(known)}")


def bounds_of(objectives: Sequence[Objective]) -> tuple[float, ...]:
    """f_max of each objective, minimised; infinite where there is none.

    >>> bounds_of(parse_objectives("accuracy,train_seconds", bounds=["accuracy=0.9"]))
    (-0.9, inf)
    """
    return tuple(math.inf if objective.bound is None else objective.bound for objective in objectives)


def _objective(column: str, bound: float | None, gpu_hour_price: float) -> Objective:
    maximise = column in MAXIMISED
    return Objective(
        column,
        maximise=maximise,
        aggregate="sum" if column in SUMMED else "most" if column in PEAKS else "last",
        bound=None if bound is None else sign_flipped(column, bound),
        gpu_hour_price=gpu_hour_price if column == DOLLARS else None,
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
        if column in SHARES and not 0.0 <= limits[column] <= 1.0:
            raise BadInput(f"bound {bound!r}: {column} is a share from 0 to 1, such as {column}=0.9")
        if limits[column] < 0:
            raise BadInput(f"bound {bound!r}: {column} is never below nothing: give a number of at least 0")
    return limits


def _finite(number: str, bound: str) -> float:
    try:
        limit = float(number)
    except ValueError:
        limit = math.nan
    if not math.isfinite(limit):
        raise BadInput(f"bound {bound!r} needs a finite number, like train_seconds=3600")
    return limit


def sign_flipped(column: str, value: float) -> float:
    """An objective's natural value in minimised form, or back again.

    >>> sign_flipped("accuracy", 0.9), sign_flipped("accuracy", -0.9), sign_flipped("test_loss", 0.9)
    (-0.9, 0.9, 0.9)
    """
    return _sign_flipped(value) if column in MAXIMISED else value


def _sign_flipped(value: float) -> float:
    return 0.0 - value  # not -value: nobody wants to read an accuracy of -0.0

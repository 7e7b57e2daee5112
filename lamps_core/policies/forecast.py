"""`forecast`: the Oracle's rule, hypervolume gain per second, with forecasts in place of its knowledge.

Before each step the complete values of every candidate are forecast from all curves so far
(`policies.curve_process`); the step goes to the candidate whose expected hypervolume gain per expected
remaining second is the greatest. A candidate whose landmarks disappoint falls behind by itself.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from lamps_core.errors import BadInput
from lamps_core.objectives import MAXIMISED
from lamps_core.policies.curve_process import CurveProcess
from lamps_core.policies.outlook import outlook_of
from lamps_core.policy_file import objectives_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from lamps_core.policies.outlook import Outlook
    from lamps_core.policies.protocol import Observation
    from lamps_core.policy_file import PolicyFile
    from lamps_core.task import BoolArray, FloatArray, IntArray

CURVE_SECONDS = "curve_seconds"  # followed beside the objectives
UNCHANGING = "constant"  # on the card: objectives that are not followed, as they changed along no curve
LEAST_LEFT = 0.02  # of a curve's seconds: no candidate that may run is free
LEAST_NUMBER = 1e-12  # a loss or a cost of 0 has no logarithm
DRAWS = 32  # of a candidate's complete objectives
# Of the doubt in a forecast, the share that counts as a chance. One candidate at a time is asked what it may gain, and
# of many that are asked the luckiest would be chosen; halved, simulated searches were the quickest (docs/log.md).
CAUTION = 0.5


@dataclass(frozen=True)
class TrackedQuantity:
    """A number of each curve that is forecast.

    Attributes:
        name: an objective's column, or CURVE_SECONDS: what the curve has cost after its zero-shot evaluation.
        logarithm: whether its logarithm is followed: losses, costs and rates, which are never below 0.
    """

    name: str
    logarithm: bool

    @property
    def _sign(self) -> float:
        """-1 for a rate, which is maximised and so below 0 as it is minimised; else 1."""
        return -1.0 if self.name in MAXIMISED else 1.0

    def transform(self, values: FloatArray) -> FloatArray:
        """The number as the process follows it, smaller still better; NaN where it has no logarithm.

        >>> TrackedQuantity("eval_rows_per_second", logarithm=True).transform(np.array([-1.0, -np.e])).tolist()
        [0.0, -1.0]
        """
        if not self.logarithm:
            return values
        return followed_numbers(self._sign * values) * self._sign + 0.0

    def inverse(self, values: FloatArray) -> FloatArray:
        """The minimised number, from what `transform` made of it."""
        return self._sign * np.asarray(np.exp(self._sign * values)) if self.logarithm else values


class ForecastPolicy:
    """Chooses by expected hypervolume gain per expected remaining second."""

    def __init__(
        self,
        processes: Mapping[str, CurveProcess],
        quantities: Mapping[str, TrackedQuantity],
        *,
        candidates: Sequence[str],
        objectives: Sequence[str],
        name: str = "forecast",
    ) -> None:
        """Take what was learned.

        Args:
            processes: of each of the `quantities`, by name.
            quantities: by name: the objectives that are not constant along a curve, and CURVE_SECONDS.
            candidates: that the processes know, in their order.
            objectives: columns, in order.
            name: in results.
        """
        self.name = name
        self._processes, self._quantities = processes, quantities
        self._candidates = tuple(candidates)
        self._place = {candidate: index for index, candidate in enumerate(self._candidates)}
        self._objectives = tuple(objectives)
        # The same draws before every step: noise of its own decides nothing.
        generator = np.random.default_rng(0)
        levels = next(iter(processes.values())).errors.shape[1]
        # (DRAWS, n) which quantile of the error of each objective.
        self._draws = np.stack(
            [
                np.concatenate([generator.permutation(levels) for _ in range(-(-DRAWS // levels))])[:DRAWS]
                for _ in self._objectives
            ],
            axis=1,
        )

    def select(self, observation: Observation) -> int:
        """The greatest expected gain per second; the cheapest where nothing is expected to be gained."""
        outlook, chosen = self.outlook(observation), np.flatnonzero(observation.mask)
        order = np.lexsort((outlook.seconds[chosen], -(outlook.gain / outlook.seconds)[chosen]))
        return int(chosen[order[0]])

    def outlook(self, observation: Observation) -> Outlook:
        """What running each candidate to its end is expected to bring, and to cost."""
        here = np.array([self._place[name] for name in observation.names])
        row = np.full(len(self._candidates), -1)
        row[here] = observation.steps
        complete = np.zeros(len(row), dtype=bool)
        complete[here] = observation.complete
        cost = np.zeros(len(row))
        cost[here] = np.log(np.where(observation.epoch_cost > 0, observation.epoch_cost, 1.0))
        mean, draws = self._objectives_when_complete(observation, here, row, cost, complete)
        seconds = self._seconds_left(observation, here, row, cost, complete)
        return outlook_of(observation, mean, draws, seconds)

    def _objectives_when_complete(
        self,
        observation: Observation,
        here: IntArray,
        row: IntArray,
        cost: FloatArray,
        complete: BoolArray,
    ) -> tuple[FloatArray, FloatArray]:
        """(m, n) expected, and (m, DRAWS, n) equally likely, objectives of complete curves."""
        mean = observation.objectives.astype(np.float64).copy()
        draws = np.repeat(mean[:, None], DRAWS, axis=1)
        for column, name in enumerate(self._objectives):
            quantity = self._quantities.get(name)
            if quantity is None:  # constant along a curve: known from the first row on
                continue
            rows = [quantity.transform(curve[:, column]) for curve in observation.curves]
            ends = self._processes[name].forecast(self._spread(rows, here, complete), row, cost, complete)
            middle, width, errors = ends.mean[here], ends.deviation[here], ends.errors[here]
            open_ = ~observation.complete
            mean[open_, column] = quantity.inverse(middle)[open_]
            likely = quantity.inverse(
                middle[:, None] + CAUTION * width[:, None] * errors[:, self._draws[:, column]]
            )
            draws[open_, :, column] = likely[open_]
        return mean, draws

    def _seconds_left(
        self, observation: Observation, here: IntArray, row: IntArray, cost: FloatArray, complete: BoolArray
    ) -> FloatArray:
        """(m,) expected seconds until each curve is complete."""
        quantity, process = self._quantities[CURVE_SECONDS], self._processes[CURVE_SECONDS]
        rows = [quantity.transform(seconds_so_far(np.array(seconds))) for seconds in observation.step_seconds]
        ends = process.forecast(self._spread(rows, here, complete), row, cost, complete)
        return seconds_left(quantity.inverse(ends.mean[here]), seconds_trained(observation))

    def _spread(self, rows: Sequence[FloatArray], here: IntArray, complete: BoolArray) -> FloatArray:
        """Rows of the candidates of a search as `CurveProcess.forecast` takes them, over those of the policy."""
        longest = max((len(one) for one in rows), default=1)
        values = np.full((len(self._candidates), longest + 1), np.nan)
        for place, one in zip(here, rows, strict=True):
            values[place, : len(one)] = one
            if complete[place]:
                values[place, -1] = one[-1]
        return values


def followed_numbers(values: FloatArray) -> FloatArray:
    """The logarithm of losses or costs, NaN where there is none."""
    return np.asarray(np.log(np.where(values > LEAST_NUMBER, values, np.nan)))


def seconds_trained(observation: Observation) -> FloatArray:
    """(m,) what each curve has cost after its zero-shot evaluation."""
    return np.array([sum(seconds[1:]) for seconds in observation.step_seconds], dtype=np.float64)


def seconds_left(total: FloatArray, spent: FloatArray) -> FloatArray:
    """(m,) of what curves cost in all and have cost so far: at least LEAST_LEFT of the whole.

    >>> seconds_left(np.array([10.0, 10.0]), np.array([4.0, 12.0])).tolist()
    [6.0, 0.2]
    """
    return np.asarray(np.maximum(total - spent, LEAST_LEFT * total))


def seconds_so_far(step_seconds: FloatArray) -> FloatArray:
    """What a curve has cost after each row: of the zero-shot evaluation alone, then of the steps behind it.

    Args:
        step_seconds: (..., rows).

    >>> seconds_so_far(np.array([0.5, 1.0, 2.0])).tolist()
    [0.5, 1.0, 3.0]
    """
    if step_seconds.shape[-1] == 0:
        return step_seconds
    later = np.cumsum(step_seconds[..., 1:], axis=-1)
    return np.concatenate([step_seconds[..., :1], later], axis=-1)


def load(file: PolicyFile, *, name: str) -> ForecastPolicy:
    """The policy of a file; see `trained.Load`."""
    file.card.check_kind("pool", place=name)
    quantities = tracked_quantities(file, name)
    processes = {number: process_of(file, number, name) for number in quantities}
    _check_levels(processes, name)
    return ForecastPolicy(
        processes,
        quantities,
        candidates=file.card.candidates,
        objectives=file.card.objectives,
        name=name,
    )


def tracked_quantities(file: PolicyFile, name: str) -> dict[str, TrackedQuantity]:
    """What a policy forecasts of each curve, by name: every objective that may change along it, and its seconds.

    Args:
        file: of a forecast.
        name: what to call the policy.

    Raises:
        BadInput: the card does not say so.
    """
    listed, constant = file.card.network.get("followed"), file.card.network.get(UNCHANGING, [])
    if not isinstance(listed, dict) or not isinstance(constant, list) or CURVE_SECONDS not in listed:
        raise BadInput(f"{name}: its card does not say what it follows: train it again")
    for objective in objectives_of(file.card, place=name):
        if not (objective.constant or objective.column in [*listed, *constant]):
            raise BadInput(f"{name}: its card does not say how {objective.column} goes on: train it again")
    return {
        number: TrackedQuantity(number, logarithm=bool(logarithm)) for number, logarithm in listed.items()
    }


def process_of(file: PolicyFile, number: str, name: str) -> CurveProcess:
    """The process that forecasts one number.

    Args:
        file: of a forecast.
        number: that it follows.
        name: what to call the policy.

    Raises:
        BadInput: the weights are not those of such a process.
    """
    arrays = {array: found.astype(np.float64) for array, found in file.part(number).items()}
    try:
        process = CurveProcess(**arrays)
    except TypeError:
        raise BadInput(
            f"{name}: its weights are not those of a forecast of {number}: train it again"
        ) from None
    expected = process.shapes(len(file.card.candidates))
    for array, found in arrays.items():
        if found.shape != expected[array]:
            kin = "its candidates" if array in {"effect", "factors"} else "a forecast"
            raise BadInput(
                f"{name}: its weights of {number} are not of {kin}: {array} is {found.shape}, not {expected[array]}: "
                "train it again"
            )
    return process


def _check_levels(processes: Mapping[str, CurveProcess], name: str) -> None:
    """Refuse processes whose errors cannot be drawn together."""
    levels = {number: process.errors.shape[1] for number, process in processes.items()}
    if len(set(levels.values())) > 1:
        counts = ", ".join(f"{number} at {count}" for number, count in levels.items())
        raise BadInput(
            f"{name}: its weights count their errors at different numbers of levels ({counts}): train it again"
        )

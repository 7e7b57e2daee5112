"""`universal`: hypervolume gain per second over scenarios, for candidates that nobody has recorded before.

Before each step:

1. `curve_network`, which knows no names, forecasts the complete value of every curve.
2. Scenarios of how all candidates end are drawn from the forecasts (`scenario_draws`).
3. In each scenario a candidate is worth the hypervolume for which the Oracle would run it there (`scenarios`).
4. A candidate may be run to its end, or run a few rows further, looked at again, and left if it disappoints. Its index
   is the best ratio of expected worth to expected seconds among these plans. It is to a search what the Gittins index
   is to a bandit (Gittins, "Bandit Processes and Dynamic Allocation Indices", 1979), with one look ahead.
5. The step goes to the greatest index.

Two corrections for forecasts that are too sure of themselves: where nearly all scenarios say that nothing is missing,
their spread is widened until enough say otherwise; and where losses moved further than their first forecasts allowed,
all deviations of losses are widened (`overconfidence_factor`).

Order and number of the candidates make no difference. One policy serves any objectives: losses, shares of right answers
and sums of cost are forecast; of any other objective, the value of the last row is taken.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from lamps_core.landmarks import LANDMARKS
from lamps_core.objectives import SHARES
from lamps_core.policies.candidate_features import features_of
from lamps_core.policies.forecast import (
    LEAST_LEFT,
    followed_numbers,
    seconds_left,
    seconds_so_far,
    seconds_trained,
)
from lamps_core.policies.other_landmarks import with_landmarks
from lamps_core.policies.outlook import Outlook
from lamps_core.policies.scenario_draws import Draws, NormalDraws, draw_scenarios, overconfidence_factor
from lamps_core.policies.scenarios import needed
from lamps_core.prices import dollars

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import ArrayLike

    from lamps_core.objectives import Objective
    from lamps_core.policies.candidate_features import Features
    from lamps_core.policies.curve_network import CurveForecaster, Forecast
    from lamps_core.policies.protocol import Observation
    from lamps_core.task import FloatArray

LOSSES, COSTS = "loss", "cost"  # the numbers that are followed, as files of policies name them
LEAST_WRONG = 0.002  # share of wrong answers: the logarithm of none is not followed
LEAST_LOOK = 0.001  # of the seconds left: no look is free
NEWS = 8  # equally likely pieces of news that a look may bring
FEWEST_MISSING = 0.03  # share of scenarios in which something is missing, below which all are doubted
WIDER, MOST_WIDENED = 1.6, 5  # by which factor, and how often


@dataclass(frozen=True)
class _Forecasts:
    """How a search may go on: of m candidates, in s scenarios.

    Attributes:
        seconds: scenarios of the logarithm of what each curve costs.
        losses: scenarios of objectives that are losses, by column.
        sums: scenarios of the logarithm of objectives that are sums of cost, by column.
        spent: (m,) seconds of each curve so far.
        left: (m,) expected until each is complete.
        look: (m, looks) expected until each look.
        look_correlation: (m, looks) of the number at each look with the complete one; no looks without a loss.
    """

    seconds: Draws
    losses: Mapping[int, Draws]
    sums: Mapping[int, Draws]
    spent: FloatArray
    left: FloatArray
    look: FloatArray
    look_correlation: FloatArray


class UniversalPolicy:
    """Gives the step to the greatest index, as the first lines of the module define it."""

    def __init__(
        self, forecasters: Mapping[str, CurveForecaster], *, objectives: Sequence[Objective], name: str
    ) -> None:
        """Take what was learned.

        Args:
            forecasters: of LOSSES and of COSTS.
            objectives: of the search, in order.
            name: in results.
        """
        self.name = name
        self._forecasters, self._objectives = forecasters, tuple(objectives)
        self._known: tuple[tuple[str, ...], bytes, Features] | None = None
        self._first: dict[int, tuple[tuple[Features, bytes], Forecast]] = {}
        self._draws: tuple[tuple[str, ...], dict[str, NormalDraws]] = (), {}

    def select(self, observation: Observation) -> int:
        """The greatest index; among equals the one that is soonest at its end."""
        observation = with_landmarks(observation, LANDMARKS)
        seen = self._all_forecasts(observation)
        index = self._indices(observation, seen)
        chosen = np.flatnonzero(observation.mask)
        order = np.lexsort((seen.left[chosen], -index[chosen]))
        return int(chosen[order[0]])

    def outlook(self, observation: Observation) -> Outlook:
        """Expected gain and seconds of each candidate; hypervolumes are shares of what all reach together."""
        observation = with_landmarks(observation, LANDMARKS)
        seen = self._all_forecasts(observation)
        worth = self._worth(observation, seen, 1.0)
        return Outlook(worth.mean(axis=0), seen.left, 1.0 - float(worth.sum(axis=1).mean()))

    def _all_forecasts(self, observation: Observation) -> _Forecasts:
        cost = self._forecast(
            COSTS, observation, followed_costs(observation.step_seconds, observation.step_seconds)
        )
        spent = seconds_trained(observation)
        left = seconds_left(np.exp(cost.mean), spent)
        losses, sums, correlation = {}, {}, np.zeros((len(left), 0))
        for column, objective in enumerate(self._objectives):
            along = [curve[:, column] for curve in observation.curves]
            if _is_loss(objective):
                loss = self._believed(column, observation, [_log_loss(objective, curve) for curve in along])
                losses[column] = self._scenarios(LOSSES, observation, loss)
                if not correlation.shape[1]:  # news are those of the first loss
                    correlation = loss.look_correlation
            elif objective.aggregate == "sum":
                unit = _seconds_a_unit(objective, observation, along)
                steps = [np.diff(curve, prepend=0.0) * unit for curve in along]
                total = self._forecast(COSTS, observation, followed_costs(observation.step_seconds, steps))
                sums[column] = self._scenarios(COSTS, observation, total).less(np.log(unit))
        look = np.exp(cost.look_mean[:, : correlation.shape[1]]) - spent[:, None]
        look = np.clip(look, LEAST_LOOK * left[:, None], left[:, None])
        seconds = self._scenarios(COSTS, observation, cost)
        return _Forecasts(seconds, losses, sums, spent, left, look, correlation)

    def _forecast(self, number: str, observation: Observation, curves: Sequence[FloatArray]) -> Forecast:
        features = self._features(observation)
        return self._forecasters[number].forecast(curves, observation.complete, features)

    def _believed(self, column: int, observation: Observation, curves: Sequence[FloatArray]) -> Forecast:
        """The forecast of the loss in a column, its deviations corrected by `overconfidence_factor`."""
        now = self._forecast(LOSSES, observation, curves)
        first = self._first_forecast(column, observation, [curve[:1] for curve in curves])
        return now.scaled(overconfidence_factor(first, now, observation.steps > 0))

    def _first_forecast(
        self, column: int, observation: Observation, curves: Sequence[FloatArray]
    ) -> Forecast:
        """The forecast from the zero-shot evaluations alone, made once for each search."""
        asked = self._features(observation), np.concatenate(curves).tobytes()
        known = self._first.get(column)
        if known is None or known[0][0] is not asked[0] or known[0][1] != asked[1]:
            none = np.zeros(len(curves), dtype=bool)
            forecast = self._forecast(LOSSES, replace(observation, complete=none), curves)
            known = self._first[column] = asked, forecast
        return known[1]

    def _scenarios(self, number: str, observation: Observation, forecast: Forecast) -> Draws:
        return draw_scenarios(forecast, self._normal_draws(observation.names)[number])

    def _indices(self, observation: Observation, seen: _Forecasts) -> FloatArray:
        """(m,) worth per second of the best plan for each candidate."""
        factor = 1.0
        for _ in range(MOST_WIDENED + 1):
            worth = self._worth(observation, seen, factor)
            # Forecasts of losses are what is doubted.
            if not seen.losses or (worth > 0.0).any(axis=1).mean() >= FEWEST_MISSING:
                break
            factor *= WIDER
        plain = worth.mean(axis=0) / seen.left
        if not seen.losses:
            return np.asarray(plain)
        news = next(iter(seen.losses.values())).news
        beside = self._normal_draws(observation.names)[LOSSES].look
        return np.maximum(plain, _best_plan(worth, news, beside, seen))

    def _worth(self, observation: Observation, seen: _Forecasts, factor: float) -> FloatArray:
        """(s, m) share of the hypervolume that each candidate is needed for in each scenario."""
        final, left = self._complete(observation, seen, factor)
        known = (observation.steps >= 0) & np.isfinite(final).all(axis=(0, 2))
        ended = known & (observation.complete | observation.pending)
        bounds = observation.bounds or (np.inf,) * final.shape[2]
        if not (ended | (known & observation.mask)).any():
            return np.zeros(left.shape)
        return needed(final, left, ended=ended, open_=known & observation.mask, bounds=bounds)

    def _complete(
        self, observation: Observation, seen: _Forecasts, factor: float
    ) -> tuple[FloatArray, FloatArray]:
        """(s, m, n) objectives of the complete curves, and (s, m) seconds until then."""
        total = np.exp(seen.seconds.ends)
        left = np.maximum(total - seen.spent, LEAST_LEFT * total)
        now = observation.objectives.astype(np.float64)
        final = np.repeat(now[None], len(left), axis=0)
        open_ = ~observation.complete
        for column, objective in enumerate(self._objectives):
            if column in seen.losses:
                final[:, open_, column] = _loss_of(objective, seen.losses[column].wider(factor))[:, open_]
            elif column in seen.sums:
                final[:, open_, column] = np.maximum(np.exp(seen.sums[column].ends), now[:, column])[:, open_]
        return final, left

    def _features(self, observation: Observation) -> Features:
        """The features of the candidates, computed once for each search."""
        described = observation.epoch_cost.tobytes() + observation.parameters.tobytes()
        if self._known is None or self._known[:2] != (observation.names, described):
            features = features_of(observation.names, observation.epoch_cost, observation.parameters)
            self._known = (observation.names, described, features)
        return self._known[2]

    def _normal_draws(self, names: tuple[str, ...]) -> Mapping[str, NormalDraws]:
        """The normal draws of LOSSES and of COSTS, made once for each search."""
        if self._draws[0] != names:
            made = {
                number: NormalDraws.of(names, self._forecasters[number].factors, seed)
                for seed, number in enumerate((LOSSES, COSTS))
            }
            self._draws = (names, made)
        return self._draws[1]


def _best_plan(worth: FloatArray, news: FloatArray, beside: FloatArray, seen: _Forecasts) -> FloatArray:
    """(m,) the most worth per second of all plans with one look, over when to look and how good the news must be.

    Args:
        worth: (s, m) of going on to the end.
        news: (s, m) of the end, in deviations.
        beside: (s, m) what a look says beside that.
        seen: how long and how telling looks are.
    """
    best = np.zeros(worth.shape[1])
    share = (np.arange(1, NEWS + 1) / NEWS)[:, None]  # of the news on which one goes on, the best first
    for look, correlation in zip(seen.look.T, seen.look_correlation.T, strict=True):
        order = np.argsort(correlation * news + np.sqrt(1.0 - correlation**2) * beside, axis=0)
        by_news = np.take_along_axis(worth, order, axis=0).reshape(NEWS, -1, worth.shape[1]).mean(axis=1)
        expected = by_news.cumsum(axis=0) / NEWS
        best = np.maximum(best, (expected / (look + share * (seen.left - look))).max(axis=0))
    return best


def _seconds_a_unit(objective: Objective, observation: Observation, along: Sequence[FloatArray]) -> float:
    """What a sum of cost is multiplied by, for it to be followed beside the seconds of zero-shot evaluations.

    Args:
        objective: the sum.
        observation: the search.
        along: (m,) of the sum after each row.
    """
    if objective.column == "train_seconds":
        return 1.0
    if objective.gpu_hour_price is not None:
        return 1.0 / dollars(1.0, None, objective.gpu_hour_price)
    total = sum(float(curve[-1]) for curve in along if len(curve) and np.isfinite(curve[-1]))
    seconds = float(seconds_trained(observation).sum())
    return seconds / total if total > 0.0 < seconds else 1.0


def _is_loss(objective: Objective) -> bool:
    return objective.column == "test_loss" or objective.column in SHARES


def _log_loss(objective: Objective, values: FloatArray) -> FloatArray:
    """The logarithm of a loss; of a share of right answers, minimised as its negative, that of the wrong ones."""
    if objective.column in SHARES:
        return np.asarray(np.log(np.maximum(1.0 + values, LEAST_WRONG)))
    return followed_numbers(values)


def _loss_of(objective: Objective, log_loss: FloatArray) -> FloatArray:
    """The minimised objective whose logarithm, by `_log_loss`, is given."""
    return np.asarray(np.exp(log_loss) - (1.0 if objective.column in SHARES else 0.0))


def followed_costs(seconds: Sequence[ArrayLike], steps: Sequence[ArrayLike]) -> list[FloatArray]:
    """What each curve has cost after each row, as it is followed: of its zero-shot evaluation, then of its steps.

    That evaluation is in seconds whatever the steps' cost is in: it tells candidates apart before a step does.

    Args:
        seconds: (m,) of (rows,) seconds of each row.
        steps: (m,) of (rows,) cost of each row; the first is not read.
    """
    return [
        followed_numbers(seconds_so_far(np.concatenate([first[:1], costs[1:]])))
        for first, costs in (
            (np.asarray(one, dtype=np.float64), np.asarray(other, dtype=np.float64))
            for one, other in zip(seconds, steps, strict=True)
        )
    ]

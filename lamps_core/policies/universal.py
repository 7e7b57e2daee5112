"""`universal`: hypervolume gain per second over forecasts, for candidates that nobody has recorded before.

As `forecast`, but the forecasts are of `policy_training.curve_worlds`, which know no names, and a candidate need not be
run to its end: it may be looked at again a few rows further on and left if it disappoints. Its index is the best
ratio of expected gain to expected seconds over all such plans (what a Gittins index is to a bandit: Gittins, "Bandit
Processes and Dynamic Allocation Indices", 1979; here with one look ahead). The step goes to the greatest index.

Order and number of the candidates make no difference, and one policy serves any objectives: those that are followed
are losses, shares of right answers and sums of cost; any other is taken as the last row has it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.special import ndtri

from lamps_core.objectives import SHARES
from lamps_core.policies.forecast import seconds_left, seconds_so_far, seconds_trained
from lamps_core.policies.outlook import Outlook, gain_box
from lamps_core.policy_training.candidate_features import features_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from lamps_core.meta_dataset import FloatArray
    from lamps_core.objectives import Objective
    from lamps_core.policies import Observation
    from lamps_core.policies.outlook import GainBox
    from lamps_core.policy_training.curve_worlds import CurveWorlds, Features, Forecast

LOSS, COST = "loss", "cost"  # the numbers that are followed
LEAST_NUMBER = 1e-9  # below which a number has no logarithm
LEAST_WRONG = 0.002  # share of wrong answers: the logarithm of none is not followed
NEWS = ndtri((np.arange(8) + 0.5) / 8)  # what a look may bring, in standard deviations of it
LEAST_LOOK = 0.001  # of the seconds left: no look is free


class UniversalPolicy:
    """Chooses by the index of the module's first lines."""

    def __init__(
        self,
        worlds: Mapping[str, CurveWorlds],
        levels: FloatArray,
        *,
        objectives: Sequence[Objective],
        name: str,
    ) -> None:
        """Take what was learned.

        Args:
            worlds: of LOSS and of COST.
            levels: probabilities of the quantiles in `CurveWorlds.errors`, ascending.
            objectives: of the search, in order.
            name: in results.
        """
        self.name = name
        self._worlds, self._objectives = worlds, tuple(objectives)
        edges = np.concatenate([[0.0], (levels[1:] + levels[:-1]) / 2, [1.0]])
        self._weights = np.diff(edges)
        self._known: tuple[tuple[str, ...], bytes, Features] | None = None

    def select(self, observation: Observation) -> int:
        """The greatest index; among equals the one that is soonest at its end."""
        index, told = self._indices(observation)
        chosen = np.flatnonzero(observation.mask)
        order = np.lexsort((told.seconds[chosen], -np.nan_to_num(index[chosen])))
        return int(chosen[order[0]])

    def outlook(self, observation: Observation) -> Outlook:
        """What running each candidate to its end is expected to bring, and to cost."""
        return self._indices(observation)[1]

    def _indices(self, observation: Observation) -> tuple[FloatArray, Outlook]:
        """(m,) gain per second of the best plan for each candidate; what its end alone is expected to bring."""
        features = self._features(observation)
        cost = self._worlds[COST].forecast(
            [followed_numbers(seconds_so_far(np.array(seconds))) for seconds in observation.step_seconds],
            observation.complete,
            features,
        )
        spent = seconds_trained(observation)
        left = seconds_left(np.exp(cost.mean), spent)
        mean, forecasts = self._objectives_when_complete(observation, left, spent, features)
        box = gain_box(observation, mean)
        gains = self._gains(box, mean, forecasts, observation)  # (m, looks + 1, news)
        look = np.clip(np.exp(cost.on_the_way) - spent[:, None], LEAST_LOOK * left[:, None], left[:, None])
        plain = gains[:, -1].mean(axis=1)
        index = np.maximum(_best_ratio(gains[:, :-1], look, left[:, None] - look), plain / left)
        return index, Outlook(plain, left, box.reached)

    def _features(self, observation: Observation) -> Features:
        """Those of the candidates, told once for each search."""
        told = observation.epoch_cost.tobytes() + observation.parameters.tobytes()
        if self._known is None or self._known[:2] != (observation.names, told):
            features = features_of(observation.names, observation.epoch_cost, observation.parameters)
            self._known = (observation.names, told, features)
        return self._known[2]

    def _objectives_when_complete(
        self, observation: Observation, left: FloatArray, spent: FloatArray, features: Features
    ) -> tuple[FloatArray, dict[int, Forecast]]:
        """(m, n) expected objectives of the complete curves; forecasts of those that are losses, by column."""
        mean = observation.objectives.astype(np.float64).copy()
        forecasts = {}
        open_ = ~observation.complete
        for column, objective in enumerate(self._objectives):
            if objective.aggregate == "sum":
                mean[open_, column] += (left * _per_second(mean[:, column], spent))[open_]
            elif _is_loss(objective):
                curves = [_followed(objective, curve[:, column]) for curve in observation.curves]
                forecasts[column] = self._worlds[LOSS].forecast(curves, observation.complete, features)
                mean[open_, column] = _told(objective, forecasts[column].mean)[open_]
        return mean, forecasts

    def _gains(
        self, box: GainBox, mean: FloatArray, forecasts: Mapping[int, Forecast], observation: Observation
    ) -> FloatArray:
        """(m, looks + 1, news) expected gain after each piece of news at each look; the last look is none at all."""
        first = next(iter(forecasts.values()), None)
        looks = 0 if first is None else first.told.shape[1]
        shape = (len(mean), looks + 1, len(NEWS), len(self._weights))
        points = np.broadcast_to(mean[:, None, None, None], (*shape, mean.shape[1])).copy()
        open_ = ~observation.complete
        for column, forecast in forecasts.items():
            told = np.concatenate([forecast.told, np.zeros((len(mean), 1))], axis=1)[:, :, None, None]
            error = told * NEWS[:, None] + np.sqrt(1.0 - told**2) * forecast.errors[:, None, None]
            middle = forecast.mean[:, None, None, None]
            likely = middle + forecast.deviation[:, None, None, None] * error
            points[open_, ..., column] = _told(self._objectives[column], likely)[open_]
        return np.asarray(np.nan_to_num(box.gains(points)) @ self._weights)


def _best_ratio(gains: FloatArray, look: FloatArray, rest: FloatArray) -> FloatArray:
    """(m,) the most gain per second over looks, and over how good the news must be to go on.

    Args:
        gains: (m, looks, news) equally likely, if one goes on.
        look: (m, looks) seconds until the look.
        rest: (m, looks) seconds from there to the end.

    >>> _best_ratio(np.array([[[8.0, 0.0]]]), np.array([[1.0]]), np.array([[6.0]])).tolist()
    [1.0]
    """
    if gains.shape[1] == 0:
        return np.full(len(gains), -np.inf)
    best_first = -np.sort(-gains, axis=2)
    share = np.arange(1, gains.shape[2] + 1) / gains.shape[2]  # of the news on which one goes on
    expected = np.cumsum(best_first, axis=2) / gains.shape[2]
    ratio = expected / (look[:, :, None] + share * rest[:, :, None])
    return np.asarray(ratio.max(axis=(1, 2)))


def _is_loss(objective: Objective) -> bool:
    return objective.column == "test_loss" or objective.column in SHARES


def _followed(objective: Objective, values: FloatArray) -> FloatArray:
    """The logarithm of a loss, or of the share of wrong answers; minimised values."""
    if objective.column in SHARES:
        return np.asarray(np.log(np.maximum(1.0 + values, LEAST_WRONG)))
    return followed_numbers(values)


def _told(objective: Objective, followed: FloatArray) -> FloatArray:
    """The minimised objective."""
    return np.asarray(np.exp(followed) - (1.0 if objective.column in SHARES else 0.0))


def followed_numbers(values: FloatArray) -> FloatArray:
    """Losses or costs as they are followed: their logarithm, NaN where there is none."""
    return np.asarray(np.log(np.where(values > LEAST_NUMBER, values, np.nan)))


def _per_second(total: FloatArray, spent: FloatArray) -> FloatArray:
    """(m,) what a second of a curve adds to a sum: its own rate, else the median of the others', else 1."""
    with np.errstate(divide="ignore", invalid="ignore"):
        rate = np.where(spent > 0.0, total / spent, np.nan)
    known = rate[np.isfinite(rate)]
    return np.where(np.isfinite(rate), rate, np.median(known) if len(known) else 1.0)

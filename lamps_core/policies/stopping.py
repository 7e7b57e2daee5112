"""When to stop: what a search is expected to win next, and whether that is worth its time.

A search goes on while the best candidate is expected to add enough hypervolume per second that it still takes. Bayesian
optimisation likewise stops when the expected improvement is small (Makarova et al., "Automatic Termination for
Hyperparameter Optimization", 2022), and freeze-thaw optimisation ranks unfinished curves by their forecasts (Swersky,
Snoek and Adams, "Freeze-Thaw Bayesian Optimization", 2014). Unlike in both, the gain is divided by the time it takes,
since time is what stopping saves. Knows nothing of how gains are forecast, nor of budgets.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Protocol, runtime_checkable

import numpy as np

from lamps_core.errors import BadInput

if TYPE_CHECKING:
    from lamps_core.policies.outlook import Outlook
    from lamps_core.policies.protocol import Observation

STOP_BELOW = "1%"
_FORMS = "1% (in as long again as the search has taken) or 1%/h (in an hour of steps)"
_WRITTEN = re.compile(r"([0-9]+(?:\.[0-9]+)?) ?%( ?/ ?h)?")
LEAST_SECONDS = 1e-9  # what costs nothing is divided by


@runtime_checkable
class Forecaster(Protocol):
    """What can say how much is still to be won: a policy of the kind `forecast`, for one."""

    def outlook(self, observation: Observation) -> Outlook:
        """Of every candidate, the hypervolume that it is expected to add, and the seconds that it still takes."""
        ...


@dataclass(frozen=True)
class Prospect:
    """What the candidate that gains most for its time is expected to bring, once complete.

    Attributes:
        gain: hypervolume that it adds, as a share of what is then reached; 0 where no candidate is left.
        seconds: of the steps until then.
    """

    gain: float
    seconds: float

    @property
    def gain_per_hour(self) -> float:
        """The gain of an hour of steps at this pace, whatever devices they run on; may be more than 1.

        >>> Prospect(gain=0.02, seconds=360.0).gain_per_hour
        0.2
        """
        return 3600.0 * self.gain / max(self.seconds, LEAST_SECONDS)


@dataclass(frozen=True)
class StopRule:
    """The rate of gain below which a search stops.

    Attributes:
        text: as the user gave it; alike rules may be written differently.
        share: the least gain, as a share of the hypervolume.
        per_hour: True: the share is per hour of steps. False: per as much time as the search has spent so far.
    """

    text: str = field(compare=False)
    share: float
    per_hour: bool

    def met(self, prospect: Prospect, spent_seconds: float) -> bool:
        """Whether it is time to stop.

        >>> rule = parse_stop_rule("1%")
        >>> rule.met(Prospect(gain=0.02, seconds=10.0), 4.0), rule.met(Prospect(gain=0.02, seconds=10.0), 6.0)
        (True, False)
        """
        hours = 1.0 if self.per_hour else spent_seconds / 3600.0
        return prospect.gain_per_hour * hours < self.share

    @property
    def words(self) -> str:
        """Why a search stopped by it.

        >>> parse_stop_rule("0.5%/h").words
        'less than 0.5 % more hypervolume was expected in an hour of steps'
        """
        span = "in an hour of steps" if self.per_hour else "in as long again"
        return f"less than {100 * self.share:.10g} % more hypervolume was expected {span}"


def parse_stop_rule(text: str) -> StopRule:
    """Read a threshold.

    Args:
        text: `1%` or `1%/h`.

    Raises:
        BadInput: it is none of these forms, or not more than zero.

    >>> parse_stop_rule("2 %/h")
    StopRule(text='2 %/h', share=0.02, per_hour=True)
    """
    found = _WRITTEN.fullmatch(text.strip().lower())
    share = float(found[1]) / 100.0 if found else math.nan
    if found is None or not 0.0 < share < math.inf:
        raise BadInput(f"--stop-below {text!r} is not understood: give more than zero, as {_FORMS}")
    return StopRule(text, share, per_hour=found[2] is not None)


def prospect_of(forecaster: Forecaster, observation: Observation) -> Prospect | None:
    """What a search is expected to win next; None while that is unknown.

    Steps that run are left aside, so that the same outcomes give the same answer whatever was running: a search that
    was killed and resumed stops where it would have stopped.

    Args:
        forecaster: asked.
        observation: after the zero-shot evaluations.
    """
    idle = replace(
        observation,
        mask=observation.mask | observation.pending,
        pending=np.zeros_like(observation.pending),
    )
    if not idle.mask.any():
        return Prospect(gain=0.0, seconds=0.0)
    told = forecaster.outlook(idle)
    open_ones = np.flatnonzero(idle.mask & np.isfinite(told.gain) & np.isfinite(told.seconds))
    if len(open_ones) == 0:
        return None
    pace = told.gain[open_ones] / np.maximum(told.seconds[open_ones], LEAST_SECONDS)
    best = open_ones[np.argmax(pace)]
    gain = float(told.gain[best])
    return Prospect(
        gain=gain / (told.reached + gain) if gain > 0.0 else 0.0, seconds=float(told.seconds[best])
    )

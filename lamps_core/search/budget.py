"""What `--budget` means: seconds, steps, dollars or `auto`, and how much of them is left.

Knows nothing of what spends it, nor when `auto` ends: that is `policies.stopping`.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

from lamps_core.errors import BadInput
from lamps_core.policies.stopping import STOP_BELOW, StopRule, parse_stop_rule
from lamps_core.prices import GPU_HOUR_PRICE, check_price

_NUMBER = r"[0-9]+(?:\.[0-9]+)?"
_UNIT_SECONDS = {"d": 86400, "h": 3600, "m": 60, "s": 1}
_DURATION = re.compile("".join(f"(?:(?P<{unit}>{_NUMBER}){unit})?" for unit in _UNIT_SECONDS))
_STEPS = re.compile(r"([0-9]{1,18}) ?steps?")
_DOLLARS = re.compile(rf"\$ ?({_NUMBER})")
UNLIMITED, AUTO = "unlimited", "auto"
_FORMS = "90s, 30m, 2h, 1d, 1h30m, 40steps, $50, auto, or several as in auto,2h"


@dataclass(frozen=True)
class Budget:
    """A limit on a search; what is None does not limit it.

    Attributes:
        text: as the user gave it, in small letters, without blanks around; `unlimited` where none was given.
        seconds: of steps, summed over all of them, attempts that died included.
        steps: landmark steps, zero-shot evaluations included.
        stop: what `auto` stops by.
    """

    text: str
    seconds: float | None = None
    steps: int | None = None
    stop: StopRule | None = None

    def exhausted(self, spent_seconds: float, steps: int) -> bool:
        """Whether nothing more may be started.

        >>> parse_budget("40steps").exhausted(1e9, 39), parse_budget("40steps").exhausted(0.0, 40)
        (False, True)
        """
        return self.remaining_seconds(spent_seconds) <= 0 or (self.steps is not None and steps >= self.steps)

    def remaining_seconds(self, spent_seconds: float) -> float:
        """Seconds left, 0 at the least; infinite where time is not limited.

        >>> parse_budget("90s").remaining_seconds(60.0), parse_budget("4steps").remaining_seconds(60.0)
        (30.0, inf)
        """
        return math.inf if self.seconds is None else max(0.0, self.seconds - spent_seconds)

    def share(self, spent_seconds: float, steps: int) -> float:
        """How much of the budget is used, 0 to 1; always 0 where there is no limit but `auto`.

        >>> parse_budget("2h").share(1800.0, 12)
        0.25
        """
        of_seconds = 0.0 if self.seconds is None else spent_seconds / self.seconds
        of_steps = 0.0 if self.steps is None else steps / self.steps
        return min(1.0, max(0.0, of_seconds, of_steps))


def parse_budget(
    text: str | None, *, gpu_hour_price: float = GPU_HOUR_PRICE, stop_below: str = STOP_BELOW
) -> Budget:
    """Read a budget: a duration, a number of steps, dollars, `auto`; or several, of which the first met ends it.

    Args:
        text: `90s`, `30m`, `2h`, `1d`, `1h30m`, `1.5h`, `40steps`, `$50`, `auto` or `auto,2h`; None for no limit.
        gpu_hour_price: dollars for an hour of one GPU; turns dollars into seconds of one GPU.
        stop_below: when `auto` stops, as `policies.stopping.parse_stop_rule` takes it.

    Raises:
        BadInput: the text is none of these forms, or not more than zero; the price is not a finite number
            more than zero; the threshold cannot be read, or is given for a budget without `auto`.

    >>> parse_budget("1h30m").seconds, parse_budget("40steps").steps
    (5400.0, 40)
    >>> parse_budget("$50", gpu_hour_price=2.0).seconds
    90000.0
    >>> auto = parse_budget("auto,2h", stop_below="0.5%")
    >>> auto.seconds, auto.stop.share
    (7200.0, 0.005)
    """
    check_price(gpu_hour_price)
    stop = parse_stop_rule(stop_below)
    parts = [part.strip().lower() for part in (text or "").split(",")]
    if stop != parse_stop_rule(STOP_BELOW) and AUTO not in parts:
        also = "auto" if text is None else f"auto,{text.strip()}"
        raise BadInput(
            f"--stop-below {stop_below} is about --budget auto: give --budget {also}, or leave it out"
        )
    if text is None:
        return Budget(UNLIMITED)
    limits = [_parse(part, text, gpu_hour_price) for part in parts if part != AUTO]
    return Budget(
        text.strip().lower(),
        seconds=min((limit.seconds for limit in limits if limit.seconds is not None), default=None),
        steps=min((limit.steps for limit in limits if limit.steps is not None), default=None),
        stop=stop if AUTO in parts else None,
    )


def _parse(written: str, text: str, gpu_hour_price: float) -> Budget:
    """One limit, of a budget's whole text."""
    if match := _STEPS.fullmatch(written):
        budget = Budget(text, steps=int(match[1]))
    elif match := _DOLLARS.fullmatch(written):
        budget = Budget(text, seconds=float(match[1]) / gpu_hour_price * 3600)
    elif written and (match := _DURATION.fullmatch(written)):
        parts = match.groupdict(default="0")
        seconds = sum(float(parts[unit]) * size for unit, size in _UNIT_SECONDS.items())
        budget = Budget(text, seconds=seconds)
    else:
        raise BadInput(f"budget {text!r} is not understood: give one of {_FORMS}")
    amount = budget.seconds if budget.steps is None else budget.steps
    if amount is None or not 0 < amount < math.inf:
        raise BadInput(f"budget {text!r} must be more than zero and finite, like one of {_FORMS}")
    return budget

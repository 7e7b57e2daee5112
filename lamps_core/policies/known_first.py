"""A policy that knows its candidates by name, on a task with some that it does not know: those come last.

For a leave-one-out evaluation, where a candidate of the held-out dataset may be on no other, so that no training
could have seen it. A search of a user refuses such a candidate (`policy_file`): there it can be left out.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from lamps_core.policies.ordered import ascending_cost

if TYPE_CHECKING:
    from collections.abc import Collection

    from lamps_core.policies.protocol import Observation, Policy


class KnownFirst:
    """The policy's choice among those that it knows; when none of those may run, the cheapest of the rest."""

    def __init__(self, policy: Policy, known: Collection[str]) -> None:
        """Wrap a policy.

        Args:
            policy: shown the known candidates alone.
            known: their names.
        """
        self._policy, self._known = policy, frozenset(known)

    @property
    def name(self) -> str:
        """The policy's."""
        return self._policy.name

    def select(self, observation: Observation) -> int:
        """See `Policy`; an unknown cost counts as the largest, as in `portfolio`."""
        places = np.flatnonzero([name in self._known for name in observation.names])
        if observation.mask[places].any():
            return int(places[self._policy.select(observation.of(places))])
        order = ascending_cost(observation.epoch_cost)
        return int(order[observation.mask[order]][0])

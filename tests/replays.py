"""Searches of recorded curves that stop for nothing, for tests of policies that say what they expect."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from lamps_core.policies.stopping import Forecaster
from lamps_core.replay import ReplayedSearch

if TYPE_CHECKING:
    from lamps_core.policies.protocol import Policy
    from lamps_core.task import Task


def play_out(task: Task, policy: Policy) -> None:
    """Every step that may be run, long after all is found: each expectation is a number, each choice may run."""
    assert isinstance(policy, Forecaster)
    search = ReplayedSearch(task)
    while search.mask.any():
        observation = search.observation()
        told = policy.outlook(observation)
        assert np.isfinite(told.gain[observation.mask]).all()
        assert (told.seconds > 0).all()
        place = policy.select(observation)
        assert observation.mask[place]
        search.step(place)

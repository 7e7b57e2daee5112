"""Where `--budget auto` ends a search: the share of the hypervolume it has then, and of the exhaustive cost.

Replays on recorded curves, every dataset left out in turn, one step after another; the thresholds are looked at in the
same replay.

    python -m benchmarks.stopping [--methods forecast] [--policy PATH ...] [--below 5%,1%,0.2%]
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from benchmarks.left_out import add_options, left_out_policy, searched_tasks
from benchmarks.ratios import Ratio, tell
from lamps_core import front
from lamps_core.policies.stopping import Forecaster, Prospect, parse_stop_rule, prospect_of
from lamps_core.replay import ReplayedSearch

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lamps_core.policies.protocol import Policy
    from lamps_core.policies.stopping import StopRule
    from lamps_core.task import Task


@dataclass(frozen=True)
class Moment:
    """A replayed search after a step.

    Attributes:
        share: of the hypervolume.
        spent: of the exhaustive cost.
    """

    share: float
    spent: float


def stops(task: Task, policy: Policy, rules: Sequence[StopRule]) -> list[Moment]:
    """When each rule ends a search by a policy that forecasts; the end of all, for one that never does."""
    assert isinstance(policy, Forecaster), f"{policy.name} does not forecast"
    search, found = ReplayedSearch(task), dict[str, Moment]()
    while search.mask.any() and len(found) < len(rules):
        observation = search.observation()
        if search.complete.any():
            prospect = prospect_of(policy, observation) or Prospect(np.inf, 1.0)
            for rule in rules:
                if rule.text not in found and rule.met(prospect, search.spent_seconds):
                    found[rule.text] = _moment(search)
        search.step(policy.select(observation))
    return [found.get(rule.text) or _moment(search) for rule in rules]


def _moment(search: ReplayedSearch) -> Moment:
    task = search.task
    reached = front.hypervolume(task.final[search.complete], task.reference) / task.hypervolume
    return Moment(reached, search.spent_seconds / task.exhaustive_seconds)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add_options(parser)
    parser.add_argument("--methods", default="forecast")
    parser.add_argument("--policy", action="append", default=[], help="path of a trained policy")
    parser.add_argument("--below", default="5%,1%,0.2%")
    given = parser.parse_args()
    torch.set_num_threads(1)
    rules = [parse_stop_rule(text) for text in given.below.split(",")]
    searched, tasks = searched_tasks(given)
    for name in [*filter(None, given.methods.split(",")), *given.policy]:
        print(f"\n{name}: share of the hypervolume at the stop, after this share of the exhaustive cost")
        print(f"{'dataset':24s}" + "".join(f"{f'below {rule.text}':>20s}" for rule in rules))
        table = []
        for task in searched:
            table.append(stops(task, left_out_policy(name, task, tasks), rules))
            print(f"{task.dataset:24s}" + "".join(map(_cell, table[-1])), flush=True)
        shares = np.array([[(one.share, one.spent) for one in row] for row in table])
        print(f"{'mean':24s}" + "".join(_cell(Moment(*pair)) for pair in shares.mean(axis=0)))
        print(
            f"{'least':24s}"
            + "".join(f"{100 * share:11.2f} %{'':7s}" for share in shares[:, :, 0].min(axis=0))
        )
        for rule, (share, spent) in zip(rules, shares.mean(axis=0), strict=True):
            what = f"{name}, stopped below {rule.text}: hypervolume"
            tell(Ratio(what=what, value=share, over="all of it"))
            tell(Ratio(what="what that cost", value=spent, over="an exhaustive search"))


def _cell(moment: Moment) -> str:
    return f"{100 * moment.share:11.2f} % {100 * moment.spent:4.1f} %"


if __name__ == "__main__":
    main()

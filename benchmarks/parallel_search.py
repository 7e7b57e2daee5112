"""How much sooner a search with many devices has 98 % of the hypervolume than with one, by simulated devices.

Wall-clock of a replay on recorded curves, every dataset left out in turn for policies that learn. Beside the ratio
stands the most that anybody could reach: the steps of one curve follow one another, so that no search has the share
before the longest curve that it needs has ended, however many devices there are and whatever is known beforehand.

    python -m benchmarks.parallel_search [--devices 8] [--methods forecast,cheapest,portfolio] [--policy PATH ...]
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from benchmarks.left_out import add_options, left_out_policy, searched_tasks
from benchmarks.ratios import Ratio, tell
from lamps_core import front
from lamps_core.policies.oracle import Oracle
from lamps_core.policies.trained import looks_like_a_path
from lamps_core.replay import replay, zero_shot_clock

if TYPE_CHECKING:
    from lamps_core.task import Task

SHARE, GOAL = 0.98, 5.0


def critical_path(task: Task, devices: int) -> float:
    """Seconds before which no search can have the share: all evaluated, then the longest of the curves it needs.

    The share can be reached with the curves of at most so many seconds, and not with shorter ones alone.
    """
    for seconds in np.sort(task.curve_seconds[task.complete]):
        kept = task.complete & (task.curve_seconds <= seconds)
        if front.hypervolume(task.final[kept], task.reference) >= SHARE * task.hypervolume * (1.0 - 1e-12):
            return zero_shot_clock(task, devices) + float(seconds)
    raise AssertionError("all curves together have all of the hypervolume")


def geometric_mean(values: list[float]) -> float:
    """Of numbers more than 0."""
    return float(np.exp(np.log(values).mean()))


def measure(name: str, searched: tuple[Task, ...], tasks: tuple[Task, ...], devices: int) -> float:
    """Print one line a dataset; returns the geometric mean of the ratios."""
    print(
        f"\n{name}: hours to {SHARE:.0%}; /critical: one device, by the critical path; /oracle: on {devices} devices"
    )
    print(
        f"{'dataset':28s} {'1 device':>9s} {f'{devices} devices':>9s} {'ratio':>6s} {'/critical':>9s} {'/oracle':>7s}"
    )
    ratios, bounds, behind = [], [], []
    for task in searched:
        policy = left_out_policy(name, task, tasks)
        alone, together = (replay(task, policy, devices=count).seconds_to(SHARE) for count in (1, devices))
        knowing = replay(task, Oracle(task), devices=devices).seconds_to(SHARE)
        assert alone is not None
        assert together is not None
        assert knowing is not None
        ratios.append(alone / together)
        bounds.append(alone / critical_path(task, devices))
        behind.append(together / knowing)
        print(
            f"{task.dataset:28s} {alone / 3600:9.2f} {together / 3600:9.2f} {ratios[-1]:6.2f} {bounds[-1]:9.2f} "
            f"{behind[-1]:7.2f}",
            flush=True,
        )
    mean, bound, late = map(geometric_mean, (ratios, bounds, behind))
    print(f"{'geometric mean':48s} {mean:6.2f} {bound:9.2f} {late:7.2f}")
    return mean


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add_options(parser)
    parser.add_argument("--devices", type=int, default=8)
    parser.add_argument("--methods", default="forecast,cheapest,portfolio")
    parser.add_argument("--policy", action="append", default=[], help="path of a trained policy")
    given = parser.parse_args()
    torch.set_num_threads(1)
    searched, tasks = searched_tasks(given)
    for name in [*filter(None, given.methods.split(",")), *given.policy]:
        began = time.process_time()
        mean = measure(name, searched, tasks, given.devices)
        seconds = time.process_time() - began
        print(f"{name}: {seconds:.0f} s of CPU")
        told = Path(name).stem if looks_like_a_path(name) else name
        what = f"{told} on {given.devices} devices: sooner at {SHARE:.0%} on {given.curves or 'simulated curves'}"
        tell(Ratio(what=what, value=mean, over="one device", goal=f">= {GOAL:.0f}"))


if __name__ == "__main__":
    main()

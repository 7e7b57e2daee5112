"""Searches and campaigns over which hundreds of faults come end as those that were left alone.

LAMPS_FAULT_EVENTS is how many come over each of the three, LAMPS_FAULT_SEED draws the same ones again.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import random
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest

from tests.campaigns import write_datasets
from tests.fault_events import EVENTS, Life, check_end, throw, when
from tests.fault_shim import FaultShim
from tests.fault_sites import CampaignSite, SearchSite, Site
from tests.lamps_command import DEADLINE_SECONDS
from tests.searches import workers_of
from tests.small_disk import mounted
from tests.warm_lamps import WarmLamps

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

EACH = int(os.environ.get("LAMPS_FAULT_EVENTS", "70"))
SEED = int(os.environ.get("LAMPS_FAULT_SEED", random.SystemRandom().randrange(2**32)))
MOST_OF_A_LIFE = 9  # events, if it survives them
DISK_MEGABYTES = 48
WATCH_SECONDS = 3.0

pytestmark = [pytest.mark.faults, pytest.mark.timeout(7200)]


@dataclass
class Storm:
    """Faults over one site after another, and what became of them."""

    warm: WarmLamps
    shim: FaultShim
    url: str
    chance: random.Random
    say: Callable[[str], None]
    events: Counter[str] = field(default_factory=Counter)
    phases: Counter[str] = field(default_factory=Counter)
    lives: int = 0

    def weather(self, site: Site, disk: Path | None) -> None:
        """Start the command again and again, a few faults over each life, until it ends well."""
        while not self._life(site, disk):
            pass

    def start(self, site: Site) -> Life:
        self.shim.jump(0)
        self.lives += 1
        steps = site.steps()
        command = self.warm.start(*site.arguments, cwd=site.cwd, prefect_url=self.url)
        return Life(command, site, self.shim, self.chance, disk=None, steps_before=steps)

    def _life(self, site: Site, disk: Path | None) -> bool:
        """Whether it came to the end of its work."""
        life = self.start(site)
        life.disk = disk
        name = "clock jump"  # nothing that may end it
        for _ in range(self.chance.randint(2, MOST_OF_A_LIFE)):
            if self.events.total() >= EACH or not self._await_a_moment(life):
                break
            name = self._throw(life)
            ended = life.command.poll() is not None or bool(EVENTS[name][1])
            if ended:
                break
            site.check(alive=True)
        code = check_end(name, life)
        site.check(alive=False)
        return code == 0

    def _throw(self, life: Life) -> str:
        """A fault, of those that came seldom so far."""
        names = [name for name in EVENTS if name != "disk full" or life.disk is not None]
        names.sort(key=lambda name: self.events[name] + self.chance.random() * 3)
        phase, before = life.site.phase(life.command.pid), life.site.steps()
        began = time.monotonic()
        name = next(name for name in names if throw(name, life))
        self.events[name] += 1
        self.phases[phase] += 1
        self.say(
            f"{self.events.total():4} {name} at {phase}, {before} -> {life.site.steps()} of {life.site.total} steps, "
            f"{time.monotonic() - began:.1f} s"
        )
        return name

    def _await_a_moment(self, life: Life) -> bool:
        """Until a moment drawn by chance, some of them short ones that would hardly ever be met; False at its end."""
        site, pid = life.site, life.command.pid
        sign = self.chance.choice(["folder", "worker", "step", "step", "step", "step"])
        signs = {
            "folder": site.has_begun,
            "worker": lambda: bool(workers_of(pid)),
            "step": lambda: site.steps() > life.steps_before,
        }
        if not when(signs[sign], life, seconds=DEADLINE_SECONDS):
            return False
        near = site.total - site.steps() < 12
        goal = self.chance.choice(
            ["commit", "end", "end", "last words"] if near else ["any", "any", "commit"]
        )
        if goal in {"end", "last words"}:
            when(lambda: site.steps() >= site.total, life, seconds=DEADLINE_SECONDS)
        if goal == "commit":
            self._watch_for(site.is_committing)
        elif goal == "last words":
            self._watch_for(site.is_finishing)
        else:
            time.sleep(self.chance.uniform(0.0, 0.8 if goal == "end" else 1.2))
        return life.command.poll() is None

    @staticmethod
    def _watch_for(moment: Callable[[], bool]) -> None:
        """Look closely for something short, for a while."""
        deadline = time.monotonic() + WATCH_SECONDS
        while time.monotonic() < deadline and not moment():
            time.sleep(0.001)


@pytest.fixture
def storm(tmp_path: Path, prefect_url: str, capsys: pytest.CaptureFixture[str]) -> Iterator[Storm]:
    def say(line: str) -> None:
        with capsys.disabled():
            print(line, flush=True)

    shim = FaultShim(tmp_path)
    say(f"\nLAMPS_FAULT_SEED={SEED} LAMPS_FAULT_EVENTS={EACH}")
    with WarmLamps(fork_server=True, variables=shim.variables) as warm:
        storm = Storm(warm, shim, prefect_url, random.Random(SEED), say)
        yield storm
        say(
            f"{storm.events.total()} events in {storm.lives} lives: {dict(storm.events)}; at {dict(storm.phases)}"
        )


@contextlib.contextmanager
def a_place(folder: Path, name: str, *, small: bool) -> Iterator[tuple[Path, Path | None]]:
    """Where a command writes, and the small disk that holds it, if it is on one."""
    with contextlib.ExitStack() as stack:
        disk = None
        if small:
            with contextlib.suppress(pytest.skip.Exception):  # where none can be mounted, no disk runs full
                disk = stack.enter_context(mounted(folder / "disk", megabytes=DISK_MEGABYTES))
        yield (disk or folder) / name, disk


def come_through(storm: Storm, folder: Path, name: str, made: Callable[[Path, Path], Site]) -> None:
    """Throw all faults at sites, and hold each of them against one that was left alone."""
    alone = made(folder / "alone", folder / "alone" / name)
    life = storm.start(alone)
    assert life.command.wait() == 0, life.stderr
    alone.check(alive=False)
    wanted = alone.outcome()
    storm.lives = 0
    for number in itertools.count():
        cwd = folder / f"{number}"
        cwd.mkdir()
        with a_place(cwd, name, small=number % 2 == 1) as (place, disk):
            site = made(cwd, place)
            storm.weather(site, disk)
            assert site.outcome() == wanted
            assert site.steps() == site.total
            storm.say(f"     {name} {number} ended as the one that was left alone")
        if storm.events.total() >= EACH:
            return


def test_searches_that_faults_come_over_end_as_one_left_alone(
    storm: Storm, topics_csv: Path, tmp_path: Path
) -> None:
    come_through(storm, tmp_path, "out", lambda cwd, place: SearchSite(topics_csv, cwd, place))


@pytest.mark.parametrize("scratch", [False, True], ids=["shared work", "scratch folder"])
def test_campaigns_that_faults_come_over_end_as_one_left_alone(
    storm: Storm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, scratch: bool
) -> None:
    datasets = write_datasets(tmp_path, rows=200)
    folder = tmp_path / "scratch" if scratch else None
    if folder is not None:
        monkeypatch.setenv("LAMPS_SCRATCH", str(folder))
    come_through(
        storm, tmp_path, "curves", lambda cwd, place: CampaignSite(datasets, cwd, place, scratch=folder)
    )

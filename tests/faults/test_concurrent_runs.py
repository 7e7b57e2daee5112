"""Commands at once on one folder: one at a time works in it, the others are refused in one line, nothing is harmed."""

from __future__ import annotations

import contextlib
import random
import time
from typing import TYPE_CHECKING, Any

import psutil
import pyarrow.dataset
import pytest

from lamps_core.curves.reader import read_curves
from lamps_core.policy_file import read_policy
from tests.campaigns import campaign_arguments, facts, rows_of, write_datasets
from tests.fault_sites import CampaignSite, SearchSite, Site
from tests.meta_datasets import family_rows, write_meta_dataset
from tests.searches import eventually
from tests.warm_lamps import WarmLamps

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from tests.warm_lamps import WarmCommand

ROUNDS = 3
MODELS = "zoo/bert-tiny,zoo/gpt2-tiny"

pytestmark = [pytest.mark.faults, pytest.mark.timeout(1800)]


@pytest.fixture(scope="module")
def warm() -> Iterator[WarmLamps]:
    with WarmLamps(fork_server=True) as warm:
        yield warm


class Crowd:
    """Commands that were started at once, or nearly, each in a working directory of its own."""

    def __init__(self, warm: WarmLamps, folder: Path, url: str) -> None:
        self._warm, self._folder, self._url = warm, folder, url
        self._commands: list[tuple[WarmCommand, Path]] = []

    def start(self, arguments: Sequence[str]) -> WarmCommand:
        cwd = self._folder / f"crowd-{len(self._commands)}"
        cwd.mkdir(parents=True)
        command = self._warm.start(*arguments, cwd=cwd, prefect_url=self._url)
        self._commands.append((command, cwd))
        return command

    def under_way(self, site: Site) -> WarmCommand:
        """A run of a site, with a step done."""
        command = self.start(site.arguments)
        eventually(lambda: site.steps() > 0, what="a step")
        return command

    def codes(self) -> list[int]:
        """How they ended: well, or refused in one line that says why."""
        codes = []
        for command, cwd in self._commands:
            codes.append(command.wait(600))
            told = (cwd / "stderr").read_text()
            assert "Traceback" not in told, told
            if codes[-1] != 0:
                assert codes[-1] == 2, told
                assert self.is_refusal(told.strip().splitlines()[-1]), told
        return codes

    @staticmethod
    def is_refusal(line: str) -> bool:
        said = (
            "is in use by another lamps run",
            "another lamps run began",
            "there is a policy already",  # of one that was faster
        )
        return line.startswith("lamps: ") and any(words in line for words in said)


@contextlib.contextmanager
def suspended(*commands: WarmCommand) -> Iterator[None]:
    """Commands that do nothing while the block runs: they still hold what they held, and cannot end before it."""
    processes = [psutil.Process(command.pid) for command in commands]
    for process in processes:
        process.suspend()
    try:
        yield
    finally:
        for process in processes:
            process.resume()


def sites(kind: str, folder: Path, csv: Path) -> Iterator[Site]:
    """One new site after another."""
    datasets = write_datasets(folder, rows=200)
    for number in range(ROUNDS + 1):
        cwd = folder / f"site-{number}"
        if kind == "search":
            yield SearchSite(csv, cwd, cwd / "out")
        else:
            yield CampaignSite(datasets, cwd, cwd / "curves")


@pytest.mark.parametrize("kind", ["search", "campaign"])
def test_runs_that_start_at_once_on_one_folder_leave_it_as_one_alone(
    kind: str, topics_csv: Path, tmp_path: Path, prefect_url: str, warm: WarmLamps
) -> None:
    chance = random.Random(6)
    alone, *others = sites(kind, tmp_path, topics_csv)
    crowd = Crowd(warm, alone.cwd, prefect_url)
    crowd.start(alone.arguments)
    assert crowd.codes() == [0]
    refused = 0
    for number, site in enumerate(others):
        crowd = Crowd(warm, site.cwd, prefect_url)
        for _ in range(3):
            crowd.start(site.arguments)
            time.sleep(chance.uniform(0.0, 0.4 * number))
        codes = crowd.codes()
        assert 0 in codes  # whoever is first, one of them does the work
        refused += codes.count(2)
        site.check(alive=False)
        assert site.outcome() == alone.outcome()
        assert site.steps() == site.total
    assert refused >= ROUNDS


@pytest.mark.parametrize("kind", ["search", "campaign"])
def test_a_suspended_run_keeps_its_folder(
    kind: str, topics_csv: Path, tmp_path: Path, prefect_url: str, warm: WarmLamps
) -> None:
    site = next(sites(kind, tmp_path, topics_csv))
    crowd = Crowd(warm, site.cwd, prefect_url)
    first = crowd.under_way(site)
    with suspended(first):
        before = site.steps()
        second = crowd.start(site.arguments)
        assert second.wait() == 2
        assert first.poll() is None
        assert before < site.total
    assert crowd.codes() == [0, 2]
    site.check(alive=False)
    assert site.steps() == site.total


@pytest.mark.parametrize("kind", ["search", "campaign"])
def test_reports_are_written_at_any_moment_of_a_run(
    kind: str, topics_csv: Path, tmp_path: Path, prefect_url: str, warm: WarmLamps
) -> None:
    site = next(sites(kind, tmp_path, topics_csv))
    crowd = Crowd(warm, site.cwd, prefect_url)
    run = crowd.under_way(site)
    reports = 0
    while run.poll() is None:
        told = warm("report", str(site.place), cwd=tmp_path)
        assert told.returncode == 0, told.stderr
        reports += 1
    assert crowd.codes() == [0]
    assert reports >= 3
    site.check(alive=False)
    assert site.steps() == site.total


def test_campaigns_of_other_models_on_one_folder_come_to_the_union(
    tmp_path: Path, prefect_url: str, warm: WarmLamps
) -> None:
    """Each does its own part, tried again while the other holds the folder; what is there is never run again."""
    datasets, curves = write_datasets(tmp_path), tmp_path / "curves"
    crowd = Crowd(warm, tmp_path / "crowd", prefect_url)
    asked = [campaign_arguments(datasets, model, curves) for model in MODELS.split(",")]
    waiting = list(asked)
    while waiting:
        commands = [(arguments, crowd.start(arguments)) for arguments in waiting]
        before = rows_of(curves) if any(curves.glob("*.parquet")) else []
        waiting = [arguments for arguments, command in commands if command.wait(600) != 0]
        rows = rows_of(curves)
        assert [row for row in rows if row in before] == before
    assert set(crowd.codes()) <= {0, 2}
    together = tmp_path / "together"
    crowd = Crowd(warm, tmp_path / "both", prefect_url)
    crowd.start(campaign_arguments(datasets, MODELS, together))
    assert crowd.codes() == [0]
    assert facts(curves) == facts(together)


def test_a_search_and_a_campaign_refuse_each_other_s_folders(
    topics_csv: Path, tmp_path: Path, prefect_url: str, warm: WarmLamps
) -> None:
    search, campaign = (
        next(sites("search", tmp_path, topics_csv)),
        next(sites("campaign", tmp_path, topics_csv)),
    )
    crowd = Crowd(warm, tmp_path / "owners", prefect_url)
    running = crowd.start(search.arguments), crowd.start(campaign.arguments)
    eventually(lambda: search.steps() > 1 and campaign.steps() > 1, what="steps of both")
    in_search = CampaignSite("", tmp_path / "other", search.place / "curves")
    strange = (
        ([*campaign.arguments, "--curves", str(in_search.place)], "holds the curves of a search"),
        ([*search.arguments, "--out", str(campaign.place)], "is not empty and holds no"),
    )
    with suspended(*running):  # on a loaded machine they would end before the second is refused
        for arguments, says in strange:
            told = warm(*arguments, cwd=tmp_path, prefect_url=prefect_url)
            assert told.returncode == 2
            assert says in told.stderr
        assert all(command.poll() is None for command in running)
    assert crowd.codes() == [0, 0]
    for site in (search, campaign):
        site.check(alive=False)
        assert site.steps() == site.total


def test_commands_that_build_the_same_candidates_at_once_share_them(
    topics_csv: Path, tmp_path: Path, prefect_url: str, warm: WarmLamps, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LAMPS_CACHE", str(tmp_path / "cache"))
    runs = [SearchSite(topics_csv, tmp_path / name, tmp_path / name / "out") for name in ("a", "b", "c")]
    crowd = Crowd(warm, tmp_path / "crowd", prefect_url)
    for run in runs:
        crowd.start(run.arguments)
    assert crowd.codes() == [0, 0, 0]
    assert runs[0].outcome() == runs[1].outcome() == runs[2].outcome()
    assert not list((tmp_path / "cache").rglob(".*"))


OTHERS: dict[str, tuple[str, ...]] = {
    "train-policy": ("--algorithm", "ppo", "--steps", "20000"),
    "evaluate": ("--methods", "cheapest,blind", "--repeats", "20", "--parallel", "1"),
}


@pytest.mark.parametrize("command", OTHERS)
def test_trainings_and_evaluations_on_one_place_are_one_at_a_time(
    command: str, tmp_path: Path, prefect_url: str, warm: WarmLamps
) -> None:
    write_meta_dataset(tmp_path / "curves", family_rows(4, 5, steps=3))
    arguments = [command, "--curves", str(tmp_path / "curves"), *OTHERS[command]]
    for name in ("first", "second"):
        crowd = Crowd(warm, tmp_path / name, prefect_url)
        for _ in range(3):
            crowd.start([*arguments, "--out", str(tmp_path / f"{name}-out")])
        codes = crowd.codes()
        assert 0 in codes
        assert 2 in codes
    assert outcome(command, tmp_path / "first-out") == outcome(command, tmp_path / "second-out")


def outcome(command: str, out: Path) -> Any:
    if command == "evaluate":
        return (out / "evaluation.json").read_text().replace(str(out), "")
    policy = read_policy(out)
    return policy.digest()


def test_the_rows_of_a_campaign_are_read_while_it_appends_and_compacts_them(
    tmp_path: Path, prefect_url: str, warm: WarmLamps
) -> None:
    site = next(sites("campaign", tmp_path, tmp_path))
    crowd = Crowd(warm, site.cwd, prefect_url)
    run = crowd.under_way(site)
    most = 0
    while run.poll() is None:
        rows = read_curves(site.place).num_rows
        assert rows >= most
        most = rows
    assert crowd.codes() == [0]
    assert pyarrow.dataset.dataset(site.place).count_rows() == site.total

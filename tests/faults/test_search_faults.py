"""A search whose whole process tree is killed again and again ends as if nothing had happened."""

from __future__ import annotations

import json
import random
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import psutil
import pyarrow.dataset
import pytest

from lamps_core.curves.reader import read_curves
from lamps_core.search.journal import read_journal
from tests.lamps_command import (
    DEADLINE_SECONDS,
    family,
    kill_family,
    lamps,
    search_arguments,
    start_lamps,
    wait_for_end,
)
from tests.searches import eventually, forecasting_policy, steps_on_record, without_times, workers_of

if TYPE_CHECKING:
    from pathlib import Path

KILLS = 20
MODELS = "zoo/bert-tiny,zoo/gpt2-tiny,zoo/distilbert-tiny"
# Sixty steps of a tenth of a second each. The selection rows make an export with a measurement at the end.
OPTIONS = (
    "--models", MODELS, "--landmarks", "4", "--max-epochs", "16", "--patience", "16", "--selection-split", "0.1",
)  # fmt: skip
STEPS = 3 * (1 + 3 + 16)
LIVES = 60
LEAST_SECONDS, MOST_SECONDS = 0.0, 1.2  # after the first sign of a life's work

pytestmark = [pytest.mark.faults, pytest.mark.timeout(1500)]


@dataclass
class Lives:
    """What became of each life of the search.

    Attributes:
        phases: what a killed one was at.
        steps: on record after each.
    """

    phases: Counter[str] = field(default_factory=Counter)
    steps: list[int] = field(default_factory=list)
    ended: bool = False


def live_and_die(arguments: list[str], cwd: Path, url: str, chance: random.Random) -> str | None:
    """Start the search, kill all of it at a moment drawn by chance; returns its phase, None where it ended first."""
    out = cwd / "out"
    journal = out / "journal.jsonl"
    command = start_lamps(*arguments, cwd=cwd, prefect_url=url)
    # A first kill may come at any time after the journal is there; later ones, after the fork server has started
    # too, or in one of five before that: a life that does no work teaches nothing.
    early = not journal.exists() or chance.random() < 0.2
    eventually(journal.exists, what="the journal")
    if not early:
        eventually(
            lambda: workers_of(command.pid) or command.poll() is not None,
            seconds=DEADLINE_SECONDS,
            what="a worker",
        )
    time.sleep(chance.uniform(LEAST_SECONDS, MOST_SECONDS))  # the moment of the fault
    processes = family(command.pid)
    phase = phase_of(out, command.pid)
    kill_family(command.pid)
    code = command.wait()
    wait_for_end(processes)
    if code >= 0:
        assert code == 0, (cwd / "stderr").read_text()
        return None
    return phase


def phase_of(out: Path, pid: int) -> str:
    """What a search is at, from what it has on disk."""
    if not any(process.pid != pid for process in family(pid)):
        return "before its processes"
    if (out / "result.json").exists():
        return "ending"
    done = len(steps_on_record(out))
    if done == STEPS:
        return "export"
    if not workers_of(pid):
        return "loading libraries"
    if any(path.name.startswith(".draft-") for path in (out / "work" / "checkpoints").glob("*/.draft-*")):
        return "committing a checkpoint"
    return "zero-shot steps" if done < 3 else "training steps"


def run_through_kills(arguments: list[str], cwd: Path, url: str, kills: int = KILLS) -> Lives:
    chance, lives = random.Random(20), Lives()
    while len(lives.steps) < LIVES and sum(lives.phases.values()) < kills and not lives.ended:
        phase = live_and_die(arguments, cwd, url, chance)
        lives.ended = phase is None
        if phase is not None:
            lives.phases[phase] += 1
        lives.steps.append(len(steps_on_record(cwd / "out")))
        check_what_a_kill_left(cwd / "out", lives.steps)
    return lives


def check_what_a_kill_left(out: Path, steps: list[int]) -> None:
    """Nothing is lost, nothing is there twice, and what can be seen can be read."""
    assert steps == sorted(steps)
    read_journal(out / "journal.jsonl")
    done = steps_on_record(out)
    assert len(set(done)) == len(done)
    if any((out / "curves").glob("*.parquet")):
        rows = [(row["model"], row["step"]) for row in read_curves(out / "curves").to_pylist()]
        assert set(rows) <= set(done)
    if (out / "result.json").exists():
        json.loads((out / "result.json").read_text())


def facts(out: Path) -> list[dict[str, Any]]:
    """Every row of the curves, less what a clock or the memory of a process says."""
    measured = {
        "train_seconds", "step_seconds", "cpu_seconds", "eval_rows_per_second", "peak_memory_bytes", "created_at",
    }  # fmt: skip
    rows = read_curves(out / "curves").to_pylist()
    return [{key: value for key, value in row.items() if key not in measured} for row in rows]


def test_a_search_killed_twenty_times_ends_as_one_that_was_not(
    topics_csv: Path, tmp_path: Path, prefect_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    for folder in ("undisturbed", "killed"):
        (tmp_path / folder).mkdir()
    arguments = search_arguments(topics_csv, "out", *OPTIONS, "--json")
    whole = lamps(*arguments, cwd=tmp_path / "undisturbed", prefect_url=prefect_url)
    assert whole.returncode == 0, whole.stderr
    assert json.loads(whole.stdout)["steps"] == STEPS

    lives = run_through_kills(arguments, tmp_path / "killed", prefect_url)
    with capsys.disabled():
        print(f"\n{sum(lives.phases.values())} kills: {dict(lives.phases)}; steps on record: {lives.steps}")
    assert sum(lives.phases.values()) == KILLS
    last = lamps(*arguments, cwd=tmp_path / "killed", prefect_url=prefect_url)
    assert last.returncode == 0, last.stderr
    assert without_times(json.loads(last.stdout)) == without_times(json.loads(whole.stdout))

    mine, theirs = tmp_path / "killed" / "out", tmp_path / "undisturbed" / "out"
    assert steps_on_record(mine) == steps_on_record(theirs)
    assert facts(mine) == facts(theirs)
    assert pyarrow.dataset.dataset(mine / "curves").count_rows() == STEPS
    left = [process for process in psutil.process_iter() if str(tmp_path) in " ".join(command_line(process))]
    assert left == []


def test_a_search_of_two_steps_at_once_by_forecasts_killed_again_and_again_runs_no_finished_step_twice(
    topics_csv: Path, tmp_path: Path, prefect_url: str
) -> None:
    (tmp_path / "killed").mkdir()
    policy = str(forecasting_policy(tmp_path, MODELS))
    arguments = search_arguments(topics_csv, "out", *OPTIONS, "--parallel", "2", "--policy", policy, "--json")
    lives = run_through_kills(arguments, tmp_path / "killed", prefect_url, kills=4)
    assert sum(lives.phases.values()) == 4
    last = lamps(*arguments, cwd=tmp_path / "killed", prefect_url=prefect_url)
    assert last.returncode == 0, last.stderr
    result, done = json.loads(last.stdout), steps_on_record(tmp_path / "killed" / "out")
    assert len(done) == len(set(done)) == result["steps"]
    assert sorted(done) == sorted(
        (row["model"], step) for row in result["candidates"] for step in range(row["steps"])
    )
    assert all(row["complete"] for row in result["candidates"])
    assert pyarrow.dataset.dataset(tmp_path / "killed" / "out" / "curves").count_rows() == len(done)


def command_line(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:
        return []

"""`lamps evaluate` as a user runs it."""

from __future__ import annotations

import json
import os
import shutil
import signal
from typing import TYPE_CHECKING, Any

import pytest

from lamps_core.meta_dataset import read_tasks
from lamps_core.objectives import parse_objectives
from lamps_core.policy_file import write_policy
from lamps_core.policy_training.training_run import TrainingRun
from tests.lamps_command import DEADLINE_SECONDS, family, lamps, start_lamps, wait_for_end
from tests.meta_datasets import family_rows, write_meta_dataset
from tests.pages import Page
from tests.searches import eventually
from tests.static_order import train

if TYPE_CHECKING:
    from pathlib import Path

    from tests.warm_lamps import WarmLamps

DATASETS = 4
UNITS = 3 * DATASETS  # of two methods, and of the Oracle that they are measured against


def arguments(*more: str) -> list[str]:
    """A quick evaluation; an option given again in `more` takes the place of the one here."""
    options = {
        "--curves": "curves", "--methods": "cheapest,blind", "--repeats": "20", "--parallel": "1", "--out": "out",
    }  # fmt: skip
    given = {option for option in more if option.startswith("--")}
    kept = [word for pair in options.items() if pair[0] not in given for word in pair]
    return ["evaluate", *kept, *more]


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with curves."""
    folder = tmp_path_factory.mktemp("evaluate")
    write_meta_dataset(folder / "curves", family_rows(DATASETS, 40, steps=8))
    return folder


@pytest.fixture(scope="module")
def finished(here: Path, prefect_url: str) -> dict[str, Any]:
    """What an evaluation printed as JSON."""
    ran = lamps(*arguments("--json"), cwd=here, prefect_url=prefect_url)
    assert ran.returncode == 0, ran.stderr
    result: dict[str, Any] = json.loads(ran.stdout, parse_constant=pytest.fail)
    return result


def test_the_result_is_on_stdout_and_on_disk(here: Path, finished: dict[str, Any]) -> None:
    written = json.loads((here / "out" / "evaluation.json").read_text(), parse_constant=pytest.fail)
    assert written == {name: value for name, value in finished.items() if name != "report"}
    assert len(finished["folds"]) == 2 * 20 * DATASETS
    assert {row["method"] for row in finished["summary"]} == {"blind", "cheapest"}
    assert Page(here / finished["report"]).count("svg") == 2
    assert (here / "out" / "figure-3.svg").is_file()


@pytest.mark.slow  # four starts of the command; tests/lamps_core resumes one without any
def test_killed_and_interrupted_it_goes_on_and_comes_to_the_same(
    here: Path, finished: dict[str, Any], prefect_url: str, tmp_path: Path
) -> None:
    """kill -9 to the command alone in the middle, then Ctrl-C, then to the end; no unit is done twice."""
    shutil.copytree(here / "curves", tmp_path / "curves")
    parts = tmp_path / "out" / ".parts"

    def on_record() -> dict[str, int]:
        names = [name for name in parts.glob("*.json") if name.name != "about.json"]
        return {name.name: name.stat().st_mtime_ns for name in names}

    killed = start_lamps(*arguments(), cwd=tmp_path, prefect_url=prefect_url)
    eventually(lambda: len(on_record()) >= 2, what="two units")
    relatives = family(killed.pid)
    killed.kill()
    killed.wait()
    wait_for_end(relatives)
    first = on_record()
    assert 2 <= len(first) < UNITS
    stopped = start_lamps(*arguments(), cwd=tmp_path, prefect_url=prefect_url)
    eventually(lambda: len(on_record()) >= len(first) + 2, what="two more")
    relatives = family(stopped.pid)
    os.killpg(stopped.pid, signal.SIGINT)
    assert stopped.wait(DEADLINE_SECONDS) == 130
    wait_for_end(relatives)
    assert "what is done is kept" in (tmp_path / "stderr").read_text()
    second = on_record()
    assert len(first) + 2 <= len(second) < UNITS
    ran = lamps(*arguments("--json"), cwd=tmp_path, prefect_url=prefect_url)
    assert ran.returncode == 0, ran.stderr
    assert json.loads(ran.stdout) == finished
    third = on_record()
    assert len(third) == UNITS
    assert first.items() <= second.items() <= third.items()


# The other complaints are made by the same code in tests/flows: a command takes seconds to say one.
BAD_INPUT: dict[str, tuple[list[str], str]] = {
    "unknown method": (
        ["--methods", "cheepest"],
        "--methods cheepest: no such method; did you mean cheapest?",
    ),
    "policy that does not fit": (
        ["--policy", "other"],
        "--policy other: is for the objectives test_loss, not",
    ),
    "other folds": (["--folds", "kfold"], "'--folds': 'kfold' is not 'loo'"),
    "path with a comma": (["--policy", "a,b"], "give each policy an option of its own"),
}


@pytest.mark.parametrize("name", BAD_INPUT)
def test_bad_input_ends_with_2_and_one_clear_line(
    here: Path, prefect_url: str, warm_lamps: WarmLamps, name: str
) -> None:
    fewer = write_meta_dataset(here / "fewer", family_rows(2, 6))
    other = train(read_tasks(fewer, parse_objectives("test_loss")), seed=0, run=TrainingRun())
    write_policy(here / "other", other)
    more, says = BAD_INPUT[name]
    ran = warm_lamps(*arguments("--out", "refused", *more), cwd=here, prefect_url=prefect_url)
    assert (ran.returncode, ran.stdout) == (2, ""), ran.stderr
    assert says in ran.stderr
    assert len(ran.stderr.splitlines()) == 1
    assert not (here / "refused").exists()

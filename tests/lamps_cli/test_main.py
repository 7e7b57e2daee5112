"""The installed `lamps` command, run as a user runs it."""

from __future__ import annotations

import csv
import json
import os
import shutil
import signal
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from lamps_core.zoo import materialise
from tests.lamps_command import (
    DEADLINE_SECONDS,
    family,
    lamps,
    search_arguments,
    start_lamps,
    wait_for_end,
)
from tests.searches import (
    BETTER,
    TINY,
    eventually,
    quick_request,
    run_to_the_end,
    steps_on_record,
    truncated_model,
    without_times,
    workers_of,
)

if TYPE_CHECKING:
    import subprocess
    from pathlib import Path

    from tests.warm_lamps import WarmLamps

EPOCHS = 12  # so that a search lasts for a few seconds
LONG = ("--max-epochs", str(EPOCHS), "--patience", str(EPOCHS))
LONG_STEPS = 2 * (2 + EPOCHS)  # of two candidates: zero-shot, half of the rows, the epochs

# --- bad input -----------------------------------------------------------------------------------------------------

# What is given in place of, or beside, the options of a good search -> a part of the one line that must be said.
# {here} is a folder with the files below.
BAD_INPUT: dict[str, tuple[list[str], str]] = {
    "missing file": (["--dataset", "{here}/nowhere.csv"], "nowhere.csv: no such file"),
    "empty models": (["--models", ""], "no model"),
    "empty objectives": (["--objectives", ""], "objective"),
    "empty policy": (["--policy", ""], "no such policy"),
    "empty budget": (["--budget", ""], "--budget is empty"),
    "empty out": (["--out", ""], "--out names no folder"),
    "missing input column": (["--input-col", "sentence"], "sentence"),
    "missing target column": (["--target-col", "lable"], "lable"),
    "one class": (["--dataset", "{here}/one_class.csv"], "all labels are 'food'"),
    "no rows": (["--dataset", "{here}/no_rows.csv"], "no row with both a text and a label"),
    "test file with an unseen label": (["--test-dataset", "{here}/unseen_label.csv"], "sports"),
    "unknown preset": (["--models", "zooo"], "did you mean zoo"),
    "unknown model": (["--models", "zoo/bert-huge"], "zoo/bert-huge"),
    "model folder without a tokenizer": (["--models", "{here}/no-tokenizer"], "has no tokenizer"),
    "model folder with pickled weights": (["--models", "{here}/pickled"], "pickle"),
    "budget that is no budget": (["--budget", "soon"], "budget 'soon' is not understood"),
    "budget of nothing": (["--budget", "0steps"], "must be more than zero"),
    "price of nothing": (["--budget", "$5", "--gpu-hour-price", "0"], "price of a GPU hour"),
    "unknown objective": (["--objectives", "test_loss,speed"], "'speed' cannot be an objective"),
    "bound without a number": (["--bound", "parameters"], "bound 'parameters' is not understood"),
    "bound on no objective": (["--bound", "accuracy=0.5"], "is on no objective"),
    "selection split that is nothing": (["--selection-split", "1.5"], "selection"),
    "selection split that is not there": (["--selection-split", "validation"], "validation"),
    "unknown policy": (["--policy", "cheepest"], "did you mean cheapest"),
    "negative seed": (["--seed", "-1"], "--seed must be between 0 and"),
    "nothing at once": (["--parallel", "0"], "--parallel must be at least 1"),
    "timeout of nothing": (["--step-timeout", "0"], "--step-timeout must be more than zero"),
    "template with an unknown column": (["--template", "{{title}}"], "title"),
    "no number": (["--batch-size", "many"], "'many' is not a valid integer"),
    "out under a file": (["--out", "{here}/one_class.csv/out"], "cannot be written"),
    "out where nothing can be made": (["--out", "/proc/lamps-out"], "cannot be written"),
    "out that is a file": (["--out", "{here}/one_class.csv"], "is a file: name a folder"),
    "out with other files": (["--out", "{here}/pickled"], "is not empty and holds no search"),
    "out of a search with another dataset": (
        ["--out", "{here}/search", "--dataset", "{here}/two_topics.csv"], "holds another search (dataset was"),
    "out of a search with other models": (["--out", "{here}/search", "--models", TINY], "holds another search (models"),
    "out with too long a name": (["--out", "{here}/" + "x" * 300], "File name too long"),
    "unknown option": (["--ouput", "x"], "No such option"),
}  # fmt: skip
OTHER_COMMANDS: dict[str, tuple[list[str], str]] = {
    "missing option": (["search", "--dataset", "reviews.csv"], "Missing option '--input-col'"),
    "unknown command": (["serch"], "No such command 'serch'"),
    "report of nothing": (["report", "nowhere"], "holds neither a search nor learning curves"),
    "report without a folder": (["report"], "Missing argument 'FOLDER'"),
}

COLD = {*OTHER_COMMANDS, "budget that is no budget", "missing file", "out that is a file"}


def write_rows(path: Path, rows: list[tuple[str, str]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("phrase", "topic"), *rows])


def contents(folder: Path) -> dict[str, tuple[int, int]]:
    """Every file and folder with its size and the time of its last change."""
    return {
        str(path): (path.stat().st_size, path.stat().st_mtime_ns)
        for path in folder.rglob("*")
        if "prefect-home" not in path.parts
    }


@dataclass(frozen=True)
class Refusals:
    """What the command said to each bad input, and whether anything in its folder changed."""

    runs: dict[str, subprocess.CompletedProcess[str]]
    before: dict[str, tuple[int, int]]
    after: dict[str, tuple[int, int]]


@pytest.fixture(scope="module")
def refusals(
    topics_csv: Path, tmp_path_factory: pytest.TempPathFactory, prefect_url: str, warm_lamps: WarmLamps
) -> Refusals:
    """Every bad input; `COLD` ones by the installed command, the others by forks that are quicker."""
    here = tmp_path_factory.mktemp("bad-input")
    write_rows(here / "one_class.csv", [("soup with bread", "food")] * 30)
    write_rows(here / "no_rows.csv", [])
    write_rows(here / "unseen_label.csv", [("ball and goal", "sports"), ("soup", "food")])
    write_rows(here / "two_topics.csv", [("soup with bread", "food"), ("a storm", "weather")] * 20)
    shutil.copytree(
        materialise(TINY), here / "no-tokenizer", ignore=shutil.ignore_patterns("*token*", "vocab*")
    )
    shutil.copytree(materialise(TINY), here / "pickled", ignore=shutil.ignore_patterns("*.safetensors"))
    (here / "pickled" / "pytorch_model.bin").write_bytes(b"\x80\x04.")
    run_to_the_end(quick_request(topics_csv, here / "search"))
    (here / "prefect-home").mkdir()
    commands = {name: arguments for name, (arguments, _) in OTHER_COMMANDS.items()}
    for number, (name, (more, _)) in enumerate(BAD_INPUT.items()):
        commands[name] = search_arguments(
            topics_csv, here / f"out-{number}", *(w.format(here=here) for w in more)
        )
    before = contents(here)
    runs = {}
    for name, arguments in commands.items():
        run = lamps if name in COLD else warm_lamps
        runs[name] = run(*arguments, cwd=here, prefect_url=prefect_url)
    return Refusals(runs, before, contents(here))


@pytest.mark.parametrize("name", [*BAD_INPUT, *OTHER_COMMANDS])
def test_bad_input_is_exit_code_2_and_one_line_that_names_it(name: str, refusals: Refusals) -> None:
    run = refusals.runs[name]
    said = (BAD_INPUT | OTHER_COMMANDS)[name][1]
    assert run.returncode == 2, run.stderr
    assert run.stdout == ""
    assert run.stderr.count("\n") == 1, run.stderr
    assert run.stderr.startswith("lamps: ")
    assert said in run.stderr
    assert "Traceback" not in run.stderr


def test_bad_input_leaves_nothing_written_and_nothing_changed(refusals: Refusals) -> None:
    assert refusals.after == refusals.before


# --- a search -----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def plain(topics_csv: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the same search without Prefect and the command."""
    out = tmp_path_factory.mktemp("plain") / "out"
    run_to_the_end(quick_request(topics_csv, out))
    return out


def test_a_search_prints_its_result_as_json_and_nothing_else_on_stdout(
    topics_csv: Path, tmp_path: Path, plain: Path, prefect_url: str
) -> None:
    run = lamps(*search_arguments(topics_csv, "out", "--json"), cwd=tmp_path, prefect_url=prefect_url)
    assert run.returncode == 0, run.stderr
    result = json.loads(run.stdout)
    assert result == json.loads((tmp_path / "out" / "result.json").read_text())
    assert without_times(result) == without_times(json.loads((plain / "result.json").read_text()))
    assert "temporary Prefect server" not in run.stderr
    assert "Traceback" not in run.stderr
    assert result["command"].startswith(f"lamps search --dataset {topics_csv} --input-col phrase")
    assert {path.name for path in tmp_path.iterdir()} <= {"out", "prefect-home"}


def test_a_search_for_people_prints_its_front_and_where_the_report_lies(
    topics_csv: Path, tmp_path: Path, prefect_url: str, warm_lamps: WarmLamps
) -> None:
    run = warm_lamps(*search_arguments(topics_csv, "out"), cwd=tmp_path, prefect_url=prefect_url)
    assert run.returncode == 0, run.stderr
    assert "topics: 8 steps" in run.stdout
    assert TINY in run.stdout
    assert BETTER in run.stdout
    assert "report: out/report.html" in run.stdout
    assert "step 3: loss" in run.stderr


def test_a_search_in_which_every_candidate_fails_is_exit_code_1_and_says_why(
    topics_csv: Path, tmp_path: Path, prefect_url: str
) -> None:
    models = str(truncated_model(tmp_path / "broken"))
    arguments = search_arguments(topics_csv, "out", "--models", models, "--json")
    run = lamps(*arguments, cwd=tmp_path, prefect_url=prefect_url)
    assert run.returncode == 1
    assert run.stdout == ""
    assert "Traceback" not in run.stderr
    assert run.stderr.splitlines()[-1].startswith("lamps: every candidate failed; the first: ")


@pytest.mark.parametrize("how", [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.slow)])
def test_an_interrupted_search_is_exit_code_130_leaves_no_process_and_goes_on_when_run_again(
    topics_csv: Path, tmp_path: Path, prefect_url: str, warm_lamps: WarmLamps, how: signal.Signals
) -> None:
    arguments = search_arguments(topics_csv, "out", *LONG, "--json")
    command = start_lamps(*arguments, cwd=tmp_path, prefect_url=prefect_url)
    journal = tmp_path / "out" / "journal.jsonl"
    eventually(lambda: journal.exists() and len(steps_on_record(tmp_path / "out")) >= 3, what="three steps")
    processes = family(command.pid)
    assert len(processes) >= 3  # the command, its fork server, a worker
    if how == signal.SIGINT:
        os.killpg(command.pid, how)  # as a terminal does
    else:
        command.send_signal(how)
    assert command.wait(DEADLINE_SECONDS) == 130
    wait_for_end(processes)
    stderr = (tmp_path / "stderr").read_text()
    assert stderr.splitlines()[-1].startswith("lamps: interrupted; what is done is kept")
    assert "Traceback" not in stderr
    assert (tmp_path / "stdout").read_text() == ""
    before = steps_on_record(tmp_path / "out")
    assert 3 <= len(before) < LONG_STEPS

    run = warm_lamps(*arguments, cwd=tmp_path, prefect_url=prefect_url)
    assert run.returncode == 0, run.stderr
    assert json.loads((tmp_path / "out" / "result.json").read_text()) == json.loads(run.stdout)
    done = steps_on_record(tmp_path / "out")
    assert done[: len(before)] == before
    assert len(set(done)) == len(done) == json.loads(run.stdout)["steps"] == LONG_STEPS


@pytest.mark.slow
def test_ctrl_c_while_the_libraries_are_being_loaded_says_one_line(
    topics_csv: Path, tmp_path: Path, prefect_url: str
) -> None:
    command = start_lamps(*search_arguments(topics_csv, "out"), cwd=tmp_path, prefect_url=prefect_url)
    eventually((tmp_path / "out" / "journal.jsonl").exists, what="the journal")
    eventually(lambda: len(family(command.pid)) > 1, what="the fork server's start")
    processes = family(command.pid)
    os.killpg(command.pid, signal.SIGINT)
    assert command.wait(DEADLINE_SECONDS) == 130
    wait_for_end(processes)
    stderr = (tmp_path / "stderr").read_text()
    assert "Traceback" not in stderr
    assert stderr.splitlines()[-1].startswith("lamps: interrupted")


@pytest.mark.slow
def test_workers_do_not_outlive_a_command_that_was_killed(
    topics_csv: Path, tmp_path: Path, prefect_url: str
) -> None:
    command = start_lamps(*search_arguments(topics_csv, "out", *LONG), cwd=tmp_path, prefect_url=prefect_url)
    eventually(lambda: workers_of(command.pid), what="a worker's start")
    processes = family(command.pid)
    command.kill()
    command.wait()
    wait_for_end(processes)


@pytest.mark.slow
@pytest.mark.parametrize("how", ["to its end", "Ctrl-C", "kill -9"])
def test_a_search_without_a_server_starts_one_for_itself_and_leaves_none_behind(
    topics_csv: Path, tmp_path: Path, how: str
) -> None:
    command = start_lamps(*search_arguments(topics_csv, "out", *LONG, "--json"), cwd=tmp_path)
    journal = tmp_path / "out" / "journal.jsonl"
    eventually(lambda: journal.exists() and len(steps_on_record(tmp_path / "out")) >= 1, seconds=180)
    processes = family(command.pid)
    assert any("lamps_cli.server_process" in process.cmdline() for process in processes)
    if how == "Ctrl-C":
        os.killpg(command.pid, signal.SIGINT)
    elif how == "kill -9":
        command.kill()
    assert command.wait(DEADLINE_SECONDS) == {"to its end": 0, "Ctrl-C": 130, "kill -9": -signal.SIGKILL}[how]
    wait_for_end(processes)
    stderr = (tmp_path / "stderr").read_text()
    assert "waiting for a temporary Prefect server" in stderr
    assert "Traceback" not in stderr
    if how == "to its end":
        assert json.loads((tmp_path / "stdout").read_text())["steps"] == LONG_STEPS


# --- the other commands -------------------------------------------------------------------------------------------


def test_report_writes_the_page_and_says_where(plain: Path, tmp_path: Path, warm_lamps: WarmLamps) -> None:
    folder = tmp_path / "search"
    shutil.copytree(plain, folder)
    (folder / "report.html").unlink()
    run = lamps("report", "search", cwd=tmp_path)
    assert (run.returncode, run.stdout, run.stderr) == (0, "search/report.html\n", "")
    assert "zoo/bert-tiny" in (folder / "report.html").read_text(encoding="utf-8")
    run = warm_lamps("report", "search", "--json", cwd=tmp_path)
    assert json.loads(run.stdout) == {"report": "search/report.html"}


def test_doctor_fails_if_and_only_if_something_does_not_work(
    tmp_path: Path, prefect_url: str, warm_lamps: WarmLamps
) -> None:
    run = lamps("doctor", "--json", cwd=tmp_path, prefect_url=prefect_url)
    checks = json.loads(run.stdout)
    assert {"name", "ok", "found", "mend"} <= set(checks[0])
    assert len({check["name"] for check in checks}) == len(checks) >= 8
    broken = any(check["ok"] is False for check in checks)
    assert run.returncode == (1 if broken else 0)
    assert run.stderr == ("lamps: something above does not work\n" if broken else "")
    shown = warm_lamps("doctor", cwd=tmp_path, prefect_url=prefect_url)
    assert shown.returncode == run.returncode
    assert all(check["name"].split()[0] in shown.stdout for check in checks)


@pytest.mark.parametrize("command", ["search", "report", "doctor"])
def test_help_shows_an_example(command: str, tmp_path: Path) -> None:
    run = lamps(command, "--help", cwd=tmp_path)
    assert (run.returncode, run.stderr) == (0, "")
    assert f"Example: lamps {command}" in run.stdout
    assert run.stdout == lamps(command, "-h", cwd=tmp_path).stdout


def test_without_a_command_the_help_is_shown(tmp_path: Path) -> None:
    run = lamps(cwd=tmp_path)
    assert run.returncode == 2
    assert run.stderr.startswith("Usage: lamps [OPTIONS] COMMAND")
    assert len(run.stderr.splitlines()) > 8
    assert lamps("--help", cwd=tmp_path).stdout == run.stderr
    assert lamps("--version", cwd=tmp_path).stdout.startswith("lamps, version ")

"""The installed `lamps` command, run as a user runs it."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

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
    foreign_model,
    quick_request,
    run_to_the_end,
    steps_on_record,
    without_times,
    workers_of,
)

if TYPE_CHECKING:
    from pathlib import Path

    from tests.warm_lamps import WarmLamps

EPOCHS = 12  # so that a search lasts for a few seconds
LONG = ("--max-epochs", str(EPOCHS), "--patience", str(EPOCHS))
LONG_STEPS = 2 * (2 + EPOCHS)  # of two candidates: zero-shot, half of the rows, the epochs

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
    assert "step 3: loss" in run.stderr
    assert "temporary Prefect server" not in run.stderr
    assert "Traceback" not in run.stderr
    assert result["command"].startswith(f"lamps search --dataset {topics_csv} --input-col phrase")
    assert {path.name for path in tmp_path.iterdir()} <= {"out", "prefect-home"}


def test_a_search_for_people_prints_its_front_and_where_the_report_lies(
    topics_csv: Path, tmp_path: Path, plain: Path, prefect_url: str, warm_lamps: WarmLamps
) -> None:
    shutil.copytree(plain, tmp_path / "out")  # ended already
    run = warm_lamps(*search_arguments(topics_csv, "out"), cwd=tmp_path, prefect_url=prefect_url)
    assert run.returncode == 0, run.stderr
    assert "topics: 8 steps" in run.stdout
    assert TINY in run.stdout
    assert BETTER in run.stdout
    assert "report: out/report.html" in run.stdout


def test_a_search_in_which_every_candidate_fails_is_exit_code_1_and_says_why(
    topics_csv: Path, tmp_path: Path, prefect_url: str, warm_lamps: WarmLamps
) -> None:
    models = str(foreign_model(tmp_path / "broken"))
    arguments = search_arguments(topics_csv, "out", "--models", models, "--json")
    run = warm_lamps(*arguments, cwd=tmp_path, prefect_url=prefect_url)
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


LATE = {
    "a second Ctrl-C": "signal.raise_signal(signal.SIGINT)",
    "a thread whose log has gone": "logging.StreamHandler(closed).emit(logging.makeLogRecord({}))",
}


@pytest.mark.parametrize("late", LATE)
def test_what_comes_after_the_last_line_of_a_command_says_nothing_more(late: str) -> None:
    """Prefect's threads log while the interpreter ends, to what is closed by then."""
    script = f"""
import atexit, io, logging, signal
closed = io.StringIO()
closed.close()
atexit.register(lambda: {LATE[late]})
from lamps_cli.main import main
main()
"""
    run = subprocess.run(
        [sys.executable, "-c", script, "--version"], capture_output=True, text=True, check=False
    )
    assert run.stdout.startswith("lamps, version")
    assert run.stderr == ""
    assert run.returncode == (-signal.SIGINT if "Ctrl-C" in late else 0)


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

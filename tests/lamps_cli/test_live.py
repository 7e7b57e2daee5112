from __future__ import annotations

import io
import subprocess
import sys
import threading
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextvars import copy_context
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from rich.console import Console
from rich.live import _RefreshThread

from lamps_cli.live import LiveDisplay
from lamps_core.errors import BadInput
from lamps_core.progress import EndedStep, RunningStep, SearchProgress, listener, listening, publish
from lamps_core.search.algorithm import Action, Outcome
from lamps_core.search.run import SearchRun
from tests.searches import STEPS_EACH, quick_request, steps_on_record

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

HOSTILE = "org/[bold red]model[/]\x1b[2J\u202e"
ERASE_LINE = "\x1b[2K"
SHOW_CURSOR = "\x1b[?25h"


@pytest.fixture(autouse=True)
def terminal_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("CI", "NO_COLOR", "FORCE_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE", "COLUMNS", "LINES"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")


def console(*, terminal: bool, height: int = 30) -> tuple[Console, io.StringIO]:
    written = io.StringIO()
    return Console(file=written, force_terminal=terminal, width=100, height=height), written


def event(
    done: int,
    *running: str,
    front: int = 0,
    failed: int = 0,
    ended: Iterable[EndedStep] = (),
    name: str = "trec",
) -> SearchProgress:
    rows = tuple(
        {"model": f"model-{rank:02}", "test_loss": 0.25, "path": "models/x"} for rank in range(front)
    )
    steps = tuple(RunningStep(candidate, 1, "train", 3, 10, 60.0) for candidate in running)
    return SearchProgress(
        name, "cheapest", "40steps", done / 40, 81.2, done, steps, 16, 2, failed, rows, tuple(ended)
    )


def ended(candidate: str, step: int = 1, *, failed: bool = False) -> EndedStep:
    return EndedStep(
        candidate, step, failed, f"{candidate} step {step} {'failed: ...' if failed else 'done'}"
    )


def run_side_by_side(run: SearchRun) -> None:
    """What the flow does without its Prefect, as many steps at a time as there are slots."""
    running: dict[Future[dict[str, Any]], Action] = {}
    with ThreadPoolExecutor() as threads:
        while True:
            while (started := run.ask()) is not None:
                running[threads.submit(copy_context().run, run.execution.run_step, started[1])] = started[0]
            if not running:
                return
            future = next(iter(wait(running, return_when=FIRST_COMPLETED).done))
            action = running.pop(future)
            name, step, seconds = action.candidate, action.step, run.seconds_of(action)
            record = future.result()
            run.tell(Outcome(kind="step", candidate=name, step=step, seconds=seconds, record=record))


def test_a_terminal_shows_budget_steps_counts_and_front() -> None:
    where, written = console(terminal=True)
    with LiveDisplay(where, clock=lambda: 65.0) as display:
        display.update(event(10, "bert", "gpt", front=2, failed=1, ended=[ended("t5", 8)]))
    shown = written.getvalue()
    for part in ("trec", "cheapest", "25% of 40steps", "81 s spent", "bert", "training", "0:05", "gpt"):
        assert part in shown
    for part in (
        "2 of 16 candidates complete",
        "1 failed",
        "model-00",
        "model-01",
        "0.25",
        "t5 step 8 done",
    ):
        assert part in shown


def test_the_terminal_is_left_clean_by_ctrl_c() -> None:
    where, written = console(terminal=True)

    def search() -> None:
        with LiveDisplay(where) as display:
            display.update(event(1, "bert"))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        search()
    shown = written.getvalue()
    assert shown.rindex(SHOW_CURSOR) > shown.rindex("\x1b[?25l")
    for thread in threading.enumerate():
        if isinstance(thread, _RefreshThread):
            thread.join(60)
            assert not thread.is_alive()


def test_nothing_is_left_of_a_display_that_was_told_nothing() -> None:
    where, written = console(terminal=True)

    def refused() -> None:
        with LiveDisplay(where, clock=lambda: 65.0):
            raise BadInput("no dataset")

    with pytest.raises(BadInput):
        refused()
    _, after = written.getvalue().rsplit("Preparing … 0:00", 1)
    assert ERASE_LINE in after
    assert SHOW_CURSOR in after


def test_stdout_stays_free_for_results(capsys: pytest.CaptureFixture[str]) -> None:
    where, written = console(terminal=True)
    with LiveDisplay(where) as display:
        display.update(event(1))
        print('{"result": 1}')
    assert capsys.readouterr().out == '{"result": 1}\n'
    assert "result" not in written.getvalue()


def test_a_low_terminal_shows_as_much_of_the_front_as_fits() -> None:
    where, written = console(terminal=True, height=14)
    with LiveDisplay(where) as display:
        display.update(event(5, *(f"running-{index}" for index in range(9)), front=12))
    last_frame = written.getvalue().rsplit("LAMPS", 1)[1]
    assert last_frame.count("\n") < 14
    assert "5 more running" in last_frame
    assert "model-00" in last_frame
    assert "model-11" not in last_frame
    assert "more" in last_frame.split("model-00")[1]


@pytest.mark.parametrize("terminal", [True, False])
def test_hostile_names_are_shown_as_they_are_written_and_control_nothing(terminal: bool) -> None:
    where, written = console(terminal=terminal)
    with LiveDisplay(where) as display:
        display.update(event(0, HOSTILE, name=HOSTILE))
        display.update(event(1, name=HOSTILE, ended=[ended(HOSTILE)]))
    shown = written.getvalue()
    assert "org/[bold red]model[/]\ufffd[2J\ufffd" in shown
    assert "\x1b[2J" not in shown
    assert "\u202e" not in shown


def test_without_a_terminal_each_step_that_ended_is_one_plain_line() -> None:
    where, written = console(terminal=False)
    bert, gpt, t5 = ended("bert"), ended("gpt", failed=True), ended("t5", 0)
    with LiveDisplay(where, clock=lambda: 0.0) as display:
        display.update(event(0, "bert", "gpt"))
        assert written.getvalue() == ""
        display.update(event(0, "bert", "gpt"))
        display.update(event(0, "gpt"))  # bert has left its worker, and is not told yet
        display.update(event(1, "gpt", front=1, ended=[bert]))
        display.update(event(1, "gpt", "bert", front=1, ended=[bert]))
        display.update(event(3, "bert", front=1, failed=1, ended=[bert, gpt, t5]))
    lines = written.getvalue().splitlines()
    two = "8% of 40steps spent | 3 steps, 2 complete, 1 failed | 1 on the front"
    assert lines == [
        "[0:00] bert step 1 | 2% of 40steps spent | 1 step, 2 complete, 0 failed | 1 on the front"
        " | bert step 1 done",
        f"[0:00] gpt step 1 | {two} | 1 just failed | gpt step 1 failed: ...",
        f"[0:00] t5 step 0 | {two} | t5 step 0 done",
    ]
    assert all(letter.isprintable() for line in lines for letter in line)


def test_without_a_terminal_steps_side_by_side_are_each_told_once_by_their_names(
    topics_csv: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    where, written = console(terminal=False)
    request = quick_request(topics_csv, tmp_path / "out", parallel=2)
    with LiveDisplay(where) as display, listening(display.update), SearchRun(request) as run:
        told = run.search.tell

        def tell(outcome: Outcome) -> None:
            told(outcome)
            run.publish()  # as the thread of the other step may, before all that follows from the outcome is known

        monkeypatch.setattr(run.search, "tell", tell)
        run_side_by_side(run)
    lines = [line.partition("] ")[2].split(" | ") for line in written.getvalue().splitlines()]
    assert [parts[-1].partition(":")[0] for parts in lines] == [parts[0] for parts in lines]
    assert [parts[0] for parts in lines] == [
        f"{name} step {step}" for name, step in steps_on_record(tmp_path / "out")
    ]
    assert [parts[2].partition(" ")[0] for parts in lines] == [
        str(1 + index) for index in range(2 * STEPS_EACH)
    ]


@pytest.mark.parametrize("terminal", [True, False])
def test_without_a_budget_no_share_of_it_is_shown(terminal: bool) -> None:
    where, written = console(terminal=terminal)
    with LiveDisplay(where) as display:
        display.update(replace(event(0, "bert"), budget_text="unlimited", budget_share=0.0))
        display.update(replace(event(1, ended=[ended("bert")]), budget_text="unlimited", budget_share=0.0))
    assert "no budget" in written.getvalue()
    assert "unlimited" not in written.getvalue()
    assert "%" not in written.getvalue()


@pytest.mark.parametrize("terminal", [True, False])
def test_what_is_still_to_be_won_is_shown_and_auto_is_no_share_of_anything(terminal: bool) -> None:
    where, written = console(terminal=terminal)
    auto = {"budget_text": "auto", "budget_share": 0.0}
    with LiveDisplay(where) as display:
        display.update(replace(event(0, "bert"), **auto))  # type: ignore[arg-type]
        one = event(1, ended=[ended("bert")])
        display.update(replace(one, expected="3 % more in the next 2 min", **auto))  # type: ignore[arg-type]
    assert "expected: 3 % more in the next 2 min" in written.getvalue()
    assert "budget auto" in written.getvalue()
    assert "0%" not in written.getvalue()


def test_without_a_terminal_a_step_that_is_tried_again_is_not_called_finished() -> None:
    where, written = console(terminal=False)
    with LiveDisplay(where) as display:
        display.update(event(0, "bert"))
        display.update(event(0))
        display.update(event(0, "bert"))
    assert written.getvalue() == ""


def test_without_a_terminal_steps_of_an_earlier_run_are_one_line() -> None:
    where, written = console(terminal=False)
    with LiveDisplay(where) as display:
        display.update(event(12))
    assert written.getvalue().count("\n") == 1
    assert "12 steps on record" in written.getvalue()


@pytest.mark.parametrize(("variable", "value"), [("TERM", "dumb"), ("CI", "true")])
def test_dumb_terminals_and_ci_get_plain_lines(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str
) -> None:
    monkeypatch.setenv(variable, value)
    where, written = console(terminal=True)
    with LiveDisplay(where) as display:
        display.update(event(0, "bert"))
        display.update(event(1, ended=[ended("bert")]))
    assert written.getvalue().count("\n") == 1
    assert "\x1b[?25l" not in written.getvalue()


def test_a_listener_is_told_and_what_it_raises_stops_nothing() -> None:
    told: list[SearchProgress] = []

    def tell(progress: SearchProgress) -> None:
        told.append(progress)
        raise RuntimeError("broken display")

    publish(event(1))
    token = listener.set(tell)
    try:
        publish(event(2))
    finally:
        listener.reset(token)
    publish(event(3))
    assert [progress.steps_done for progress in told] == [2]


def test_the_display_imports_no_torch() -> None:
    code = "import sys, lamps_cli.live, lamps_core.progress; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0

"""The transcript is what a run wrote, and its commands are ones that the programs take."""

from __future__ import annotations

import doctest
import re
import shlex
from typing import TYPE_CHECKING

import pytest

from docs import transcript
from tests.commands import check_command

if TYPE_CHECKING:
    from pathlib import Path

PAGE = transcript.PAGE.read_text(encoding="utf-8")
ENTRIES = list(transcript.commands(PAGE))


def test_renewing_with_the_same_outputs_changes_nothing() -> None:
    assert transcript.renewed(PAGE, [entry.output for entry in ENTRIES]) == PAGE
    assert doctest.testmod(transcript).failed == 0


def test_it_shows_all_that_a_newcomer_needs_with_its_output() -> None:
    shown = {entry.command.split()[1]: entry for entry in ENTRIES if entry.command.startswith("lamps ")}
    assert shown.keys() >= {"search", "report", "campaign", "train-policy", "evaluate"}
    assert all(entry.output for entry in shown.values())
    assert [entry.command for entry in ENTRIES if entry.interrupted] == [
        next(entry.command for entry in ENTRIES if entry.command.startswith("lamps search"))
    ]


def test_it_tells_nothing_of_the_machine_that_ran_it() -> None:
    told = "\n".join(line for entry in ENTRIES for line in entry.output)
    assert not re.search(r"https?://(?!127\.0\.0\.1)|/tmp/|/root/|site-packages", told)


def test_the_commands_are_ones_that_lamps_takes() -> None:
    for entry in ENTRIES:
        if entry.command.startswith("lamps ") and "--version" not in entry.command:
            check_command(shlex.split(entry.command.replace("\\\n", " ")))


def test_a_command_is_run_interrupted_and_remembered(tmp_path: Path) -> None:
    page = (
        "```console\n$ export WHO=me\n$ echo $WHO; echo there >&2; pwd\nold\n"
        '$ for n in {1..5}{0..9}; do echo "[0:$n] step"; sleep 0.1; done\n^C\n$ false\n```\n'
    )
    outputs, wrong = transcript.play(page, tmp_path)
    assert outputs[:2] == [[], ["me", "there", transcript.SHOWN_FOLDER]]
    assert outputs[2][:3] == ["[0:10] step", "[0:11] step", "..."]
    assert len(wrong) == 1
    assert wrong[0].startswith("exit code 1: false")
    assert "^C\n[0:10] step\n" in transcript.renewed(page, outputs)


@pytest.mark.slow
@pytest.mark.timeout(3000)
def test_every_command_of_it_still_ends_as_it_should() -> None:
    """Installs the wheel and all that it needs into a fresh environment: a package index is needed."""
    assert transcript.main(["--check"]) == 0

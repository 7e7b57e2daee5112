"""What a command does with input that it cannot use: one line that names it, exit code 2, and nothing else."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from tests.bad_files import write_material
from tests.bad_inputs import CASES, COMMANDS, GROUPS, PAGE, arguments, page
from tests.lamps_command import lamps

if TYPE_CHECKING:
    import subprocess
    from pathlib import Path

    from tests.warm_lamps import WarmLamps

# Run by the installed command; the others by forks, which are quicker.
COLD = {
    *[case.name for case in COMMANDS[:4]],
    "budget that is no budget",
    "missing file",
    "out that is a file",
}


def contents(folder: Path) -> dict[str, tuple[int, int]]:
    """Every file and folder with its size and the time of its last change."""
    return {
        str(path): (path.lstat().st_size, path.lstat().st_mtime_ns)
        for path in folder.rglob("*")
        if "prefect-home" not in path.parts
    }


@dataclass(frozen=True)
class Refusal:
    """What the command said, and the files that it changed, made or removed."""

    run: subprocess.CompletedProcess[str]
    changed: set[str]


@pytest.fixture(scope="module")
def refusals(
    topics_csv: Path, tmp_path_factory: pytest.TempPathFactory, prefect_url: str, warm_lamps: WarmLamps
) -> dict[str, Refusal]:
    """Every bad input, one after another in one folder."""
    here = tmp_path_factory.mktemp("bad-input")
    write_material(here, topics_csv)
    (here / "prefect-home").mkdir()
    refused = {}
    before = contents(here)
    for number, (name, case) in enumerate(CASES.items()):
        run = lamps if name in COLD else warm_lamps
        words = arguments(case, here, here / f"out-{number}", topics_csv)
        said = run(*words, cwd=here, prefect_url=prefect_url)
        after = contents(here)
        refused[name] = Refusal(said, {path for path, _ in before.items() ^ after.items()})
        before = after
    return refused


@pytest.mark.parametrize("name", CASES)
def test_bad_input_is_exit_code_2_one_line_that_names_it_and_nothing_written(
    name: str, refusals: dict[str, Refusal]
) -> None:
    run = refusals[name].run
    assert run.returncode == 2, run.stderr
    assert run.stdout == ""
    assert run.stderr.count("\n") == 1, run.stderr
    assert run.stderr.startswith("lamps: ")
    assert run.stderr.rstrip("\n").isprintable(), run.stderr
    assert CASES[name].said in run.stderr
    assert "Traceback" not in run.stderr
    assert refusals[name].changed == set()


def test_no_two_cases_have_one_name() -> None:
    assert len(CASES) == sum(map(len, GROUPS.values()))


def test_the_page_of_bad_inputs_is_as_the_cases_are() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), "run: python -m tests.bad_inputs"

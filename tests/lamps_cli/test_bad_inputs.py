"""What a command does with input that it cannot use: one line that names it, exit code 2, and nothing else."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.bad_files import write_material
from tests.bad_inputs import CASES, COMMANDS, GROUPS, PAGE, arguments, page
from tests.lamps_command import lamps

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from _pytest.mark import ParameterSet

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


@pytest.fixture(scope="module")
def here(topics_csv: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with all that the cases need."""
    folder = tmp_path_factory.mktemp("bad-input")
    write_material(folder, topics_csv)
    (folder / "prefect-home").mkdir()
    return folder


def in_fast_and_slow_runs(names: Iterable[str]) -> list[ParameterSet]:
    """Every second case in both, the others among the slow ones: two minutes for all are long before each change."""
    return [
        pytest.param(name, marks=[pytest.mark.slow] if number % 2 else [])
        for number, name in enumerate(names)
    ]


@pytest.mark.parametrize("name", in_fast_and_slow_runs(CASES))
def test_bad_input_is_exit_code_2_one_line_that_names_it_and_nothing_written(
    name: str, here: Path, topics_csv: Path, prefect_url: str, warm_lamps: WarmLamps
) -> None:
    before = contents(here)
    words = arguments(CASES[name], here, here / "out", topics_csv)
    run = (lamps if name in COLD else warm_lamps)(*words, cwd=here, prefect_url=prefect_url)
    assert run.returncode == 2, run.stderr
    assert run.stdout == ""
    assert run.stderr.count("\n") == 1, run.stderr
    assert run.stderr.startswith("lamps: ")
    assert run.stderr.rstrip("\n").isprintable(), run.stderr
    assert CASES[name].said in run.stderr
    assert "Traceback" not in run.stderr
    assert {path for path, _ in before.items() ^ contents(here).items()} == set()


def test_no_two_cases_have_one_name() -> None:
    assert len(CASES) == sum(map(len, GROUPS.values()))


def test_the_page_of_bad_inputs_is_as_the_cases_are() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), "run: python -m tests.bad_inputs"

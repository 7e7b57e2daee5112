"""What the pages tell a person to type is taken by the programs it names; their snippets run."""

from __future__ import annotations

import importlib.util
import re
import shutil
from typing import TYPE_CHECKING

import pytest

from tests.commands import check_command
from tests.documented import CHECKOUT, blocks, commands, copy_checkout, play

if TYPE_CHECKING:
    from pathlib import Path

PAGES = sorted(
    page.relative_to(CHECKOUT).as_posix()
    for folder in ("docs", "deployments", "data", "benchmarks")
    for page in (CHECKOUT / folder).rglob("*.md")
)
RUN_WHOLE = (
    "docs/quick-start.md",
    "docs/how-to/add-a-baseline.md",
    "docs/how-to/add-a-candidate.md",
    "docs/how-to/add-a-dataset.md",
    "docs/how-to/add-an-objective.md",
    "docs/reference/flows.md",
    "docs/reference/search.md",
)
QUICK = ("docs/how-it-works.md", "docs/how-to/add-a-baseline.md", "data/curves.md")
SOME_ID = "00000000-0000-0000-0000-000000000000"
EXTEND = [page for page in RUN_WHOLE if any(block.language == "diff" for block in blocks(CHECKOUT / page))]


def here(page: str, folder: Path) -> Path:
    """Where a page is played: in a copy of the checkout if it changes it, else in an empty folder."""
    if page in EXTEND:
        copy_checkout(folder)
    return folder


@pytest.mark.parametrize("page", PAGES)
def test_no_command_hides_in_an_indented_block(page: str) -> None:
    text = (CHECKOUT / page).read_text(encoding="utf-8")
    outside = re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)
    assert not re.findall(r"^ {4,}(?:\$|dask|lamps|pip|prefect|python3?) .*$", outside, flags=re.MULTILINE)


@pytest.mark.parametrize("page", [page for page in PAGES if blocks(CHECKOUT / page)])
def test_every_block_says_its_language(page: str) -> None:
    text = (CHECKOUT / page).read_text(encoding="utf-8")
    fences = re.findall(r"^ *(```.*)$", text, flags=re.MULTILINE)
    assert len(fences) % 2 == 0
    opened = {fence.removeprefix("```") for fence in fences[::2]}
    assert opened <= {"bash", "console", "diff", "python", "text", "yaml", "{toctree}", "{eval-rst}"}


@pytest.mark.parametrize("page", [page for page in PAGES if commands(CHECKOUT / page)])
def test_every_command_is_one_that_its_program_takes(page: str) -> None:
    files = {block.file for block in blocks(CHECKOUT / page)}
    for words in commands(CHECKOUT / page):
        match words:
            case ["lamps" | "dask" | "prefect", *_]:
                check_command([SOME_ID if word == "ID" else word for word in words])
            case ["python", "-m", module, *_]:
                assert importlib.util.find_spec(module) is not None, words
            case ["python", "-c", snippet, *_]:
                compile(snippet, page, "exec")
            case ["python" | "bash" | "source", path, *_]:
                assert path in files or (CHECKOUT / path).is_file(), words
            case ["sbatch", *_]:
                assert any((CHECKOUT / word).is_file() for word in words), words
            case ["export", *_]:
                assert all("=" in word for word in words[1:]), words
            case _:
                assert shutil.which(words[0]), words


@pytest.mark.parametrize("page", ["README.md", *PAGES])
def test_every_target_of_make_that_is_named_is_there(page: str) -> None:
    text = (CHECKOUT / page).read_text(encoding="utf-8")
    named = set(re.findall(r"(?:^|`)make ([a-z-]+)", text, flags=re.MULTILINE))
    rules = set(
        re.findall(r"^([a-z-]+):", (CHECKOUT / "Makefile").read_text(encoding="utf-8"), flags=re.MULTILINE)
    )
    assert named <= rules


@pytest.mark.parametrize("page", EXTEND)
def test_the_changes_of_a_page_fit_the_checkout(page: str, tmp_path: Path) -> None:
    play(CHECKOUT / page, here(page, tmp_path), languages=frozenset({"diff"}))


@pytest.mark.parametrize("page", QUICK)
def test_the_python_of_a_page_runs(page: str, tmp_path: Path) -> None:
    play(CHECKOUT / page, tmp_path, languages=frozenset({"python"}))


def test_lines_are_joined_and_variables_put_in(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        "```bash\nA='--x 1'\nB=2 one $A \\\n    two &  # why\npython -c '\nif 1:\n    pass\n'\n```\n"
    )
    assert commands(page) == [["one", "--x", "1", "two"], ["python", "-c", "\nif 1:\n    pass\n"]]


@pytest.mark.slow
@pytest.mark.timeout(2400)
@pytest.mark.parametrize("page", RUN_WHOLE)
def test_a_page_is_followed_to_its_end(page: str, tmp_path: Path) -> None:
    folder = tmp_path / "here"
    folder.mkdir()
    play(CHECKOUT / page, here(page, folder))

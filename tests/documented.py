"""What the pages tell a person to type: their blocks of code, and a run of all of them in order.

A block of a page is run by its language: `bash` by a shell, `python` by Python, `diff` is applied to a copy of the
checkout. A block of `python` or `yaml` whose first line is a comment with a file name, `# mine.yaml`, is written to
that file. `text` and `console` are shown and not run.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

CHECKOUT = Path(__file__).parents[1]
_BLOCK = re.compile(r"^```(\w+)\n(.*?)^```", re.DOTALL | re.MULTILINE)
_SETTING = re.compile(r"(\w+)=(.*)", re.DOTALL)
_FILE = re.compile(r"# ([\w-]+\.(?:py|yaml))\n")


@dataclass(frozen=True)
class Block:
    """Some code on a page.

    Attributes:
        language: as the page says it.
        text: with its last line break.
    """

    language: str
    text: str

    @property
    def file(self) -> str | None:
        """The file that it is the text of."""
        found = _FILE.match(self.text) if self.language in {"python", "yaml"} else None
        return found[1] if found else None


def blocks(page: Path) -> list[Block]:
    """All code of a page, in order."""
    return [Block(*found) for found in _BLOCK.findall(page.read_text(encoding="utf-8"))]


def commands(page: Path) -> list[list[str]]:
    """The words of every command of its `bash` blocks: continued lines joined, no settings before and no `&` after."""
    found: list[list[str]] = []
    variables: dict[str, str] = {}
    for block in blocks(page):
        for line in _whole_lines(block.text) if block.language == "bash" else ():
            words = [word for word in shlex.split(_filled_in(line, variables), comments=True) if word != "&"]
            while words and (setting := _SETTING.fullmatch(words[0])):
                variables[setting[1]] = setting[2]
                words = words[1:]
            if words:
                found.append(words)
    return found


def _whole_lines(text: str) -> list[str]:
    """Shell lines, those joined that a backslash or an open quote continues."""
    joined: list[str] = []
    for line in text.replace("\\\n", " ").splitlines():
        if joined and not _closed(joined[-1]):
            joined[-1] += f"\n{line}"
        else:
            joined.append(line)
    return joined


def _closed(line: str) -> bool:
    try:
        shlex.split(line, comments=True)
    except ValueError:
        return False
    return True


def _filled_in(line: str, variables: dict[str, str]) -> str:
    for name, value in variables.items():
        line = line.replace(f"${name}", value)
    return line


def copy_checkout(folder: Path) -> None:
    """What git knows of this checkout, or would take."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=CHECKOUT,
        check=True,
        capture_output=True,
        text=True,
    ).stdout.split("\0")
    for name in listed:
        if name and (CHECKOUT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(CHECKOUT / name, folder / name)


def play(
    page: Path, folder: Path, *, languages: frozenset[str] = frozenset({"bash", "python", "yaml", "diff"})
) -> str:
    """Run the blocks of a page in order; returns what they printed.

    Args:
        page: of the site.
        folder: where; of a page with a `diff`, a copy of the checkout.
        languages: blocks of others are passed over.

    Raises:
        AssertionError: a block failed, with the block and what it said.
    """
    told = ""
    for block in blocks(page):
        if block.language not in languages:
            continue
        if block.file is not None:
            (folder / block.file).write_text(block.text, encoding="utf-8")
        else:
            told += _run(block, folder)
    return told


def _run(block: Block, folder: Path) -> str:
    command = {
        "bash": ["bash", "-euo", "pipefail", "-c", block.text],
        "python": [sys.executable, "-c", block.text],
        "diff": ["git", "apply", "--unidiff-zero", "-"],
    }[block.language]
    done = subprocess.run(
        command,
        cwd=folder,
        env=_environment(folder),
        input=block.text if block.language == "diff" else "",
        capture_output=True,
        text=True,
        check=False,
        timeout=2000,
    )
    assert done.returncode == 0, f"{block.text}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def _environment(folder: Path) -> dict[str, str]:
    """Ours, with the commands of this interpreter first and LAMPS from the folder, where it has one."""
    from tests.lamps_command import environment

    packages = folder if (folder / "lamps_core").is_dir() else CHECKOUT
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    given = environment(folder.parent / "prefect-home", os.environ.get("PREFECT_API_URL"))
    return given | {"PATH": path, "PYTHONPATH": str(packages)}

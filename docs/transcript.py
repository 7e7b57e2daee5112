"""The newcomer's transcript: runs every command of `docs/transcript.md` and renews what they print.

    python -m docs.transcript            run the page in a fresh folder and write their outputs into it
    python -m docs.transcript --check    run it, change nothing, and fail where an exit code is not the right one

The page is its own script: in a `console` block a line after `$ ` is a command, lines after `> ` continue it, and what
follows is what it printed. Where `^C` follows, the command is interrupted as by Ctrl-C. Only three things are changed
in an output: the fresh folder is called by another name, the middle of a long progress is left out, and so are bars of
progress and what pip says of this machine's package indices.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import TracebackType

CHECKOUT = Path(__file__).parents[1]
PAGE = CHECKOUT / "docs" / "transcript.md"
SHOWN_FOLDER = "/home/you/lamps"
INTERRUPTED = "^C"
INTERRUPT_AFTER = 12  # lines of progress
COMMAND_SECONDS = 900.0
_BLOCK = re.compile(r"^```console\n(.*?)^```$", re.DOTALL | re.MULTILINE)
_PROGRESS = re.compile(r"^\[\d+:\d\d(?::\d\d)?\] ")
_NOISE = re.compile(r"^WARNING: Location |\d%\|.*\|")  # of pip, on package indices; bars of progress
_KEPT_PROGRESS = 2  # at the beginning; and the last line


@dataclass
class Entry:
    """One command of a page.

    Attributes:
        lines: as they stand on the page, after `$ ` and `> `.
        output: what it printed, a line each, without `^C`.
        interrupted: whether Ctrl-C is pressed.
    """

    lines: list[str]
    output: list[str] = field(default_factory=list)
    interrupted: bool = False

    @property
    def command(self) -> str:
        """What a shell is given."""
        return "\n".join(self.lines)

    @property
    def exit_code(self) -> int:
        """What the command must end with."""
        return 130 if self.interrupted else 0

    def text(self) -> str:
        """How it stands on the page."""
        prompts = ["$ ", *["> "] * (len(self.lines) - 1)]
        shown = [prompt + line for prompt, line in zip(prompts, self.lines, strict=True)]
        return "\n".join([*shown, *([INTERRUPTED] if self.interrupted else []), *self.output]) + "\n"


def entries(block: str) -> list[Entry]:
    """The commands of a block, each with what stands under it.

    >>> [(entry.command, entry.output) for entry in entries("$ ls\\n$ cat a \\\\\\n>     b\\n1\\n2\\n")]
    [('ls', []), ('cat a \\\\\\n    b', ['1', '2'])]
    """
    found: list[Entry] = []
    for line in block.splitlines():
        if line.startswith("$ "):
            found.append(Entry([line[2:]]))
        elif line.startswith("> ") and not found[-1].output:
            found[-1].lines.append(line[2:])
        elif line == INTERRUPTED:
            found[-1].interrupted = True
        else:
            found[-1].output.append(line)
    return found


def commands(page: str) -> Iterator[Entry]:
    """All of a page, in order."""
    for block in _BLOCK.findall(page):
        yield from entries(block)


def renewed(page: str, outputs: list[list[str]]) -> str:
    """The page with these outputs, one for each of its commands."""
    left = iter(outputs)

    def block(found: re.Match[str]) -> str:
        shown = entries(found[1])
        for entry in shown:
            entry.output = next(left)
        return "```console\n" + "".join(entry.text() for entry in shown) + "```"

    return _BLOCK.sub(block, page)


def trimmed(output: str, folder: Path) -> list[str]:
    """An output as the page shows it.

    >>> told = "".join(f"[0:0{second}] step\\n" for second in range(5)) + "found in /tmp/x/runs\\n"
    >>> trimmed(told, Path("/tmp/x"))
    ['[0:00] step', '[0:01] step', '...', '[0:04] step', 'found in /home/you/lamps/runs']
    """
    shown: list[str] = []
    progress: list[str] = []
    for line in [*output.replace(str(folder), SHOWN_FOLDER).splitlines(), ""]:
        if _PROGRESS.match(line):
            progress.append(line)
            continue
        if len(progress) > _KEPT_PROGRESS + 1:
            progress = [*progress[:_KEPT_PROGRESS], "...", progress[-1]]
        shown += progress
        progress = []
        if not _NOISE.search(line):
            shown.append(line.rstrip())
    return "\n".join(shown).strip("\n").splitlines()


class Shell:
    """A shell in a fresh folder that remembers its environment. Use as a context manager: what it started, it ends."""

    def __init__(self, folder: Path) -> None:
        """Begin with the environment of this process, less what is LAMPS's or a virtual environment's."""
        self.folder = folder
        self._state = folder / ".shell"
        self._groups: list[int] = []
        home = folder / ".home"
        home.mkdir()
        kept = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("LAMPS_", "PREFECT_", "PYTHON", "VIRTUAL_ENV"))
        }
        path = os.pathsep.join([f"{sys.base_prefix}/bin", os.environ["PATH"]])
        own = {"HOME": str(home), "PATH": path, "COLUMNS": "100", "DO_NOT_TRACK": "1"}
        settings = Path("~/.config/pip/pip.conf").expanduser()
        if settings.is_file():
            own["PIP_CONFIG_FILE"] = str(settings)
        self._environment = kept | own

    def __enter__(self) -> Shell:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for group in self._groups:
            try:
                os.killpg(group, signal.SIGKILL)
            except ProcessLookupError:
                continue

    def run(self, entry: Entry) -> tuple[str, int]:
        """Run one command to its end; returns what it printed, both streams, and its exit code."""
        out = self.folder / ".output"
        script = f'[ -f "{self._state}" ] && source "{self._state}"\n{entry.command}\ncode=$?\n'
        script += f'export -p > "{self._state}"\nexit $code'
        with out.open("w") as stream:
            process = subprocess.Popen(
                ["bash", "-c", script],
                cwd=self.folder,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509 - as in a terminal
            )
        if entry.interrupted:
            self._interrupt(process, out)
        try:
            code = process.wait(timeout=COMMAND_SECONDS)
        finally:
            # Where nothing of it is left, its number may be anybody's.
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, 0)
                self._groups.append(process.pid)
        return out.read_text(encoding="utf-8"), code if code >= 0 else 128 - code  # as a shell counts signals

    def _interrupt(self, process: subprocess.Popen[bytes], out: Path) -> None:
        """Ctrl-C, to all that the terminal runs, once there has been some progress."""
        while process.poll() is None:
            if (
                len([line for line in out.read_text().splitlines() if _PROGRESS.match(line)])
                >= INTERRUPT_AFTER
            ):
                os.killpg(process.pid, signal.SIGINT)
                return
            time.sleep(0.1)


def furnish(folder: Path) -> None:
    """What a newcomer has: the wheel of this checkout, and the versions it is tested with."""
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(build, cwd=CHECKOUT, check=True, capture_output=True)
    shutil.copy(CHECKOUT / "constraints.txt", folder)


def play(page: str, folder: Path) -> tuple[list[list[str]], list[str]]:
    """Run every command of a page.

    Returns:
        What each printed, trimmed; and a line for each that ended with another exit code than it should.
    """
    outputs, wrong = [], []
    with Shell(folder) as shell:
        for entry in commands(page):
            print(f"$ {entry.command}", file=sys.stderr, flush=True)
            output, code = shell.run(entry)
            outputs.append(trimmed(output, folder))
            if code != entry.exit_code:
                wrong.append(f"exit code {code}: {entry.command}\n{output}")
    return outputs, wrong


def main(arguments: list[str] | None = None) -> int:
    """The command of this module; returns its exit code."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--check", action="store_true", help="change nothing")
    check = parser.parse_args(arguments).check
    page = PAGE.read_text(encoding="utf-8")
    with tempfile.TemporaryDirectory(prefix="lamps-transcript-") as temporary:
        folder = Path(temporary).resolve()
        furnish(folder)
        outputs, wrong = play(page, folder)
        for line in wrong:
            print(line, file=sys.stderr)
        if not (check or wrong):
            PAGE.write_text(renewed(page, outputs), encoding="utf-8")
    return 1 if wrong else 0


if __name__ == "__main__":
    raise SystemExit(main())

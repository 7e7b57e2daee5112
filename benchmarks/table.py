"""Every benchmark, one after another, into the table of `benchmarks/README.md`.

What each prints is kept in --out; run again on the same day and commit, it runs only those that are missing there. One
that fails gets a row that says so, and the command ends with 1.

    python -m benchmarks.table [--out runs/bench] [--only replay,stopping]
"""

from __future__ import annotations

import argparse
import os
import platform
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.ratios import told
from lamps_core.files import write_atomically

if TYPE_CHECKING:
    from collections.abc import Sequence

COMMANDS = {
    "landmark_step": "landmark_step --repeats 5",
    "orchestration": "orchestration",
    "campaign_scale": "campaign_scale --seconds 2 --steps 240",
    "replay": "replay",
    "policy_training": "policy_training",
    "parallel_search": "parallel_search --datasets 3",
    "parallel_search_shipped": "parallel_search --curves data/curves --datasets 5 --methods portfolio,cheapest "
    "--policy data/policies/universal.zip",
    "stopping": "stopping --datasets 3",
    "universal": "universal --curves language-models",
}
README = Path(__file__).with_name("README.md")
BEGIN, END = "<!-- results: python -m benchmarks.table -->", "<!-- end of results -->"
HEAD = "| command | what | | over | goal |\n| --- | --- | ---: | --- | --- |"


def run(name: str, log: Path) -> bool:
    """Run one benchmark, its output in a log that is whole or not there; whether it ended well."""
    began, partial = time.monotonic(), log.with_suffix(".part")
    command = [sys.executable, "-m", *f"benchmarks.{COMMANDS[name]}".split()]
    with partial.open("w") as out:
        code = subprocess.run(command, stdout=out, stderr=subprocess.STDOUT, check=False).returncode
    print(
        f"{name}: {'done' if code == 0 else f'failed, see {partial}'}, {time.monotonic() - began:.0f} s",
        flush=True,
    )
    if code == 0:
        partial.replace(log)
    return code == 0


def rows(name: str, log: Path) -> list[str]:
    """The rows of one benchmark."""
    command = f"`{COMMANDS[name]}`"
    if not log.exists():
        return [f"| {command} | {'failed' if log.with_suffix('.part').exists() else 'not run'} | | | |"]
    ratios = told(log.read_text())
    return [
        f"| {command if place == 0 else ''} | {one.what} | {one.text} | {one.over} | {one.goal} |"
        for place, one in enumerate(ratios)
    ]


def with_results(page: str, lines: Sequence[str], *, when: str) -> str:
    """The page with its table renewed.

    Raises:
        ValueError: it has no place for one.
    """
    before, rest = page.split(BEGIN)
    _, after = rest.split(END)
    body = "\n".join([BEGIN, "", when, "", HEAD, *lines, "", END])
    return before + body + after


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what is missing, then write the table; 1 where one failed."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("runs/bench"))
    parser.add_argument("--only", default=",".join(COMMANDS), help="names, with commas")
    given = parser.parse_args(arguments)
    names = given.only.split(",")
    if unknown := set(names) - set(COMMANDS):
        parser.error(f"no such benchmark: {', '.join(sorted(unknown))} (there are {', '.join(COMMANDS)})")
    git = ["git", "rev-parse", "--short", "HEAD"]
    commit = subprocess.run(git, capture_output=True, text=True, check=False).stdout.strip() or "no-commit"
    today = datetime.now(UTC).date().isoformat()
    folder = given.out / f"{today}-{commit}"
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        if not (folder / f"{name}.log").exists():
            run(name, folder / f"{name}.log")
    lines = [line for name in COMMANDS for line in rows(name, folder / f"{name}.log")]
    when = f"One run on {today}, {_machine()}:"
    write_atomically(README, with_results(README.read_text(), lines, when=when).encode())
    return 0 if all((folder / f"{name}.log").exists() for name in names) else 1


def _machine() -> str:
    import torch

    devices = torch.cuda.device_count()
    gpus = f", {devices} x {torch.cuda.get_device_name(0)}" if devices else ", no GPU"
    return f"{os.cpu_count()} cores of {platform.machine()}{gpus}, torch {torch.__version__}"


if __name__ == "__main__":
    sys.exit(main())

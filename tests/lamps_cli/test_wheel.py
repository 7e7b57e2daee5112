"""The wheel carries its data, and searches where there is no checkout."""

from __future__ import annotations

import json
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest

from tests.lamps_command import environment
from tests.text_datasets import ROWS, write_json_lines

ROOT = Path(__file__).parents[2]
PACKAGES = ("lamps_core", "tasks", "flows", "lamps_cli")


def built(folder: Path) -> Path:
    """The wheel of this checkout."""
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    return next(folder.glob("*.whl"))


def tracked(*folders: str) -> set[str]:
    """Files that git knows, or that it would take, in some folders."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "--", *folders],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    ).stdout.splitlines()
    return {name for name in listed if (ROOT / name).is_file()}


def test_the_wheel_holds_every_module_page_and_data_file_and_no_more(tmp_path: Path) -> None:
    with zipfile.ZipFile(built(tmp_path)) as wheel:
        held = {name for name in wheel.namelist() if ".dist-info/" not in name}
    assert held == tracked(*PACKAGES) | {f"lamps_core/{name}" for name in tracked("data")}


@pytest.mark.slow
def test_the_wheel_searches_reports_and_evaluates_outside_of_the_checkout(tmp_path: Path) -> None:
    """In an environment of its own, which borrows what LAMPS needs from this one but not the editable LAMPS."""
    home = tmp_path / "environment"
    venv.create(home, with_pip=False)
    site = next(home.glob("lib/python*/site-packages"))
    with zipfile.ZipFile(built(tmp_path)) as wheel:
        wheel.extractall(site)
    (site / "borrowed.pth").write_text(sysconfig.get_paths()["purelib"] + "\n")
    outside = tmp_path / "outside"
    outside.mkdir()
    write_json_lines(outside / "letters.jsonl", ROWS)

    def python(*arguments: str) -> str:
        done = subprocess.run(
            [str(home / "bin" / "python"), *arguments],
            cwd=outside,
            env=environment(outside / "prefect-home", None),
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def lamps(*arguments: str) -> None:
        python("-m", "lamps_cli.main", *arguments)

    assert python("-c", "import lamps_core; print(lamps_core.__file__)").startswith(str(site))
    lamps(
        *("search", "--dataset", "letters.jsonl", "--input-col", "text", "--target-col", "label"),
        *(
            "--models",
            "zoo/bert-tiny,zoo/gpt2-tiny",
            "--max-epochs",
            "1",
            "--budget",
            "8steps",
            "--out",
            "found",
        ),
    )
    assert json.loads((outside / "found" / "result.json").read_text())["steps"] == 8
    lamps("report", "found")
    lamps("evaluate", "--curves", "shipped", "--methods", "cheapest", "--repeats", "1", "--out", "evaluation")
    assert (outside / "evaluation" / "evaluation.json").is_file()

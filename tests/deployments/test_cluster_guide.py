"""The cluster guide's commands are ones that the installed programs take, and its files are there."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
from typing import TYPE_CHECKING

import pytest

from tests.commands import check_command
from tests.documented import CHECKOUT, commands

if TYPE_CHECKING:
    from pathlib import Path

GUIDE = CHECKOUT / "docs" / "cluster.md"
SLURM = "deployments/slurm"


def of(program: str) -> list[list[str]]:
    found = [words for words in commands(GUIDE) if words[0] == program]
    assert found, program
    return found


def test_every_command_is_one_that_is_checked_here() -> None:
    checked = {"lamps", "dask", "prefect", "sbatch", "python", "bash", "source", "export"}
    assert {words[0] for words in commands(GUIDE)} == checked


@pytest.mark.parametrize("program", ["lamps", "dask", "prefect"])
def test_the_commands_are_ones_that_the_programs_take(program: str) -> None:
    for words in of(program):
        check_command(words)


def test_the_batch_script_gets_options_that_a_campaign_takes() -> None:
    for words in of("sbatch"):
        script = words.index(f"{SLURM}/campaign.sbatch")
        check_command(
            ["lamps", "campaign", "--engine=dask", "--scheduler=tls://head:1", *words[script + 1 :]]
        )


def test_the_files_are_there() -> None:
    for words in [*of("source"), *of("bash"), *of("python")]:
        assert (CHECKOUT / words[1]).is_file()
    for name in re.findall(r"\]\(\.\./([^)]+)\)", GUIDE.read_text(encoding="utf-8")):
        assert (CHECKOUT / name).exists()


def test_the_key_is_the_owners_alone_and_files_made_after_it_are_not(tmp_path: Path) -> None:
    script = f'umask 022; source {SLURM}/tls.sh; umask; stat -c %a "$LAMPS_TLS" "$LAMPS_TLS/key.pem"'
    told = subprocess.run(
        ["bash", "-c", script],
        cwd=CHECKOUT,
        env=os.environ | {"LAMPS_TLS": str(tmp_path / "tls")},
        capture_output=True,
        text=True,
        check=True,
    )
    assert told.stdout.split() == ["0022", "700", "600"]


def test_the_cluster_script_takes_its_options() -> None:
    pytest.importorskip("dask_jobqueue")
    spec = importlib.util.spec_from_file_location("cluster", CHECKOUT / SLURM / "cluster.py")
    assert spec is not None
    assert spec.loader is not None
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    for words in of("python"):
        script.main.make_context("cluster.py", words[2:])


def test_the_settings_of_prefect_that_are_set_are_ones_it_knows() -> None:
    import prefect.settings

    names = {word.partition("=")[0] for words in of("export") for word in words[1:]}
    settings = {name for name in names if name.startswith("PREFECT_")}
    assert settings
    assert {name for name in settings if not hasattr(prefect.settings, name)} == set()

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING

from click.testing import CliRunner

from lamps_cli.simulate import simulate
from lamps_core.curves.reader import read_curves
from tests.lamps_command import lamps

if TYPE_CHECKING:
    from pathlib import Path


def test_simulate_writes_curves_says_that_they_are_simulated_and_refuses_to_add_to_them(
    tmp_path: Path,
) -> None:
    run = lamps("simulate", "--out", "curves", "--seed", "5", cwd=tmp_path)
    assert (run.returncode, run.stderr) == (0, "")
    assert "70 candidates on 9 datasets" in run.stdout
    assert "simulated, not measured" in run.stdout
    table = read_curves(tmp_path / "curves")
    assert set(table["seed"].to_pylist()) == {5}
    before = (tmp_path / "curves" / "simulated.parquet").read_bytes()
    again = lamps("simulate", "--out", "curves", cwd=tmp_path)
    assert (again.returncode, again.stdout) == (2, "")
    assert again.stderr.startswith("lamps: --out curves already holds simulated.parquet")
    assert again.stderr.count("\n") == 1
    assert (tmp_path / "curves" / "simulated.parquet").read_bytes() == before


def test_json_is_all_that_is_printed(tmp_path: Path) -> None:
    result = CliRunner().invoke(simulate, ["--out", str(tmp_path / "curves"), "--json"])
    assert result.exit_code == 0
    told = json.loads(result.stdout)
    assert told["curves"] == str(tmp_path / "curves")
    assert told["steps"] == len(read_curves(tmp_path / "curves"))


def test_bad_input_is_one_line_and_makes_nothing(tmp_path: Path) -> None:
    for arguments, said in (
        (["--out", "s3://bucket/curves"], "writes a folder of this host"),
        (["--out", "/proc/lamps-curves"], "--out /proc/lamps-curves cannot be written: "),
        (["--out", f"{sys.executable}/curves"], "/curves cannot be written: /"),
        (["--out", "curves", "--seed", "-1"], "--seed must be between 0"),
        (["--seed", "1"], "Missing option '--out'"),
    ):
        run = lamps("simulate", *arguments, cwd=tmp_path)
        assert run.returncode == 2
        assert said in run.stderr
        assert run.stderr.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_help_ends_with_an_example() -> None:
    assert "Example: lamps simulate" in CliRunner().invoke(simulate, ["--help"]).stdout


def test_simulating_loads_neither_torch_nor_prefect(tmp_path: Path) -> None:
    code = (
        "import sys; from lamps_cli.main import cli;"
        "cli(['simulate', '--out', sys.argv[1]], standalone_mode=False);"
        "sys.exit(str([name for name in ('torch', 'prefect', 'transformers') if name in sys.modules] or ''))"
    )
    run = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "curves")], capture_output=True, text=True, check=False
    )
    assert run.stderr.strip() == ""
    assert (tmp_path / "curves" / "simulated.parquet").is_file()

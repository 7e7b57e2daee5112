"""`lamps train-policy` as a user runs it."""

from __future__ import annotations

import json
import signal
from typing import TYPE_CHECKING

import pytest

from lamps_core.policy_file import read_policy
from lamps_core.policy_training.training_run import CHECKPOINT
from tests.lamps_command import kill_family, lamps, start_lamps
from tests.meta_datasets import curve_rows, family_rows, write_meta_dataset
from tests.searches import eventually

if TYPE_CHECKING:
    from pathlib import Path

    from tests.warm_lamps import WarmLamps


@pytest.fixture
def curves(tmp_path: Path) -> Path:
    return write_meta_dataset(tmp_path / "curves", family_rows(4, 5, steps=3))


def test_an_unfinished_dataset_is_left_out_in_a_line(
    curves: Path, tmp_path: Path, prefect_url: str, warm_lamps: WarmLamps
) -> None:
    write_meta_dataset(curves, curve_rows("begun", "candidate-00", losses=[2.0, 1.0], complete=False))
    given = ["--curves", str(curves), "--out", "policy.zip"]
    ran = warm_lamps("train-policy", *given, cwd=tmp_path, prefect_url=prefect_url)
    assert ran.returncode == 0, ran.stderr
    note = "note: dataset 'begun', seed 0 is left out: no curve is complete"
    assert ran.stderr.startswith(note)
    assert ran.stdout.startswith(note)


def test_a_policy_is_trained_and_the_result_is_json(curves: Path, tmp_path: Path, prefect_url: str) -> None:
    ran = lamps(
        *("train-policy", "--curves", str(curves), "--out", "policy.zip", "--algorithm", "distral"),
        *("--exclude-dataset", "dataset-0", "--steps", "1", "--bound", "test_loss=9", "--json"),
        cwd=tmp_path,
        prefect_url=prefect_url,
    )
    assert ran.returncode == 0, ran.stderr
    told = json.loads(ran.stdout)
    assert told["datasets"] == ["dataset-1", "dataset-2", "dataset-3"]
    assert read_policy(tmp_path / "policy.zip").card.algorithm == "distral"
    assert "100% | environment steps" in ran.stderr


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--exclude-dataset", "dataset-1,dataset-2"], "give the option once for each dataset"),
        (["--exclude-dataset", "dataset-9"], "no such dataset; did you mean dataset-"),
        (
            ["--objectives", "test_loss,watts"],
            "'watts' cannot be an objective: choose from test_loss, train_sec",
        ),
        (["--set", "epoch=3"], "--set epoch=...: there is no such setting"),
        (["--set", "epochs"], "--set epochs: write it like"),
        (
            ["--algorithm", "universal", "--seconds", "0.01"],
            "--seconds is for forecast, distral, ppo, not for universal",
        ),
    ],
)
def test_bad_input_is_one_line_and_exit_2(
    curves: Path, tmp_path: Path, prefect_url: str, warm_lamps: WarmLamps, options: list[str], said: str
) -> None:
    given = ["--curves", str(curves), "--out", "policy", "--algorithm", "ppo", *options]
    ran = warm_lamps("train-policy", *given, cwd=tmp_path, prefect_url=prefect_url)
    assert ran.returncode == 2
    assert said in ran.stderr
    assert len(ran.stderr.strip().splitlines()) == 1
    assert not (tmp_path / "policy").exists()


@pytest.mark.slow
@pytest.mark.parametrize("kill", [signal.SIGINT, signal.SIGKILL])
def test_after_ctrl_c_or_a_kill_the_same_command_goes_on(
    curves: Path, tmp_path: Path, prefect_url: str, kill: signal.Signals
) -> None:
    given = ["train-policy", "--curves", str(curves), "--out", "policy", "--algorithm", "ppo"]
    process = start_lamps(*given, "--steps", "100000000", cwd=tmp_path, prefect_url=prefect_url)
    checkpoint = tmp_path / ".policy.training" / CHECKPOINT
    eventually(checkpoint.exists, seconds=180.0, what="a checkpoint")
    if kill == signal.SIGKILL:
        kill_family(process.pid)
    else:
        process.send_signal(kill)
    assert process.wait(timeout=60) in {130, -signal.SIGKILL}
    before = checkpoint.stat().st_mtime_ns
    other = lamps(*given, "--seed", "1", cwd=tmp_path, prefect_url=prefect_url)
    assert other.returncode == 2
    assert "interrupted training with other seed" in other.stderr
    assert checkpoint.stat().st_mtime_ns == before
    # Fewer steps than were done: it goes on, finds itself at the end, and writes the policy.
    again = lamps(*given, "--steps", "1", "--json", cwd=tmp_path, prefect_url=prefect_url)
    assert again.returncode == 0, again.stderr
    assert json.loads(again.stdout)["settings"]["environment_steps"] > 1000
    assert not checkpoint.parent.exists()

"""`lamps campaign` and `lamps fingerprint` as a user runs them."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow.parquet as pq
import pytest

from flows.campaign import campaign_request
from lamps_cli.campaign import check
from lamps_core.objectives import parse_objectives
from lamps_core.policy_file import read_policy
from lamps_core.policy_training.train import Training, TrainingRequest
from lamps_core.workers import group
from tests.campaigns import STEPS_EACH, campaign_arguments, facts, key_of, rows_of, write_datasets
from tests.dask_cluster import DaskCluster
from tests.lamps_command import DEADLINE_SECONDS, family, lamps, start_lamps, wait_for_end
from tests.searches import BETTER, MODELS, TINY, eventually, foreign_model, nan_model
from tests.small_disk import mounted

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.warm_lamps import WarmLamps

FURTHER = "zoo/albert-tiny"


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory, prefect_url: str) -> Path:
    """A folder in which a campaign of two models on two datasets has ended: `curves`, and the datasets."""
    folder = tmp_path_factory.mktemp("finished")
    arguments = campaign_arguments(write_datasets(folder), MODELS, "curves", "--json")
    ran = lamps(*arguments, cwd=folder, prefect_url=prefect_url)
    assert ran.returncode == 0, ran.stderr
    (folder / "result.json").write_text(ran.stdout)
    return folder


@pytest.fixture
def copied(finished: Path, tmp_path: Path) -> Path:
    """The same, to be changed."""
    shutil.copytree(finished, tmp_path / "copied", ignore=shutil.ignore_patterns("prefect-home"))
    return tmp_path / "copied"


def again(folder: Path, prefect_url: str, run: WarmLamps, *, models: str = MODELS) -> dict[str, Any]:
    """The campaign once more, perhaps of other models; its result."""
    datasets = f"{folder}/first.csv,{folder}/second.csv"
    arguments = campaign_arguments(datasets, models, "curves", "--json")
    ran = run(*arguments, cwd=folder, prefect_url=prefect_url)
    assert ran.returncode == 0, ran.stderr
    result: dict[str, Any] = json.loads(ran.stdout)
    return result


def test_a_campaign_leaves_every_step_of_every_pair_once(finished: Path) -> None:
    result = json.loads((finished / "result.json").read_text())
    assert (result["pairs"], result["complete"], result["failed"]) == (4, 4, [])
    rows = rows_of(finished / "curves")
    wanted = [(d, m, 0, s) for d in ("first", "second") for m in (TINY, BETTER) for s in range(STEPS_EACH)]
    assert [key_of(row) for row in rows] == sorted(wanted)
    assert result["steps"] == len(rows)
    assert sum(row["step_seconds"] for row in rows) == pytest.approx(result["spent_seconds"])
    assert [row["complete"] for row in rows] == [row["step"] == STEPS_EACH - 1 for row in rows]
    assert Path(finished / result["report"]).is_file()


def test_a_finished_campaign_keeps_no_weights(finished: Path) -> None:
    assert list((finished / "curves" / ".lamps").rglob("*.safetensors")) == []


@pytest.fixture(scope="module")
def widened(
    finished: Path, tmp_path_factory: pytest.TempPathFactory, prefect_url: str, warm_lamps: WarmLamps
) -> tuple[Path, dict[str, Any]]:
    """The finished campaign, run again with one more model: its curves, and its result."""
    folder = tmp_path_factory.mktemp("widened") / "copied"
    shutil.copytree(finished, folder, ignore=shutil.ignore_patterns("prefect-home"))
    return folder / "curves", again(folder, prefect_url, warm_lamps, models=f"{MODELS},{FURTHER}")


def test_a_further_model_runs_alone(finished: Path, widened: tuple[Path, dict[str, Any]]) -> None:
    curves, result = widened
    assert (result["steps"], result["pairs"]) == (2 * STEPS_EACH, 6)
    assert [row for row in rows_of(curves) if row["model"] != FURTHER] == rows_of(finished / "curves")


def test_a_fingerprint_is_what_the_campaign_records_needs_no_dataset_file_any_more_and_extends_a_policy(
    copied: Path, widened: tuple[Path, dict[str, Any]], prefect_url: str
) -> None:
    for path in copied.glob("*.csv"):
        path.unlink()
    policy = trained_policy(copied / "curves", copied / "policy.zip")
    arguments = ("fingerprint", "--model", FURTHER, "--curves", "curves", "--policy", "policy.zip", "--json")
    ran = lamps(*arguments, cwd=copied, prefect_url=prefect_url)
    assert ran.returncode == 0, ran.stderr
    result = json.loads(ran.stdout)
    assert result["steps"] == 2 * STEPS_EACH
    assert facts(copied / "curves") == facts(widened[0])
    assert result["policy"]["added"] == [FURTHER]
    assert [row["dataset"] for row in result["policy"]["in_sample"]] == ["first", "second"]
    assert read_policy(policy).card.candidates == (TINY, BETTER, FURTHER)


def trained_policy(curves: Path, out: Path) -> Path:
    """A policy trained on these curves, on objectives that no clock measures."""
    training = Training(
        TrainingRequest(curves=curves, out=out, objectives=parse_objectives("test_loss,parameters"))
    )
    with training.opened():
        training.run()
    return out


def test_a_policy_that_does_not_fit_the_curves_is_refused_before_anything_runs(
    copied: Path, warm_lamps: WarmLamps
) -> None:
    policy = trained_policy(copied / "curves", copied / "policy.zip")
    content = policy.read_bytes()
    for path in (copied / "curves").glob("second*.parquet"):
        path.unlink()
    left = facts(copied / "curves")
    arguments = ("fingerprint", "--model", FURTHER, "--curves", "curves", "--policy", "policy.zip")
    ran = warm_lamps(*arguments, cwd=copied)
    assert ran.returncode == 2
    (line,) = ran.stderr.splitlines()
    assert "was trained on the dataset second, which curves lacks" in line
    assert (facts(copied / "curves"), policy.read_bytes()) == (left, content)
    ran = warm_lamps("fingerprint", "--model", FURTHER, "--curves", "curves", "--full", cwd=copied)
    assert ran.returncode == 2
    assert "--full is about a policy: give --policy as well" in ran.stderr


@pytest.mark.slow
def test_a_curve_whose_checkpoint_is_gone_is_made_again_from_its_start(
    copied: Path, prefect_url: str, warm_lamps: WarmLamps
) -> None:
    whole = facts(copied / "curves")
    curves = copied / "curves"
    (complete,) = list(curves.glob("second--zoo--bert-tiny*.parquet"))
    rows = pq.read_table(complete)
    folder = complete.with_suffix("")
    folder.mkdir()
    for step in range(2):
        pq.write_table(rows.filter(rows["step"].to_numpy() == step), folder / f"step-{step:04}.parquet")
    complete.unlink()
    result = again(copied, prefect_url, warm_lamps)
    assert result["steps"] == STEPS_EACH
    assert facts(curves) == whole


@pytest.mark.slow
def test_what_fails_is_recorded_and_the_rest_goes_on(
    tmp_path: Path, prefect_url: str, warm_lamps: WarmLamps
) -> None:
    foreign = foreign_model(tmp_path / "foreign")
    models = f"{TINY},{foreign},{nan_model(tmp_path / 'poisoned')}"
    dataset = write_datasets(tmp_path, ("first",))
    arguments = campaign_arguments(dataset, models, "curves", "--json")
    ran = lamps(*arguments, cwd=tmp_path, prefect_url=prefect_url)
    assert ran.returncode == 0, ran.stderr
    result = json.loads(ran.stdout)
    assert (result["complete"], len(result["failed"])) == (1, 2)
    why = {row["model"]: row["error"] for row in result["failed"]}
    assert "cannot be loaded" in why["foreign"]
    assert "evaluation loss is nan" in why["poisoned"]
    failed = failed_rows(tmp_path / "curves")
    assert {model: error for model, (error, _) in failed.items()} == why

    told = lamps("report", "curves", cwd=tmp_path)
    assert told.returncode == 0, told.stderr
    page = Path(tmp_path / told.stdout.strip()).read_text(encoding="utf-8")
    assert "cannot be loaded" in page
    assert "evaluation loss is nan" in page

    second = warm_lamps(*arguments, cwd=tmp_path, prefect_url=prefect_url)
    assert (json.loads(second.stdout)["steps"], json.loads(second.stdout)["failed"]) == (0, result["failed"])
    assert failed_rows(tmp_path / "curves") == failed

    alone = campaign_arguments(dataset, str(foreign), "curves", "--retry-failed")
    tried = warm_lamps(*alone, cwd=tmp_path, prefect_url=prefect_url)
    assert tried.returncode == 1
    assert "every pair failed" in tried.stderr
    later = failed_rows(tmp_path / "curves")
    assert later["foreign"] > failed["foreign"]  # the same error, later
    assert later["poisoned"] == failed["poisoned"]


def failed_rows(curves: Path) -> dict[str, tuple[str, Any]]:
    """The error and the time of each, by model, of one dataset."""
    failed = [row for row in rows_of(curves) if row["status"] == "failed"]
    return {row["model"]: (row["error"], row["created_at"]) for row in failed}


def test_the_plan_says_what_would_run_and_writes_nothing(tmp_path: Path, warm_lamps: WarmLamps) -> None:
    datasets = write_datasets(tmp_path)
    ran = lamps(*campaign_arguments(datasets, MODELS, "curves", "--plan", "--json"), cwd=tmp_path)
    assert ran.returncode == 0, ran.stderr
    plan = json.loads(ran.stdout)
    assert (plan["asked"], plan["done"], len(plan["to_run"]), plan["speed_from_steps"]) == (4, 0, 4, 0)
    assert [row["model"] for row in plan["to_run"]] == [BETTER, BETTER, TINY, TINY]  # the larger first
    assert plan["device_hours"] == pytest.approx(sum(row["hours"] for row in plan["to_run"]))
    assert plan["disk_bytes"]["checkpoints"] > 0
    assert not (tmp_path / "curves").exists()
    words = warm_lamps(*campaign_arguments(datasets, MODELS, "curves", "--plan"), cwd=tmp_path)
    assert "4 curves asked for" in words.stdout
    assert re.findall(r"note: (\w+: there is no test split)", words.stdout) == [
        "first: there is no test split",
        "second: there is no test split",
    ]
    assert "assumed speed" in words.stdout
    assert re.search(r"on rented GPUs \(A100 40 GB\) instead: .* of GPUs, \$\d", words.stdout)


def test_the_plan_of_the_papers_candidates_needs_no_hub(tmp_path: Path, warm_lamps: WarmLamps) -> None:
    datasets = write_datasets(tmp_path)
    arguments = campaign_arguments(datasets, "paper", "curves")
    planned = warm_lamps(*arguments, "--plan", "--json", cwd=tmp_path)
    assert planned.returncode == 0, planned.stderr
    plan = json.loads(planned.stdout)
    assert plan["asked"] == 140
    assert plan["rented"]["dollars"] == pytest.approx(3.67 * plan["rented"]["gpu_hours"])
    assert plan["rented"]["does_not_fit"] == []  # on up to eight GPUs together
    assert plan["disk_bytes"]["downloads"] > 50e9
    ran = warm_lamps(*arguments, cwd=tmp_path)  # what would load them does need it
    assert ran.returncode == 2
    assert "hub" in ran.stderr


def test_the_plan_of_a_finished_campaign_is_empty_and_knows_its_speed(
    finished: Path, warm_lamps: WarmLamps
) -> None:
    datasets = f"{finished}/first.csv,{finished}/second.csv"
    ran = warm_lamps(*campaign_arguments(datasets, MODELS, "curves", "--plan", "--json"), cwd=finished)
    plan = json.loads(ran.stdout)
    assert (plan["done"], plan["to_run"], plan["device_hours"]) == (4, [], 0)
    assert plan["speed_from_steps"] == 4 * (STEPS_EACH - 1)


def test_what_workers_need_is_imported_beside_the_wait_for_a_server_where_steps_are_left_to_run(
    copied: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[str] = []
    monkeypatch.setattr(group, "start_fork_server", lambda: started.append("for a step"))
    here = {"engine": "local", "scheduler": None, "parallel": None, "step_timeout": None}
    quick: dict[str, Any] = {"landmarks": 2, "max_epochs": 2, "input_col": "phrase", "target_col": "topic"}
    asked = quick | {"datasets": f"{copied}/first.csv", "curves": str(copied / "curves")}
    check(campaign_request(**asked, models=MODELS), here)
    assert not started
    check(campaign_request(**asked, models=f"{MODELS},{FURTHER}"), here)
    assert started


@pytest.mark.slow
def test_a_plan_for_a_dask_cluster_without_workers_does_not_wait_for_ever(
    tmp_path: Path, warm_lamps: WarmLamps
) -> None:
    datasets = write_datasets(tmp_path)
    with DaskCluster(tmp_path / "cluster", workers=0) as cluster:
        arguments = campaign_arguments(datasets, MODELS, "curves", "--engine", "dask", "--plan")
        ran = warm_lamps(*arguments, "--scheduler", cluster.address, cwd=tmp_path)
    assert ran.returncode == 2, ran.stderr
    assert "has no worker with --resources GPU=1: start one with dask worker" in ran.stderr
    assert "Traceback" not in ran.stderr


def broken_parquet(folder: Path) -> list[str]:
    path = next((folder / "curves").glob("*.parquet"))
    path.write_bytes(path.read_bytes()[:100])
    return []


def missing_column(folder: Path) -> list[str]:
    (folder / "second.csv").write_text("phrase,other\na,b\nc,d\n")
    return []


def changed_rows(folder: Path) -> list[str]:
    text = (folder / "second.csv").read_text()
    (folder / "second.csv").write_text(text.replace("rain", "mist"))
    return []


def other_settings(_: Path) -> list[str]:
    return ["--max-epochs", "3"]


def unknown_model(_: Path) -> list[str]:
    return ["--models", "zoo/bert-tyni"]


def unknown_dataset(_: Path) -> list[str]:
    return ["--datasets", "./nowhere.csv"]


def no_scheduler(_: Path) -> list[str]:
    return ["--engine", "dask"]


def scheduler_without_a_port(_: Path) -> list[str]:
    return ["--engine", "dask", "--scheduler", "tcp://head"]


def scheduler_with_a_key(_: Path) -> list[str]:
    return ["--engine", "dask", "--scheduler", "tls://127.0.0.1:9"]


def scheduler_of_no_engine(_: Path) -> list[str]:
    return ["--scheduler", "tcp://head:8786"]


def no_slots(_: Path) -> list[str]:
    return ["--parallel", "0"]


def price_of_nothing(_: Path) -> list[str]:
    return ["--gpu-hour-price", "0"]


def work_among_the_curves(_: Path) -> list[str]:
    return ["--work", "curves"]


def curves_are_a_file(folder: Path) -> list[str]:
    return ["--curves", str(folder / "first.csv")]


def curves_are_something_else(folder: Path) -> list[str]:
    return ["--curves", str(folder)]


def curves_are_nothing(_: Path) -> list[str]:
    return ["--curves", ""]


def unknown_storage(_: Path) -> list[str]:
    return ["--curves", "nosuch://bucket/curves"]


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (broken_parquet, r"\.parquet: cannot be read as Parquet"),
        (missing_column, r"second\.csv.*topic"),
        (changed_rows, "dataset second has other rows"),
        (other_settings, "--max-epochs 2, not 3"),
        (unknown_model, "did you mean zoo/bert-tiny"),
        (unknown_dataset, "nowhere.csv"),
        (no_scheduler, "--scheduler"),
        (scheduler_without_a_port, "--scheduler must be like tcp://HOST:8786"),
        (scheduler_with_a_key, "cluster's key"),
        (scheduler_of_no_engine, "--scheduler is of --engine dask"),
        (no_slots, "--parallel must be at least 1"),
        (price_of_nothing, "price of a GPU hour must be more than zero"),
        (work_among_the_curves, "--work curves is in the folder of the curves"),
        (curves_are_a_file, "first.csv is a file"),
        (curves_are_something_else, "is not empty and holds more than curves"),
        (curves_are_nothing, "--curves names no place"),
        (unknown_storage, "nosuch"),
    ],
)
def test_what_cannot_be_used_is_named_in_one_line_and_nothing_is_changed(
    copied: Path, spoil: Callable[[Path], list[str]], says: str, warm_lamps: WarmLamps
) -> None:
    more = spoil(copied)
    before = {
        path: path.read_bytes() for path in copied.rglob("*") if path.is_file() and "lock" not in path.name
    }
    datasets = f"{copied}/first.csv,{copied}/second.csv"
    ran = warm_lamps(*campaign_arguments(datasets, MODELS, "curves", *more), cwd=copied)
    assert ran.returncode == 2, ran.stderr
    lines = [line for line in ran.stderr.splitlines() if line.startswith("lamps: ")]
    assert len(lines) == 1
    assert re.search(says, lines[0]), lines[0]
    assert "Traceback" not in ran.stderr
    kept = {
        path: path.read_bytes()
        for path in copied.rglob("*")
        if path.is_file() and "prefect-home" not in path.parts
    }
    assert {path: kept.get(path) for path in before} == before


@pytest.mark.slow
def test_a_scheduler_that_does_not_answer_is_a_failure_that_a_job_tries_again(
    tmp_path: Path, warm_lamps: WarmLamps
) -> None:
    more = ("--engine", "dask", "--scheduler", "tcp://127.0.0.1:9")
    ran = warm_lamps(*campaign_arguments(write_datasets(tmp_path), MODELS, "curves", *more), cwd=tmp_path)
    assert ran.returncode == 1, ran.stderr
    assert re.fullmatch(r"lamps: no Dask scheduler answers at tcp://127\.0\.0\.1:9 .*\n", ran.stderr)


def test_a_fingerprint_of_curves_that_do_not_say_how_they_were_made_is_refused(
    copied: Path, warm_lamps: WarmLamps
) -> None:
    shutil.rmtree(copied / "curves" / ".lamps")
    ran = warm_lamps("fingerprint", "--model", TINY, "--curves", "curves", cwd=copied)
    assert ran.returncode == 2
    assert "does not say how its curves were made" in ran.stderr


@pytest.mark.slow
def test_ctrl_c_keeps_what_is_done_and_the_same_command_goes_on(
    copied: Path, tmp_path: Path, prefect_url: str, warm_lamps: WarmLamps
) -> None:
    folder = tmp_path / "stopped"
    folder.mkdir()
    datasets = f"{copied}/first.csv,{copied}/second.csv"
    arguments = campaign_arguments(datasets, MODELS, "curves")
    command = start_lamps(*arguments, cwd=folder, prefect_url=prefect_url)
    eventually(
        lambda: len(list((folder / "curves").rglob("step-*.parquet"))) >= 3,
        seconds=DEADLINE_SECONDS,
        what="three steps",
    )
    processes = family(command.pid)
    os.killpg(command.pid, signal.SIGINT)
    code = command.wait(timeout=DEADLINE_SECONDS)
    wait_for_end(processes)
    assert code == 130, (folder / "stderr").read_text()
    done = rows_of(folder / "curves")
    assert len(done) >= 3
    assert warm_lamps(*arguments, cwd=folder, prefect_url=prefect_url).returncode == 0
    assert [row for row in rows_of(folder / "curves") if row in done] == done
    assert facts(folder / "curves") == facts(copied / "curves")


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    with mounted(tmp_path / "disk", megabytes=6) as place:
        yield place


@pytest.mark.slow
def test_a_full_disk_ends_the_campaign_in_one_line_and_it_goes_on_when_there_is_room(
    small_disk: Path, copied: Path, prefect_url: str, warm_lamps: WarmLamps
) -> None:
    filler = small_disk / "filler"
    filler.write_bytes(b"0" * 5_600_000)
    arguments = campaign_arguments(f"{copied}/first.csv", TINY, small_disk / "curves")
    full = warm_lamps(*arguments, cwd=copied, prefect_url=prefect_url)
    assert full.returncode in {1, 2}, full.stderr
    assert "Traceback" not in full.stderr
    last = full.stderr.strip().splitlines()[-1]
    assert str(small_disk) in last
    assert "space" in last or "free" in last
    filler.unlink()
    assert warm_lamps(*arguments, cwd=copied, prefect_url=prefect_url).returncode == 0
    wanted = [row for row in facts(copied / "curves") if (row["dataset"], row["model"]) == ("first", TINY)]
    assert facts(small_disk / "curves") == wanted


def test_a_read_only_folder_is_named(small_disk: Path, copied: Path, warm_lamps: WarmLamps) -> None:
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    datasets = f"{copied}/first.csv,{copied}/second.csv"
    ran = warm_lamps(*campaign_arguments(datasets, MODELS, small_disk / "curves"), cwd=copied)
    assert ran.returncode == 2, ran.stderr
    assert f"{small_disk}/curves cannot be written" in ran.stderr

"""The recorded curves that ship, the policies trained on them, and the script that joined them."""

from __future__ import annotations

import re
import runpy
import sys
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

import datasets
import pyarrow as pa
import pyarrow.dataset
import pyarrow.parquet as pq
import pytest

from flows.evaluate import evaluation_request
from flows.train_policy import training_request
from lamps_core.curves.reader import curves_by_key, read_curves, read_failures
from lamps_core.curves.schema import CURVE_SCHEMA
from lamps_core.fingerprints import objectives_fingerprint
from lamps_core.hub.download import curves_to_read
from lamps_core.meta_dataset import read_tasks
from lamps_core.models.zoo import zoo_names
from lamps_core.objectives import parse_objectives
from lamps_core.policies.loading import load_policy
from lamps_core.policies.trained import load_trained
from lamps_core.policy_file import read_policy
from lamps_core.replay import replay
from lamps_core.resources import data_path
from tests.meta_datasets import curve_rows, write_meta_dataset

if TYPE_CHECKING:
    from typing import Any

    from lamps_core.task import Task

FOLDER = data_path("curves")
POLICIES = data_path("policies")
MOST_BYTES = 2**20
DATASETS = {
    "ag_news", "banking77", "clickbait", "cola", "emotion", "hate_speech", "sst5", "subj", "trec",
}  # fmt: skip
MINILM = {f"all-minilm-l6-v2-first-{layers}" for layers in range(1, 7)}
OBJECTIVES = parse_objectives("test_loss,train_seconds")
JOIN = data_path("join_curves.py")


@pytest.fixture(scope="module")
def table() -> pa.Table:
    return read_curves(FOLDER)


@pytest.fixture(scope="module")
def tasks() -> tuple[Task, ...]:
    return tuple(read_tasks(FOLDER, OBJECTIVES))


def test_every_candidate_has_a_complete_measured_curve_on_every_dataset(table: pa.Table) -> None:
    curves = curves_by_key(table)
    candidates = MINILM | set(zoo_names())
    assert len(candidates) == 22
    assert {(key.dataset, key.model) for key in curves} == {(d, m) for d in DATASETS for m in candidates}
    assert len(curves) == 9 * 22
    assert all(curve.complete and curve.source == "measured" for curve in curves.values())
    assert len(read_failures(FOLDER)) == 0


def test_the_folder_is_small_and_holds_parquet_alone_that_others_read_without_a_warning(
    table: pa.Table, tmp_path: Path
) -> None:
    files = [path for path in FOLDER.rglob("*") if path.is_file()]
    assert {path.suffix for path in files} == {".parquet"}  # pyarrow takes every other file for a broken one
    assert sum(path.stat().st_size for path in files) < MOST_BYTES
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = pyarrow.dataset.dataset(FOLDER).to_table()
        assert found.schema.equals(CURVE_SCHEMA)
        assert found.equals(table)
    loaded = datasets.load_dataset("parquet", data_dir=str(FOLDER), cache_dir=str(tmp_path), split="train")
    assert loaded.column_names == CURVE_SCHEMA.names
    assert loaded["test_loss"][:] == table["test_loss"].to_pylist()


def test_no_column_holds_text_beside_names_or_anything_of_one_machine(table: pa.Table) -> None:
    words = {field.name for field in CURVE_SCHEMA if pa.types.is_string(field.type)}
    said = {name: set(table[name].to_pylist()) for name in words}
    assert said.pop("dataset") == DATASETS
    assert said.pop("model") == MINILM | set(zoo_names())
    assert all(re.fullmatch("[0-9a-f]{16}", hashed) for hashed in said.pop("config_hash"))
    assert said == {
        "source": {"measured"}, "device": {"cpu x1"}, "dtype": {"fp32"},
        "lamps_version": {"0.1.0"}, "status": {None}, "error": {None},
    }  # fmt: skip
    for path in FOLDER.glob("*.parquet"):
        assert pq.read_schema(path).metadata is None


def test_what_was_measured_is_there_in_every_row(table: pa.Table) -> None:
    assert {name for name in table.column_names if table[name].null_count} == {"status", "error"}
    assert set(table["batch_size"].to_pylist()) == {16}


@pytest.mark.parametrize(("name", "algorithm"), [("pool", "distral"), ("pool-forecast", "forecast")])
def test_a_shipped_policy_says_what_it_was_trained_on(
    name: str, algorithm: str, tasks: tuple[Task, ...]
) -> None:
    path = POLICIES / f"{name}.zip"
    card = read_policy(path).card
    assert (card.kind, card.algorithm) == ("pool", algorithm)
    assert set(card.datasets) == DATASETS
    assert set(card.candidates) == MINILM | set(zoo_names())
    assert card.meta_dataset == objectives_fingerprint(tasks)
    assert path.stat().st_size < MOST_BYTES


@pytest.mark.parametrize("name", ["pool", "pool-forecast"])
def test_a_shipped_policy_leads_a_search_over_some_of_its_candidates(
    name: str, tasks: tuple[Task, ...]
) -> None:
    task = tasks[0].of(("zoo/bert-tiny", "all-minilm-l6-v2-first-2", "zoo/luke-tiny"))
    policy = load_trained(POLICIES / f"{name}.zip", candidates=task.candidates, objectives=OBJECTIVES)
    told = replay(task, policy)
    assert told.share[-1] == pytest.approx(1.0)


@pytest.mark.slow
def test_the_universal_policy_is_never_far_behind_the_cheapest_first(tasks: tuple[Task, ...]) -> None:
    for task in tasks:
        universal, cheapest = (
            replay(task, load_policy(name)).seconds_to(0.98) for name in ("universal", "cheapest")
        )
        assert universal is not None
        assert cheapest is not None
        assert universal <= 1.5 * cheapest, task.dataset


def test_shipped_names_the_shipped_curves_wherever_curves_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("shipped").mkdir()
    assert curves_to_read("shipped") == FOLDER
    assert curves_to_read("./shipped").resolve() == tmp_path / "shipped"
    assert evaluation_request(curves="shipped", out="evaluation").curves == FOLDER
    assert training_request(curves="shipped", out="policy").curves == FOLDER


# --- The script


def join(monkeypatch: pytest.MonkeyPatch, *folders: Path, out: Path) -> int:
    """Run the script in this process: a new one would import for seconds."""
    monkeypatch.setattr(sys, "argv", [str(JOIN), *map(str, folders), "--out", str(out)])
    return int(runpy.run_path(str(JOIN))["main"]())


def campaign(folder: Path, models: str, *datasets: str, **options: Any) -> Path:
    given: dict[str, Any] = {"losses": [1.5, 1.25], "source": "measured"} | options
    rows = [row for dataset in datasets for model in models for row in curve_rows(dataset, model, **given)]
    return write_meta_dataset(folder, rows)


def test_two_campaigns_are_joined_into_one_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "out" / "measured.parquet"
    first, second = campaign(tmp_path / "1", "ab", "x", "y"), campaign(tmp_path / "2", "c", "y", "x")
    assert join(monkeypatch, first, second, out=out) == 0
    found = curves_by_key(read_curves(out))
    assert [(key.dataset, key.model) for key in found] == [(d, m) for d in "xy" for m in "abc"]
    assert [row["test_loss"] for row in found[min(found)].rows()] == [1.5, 1.25]


@pytest.mark.parametrize(
    "case",
    [
        ("c", "x", {}, "there are 5 curves, and 6 pairs"),
        ("c", "xy", {"complete": False}, "c on x: is not complete"),
        ("c", "xy", {"source": "simulated"}, "c on x: is not complete, or not measured"),
        ("b", "xy", {}, "is there twice in its curve"),
    ],
)
def test_what_may_not_ship_is_refused_in_one_line(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    case: tuple[str, str, dict[str, Any], str],
) -> None:
    models, names, options, said = case
    out = tmp_path / "measured.parquet"
    first = campaign(tmp_path / "1", "ab", "x", "y")
    second = campaign(tmp_path / "2", models, *names, **options)
    assert join(monkeypatch, first, second, out=out) == 2
    told = capsys.readouterr().err
    assert said in told
    assert told.count("\n") == 1
    assert not out.exists()

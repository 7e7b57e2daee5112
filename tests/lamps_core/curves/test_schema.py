"""Learning curves written and read back: whole files, one schema, and one clear line for what is no curve."""

from __future__ import annotations

import os
import tempfile
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pyarrow as pa
import pyarrow.dataset
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lamps_core import files
from lamps_core.curves.reader import curves_by_key, numbers_beside, read_curves, read_failures
from lamps_core.curves.schema import CURVE_SCHEMA, CurveKey, curve_file_name, write_curve
from lamps_core.errors import BadInput

REQUIRED = [field.name for field in CURVE_SCHEMA if not field.nullable]
KEY = CurveKey("trec", "org/model", 0)
Row = dict[str, Any]


def curve(key: CurveKey = KEY, *, steps: int = 4, **changed: Any) -> list[Row]:
    """The required columns of a complete curve."""
    return [
        {
            **key._asdict(),
            "step": step,
            "test_loss": 2.0 / (step + 1),
            "train_seconds": 0.5 * step,
            "step_seconds": 0.5 * step + 1.0,
            "parameters": 1000,
            "complete": step == steps - 1,
            "source": "measured",
            **changed,
        }
        for step in range(steps)
    ]


def failed(step: int | None, **changed: Any) -> Row:
    key = {"dataset": "trec", "model": "org/model", "seed": 0}
    return {
        **key,
        "step": step,
        "source": "measured",
        "status": "failed",
        "error": "out of memory",
        **changed,
    }


def save(path: Path, rows: list[Row] | pa.Table) -> Path:
    """Any rows as a Parquet file, without any check."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if not isinstance(rows, pa.Table):
        names = dict.fromkeys(name for row in rows for name in row)
        rows = pa.table({name: [row.get(name) for row in rows] for name in names})
    pq.write_table(rows, path)
    return path


def refusal(path: Path) -> str:
    with pytest.raises(BadInput) as refused:
        read_curves(path)
    message = str(refused.value)
    assert "\n" not in message
    return message


# Writing


def test_a_folder_by_a_relative_path_is_the_same_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_curve(tmp_path / "some" / "curves", curve())
    monkeypatch.chdir(tmp_path)
    assert read_curves(Path("some/curves")) == read_curves(tmp_path / "some" / "curves")


def test_what_is_written_is_read_back_sorted_and_in_the_schema(tmp_path: Path) -> None:
    keys = [
        CurveKey("trec", "b", 1),
        CurveKey("cola", "z", 0),
        CurveKey("trec", "b", 0),
        CurveKey("trec", "a", 7),
    ]
    for key in keys:
        write_curve(tmp_path, curve(key)[::-1])
    table = read_curves(tmp_path)
    assert table.schema.equals(CURVE_SCHEMA)
    assert list(curves_by_key(table)) == sorted(keys)
    assert table["step"].to_pylist() == [0, 1, 2, 3] * 4
    first = {**dict.fromkeys(CURVE_SCHEMA.names), **curve(sorted(keys)[0])[0]}
    assert table.slice(0, 1).to_pylist() == [first]


def test_optional_columns_come_back_and_a_key_that_is_no_column_is_left_out(tmp_path: Path) -> None:
    when = datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)
    optional: Row = {"accuracy": 0.5, "train_rows": 10, "batch_size": 32, "device": "cpu", "status": "ok"}
    rows = curve(steps=1, **optional, macro_f1=float("nan"), created_at=when.isoformat(), tokens=9)
    (row,) = read_curves(write_curve(tmp_path, rows)).to_pylist()
    assert {name: row[name] for name in optional} == optional
    assert row["macro_f1"] is None
    assert row["created_at"] == when
    assert "tokens" not in row


def test_a_curve_that_goes_on_takes_the_place_of_its_file(tmp_path: Path) -> None:
    rows = curve(steps=5)
    first = write_curve(tmp_path, rows[:3])
    assert write_curve(tmp_path, rows) == first
    assert read_curves(tmp_path)["step"].to_pylist() == [0, 1, 2, 3, 4]
    assert [path.name for path in tmp_path.iterdir()] == [first.name]


@pytest.mark.parametrize(
    ("rows", "complaint"),
    [
        ([], "has no rows"),
        (curve(seed=None), "column seed, row 0: null in a required column"),
        (curve()[1:], "column step, row 0: 1 leaves a gap"),
        (curve(source="guessed"), "'guessed' is none of measured, simulated, imported"),
        (curve(test_loss=float("nan")), "column test_loss, row 0: nan is not a finite number of at least 0"),
        (curve(parameters="many"), "column parameters of a curve to write"),
        (curve(seed=2**40), "column seed of a curve to write"),
        (curve(created_at="yesterday"), "column created_at of a curve to write"),
        (curve(status="lost"), "column status, row 0: 'lost' is neither ok nor failed"),
        (curve() + curve(CurveKey("trec", "other", 0)), "rows of 2 curves"),
        ([*curve()[:1], failed(1, source=None)], "column source, row 1: null in a required column"),
    ],
)
def test_the_writer_refuses_what_the_reader_would_and_writes_nothing(
    tmp_path: Path, rows: list[Row], complaint: str
) -> None:
    with pytest.raises(BadInput, match=complaint):
        write_curve(tmp_path, rows)
    assert list(tmp_path.iterdir()) == []


def test_a_file_half_written_is_never_in_sight(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With half of the bytes written and none flushed, readers still see the file that was there."""
    rows = curve(steps=5)
    write_curve(tmp_path, rows[:2])
    seen: list[int] = []

    def cut_short(path: Path) -> None:
        if path.is_file():
            os.truncate(path, path.stat().st_size // 2)
            seen.append(len(read_curves(tmp_path)))
            seen.append(pyarrow.dataset.dataset(tmp_path).count_rows())
            seen.append(load(tmp_path).num_rows)
            raise OSError("no space left on device")

    monkeypatch.setattr(files, "flush", cut_short)
    with pytest.raises(OSError, match="no space"):
        write_curve(tmp_path, rows)
    assert seen == [2, 2, 2]
    assert len(list(tmp_path.iterdir())) == 1


def load(folder: Path) -> datasets.Dataset:
    with tempfile.TemporaryDirectory() as cache:
        found = datasets.load_dataset("parquet", data_dir=str(folder), cache_dir=cache, keep_in_memory=True)
        assert list(found) == ["train"]
        return found["train"]


def test_pyarrow_and_datasets_read_every_curve_of_a_folder(tmp_path: Path) -> None:
    names = ["trec", "test", "org/model-dev", "valid.v2", "eval_7", "bert2train3"]
    for seed, name in enumerate(names):
        write_curve(tmp_path, curve(CurveKey(name, name[::-1], seed)))
        write_curve(tmp_path, curve(CurveKey(name[::-1], name, seed)))
    rows = 2 * 4 * len(names)
    assert len(read_curves(tmp_path)) == rows
    assert pyarrow.dataset.dataset(tmp_path).count_rows() == rows
    found = load(tmp_path)
    assert found.num_rows == rows
    assert set(found["dataset"]) == set(names) | {name[::-1] for name in names}


HOSTILE = ["../x", "/etc/passwd", "", ".", "..", "_hidden", ".hidden", "-", 'a/b\\c:d*?"<>|', "🤖", "x" * 500]
HOSTILE += ["a\nb", "a\x00b", "CON", "test", "~", "$HOME", "%2F", "模型", "a" * 70 + "/" + "b" * 70]


def test_no_name_leaves_the_folder_hides_its_file_or_takes_that_of_another(tmp_path: Path) -> None:
    keys = [CurveKey(dataset, model, seed) for dataset in HOSTILE for model in HOSTILE for seed in (0, -1)]
    names = {curve_file_name(key) for key in keys}
    assert len({name.lower() for name in names}) == len(keys)
    for name in names:
        assert Path(name).name == name
        assert name[0] not in "._-"
        assert len(name.encode()) <= 200
    folder = tmp_path / "curves"
    some = [CurveKey(name, name[::-1], 0) for name in HOSTILE]
    for key in some:
        write_curve(folder, curve(key))
    assert [path.name for path in tmp_path.iterdir()] == ["curves"]
    assert list(curves_by_key(read_curves(folder))) == sorted(some)


@given(st.text(max_size=30), st.text(max_size=30), st.integers(-(2**31), 2**31 - 1))
def test_any_key_has_one_plain_file_name(dataset: str, model: str, seed: int) -> None:
    key = CurveKey(dataset, model, seed)
    try:
        json_safe = (dataset + model).encode()
    except UnicodeEncodeError:
        return
    name = curve_file_name(key)
    assert json_safe is not None
    assert name == curve_file_name(key)
    assert name.isascii()
    assert not set(name) & set('/\\:*?"<>|\n\0 ')
    assert name[0] not in "._-"
    assert name.endswith(".parquet")


def test_names_that_differ_in_case_alone_have_files_that_differ_in_more() -> None:
    lower, upper = (curve_file_name(CurveKey("trec", model, 0)).lower() for model in ("org/bert", "org/BERT"))
    assert lower != upper


# Reading


def test_required_columns_alone_in_any_order_are_enough(tmp_path: Path) -> None:
    table = pa.Table.from_pylist(curve())
    save(tmp_path / "a.parquet", table.select(REQUIRED[::-1]))
    read = read_curves(tmp_path)
    assert read.schema.equals(CURVE_SCHEMA)
    assert read.select(REQUIRED).to_pylist() == curve()
    assert read["accuracy"].null_count == 4


def test_one_file_is_read_under_any_name(tmp_path: Path) -> None:
    assert len(read_curves(save(tmp_path / "_curve.pq", curve()))) == 4


def test_files_are_found_in_nested_folders_but_not_in_hidden_ones(tmp_path: Path) -> None:
    save(tmp_path / "a" / "b" / "c.parquet", curve())
    save(tmp_path / "d.PARQUET", curve(CurveKey("cola", "m", 0)))
    for hidden in (".draft.parquet", "_draft.parquet", ".cache/x.parquet", "_old/x.parquet", "notes.txt"):
        (tmp_path / hidden).parent.mkdir(exist_ok=True)
        (tmp_path / hidden).write_bytes(b"half a file")
    assert len(read_curves(tmp_path)) == 8


def test_parquet_files_of_any_name_and_behind_links_are_read_as_pyarrow_reads_them(tmp_path: Path) -> None:
    folder, elsewhere = tmp_path / "curves", tmp_path / "elsewhere"
    for place, dataset in ((folder / "a.pq", "a"), (folder / "part-0", "b"), (elsewhere / "c.parquet", "c")):
        save(place, curve(CurveKey(dataset, "m", 0)))
    (folder / "more").symlink_to(elsewhere)
    (elsewhere / "round").symlink_to(folder)
    (folder / "latest").symlink_to(folder / "more")
    (folder / "again").symlink_to(elsewhere)
    assert {key.dataset for key in curves_by_key(read_curves(folder))} == {"a", "b", "c"}
    for link in (elsewhere / "round", folder / "latest", folder / "again"):
        link.unlink()
    assert pyarrow.dataset.dataset(folder).count_rows() == len(read_curves(folder))


def test_partitions_as_pyarrow_writes_them_are_read(tmp_path: Path) -> None:
    keys = [CurveKey("trec", "org/a b=c", 0), CurveKey("cola", "org/m%", 3)]
    table = pa.Table.from_pylist([row for key in keys for row in curve(key)])
    pq.write_to_dataset(table, tmp_path, partition_cols=["dataset", "model", "seed"])
    assert list(curves_by_key(read_curves(tmp_path))) == sorted(keys)
    part = next((tmp_path / "dataset=trec").rglob("*.parquet"))
    assert list(curves_by_key(read_curves(part))) == [keys[0]]


def test_what_the_folders_above_a_meta_dataset_are_called_is_no_part_of_it(tmp_path: Path) -> None:
    place = tmp_path / "gpus=8" / "status=x" / "curves"
    save(place / "model=org%2Fmodel" / "a.parquet", pa.Table.from_pylist(curve()).drop_columns("model"))
    read = read_curves(place)
    assert set(read["model"].to_pylist()) == {KEY.model}
    assert read["gpus"].null_count == read["status"].null_count == 4


def test_a_curve_may_be_spread_over_files(tmp_path: Path) -> None:
    for index, row in enumerate(curve()[::-1]):
        save(tmp_path / f"{index}.parquet", [row])
    assert read_curves(tmp_path)["step"].to_pylist() == [0, 1, 2, 3]


def test_types_that_can_be_converted_without_loss_are(tmp_path: Path) -> None:
    rows = curve(accuracy=float("nan"), created_at=datetime(2026, 1, 1, tzinfo=UTC), unknown="x")
    table = pa.Table.from_pylist(rows)
    other = {
        "dataset": pa.dictionary(pa.int8(), pa.string()),
        "model": pa.dictionary(pa.int32(), pa.large_string()),
        "source": pa.large_string(),
        "seed": pa.int64(),
        "step": pa.float64(),
        "test_loss": pa.float32(),
        "parameters": pa.uint64(),
        "complete": pa.int8(),
        "accuracy": pa.float32(),
        "created_at": pa.timestamp("ns", tz="Europe/Berlin"),
    }
    for name, kind in other.items():
        table = table.set_column(table.column_names.index(name), name, table[name].cast(kind))
    read = read_curves(save(tmp_path / "a.parquet", table))
    assert read.schema.equals(CURVE_SCHEMA)
    assert read.drop_columns(["test_loss", "accuracy"]).to_pylist() == [
        {name: row.get(name) for name in CURVE_SCHEMA.names if name not in {"test_loss", "accuracy"}}
        for row in rows
    ]
    assert read["accuracy"].null_count == 4


def test_failed_rows_are_kept_apart(tmp_path: Path) -> None:
    write_curve(tmp_path, [*curve(steps=9)[:3], failed(3)])
    write_curve(tmp_path, [failed(0, dataset="cola", step_seconds=2.5)])
    assert read_curves(tmp_path)["step"].to_pylist() == [0, 1, 2]
    failures = read_failures(tmp_path)
    assert failures.column_names == CURVE_SCHEMA.names
    assert failures.select(["dataset", "step", "error", "step_seconds"]).to_pylist() == [
        {"dataset": "cola", "step": 0, "error": "out of memory", "step_seconds": 2.5},
        {"dataset": "trec", "step": 3, "error": "out of memory", "step_seconds": 0.0},
    ]


def test_a_failed_row_of_others_may_hold_nulls_and_repeat_a_step(tmp_path: Path) -> None:
    retried = [*curve(), failed(2, test_loss=None, train_seconds=None), failed(2, test_loss=float("nan"))]
    save(tmp_path / "a.parquet", retried)
    assert len(read_curves(tmp_path)) == 4
    assert read_failures(tmp_path)["train_seconds"].to_pylist() == [None, None]


def test_a_folder_of_failures_has_no_curves_and_one_of_curves_no_failures(tmp_path: Path) -> None:
    write_curve(tmp_path / "failed", [failed(0)])
    write_curve(tmp_path / "done", curve())
    assert len(read_curves(tmp_path / "failed")) == 0
    assert curves_by_key(read_curves(tmp_path / "failed")) == {}
    assert len(read_failures(tmp_path / "done")) == 0


def test_a_failed_row_that_names_no_step_is_refused(tmp_path: Path) -> None:
    save(tmp_path / "a.parquet", [*curve(), failed(None)])
    with pytest.raises(BadInput, match=r"a\.parquet, column step, row 4: null in a required column"):
        read_failures(tmp_path)


def test_a_folder_without_curves_and_a_path_without_a_folder_are_refused(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("nothing here")
    assert refusal(tmp_path) == f"{tmp_path}: holds no Parquet files: name a folder of learning curves"
    assert refusal(tmp_path / "gone") == f"{tmp_path / 'gone'}: there is no such file or folder"


@pytest.mark.parametrize("keep", [0, 3, 100, -20, -4])
def test_a_corrupt_file_is_refused_by_name(tmp_path: Path, keep: int) -> None:
    path = save(tmp_path / "bad.parquet", curve())
    path.write_bytes(path.read_bytes()[:keep])
    save(tmp_path / "good.parquet", curve(CurveKey("cola", "m", 0)))
    assert refusal(tmp_path).startswith(f"{path}: cannot be read as Parquet: ")


def test_a_damaged_page_is_refused_by_name(tmp_path: Path) -> None:
    path = save(tmp_path / "bad.parquet", curve())
    content = path.read_bytes()
    path.write_bytes(content[:4] + b"\xff" * 400 + content[404:])
    assert refusal(tmp_path).startswith(f"{path}")


@pytest.mark.parametrize("name", REQUIRED)
def test_a_missing_column_is_refused_by_name(tmp_path: Path, name: str) -> None:
    path = save(tmp_path / "a.parquet", pa.Table.from_pylist(curve()).drop_columns([name]))
    assert refusal(tmp_path) == f"{path}: required column {name} is missing"


def test_a_column_that_is_there_twice_is_refused(tmp_path: Path) -> None:
    table = pa.Table.from_pylist(curve())
    save(tmp_path / "a.parquet", table.append_column("step", table["step"]))
    assert "column step is there twice" in refusal(tmp_path)


@pytest.mark.parametrize("name", REQUIRED)
def test_a_null_in_a_required_column_is_refused_with_its_row(tmp_path: Path, name: str) -> None:
    rows = curve()
    rows[2][name] = None
    save(tmp_path / "good.parquet", curve(CurveKey("cola", "m", 0)))
    path = save(tmp_path / "rows.parquet", rows)
    assert refusal(tmp_path).startswith(f"{path}, column {name}, row 2: null in a required column (dataset ")


@pytest.mark.parametrize("name", ["test_loss", "train_seconds", "step_seconds", "accuracy", "cpu_seconds"])
@pytest.mark.parametrize("number", [float("nan"), float("inf"), -float("inf"), -0.5])
def test_a_number_that_cannot_be_is_refused_with_its_row(tmp_path: Path, name: str, number: float) -> None:
    rows = curve(accuracy=0.5, cpu_seconds=1.0)
    rows[3][name] = number
    path = save(tmp_path / "rows.parquet", rows)
    if np.isnan(number) and name not in REQUIRED:
        assert read_curves(tmp_path)[name].null_count == 1
    else:
        complaint = f"column {name}, row 3: {number} is not a finite number of at least 0"
        assert refusal(tmp_path).startswith(f"{path}, {complaint}")


@pytest.mark.parametrize(
    ("row", "change", "complaint"),
    [
        (0, {"step": -1}, "column step, row 0: -1 is not a finite number of at least 0"),
        (2, {"parameters": -1}, "column parameters, row 2: -1 is not"),
        (2, {"step": 4}, "column step, row 3: 3 leaves a gap"),
        (0, {"step": 4}, "column step, row 1: 1 leaves a gap"),
        (3, {"step": 2}, "column step, row 3: 2 is there twice in its curve"),
        (1, {"complete": True}, "column complete, row 3: True is the second complete row of its curve"),
        (1, {"source": "simulated"}, "column source, row 1: 'simulated' differs from the rows before it"),
        (
            2,
            {"source": "Measured"},
            "column source, row 2: 'Measured' is none of measured, simulated, imported",
        ),
        (2, {"status": "lost"}, "column status, row 2: 'lost' is neither ok nor failed"),
        (1, {"dataset": "two\nlines"}, "column step, row 2: 2 leaves a gap"),
    ],
)
def test_what_is_no_curve_is_refused_with_file_column_and_row(
    tmp_path: Path, row: int, change: Row, complaint: str
) -> None:
    rows = curve(status="ok")
    rows[row].update(change)
    save(tmp_path / "good.parquet", curve(CurveKey("cola", "m", 0)))
    path = save(tmp_path / "rows.parquet", rows)
    assert refusal(tmp_path).startswith(f"{path}, {complaint}")


def test_a_complete_row_that_is_not_the_last_is_refused(tmp_path: Path) -> None:
    rows = curve(complete=False)
    rows[1]["complete"] = True
    save(tmp_path / "rows.parquet", rows)
    assert "column complete, row 1: True is complete, but not the last row of its curve" in refusal(tmp_path)


def test_a_curve_that_is_not_complete_is_a_curve(tmp_path: Path) -> None:
    save(tmp_path / "rows.parquet", curve(complete=False))
    (found,) = curves_by_key(read_curves(tmp_path)).values()
    assert not found.complete


def test_a_step_in_two_files_is_refused_naming_the_second(tmp_path: Path) -> None:
    save(tmp_path / "a.parquet", curve())
    again = save(tmp_path / "b" / "b.parquet", curve()[2:3])
    assert refusal(tmp_path).startswith(f"{again}, column step, row 0: 2 is there twice in its curve")
    assert "model 'org/model', seed 0, step 2" in refusal(tmp_path)


@pytest.mark.parametrize(
    ("name", "kind", "value", "complaint"),
    [
        ("seed", pa.int64(), 2**40, "row 2: is not int32"),
        ("step", pa.float64(), 1.5, "row 2: is not int32"),
        ("test_loss", pa.string(), "low", "row 2: is not double"),
        ("model", pa.binary(), b"\xff\xfe", "row 2: is not string"),
        ("complete", pa.string(), "perhaps", "row 2: is not bool"),
        ("dataset", pa.list_(pa.int8()), [1], "row 0: is not string"),
    ],
)
def test_a_value_that_cannot_be_converted_is_refused_with_its_row(
    tmp_path: Path, name: str, kind: pa.DataType, value: Any, complaint: str
) -> None:
    table = pa.Table.from_pylist(curve())
    plain = (
        [None] * 4
        if kind == pa.list_(pa.int8())
        else pa.array(table[name].to_pylist()).cast(kind).to_pylist()
    )
    at = 0 if "row 0" in complaint else 2
    column = pa.array([value if row == at else plain[row] for row in range(4)], kind)
    path = save(tmp_path / "a.parquet", table.set_column(table.column_names.index(name), name, column))
    assert refusal(tmp_path).startswith(f"{path}, column {name}, {complaint}")


def test_numbers_beside_the_schema_are_read_where_they_are_asked_for(tmp_path: Path) -> None:
    save(tmp_path / "a.parquet", curve(energy_joules=3, watts=0.5, city="Ulm"))
    save(tmp_path / "b.parquet", curve(CurveKey("cola", "m", 0), watts=1.5, tons=Decimal(2)))
    assert numbers_beside(tmp_path) == ("energy_joules", "tons", "watts")
    read = read_curves(tmp_path, beside=["watts", "energy_joules"])
    assert read.schema.names == [*CURVE_SCHEMA.names, "watts", "energy_joules"]
    assert read["watts"].to_pylist() == [1.5] * 4 + [0.5] * 4
    assert read["energy_joules"].to_pylist() == [None] * 4 + [3.0] * 4
    assert read.select(CURVE_SCHEMA.names).equals(read_curves(tmp_path))


@pytest.mark.parametrize(
    ("value", "complaint"),
    [
        (-0.5, "is not a finite number of at least 0"),
        (float("inf"), "is not a finite number of at least 0"),
        ("low", "is not double"),
    ],
)
def test_a_number_beside_the_schema_is_checked_as_those_in_it(
    tmp_path: Path, value: Any, complaint: str
) -> None:
    path = save(tmp_path / "a.parquet", curve(watts=value))
    assert len(read_curves(path)) == 4
    with pytest.raises(BadInput, match=f"column watts, row 0: .*{complaint}"):
        read_curves(path, beside=["watts"])


def with_column(name: str, column: pa.Array) -> pa.Table:
    """A curve of as many rows, with an optional column."""
    return pa.Table.from_pylist(curve(steps=len(column))).append_column(name, column)


NOON = datetime(2025, 1, 1, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("column", "read"),
    [
        (pa.array(["2025-01-01 12:00:00", "2025-01-01T12:00:00Z", "2025-01-01T13:00+01:00"]), [NOON] * 3),
        (pa.array(["2025-01-01 12:00:00"]).dictionary_encode(), [NOON]),
        (pa.array([NOON.replace(tzinfo=None)]), [NOON]),
        (pa.array(["yesterday", "2025-01-01T12:00:00", None]), [None, NOON, None]),
        (pa.array(["0001-01-01T00:00:00+14:00"]), [None]),
        (pa.array([1735732800.0]), [None]),
        (pa.array([1735732800]), [None]),
        (pa.array([[1], [2]]), [None, None]),
    ],
)
def test_a_time_without_a_zone_is_in_utc_and_what_is_no_time_is_unknown(
    tmp_path: Path, column: pa.Array, read: list[datetime | None]
) -> None:
    path = save(tmp_path / "a.parquet", with_column("created_at", column))
    assert read_curves(path)["created_at"].to_pylist() == read


@pytest.mark.parametrize("name", ["device", "dtype", "config_hash", "lamps_version"])
def test_a_label_that_is_no_text_is_unknown(tmp_path: Path, name: str) -> None:
    bytes_ = pa.array([b"cpu", b"\xff"], pa.binary())
    assert read_curves(save(tmp_path / "a.parquet", with_column(name, bytes_)))[name].to_pylist() == [
        "cpu",
        None,
    ]


@pytest.mark.parametrize("name", ["gpus", "peak_memory_bytes"])
@pytest.mark.parametrize("kind", [pa.float64(), pa.decimal128(5, 1)])
def test_a_part_of_a_gpu_or_of_a_byte_counts_as_a_whole(tmp_path: Path, name: str, kind: pa.DataType) -> None:
    parts = pa.array([Decimal("0.5"), Decimal("2"), None, Decimal("2.5")], pa.decimal128(5, 1)).cast(kind)
    read = read_curves(save(tmp_path / "a.parquet", with_column(name, parts)))
    assert read[name].to_pylist() == [1, 2, None, 3]
    below = with_column(name, pa.array([-0.5]))
    assert "row 0: -1 is not a finite number of at least 0" in refusal(save(tmp_path / "b.parquet", below))


@pytest.mark.parametrize("name", ["train_rows", "batch_size"])
def test_a_part_of_a_row_is_refused(tmp_path: Path, name: str) -> None:
    path = save(tmp_path / "a.parquet", with_column(name, pa.array([2.0, 1.5])))
    assert refusal(path).startswith(f"{path}, column {name}, row 1: is not int")


def test_operations_may_be_whole_numbers_of_any_size(tmp_path: Path) -> None:
    path = save(tmp_path / "a.parquet", with_column("train_flops", pa.array([10**17 + 1])))
    assert read_curves(path)["train_flops"].to_pylist() == [1e17]


def test_text_that_is_not_utf_8_is_refused_with_its_row(tmp_path: Path) -> None:
    table = pa.Table.from_pylist(curve())
    text = pa.array([b"org/model", b"\xff", b"org/model", b"org/model"], pa.binary()).view(pa.string())
    path = save(tmp_path / "a.parquet", table.set_column(1, "model", text))
    assert refusal(tmp_path).startswith(f"{path}, column model, row 1: is not string")


def test_sources_of_two_curves_may_differ(tmp_path: Path) -> None:
    write_curve(tmp_path, curve(source="imported"))
    write_curve(tmp_path, curve(CurveKey("cola", "m", 0), source="simulated"))
    assert [found.source for found in curves_by_key(read_curves(tmp_path)).values()] == [
        "simulated",
        "imported",
    ]


def test_a_curve_gives_its_columns_and_rows_in_order_of_steps(tmp_path: Path) -> None:
    write_curve(tmp_path, curve())
    write_curve(tmp_path, curve(CurveKey("trec", "org/model", 1), steps=2))
    found = curves_by_key(read_curves(tmp_path))[CurveKey("trec", "org/model", 0)]
    assert found.complete
    assert found.column("test_loss").tolist() == [2.0, 1.0, 2 / 3, 0.5]
    assert np.isnan(found.column("accuracy")).all()
    assert [row["step"] for row in found.rows()] == [0, 1, 2, 3]


keys = st.tuples(
    st.sampled_from(["trec", "cola", "a/b"]), st.sampled_from(["m", "M", "é"]), st.integers(-2, 2)
)


@given(
    st.dictionaries(keys, st.tuples(st.integers(1, 6), st.booleans()), min_size=1, max_size=5),
    st.randoms(use_true_random=False),
)
@settings(max_examples=40)
def test_any_curves_in_any_order_over_any_files_are_read_as_themselves(
    lengths: dict[tuple[str, str, int], tuple[int, bool]], random: Any
) -> None:
    expected = []
    for key in sorted(lengths):
        steps, complete = lengths[key]
        rows = curve(CurveKey(*key), steps=steps)
        rows[-1]["complete"] = complete
        expected += rows
    shuffled = random.sample(expected, len(expected))
    cut = random.randint(0, len(shuffled))
    with tempfile.TemporaryDirectory() as folder:
        for index, part in enumerate((shuffled[:cut], shuffled[cut:])):
            if part:
                save(Path(folder) / f"{index}.parquet", part)
        assert read_curves(Path(folder)).select(REQUIRED).to_pylist() == expected


@given(st.integers(0, 3), st.data())
@settings(max_examples=40)
def test_a_curve_with_any_row_but_the_last_taken_out_or_repeated_is_refused(at: int, data: Any) -> None:
    rows = curve(steps=5)
    spoiled = rows[:at] + rows[at + 1 :] if data.draw(st.booleans()) else [*rows, rows[at]]
    with tempfile.TemporaryDirectory() as folder:
        save(Path(folder) / "a.parquet", data.draw(st.permutations(spoiled)))
        assert "column step" in refusal(Path(folder))

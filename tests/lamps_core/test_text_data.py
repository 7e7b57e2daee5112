from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import datasets
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from lamps_core.errors import BadInput
from lamps_core.text_data import (
    DatasetRequest,
    TextDataset,
    TextSplit,
    choose_test,
    find_split,
    load_prepared,
    load_text_dataset,
    reserve_rows,
    save_prepared,
)
from lamps_core.text_hub import open_hub

if TYPE_CHECKING:
    from collections.abc import Callable

ROWS = [{"text": f"text {row}", "label": "ham" if row % 3 else "spam"} for row in range(30)]


def write_json_lines(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def write_parquet(path: Path, columns: dict[str, Any], *, names: list[str] | None = None) -> Path:
    """A Parquet file; `names` makes "label" a ClassLabel, as the datasets library writes it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    table = pa.table(columns)
    if names is not None:
        features = {"label": {"names": names, "_type": "ClassLabel"}}
        table = table.replace_schema_metadata({"huggingface": json.dumps({"info": {"features": features}})})
    pq.write_table(table, path)
    return path


def load(dataset: Path | str, inputs: str = "text", target: str = "label", **options: Any) -> TextDataset:
    return load_text_dataset(DatasetRequest(str(dataset), (inputs,), target, **options))


def named(dataset: TextDataset, split: TextSplit | None) -> list[tuple[str, str]]:
    assert split is not None
    return [(text, dataset.label_names[label]) for text, label in zip(split.texts, split.labels, strict=True)]


def all_rows(dataset: TextDataset) -> set[tuple[str, str]]:
    splits = (dataset.train, dataset.evaluation, dataset.test)
    return {row for split in splits if split is not None for row in named(dataset, split)}


def as_delimited(delimiter: str) -> Callable[[Path], object]:
    lines = [delimiter.join(("text", "label")), *(delimiter.join(row.values()) for row in ROWS)]
    return lambda path: path.write_text("\n".join(lines), encoding="utf-8")


# --- Sources ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("file_name", "write"),
    [
        ("mail.csv", as_delimited(",")),
        ("mail.TSV", as_delimited("\t")),
        ("mail.jsonl", lambda path: write_json_lines(path, ROWS)),
        ("mail.ndjson", lambda path: write_json_lines(path, ROWS)),
        ("mail.json", lambda path: write_json_lines(path, ROWS)),
        ("mail.json", lambda path: path.write_text("\n " + json.dumps(ROWS), encoding="utf-8")),
        ("mail.parquet", lambda path: pq.write_table(pa.Table.from_pylist(ROWS), path)),
    ],
)
def test_each_kind_of_file_gives_the_same_rows(
    tmp_path: Path, file_name: str, write: Callable[[Path], object]
) -> None:
    write(tmp_path / file_name)
    dataset = load(tmp_path / file_name)
    assert dataset.name == "mail"
    assert dataset.label_names == ("ham", "spam")
    assert all_rows(dataset) == {(row["text"], row["label"]) for row in ROWS}
    assert len(dataset.train) + len(dataset.evaluation) == len(ROWS)


def test_csv_text_stays_as_written(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    texts = ["1", "NA", "None", "null", " padded ", "line\nbreak", "é, ü", "2020-01-01", "1.50", "true"]
    lines = "".join(f'"{text}",{"ab"[place % 2]}\n' for place, text in enumerate(texts))
    path.write_bytes(b"\xef\xbb\xbftext,label\n" + lines.encode())
    assert {text for text, _ in all_rows(load(path))} == set(texts)


def test_line_breaks_inside_csv_values_may_fall_between_blocks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lamps_core.text_files._BLOCK_BYTES", 64)
    texts = [f"row {row}\nsecond\n\nlast" for row in range(40)]
    lines = "".join(f'"{text}",{"ab"[place % 2]}\n' for place, text in enumerate(texts))
    (tmp_path / "a.csv").write_text("text,label\n" + lines, encoding="utf-8")
    assert {text for text, _ in all_rows(load(tmp_path / "a.csv"))} == set(texts)


def test_json_strings_that_look_like_dates_stay_as_written(tmp_path: Path) -> None:
    rows = [
        {"text": f"2020-01-{day:02}", "label": "ab"[day % 2], "more": ["2021-02-03"]} for day in range(1, 29)
    ]
    path = write_json_lines(tmp_path / "a.jsonl", rows)
    assert {text for text, _ in all_rows(load(path))} == {row["text"] for row in rows}
    assert ("2020-01-01\nA. 2021-02-03", "b") in all_rows(load(path, "text,more"))


def test_a_value_longer_than_a_megabyte_is_read(tmp_path: Path) -> None:
    rows = [{"text": "x" * 3_000_000 + str(row), "label": "ab"[row % 2]} for row in range(4)]
    path = write_json_lines(tmp_path / "a.jsonl", rows)
    assert len(load(path, test_dataset=str(path)).train) == 4


def test_a_folder_gives_its_splits_and_joins_shards_in_order(tmp_path: Path) -> None:
    folder = tmp_path / "corpus"
    for shard in range(2):
        texts = [f"s{shard}r{row}" for row in range(4)]
        write_parquet(
            folder / f"train-0000{shard}-of-00002.parquet", {"text": texts, "label": ["a", "b"] * 2}
        )
    write_json_lines(folder / "test.jsonl", [{"text": "held", "label": "b"}])
    (folder / "README.md").write_text("not data")
    dataset = load(folder)
    assert dataset.name == "corpus"
    assert dataset.train.texts == tuple(f"s{shard}r{row}" for shard in range(2) for row in range(4))
    assert named(dataset, dataset.evaluation) == [("held", "b")]
    assert (dataset.test, dataset.selection, dataset.notices) == (None, "test", ())


def test_a_test_dataset_of_another_kind_is_tested_on(tmp_path: Path) -> None:
    train = write_json_lines(tmp_path / "a.jsonl", ROWS)
    test = write_parquet(tmp_path / "b.parquet", {"label": ["spam", "ham"], "text": ["x", "y"]})
    dataset = load(train, test_dataset=str(test))
    assert dataset.train.texts == tuple(row["text"] for row in ROWS)
    assert named(dataset, dataset.evaluation) == [("x", "spam"), ("y", "ham")]


@pytest.fixture
def hub_repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A folder laid out as a hub repository, which `load_dataset` reads by its relative path as by an id."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    card = ["---", "configs:"]
    for config in ("one", "two"):
        card += [f"- config_name: {config}", "  data_files:"]
        for split in ("train", "test"):
            labels = [-1] * 6 if split == "test" else [0, 1] * 3
            write_parquet(
                tmp_path / f"org/name/{config}/{split}.parquet",
                {"text": [f"{config} {split} {row}" for row in range(6)], "label": labels},
                names=["no", "yes"],
            )
            card += [f"  - split: {split}", f"    path: {config}/{split}.parquet"]
    (tmp_path / "org/name/README.md").write_text("\n".join([*card, "---"]))
    return "org/name"


@pytest.mark.parametrize(("configs", "rows"), [("one", 6), ("one+two", 12), ("*", 12)])
def test_hub_configurations_are_concatenated_with_their_class_names(
    hub_repository: str, configs: str, rows: int
) -> None:
    assert open_hub(f"{hub_repository}:{configs}").splits == ("train", "test")
    dataset = load(f"{hub_repository}:{configs}")
    assert dataset.name == f"{hub_repository}:{configs}"
    assert dataset.label_names == ("no", "yes")
    assert len(dataset.train) + len(dataset.evaluation) == rows
    assert dataset.notices[0].startswith("the test split has no labels: 20% of the training rows")


def test_configurations_offer_the_splits_they_share(hub_repository: str) -> None:
    card = Path(hub_repository) / "README.md"
    shared = card.read_text()
    card.write_text(shared.replace("split: train\n    path: two", "split: extra\n    path: two"))
    assert open_hub(f"{hub_repository}:one+two").splits == ("test",)
    card.write_text(card.read_text().replace("split: test\n    path: two", "split: other\n    path: two"))
    with pytest.raises(BadInput, match="org/name:one\\+two: its configurations share no split"):
        open_hub(f"{hub_repository}:one+two")


def test_an_unknown_configuration_is_refused_with_those_there_are(hub_repository: str) -> None:
    with pytest.raises(BadInput, match=r"'three' not found.*one.*two"):
        open_hub(f"{hub_repository}:three")


def test_a_hub_that_cannot_be_reached_is_bad_input(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(
        BadInput, match=r"'no-such-org/nothing' is no local file.*check the name, the network"
    ):
        load("no-such-org/nothing")


# --- Text -------------------------------------------------------------------------------------------------

QUESTIONS = {
    "question": ["2 + 2?", "Sky?", "Snow?", "Grass?"],
    "choices": [["3", "4"], ["blue", "red", "green"], [], ["green", None]],
    "subject": [1, 2, None, 4],
    "label": ["B", "A", "A", "B"],
}


@pytest.mark.parametrize(
    ("inputs", "template", "first", "others"),
    [
        ("question", None, "2 + 2?", {"Sky?", "Snow?", "Grass?"}),
        (
            "question,choices",
            None,
            "2 + 2?\nA. 3\nB. 4",
            {"Sky?\nA. blue\nB. red\nC. green", "Snow?\n", "Grass?\nA. green\nB. "},
        ),
        ("question, subject", "{subject}) {question}", "1) 2 + 2?", {"2) Sky?", ") Snow?", "4) Grass?"}),
        (
            "question,choices",
            r"{{Q}} {question}\n{choices}{question}",
            "{Q} 2 + 2?\nA. 3\nB. 42 + 2?",
            {
                "{Q} Sky?\nA. blue\nB. red\nC. greenSky?",
                "{Q} Snow?\nSnow?",
                "{Q} Grass?\nA. green\nB. Grass?",
            },
        ),
    ],
)
def test_columns_become_text_by_the_rule_of_the_request(
    tmp_path: Path, inputs: str, template: str | None, first: str, others: set[str]
) -> None:
    path = write_parquet(tmp_path / "mmlu.parquet", QUESTIONS)
    texts = load(path, inputs, test_dataset=str(path), template=template).train.texts
    assert texts[0] == first
    assert set(texts[1:]) == others


@pytest.mark.parametrize(
    "kind", [pa.list_(pa.string()), pa.large_list(pa.large_string()), pa.list_(pa.string(), 30)]
)
def test_choices_of_every_list_type_are_lettered_past_z(tmp_path: Path, kind: pa.DataType) -> None:
    choices = pa.array([[str(place) for place in range(30)]] * 4, kind)
    path = write_parquet(tmp_path / "a.parquet", {"c": choices, "label": ["a", "b"] * 2})
    lines = load(path, "c", test_dataset=str(path)).train.texts[3].splitlines()
    assert [lines[0], lines[25], lines[26], lines[29]] == ["A. 0", "Z. 25", "AA. 26", "AD. 29"]


def test_sliced_and_chunked_lists_keep_their_rows(tmp_path: Path) -> None:
    folder = tmp_path / "shards"
    for shard in range(3):
        rows = [[f"{shard}-{row}"] * (row % 3) for row in range(4)]
        write_parquet(
            folder / f"train-{shard}-of-3.parquet",
            {"q": ["?"] * 4, "c": pa.array(rows, pa.list_(pa.string())), "label": ["a", "b"] * 2},
        )
    texts = load(folder, "q,c", test_dataset=str(folder), test_split="train").train.texts
    assert texts[5] == "?\nA. 1-1"
    assert texts[10] == "?\nA. 2-2\nB. 2-2"
    assert texts[11] == "?\n"


def test_a_column_whose_name_holds_a_comma_is_one_column(tmp_path: Path) -> None:
    path = write_parquet(tmp_path / "a.parquet", {"a,b": ["x", "y", "z"], "label": ["p", "q", "p"]})
    assert load(path, "a,b", test_dataset=str(path)).train.texts == ("x", "y", "z")


@pytest.mark.parametrize(
    ("template", "wrong"),
    [
        ("{question.__class__}", "{question.__class__}"),
        ("{question!r}", "{question!r}"),
        ("{question:>9}", "{question:>9}"),
        ("{question[0]}", "{question[0]}"),
        ("{label}", "{label}"),
        ("{}", "{}"),
        ("{0}", "{0}"),
        ("{question} {", "{"),
        ("} {question}", "}"),
        ("no column", "holds no input column"),
    ],
)
def test_a_template_that_names_anything_but_an_input_column_is_refused(
    tmp_path: Path, template: str, wrong: str
) -> None:
    path = write_parquet(tmp_path / "a.parquet", QUESTIONS)
    with pytest.raises(BadInput) as caught:
        load(path, "question,choices", template=template)
    assert wrong in str(caught.value)


# --- Labels -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("labels", "names"),
    [
        (["b", "a", "b", "a"], ("a", "b")),
        (["10", "9", "-1", "10"], ("-1", "9", "10")),
        ([10, 9, -1, 10], ("-1", "9", "10")),
        (pa.array([1, 2, 1, 2], pa.uint8()), ("1", "2")),
        ([True, False, True, True], ("false", "true")),
        ([1.0, 0.0, 1.0, float("nan")], ("0", "1")),
        (["1.0", "0.0", "1", ""], ("0", "1")),
        (["1.0", "v1", "1.0", "v1"], ("1.0", "v1")),
        (pa.array(["b", "a", "b", None]).dictionary_encode(), ("a", "b")),
        (pa.array(["b", "a", "b", " "], pa.large_string()), ("a", "b")),
        (pa.array(["b", "a", "b", "a"], pa.string_view()), ("a", "b")),
    ],
)
def test_label_names_are_the_sorted_labels_of_the_train_split(
    tmp_path: Path, labels: Any, names: tuple[str, ...]
) -> None:
    path = write_parquet(tmp_path / "a.parquet", {"text": list("wxyz"), "label": labels})
    dataset = load(path, test_dataset=str(path))
    assert dataset.label_names == names
    assert dataset.train.labels.dtype == np.int64
    assert set(dataset.train.labels.tolist()) == set(range(len(names)))


def test_declared_class_names_are_kept_and_matched_by_name_in_the_test_split(tmp_path: Path) -> None:
    folder = tmp_path / "d"
    write_parquet(folder / "train.parquet", {"text": list("abcd"), "label": [1, 0, 1, -1]}, names=["z", "a"])
    write_parquet(folder / "test.parquet", {"text": ["e", "f"], "label": [1, 0]}, names=["a", "z"])
    dataset = load(folder)
    assert dataset.label_names == ("z", "a")
    assert named(dataset, dataset.train) == [("a", "a"), ("b", "z"), ("c", "a")]
    assert named(dataset, dataset.evaluation) == [("e", "z"), ("f", "a")]
    assert dataset.notices == ("train: dropped 1 rows with no label and 0 with empty text of 4",)


def test_rows_without_label_or_text_are_dropped_and_counted_once(tmp_path: Path) -> None:
    rows: list[dict[str, Any]] = [
        *({"text": f"kept {row}", "label": "ab"[row % 2]} for row in range(5)),
        {"text": "x", "label": None},
        {"text": "x", "label": ""},
        {"text": None, "label": ""},
        {"text": None, "label": "a"},
        {"text": " \n\t", "label": "a"},
    ]
    write_json_lines(tmp_path / "d/train.jsonl", rows)
    write_json_lines(tmp_path / "d/test.jsonl", [*rows[:1], *rows[-1:]])
    dataset = load(tmp_path / "d")
    assert dataset.train.texts == tuple(f"kept {row}" for row in range(5))
    assert dataset.notices == (
        "train: dropped 3 rows with no label and 2 with empty text of 10",
        "test: dropped 0 rows with no label and 1 with empty text of 2",
    )


# --- Bad input --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"text": list("abcd"), "label": [0.5, 1.0, 0.5, 1.0]}, r"'label'.*regression is not supported"),
        ({"text": list("abcd"), "label": [1.0, float("inf"), 1.0, 2.0]}, "regression is not supported"),
        ({"text": list("abcd"), "label": ["0.5", "1", "0.5", "1"]}, "regression is not supported"),
        ({"text": list("abcd"), "label": ["x"] * 4}, "all labels are 'x'"),
        ({"text": list("abcd"), "label": list("wxyz")}, "every row has a label of its own"),
        ({"text": [""] * 4, "label": list("xyxy")}, "no row with both a text and a label"),
        ({"text": list("abcd"), "label": [None] * 4}, "no row with both a text and a label"),
        ({"words": list("abcd"), "label": list("xyxy")}, "no column 'text'; the columns are words, label"),
        ({"text": list("abcd"), "y": list("xyxy")}, "no column 'label'; the columns are text, y"),
        ({"text": [{"a": 1}] * 4, "label": list("xyxy")}, "column 'text' holds struct"),
        ({"text": [[[1]]] * 4, "label": list("xyxy")}, "column 'text' holds list"),
        ({"text": list("abcd"), "label": [["x"]] * 4}, "column 'label' holds list"),
        ({"text": [[{"a": 1}]] * 4, "label": list("xyxy")}, "column 'text' holds struct"),
        ({"text": [True] * 4, "label": list("xyxy")}, "column 'text' holds bool"),
    ],
)
def test_columns_that_make_no_classification_task_are_refused(
    tmp_path: Path, columns: dict[str, Any], message: str
) -> None:
    path = write_parquet(tmp_path / "a.parquet", columns)
    with pytest.raises(BadInput, match=message) as caught:
        load(path, test_dataset=str(path))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("wrong", [7, -2])
def test_a_label_outside_the_declared_class_names_is_refused(tmp_path: Path, wrong: int) -> None:
    path = write_parquet(
        tmp_path / "a.parquet", {"text": list("abc"), "label": [0, 1, wrong]}, names=["n", "y"]
    )
    with pytest.raises(BadInput, match=f"label {wrong} is outside the 2 class names"):
        load(path)


def test_a_test_label_never_seen_in_train_is_refused_with_its_count(tmp_path: Path) -> None:
    train = write_json_lines(tmp_path / "a.jsonl", ROWS)
    test = write_json_lines(
        tmp_path / "b.jsonl",
        [*ROWS[:3], *[{"text": "t", "label": "eggs"}] * 2, {"text": "t", "label": "oil"}],
    )
    with pytest.raises(BadInput, match=r"test \(b\): label 'eggs' \(2 rows\), 'oil' \(1 rows\)"):
        load(train, test_dataset=str(test))


@pytest.mark.parametrize(
    ("file_name", "content", "message"),
    [
        ("a.txt", b"hello", "cannot read .txt; use .csv"),
        ("a", b"hello", "a file without suffix"),
        ("a.csv", b"", "the file is empty"),
        ("a.jsonl", b"", "the file is empty"),
        ("a.parquet", b"", "the file is empty"),
        ("a.csv", b"text,label\n", "no row with both a text and a label"),
        ("a.csv", b"text,label\nx\xff,y\n", "not UTF-8"),
        ("a.csv", b"te\xffxt,label\nx,y\n", "not UTF-8"),
        ("a.jsonl", b'{"text": "x\xff", "label": "y"}\n', "not UTF-8"),
        ("a.json", b'[{"text": "x\xff", "label": "y"}]\n', "not UTF-8"),
        ("a.csv", "text,label\nx,y\n".encode("utf-16"), "a.csv"),
        ("a.csv", b"text,label\nx,y,z\n", "cannot be read as csv .*Expected 2 columns, got 3"),
        ("a.csv", b"text,text,label\nx,y,z\n", "2 columns are called 'text'"),
        ("a.jsonl", b'{"text": "x"\n', "cannot be read as jsonl"),
        ("a.json", b'[{"text": "x"}, 3]', "not an object"),
        ("a.json", b'[{"text": "x"}', "cannot be read as json"),
        ("a.parquet", b"PAR1 not really", "cannot be read as parquet"),
    ],
)
def test_a_file_that_cannot_be_read_is_refused_by_name(
    tmp_path: Path, file_name: str, content: bytes, message: str
) -> None:
    (tmp_path / file_name).write_bytes(content)
    with pytest.raises(BadInput, match=message) as caught:
        load(tmp_path / file_name)
    assert "\n" not in str(caught.value)


def test_a_parquet_file_with_a_damaged_page_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    table = pa.table({"text": [f"text {row}" for row in range(3000)], "label": list("ab") * 1500})
    pq.write_table(table, path, compression="zstd", use_dictionary=False)
    content = bytearray(path.read_bytes())
    content[500:4000] = bytes(3500)
    path.write_bytes(content)
    with pytest.raises(BadInput, match=r"a\.parquet: cannot be read as parquet"):
        load(path)


@pytest.mark.parametrize("name", ["missing.csv", "./missing", "a/b/c"])
def test_a_path_that_does_not_exist_is_refused_without_asking_the_hub(name: str) -> None:
    with pytest.raises(BadInput, match=f"dataset {name}: no such file or folder"):
        load(name)


@pytest.mark.parametrize("name", ["csv", "a/b:c:d", ""])
def test_a_name_that_is_no_hub_id_is_refused(name: str) -> None:
    with pytest.raises(BadInput, match="no hub id such as org/name"):
        open_hub(name)


def test_folders_without_usable_splits_are_refused(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(BadInput, match="empty: no train or test file"):
        load(tmp_path / "empty")
    for name in ("test.jsonl", "extra.jsonl"):
        write_json_lines(tmp_path / "trainless" / name, ROWS)
    with pytest.raises(BadInput, match="no split 'train'; its splits are extra, test"):
        load(tmp_path / "trainless")
    for name in ("train.jsonl", "train.json"):
        write_json_lines(tmp_path / "twice" / name, ROWS)
    with pytest.raises(BadInput, match=r"more than one file for split 'train' \(train.json, train.jsonl\)"):
        load(tmp_path / "twice")


def test_shards_that_do_not_go_together_are_refused(tmp_path: Path) -> None:
    write_parquet(tmp_path / "train-0-of-2.parquet", {"text": ["a"], "label": [0]}, names=["n", "y"])
    write_parquet(tmp_path / "train-1-of-2.parquet", {"text": ["a"], "label": [0]}, names=["y", "n"])
    with pytest.raises(BadInput, match=r"train-1-of-2.parquet and train-0-of-2.parquet differ"):
        load(tmp_path)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"max_train_rows": 0}, "--max-train-rows must be at least 1, not 0"),
        ({"inputs": "text,label"}, "'label' is both input and target"),
        ({"selection_split": "0"}, "selection split 0: a share must be above 0"),
        ({"selection_split": "0.5"}, "selection split 0.5: a share must be .* below 0.5"),
        ({"selection_split": "-0.1"}, "selection split -0.1: a share"),
        ({"selection_split": "10%"}, "selection split 10%: a share"),
        ({"selection_split": "1.2.3"}, r"selection split 1.2.3: a share .* \(train\)"),
        ({"selection_split": "validation"}, "no split 'validation'; its splits are train"),
        ({"selection_split": "train"}, "'train' is already the training split"),
        ({"test_split": "held"}, "no split 'held'; its splits are train"),
        ({"test_split": "train"}, "'train' is the training split"),
        ({"train_split": "all"}, "no split 'all'; its splits are train"),
    ],
)
def test_options_that_fit_no_split_are_refused(tmp_path: Path, options: dict[str, Any], message: str) -> None:
    with pytest.raises(BadInput, match=message):
        load(write_json_lines(tmp_path / "a.jsonl", ROWS), **options)


def test_too_few_rows_to_reserve_a_share_are_refused(tmp_path: Path) -> None:
    path = write_json_lines(tmp_path / "a.jsonl", ROWS[:3])
    with pytest.raises(BadInput, match="3 training rows are too few to reserve 10%"):
        load(path, test_dataset=str(path), selection_split="0.1")


# --- Splits -----------------------------------------------------------------------------------------------


def test_without_a_test_split_a_fifth_is_reserved_stratified_disjoint_and_seeded(tmp_path: Path) -> None:
    rows = [{"text": f"t{row}", "label": "rare" if row % 10 == 0 else "common"} for row in range(200)]
    path = write_json_lines(tmp_path / "a.jsonl", rows)
    dataset = load(path)
    assert sorted(np.bincount(dataset.evaluation.labels).tolist()) == [4, 36]
    assert sorted(np.bincount(dataset.train.labels).tolist()) == [16, 144]
    assert not set(dataset.train.texts) & set(dataset.evaluation.texts)
    places = [int(text[1:]) for text in dataset.train.texts]
    assert places == sorted(places)
    assert any("20% of the training rows are reserved" in notice for notice in dataset.notices)
    assert load(path).fingerprint == dataset.fingerprint
    assert set(load(path, seed=1).evaluation.texts) != set(dataset.evaluation.texts)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(1, 9), min_size=2, max_size=30), st.integers(0, 99))
@example([1] * 20 + [2], 0)
def test_a_reserve_never_takes_the_last_row_of_a_class(class_rows: list[int], seed: int) -> None:
    labels = np.repeat(np.arange(len(class_rows)), class_rows)
    split = TextSplit(tuple(map(str, range(len(labels)))), labels)
    assume(max(class_rows) > 1 and round(0.2 * len(labels)) > 0)
    kept, reserved = reserve_rows(split, 0.2, seed=seed, purpose="the test split")
    assert set(kept.labels.tolist()) == set(range(len(class_rows)))
    assert sorted(kept.texts + reserved.texts) == sorted(split.texts)


@pytest.mark.parametrize(
    ("splits", "labelled", "expected", "notice"),
    [
        (("validation", "test"), {"validation", "test"}, "test", None),
        (
            ("validation", "test"),
            {"validation"},
            "validation",
            "the test split has no labels: split 'validation' is used",
        ),
        (("dev",), {"dev"}, "dev", "there is no test split: split 'dev' is used"),
        (("test",), set(), None, "the test split has no labels: 20% of the training rows"),
        ((), set(), None, "there is no test split: 20% of the training rows"),
        (("validation_matched",), {"validation_matched"}, None, "there is no test split"),
    ],
)
def test_the_test_split_is_the_first_labelled_of_test_and_validation(
    splits: tuple[str, ...], labelled: set[str], expected: str | None, notice: str | None
) -> None:
    chosen, notices = choose_test(splits, labelled=labelled.__contains__)
    assert chosen == expected
    assert [text.startswith(notice or "?") for text in notices] == [True] * (notice is not None)


def test_a_test_file_without_the_target_column_falls_back_to_validation(tmp_path: Path) -> None:
    write_json_lines(tmp_path / "train.jsonl", ROWS)
    write_json_lines(tmp_path / "dev.jsonl", ROWS[:4])
    write_json_lines(tmp_path / "test.jsonl", [{"text": "unlabelled"}])
    dataset = load(tmp_path)
    assert dataset.evaluation.texts == tuple(row["text"] for row in ROWS[:4])
    assert dataset.notices == ("the test split has no labels: split 'dev' is used as the test split",)
    with pytest.raises(BadInput, match=r"'dev' is already the test split .*dev, test, train"):
        load(tmp_path, selection_split="validation")


def test_dev_valid_val_and_validation_are_one_name() -> None:
    assert find_split(("train", "dev"), "validation") == "dev"
    assert find_split(("validation", "val"), "val") == "val"
    assert find_split(("train", "test"), "valid") is None


def test_a_named_selection_split_is_evaluated_on_and_the_test_split_kept(tmp_path: Path) -> None:
    for split, rows in (("train", ROWS), ("dev", ROWS[:4]), ("test", ROWS[4:9]), ("hard", ROWS[9:12])):
        write_json_lines(tmp_path / f"{split}.jsonl", rows)
    for wanted, found, rows in (("validation", "dev", ROWS[:4]), ("hard", "hard", ROWS[9:12])):
        dataset = load(tmp_path, selection_split=wanted)
        assert dataset.selection == found
        assert dataset.evaluation.texts == tuple(row["text"] for row in rows)
        assert dataset.test is not None
        assert dataset.test.texts == tuple(row["text"] for row in ROWS[4:9])
        assert len(dataset.train) == 30


def test_a_share_is_held_out_of_the_training_rows_for_selection(tmp_path: Path) -> None:
    write_json_lines(tmp_path / "train.jsonl", ROWS)
    write_json_lines(tmp_path / "test.jsonl", [{"text": "t", "label": "ham"}])
    dataset = load(tmp_path, selection_split="0.1")
    assert dataset.selection == "validation (0.1 of the training rows)"
    assert sorted(named(dataset, dataset.evaluation)) != []
    assert np.bincount(dataset.evaluation.labels).tolist() == [2, 1]
    assert sorted(dataset.train.texts + dataset.evaluation.texts) == sorted(row["text"] for row in ROWS)
    assert named(dataset, dataset.test) == [("t", "ham")]


def test_the_cap_on_training_rows_is_stratified_and_comes_after_the_reserves(tmp_path: Path) -> None:
    path = write_json_lines(tmp_path / "a.jsonl", ROWS)
    whole, capped = load(path), load(path, max_train_rows=6)
    assert capped.evaluation.texts == whole.evaluation.texts
    assert np.bincount(capped.train.labels).tolist() == [4, 2]
    assert set(capped.train.texts) < set(whole.train.texts)
    assert capped.notices[-1] == "train: 6 of 24 rows used, stratified, as --max-train-rows asks"
    assert load(path, max_train_rows=10**6).fingerprint == whole.fingerprint


# --- Prepared ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("selection_split", [None, "0.2"])
def test_a_prepared_dataset_comes_back_as_it_was(tmp_path: Path, selection_split: str | None) -> None:
    rows = [{**row, "text": row["text"] + " é\n☃"} for row in ROWS]
    dataset = load(write_json_lines(tmp_path / "a.jsonl", rows), selection_split=selection_split)
    save_prepared(dataset, tmp_path / "new" / "prepared")
    back = load_prepared(tmp_path / "new" / "prepared")
    for field in dataclasses.fields(TextDataset):
        before, after = getattr(dataset, field.name), getattr(back, field.name)
        if isinstance(before, TextSplit):
            assert named(back, after) == named(dataset, before)
            assert after.labels.dtype == np.int64
        else:
            assert after == before


def test_preparing_again_replaces_the_dataset_and_leaves_no_draft(tmp_path: Path) -> None:
    path = write_json_lines(tmp_path / "a.jsonl", ROWS)
    for seed in (0, 1):
        save_prepared(load(path, seed=seed), tmp_path / "prepared")
    assert load_prepared(tmp_path / "prepared").fingerprint == load(path, seed=1).fingerprint
    assert not [name for name in (tmp_path / "prepared").iterdir() if name.name.startswith(".")]


def test_the_fingerprint_changes_with_every_part_of_the_dataset(tmp_path: Path) -> None:
    changes: list[dict[str, Any]] = [
        {},
        {"seed": 1},
        {"max_train_rows": 9},
        {"selection_split": "0.1"},
        {"template": "{text}!"},
    ]
    path = write_json_lines(tmp_path / "a.jsonl", ROWS)
    other = write_json_lines(tmp_path / "b.jsonl", [*ROWS[:-1], {"text": "changed", "label": "ham"}])
    prints = [load(path, **change).fingerprint for change in changes] + [load(other).fingerprint]
    assert len(set(prints)) == len(prints)
    assert all(len(fingerprint) == 64 for fingerprint in prints)


@pytest.mark.parametrize("damage", ["missing", "no rows", "other version", "not json", "short", "elsewhere"])
def test_a_damaged_prepared_folder_is_refused_with_its_mend(tmp_path: Path, damage: str) -> None:
    folder = tmp_path / "prepared"
    save_prepared(load(write_json_lines(tmp_path / "a.jsonl", ROWS)), folder)
    description = folder / "dataset.json"
    described = json.loads(description.read_text(encoding="utf-8"))
    if damage == "missing":
        description.unlink()
    elif damage == "no rows":
        (folder / described["rows_file"]).unlink()
    elif damage == "not json":
        description.write_text("{")
    else:
        # Whole and readable, yet not to be read: it lies outside the folder.
        (tmp_path / "elsewhere.parquet").write_bytes((folder / described["rows_file"]).read_bytes())
        change = {"short": {"split_rows": [3, 4]}, "other version": {"version": 0}}
        described |= change.get(damage, {"rows_file": "../elsewhere.parquet"})
        description.write_text(json.dumps(described))
    with pytest.raises(BadInput, match=r"prepared: no usable prepared dataset .*delete the folder"):
        load_prepared(folder)


def test_reading_a_prepared_dataset_imports_no_heavy_library(tmp_path: Path) -> None:
    save_prepared(load(write_json_lines(tmp_path / "a.jsonl", ROWS)), tmp_path / "prepared")
    program = (
        "import sys; from pathlib import Path; from lamps_core.text_data import load_prepared; "
        "load_prepared(Path(sys.argv[1])); "
        "print(*{'datasets', 'pandas', 'torch', 'transformers'} & set(sys.modules))"
    )
    ran = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path / "prepared")],
        capture_output=True,
        text=True,
        check=True,
    )
    assert ran.stdout.strip() == ""

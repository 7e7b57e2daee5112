from __future__ import annotations

from typing import TYPE_CHECKING

import datasets
import pytest

from lamps_core.errors import BadInput
from lamps_core.text.folders import open_local
from lamps_core.text.splits import find_split
from tests.text_datasets import NEW_ROWS, ROWS, load, named, write_json_lines, write_parquet

if TYPE_CHECKING:
    from pathlib import Path


def write_csv(path: Path, *texts: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("text,label\n" + "".join(f"{text},{text[0]}\n" for text in texts))


def texts_of(folder: Path, part: str) -> list[str] | None:
    source = open_local(folder)
    split = find_split(source.splits, part, source.parts)
    return None if split is None else source.read(split)["text"].to_pylist()


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
    assert (dataset.test, dataset.selection) == (None, "test")
    assert dataset.notices == ("the evaluation split holds one class only: its accuracy says little",)


# --- Bad input --------------------------------------------------------------------------------------------


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
    with pytest.raises(
        BadInput, match=r"'label' differs in .* between train-0-of-2.parquet and train-1-of-2"
    ):
        load(tmp_path)


def test_shards_whose_other_columns_differ_are_read(tmp_path: Path) -> None:
    columns: list[dict[str, object]] = [
        {"extra": [1], "score": 1},
        {"extra": ["x"], "score": 2.5},
        {"extra": ["x", 3], "score": "x"},
    ]
    for shard, extra in enumerate(columns):
        write_json_lines(tmp_path / f"train-{shard}-of-3.jsonl", [row | extra for row in ROWS])
    dataset = load(tmp_path)
    assert len(dataset.train) + len(dataset.evaluation) == 3 * len(ROWS)
    with pytest.raises(BadInput, match=r"'score' differs in type or class names .*: save both alike"):
        load(tmp_path, "text,score")
    with pytest.raises(BadInput, match=r"'extra' differs in type or class names .*: save both alike"):
        load(tmp_path, "text,extra")


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["train-00000-of-00003"], "2 of 3 are missing, train-00001-of-00003 first; add"),
        (["train-1-of-2"], "1 of 2 are missing, train-0-of-2 first; add"),
        (["train-0-of-9999999999"], "9999999998 of 9999999999 are missing, train-1-of-9999999999 first"),
        (["train-0-of-2", "train-1-of-2", "train-01-of-02"], "number 1 is there twice; keep one"),
        (["train-0-of-1", "train-0-of-2", "train-1-of-2"], "they are of 1 and of 2; keep those of one count"),
        (
            ["train-0-of-2", "train-1-of-2", "train-2-of-2"],
            "number 2 is not below the count, 2; remove or rename",
        ),
        (["train-1-of-0"], "number 1 is not below the count, 0"),
    ],
)
def test_shards_that_are_missing_or_doubled_are_refused(
    tmp_path: Path, names: list[str], message: str
) -> None:
    for name in names:
        write_json_lines(tmp_path / f"{name}.jsonl", ROWS)
    with pytest.raises(BadInput, match=f"shards of split 'train': {message}"):
        load(tmp_path)


@pytest.mark.parametrize(
    "names",
    [
        ["train.csv", "test.csv", "dev.csv"],
        ["training.csv", "testing.csv"],
        ["train.csv", "eval.csv"],
        ["train.csv", "evaluation.csv", "valid.csv"],
        ["reviews_train.csv", "reviews_test.csv", "reviews-dev.csv"],
        ["data/train.csv", "data/test.csv"],
        ["data/train-00000-of-00002.csv", "data/train-00001-of-00002.csv", "data/test-00000-of-00001.csv"],
        ["data/train-00000-of-00001.csv", "data/unsupervised-00000-of-00001.csv"],
        ["plain_text/train-00000-of-00001.csv", "plain_text/test-00000-of-00001.csv"],
        ["train/a.csv", "train/b.csv", "test/a.csv"],
        ["reviews_train/part_10.csv", "reviews_train/part_2.csv", "reviews_val/x.csv"],
        ["train/b.csv", "train/train-00000-of-00001.csv", "eval/test.csv"],
        ["train/a.csv", "archive/test.csv"],
        ["train.csv", "latest.csv"],
        ["train.csv", "contest.csv"],
        ["train.csv", ".test.csv", ".cache/test.csv", "__pycache__/dev.csv"],
    ],
)
def test_the_splits_of_a_folder_are_those_that_datasets_finds(tmp_path: Path, names: list[str]) -> None:
    folder = tmp_path / "reviews"
    for name in names:
        write_csv(folder / name, f"a of {name}", f"b of {name}")
    (folder / "README.md").write_text("no data")
    loaded = datasets.load_dataset(str(folder), cache_dir=str(tmp_path / "cache"))
    assert "train" in loaded
    for part in ("train", "validation", "test"):
        assert texts_of(folder, part) == (list(loaded[part]["text"]) if part in loaded else None)


def test_the_only_split_that_bears_a_word_plays_its_part_and_is_named(tmp_path: Path) -> None:
    write_json_lines(tmp_path / "reviews_train.jsonl", ROWS)
    write_json_lines(tmp_path / "reviews_test.jsonl", NEW_ROWS[:4])
    write_json_lines(tmp_path / "reviews_dev.jsonl", ROWS[4:9])
    dataset = load(tmp_path)
    assert len(dataset.train) == 30
    assert dataset.evaluation.texts == tuple(row["text"] for row in NEW_ROWS[:4])
    assert dataset.notices == ("split 'reviews_test' is used as the test split",)
    for wanted in ("validation", "reviews_dev"):
        selecting = load(tmp_path, selection_split=wanted)
        assert selecting.selection == "reviews_dev"
        assert selecting.evaluation.texts == tuple(row["text"] for row in ROWS[4:9])


@pytest.mark.parametrize(
    ("beside", "test"),
    [
        (["test.jsonl", "eval.jsonl", "my_test.jsonl", "test/a.jsonl"], "test.jsonl"),
        (["eval.jsonl", "my_test.jsonl"], "eval.jsonl"),
        (["test/a.jsonl", "eval-results/a.jsonl"], "test/a.jsonl"),
        (["dev.jsonl", "validation/a.jsonl", "archive/test.jsonl"], "dev.jsonl"),
        (["train_old.jsonl", "data/train.jsonl", "train/a.jsonl", "eval-results/a.jsonl"], None),
        (["test_a.jsonl", "test_b.jsonl", "test/a.jsonl", "extra.jsonl"], None),
    ],
)
def test_a_name_that_is_the_word_comes_before_longer_names_and_other_folders(
    tmp_path: Path, beside: list[str], test: str | None
) -> None:
    write_json_lines(tmp_path / "train.jsonl", ROWS)
    for name in beside:
        write_json_lines(tmp_path / name, [{"text": name, "label": "ham"}])
    dataset = load(tmp_path)
    assert ROWS[0]["text"] in dataset.train.texts + dataset.evaluation.texts
    assert dataset.evaluation.texts == (test,) if test else len(dataset.evaluation) == 6


@pytest.mark.parametrize(
    ("name", "beside"),
    [
        ("mail", "train"),
        ("mail", "data"),
        ("my_train", "train"),
        ("test", "eval-results"),
        ("dev", "data"),
    ],
)
def test_a_lone_file_is_the_dataset_whatever_lies_beside_it(tmp_path: Path, name: str, beside: str) -> None:
    write_json_lines(tmp_path / f"{name}.jsonl", ROWS)
    alone = load(tmp_path)
    write_json_lines(tmp_path / beside / "a.jsonl", ROWS[:4])
    write_json_lines(tmp_path / "out" / "result.json", ROWS[:4])
    write_json_lines(tmp_path / "dataset_info.json", [{"features": {}}])
    assert load(tmp_path).fingerprint == alone.fingerprint


@pytest.mark.parametrize("name", ["eval", "testing", "reviews_test", "reviews_dev"])
def test_what_is_named_to_select_on_is_not_tested_on(tmp_path: Path, name: str) -> None:
    write_json_lines(tmp_path / "train.jsonl", ROWS)
    write_json_lines(tmp_path / f"{name}.jsonl", ROWS[:4])
    dataset = load(tmp_path, selection_split=name)
    assert dataset.selection == name
    assert dataset.test is not None
    assert len(dataset.test) == 6
    assert dataset.notices[0].startswith("there is no test split: 6 of 30 training rows")


def test_splits_that_are_not_tested_on_are_named_where_rows_are_reserved(tmp_path: Path) -> None:
    for name in ("train", "test_a", "test_b"):
        write_json_lines(tmp_path / f"{name}.jsonl", ROWS)
    assert load(tmp_path).notices == (
        "there is no test split among the others (test_a, test_b): 6 of 30 training rows are reserved, stratified, "
        "as the test split",
    )
    assert load(tmp_path, selection_split="test_a").selection == "test_a"


def test_a_test_file_under_a_longer_name_without_labels_is_named(tmp_path: Path) -> None:
    write_json_lines(tmp_path / "train.jsonl", ROWS)
    write_json_lines(tmp_path / "eval_results.json", [{"eval_loss": 0.5}])
    (notice,) = load(tmp_path).notices
    assert notice.startswith("the test split 'eval_results' has no column 'label', but eval_loss: 6 of 30")


def test_metadata_is_no_split(tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path / "train"):
        for name in ("dataset_info.json", "dataset_dict.json", "state.json", "config.json"):
            write_json_lines(folder / name, [{"splits": ["train"]}])
    with pytest.raises(BadInput, match=r"no train or test file in this folder, which holds config\.json, "):
        load(tmp_path)
    write_json_lines(tmp_path / "train" / "a.jsonl", ROWS)
    assert len(load(tmp_path).train) == 24


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["notes.txt", "a/b.txt"], "which holds a/, notes.txt; a split is one file or folder named for it"),
        (["1.txt", "2.txt", "3.txt", "4.txt", "5.txt"], "which holds 1.txt, 2.txt, 3.txt, 4.txt and 1 more;"),
        ([".hidden.csv"], "which holds nothing;"),
        (["a.csv", "b.csv"], "no split 'train'; its splits are a, b; a split is one file or folder named"),
        (["train_0.csv", "train_1.csv"], "no split 'train'; its splits are train_0, train_1; a split is one"),
        (
            ["train/a.csv", "train/b.jsonl"],
            r"more than one kind of file for split 'train' \(a.csv, b.jsonl\)",
        ),
        (
            ["train/a-0-of-2.csv", "train/b.csv"],
            "shards of split 'train': 1 of 2 are missing, a-1-of-2 first",
        ),
        (
            ["data/train.csv", "data/train.jsonl"],
            r"split 'train' \(data/train.csv, data/train.jsonl\); keep one",
        ),
        (["data/train-0-of-2.csv"], "shards of split 'train': 1 of 2 are missing, train-1-of-2 first"),
        (
            ["cola/train-0-of-1.csv", "sst2/train-0-of-1.csv"],
            r"split 'train' is in more than one folder \(cola, sst2\); give one of them as the dataset",
        ),
    ],
)
def test_folders_that_do_not_give_one_split_are_refused_in_words_that_help(
    tmp_path: Path, names: list[str], message: str
) -> None:
    for name in names:
        write_csv(tmp_path / name, "a", "b")
    with pytest.raises(BadInput, match=message):
        load(tmp_path)


def test_a_folder_that_cannot_be_read_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(folder: Path) -> None:
        raise PermissionError(13, "Permission denied", str(folder))

    monkeypatch.setattr("pathlib.Path.iterdir", refuse)
    with pytest.raises(BadInput, match="the folder cannot be read: Permission denied"):
        load(tmp_path)

from __future__ import annotations

import csv
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from lamps_core.errors import BadInput
from lamps_core.text.dataset import TextSplit
from lamps_core.text.splits import choose_test, find_split, reserve_rows
from tests.text_datasets import NEW_ROWS, ROWS, load, named, write_json_lines, write_parquet

if TYPE_CHECKING:
    from pathlib import Path


def test_without_a_test_split_a_fifth_is_reserved_stratified_disjoint_and_seeded(tmp_path: Path) -> None:
    rows = [{"text": f"t{row}", "label": "rare" if row % 10 == 0 else "common"} for row in range(200)]
    path = write_json_lines(tmp_path / "a.jsonl", rows)
    dataset = load(path)
    assert sorted(np.bincount(dataset.evaluation.labels).tolist()) == [4, 36]
    assert sorted(np.bincount(dataset.train.labels).tolist()) == [16, 144]
    assert not set(dataset.train.texts) & set(dataset.evaluation.texts)
    places = [int(text[1:]) for text in dataset.train.texts]
    assert places == sorted(places)
    notice = "there is no test split: 40 of 200 training rows are reserved, stratified, as the test split"
    assert dataset.notices == (notice,)
    assert load(path).fingerprint == dataset.fingerprint
    assert set(load(path, seed=1).evaluation.texts) != set(dataset.evaluation.texts)


def test_the_rows_that_are_reserved_are_counted_where_most_classes_have_one(tmp_path: Path) -> None:
    rows = [{"text": f"t{row}", "label": f"class {min(row, 148)}"} for row in range(150)]
    path = write_json_lines(tmp_path / "a.jsonl", rows)
    assert "no test split: 1 of 150 training rows is reserved, stratified" in load(path).notices[0]
    notices = load(path, selection_split="0.1", test_dataset=str(path)).notices
    told = "only 1 of 150 training rows is reserved for selection: a class keeps its last row to train on"
    assert told in notices


@settings(max_examples=50)
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
        (("dev", "eval"), {"dev", "eval"}, "eval", "split 'eval' is used as the test split"),
        (("eval", "test"), {"eval", "test"}, "test", None),
        (("dev", "eval"), {"dev"}, "dev", "the test split 'eval' has no labels: split 'dev' is used"),
        (("test",), set(), None, "the test split has no labels"),
        ((), set(), None, "there is no test split"),
        (
            ("validation_matched",),
            {"validation_matched"},
            None,
            "there is no test split among the others (validation_matched)",
        ),
    ],
)
def test_the_test_split_is_the_first_labelled_of_test_and_validation(
    splits: tuple[str, ...], labelled: set[str], expected: str | None, notice: str | None
) -> None:
    chosen, told = choose_test(splits, lacks=lambda split: None if split in labelled else "has no labels")
    assert chosen == expected
    assert (told or "").startswith(notice or "")
    assert (told is None) == (notice is None)


def test_a_test_file_without_the_target_column_falls_back_to_validation(tmp_path: Path) -> None:
    write_json_lines(tmp_path / "train.jsonl", ROWS)
    write_json_lines(tmp_path / "dev.jsonl", NEW_ROWS[:4])
    write_json_lines(tmp_path / "test.jsonl", [{"text": "unlabelled"}])
    dataset = load(tmp_path)
    assert dataset.evaluation.texts == tuple(row["text"] for row in NEW_ROWS[:4])
    told = "the test split has no column 'label', but text: split 'dev' is used as the test split"
    assert dataset.notices == (told,)
    selecting = load(tmp_path, selection_split="validation")  # which leaves no split to test on
    assert selecting.evaluation.texts == dataset.evaluation.texts
    assert selecting.test is not None
    assert len(selecting.test) == 6
    assert len(selecting.train) == 24


def test_a_test_file_whose_target_column_is_misspelt_is_refused(tmp_path: Path) -> None:
    write_json_lines(tmp_path / "train.jsonl", ROWS)
    write_json_lines(tmp_path / "test.jsonl", [{"text": row["text"], "lable": row["label"]} for row in ROWS])
    with pytest.raises(
        BadInput, match=r"'test' has no column 'label', but text, lable \(did you mean lable\?\)"
    ):
        load(tmp_path)


def test_a_test_file_without_rows_is_named_as_such(tmp_path: Path) -> None:
    for name, rows in (("train.csv", ROWS), ("test.csv", [])):
        with (tmp_path / name).open("w") as file:
            writer = csv.DictWriter(file, ("text", "label"))
            writer.writeheader()
            writer.writerows(rows)
    assert load(tmp_path).notices[0].startswith("the test split has no rows: 6 of 30 training rows")


def test_the_words_of_a_part_are_one_name() -> None:
    assert find_split(("training", "testing"), "train") == "training"
    assert find_split(("evaluation", "testing"), "test") == "testing"
    assert find_split(("my_test", "latest"), "test") is None
    assert find_split(("my_test", "latest"), "eval", {"test": "my_test"}) == "my_test"
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


@pytest.mark.parametrize("final", [{"test_dataset": "other.jsonl"}, {"test_split": "dev"}])
def test_a_split_called_test_that_only_selects_is_not_told_as_the_test_split(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, final: dict[str, Any]
) -> None:
    monkeypatch.chdir(tmp_path)
    for split, rows in (("train", ROWS), ("test", ROWS[:4]), ("dev", ROWS[4:9])):
        write_json_lines(tmp_path / f"d/{split}.jsonl", rows)
    write_json_lines(tmp_path / "other.jsonl", ROWS[4:9])
    dataset = load("d", selection_split="test", **final)
    assert dataset.selection == "the split called 'test'"
    assert dataset.evaluation.texts == tuple(row["text"] for row in ROWS[:4])
    assert dataset.test is not None
    assert dataset.test.texts == tuple(row["text"] for row in ROWS[4:9])
    assert load("d", **final).selection == "test"


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


def test_classes_that_the_cap_leaves_without_a_row_are_counted(tmp_path: Path) -> None:
    rows = [{"text": f"t{row}", "label": f"class {row % 5}"} for row in range(50)]
    path = write_json_lines(tmp_path / "a.jsonl", rows)
    notice = "train: 2 of 5 classes have no row left to train on; raise --max-train-rows"
    assert load(path, max_train_rows=3).notices[-1] == notice
    assert not any("no row left" in text for text in load(path, max_train_rows=5).notices)


def test_a_split_of_one_class_is_noted_under_the_part_it_plays(tmp_path: Path) -> None:
    write_json_lines(tmp_path / "train.jsonl", ROWS)
    write_json_lines(tmp_path / "dev.jsonl", NEW_ROWS[:4])
    write_json_lines(tmp_path / "test.jsonl", NEW_ROWS[4:5])
    notice = "the {} split holds one class only: its accuracy says little"
    assert load(tmp_path).notices == (notice.format("evaluation"),)
    assert load(tmp_path, selection_split="dev").notices == (notice.format("test"),)
    assert load(tmp_path, test_split="dev").notices == ()


@pytest.mark.usefixtures("few_rows_noted")
def test_a_split_of_few_rows_is_noted_with_what_it_can_tell_apart(tmp_path: Path) -> None:
    write_json_lines(tmp_path / "train.jsonl", ROWS)
    write_json_lines(tmp_path / "dev.jsonl", NEW_ROWS[:16])
    enough = [{"text": f"other {row}", "label": "ham" if row % 2 else "spam"} for row in range(100)]
    write_json_lines(tmp_path / "test.jsonl", enough)
    assert load(tmp_path).notices == ()
    told = "the {} split has {} only: accuracies less than {} apart can differ by chance alone"
    assert load(tmp_path, selection_split="dev").notices == (told.format("evaluation", "16 rows", 0.25),)
    write_json_lines(tmp_path / "test.jsonl", enough[:99])
    assert load(tmp_path, selection_split="dev").notices == (
        told.format("evaluation", "16 rows", 0.25),
        told.format("test", "99 rows", 0.1),
    )


def test_rows_that_are_tested_on_and_trained_on_are_counted(tmp_path: Path) -> None:
    train = write_json_lines(tmp_path / "train.jsonl", ROWS)
    told = "the text of {} rows of the {} split is that of a training row too: what is measured there says"
    (notice,) = load(train, test_dataset=str(train)).notices
    assert notice.startswith(told.format("30 of 30", "evaluation"))
    repeated = write_json_lines(tmp_path / "repeated.jsonl", ROWS * 3)
    _, notice = load(repeated).notices
    assert notice.startswith(told.format("18 of 18", "evaluation"))
    write_json_lines(tmp_path / "d/train.jsonl", ROWS)
    write_json_lines(tmp_path / "d/dev.jsonl", NEW_ROWS)
    write_json_lines(tmp_path / "d/test.jsonl", [*ROWS[:3], *NEW_ROWS])
    (notice,) = load(tmp_path / "d", selection_split="dev").notices
    assert notice.startswith(told.format("3 of 33", "test"))


@pytest.mark.parametrize(("repeated", "noted"), [(0, False), (1, False), (2, True)])
def test_one_text_in_a_hundred_may_be_trained_on_too(tmp_path: Path, repeated: int, noted: bool) -> None:
    train = write_json_lines(tmp_path / "train.jsonl", ROWS)
    new = [{"text": f"new {row}", "label": "ham" if row % 2 else "spam"} for row in range(100 - repeated)]
    test = write_json_lines(tmp_path / "test.jsonl", [*ROWS[:repeated], *new])
    assert (load(train, test_dataset=str(test)).notices != ()) == noted


def test_a_test_dataset_of_another_kind_is_tested_on(tmp_path: Path) -> None:
    train = write_json_lines(tmp_path / "a.jsonl", ROWS)
    test = write_parquet(tmp_path / "b.parquet", {"label": ["spam", "ham"], "text": ["x", "y"]})
    dataset = load(train, test_dataset=str(test))
    assert dataset.train.texts == tuple(row["text"] for row in ROWS)
    assert named(dataset, dataset.evaluation) == [("x", "spam"), ("y", "ham")]


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


# --- Bad input --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["", "  "])
def test_an_empty_name_is_not_the_current_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    write_json_lines(tmp_path / "train.jsonl", ROWS)
    monkeypatch.chdir(tmp_path)
    assert len(load(".").train)
    with pytest.raises(BadInput, match="the name of a dataset is empty"):
        load(name)


@pytest.mark.parametrize("name", ["missing.csv", "./missing", "a/b/c"])
def test_a_path_that_does_not_exist_is_refused_without_asking_the_hub(name: str) -> None:
    with pytest.raises(BadInput, match=f"dataset {name}: no such file or folder"):
        load(name)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"max_train_rows": 0}, "--max-train-rows must be at least 1, not 0"),
        ({"inputs": "text,label"}, "'label' is both input and target"),
        ({"inputs": "text, text"}, "input column 'text' is given more than once"),
        ({"test_dataset": " "}, "the name of a dataset is empty"),
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

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from lamps_core.errors import BadInput
from lamps_core.text.columns import Rows, encode_labels
from tests.text_datasets import NEW_ROWS, ROWS, load, named, write_json_lines, write_parquet

if TYPE_CHECKING:
    from pathlib import Path

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


def test_a_row_whose_choices_are_all_blank_has_no_text(tmp_path: Path) -> None:
    choices = [["yes", "no"], ["", " "], [None], [], ["", "no"]]
    data = {"choices": choices * 2, "label": ["a", "a", "a", "a", "b"] * 2}
    path = write_parquet(tmp_path / "blank.parquet", data)
    train = load(path, "choices", test_dataset=str(path)).train
    assert set(train.texts) == {"A. yes\nB. no", "A. \nB. no"}


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


@pytest.mark.parametrize(
    ("labels", "names"),
    [
        ([1.0, 0.0, 1.0, -1.0], ("no", "yes")),
        (["yes", "no", "yes", None], ("no", "yes")),
        (["1", "0", "1", None], ("0", "1")),
        (["other", "no", "other", None], ("no", "other")),
        ([True, False, True, None], ("false", "true")),
    ],
)
def test_class_names_over_a_column_of_another_type_name_what_they_can(
    tmp_path: Path, labels: Any, names: tuple[str, ...]
) -> None:
    columns = {"text": list("abcd"), "label": labels}
    path = write_parquet(tmp_path / "a.parquet", columns, names=["no", "yes"])
    dataset = load(path, test_dataset=str(path))
    assert dataset.label_names == names
    assert dataset.train.labels.tolist() == dataset.evaluation.labels.tolist() == [1, 0, 1]


@pytest.mark.parametrize(
    ("train", "names", "test", "expected"),
    [
        (["1.0", "0.0", "1.0", "1"], None, [1, 0], ["1", "0"]),
        ([1, 0, 1, 1], None, ["1.0", "0."], ["1", "0"]),
        ([1.0, 0.0, 1.0, 1.0], None, ["1.00", "0"], ["1", "0"]),
        (["1.0", "1", "v1", "v1"], None, ["1.0", "1"], ["1.0", "1"]),
        ([1, 0, 1, 1], ["1.0", "1.1"], ["1.1", "1.0"], ["1.1", "1.0"]),
    ],
)
def test_the_train_split_says_whether_labels_are_numbers_for_every_split(
    tmp_path: Path, train: Any, names: list[str] | None, test: Any, expected: list[str]
) -> None:
    write_parquet(tmp_path / "d/train.parquet", {"text": list("abcd"), "label": train}, names=names)
    write_parquet(tmp_path / "d/test.parquet", {"text": list("ef"), "label": test})
    dataset = load(tmp_path / "d")
    assert [label for _, label in named(dataset, dataset.evaluation)] == expected


def test_rows_without_label_or_text_are_dropped_and_counted_once(tmp_path: Path) -> None:
    rows: list[dict[str, Any]] = [
        *({"text": f"kept {row}", "label": ("ham", "spam")[row % 2]} for row in range(5)),
        {"text": "x", "label": None},
        {"text": "x", "label": ""},
        {"text": None, "label": ""},
        {"text": None, "label": "a"},
        {"text": " \n\t", "label": "a"},
    ]
    write_json_lines(tmp_path / "d/train.jsonl", rows)
    write_json_lines(tmp_path / "d/test.jsonl", [*NEW_ROWS[:2], *rows[-1:]])
    dataset = load(tmp_path / "d")
    assert dataset.train.texts == tuple(f"kept {row}" for row in range(5))
    assert dataset.notices == (
        "train: dropped 3 rows with no label and 2 with empty text of 10",
        "test: dropped 0 rows with no label and 1 with empty text of 3",
    )


@pytest.mark.parametrize(
    ("labels", "told"),
    [
        (["neg", "pos", "pos ", "Pos"], "are 'Pos', 'pos', 'pos ' one class, written in several ways?"),
        (["a", "A", "b", "B", "c"], "are 'A', 'a', 'B', 'b' fewer classes, written in several ways?"),
        (["a", "b", "nan"], "does 'nan' stand for a missing label?"),
        (
            ["None", "none", "NA", "N/A", "null", "x"],
            "are 'None', 'none' one class, written in several ways? "
            "do 'N/A', 'NA', 'None', 'none' and 1 more stand for a missing label?",
        ),
        (["neg", "pos", "nothing", "n a"], None),
        (["1", "2", "1.0"], None),
    ],
)
def test_labels_that_may_not_be_meant_as_classes_are_kept_and_asked_about_once(
    tmp_path: Path, labels: list[str], told: str | None
) -> None:
    train = [{"text": f"{row} {label}", "label": label} for row in range(2) for label in labels]
    path = write_json_lines(tmp_path / "a/train.jsonl", train)
    write_json_lines(path.with_name("test.jsonl"), [row | {"text": f"new {row['text']}"} for row in train])
    dataset = load(path.parent)
    assert set(dataset.label_names) == set(labels) - {"1.0"}
    asked = [notice.partition(": ")[2] for notice in dataset.notices if "as they are written" in notice]
    assert asked == ([] if told is None else [told])


def test_class_names_that_a_dataset_declares_are_not_asked_about(tmp_path: Path) -> None:
    columns = {"text": list("abcd"), "label": [0, 1, 0, 1]}
    write_parquet(tmp_path / "d/train.parquet", columns, names=["None", "none"])
    write_parquet(tmp_path / "d/test.parquet", columns | {"text": list("efgh")}, names=["None", "none"])
    assert load(tmp_path / "d").notices == ()


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


def test_a_label_that_no_name_stands_for_is_refused_with_its_count() -> None:
    labels = pa.chunked_array([["yes", "1", "1"]], pa.large_string())
    with pytest.raises(BadInput, match=r"train: label '1' \(2 rows\) is none of the class names yes, no"):
        encode_labels(Rows("train", labels, labels), ("yes", "no"), seen=pc.unique(labels))

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lamps_core.errors import BadInput, abbreviated
from lamps_core.registry import registered_datasets
from lamps_core.text.dataset import load_text_dataset
from lamps_core.text.requests import NamedRequest, dataset_requests
from tests.text_datasets import ROWS, write_json_lines

if TYPE_CHECKING:
    from pathlib import Path


def requests(datasets: str | Path, **options: Any) -> list[NamedRequest]:
    given: dict[str, Any] = {"input_col": None, "target_col": None, "max_train_rows": None, "seed": 0}
    return dataset_requests(str(datasets), **given | options)


def refusal(datasets: str | Path, **options: Any) -> str:
    with pytest.raises(BadInput) as caught:
        requests(datasets, **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


# --- Names in a list


@given(
    chosen=st.lists(st.sampled_from(tuple(registered_datasets())), min_size=1, unique=True),
    seed=st.integers(0, 9),
)
def test_registered_names_bring_their_columns_in_the_order_given(chosen: list[str], seed: int) -> None:
    found = requests(" , ".join(chosen) + ",", max_train_rows=5, seed=seed)
    assert [named.name for named in found] == chosen
    for named in found:
        dataset = registered_datasets()[named.name or ""]
        request = named.request
        assert (request.dataset, request.input_columns) == (dataset.dataset, dataset.input_columns)
        assert (request.target_column, request.template) == (dataset.target_column, dataset.template)
        assert (request.train_split, request.test_split) == (dataset.train_split, dataset.test_split)
        assert (request.max_train_rows, request.seed) == (5, seed)


def test_columns_that_are_given_are_of_the_datasets_that_bring_none_of_their_own() -> None:
    registered, other = requests("mmlu,org/name", input_col="text", target_col="label")
    assert (registered.request.input_columns, registered.request.target_column) == (
        ("question", "choices"),
        "answer",
    )
    assert (other.request.input_columns, other.request.target_column) == (("text",), "label")


def test_hub_ids_and_files_stand_beside_registered_names_and_take_the_name_that_loading_gives(
    tmp_path: Path,
) -> None:
    path = write_json_lines(tmp_path / "mine.jsonl", ROWS)
    found = requests(f"emotion,org/name:config,{path}", input_col="text", target_col="label")
    assert [named.name for named in found] == ["emotion", None, None]
    assert [named.request.dataset for named in found] == [
        "dair-ai/emotion:split",
        "org/name:config",
        str(path),
    ]
    assert load_text_dataset(found[2].request).name == "mine"


def test_a_folder_called_like_a_registered_dataset_is_reached_by_a_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_json_lines(tmp_path / "trec" / "train.jsonl", ROWS)
    monkeypatch.chdir(tmp_path)
    registered, mine = requests("trec,./trec", input_col="text", target_col="label")
    assert (registered.name, registered.request.dataset) == ("trec", "SetFit/TREC-QC")
    assert (mine.name, mine.request.dataset) == (None, "./trec")


@pytest.mark.parametrize("nothing", ["", " ", ",", " , "])
def test_nothing_given_is_refused_with_what_could_be_given(nothing: str) -> None:
    assert "no dataset given" in refusal(nothing)
    assert "trec, clickbait" in refusal(nothing)


@pytest.mark.parametrize(
    ("options", "missing"),
    [
        ({}, "give --input-col and --target-col"),
        ({"input_col": "text"}, "give --target-col"),
        ({"target_col": "label"}, "give --input-col"),
    ],
)
def test_what_is_not_registered_needs_its_columns(
    options: dict[str, str], missing: str, tmp_path: Path
) -> None:
    path = write_json_lines(tmp_path / "mine.jsonl", ROWS)
    for entry in (str(path), "org/name"):
        error = refusal(f"trec,{entry}", **options)
        assert missing in error
        assert entry[:70] in error


@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        ("emotoin", ["emotoin is no registered dataset", "did you mean emotion?"]),
        ("zzzzzz", ["zzzzzz is no registered dataset", "registered are trec, clickbait"]),
        ("./nosuch", ["./nosuch: no such file or folder"]),
        ("nosuch.csv", ["nosuch.csv: no such file or folder"]),
        ("a/b/c", ["a/b/c is no registered dataset"]),
        ("x" * 500, ["xxx... is no registered dataset"]),
    ],
)
def test_what_is_neither_registered_nor_there_is_refused_by_name(entry: str, expected: list[str]) -> None:
    error = refusal(f"trec,{entry}", input_col="text", target_col="label")
    assert [part for part in expected if part not in error] == []


def test_a_dataset_given_twice_is_refused_however_it_is_spelled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_json_lines(tmp_path / "mine.jsonl", ROWS)
    monkeypatch.chdir(tmp_path)
    assert refusal("trec,cola,trec") == "dataset trec is given more than once: name it once"
    assert "org/name is given more than once" in refusal("org/name,org/name", input_col="a", target_col="b")
    assert f"{abbreviated(str(path))} is given more than once (as ./mine.jsonl)" in refusal(
        f"./mine.jsonl,{path}"
    )


# --- A YAML file of one's own

ENTRY = "{path: mine.jsonl, input_columns: [text], target_column: label}"


def yaml_file(tmp_path: Path, *lines: str) -> Path:
    write_json_lines(tmp_path / "lists" / "mine.jsonl", ROWS)
    path = tmp_path / "lists" / "mine.yaml"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def test_a_yaml_file_gives_every_entry_of_it_with_paths_as_from_where_it_lies(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    yaml_file(
        tmp_path,
        "datasets:",
        "  ours: " + ENTRY,
        "  theirs:",
        "    hub: org/name:config",
        "    input_columns: [title, body]",
        "    target_column: topic",
        "    train_split: all",
        "    test_split: gold",
        '    template: "{title}: {body}"',
        "    about: whatever",
        "    licence: mit",
        "    fetched: true",
    )
    monkeypatch.chdir(tmp_path)
    ours, theirs = requests("lists/mine.yaml", max_train_rows=20, seed=3)
    assert (ours.name, ours.request.dataset) == ("ours", str(tmp_path / "lists" / "mine.jsonl"))
    assert len(load_text_dataset(ours.request).train) == 20
    request = theirs.request
    assert (theirs.name, request.dataset) == ("theirs", "org/name:config")
    assert (request.input_columns, request.target_column) == (("title", "body"), "topic")
    assert (request.train_split, request.test_split) == ("all", "gold")
    assert (request.template, request.seed) == ("{title}: {body}", 3)


def test_the_shipped_list_can_be_given_as_a_file_and_is_the_same() -> None:
    from lamps_core.resources import data_path

    assert requests(data_path("datasets.yaml")) == requests(",".join(registered_datasets()))


def test_entries_may_share_keys_by_yaml_anchors(tmp_path: Path) -> None:
    path = yaml_file(
        tmp_path, "datasets:", f"  one: &one {ENTRY}", "  two: {<<: *one, target_column: text_kind}"
    )
    assert [named.request.target_column for named in requests(path)] == ["label", "text_kind"]


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        (["datasets: ["], "mine.yaml is no YAML"),
        ([""], "one key `datasets`"),
        (["- trec"], "such as `datasets: {reviews: {path: reviews.csv"),
        (["datasets: [trec]"], "one key `datasets`"),
        (["datasets: {}"], "no dataset below the key `datasets`"),
        (["datasets: {}", "models: {}"], "one key `datasets`"),
        (["datasets:", "  one: " + ENTRY, "  one: " + ENTRY], "'one' is written twice (line 2)"),
        (["datasets: {20: " + ENTRY + "}"], "the name 20 of a dataset"),
        (["datasets: {a/b: " + ENTRY + "}"], "the name 'a/b' of a dataset"),
        (["datasets: {one: org/name}"], "dataset one: has no keys below it"),
        (["datasets: {one: }"], "dataset one: has no keys below it"),
        (["datasets: {one: {hub: a/b, input_column: [x], target_column: y}}"],
         "dataset one: unknown key 'input_column' (did you mean input_columns?)"),
        (["datasets: {one: {hub: a/b, input_columns: [x], target_column: y, zzzz: 1}}"],
         "dataset one: unknown key 'zzzz'; keys are hub"),
        (["datasets: {one: {hub: a/b, target_column: y}}"], "dataset one, key input_columns: is missing"),
        (["datasets: {one: {hub: a/b, input_columns: x, target_column: y}}"],
         "dataset one, key input_columns: must be a list"),
        (["datasets: {one: {hub: a/b, input_columns: [], target_column: y}}"],
         "dataset one, key input_columns: must be a list"),
        (["datasets: {one: {hub: a/b, input_columns: [1], target_column: y}}"],
         "dataset one, key input_columns: must be text, not 1"),
        (["datasets: {one: {hub: a/b, input_columns: [x]}}"], "dataset one, key target_column: is missing"),
        (["datasets: {one: {hub: a/b, input_columns: [x], target_column: 7}}"],
         "dataset one, key target_column: must be text, not 7"),
        (["datasets: {one: {hub: a/b, input_columns: [x], target_column: ''}}"],
         "dataset one, key target_column: is empty"),
        (["datasets: {one: {hub: a/b, input_columns: [x], target_column: y, fetched: maybe}}"],
         "dataset one, key fetched: must be true or false"),
        (["datasets: {one: {input_columns: [x], target_column: y}}"], "dataset one: needs either hub"),
        (["datasets: {one: {hub: a/b, path: mine.jsonl, input_columns: [x], target_column: y}}"],
         "dataset one: needs either hub"),
        (["datasets: {one: {hub: ./mine.jsonl, input_columns: [x], target_column: y}}"],
         "dataset one, key hub: ./mine.jsonl is a path"),
        (["datasets: {one: {path: nosuch.csv, input_columns: [x], target_column: y}}"],
         "lists/nosuch.csv is not there"),
    ],
)  # fmt: skip
def test_a_yaml_file_that_is_wrong_is_refused_with_file_entry_and_key(
    lines: list[str], expected: str, tmp_path: Path
) -> None:
    path = yaml_file(tmp_path, *lines)
    error = refusal(path)
    assert error.startswith(str(path))
    assert expected in error


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ("2020-13-45", "month must be in 1..12"),
        ("!!timestamp today", "no attribute"),
        ("!!float ''", "out of range"),
        (":".join(["1"] * 200) + ".0", "too large"),
    ],
)
def test_a_value_that_is_not_what_it_looks_like_is_refused_with_the_file(
    value: str, reason: str, tmp_path: Path
) -> None:
    path = yaml_file(tmp_path, "datasets:", f"  one: {{about: {value}}}")
    error = refusal(path)
    assert error.startswith(f"{path}: a value is not what it looks like (")
    assert reason in error
    assert error.endswith("; a text that looks like a date or a number goes in quotes")


def test_a_yaml_file_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    assert refusal(tmp_path / "nosuch.yaml") == f"{tmp_path}/nosuch.yaml: no such file"
    (tmp_path / "folder.yaml").mkdir()
    assert "folder.yaml cannot be read" in refusal(tmp_path / "folder.yaml")
    (tmp_path / "latin.yml").write_bytes("datasets: é".encode("latin-1"))
    assert "latin.yml: the file is not UTF-8" in refusal(tmp_path / "latin.yml")


def test_a_yaml_file_stands_alone(tmp_path: Path) -> None:
    path = yaml_file(tmp_path, "datasets:", "  one: " + ENTRY)
    assert "give a YAML file of datasets alone" in refusal(f"trec,{path}")

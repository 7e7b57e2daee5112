from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lamps_core.errors import BadInput
from lamps_core.text_files import read_table
from tests.text_datasets import ROWS, all_rows, load, named, write_json_lines, write_parquet

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def as_delimited(delimiter: str) -> Callable[[Path], object]:
    lines = [delimiter.join(("text", "label")), *(delimiter.join(row.values()) for row in ROWS)]
    return lambda path: path.write_text("\n".join(lines), encoding="utf-8")


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


def test_quoted_tsv_values_may_hold_a_tab_or_a_line_break(tmp_path: Path) -> None:
    lines = "".join(f'"{kind} {row}"\t{"ab"[row % 2]}\n' for row in range(8) for kind in ("x\ty", "x\ny"))
    (tmp_path / "a.tsv").write_text("text\tlabel\n" + lines, encoding="utf-8")
    expected = {f"{kind} {row}" for row in range(8) for kind in ("x\ty", "x\ny")}
    assert {text for text, _ in all_rows(load(tmp_path / "a.tsv"))} == expected


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
    assert (dataset.test, dataset.selection) == (None, "test")
    assert dataset.notices == ("the evaluation split holds one class only: its accuracy says little",)


# --- Bad input --------------------------------------------------------------------------------------------


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
        ("a.csv", "text,label\nx,y\n".encode("utf-16"), r"a\.csv: the file is not UTF-8 but UTF-16"),
        ("a.jsonl", b"\xfe\xff" + '{"text": "x"}'.encode("utf-16-be"), "not UTF-8 but UTF-16"),
        ("a.csv", b"text;label\nx;y\n", "no column 'text'.*separator seems to be ';'"),
        (
            "a.tsv",
            b'text\tlabel\n"one\ta\n"two\tb\nthree\ta\n',
            r"a\.tsv: .*'one\\ta\\ntwo'; quote properly, or use CSV",
        ),
        ("a.tsv", b'label\ttext\na\t"one\nb\t"two\n', r"'one\\nb\\ttwo'; quote properly"),
        ("a.csv", b"text,label\nx,y,z\n", "cannot be read as csv .*Expected 2 columns, got 3"),
        ("a.csv", b"text,text,label\nx,y,z\n", "2 columns are called 'text'"),
        ("a.jsonl", b'{"text": "x"\n', "cannot be read as jsonl"),
        ("a.json", b'[{"text": "x"}, 3]', "not an object"),
        ("a.jsonl", b'{"text": "x"}\n3\n', "not an object"),
        ("a.jsonl", b'{"text": NaN}\n', "NaN is no JSON"),
        ("a.jsonl", b'{"text": "x", "text": "y"}\n', "has a name twice"),
        ("a.jsonl", b'{"n": 1}\n{"n": 2}\n{"n": "x"}\n{"n": 3}\n', "column n, row 2, counted from 0"),
        ("a.jsonl", b'{"text": "x"}\n{"text": {"no": "text"}}\n', "cannot be read as jsonl"),
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


@pytest.mark.parametrize("text", ["[" * 5_000, "{" * 5_000, '\\"[' * 5_000, "\\"])
@pytest.mark.parametrize("suffix", [".json", ".jsonl"])
def test_brackets_inside_a_text_are_no_nesting(tmp_path: Path, text: str, suffix: str) -> None:
    path = write_json_lines(tmp_path / f"rows{suffix}", [{"text": text, "label": "a"}] * 3)
    assert read_table(path).column("text").to_pylist() == [text] * 3


@pytest.mark.parametrize("masked", ["[\n", '"]", [', '"\\"]", ['])
def test_nesting_behind_strings_and_line_breaks_is_seen(tmp_path: Path, masked: str) -> None:
    (tmp_path / "rows.jsonl").write_text('{"text": [' + masked * 50_000)
    with pytest.raises(BadInput, match="nested too deep"):
        read_table(tmp_path / "rows.jsonl")

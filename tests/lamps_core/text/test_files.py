from __future__ import annotations

import csv
import json
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lamps_core.errors import BadInput
from lamps_core.text.files import read_table
from tests.text_datasets import ROWS, all_rows, load, write_json_lines

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
    monkeypatch.setattr("lamps_core.text.delimited._BLOCK_BYTES", 64)
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
        ("a.csv", b"text;label;n\nx, y;a;1\n", "line 2 holds 2 values.*separator seems to be ';'"),
        ("a.csv", b"text\tlabel\nx, y\ta\n", "line 2 holds 2 values.*separator seems to be a tab"),
        (
            "a.csv",
            b'text;label\n"x\ny";a\n',
            "line 3 goes on behind.*merged lines; the separator seems to be ';'",
        ),
        ("a.csv", b"text|label\nx|a\nx, y|a\n", "line 3 holds 2 values.*separator seems to be '|'"),
        ("a.tsv", b"text,label\nx,y\n", "no column 'text'.*separator seems to be ','"),
        (
            "a.tsv",
            b'text\tlabel\n"one\ta\n"two\tb\nthree\ta\n',
            r"a\.tsv: .*'one\\ta\\ntwo'; quote properly, or use CSV",
        ),
        ("a.tsv", b'label\ttext\na\t"one\nb\t"two\n', r"'one\\nb\\ttwo'; quote properly"),
        (
            "a.csv",
            b'text,label\nx,a\n"one,a\ntwo,b\n"three,a\nfour,b\n',
            r"a\.csv: the value that ends in line 5 goes on behind its closing quote",
        ),
        (
            "a.csv",
            b'text,label\nx,a\n"one,a\ntwo,b\n',
            "a quote of the row that begins in line 3 is never closed",
        ),
        ("a.csv", b"text,label\nx,y,z\n", "line 2 holds 3 values, and the header 2 .text,label.; put quotes"),
        (
            "a.csv",
            b'text,label\nx,a\n\n"y\nz",b\nw\n',
            "line 6 holds 1 value, and the header 2 .text,label.; add what is missing",
        ),
        ("a.csv", b'text,label\nx,a\n"y\nz,a",b,c\n', "lines 3 to 4, which a quote makes one, hold 3 values"),
        ("a.csv", b'text,label\nx,a\nx,"b\n', "a quote of the row that begins in line 3 is never closed"),
        ("a.tsv", b'text\tlabel\nx\ta\n"y\ta\n', "a quote of the row that begins in line 3 is never"),
        ("a.csv", b"text,text,label\nx,y,z\n", "2 columns are called 'text'"),
        ("a.jsonl", b'{"text": "x"\n', "cannot be read as jsonl"),
        ("a.json", b'[{"text": "x"}, 3]', "not an object"),
        ("a.jsonl", b'{"text": "x"}\n3\n', "not an object"),
        ("a.jsonl", b'{"text": NaN}\n', "NaN is no JSON"),
        ("a.jsonl", b'{"text": "so \\ud83d"}\n', r"half a surrogate pair \('\\ud83d' in 'so \\ud83d'\)"),
        ("a.jsonl", b'{"text": "x", "text": "y"}\n', "has a name twice"),
        (
            "a.jsonl",
            b'{"text": "x"}\n{"text": {"no": "text"}}\n',
            "column 'text' holds in row 1, counted from 0",
        ),
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


def test_quotes_and_line_breaks_inside_values_of_a_csv_are_read(tmp_path: Path) -> None:
    texts = ['say "yes"\nor no', '5" wide\r\nand long', "plain", "x" * 200_000 + "\n"]
    path = tmp_path / "a.csv"
    with path.open("w", newline="") as file:
        csv.writer(file).writerows(
            [("text", "label"), *((text, "ab"[row % 2]) for row, text in enumerate(texts))]
        )
    assert read_table(path).column("text").to_pylist() == texts


def test_a_parquet_file_with_a_damaged_page_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    table = pa.table({"text": [f"text {row}" for row in range(3000)], "label": list("ab") * 1500})
    pq.write_table(table, path, compression="zstd", use_dictionary=False)
    content = bytearray(path.read_bytes())
    content[500:4000] = bytes(3500)
    path.write_bytes(content)
    with pytest.raises(BadInput, match=r"a\.parquet: cannot be read as parquet"):
        load(path)


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


@pytest.mark.parametrize("block_records", [2, 65536])
def test_a_column_of_several_types_is_refused_where_it_is_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, block_records: int
) -> None:
    monkeypatch.setattr("lamps_core.text.files._BLOCK_RECORDS", block_records)
    mixed: list[dict[str, object]] = [
        {},
        {"meta": 1, "n": 1},
        {"meta": None, "n": 2},
        {"meta": "x", "n": 2.5},
    ]
    rows = [
        row | {"large": 10**30, "tags": {"of": ["x", 3]}} | more
        for row, more in zip(ROWS, [*mixed, *[{}] * 26], strict=True)
    ]
    path = write_json_lines(tmp_path / "a.jsonl", rows)
    assert all_rows(load(path)) == {(row["text"], row["label"]) for row in ROWS}
    assert ("text 3\n2.5", "ham") not in all_rows(load(path, "text,n"))
    assert ("text 3\n2.5", "spam") in all_rows(load(path, "text,n"))
    told = "column 'meta' holds in row 3, counted from 0, a value of another type .*: write all its values as strings"
    for inputs, target in (("text,meta", "label"), ("text", "meta")):
        with pytest.raises(BadInput, match=told) as caught:
            load(path, inputs, target)
        assert "\n" not in str(caught.value)
    with pytest.raises(BadInput, match=r"column 'large' holds in row 0.* or one too large"):
        load(path, "large")

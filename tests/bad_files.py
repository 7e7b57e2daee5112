"""The files and folders behind the bad inputs of `tests.bad_inputs`: broken, hostile, foreign or of a later version."""

from __future__ import annotations

import io
import json
import os
import pickle
import shutil
import zipfile
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from safetensors.numpy import save

from lamps_core.models.zoo import materialise
from tests.meta_datasets import curve_rows
from tests.searches import TINY, forecasting_policy, quick_request, run_to_the_end

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

DEEP = 200_000  # brackets in brackets: more than any parser's stack


def write_material(here: Path, csv: Path) -> None:
    """Every file and folder that a case names.

    Args:
        here: an empty folder.
        csv: of a good search.
    """
    _write_datasets(here)
    _write_models(here)
    _write_policies(here)
    _write_searches(here, csv)
    _write_curves(here / "curves")
    _write_campaigns(here)


def _csv(rows: list[tuple[str, str]]) -> str:
    return "".join(f"{text},{label}\n" for text, label in [("phrase", "topic"), *rows])


def _write_datasets(here: Path) -> None:
    good = _csv([("soup with bread", "food"), ("a storm", "weather")] * 20)
    texts = {
        "one_class.csv": _csv([("soup with bread", "food")] * 30),
        "no_rows.csv": _csv([]),
        "blank.csv": _csv([("  ", "food"), ("", "weather")] * 20),
        "identifiers.csv": _csv([(f"text {row}", f"label {row}") for row in range(40)]),
        "unseen_label.csv": _csv([("ball and goal", "sports"), ("soup", "food")]),
        "two_topics.csv": good,
        "empty.csv": "",
        "nul.csv": good.replace("storm", "st\0rm"),
        "ragged.csv": good + "one,two,three\n",
        "twice.csv": "phrase,phrase,topic\na,b,food\nc,d,weather\n",
        "text.parquet": good,
        "deep.json": "[" * DEEP + "]" * DEEP,
        "deep.jsonl": '{"phrase":' + "[" * DEEP + "]" * DEEP + ', "topic": "food"}\n',
        "huge.json": '[{"phrase": 1' + "0" * 400 + ', "topic": "food"}]',
        "scalars.json": "[1, 2, 3]",
        "rows.xlsx": "PK",
    }
    for name, text in texts.items():
        (here / name).write_text(text, encoding="utf-8")
    (here / "utf16.csv").write_text(good, encoding="utf-16")
    (here / "utf16_unmarked.csv").write_text(good, encoding="utf-16-le")
    (here / "latin1.csv").write_text(good.replace("soup", "so\xfcp"), encoding="latin-1")
    line = '{"phrase": "caf\xe9", "topic": "food"}\n{"phrase": "rain", "topic": "weather"}\n'
    (here / "latin1.jsonl").write_text(line * 10, encoding="latin-1")
    (here / "rows.pkl").write_bytes(pickle.dumps([1]))
    os.mkfifo(here / "pipe.csv")
    (here / "loop.csv").symlink_to("loop.csv")
    (here / "splits").mkdir()
    (here / "splits" / "train.csv").write_text(good, encoding="utf-8")
    (here / "nothing").mkdir()
    (here / "nothing" / "notes.txt").write_text(good, encoding="utf-8")
    for folder in ("one", "two"):
        (here / "corpora" / folder).mkdir(parents=True)
        (here / "corpora" / folder / "train.csv").write_text(good, encoding="utf-8")
    (here / "shards").mkdir()
    (here / "shards" / "train-00000-of-00002.csv").write_text(good, encoding="utf-8")
    topics = ["food", "weather"] * 20
    pq.write_table(pa.table({"phrase": [{"a": 1}] * 40, "topic": topics}), here / "structures.parquet")
    names = {"topic": {"names": ["food", "weather"], "_type": "ClassLabel"}}
    unnamed = pa.table({"phrase": ["soup"] * 40, "topic": [0.0, 1.0, 2.0, 1.0] * 10}).replace_schema_metadata(
        {"huggingface": json.dumps({"info": {"features": names}})}
    )
    pq.write_table(unnamed, here / "unnamed.parquet")
    fractions = pa.table({"phrase": ["soup"] * 40, "topic": np.linspace(0.0, 1.0, 40)})
    pq.write_table(fractions, here / "fractions.parquet")
    whole = (here / "fractions.parquet").read_bytes()
    (here / "truncated.parquet").write_bytes(whole[: len(whole) // 2])


def _write_models(here: Path) -> None:
    source = materialise(TINY)

    def model(name: str, *without: str) -> Path:
        shutil.copytree(source, here / name, ignore=shutil.ignore_patterns(*without))
        return here / name

    model("no-tokenizer", "*token*", "vocab*")
    (model("pickled", "*.safetensors") / "pytorch_model.bin").write_bytes(b"\x80\x04.")
    (model("pkl", "*.safetensors") / "model.pkl").write_bytes(pickle.dumps([1]))
    (model("broken-link", "*.safetensors") / "model.safetensors").symlink_to("nowhere")
    config = json.loads((source / "config.json").read_text())
    own = config | {"model_type": "mine", "auto_map": {"AutoConfig": "mine.Mine"}}
    texts = {"own-code": json.dumps(own), "no-json": "{", "deep-config": "[" * DEEP, "list-config": "[]"}
    for name, text in texts.items():
        (model(name) / "config.json").write_text(text)
    (here / "own-code" / "mine.py").write_text("raise SystemExit('this was run')\n")


def _write_policies(here: Path) -> None:
    with zipfile.ZipFile(forecasting_policy(here / "policy")) as archive:
        card = json.loads(archive.read("policy.json"))
        weights = archive.read("weights.safetensors")

    def policy(name: str, told: Any, arrays: bytes = weights, *, at: str = "") -> None:
        text = told if isinstance(told, bytes) else json.dumps(told).encode()
        packed = io.BytesIO()
        with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
            archive.writestr(f"{at}policy.json", text)
            archive.writestr("weights.safetensors", arrays)
        (here / f"{name}.zip").write_bytes(packed.getvalue())

    policy("bomb", b" " * (16 * 2**20 + 1))
    policy("weights-bomb", card, b"\0" * (512 * 2**20 + 1))
    policy("traversal", card, at="../")
    policy("pickle", card, pickle.dumps({"a": np.zeros(3)}))
    policy("nan", card, save({"a": np.full(3, np.nan)}))
    policy("foreign", card, save({"a": np.zeros(3)}))
    policy("deep", b"[" * DEEP)
    policy("list", [card])
    policy("later", card | {"observation": card["observation"] + 1})
    policy("kindless", {name: value for name, value in card.items() if name != "kind"})
    (here / "text.zip").write_text("a policy")
    whole = (here / "nan.zip").read_bytes()
    (here / "truncated.zip").write_bytes(whole[: len(whole) // 2])


def _write_searches(here: Path, csv: Path) -> None:
    run_to_the_end(quick_request(csv, here / "search"))
    header, *events = (here / "search" / "journal.jsonl").read_text().splitlines()
    told = json.loads(header)
    outcome = next(event for event in map(json.loads, events) if event["event"] == "outcome")
    half = {name: outcome[name] for name in ("event", "candidate")}
    journals = {
        "later": [json.dumps(told | {"version": told["version"] + 1})],
        "torn": [header, events[0], events[1][:-9], *events[2:]],
        "deep": [header, "[" * DEEP],
        "half": [header, json.dumps(half)],
        "stranger": [header, json.dumps(outcome | {"candidate": "zoo/stranger"})],
    }
    for name, lines in journals.items():
        (here / name).mkdir()
        (here / name / "journal.jsonl").write_text("".join(f"{line}\n" for line in lines))
    (here / "piped").mkdir()
    os.mkfifo(here / "piped" / "journal.jsonl")
    for name, text in {"result": "{", "deep-result": "[" * DEEP}.items():
        (here / name).mkdir()
        (here / name / "result.json").write_text(text)


def _bad_curves() -> Iterator[tuple[str, pa.Table]]:
    rows = curve_rows("a", "m", losses=[1.0, 0.5, 0.2])
    for name, column, value in (
        ("gap", "step", 5),
        ("backwards", "step", -1),
        ("twice", "step", 0),
        ("nan", "test_loss", float("nan")),
        ("negative", "train_seconds", -1.0),
        ("mixed", "source", "measured"),
        ("source", "source", "guessed"),
    ):
        yield name, pa.Table.from_pylist([rows[0], rows[1] | {column: value}, rows[2]])
    table = pa.Table.from_pylist(rows)
    yield "missing", table.drop_columns("parameters")
    yield "typed", table.set_column(4, "test_loss", pa.array(["low", "lower", "lowest"]))
    invalid = pa.Array.from_buffers(pa.string(), 3, pa.array([b"\xff", b"\xff", b"\xff"]).buffers())
    yield "bytes", table.set_column(1, "model", invalid)


def _write_curves(folder: Path) -> None:
    for name in ("none", "truncated", "text", "pipe"):
        (folder / name).mkdir(parents=True)
    for name, table in _bad_curves():
        (folder / name).mkdir()
        pq.write_table(table, folder / name / "curve.parquet")
    whole = (folder / "gap" / "curve.parquet").read_bytes()
    (folder / "truncated" / "curve.parquet").write_bytes(whole[:-9])
    (folder / "text" / "curve.parquet").write_text("dataset,model\n")
    os.mkfifo(folder / "pipe" / "curve.parquet")


def _write_campaigns(here: Path) -> None:
    entry = "path: two_topics.csv, input_columns: [phrase], target_column: topic"
    laughs = ["a0: &a0 [lol, lol]"]
    laughs += [f"a{one}: &a{one} [{', '.join([f'*a{one - 1}'] * 9)}]" for one in range(1, 12)]
    texts = {
        "object.yaml": f'!!python/object/apply:os.mkdir ["{here}/ran"]\n',
        "deep.yaml": "[" * 20_000,
        "list.yaml": "- 1\n- 2\n",
        "laughs.yaml": "\n".join([*laughs, "datasets: *a11"]) + "\n",
        "date.yaml": f"datasets:\n  one: {{{entry}, about: 2020-13-45}}\n",
        "traversal.yaml": f"datasets:\n  ../x: {{{entry}}}\n",
    }
    for name, text in texts.items():
        (here / name).write_text(text)
    (here / "latin1.yaml").write_text("datasets:\n  - {name: caf\xe9}\n", encoding="latin-1")
    empty = {"version": 1, "id": "x", "settings": {}, "work": None, "datasets": [], "models": {}}
    records = {
        "later": json.dumps(empty | {"version": 2}),
        "torn": "{",
        "deep": "[" * DEEP,
        "list": "[1]",
        "setting": json.dumps(empty | {"settings": {"speed": 9}}),
    }
    for name, text in records.items():
        (here / "campaigns" / name / ".lamps").mkdir(parents=True)
        (here / "campaigns" / name / ".lamps" / "campaign.json").write_text(text)

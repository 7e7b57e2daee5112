"""What tests of text datasets share: small files written to disk, and how they are loaded and compared."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq

from lamps_core.text.dataset import DatasetRequest, TextDataset, TextSplit, load_text_dataset

if TYPE_CHECKING:
    from pathlib import Path

ROWS = [{"text": f"text {row}", "label": "ham" if row % 3 else "spam"} for row in range(30)]
NEW_ROWS = [
    {"text": f"new {row['text']}", "label": row["label"]} for row in ROWS
]  # to test on what is not trained on


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

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
from typing import TYPE_CHECKING

import numpy as np
import pytest

from lamps_core.errors import BadInput
from lamps_core.text.dataset import TextDataset, TextSplit
from lamps_core.text.prepared_data import load_prepared, save_prepared
from tests.text_datasets import ROWS, load, named, write_json_lines

if TYPE_CHECKING:
    from pathlib import Path


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
        "import sys; from pathlib import Path; from lamps_core.text.prepared_data import load_prepared; "
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

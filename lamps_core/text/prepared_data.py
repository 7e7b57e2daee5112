"""The prepared folder: a text dataset as it was read and split, written once for the workers.

Owns the layout of that folder and its version. Reading needs numpy, pyarrow and json only, so that a worker
starts fast. Does not know where a dataset comes from nor who reads it.
"""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet

from lamps_core.errors import BadInput
from lamps_core.files import write_atomically, write_json
from lamps_core.text.dataset import TextDataset, TextSplit
from lamps_core.text.files import read_table

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lamps_core.landmarks import IntArray

_VERSION = 1


def save_prepared(dataset: TextDataset, folder: Path) -> None:
    """Write a dataset for workers: its rows as one Parquet file, then `dataset.json`, which names that file.

    Each file lands by a rename, the JSON last, so a reader finds the old dataset or the new one, whole.
    """
    splits = [split for split in (dataset.train, dataset.evaluation, dataset.test) if split is not None]
    texts = pa.array([text for split in splits for text in split.texts], pa.large_string())
    labels = pa.array(np.concatenate([split.labels for split in splits]), pa.int64())
    content = pa.BufferOutputStream()
    pyarrow.parquet.write_table(pa.table({"text": texts, "label": labels}), content, compression="zstd")
    rows_file = f"rows-{dataset.fingerprint[:16]}.parquet"
    write_atomically(folder / rows_file, content.getvalue().to_pybytes())
    described = {
        "version": _VERSION,
        "name": dataset.name,
        "label_names": dataset.label_names,
        "rows_file": rows_file,
        "split_rows": [len(split) for split in splits],
        "notices": dataset.notices,
        "fingerprint": dataset.fingerprint,
        "selection": dataset.selection,
    }
    write_json(folder / "dataset.json", described)


def load_prepared(folder: Path) -> TextDataset:
    """Read what `save_prepared` wrote.

    Raises:
        BadInput: nothing prepared there, or it is damaged or of another version.
    """
    with _refused(folder):
        described = _described(folder)
        # The file's name alone: a path in the JSON must not lead out of the folder.
        table = read_table(folder / Path(described["rows_file"]).name)
        splits = _cut(table, described["split_rows"])
        return TextDataset(
            name=described["name"],
            label_names=tuple(described["label_names"]),
            train=splits[0],
            evaluation=splits[1],
            test=splits[2] if len(splits) > 2 else None,
            notices=tuple(described["notices"]),
            fingerprint=described["fingerprint"],
            selection=described["selection"],
        )


def prepared_label_names(folder: Path) -> tuple[str, ...]:
    """The label names of what `save_prepared` wrote, without reading its rows.

    Raises:
        BadInput: as `load_prepared`.
    """
    with _refused(folder):
        return tuple(_described(folder)["label_names"])


def _described(folder: Path) -> dict[str, Any]:
    described: dict[str, Any] = json.loads((folder / "dataset.json").read_text(encoding="utf-8"))
    if described["version"] != _VERSION:
        raise ValueError(f"version {described['version']}, not {_VERSION}")
    return described


@contextlib.contextmanager
def _refused(folder: Path) -> Iterator[None]:
    try:
        yield
    except (OSError, ValueError, KeyError, TypeError, IndexError, BadInput) as error:
        raise BadInput(
            f"{folder}: no usable prepared dataset ({error}); delete the folder and run again"
        ) from error


def _cut(table: pa.Table, split_rows: list[int]) -> list[TextSplit]:
    if sum(split_rows) != table.num_rows:
        raise ValueError(f"{table.num_rows} rows, not {sum(split_rows)}")
    starts = np.cumsum([0, *split_rows])[:-1].tolist()
    parts = [table.slice(start, rows) for start, rows in zip(starts, split_rows, strict=True)]
    return [TextSplit(tuple(part["text"].to_pylist()), _integers(part["label"])) for part in parts]


def _integers(column: pa.ChunkedArray) -> IntArray:
    # Not to_numpy: that imports pandas where it is installed, which takes longer than the reading.
    return np.from_dlpack(column.combine_chunks()).astype(np.int64)

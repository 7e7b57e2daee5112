"""What experiment trackers hold, read back from their own files."""

from __future__ import annotations

import json
import struct
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

BLOCK, HEADER, WHOLE, FIRST, LAST = (
    32768,
    7,
    1,
    2,
    4,
)  # of LevelDB's log format, which W&B keeps offline runs in


def tensorboard_scalars(folder: Path, name: str) -> list[tuple[int, float]]:
    """(step, value) of a scalar."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    return [(event.step, event.value) for event in EventAccumulator(str(folder)).Reload().Scalars(name)]


def in_single_precision(curve: list[tuple[int, float]]) -> list[tuple[int, float]]:
    """As TensorBoard keeps its values."""
    return [(step, float(np.float32(value))) for step, value in curve]


def mlflow_runs(trackers: Path, experiment: str) -> dict[str, Any]:
    """Name -> run, of an experiment in the trackers' own database."""
    client = mlflow_client(trackers)
    found = client.get_experiment_by_name(experiment)
    return {run.info.run_name: run for run in client.search_runs([found.experiment_id])}


def mlflow_client(trackers: Path) -> Any:
    """MLflow's client of the trackers' own database."""
    from mlflow import MlflowClient

    return MlflowClient(f"sqlite:///{trackers / 'mlflow' / 'mlflow.db'}")


def wandb_rows(trackers: Path, run: str, project: str) -> list[dict[str, Any]]:
    """What a run's offline files hold, of all lives in their order."""
    from wandb.proto.wandb_internal_pb2 import Record

    rows: list[dict[str, Any]] = []
    for file in sorted((trackers / "wandb").glob("offline-run-*/run-*.wandb")):
        records = [Record.FromString(content) for content in _log_records(file.read_bytes())]
        if any((record.run.display_name, record.run.project) == (run, project) for record in records):
            rows += [
                {item.key or item.nested_key[0]: json.loads(item.value_json) for item in record.history.item}
                for record in records
                if record.HasField("history")
            ]
    return rows


def _log_records(content: bytes) -> Iterator[bytes]:
    at, parts = HEADER, b""
    while at + HEADER <= len(content):
        if BLOCK - at % BLOCK < HEADER:  # the rest of a block that no header fits into
            at += BLOCK - at % BLOCK
            continue
        _, size, kind = struct.unpack("<IHB", content[at : at + HEADER])
        at += HEADER + size
        parts = (b"" if kind in {WHOLE, FIRST} else parts) + content[at - size : at]
        if kind in {WHOLE, LAST}:
            yield parts

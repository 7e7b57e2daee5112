"""Small meta-datasets made in memory and on disk, for tests."""

from __future__ import annotations

import tempfile
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from hypothesis import strategies as st

from lamps_core.curves.schema import CURVE_SCHEMA, write_curve
from lamps_core.meta_dataset import read_tasks
from lamps_core.objectives import parse_objectives
from lamps_core.task import Task

if TYPE_CHECKING:
    from collections.abc import Sequence


def curve_rows(
    dataset: str,
    model: str,
    *,
    losses: Sequence[float],
    train: Sequence[float] | None = None,
    step: Sequence[float] | None = None,
    complete: bool = True,
    source: str = "simulated",
) -> list[dict[str, Any]]:
    """A curve's rows with the required columns; parameters grow with the model's name."""
    train = train or [0.0] + [1.0] * (len(losses) - 1)
    step = step or [seconds + 0.5 for seconds in train]
    return [
        {
            "dataset": dataset,
            "model": model,
            "seed": 0,
            "step": index,
            "test_loss": loss,
            "train_seconds": train[index],
            "step_seconds": step[index],
            "parameters": 1_000 * sum(model.encode()),
            "complete": complete and index == len(losses) - 1,
            "source": source,
        }
        for index, loss in enumerate(losses)
    ]


def write_meta_dataset(folder: Path, rows: list[dict[str, Any]]) -> Path:
    """A folder of curves of these rows."""
    curves = defaultdict(list)
    for row in rows:
        curves[row["dataset"], row["model"], row["seed"]].append(row)
    for curve in curves.values():
        write_curve(folder, curve)
    return folder


def write_file(path: Path, rows: list[dict[str, Any]]) -> Path:
    """One file of these rows with all of their columns, as others than LAMPS write them."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist(rows), path)
    return path


def with_energy(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The rows with a column that LAMPS does not know: the larger a candidate, the fewer joules."""
    return [row | {"energy_joules": 1e12 / row["parameters"] * (1 + row["step"])} for row in rows]


def write_failures(folder: Path, models: Sequence[str]) -> Path:
    """What a campaign leaves of which every one of these models failed; with none of them, a file without a row."""
    rows = [
        {"dataset": "d", "model": model, "seed": 0, "step": 0, "source": "measured", "status": "failed"}
        for model in models
    ]
    write_meta_dataset(folder, rows)
    if not rows:
        folder.mkdir(parents=True, exist_ok=True)
        pq.write_table(CURVE_SCHEMA.empty_table(), folder / "curves.parquet")
    return folder


def family_rows(datasets: int, candidates: int, *, seed: int = 0, steps: int = 5) -> list[dict[str, Any]]:
    """Curves with structure to learn: larger is slower and mostly better, some candidates are poor everywhere."""
    generator = np.random.default_rng(seed)
    size = np.sort(generator.uniform(6.0, 9.0, candidates))
    quality = generator.normal(0.0, 0.3, candidates)
    rows = []
    for dataset in range(datasets):
        own = generator.normal(0.0, 0.1, candidates)
        for candidate in range(candidates):
            floor = 0.2 + max(0.05, 0.9 - 0.2 * (size[candidate] - 6.0) + quality[candidate] + own[candidate])
            train = [0.0] + [10 ** (size[candidate] - 7.0) * 2.0**step for step in range(steps)]
            told = curve_rows(
                f"dataset-{dataset}",
                f"candidate-{candidate:02d}",
                losses=[floor + 1.5 * 0.5**step for step in range(steps + 1)],
                train=train,
                step=[0.1 + 1.2 * seconds for seconds in train],
            )
            rows += [{**row, "parameters": int(10 ** size[candidate])} for row in told]
    return rows


def family_tasks(datasets: int, candidates: int, *, seed: int = 0, steps: int = 5) -> tuple[Task, ...]:
    """`family_rows` as tasks."""
    with tempfile.TemporaryDirectory() as folder:
        write_meta_dataset(Path(folder), family_rows(datasets, candidates, seed=seed, steps=steps))
        return read_tasks(Path(folder), parse_objectives())


@st.composite
def made_task(draw: st.DrawFn) -> Task:
    """A random task of 2 to 7 candidates with curves of unequal length, at least two of them complete."""
    generator = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    count, longest = int(generator.integers(2, 8)), int(generator.integers(2, 7))
    rows = generator.integers(1, longest + 1, count)
    rows[0] = longest
    complete = generator.random(count) < 0.8
    complete[:2] = True
    behind = np.arange(longest) >= rows[:, None]
    losses = np.where(behind, np.nan, generator.uniform(0.1, 3.0, (count, longest)))
    train = generator.uniform(0.0, 9.0, (count, longest))
    train[:, 0] = 0.0
    times = np.where(behind, np.nan, np.cumsum(train + np.arange(count)[:, None] / 7.0, axis=1))
    return Task(
        dataset=f"made-{draw(st.integers(0, 10**6))}",
        seed=0,
        source="simulated",
        candidates=tuple(f"m{index}" for index in sorted(generator.permutation(9)[:count])),
        objectives=parse_objectives(),
        rows=rows,
        complete=complete,
        values=np.stack([losses, times], axis=2),
        losses=losses,
        step_seconds=np.where(behind, 0.0, train + generator.uniform(0.1, 1.0, (count, longest))),
        parameters=generator.uniform(1e6, 1e9, count),
        epoch_cost=generator.uniform(1e6, 1e9, count),
    )

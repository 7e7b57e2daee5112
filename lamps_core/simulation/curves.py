"""Simulated learning curves at the paper's scale: its 70 candidates on its nine datasets.

A stand-in where no GPU has recorded real ones, never to be shown as such: every row says `source = simulated`.
Draws each pair's law of loss and cost (`loss`, `cost`, from `facts`), runs the
landmark steps and the stopping criterion of `settings` over them, and writes one file. What it can and cannot
tell: `docs/decisions/simulation.md`. Imports neither torch nor Prefect.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from lamps_core import __version__
from lamps_core.curves.schema import CURVE_SCHEMA, CurveRows, curves_parquet
from lamps_core.errors import BadInput
from lamps_core.files import make_folder, usable_folder, write_atomically
from lamps_core.landmarks import landmark_rows
from lamps_core.registry import registered_models
from lamps_core.settings import FineTuningSettings
from lamps_core.simulation.cost import BATCH_ROWS, DEVICE, step_cost
from lamps_core.simulation.facts import DATASETS, body_of
from lamps_core.simulation.loss import accuracy_of, generator, loss_law, noise_sd, slow_candidate
from lamps_core.storage import HIDDEN, refuse_url, storage_failures

if TYPE_CHECKING:
    from pathlib import Path

    from lamps_core.registry import RegisteredModel
    from lamps_core.simulation.facts import Body, SimulatedDataset
    from lamps_core.simulation.loss import LossLaw

FILE = "simulated.parquet"
SECONDS_SD = 0.03  # of the logarithm of a time: no two runs of a step take as long. A guess


def simulated_curves(seed: int = 0) -> pa.Table:
    """Simulate every candidate of `data/models.yaml` on every dataset, each to its stopping criterion.

    Args:
        seed: of all chance; another seed is another world of candidates and datasets, not another run of one.

    Returns:
        A table in `curves.schema.CURVE_SCHEMA`, sorted by dataset, model and step. Seconds are those of one GPU.

    Raises:
        BadInput: a seed that no fine-tune may have.
    """
    settings = FineTuningSettings(seed=seed)
    models = registered_models()
    bodies = {name: body_of(model) for name, model in models.items()}
    slow = slow_candidate(seed, bodies)
    rows: list[dict[str, Any]] = []
    for dataset in DATASETS:
        for name, model in models.items():
            law = loss_law(model, bodies[name], dataset, seed=seed, slow=name == slow)
            rows += _curve(model, bodies[name], dataset, law, settings)
    table = pa.Table.from_pylist(rows, schema=CURVE_SCHEMA)
    return table.sort_by([(name, "ascending") for name in ("dataset", "model", "seed", "step")])


def write_simulation(folder: Path, *, seed: int = 0) -> pa.Table:
    """Write simulated curves as one file, whole or not at all.

    Args:
        folder: new or empty, so that simulated curves never stand beside others.
        seed: as in `simulated_curves`.

    Returns:
        The table that was written.

    Raises:
        BadInput: the folder holds something or cannot be made, or the seed is none.
        StorageFailed: it cannot be written.
    """
    _check_folder(folder)
    table = simulated_curves(seed)
    CurveRows.join([table], (folder / FILE,)).check()
    try:
        make_folder(folder)
    except OSError as error:  # where nobody can make one, as in /proc
        raise BadInput(f"--out {folder} cannot be written: {error.strerror or error}") from error
    with storage_failures(folder):
        write_atomically(folder / FILE, curves_parquet(table))
    return table


def simulate(folder: Path, *, seed: int = 0) -> dict[str, Any]:
    """Write simulated curves, and count them.

    Args:
        folder: as in `write_simulation`.
        seed: as in `simulated_curves`.

    Returns:
        Where they are, and what they come to: counts, and the GPU hours of an exhaustive search.

    Raises:
        BadInput: as `write_simulation`; or the folder is of an object store.
        StorageFailed: it cannot be written.
    """
    refuse_url(
        folder, f"--out {folder}: lamps simulate writes a folder of this host; copy it to a store then"
    )
    return {"curves": str(folder), "seed": seed, **summary(write_simulation(folder, seed=seed))}


def summary(table: pa.Table) -> dict[str, Any]:
    """What a table of simulated curves comes to: counts, and the GPU hours of an exhaustive search."""
    return {
        "candidates": len(table["model"].unique()),
        "datasets": len(table["dataset"].unique()),
        "steps": len(table),
        "gpu_hours": float(np.sum(table["step_seconds"].to_numpy())) / 3600,
    }


def _check_folder(folder: Path) -> None:
    with usable_folder(folder, f"--out {folder}"):
        # Hidden names are drafts and the like, but for a campaign's own.
        found = sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []
    held = [name for name in found if not name.startswith(".") or name == HIDDEN]
    if held:
        raise BadInput(
            f"--out {folder} already holds {held[0]}: name a new folder, so that simulated curves stand alone"
        )


def _curve(
    model: RegisteredModel,
    body: Body,
    dataset: SimulatedDataset,
    law: LossLaw,
    settings: FineTuningSettings,
) -> list[dict[str, Any]]:
    """The rows of one pair, step 0 to the one that meets the stopping criterion."""
    sizes = (0, *landmark_rows(dataset.train_rows, landmarks=settings.landmarks))
    chance = generator(settings.seed, "steps", model.id, dataset.name)
    rows: list[dict[str, Any]] = []
    losses: list[float] = []
    seen = 0
    while not settings.is_complete(losses):
        step = len(losses)
        trained = sizes[min(step, settings.landmarks)]
        seen += trained
        epochs = max(0, step - settings.landmarks + 1)
        noise = noise_sd(step, dataset.test_rows) * chance.standard_normal()
        losses.append(law.at(step, seen, epochs) * math.exp(noise))
        cost = step_cost(model.parameters, body, dataset, rows=trained, step=step)
        slower = math.exp(SECONDS_SD * chance.standard_normal())
        rows.append(
            {
                "dataset": dataset.name,
                "model": model.id,
                "seed": settings.seed,
                "step": step,
                "test_loss": losses[-1],
                "train_seconds": slower * cost.train_seconds,
                "step_seconds": slower * (cost.train_seconds + cost.evaluate_seconds + cost.overhead_seconds),
                "parameters": model.parameters,
                "complete": settings.is_complete(losses),
                "source": "simulated",
                "train_rows": trained,
                "accuracy": accuracy_of(losses[-1], dataset),
                "eval_rows_per_second": dataset.test_rows / (slower * cost.evaluate_seconds),
                "peak_memory_bytes": round(cost.plan.memory_bytes),
                "train_flops": cost.train_flops,
                "batch_size": BATCH_ROWS,
                "gpus": 1,  # seconds are those of one, so seconds times gpus are GPU seconds
                "device": DEVICE,
                "dtype": "bf16",
                "lamps_version": __version__,
            }
        )
    return rows

"""How busy a campaign keeps its slots, and whether its memory grows: `python -m benchmarks.campaign_scale`.

Everything is real (the flow, its tasks on a Prefect server, the schedule, the rows in the curves folder) but the
training: a step sleeps for a set time where a worker process would train. The baseline is the ideal: slots that
never wait.

    python -m benchmarks.campaign_scale                  10,000 steps of 0.05 s, then shorter runs of 0.5 s and 2 s
    python -m benchmarks.campaign_scale --seconds 2 --steps 400
"""

from __future__ import annotations

import argparse
import csv
import os
import subprocess
import sys
import tempfile
import threading
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil

from benchmarks.ratios import Ratio, tell
from lamps_cli.server import prefect_server, quieten_prefect

if TYPE_CHECKING:
    from lamps_core.fine_tuning.steps import StepRequest

SLOTS = 8
STEPS_OF_A_PAIR = 13  # K = 8 landmarks, and five full epochs until early stopping
RUNS = ((0.05, 10_000), (0.5, 1_664), (2.0, 416))  # seconds of a step, steps: as many pairs for each slot
MEBIBYTE = 2**20


class Simulated:
    """An execution whose steps sleep; counts what it slept."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.slept = 0.0
        self.first = self.last = 0.0
        self._lock = threading.Lock()

    def make_ready(self) -> None:
        """Nothing: there are no workers."""

    def run_step(self, request: StepRequest, *, timeout_seconds: float | None = None) -> dict[str, Any]:
        """A row as a worker would give it, after a while."""
        started = time.monotonic()
        time.sleep(self.seconds)
        ended = time.monotonic()
        with self._lock:
            self.first = self.first or started
            self.last = ended
            self.slept += ended - started
        training = self.seconds if request.step else 0.0
        return {
            "model": request.name,
            "seed": request.settings["seed"],
            "step": request.step,
            "test_loss": 1.0 / (1 + request.step),
            "train_seconds": training,
            "step_seconds": ended - started,
            "parameters": 1000,
            "complete": request.step + 1 == STEPS_OF_A_PAIR,
            "source": "simulated",
            "created_at": datetime.now(UTC).isoformat(),
        }

    def close(self) -> None:
        """Nothing runs."""


class Memory:
    """This process's resident memory once a second, while the `with` block runs."""

    def __enter__(self) -> Memory:
        self.samples: list[float] = []
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._sample, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._ended.set()
        self._thread.join()

    def _sample(self) -> None:
        process = psutil.Process()
        while not self._ended.wait(1.0):
            self.samples.append(process.memory_info().rss / MEBIBYTE)

    def growth(self) -> tuple[float, float]:
        """MiB at a fifth of the run, when everything is loaded, and at its end."""
        return self.samples[len(self.samples) // 5], self.samples[-1]


def small_datasets(folder: Path, count: int) -> str:
    """CSV files of a few rows each."""
    paths = []
    for number in range(count):
        path = folder / f"data{number:03}.csv"
        with path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(["text", "label"])
            writer.writerows((f"row {row} of {number}", row % 2) for row in range(20))
        paths.append(str(path))
    return ",".join(paths)


def measure(seconds: float, steps: int, folder: Path) -> None:
    """Run one campaign and print what it did."""
    from prefect import flow

    from flows.artifacts import ProgressArtifact
    from flows.campaign import campaign_request, run_steps
    from flows.engines import LocalEngine
    from lamps_core.campaign.run import CampaignRun
    from lamps_core.models.zoo import zoo_names
    from lamps_core.workers import execution

    pairs = -(-steps // STEPS_OF_A_PAIR)
    models = zoo_names()[: min(len(zoo_names()), pairs)]
    request = campaign_request(
        datasets=small_datasets(folder, -(-pairs // len(models))),
        models=",".join(models),
        curves=str(folder / "curves"),
        input_col="text",
        target_col="label",
    )

    @flow(name="campaign-scale", persist_result=False)
    def scale() -> tuple[Simulated, int]:
        run = CampaignRun(request)
        engine, simulated = LocalEngine(run.survey.id, parallel=SLOTS), Simulated(seconds)
        with run.opened(engine.machine()), engine:
            execution.begin(run.survey.id, simulated)  # type: ignore[arg-type]
            run_steps(run, engine, ProgressArtifact("the campaign"))
        if failed := run.result()["failed"]:
            raise SystemExit(f"{len(failed)} pairs failed; the first: {failed[0]['error']}")
        return simulated, run.steps

    with Memory() as memory:
        simulated, done = scale()
    wall = simulated.last - simulated.first
    used = simulated.slept / (SLOTS * wall)
    before, after = memory.growth()
    print(
        f"{seconds:g} s a step, {done} steps on {SLOTS} slots: utilisation {used:.3f} of the ideal, "
        f"{done / wall:.1f} steps a second, {1000 * (wall * SLOTS / done - seconds):.0f} ms of a slot between two "
        f"steps; memory of the flow {before:.0f} MiB at a fifth, {after:.0f} MiB at the end",
        flush=True,
    )
    tell(
        Ratio(
            what=f"{SLOTS} slots busy with steps of {seconds:g} s",
            value=used,
            over="slots that never wait",
            goal=">= 0.9",
        )
    )
    tell(Ratio(what="memory of the flow at the end", value=after / before, over="at a fifth", goal="1"))


def main() -> None:
    """Run one size, or all of them."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=float, help="of a step")
    parser.add_argument("--steps", type=int, default=480)
    options = parser.parse_args()
    if options.seconds is None:  # each on a server of its own: one that still records the run before is slow
        for seconds, steps in RUNS:
            size = ["--seconds", str(seconds), "--steps", str(steps)]
            subprocess.run([sys.executable, "-m", "benchmarks.campaign_scale", *size], check=True)
        return
    quieten_prefect()
    with tempfile.TemporaryDirectory(prefix="lamps-bench-") as folder:
        os.environ.setdefault("PREFECT_HOME", f"{folder}/prefect")
        with prefect_server() as wait_until_ready:
            wait_until_ready()
            measure(options.seconds, options.steps, Path(folder))


if __name__ == "__main__":
    main()

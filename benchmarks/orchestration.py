"""What lies between two landmark steps: decision, Prefect task, journal, curves, display, in milliseconds.

Runs a real search flow against the Prefect server of PREFECT_API_URL, or a temporary one, and compares the
wall time of the loop with the sum of `step_seconds`. The baseline is the same search in a plain loop without
Prefect.

    python -m benchmarks.orchestration [--steps 60]
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.ratios import Ratio, tell
from lamps_cli.server import prefect_server, quieten_prefect
from lamps_core.docstrings import write_docstrings
from lamps_core.progress import SearchProgress, listener
from lamps_core.search.algorithm import Outcome
from lamps_core.search.run import SearchRun

MODELS = "zoo/bert-tiny,zoo/distilbert-tiny,zoo/albert-tiny"


class Gaps:
    """Listens to a search; the time between two steps is what the wall clock has and the steps have not."""

    def __init__(self) -> None:
        self.seconds: list[float] = []
        self._last: tuple[int, float, float] | None = None

    def update(self, event: SearchProgress) -> None:
        """Note when a step was told."""
        if self._last is not None and event.steps_done == self._last[0]:
            return
        if event.running:
            return
        now = (event.steps_done, time.monotonic(), event.spent_seconds)
        if self._last is not None and event.steps_done == self._last[0] + 1:
            self.seconds.append((now[1] - self._last[1]) - (now[2] - self._last[2]))
        self._last = now


def parameters(data: Path, out: Path, steps: int) -> dict[str, Any]:
    """The same small search, in a folder of its own."""
    return {
        "dataset": str(data),
        "input_col": "text",
        "target_col": "topic",
        "models": MODELS,
        "max_train_rows": 1000,
        "budget": f"{steps}steps",
        "out": str(out),
    }


def plain_loop(run: SearchRun) -> None:
    """The search without Prefect."""
    while (started := run.ask()) is not None:
        action, request = started
        record = run.execution.run_step(request)
        seconds = record["step_seconds"]
        run.tell(
            Outcome(kind="step", candidate=action.candidate, step=action.step, seconds=seconds, record=record)
        )


def show(name: str, seconds: list[float]) -> float:
    """One line of the table; returns the median."""
    middle = statistics.median(seconds)
    worst = sorted(seconds)[int(0.95 * len(seconds))]
    print(f"{name:24s} median {1000 * middle:6.1f} ms   95 % {1000 * worst:6.1f} ms   steps {len(seconds)}")
    return middle


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=60)
    steps = parser.parse_args().steps
    quieten_prefect()
    from flows.search import search, search_request

    with tempfile.TemporaryDirectory() as temporary, prefect_server() as wait_until_ready:
        folder = Path(temporary)
        write_docstrings(folder / "docstrings.csv", rows=1500)
        bare, flow = Gaps(), Gaps()
        listener.set(bare.update)
        with SearchRun(
            search_request(**parameters(folder / "docstrings.csv", folder / "bare", steps))
        ) as run:
            plain_loop(run)
        wait_until_ready()
        listener.set(flow.update)
        search(**parameters(folder / "docstrings.csv", folder / "flow", steps))
    base = show("plain loop", bare.seconds)
    through = show("Prefect flow", flow.seconds)
    tell(Ratio(what="between two steps of the Prefect flow", value=through / base, over="a plain loop"))
    tell(Ratio(what="the same", value=1000 * through, over="", goal="< 50 ms", unit="ms"))


if __name__ == "__main__":
    main()

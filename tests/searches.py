"""What tests of a search share: quick settings, a plain loop in the place of the flow, broken model folders."""

from __future__ import annotations

import json
import shutil
import time
from typing import TYPE_CHECKING, Any

import numpy as np
import psutil
import safetensors.numpy

from lamps_core.errors import BudgetSpent, CandidateFailed
from lamps_core.meta_dataset import read_tasks
from lamps_core.models.zoo import materialise
from lamps_core.objectives import parse_objectives
from lamps_core.policy_file import write_policy
from lamps_core.policy_training.forecast import train
from lamps_core.policy_training.training_run import TrainingRun
from lamps_core.search.algorithm import Outcome
from lamps_core.search.budget import parse_budget
from lamps_core.search.request import SearchRequest
from lamps_core.search.run import SearchRun
from lamps_core.settings import FineTuningSettings
from lamps_core.text.dataset import DatasetRequest
from tests.meta_datasets import curve_rows, write_meta_dataset

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

TINY = "zoo/bert-tiny"
BETTER = "zoo/gpt2-tiny"  # larger, and of a lower loss after two epochs: with TINY it makes a front of two
MODELS = f"{TINY},{BETTER}"
STEPS_EACH = 4  # zero-shot, half of the rows, all of them twice
QUICK = FineTuningSettings(landmarks=2, max_epochs=2)
OBJECTIVES = "test_loss,parameters"  # no time among them: the noise of the clock decides nothing
TIMES = frozenset(
    {
        "spent_seconds", "lost_seconds", "train_seconds", "seconds", "command",
        "expected_gain", "expected_gain_seconds", "expected_gain_per_hour",
    }
)  # fmt: skip


def quick_request(
    csv: Path,
    out: Path,
    *,
    selection_split: str | None = None,
    max_train_rows: int | None = None,
    **changes: Any,
) -> SearchRequest:
    """A search that takes seconds."""
    data = DatasetRequest(
        str(csv), ("phrase",), "topic", selection_split=selection_split, max_train_rows=max_train_rows
    )
    chosen: dict[str, Any] = {
        "models": MODELS,
        "policy": "cheapest",  # decides alike whatever the clock says
        "objectives": parse_objectives(OBJECTIVES),
        "budget": parse_budget(None),
        "settings": QUICK,
    }
    return SearchRequest(data=data, out=out, **(chosen | changes))


def run_steps(run: SearchRun, limit: int | None = None) -> int:
    """What the flow does without its Prefect, one step at a time; returns how many were run."""
    done = 0
    while (limit is None or done < limit) and (started := run.ask()) is not None:
        action, request = started
        name, step = action.candidate, action.step
        try:
            record = run.execution.run_step(request)
            seconds = run.seconds_of(action)
            outcome = Outcome(kind="step", candidate=name, step=step, seconds=seconds, record=record)
        except BudgetSpent:
            seconds = run.seconds_of(action)
            outcome = Outcome(kind="cut", candidate=name, step=step, seconds=seconds)
        except CandidateFailed as error:
            seconds = run.seconds_of(action)
            outcome = Outcome(kind="failed", candidate=name, step=step, seconds=seconds, error=str(error))
        run.tell(outcome)
        done += 1
    return done


def run_to_the_end(request: SearchRequest) -> dict[str, Any]:
    """Every step, the exports, and the result; goes on where the folder holds a part of it."""
    with SearchRun(request) as run:
        run_steps(run)
        for export in run.exports():
            run.exported(export.last.name, run.execution.export(export))
        return run.finish()


def without_times(value: Any) -> Any:
    """A result less what a clock measured, and the command, which names the folder."""
    if isinstance(value, dict):
        return {key: without_times(item) for key, item in value.items() if key not in TIMES}
    return [without_times(item) for item in value] if isinstance(value, list) else value


def journal_events(out: Path) -> list[dict[str, Any]]:
    """What came of the search so far: no line that is being written, and none of what was started."""
    content = (out / "journal.jsonl").read_bytes()
    lines = content[: content.rfind(b"\n") + 1].splitlines()
    events = (json.loads(line) for line in lines[1:])
    return [event for event in events if event["event"] not in {"started", "begun"}]


def steps_on_record(out: Path) -> list[tuple[str, int]]:
    """(candidate, step) of every step done, in order."""
    return [
        (event["candidate"], event["step"]) for event in journal_events(out) if event.get("kind") == "step"
    ]


def forecasting_policy(folder: Path, models: str = MODELS) -> Path:
    """A policy learned from made-up curves of the candidates of a quick search, each worse than the one before."""
    rows = [
        row | {"accuracy": 1.0 / (1.0 + row["test_loss"])}
        for dataset in ("a", "b", "c")
        for place, model in enumerate(models.split(","))
        for row in curve_rows(dataset, model, losses=[0.7 * place + floor for floor in (1.2, 0.5, 0.2)])
    ]
    curves = read_tasks(write_meta_dataset(folder / "curves", rows), parse_objectives(OBJECTIVES))
    write_policy(folder / "policy.zip", train(curves, seed=0, run=TrainingRun()))
    return folder / "policy.zip"


def truncated_model(folder: Path) -> Path:
    """A model folder whose weights end in the middle."""
    shutil.copytree(materialise(TINY), folder)
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[: weights.stat().st_size // 2])
    return folder


def foreign_model(folder: Path) -> Path:
    """A model folder whose weights are another model's: it passes every check made before it is loaded."""
    shutil.copytree(materialise(TINY), folder)
    path = str(folder / "model.safetensors")
    weights = {f"other.{name}": tensor for name, tensor in safetensors.numpy.load_file(path).items()}
    safetensors.numpy.save_file(weights, path, metadata={"format": "pt"})
    return folder


def nan_model(folder: Path) -> Path:
    """A model folder that loads, and whose every output is not a number."""
    shutil.copytree(materialise(TINY), folder)
    path = str(folder / "model.safetensors")
    weights = safetensors.numpy.load_file(path)
    poisoned = {name: np.full_like(tensor, np.nan) for name, tensor in weights.items()}
    safetensors.numpy.save_file(poisoned, path, metadata={"format": "pt"})
    return folder


def eventually(found: Callable[[], Any], *, seconds: float = 180.0, what: str = "it") -> Any:
    """The first true answer, asked for again and again until a deadline."""
    deadline = time.monotonic() + seconds
    while not (answer := found()):
        assert time.monotonic() < deadline, f"{what} did not happen within {seconds:g} s"
        time.sleep(0.02)
    return answer


def workers_of(pid: int) -> list[psutil.Process]:
    """The processes that run landmark steps: children of the fork server, which is a child of ours."""
    return list(_workers_of(pid))


def _workers_of(pid: int) -> Iterator[psutil.Process]:
    for child in psutil.Process(pid).children():
        try:
            if any("forkserver" in word for word in child.cmdline()):
                yield from child.children()
        except psutil.NoSuchProcess:
            continue

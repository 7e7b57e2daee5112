"""Learning curves in experiment trackers, through accelerate's: one run for a candidate on a dataset.

Owns what a run is called, which row it holds already, and the thread that tells them: a tracker that is slow or
gone costs a search or campaign nothing, and the next run sends the rows that this one could not. Only the process of
the flow has trackers: workers need neither their packages nor their servers.
"""

from __future__ import annotations

import importlib.util
import json
import logging
import os
import threading
import uuid
from dataclasses import dataclass, field
from functools import partial
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any

from lamps_core.curves.schema import MEASURED_COLUMNS, CurveKey, curve_stem
from lamps_core.errors import BadInput, first_line, without_credentials
from lamps_core.files import safe_name, write_json
from lamps_core.workers.worker import leave_ranks

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    Row = Mapping[str, Any]

# Of each tracker, as imported.
PACKAGES = {"tensorboard": "tensorboard", "mlflow": "mlflow", "wandb": "wandb"}
CLOSE_SECONDS = 60.0  # that the end of a search waits for a tracker that is slow
HASTE_SECONDS = 3.0  # and the end of one that was stopped
OFFLINE = "offline"  # W&B's mode unless the environment names another
_OF_A_RUN = ("device", "dtype", "gpus", "parameters", "lamps_version", "source")  # the same in every row
_METRICS = tuple(name for name in MEASURED_COLUMNS if name not in _OF_A_RUN)


def parse_trackers(text: str | None) -> tuple[str, ...]:
    """What `--track` takes: names with commas.

    Raises:
        BadInput: one is unknown, or its package is not installed.

    >>> parse_trackers(" tensorboard, tensorboard")
    ('tensorboard',)
    """
    names = tuple(dict.fromkeys(name for part in (text or "").split(",") if (name := part.strip().lower())))
    for name in names:
        if name not in PACKAGES:
            raise BadInput(f"--track must be of {', '.join(PACKAGES)}, not {name}")
        if importlib.util.find_spec(PACKAGES[name]) is None:
            raise BadInput(f"--track {name} needs its package: pip install 'lamps[{name}]'")
    return names


@dataclass
class _Run:
    """A tracker's run of one curve.

    Attributes:
        place: where the tracker keeps it, see `_place`.
        id: names it at the tracker; of MLflow, None until its first row.
        steps: rows that it holds.
        seconds: of training, up to the last of them.
        open: the tracker's own object, where it stays open.
    """

    place: str
    id: str | None
    steps: int = 0
    seconds: float = 0.0
    open: Any = field(default=None, repr=False)


class Tracking:
    """The trackers of one search or campaign."""

    def __init__(
        self, names: Sequence[str], folder: Path, *, failed: Callable[[str], None] = lambda words: None
    ) -> None:
        """Nothing is written before the first row is told.

        Args:
            names: from `parse_trackers`.
            folder: what the trackers write on this machine, and which rows they have been told.
            failed: told, from another thread, that a tracker cannot be used any longer.
        """
        self._folder = folder
        self._failed = failed
        self._names = list(names)
        self._runs: dict[tuple[str, CurveKey], _Run] = {}
        self._queue: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._thread: threading.Thread | None = None

    def tell(self, key: CurveKey, rows: Sequence[Row], settings: Row, *, ended: bool) -> None:
        """Take in rows of a curve; those that a tracker has are passed over.

        Args:
            key: names the curve.
            rows: rows of the curves' schema, one after another.
            settings: of its fine-tune, for the run's configuration.
            ended: whether no more will come.
        """
        if not self._names or not (rows or ended):
            return
        if self._thread is None:
            self._thread = threading.Thread(target=self._serve, name="trackers", daemon=True)
            self._thread.start()
        told = [dict(row) for row in rows]
        self._queue.put(lambda: self._tell_all(key, told, settings, ended=ended))

    def forget(self, key: CurveKey) -> None:
        """Begin another run of the tracker for a curve that is made a second time; call it before its first new row.

        Args:
            key: names the curve.
        """
        for name in PACKAGES:  # of a tracker that has no part in this life, the next one may
            self._state_file(name, key).unlink(missing_ok=True)

    def close(self, *, in_haste: bool = False) -> None:
        """Wait until everything is told, for a minute at most.

        Args:
            in_haste: wait no longer than a person does who pressed Ctrl-C.
        """
        if self._thread is None:
            return
        self._queue.put(self._close_runs)
        self._queue.put(None)
        limit = HASTE_SECONDS if in_haste else CLOSE_SECONDS
        self._thread.join(limit)
        if self._thread.is_alive():
            told = f"not everything was told within {limit:.0f} s"
            self._failed(f"--track {','.join(self._names)}: {told}: run the same command again to go on")
        self._thread = None

    # --- in the thread ---------------------------------------------------------------------------------

    def _serve(self) -> None:
        try:
            ours = _prepare(self._folder)
        except Exception as error:
            for name in list(self._names):
                self._give_up(name, error)
            return
        while (work := self._queue.get()) is not None:
            work()
        for name in ours:  # the next search in this process has another folder
            os.environ.pop(name, None)

    def _tell_all(self, key: CurveKey, rows: list[dict[str, Any]], settings: Row, *, ended: bool) -> None:
        for name in list(self._names):
            self._guarded(name, partial(self._tell_one, name, key, rows, settings, ended=ended))

    def _guarded(self, name: str, work: Callable[[], None]) -> None:
        """Do something with a tracker, which is given up when it fails."""
        try:
            work()
        except Exception as error:  # whatever a tracker's own library raises
            self._give_up(name, error)

    def _give_up(self, name: str, error: Exception) -> None:
        self._names.remove(name)
        told = "mend it, then run the same command again, and what is missing is told"
        self._failed(f"--track {name} was given up ({first_line(error)}): {told}")

    def _tell_one(
        self, name: str, key: CurveKey, rows: list[dict[str, Any]], settings: Row, *, ended: bool
    ) -> None:
        run = self._run(name, key)
        new = [row for row in rows if int(row["step"]) >= run.steps]
        if new:
            tracker = run.open or _started(
                name, key, run, self._folder, _configuration(key, new[0], settings)
            )
            for row in new:
                run.seconds += row["train_seconds"]
                tracker.log(_metrics(row, run.seconds), step=int(row["step"]))
                run.steps = int(row["step"]) + 1
            run.open = tracker
            if name == "mlflow":  # it has one open run in a thread
                run.id = tracker.tracker.info.run_id
        if run.open is not None and (ended or name == "mlflow"):
            run.open.finish()
            run.open = None
        if new:
            state = {"place": run.place, "id": run.id, "steps": run.steps, "seconds": run.seconds}
            write_json(self._state_file(name, key), state)
        if ended:
            self._runs.pop((name, key), None)

    def _run(self, name: str, key: CurveKey) -> _Run:
        if (name, key) not in self._runs:
            path, place = self._state_file(name, key), _place(name)
            found = json.loads(path.read_bytes()) if path.exists() else {}
            if found.get("place") != place:  # another server knows nothing of what the first one was told
                found = {"place": place, "id": uuid.uuid4().hex[:16] if name == "wandb" else None}
            self._runs[name, key] = _Run(**found)
        return self._runs[name, key]

    def _state_file(self, name: str, key: CurveKey) -> Path:
        return self._folder / "told" / name / f"{curve_stem(key)}.json"

    def _close_runs(self) -> None:
        for (name, _), run in self._runs.items():
            if run.open is not None and name in self._names:
                self._guarded(name, run.open.finish)


# --- one tracker ---------------------------------------------------------------------------------------


def _place(name: str) -> str:
    """Where a tracker keeps its runs: empty in the folder, else the server that the environment names."""
    if name == "wandb":
        mode = os.environ.get("WANDB_MODE", OFFLINE)
        return "" if mode == OFFLINE else mode + " " + os.environ.get("WANDB_BASE_URL", "")
    return without_credentials(os.environ.get("MLFLOW_TRACKING_URI", "")) if name == "mlflow" else ""


def _prepare(folder: Path) -> list[str]:
    """Keep the trackers' libraries quiet, inside the folder, and from calling home.

    Returns:
        The variables that this set.
    """
    from accelerate import PartialState

    # accelerate's trackers ask it which process this is; a GPU is none of their business, nor is whoever launched it
    ranks = leave_ranks()
    try:
        PartialState(cpu=True)
    finally:
        os.environ.update(ranks)
    defaults = {
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "MLFLOW_LOGGING_LEVEL": "WARNING",
        "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
        "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
        "WANDB_SILENT": "true",
        "WANDB_CACHE_DIR": str(folder / "wandb" / "cache"),
        "WANDB_CONFIG_DIR": str(folder / "wandb" / "config"),
        "WANDB_DATA_DIR": str(folder / "wandb" / "data"),
    }
    ours = [name for name in defaults if name not in os.environ]
    os.environ.update({name: defaults[name] for name in ours})
    logging.getLogger("alembic").setLevel(logging.WARNING)
    return ours


def _started(name: str, key: CurveKey, run: _Run, folder: Path, configuration: dict[str, Any]) -> Any:
    """The tracker's object of a run, which is begun or gone on with."""
    from accelerate.tracking import LOGGER_TYPE_TO_CLASS

    project = "lamps-" + safe_name(key.dataset)
    title = key.model if key.seed == 0 else f"{key.model}-s{key.seed}"
    make = LOGGER_TYPE_TO_CLASS[name]
    first = run.steps == 0
    if name == "tensorboard":
        place = str(folder / "tensorboard" / project)
        # Of a curve that was given up, none shows.
        tracker = make(safe_name(title), place, purge_step=run.steps)
    elif name == "mlflow":
        tracker = make(project, _mlflow_artifacts(folder), run_id=run.id, run_name=title)
    else:
        (folder / "wandb").mkdir(parents=True, exist_ok=True)
        tracker = make(
            os.environ.get("WANDB_PROJECT", project), **_wandb_options(title, run, folder, configuration)
        )
    tracker.start()
    # W&B's configuration is an option: accelerate's way is for one run in a process.
    if first and name != "wandb":
        tracker.store_init_configuration(configuration)
    return tracker


def _mlflow_artifacts(folder: Path) -> str | None:
    """Where MLflow's experiment may keep files; also makes its store a database in the folder, if it has no other."""
    import mlflow

    if asked := os.environ.get("MLFLOW_TRACKING_URI"):
        mlflow.set_tracking_uri(asked)
        return None
    own = (folder / "mlflow").resolve()
    own.mkdir(parents=True, exist_ok=True)
    mlflow.set_tracking_uri(f"sqlite:///{own / 'mlflow.db'}")
    os.environ.pop("MLFLOW_TRACKING_URI", None)  # where MLflow notes it: the next search has another folder
    return str(own / "artifacts")


def _wandb_options(title: str, run: _Run, folder: Path, configuration: dict[str, Any]) -> dict[str, Any]:
    import wandb

    return {
        "name": title,
        "id": run.id,
        "resume": "allow",
        "config": configuration,
        "dir": str(folder),
        "mode": os.environ.get("WANDB_MODE", OFFLINE),
        "reinit": "create_new",  # several runs are open at once
        # Nothing but the curve: not what this process prints, not its command line, host or git repository.
        "settings": wandb.Settings(
            silent=True,
            init_timeout=30,
            login_timeout=15,
            console="off",
            disable_git=True,
            save_code=False,
            x_disable_meta=True,
            x_disable_stats=True,
        ),
    }


def _configuration(key: CurveKey, row: Row, settings: Row) -> dict[str, Any]:
    told = {"model": key.model, "dataset": key.dataset} | dict(settings)
    told |= {name: row[name] for name in _OF_A_RUN if name in row}
    return {name: value for name, value in told.items() if value is not None}


def _metrics(row: Row, seconds_so_far: float) -> dict[str, float]:
    """The numbers of a row; training seconds also as the sum so far, which is what a search minimises."""
    told = {name: row[name] for name in _METRICS if row.get(name) is not None}
    return told | {"train_seconds_so_far": seconds_so_far}

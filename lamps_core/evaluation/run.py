"""An evaluation on disk: what is asked, which units are missing, what all of them come to.

Every finished unit lands in `OUT/.parts/` under a name derived from all that its result depends on, so that another
run does only what is missing. Runs nothing itself: it is asked for units and told their results.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from typing import TYPE_CHECKING, Any

from lamps_core import __version__
from lamps_core.errors import BadInput, LampsError, StorageFailed
from lamps_core.evaluation.methods import contenders
from lamps_core.evaluation.record import RESULT, write_evaluation
from lamps_core.evaluation.request import check_limits, check_request, costless
from lamps_core.evaluation.summary import KEY, ORACLE, ORACLE_SECONDS, in_words, summarise
from lamps_core.evaluation.unit import Unit
from lamps_core.files import json_object, usable_folder, write_json
from lamps_core.fingerprints import curves_fingerprint, objectives_fingerprint
from lamps_core.locks import locked
from lamps_core.meta_dataset import read_tasks, usable
from lamps_core.progress import EvaluationProgress, publish
from lamps_core.report_words import counted
from lamps_core.reports.evaluation import write_pages
from lamps_core.storage import storage_failures

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from lamps_core.evaluation.methods import Contender
    from lamps_core.evaluation.request import EvaluationRequest

PARTS = ".parts"
Row = dict[str, Any]


class EvaluationRun:
    """One evaluation: `opened`, asked for units, told of parts, finished."""

    def __init__(self, request: EvaluationRequest) -> None:
        """Check everything that was asked; nothing is written.

        Raises:
            BadInput: names what cannot be used and how to mend it.
        """
        check_request(request)
        self.request = request
        self.notices: list[str] = []
        found = read_tasks(request.curves, request.objectives, left_out=self.notices.append)
        self.tasks = usable(found, costless, left_out=self.notices.append)
        try:
            self.contenders, notices = contenders(request.methods, request.policies, self.tasks)
        except BadInput as error:  # it may be for want of a dataset that is there and was left out
            raise BadInput("; ".join([str(error), *self.notices])) from error
        self.notices += notices
        check_limits(request.limits, self.contenders)
        self.fingerprint = curves_fingerprint(self.tasks)
        self.parallel = request.parallel or len(os.sched_getaffinity(0))
        self._refuse_another()
        self.units = self._units()
        self.parts: dict[str, Row] = {}  # by unit key
        self.failed: list[Row] = []
        self.running: dict[str, Unit] = {}
        self._shares: dict[str, float] = {}  # done, of the trainings in flight
        self._message = ""

    # --- the folder ------------------------------------------------------------------------------------

    @property
    def _folder(self) -> Path:
        return self.request.out / PARTS

    def _about(self) -> Row:
        """What all parts of a folder have in common."""
        objectives = [one.identity for one in self.request.objectives]
        return {"objectives": objectives, "curves": self.fingerprint}

    def _refuse_another(self) -> None:
        out, path = self.request.out, self._folder / "about.json"
        with usable_folder(out, f"--out {out}"):
            if path.exists():
                about, wanted = _described(path), self._about()
                # The first difference alone: with other objectives, curves have another fingerprint.
                other = next((word for word in wanted if about.get(word) != wanted[word]), None)
                if other is not None:
                    raise BadInput(
                        f"--out {out} holds an evaluation of other {other}: choose another --out, or remove it"
                    )
            elif out.is_dir() and any(entry.name != PARTS for entry in out.iterdir()):
                raise BadInput(f"--out {out} is not empty and holds no evaluation: choose another")

    @contextlib.contextmanager
    def opened(self) -> Iterator[None]:
        """Hold the folder and read the parts that are there.

        Raises:
            BadInput: it cannot be written, or another run holds it.
        """
        with contextlib.ExitStack() as stack:
            try:
                self._folder.mkdir(parents=True, exist_ok=True)
                stack.enter_context(locked(str(self._folder)))
                self._refuse_another()  # now that nobody else can make it one
                write_json(self._folder / "about.json", self._about())
                self.parts, damaged = self._read_parts()
            except OSError as error:
                told = f"--out {self.request.out} cannot be written: {error.strerror or error}"
                raise BadInput(told) from error
            self.note(_on_record(len(self.parts), len(self.units), damaged))
            yield

    def _read_parts(self) -> tuple[dict[str, Row], int]:
        """The parts that are there, by unit key, and how many are damaged: those units are done again."""
        found, damaged = {}, 0
        for key in self.units:
            path = self._folder / f"{key}.json"
            if not path.exists():
                continue
            part = _part(path)
            if part is None:
                damaged += 1
            else:
                found[key] = part
        return found, damaged

    def training_folder(self, key: str) -> Path:
        """Where a unit's training keeps its checkpoints."""
        return self._folder / f"{key}.training"

    # --- the units -------------------------------------------------------------------------------------

    def _units(self) -> dict[str, Unit]:
        """Every unit by its key, trainings first: they take the longest."""
        chosen = list(self.contenders)
        if ORACLE not in {one.name for one in chosen}:
            chosen.append(self._oracle())
        repeats = range(self.request.repeats)
        units = []
        for contender in sorted(chosen, key=lambda one: one.kind != "trained"):
            for dataset in dict.fromkeys(task.dataset for task in self.tasks):
                each = [(r,) for r in repeats] if contender.kind == "trained" else [tuple(repeats)]
                units += [self._unit(contender, dataset, group) for group in each]
        return {unit.key(self._parts_of): unit for unit in units}

    @property
    def _parts_of(self) -> str:
        return json.dumps(self._about())

    def _unit(self, contender: Contender, dataset: str, repeats: tuple[int, ...]) -> Unit:
        return Unit(
            contender=contender,
            dataset=dataset,
            repeats=repeats,
            seed=self.request.seed,
            limits=self.request.limits,
        )

    def _oracle(self) -> Contender:
        """What every method is measured against, asked for or not."""
        return contenders([ORACLE], (), self.tasks)[0][0]

    def ask(self) -> tuple[str, Unit] | None:
        """The next unit to start, by its key; None while there is no place, or nothing left."""
        if len(self.running) >= self.parallel:
            return None
        failed = {row["key"] for row in self.failed}
        for key, unit in self.units.items():
            if key not in self.parts and key not in self.running and key not in failed:
                self.running[key] = unit
                return key, unit
        return None

    def tell(self, key: str, part: Row) -> None:
        """Keep what came of a unit.

        Raises:
            StorageFailed: the disk is full or read-only.
        """
        path = self._folder / f"{key}.json"
        try:
            write_json(path, part)
        except OSError as error:
            raise StorageFailed(f"{path} cannot be written: {error.strerror or error}") from error
        self.parts[key] = part
        shutil.rmtree(self.training_folder(key), ignore_errors=True)
        unit = self.running.pop(key)
        self.note(f"{unit.name} done")

    def tell_failed(self, key: str, error: str) -> None:
        """Take in that a unit cannot be done."""
        unit = self.running.pop(key)
        told = {"key": key, "method": unit.contender.name, "dataset": unit.dataset, "error": error}
        self.failed.append(told)
        self.note(f"{unit.name} failed: {error}")

    def training(self, key: str, share: float) -> None:
        """Take in how far a unit's training is; called from any thread."""
        self._shares[key] = share
        self.publish()

    def note(self, message: str) -> None:
        """Say what just happened."""
        self._message = message
        self.publish()

    def publish(self) -> None:
        """Tell the listener where the evaluation is."""
        publish(
            EvaluationProgress(
                curves=str(self.request.curves),
                units=len(self.units),
                done=len(self.parts),
                failed=len(self.failed),
                running=tuple(
                    (unit.name, self._shares.get(key, 0.0)) for key, unit in list(self.running.items())
                ),
                message=self._message,
            )
        )
        self._message = ""

    @property
    def percent_done(self) -> float:
        """Units that are done or failed, of all; 0 to 100."""
        return 100.0 * (len(self.parts) + len(self.failed)) / len(self.units)

    # --- the results -----------------------------------------------------------------------------------

    def finish(self, result: Row) -> Row:
        """Write `evaluation.json`, the figures and the page.

        Args:
            result: as `result` gives it after the last unit.

        Returns:
            What `evaluation.json` holds, with the page's path.

        Raises:
            LampsError: a unit failed; the results of the others are written.
        """
        out = self.request.out
        if result["folds"]:
            with storage_failures(out):
                write_evaluation(out / RESULT, result)
                write_pages(out, result)
        if self.failed:
            first = self.failed[0]
            raise LampsError(
                f"{len(self.failed)} of {len(self.units)} units failed; the first, {first['method']} on "
                f"{first['dataset']}: {first['error']} (run again to try them again; {out} holds the others)"
            )
        return result | {"report": str(out / "report.html")}

    def result(self) -> Row:
        """What `evaluation.json` holds: the rows in the order of the methods, datasets and repeats."""
        place = {one.name: index for index, one in enumerate(self.contenders)}
        rows = [row for part in self.parts.values() for row in part["rows"]]
        oracle = {  # where it failed, nothing is said of it
            (row["dataset"], row["repeat"]): {ORACLE_SECONDS: row["seconds_to"][KEY]}
            for row in rows
            if row["method"] == ORACLE
        }
        folds = [
            row | oracle.get((row["dataset"], row["repeat"]), {}) for row in rows if row["method"] in place
        ]
        folds.sort(key=lambda row: (place[row["method"]], row["dataset"], row["repeat"]))
        price = self.request.gpu_hour_price
        learned = [one.name for one in self.contenders if one.kind != "untrained"]
        summary = summarise(folds, gpu_hour_price=price)
        return {
            "folds": folds,
            "summary": summary,
            "words": in_words(folds, summary, learned=learned, gpu_hour_price=price),
            "rewards": [line for part in self.parts.values() for line in part["rewards"]],
            "methods": [
                {"name": one.name, "kind": one.kind, "random": one.random, "about": one.about}
                for one in self.contenders
            ],
            "datasets": self._datasets(),
            "objectives": [one.column for one in self.request.objectives],
            "bounds": [
                one.natural(one.bound) if one.bound is not None else None for one in self.request.objectives
            ],
            "repeats": self.request.repeats,
            "seed": self.request.seed,
            "gpu_hour_price": price,
            "meta_dataset": objectives_fingerprint(self.tasks),  # as on the cards of policies
            "notices": self.notices,
            "failed": [{name: row[name] for name in ("method", "dataset", "error")} for row in self.failed],
            "lamps_version": __version__,
        }

    def _datasets(self) -> list[Row]:
        return [
            {
                "dataset": task.dataset,
                "seed": task.seed,
                "source": task.source,
                "candidates": len(task.candidates),
                "complete": int(task.complete.sum()),
                "front": int(task.on_front.sum()),
                "exhaustive_seconds": task.exhaustive_seconds,
            }
            for task in self.tasks
        ]


def _described(path: Path) -> Row:
    """What the parts of a folder have in common, as its run wrote it.

    Raises:
        BadInput: the file is damaged.
    """
    try:
        return json_object(path.read_bytes())
    except ValueError as error:
        raise BadInput(f"{path} is damaged ({error}): remove it, or choose another --out") from None


def _part(path: Path) -> Row | None:
    """What came of a unit; None where the file does not hold it."""
    try:
        part = json_object(path.read_bytes())
    except ValueError:
        return None
    lists = all(isinstance(part.get(name), list) for name in ("rows", "rewards"))
    return part if lists else None


def _on_record(done: int, units: int, damaged: int) -> str:
    """What an evaluation goes on from, in words; empty where it begins."""
    told = [f"{done} of {units} units on record"] if done else []
    if damaged:
        told.append(f"{counted(damaged, 'damaged record')} done again")
    return "; ".join(told)

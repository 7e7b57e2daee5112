"""A campaign on disk: opens the curves folder, plans what is missing, keeps its outcomes.

What is asked for is checked in `campaign_request`. Starts no step: a flow asks for the next one, runs it on its
engine, and tells what came of it. Rows are kept by whoever runs a step (`campaign_step`); the folder decides what
is done.
"""

from __future__ import annotations

import contextlib
import dataclasses
import time
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lamps_core import __version__
from lamps_core.campaign import Campaign, Pair
from lamps_core.campaign_folder import (
    HIDDEN,
    CampaignRecord,
    joined,
    locked,
    read_record,
    write_record,
)
from lamps_core.campaign_plan import RENTED_GPU, CampaignPlan, Machine, Scope, make_plan
from lamps_core.campaign_request import check_work, checked_folder, loaded
from lamps_core.campaign_step import Keep
from lamps_core.candidates import resolve_candidates
from lamps_core.curve_store import CurveStore
from lamps_core.curves import CurveKey
from lamps_core.errors import BadInput
from lamps_core.files import safe_name
from lamps_core.prepared_data import load_prepared, save_prepared
from lamps_core.progress import CampaignProgress, RunningStep, listener, publish
from lamps_core.report_words import counted
from lamps_core.settings import DEFAULT_LEARNING_RATE
from lamps_core.shared_work import drop_checkpoint, newest_shared_step, push_data
from lamps_core.steps import StepRequest
from lamps_core.storage import is_local, storage_failures, storage_path
from lamps_core.text_data import load_text_dataset
from lamps_core.tracking import Tracking

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lamps_core.campaign_request import CampaignRequest
    from lamps_core.curve_store import CurveState
    from lamps_core.text_data import DatasetRequest, TextDataset

PASSING = "after "  # how the reason of a failure begins that the next run tries again


class CampaignRun:
    """A campaign; `plan` may be asked of it before it is opened, `ask` and `tell` inside `with run.opened(...)`."""

    def __init__(self, request: CampaignRequest, *, plan_only: bool = False) -> None:
        """Check everything that was asked; nothing is written.

        Args:
            request: the campaign.
            plan_only: it will not be opened, so the hub need not answer for what the registry knows.

        Raises:
            BadInput: names what cannot be used and how to mend it.
        """
        self.request = request
        self._folder = checked_folder(request.curves)
        if request.track and not is_local(self._folder):
            raise BadInput(
                f"--track keeps its files beside the curves: {request.curves} must be a local folder"
            )
        if request.work:
            check_work(request.work, self._folder)
        self._store = CurveStore(self._folder)
        record = read_record(request.curves)
        self._known = record or CampaignRecord.new(request.settings)
        candidates = resolve_candidates(request.models, trust_registry=plan_only)
        self.candidates = {candidate.name: candidate for candidate in candidates}
        self._read, self.datasets = self._datasets()
        self._asked = tuple(
            CurveKey(name, model, seed) for name, seed in self.datasets for model in self.candidates
        )
        self._record = self._joined(self._known)
        self._states: dict[CurveKey, CurveState] = self._store.states()
        self._refuse_other_work()
        self._message = ""
        self._slots = 0
        self._cuda = False
        self._flying: dict[CurveKey, tuple[int, float]] = {}
        self._failed: dict[CurveKey, dict[str, Any]] = {}
        self.spent_seconds = 0.0
        self.steps = 0
        self._notices: list[str] = []
        notes = Path(str(self._folder)) / HIDDEN / "trackers"  # of a store nothing is told: refused above
        self._tracking = Tracking(request.track, notes, failed=self._notices.append)

    @property
    def id(self) -> str:
        """Names the campaign wherever its steps run."""
        return self._known.id

    # --- what was asked --------------------------------------------------------------------------------

    def _datasets(
        self,
    ) -> tuple[list[tuple[DatasetRequest, TextDataset]], dict[tuple[str, int], TextDataset]]:
        """Every dataset as it was asked for and as it was read; also by name and seed."""
        if self.request.datasets is None:
            asked = [
                (recorded.request, self._recorded_dataset(name, seed))
                for (name, seed), recorded in self._known.datasets.items()
            ]
        else:
            asked = [(named.request, loaded(named)) for named in self.request.datasets]
        by_key: dict[tuple[str, int], TextDataset] = {}
        for request, dataset in asked:
            if (dataset.name, request.seed) in by_key:
                raise BadInput(f"two datasets are called {dataset.name}: rename one file or folder")
            by_key[dataset.name, request.seed] = dataset
        if not by_key:
            raise BadInput(f"{self.request.curves} holds no dataset: begin it with lamps campaign")
        return asked, by_key

    def _joined(self, record: CampaignRecord) -> CampaignRecord:
        """A record with what this run adds to it."""
        return joined(
            record,
            settings=self.request.settings,
            datasets=self._read,
            candidates=list(self.candidates.values()),
            work=self.request.work,
        )

    def _record_now(self) -> CampaignRecord:
        """The folder's record, which another run may have added to since it was looked at.

        Raises:
            BadInput: another campaign began the folder meanwhile.
        """
        now = read_record(self.request.curves) or self._known
        if now.id != self.id:
            raise BadInput(f"another lamps run began {self.request.curves} meanwhile: run again")
        return now

    def _recorded_dataset(self, name: str, seed: int) -> TextDataset:
        """A dataset on record: as it was prepared then, else read again."""
        recorded = self._known.datasets[name, seed]
        prepared = self._work_root(self._known.work) / _folder_name(name, seed) / "data"
        if is_local(prepared) and (prepared / "dataset.json").is_file():
            dataset = load_prepared(Path(prepared))
            if dataset.fingerprint == recorded.fingerprint:
                return dataset
        return dataclasses.replace(load_text_dataset(recorded.request), name=name)

    def work_folder(self, dataset: str, seed: int) -> str:
        """The shared work folder of a dataset, a path or an fsspec URL."""
        return str(self._work_root(self._record.work) / _folder_name(dataset, seed))

    def _work_root(self, named: str | None) -> Any:
        return storage_path(named) / self.id if named else self._folder / HIDDEN / "work"

    def _refuse_other_work(self) -> None:
        """Refuse a work folder without the checkpoints of curves under way, if the one before has them.

        Raises:
            BadInput: names both.
            StorageFailed: nobody can look into the one before.
        """
        before, now = self._work_root(self._known.work), self._work_root(self._record.work)
        if before == now:
            return
        for key in self._states:
            pair = self._missing(key)
            if pair is None or not pair.anew:
                continue
            with storage_failures(before):
                there = newest_shared_step(_checkpoints(before, key)) is not None
            if there:
                raise BadInput(
                    f"--work {self.request.work}: the checkpoint of {_named(key)} is in {before} and not in {now}: "
                    "leave --work out, or move the one folder to the other"
                )

    # --- the plan --------------------------------------------------------------------------------------

    def plan(self, machine: Machine) -> CampaignPlan:
        """What is missing, what it needs and what it will cost; nothing is run or written.

        Args:
            machine: what the campaign would run on.
        """
        missing = [pair for key in self._asked if (pair := self._missing(key)) is not None]
        scope = Scope(
            asked=len(self._asked),
            candidates=self.candidates,
            datasets={name: dataset for (name, _), dataset in self.datasets.items()},
            states=self._states,
            settings=self.request.settings,
            gpu_hour_price=self.request.gpu_hour_price,
        )
        return make_plan(missing, scope, machine)

    def plan_in_full(self, machine: Machine) -> dict[str, Any]:
        """The plan as plain data, with what a person wants to know before renting anything.

        Args:
            machine: what the campaign would run on.

        Returns:
            `CampaignPlan.as_dict`, and `disk_shortage` (a sentence, or None) and `rented`: where the machine has no
            GPU, what the same would cost on the paper's (else None).
        """
        plan = self.plan(machine)
        rented = None if machine.cuda else self.plan(RENTED_GPU).cost()
        return plan.as_dict() | {"disk_shortage": plan.disk_shortage(self.local_work()), "rented": rented}

    def _missing(self, key: CurveKey) -> Pair | None:
        """The pair with what is left of it to run; None if nothing is."""
        state = self._states.get(key)
        if state is None:
            return self._from_checkpoint(Pair(key))
        lasting = state.failure is not None and not state.failure["error"].startswith(PASSING)
        if state.complete or (lasting and not self._tried_again(state)):
            return None
        losses = tuple(float(row["test_loss"]) for row in state.rows)
        return self._from_checkpoint(Pair(key, losses=losses))

    def _tried_again(self, state: CurveState) -> bool:
        # What did not fit is judged anew, at no cost: the cluster may have grown.
        return self.request.retry_failed or (state.failure or {}).get("error", "").startswith("does not fit")

    def _from_checkpoint(self, pair: Pair) -> Pair:
        """The pair, from step 0 again where its checkpoint is not the one that its rows lead to."""
        newest = newest_shared_step(self._checkpoints(pair.key))
        done = pair.next_step
        if newest == done or newest == done - 1 or (newest is None and done == 0):
            return pair
        return Pair(pair.key, anew=True)

    def _checkpoints(self, key: CurveKey) -> Any:
        return _checkpoints(self._work_root(self._record.work), key)

    # --- the folder ------------------------------------------------------------------------------------

    def refuse_in_use(self) -> None:
        """Look whether another run holds the folder, before anything is waited for.

        Raises:
            BadInput: it does.
        """
        if self._states:
            with storage_failures(self.request.curves), locked(self.request.curves):
                pass

    @contextlib.contextmanager
    def opened(self, machine: Machine) -> Iterator[CampaignPlan]:
        """Hold the curves folder, and be ready to `ask`.

        Raises:
            BadInput: in use by another run, no room on disk.
            StorageFailed: it cannot be written.
        """
        self._cuda = machine.cuda
        with contextlib.ExitStack() as stack:
            with storage_failures(self.request.curves):
                stack.enter_context(locked(self.request.curves))
                self._record = self._joined(self._record_now())
                self._store.recover()
                self._states = self._store.states()  # another run may have added to it since it was looked at
                plan = self.plan(machine)
                plan.check_disk(self.local_work())
                self._prepare(plan)
                write_record(self.request.curves, self._record)  # after: of a work folder that can be used
                for pair, reason in plan.unfit:
                    self._fail(pair, reason, seconds=0.0)
            planned = {pair.key for pair in plan.pairs}
            self._earlier = {
                key: state.failure
                for key, state in self._states.items()
                if state.failure is not None and key in self._asked and key not in planned
            }
            self.campaign = Campaign(plan.pairs)
            anew = {pair.key for pair in plan.pairs if pair.anew}
            for key in self._asked:
                if (state := self._states.get(key)) is not None and key not in anew:
                    self._tracking.tell(key, state.rows, self._settings(key), ended=state.complete)
            stack.push(lambda *error: self._tracking.close(in_haste=any(error)))
            yield plan
            with storage_failures(self.request.curves):
                self._store.compact()

    def local_work(self) -> Path | None:
        """A folder on the disk that checkpoints go to; None for an object store."""
        work = storage_path(self.work_folder("any", 0))
        return Path(work) if is_local(work) else None

    def _prepare(self, plan: CampaignPlan) -> None:
        """Write the datasets that will be used, begin again what must be."""
        for (name, seed), dataset in self.datasets.items():
            folder = storage_path(self.work_folder(name, seed))
            if is_local(folder):
                for part in ("tokens", "checkpoints", "logs"):
                    (folder / part).mkdir(parents=True, exist_ok=True)
                save_prepared(dataset, Path(folder) / "data")
            else:
                push_data(dataset, folder)
            self._drop_spent(name, seed)
        for pair in plan.pairs:
            if pair.anew:
                drop_checkpoint(self._checkpoints(pair.key))
                self._tracking.forget(pair.key)

    def _drop_spent(self, dataset: str, seed: int) -> None:
        """Delete checkpoints of complete curves: a run that was killed after a last row left its own."""
        complete = {
            safe_name(key.model)
            for key, state in self._states.items()
            if state.complete and (key.dataset, key.seed) == (dataset, seed)
        }
        checkpoints = storage_path(self.work_folder(dataset, seed)) / "checkpoints"
        for path in list(checkpoints.iterdir()) if checkpoints.is_dir() else ():
            if path.name in complete:
                drop_checkpoint(path)

    # --- the steps -------------------------------------------------------------------------------------

    def ask(self, slots: int) -> tuple[Pair, StepRequest, Keep] | None:
        """The next step to start, if a slot is free for it."""
        self._slots = slots
        pair = self.campaign.ask(slots)
        if pair is None:
            return None
        self._flying[pair.key] = (pair.next_step, time.monotonic())
        return pair, self._step(pair), Keep(curves=str(self._folder), anew=pair.anew)

    def _step(self, pair: Pair) -> StepRequest:
        candidate = self.candidates[pair.key.model]
        return StepRequest(
            name=candidate.name,
            location=candidate.name if candidate.kind == "zoo" else candidate.location,
            revision=candidate.revision,
            step=pair.next_step,
            losses=pair.losses,
            settings=self._settings(pair.key),
            work_folder=self.work_folder(pair.key.dataset, pair.key.seed),
            dataset=pair.key.dataset,
            dataset_fingerprint=self.datasets[pair.key.dataset, pair.key.seed].fingerprint,
            slots_of=self.id,
            gpus=pair.gpus,
        )

    def _settings(self, key: CurveKey) -> dict[str, Any]:
        """Of a curve's fine-tune, the learning rate resolved."""
        asked = self.request.settings
        rate = asked.learning_rate or self.candidates[key.model].learning_rate or DEFAULT_LEARNING_RATE
        return asdict(dataclasses.replace(asked, seed=key.seed, learning_rate=rate))

    def tell(self, pair: Pair, record: dict[str, Any]) -> None:
        """Take in a step that is done, its row in the curves."""
        self.steps += 1
        self.spent_seconds += record["step_seconds"]
        step, complete = pair.next_step, record["complete"]
        del self._flying[pair.key]
        self.campaign.tell(pair, loss=record["test_loss"], ended=complete)
        self._tracking.tell(pair.key, [record], self._settings(pair.key), ended=complete)
        if complete:  # nobody will ask for its weights again
            with storage_failures(self.request.curves):
                drop_checkpoint(self._checkpoints(pair.key))
        done = " (complete)" if complete else ""
        self._say(f"{_named(pair.key)} step {step}: loss {record['test_loss']:.4f}{done}")

    def tell_failed(self, pair: Pair, reason: str, *, attempts: int | None = None) -> None:
        """Record that a pair cannot go on.

        Args:
            pair: as `ask` gave it.
            reason: why, in one line.
            attempts: made at the step, where the reason is a passing one: the next run tries again.
        """
        counted = f"{PASSING}{attempts} attempts: {reason}" if attempts is not None else reason
        step, started = self._flying[pair.key]
        seconds = time.monotonic() - started  # by this clock: the engine may run it on another host
        with storage_failures(self.request.curves):
            self._fail(pair, counted, seconds=seconds)
        self.spent_seconds += seconds
        self._tracking.tell(pair.key, [], {}, ended=True)
        del self._flying[pair.key]
        self.campaign.tell(pair, loss=None, ended=True)
        self._say(f"{_named(pair.key)} step {step} failed: {counted}")

    def _fail(self, pair: Pair, reason: str, *, seconds: float) -> None:
        step, state = pair.next_step, self._states.get(pair.key)
        if pair.anew and state is not None and step < len(state.rows):
            # The rows of the curve that was given up stay, and a step that is on record has not failed.
            reason, step = f"{reason} (at step {step} of the curve made again)", len(state.rows)
        row = {
            **pair.key._asdict(),
            "step": step,
            "step_seconds": seconds,
            "source": "measured",
            "gpus": pair.gpus if self._cuda else 0,
            "lamps_version": __version__,
            "created_at": datetime.now(UTC).isoformat(),
            "status": "failed",
            "error": " ".join(reason.split())[:1000],
        }
        self._store.fail(row)
        self._failed[pair.key] = row

    def left_in_words(self, plan: CampaignPlan) -> str:
        """How many curves a plan has left to run, and how many of them are made again."""
        anew = sum(pair.anew for pair in plan.pairs)
        told = f"{counted(len(plan.pairs), 'curve')} to run"
        work = self._work_root(self._record.work)
        return told + (f", {anew} again from step 0: {work} lacks their checkpoints" if anew else "")

    def note(self, message: str | None) -> None:
        """Say what the campaign begins with or waits for, once; None where there is nothing to say."""
        if message is not None and message != self._message:
            self._say(message)

    def _say(self, message: str) -> None:
        self._message = message
        if listener.get() is not None:
            publish(self.progress())

    # --- what people see -------------------------------------------------------------------------------

    def progress(self) -> CampaignProgress:
        """The state of the campaign now, for a display."""
        failed = len(self._failures())
        return CampaignProgress(
            curves=self.request.curves,
            pairs=len(self._asked),
            complete=len(self._asked) - self.campaign.left - failed,
            failed=failed,
            steps_done=self.steps,
            spent_seconds=self.spent_seconds,
            slots=self._slots,
            running=tuple(
                RunningStep(_named(key), step, "train", 0, 0, started)
                for key, (step, started) in list(self._flying.items())
            ),
            message=self._message,
        )

    def _failures(self) -> dict[CurveKey, dict[str, Any]]:
        """Of this run, and of earlier ones where they were not tried again."""
        return self._earlier | self._failed

    def share_done(self) -> float:
        """Per cent of the curves that are complete or cannot go on."""
        return 100 * (1 - self.campaign.left / len(self._asked))

    def finish(self) -> dict[str, Any]:
        """Write the report; returns the result with its path."""
        from lamps_core.report import write_report

        result = self.result()
        if is_local(self._folder):
            result["report"] = str(write_report(Path(self._folder)))
        return result

    def result(self) -> dict[str, Any]:
        """What the campaign came to, as plain data."""
        names = ("dataset", "model", "seed", "step", "error")
        told = self.progress()
        return {
            "curves": self.request.curves,
            "datasets": sorted({name for name, _ in self.datasets}),
            "models": list(self.candidates),
            "pairs": told.pairs,
            "complete": told.complete,
            "failed": [{name: row[name] for name in names} for _, row in sorted(self._failures().items())],
            "steps": self.steps,
            "spent_seconds": self.spent_seconds,
            "notices": list(self._notices),
        }


def _folder_name(dataset: str, seed: int) -> str:
    return f"{safe_name(dataset)}-s{seed}"


def _checkpoints(root: Any, key: CurveKey) -> Any:
    """Of a candidate, in the work folder of all datasets."""
    return root / _folder_name(key.dataset, key.seed) / "checkpoints" / safe_name(key.model)


def _named(key: CurveKey) -> str:
    return f"{key.model} on {key.dataset}"

"""A campaign on disk: opens the curves folder, does what is missing, keeps its outcomes.

What is missing is told by `survey`. Starts no step: a flow asks for the next one, runs it on its
engine, and tells what came of it. Rows are kept by whoever runs a step (`step`); the folder decides what
is done.
"""

from __future__ import annotations

import contextlib
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lamps_core import __version__
from lamps_core.campaign.folder import write_record
from lamps_core.campaign.schedule import Pair, Schedule
from lamps_core.campaign.shared_work import drop_checkpoint
from lamps_core.campaign.step import StepDestination, drop_scratch
from lamps_core.campaign.survey import PASSING, CampaignSurvey, named
from lamps_core.fine_tuning.steps import StepRequest
from lamps_core.locks import locked
from lamps_core.progress import CampaignProgress, RunningStep, listener, publish
from lamps_core.storage import HIDDEN, is_local, storage_failures
from lamps_core.tracking import Tracking

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from lamps_core.campaign.plan import CampaignPlan
    from lamps_core.campaign.request import CampaignRequest
    from lamps_core.curves.schema import CurveKey
    from lamps_core.host.machine import Machine


class CampaignRun:
    """A campaign that is run; `ask` and `tell` inside `with run.opened(...)`."""

    def __init__(self, request: CampaignRequest) -> None:
        """Check everything that was asked; nothing is written.

        Args:
            request: the campaign.

        Raises:
            BadInput: names what cannot be used and how to mend it.
        """
        self.survey = CampaignSurvey(request)
        self._message = ""
        self._slots = 0
        self._cuda = False
        self._flying: dict[CurveKey, tuple[int, float]] = {}
        self._failed: dict[CurveKey, dict[str, Any]] = {}
        self._earlier: dict[CurveKey, dict[str, Any]] = {}
        self.schedule = Schedule(())
        self.spent_seconds = 0.0
        self.steps = 0
        self._notices = list(self.survey.notices)
        notes = Path(str(self.survey.folder)) / HIDDEN / "trackers"  # of a store nothing is told
        self._tracking = Tracking(request.track, notes, failed=self._notices.append)

    # --- the folder ------------------------------------------------------------------------------------

    @contextlib.contextmanager
    def opened(self, machine: Machine) -> Iterator[CampaignPlan]:
        """Hold the curves folder, and be ready to `ask`.

        Raises:
            BadInput: in use by another run, no room on disk.
            StorageFailed: it cannot be written.
        """
        self._cuda, survey = machine.cuda, self.survey
        with contextlib.ExitStack() as stack:
            with storage_failures(survey.request.curves):
                stack.enter_context(locked(survey.request.curves))
                survey.store.recover()
                survey.store.compact()  # what a run that was stopped completed is read much faster from here on
                survey.look_again()
                plan = survey.plan(machine)
                plan.check_disk(survey.work.local())
                anew = {pair.key for pair in plan.pairs if pair.anew}
                self._prepare(plan.pairs)
                self._give_up(anew)
                write_record(survey.request.curves, survey.record)  # after: of a work folder that can be used
                for pair, reason in plan.unfit:
                    self._fail(pair, reason, seconds=0.0)
            planned = {pair.key for pair in plan.pairs}
            self._earlier = {
                key: state.failure
                for key, state in survey.states.items()
                if state.failure is not None and key in survey.asked and key not in planned
            }
            self.schedule = Schedule(plan.pairs)
            for key in survey.asked:
                if (state := survey.states.get(key)) is not None and key not in anew:
                    self._tracking.tell(key, state.rows, survey.settings_of(key), ended=state.complete)
            stack.push(lambda *error: self._tracking.close(in_haste=any(error)))
            yield plan
            with storage_failures(survey.request.curves):
                survey.store.compact()
                left = [pair for pair in plan.pairs if not pair.ended]
                self._drop_tokens(left)
                if not left:
                    drop_scratch(str(survey.work.root), survey.id)

    def _prepare(self, left: Sequence[Pair]) -> None:
        """Write the datasets that will be used, delete what nobody asks for any more."""
        for (name, seed), dataset in self.survey.datasets.items():
            unwanted = [
                key.model
                for key, state in self.survey.states.items()
                if (key.dataset, key.seed) == (name, seed)
                and (state.complete or self.survey.is_mended(key.model))
            ]
            self.survey.work.prepare(dataset, seed, unwanted=unwanted)
        self._drop_tokens(left)

    def _drop_tokens(self, left: Sequence[Pair]) -> None:
        """Delete the tokens of datasets on which no pair is left to run."""
        needed = {(pair.key.dataset, pair.key.seed) for pair in left}
        for dataset, seed in self.survey.datasets.keys() - needed:
            self.survey.work.drop_tokens(dataset, seed)

    def _give_up(self, anew: set[CurveKey]) -> None:
        """Delete the checkpoints of curves that are to be made again, those that already are set apart."""
        record = self.survey.record
        for key in anew - record.again:
            drop_checkpoint(self.survey.work.checkpoints(key))
            self._tracking.forget(key)
        # On record behind that: whatever checkpoint of them is found from now on is of the curve in the making.
        complete = {key for key, state in self.survey.states.items() if state.complete}
        record.again = (record.again | anew) - complete

    # --- the steps -------------------------------------------------------------------------------------

    def ask(self, slots: int) -> tuple[Pair, StepRequest, StepDestination] | None:
        """The next step to start, if a slot is free for it."""
        self._slots = slots
        pair = self.schedule.ask(slots)
        if pair is None:
            return None
        self._flying[pair.key] = (pair.next_step, time.monotonic())
        return pair, self._step(pair), StepDestination(curves=str(self.survey.folder), anew=pair.anew)

    def _step(self, pair: Pair) -> StepRequest:
        candidate = self.survey.candidates[pair.key.model]
        return StepRequest(
            name=candidate.name,
            location=candidate.name if candidate.kind == "zoo" else candidate.location,
            revision=candidate.revision,
            step=pair.next_step,
            losses=pair.losses,
            settings=self.survey.settings_of(pair.key),
            work_folder=str(self.survey.work.folder(pair.key.dataset, pair.key.seed)),
            dataset=pair.key.dataset,
            dataset_fingerprint=self.survey.datasets[pair.key.dataset, pair.key.seed].fingerprint,
            run_id=self.survey.id,
            gpus=pair.gpus,
        )

    def tell(self, pair: Pair, record: dict[str, Any]) -> None:
        """Take in a step that is done and whose row is in the curves."""
        self.steps += 1
        self.spent_seconds += record["step_seconds"]
        step, complete = pair.next_step, record["complete"]
        del self._flying[pair.key]
        self.schedule.tell(pair, loss=record["test_loss"], ended=complete)
        self._tracking.tell(pair.key, [record], self.survey.settings_of(pair.key), ended=complete)
        if complete:  # nobody will ask for its weights again
            with storage_failures(self.survey.request.curves):
                drop_checkpoint(self.survey.work.checkpoints(pair.key))
        done = " (complete)" if complete else ""
        self._say(f"{named(pair.key)} step {step}: loss {record['test_loss']:.4f}{done}")

    def tell_failed(
        self, pair: Pair, reason: str, *, attempts: int | None = None, seconds: float | None = None
    ) -> None:
        """Record that a pair cannot go on.

        Args:
            pair: as `ask` gave it.
            reason: why, in one line.
            attempts: how often the step was tried, if the reason may pass: the next run tries again.
            seconds: of all attempts; None takes the time since `ask` gave the step.
        """
        counted = f"{PASSING}{attempts} attempts: {reason}" if attempts is not None else reason
        step, started = self._flying[pair.key]
        if seconds is None:
            seconds = time.monotonic() - started
        with storage_failures(self.survey.request.curves):
            self._fail(pair, counted, seconds=seconds)
        self.spent_seconds += seconds
        self._tracking.tell(pair.key, [], {}, ended=True)
        del self._flying[pair.key]
        self.schedule.tell(pair, loss=None, ended=True)
        self._say(f"{named(pair.key)} step {step} failed: {counted}")

    def _fail(self, pair: Pair, reason: str, *, seconds: float) -> None:
        step, state = pair.next_step, self.survey.states.get(pair.key)
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
        self.survey.store.fail(row)
        self._failed[pair.key] = row

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
            curves=self.survey.request.curves,
            pairs=len(self.survey.asked),
            complete=len(self.survey.asked) - self.schedule.left - failed,
            failed=failed,
            steps_done=self.steps,
            spent_seconds=self.spent_seconds,
            slots=self._slots,
            running=tuple(
                RunningStep(named(key), step, "train", 0, 0, started)
                for key, (step, started) in list(self._flying.items())
            ),
            message=self._message,
        )

    def _failures(self) -> dict[CurveKey, dict[str, Any]]:
        """Of this run, and of earlier ones where they were not tried again."""
        return self._earlier | self._failed

    @property
    def percent_done(self) -> float:
        """Steps of all curves that were asked for, of the most that they may have; one that ended has all; 0 to 100."""
        settings = self.survey.request.settings
        most = settings.landmarks + settings.max_epochs
        left = sum(1 - len(pair.losses) / most for pair in self.schedule.pairs if not pair.ended)
        return 100 * (1 - left / len(self.survey.asked))

    def finish(self) -> dict[str, Any]:
        """Write the report; returns the result with its path.

        Raises:
            StorageFailed: it cannot be written.
        """
        from lamps_core.reports.writer import update_report

        result = self.result()
        if is_local(self.survey.folder):
            with storage_failures(self.survey.folder):
                result["report"] = str(update_report(Path(self.survey.folder)))
        return result

    def result(self) -> dict[str, Any]:
        """What the campaign came to, as plain data."""
        names = ("dataset", "model", "seed", "step", "error")
        told = self.progress()
        return {
            "curves": self.survey.request.curves,
            "datasets": sorted({name for name, _ in self.survey.datasets}),
            "models": list(self.survey.candidates),
            "pairs": told.pairs,
            "complete": told.complete,
            "failed": [{name: row[name] for name in names} for _, row in sorted(self._failures().items())],
            "steps": self.steps,
            "spent_seconds": self.spent_seconds,
            "notices": list(self._notices),
        }

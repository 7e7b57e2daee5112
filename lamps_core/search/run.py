"""A search on disk: checks what was asked, opens or resumes the folder, keeps its record, writes its results.

Everything of a search but what starts its steps: `ask` says what to run, a flow (or a plain loop) runs it,
`tell` records what came of it before anything follows from it.
"""

from __future__ import annotations

import shutil
import threading
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lamps_core.curves.schema import CurveKey, write_curve
from lamps_core.errors import BadInput
from lamps_core.files import drop_drafts, write_json
from lamps_core.fine_tuning.steps import ExportRequest, StepKey, StepRequest
from lamps_core.models.candidates import resolve_candidates
from lamps_core.policies.loading import load_forecaster, load_policy
from lamps_core.progress import RunningStep, listener, publish
from lamps_core.report_words import counted, duration
from lamps_core.search.algorithm import Action, CandidateState, Outcome, Search
from lamps_core.search.journal import JOURNAL, Journal
from lamps_core.search.request import check_request, policy_asked, search_identity
from lamps_core.search.result import ResultBuilder, model_path
from lamps_core.search.so_far import outcome_of
from lamps_core.search.standing import ended_step, standing
from lamps_core.storage import storage_failures
from lamps_core.text.prepared_data import save_prepared
from lamps_core.text.requests import NamedRequest, load_named
from lamps_core.tracking import Tracking
from lamps_core.workers import execution
from lamps_core.workers.pool import device_slots

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from lamps_core.progress import EndedStep, SearchProgress
    from lamps_core.search.request import SearchRequest


class SearchRun:
    """An open search; use as a context manager, which holds the folder's lock and the workers."""

    def __init__(self, request: SearchRequest) -> None:
        """Check everything that was asked, then open the folder; nothing is written before all is checked.

        Args:
            request: what to search.

        Raises:
            BadInput: names what cannot be used and how to mend it.
        """
        self.request = request
        check_request(request)
        self.candidates = {candidate.name: candidate for candidate in resolve_candidates(request.models)}
        self._policy = policy_asked(request)
        policy = load_policy(
            self._policy,
            seed=request.settings.seed,
            objectives=request.objectives,
            candidates=tuple(self.candidates),
        )
        self.dataset = load_named(NamedRequest(None, request.data))
        self.search = Search(
            list(self.candidates),
            policy=policy,
            objectives=request.objectives,
            budget=request.budget,
            forecaster=load_forecaster(policy, request.objectives),
            landmarks=request.settings.landmarks,
        )
        self.slots = device_slots(request.parallel)
        self.execution: execution.Execution  # as it is entered
        self._journal: Journal
        self._standing: SearchProgress
        self._telling = threading.Lock()
        self._tested: dict[str, dict[str, Any]] = {}
        self._notices: list[str] = []
        self._budget_begun, self._spent_before = "", (0.0, 0)
        self._tracking = Tracking(request.track, request.out / "trackers", failed=self._notices.append)
        self._teller = ResultBuilder(self.dataset, self._tested, self._notices)
        self._open()

    # --- the folder ------------------------------------------------------------------------------------

    @property
    def work_folder(self) -> str:
        """Prepared data, tokens, checkpoints and logs."""
        return str((self.request.out / "work").resolve())

    def _open(self) -> None:
        out = self.request.out
        try:
            out.mkdir(parents=True, exist_ok=True)
            identity = search_identity(self.request, self._policy, self.candidates.values(), self.dataset)
            self._journal = Journal(out / JOURNAL, identity)
        except OSError as error:
            raise BadInput(f"--out {out} cannot be written: {error.strerror or error}") from error
        try:
            with self._keeping():
                self._resume()
        except BaseException:
            self._journal.close()
            raise

    def _keeping(self) -> AbstractContextManager[None]:
        """Around what is written to the folder: a full disk is told in one line."""
        return storage_failures(self.request.out)

    def _resume(self) -> None:
        if self._journal.replaced:
            for name in self._journal.replaced:  # a step may have been committed and never told
                shutil.rmtree(self._step_request(name).checkpoint_folder, ignore_errors=True)
            self._journal.append({"event": "replaced", "model_files": self._journal.replaced})
        for number, event in enumerate(self._journal.events, start=2):
            try:
                self._retell(event)
            except (KeyError, TypeError, ValueError, AttributeError) as error:
                raise BadInput(
                    f"{self.request.out / JOURNAL}, line {number} is damaged ({error!r}): "
                    "restore it, or start with another --out"
                ) from error
        self.search.resume(retry_failed=self.request.retry_failed)
        drop_drafts(self.request.out)
        work = Path(self.work_folder)
        for folder in (work / "tokens", work / "checkpoints", work / "logs", self.request.out / "curves"):
            folder.mkdir(parents=True, exist_ok=True)
        save_prepared(self.dataset, work / "data")
        for state in self.search.candidates.values():
            self._write_curve(state)
        self._standing = self._standing_after()

    def _retell(self, event: dict[str, Any]) -> None:
        """Take in one line of the journal."""
        if event["event"] == "tested":
            self._tested[event["candidate"]] = event["measured"]
        elif event["event"] == "started":
            self._begin_under(event["budget"])
        elif event["event"] == "replaced":
            for name in event["model_files"]:
                self.search.candidates[name].forget_failure()
        elif event["event"] == "begun":
            self.search.begin(Action(event["candidate"], event["step"]))
        elif event["event"] == "outcome":
            self.search.tell(outcome_of(event))

    def _begin_under(self, budget: str) -> None:
        """Keep in mind what was spent before the first of the latest runs with one budget."""
        if budget != self._budget_begun:
            self._budget_begun = budget
            self._spent_before = self.search.spent_seconds, self.search.steps

    def _note_start(self) -> None:
        """Record what may change from run to run, once for runs that are alike: an interrupted one has no result.

        Says so where an earlier budget was larger.
        """
        started = {
            "event": "started",
            "budget": self.request.budget.text,
            "parallel": len(self.slots),
            "gpu_hour_price": self.request.gpu_hour_price,
            "command": self.request.command,
        }
        self._begin_under(self.request.budget.text)
        if self.request.budget.exhausted(*self._spent_before):
            seconds, steps = self._spent_before
            self._notices.append(
                f"no step was run: {counted(steps, 'step')} and {duration(seconds)} were spent before, and --budget "
                f"{self.request.budget.text} allows no more"
            )
        earlier = [event for event in self._journal.events if event["event"] == "started"]
        if earlier[-1:] != [started]:
            with self._keeping():
                self._journal.append(started)

    def __enter__(self) -> SearchRun:
        self._note_start()
        self.execution = execution.Execution(
            self.slots,
            budget=self.request.budget,
            step_timeout_seconds=self.request.step_timeout_seconds,
            changed=self.publish,
        )
        self.execution.spent_seconds = self.search.spent_seconds
        execution.begin(self.work_folder, self.execution)
        for state in self.search.candidates.values():
            self._track(state)
        return self

    def __exit__(self, *error: object) -> None:
        execution.shut_down(self.work_folder)
        self._tracking.close(in_haste=any(error))
        self.close()

    def close(self) -> None:
        """Release the folder's lock."""
        self._journal.close()

    # --- the search ------------------------------------------------------------------------------------

    def ask(self) -> tuple[Action, StepRequest] | None:
        """The next step to start, if there is one and a slot is free for it; on record as begun.

        Raises:
            StorageFailed: it cannot be recorded.
            WorkerDied: no worker can be started.
        """
        if self.search.running >= len(self.slots):
            return None
        action = self.search.ask()
        if action is None:
            return None
        self.execution.make_ready()
        with self._keeping():
            self._journal.append({"event": "begun", **asdict(action)})
        return action, self._step_request(action.candidate)

    def _step_request(self, name: str) -> StepRequest:
        candidate, state = self.candidates[name], self.search.candidates[name]
        return StepRequest(
            name=name,
            location=candidate.location,
            revision=candidate.revision,
            step=state.next_step,
            losses=state.losses,
            settings=asdict(self.request.settings.with_rate_of(candidate.learning_rate)),
            work_folder=self.work_folder,
            dataset=self.dataset.name,
            dataset_fingerprint=self.dataset.fingerprint,
            run_id=self.work_folder,
        )

    def tell(self, outcome: Outcome) -> None:
        """Record an outcome on disk, then let the search go on from it.

        Raises:
            StorageFailed: it cannot be written; what the journal holds counts.
        """
        if outcome.record is not None:
            outcome.record["dataset"] = self.dataset.name
        with self._keeping():
            self._journal.append({"event": "outcome", **asdict(outcome)})
            self.drop_result()
        self.search.tell(outcome)
        spent = self.search.spent_seconds
        self.execution.settle(self._key(outcome.candidate, outcome.step), spent_seconds=spent)
        state = self.search.candidates[outcome.candidate]
        with self._keeping():
            self._write_curve(state)
        self._track(state)
        self._standing = self._standing_after(*self._standing.ended, ended_step(outcome))
        self.publish()

    def seconds_of(self, action: Action) -> float:
        """Seconds that a step has cost, to be told with its outcome; see `Execution.seconds_of`."""
        return self.execution.seconds_of(self._key(action.candidate, action.step))

    def _key(self, candidate: str, step: int) -> StepKey:
        return StepKey(self.dataset.name, candidate, self.request.settings.seed, step)

    def _write_curve(self, state: CandidateState) -> None:
        if state.rows:
            write_curve(self.request.out / "curves", state.rows)

    def _track(self, state: CandidateState) -> None:
        key = CurveKey(self.dataset.name, state.name, self.request.settings.seed)
        ended = state.complete or state.error is not None
        self._tracking.tell(key, state.rows, self._step_request(state.name).settings, ended=ended)

    # --- what people see -------------------------------------------------------------------------------

    def progress(self) -> SearchProgress:
        """The state of the search now, for a display."""
        standing, running = self._standing, dict(self.execution.running)
        spent = self.execution.used_seconds()
        return replace(
            standing,
            budget_share=self.search.budget.share(spent, standing.steps_done),
            spent_seconds=spent,
            running=tuple(
                RunningStep(name, step, told["phase"], told["done"], told["total"], started)
                for (_, name, _, step), (started, told) in running.items()
            ),
        )

    def _standing_after(self, *ended: EndedStep) -> SearchProgress:
        """What only an outcome changes, all of it at once: threads that publish meanwhile tell the one before."""
        return standing(
            self.search, self._teller.front_rows(self.search), dataset=self.dataset.name, ended=ended
        )

    def publish(self) -> None:
        """Tell whoever listens how the search stands; of several threads, none tells an older state after a newer."""
        if listener.get() is not None:
            with self._telling:
                publish(self.progress())

    # --- the end ---------------------------------------------------------------------------------------

    def exports(self) -> list[ExportRequest]:
        """The front's models that are not saved yet; also drops the candidates' that the front has outgrown.

        Raises:
            WorkerDied: there are such, and no worker can be started.
        """
        out = self.request.out
        wanted = {state.name: out / model_path(state.name) for state in self.search.front()}
        (out / "models").mkdir(exist_ok=True)
        for name in self.search.candidates.keys() - wanted.keys():
            shutil.rmtree(out / model_path(name), ignore_errors=True)
        held_out = self.dataset.test is not None
        requests = [
            ExportRequest(
                last=self._step_request(name),
                target=str(target.resolve()),
                evaluate_test=held_out and name not in self._tested,
            )
            for name, target in wanted.items()
            if not target.is_dir() or (held_out and name not in self._tested)
        ]
        if requests:
            self.execution.make_ready()
        return requests

    def drop_result(self) -> None:
        """Remove a `result.json` that no longer tells how things are; `finish` writes it anew."""
        (self.request.out / "result.json").unlink(missing_ok=True)

    def exported(self, name: str, measured: dict[str, Any]) -> None:
        """Note that a front model is saved, with what the held-out test split gave, once."""
        if measured:
            with self._keeping():
                self._journal.append({"event": "tested", "candidate": name, "measured": measured})
            self._tested[name] = measured

    def result(self) -> dict[str, Any]:
        """`result.json` of the spec."""
        return self._teller.result(
            self.search,
            {
                "bounds": [objective.bound for objective in self.request.objectives],
                "budget": self.request.budget.text,
                "seed": self.request.settings.seed,
                "config": asdict(self.request.settings),
                "parallel": len(self.slots),
                "command": self.request.command,
            }
            | {name: value for name, value in self._journal.header.items() if name == "policy_commit"},
        )

    def finish(self) -> dict[str, Any]:
        """Write `result.json` and `report.html`; drop the weights that nobody will ask for again.

        Returns:
            The result.

        Raises:
            StorageFailed: `result.json` or `report.html` cannot be written.
        """
        from lamps_core.reports.writer import update_report

        self._tracking.close()
        result = self.result()
        with self._keeping():
            write_json(self.request.out / "result.json", result)
            update_report(self.request.out)
        self._drop_dominated()
        return result

    def _drop_dominated(self) -> None:
        """A complete candidate that is dominated stays so whatever comes: its weights can go."""
        front = {state.name for state in self.search.front()}
        for state in self.search.candidates.values():
            if state.complete and state.name not in front:
                shutil.rmtree(self._step_request(state.name).checkpoint_folder, ignore_errors=True)

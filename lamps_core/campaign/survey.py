"""What a campaign is asked for, and what of it is missing: candidates, datasets, curves so far, and the plan.

Looks and writes nothing. What may be asked is checked in `request`; `run` does what is missing.
"""

from __future__ import annotations

import dataclasses
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from lamps_core.campaign.folder import CampaignRecord, dataset_notices, joined, read_record
from lamps_core.campaign.plan import CampaignPlan, Scope, make_plan
from lamps_core.campaign.request import check_work, checked_folder
from lamps_core.campaign.shared_work import newest_shared_step
from lamps_core.campaign.work import CampaignWork
from lamps_core.curves.schema import CurveKey
from lamps_core.curves.store import CurveStore
from lamps_core.errors import BadInput
from lamps_core.host.machine import RENTED_GPU
from lamps_core.locks import locked
from lamps_core.models.candidates import resolve_candidates
from lamps_core.report_words import counted
from lamps_core.storage import HIDDEN, is_local, storage_failures, storage_path
from lamps_core.text.dataset import load_text_dataset
from lamps_core.text.requests import load_named

if TYPE_CHECKING:
    from lamps_core.campaign.request import CampaignRequest
    from lamps_core.campaign.schedule import Pair
    from lamps_core.curves.store import CurveState
    from lamps_core.host.machine import Machine
    from lamps_core.text.dataset import DatasetRequest, TextDataset

PASSING = "after "  # how the reason of a failure begins that the next run tries again


class CampaignSurvey:
    """A campaign, looked at; `plan` tells what is left of it.

    Attributes:
        request: as asked for.
        folder: of the curves, a `Path` or an fsspec path.
        store: of the curves.
        candidates: by name.
        datasets: as they were read, by name and seed.
        asked: every curve of the campaign.
        record: of the folder, with what this run adds to it.
        states: of the curves that are there.
        notices: of the datasets and of curves that others made, for the user to read.
    """

    def __init__(self, request: CampaignRequest, *, plan_only: bool = False) -> None:
        """Check everything that was asked.

        Args:
            request: the campaign.
            plan_only: nothing will be run, so the hub need not answer for what the registry knows.

        Raises:
            BadInput: names what cannot be used and how to mend it.
        """
        self.request = request
        self.folder = checked_folder(request.curves)
        if request.track and not is_local(self.folder):
            raise BadInput(
                f"--track keeps its files beside the curves: {request.curves} must be a local folder"
            )
        if request.work:
            check_work(request.work, self.folder)
        self.store = CurveStore(self.folder)
        record = read_record(request.curves)
        self._known = record or CampaignRecord.new(request.settings)
        candidates = resolve_candidates(request.models, trust_registry=plan_only)
        self.candidates = {candidate.name: candidate for candidate in candidates}
        self._read, self.datasets = self._datasets()
        self.asked = tuple(
            CurveKey(name, model, seed) for name, seed in self.datasets for model in self.candidates
        )
        self.states: dict[CurveKey, CurveState] = self.store.states()
        self.record = self._joined(self._known)
        others = self.store.of_others(self.states) if record else set(self.states)
        read = ((name, dataset.notices) for (name, _), dataset in self.datasets.items())
        self.notices = [*dataset_notices(read), *self._notices_of(others)]
        self._refuse_other_work()

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
            asked = [(named.request, load_named(named)) for named in self.request.datasets]
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
            measured={key.model for key, state in self.states.items() if state.rows},
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
        prepared = self._work_of(self._known).prepared(name, seed)
        if prepared is not None and prepared.fingerprint == recorded.fingerprint:
            return prepared
        return dataclasses.replace(load_text_dataset(recorded.request), name=name)

    @property
    def work(self) -> CampaignWork:
        """Where checkpoints and prepared data are."""
        return self._work_of(self.record)

    def _work_of(self, record: CampaignRecord) -> CampaignWork:
        return CampaignWork(
            storage_path(record.work) / self.id if record.work else self.folder / HIDDEN / "work"
        )

    def _notices_of(self, others: set[CurveKey]) -> list[str]:
        """What is said of curves that no campaign of this folder made: complete ones count as they are.

        Raises:
            BadInput: they cannot stand beside those of a campaign.
        """
        for key in sorted(others):
            self._refuse_other(key, self.states[key])
        unknown = sorted({key.dataset for key in others} - {name for name, _ in self._known.datasets})
        told = []
        if any(key in others for key in self.asked):
            told.append(
                f"{self.request.curves} holds curves that no campaign made there: they are not made again"
            )
        if self.request.datasets is None and unknown:
            told.append(
                f"nothing says how {', '.join(unknown)} was read: add the model to it with lamps campaign --datasets"
            )
        return told

    def _refuse_other(self, key: CurveKey, state: CurveState) -> None:
        sources = {row["source"] for row in state.rows} - {"measured"}
        if sources and (key.dataset, key.seed) in self.datasets:
            raise BadInput(
                f"--curves {self.request.curves} holds {sources.pop()} curves of {key.dataset}: "
                "keep measured ones in another folder"
            )
        if key in self.asked and not state.complete:
            raise BadInput(
                f"--curves {self.request.curves} holds a curve of {named(key)} that is not complete and that no "
                "campaign made there: remove its rows, or leave the model out"
            )

    def _refuse_other_work(self) -> None:
        """Refuse a work folder without the checkpoints of curves under way, if the one before has them.

        Raises:
            BadInput: names both.
            StorageFailed: nobody can look into the one before.
        """
        before, now = self._work_of(self._known), self.work
        if before == now:
            return
        for key in self.states:
            pair = self._missing(key)
            if pair is None or not pair.anew:
                continue
            with storage_failures(before.root):
                there = newest_shared_step(before.checkpoints(key)) is not None
            if there:
                raise BadInput(
                    f"--work {self.request.work}: the checkpoint of {named(key)} is in {before.root} and not "
                    f"in {now.root}: leave --work out, or move the one folder to the other"
                )

    # --- the plan --------------------------------------------------------------------------------------

    def plan(self, machine: Machine) -> CampaignPlan:
        """What is missing, what it needs and what it will cost; nothing is run or written.

        Args:
            machine: what the campaign would run on.
        """
        missing = [pair for key in self.asked if (pair := self._missing(key)) is not None]
        scope = Scope(
            asked=len(self.asked),
            candidates=self.candidates,
            datasets={name: dataset for (name, _), dataset in self.datasets.items()},
            states=self.states,
            settings=self.request.settings,
            gpu_hour_price=self.request.gpu_hour_price,
        )
        return make_plan(missing, scope, machine)

    def plan_in_full(self, machine: Machine) -> dict[str, Any]:
        """The plan as plain data, with what a person wants to know before renting anything.

        Args:
            machine: what the campaign would run on.

        Returns:
            `CampaignPlan.as_dict`, `notices`, `disk_shortage` (a sentence, or None) and `rented`: where the machine
            has no GPU, what the same would cost on the paper's (else None).
        """
        plan = self.plan(machine)
        rented = None if machine.cuda else self.plan(RENTED_GPU).cost()
        return plan.as_dict() | {
            "notices": self.notices,
            "disk_shortage": plan.disk_shortage(self.work.local()),
            "rented": rented,
        }

    def left_in_words(self, plan: CampaignPlan) -> str:
        """How many curves a plan has left to run, and how many of them are made again."""
        anew = sum(pair.anew and not pair.losses for pair in plan.pairs)
        told = f"{counted(len(plan.pairs), 'curve')} to run"
        return told + (
            f", {anew} again from step 0: {self.work.root} lacks their checkpoints" if anew else ""
        )

    def _missing(self, key: CurveKey) -> Pair | None:
        """The pair with what is left of it to run; None if nothing is."""
        state = self.states.get(key)
        if state is None:
            return self.work.pair(key, (), again=False)
        lasting = state.failure is not None and not state.failure["error"].startswith(PASSING)
        if state.complete or (lasting and not self._tried_again(key, state)):
            return None
        losses = tuple(float(row["test_loss"]) for row in state.rows)
        return self.work.pair(key, losses, again=key in self.record.again)

    def _tried_again(self, key: CurveKey, state: CurveState) -> bool:
        # What did not fit is judged anew, at no cost: the cluster may have grown.
        unfit = (state.failure or {}).get("error", "").startswith("does not fit")
        return self.request.retry_failed or self.is_mended(key.model) or unfit

    def is_mended(self, model: str) -> bool:
        """Whether a model that never got through a step has other files than when it was asked for first."""
        was = self._known.models
        return model in was and self.record.models.get(model, was[model]) != was[model]

    # --- the folder ------------------------------------------------------------------------------------

    def refuse_in_use(self) -> None:
        """Look whether another run holds the folder, before anything is waited for.

        Raises:
            BadInput: it does.
        """
        if self.states:
            with storage_failures(self.request.curves), locked(self.request.curves):
                pass

    def look_again(self) -> None:
        """See what other runs have added; called by the holder of the folder's lock.

        Raises:
            BadInput: another campaign began the folder meanwhile.
        """
        self.states = self.store.states()
        self.record = self._joined(self._record_now())

    def settings_of(self, key: CurveKey) -> dict[str, Any]:
        """Settings of a curve's fine-tune, the learning rate resolved."""
        settings = self.request.settings.with_rate_of(self.candidates[key.model].learning_rate)
        return asdict(dataclasses.replace(settings, seed=key.seed))


def named(key: CurveKey) -> str:
    """What people read as the name of a curve."""
    return f"{key.model} on {key.dataset}"

"""What faults come over: a search or a campaign in a folder of its own, what it has on record, what must hold."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any, Protocol

from safetensors import safe_open

from lamps_core.curves.reader import read_curves
from lamps_core.search.journal import read_journal
from tests.campaigns import MEASURED, campaign_arguments, key_of
from tests.lamps_command import search_arguments
from tests.searches import steps_on_record, without_times, workers_of

if TYPE_CHECKING:
    from pathlib import Path

MODELS = "zoo/bert-tiny,zoo/gpt2-tiny,zoo/distilbert-tiny"


class Site(Protocol):
    """A command and the folder that it works in.

    Attributes:
        cwd: where the command runs.
        place: what it writes, the folder that full disks come over.
        written: every folder that it writes, which power cuts come over.
        total: steps, when all is done.
    """

    cwd: Path
    place: Path
    written: tuple[Path, ...]
    total: int

    @property
    def arguments(self) -> list[str]:
        """Of the command, the same every time."""
        ...

    def has_begun(self) -> bool:
        """Whether anything is on record."""
        ...

    def steps(self) -> int:
        """How many steps are on record."""
        ...

    def is_committing(self) -> bool:
        """Whether a step is just being written."""
        ...

    def is_finishing(self) -> bool:
        """Whether what follows the last step is just being written: exported models, compacted curves."""
        ...

    def phase(self, pid: int) -> str:
        """What the command is at."""
        ...

    def check(self, *, alive: bool) -> None:
        """That nothing which was on record is gone or changed or there twice, and all that is to be seen is whole."""
        ...

    def outcome(self) -> Any:
        """What it came to, less what a clock measured."""
        ...


def committing(checkpoints: Path) -> bool:
    """Whether a step is just being written there."""
    return any(checkpoints.glob("*/.draft-*"))


def row_facts(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Rows less what a clock or the memory of a process says."""
    return [{name: value for name, value in row.items() if name not in MEASURED} for row in rows]


def model_digest(folder: Path) -> str:
    """Of all files of a model folder; its weights can be read."""
    with safe_open(str(folder / "model.safetensors"), "np") as weights:
        assert list(weights.keys())
    told = hashlib.sha256()
    for path in sorted(folder.iterdir()):
        told.update(path.name.encode() + b"\0" + path.read_bytes())
    return told.hexdigest()


class SearchSite:
    """A search of three candidates, one step at a time; its selection rows make the export measure something."""

    total = 3 * (1 + 2 + 6)

    def __init__(self, csv: Path, cwd: Path, place: Path) -> None:
        cwd.mkdir(exist_ok=True)
        self.cwd, self.place, self._csv = cwd, place, csv
        self.written: tuple[Path, ...] = (cwd, place)
        self._recorded = b""  # whole lines of the journal, as they were seen last
        self._models: dict[str, str] = {}  # as they were seen first

    @property
    def arguments(self) -> list[str]:
        quick = ("--landmarks", "3", "--max-epochs", "6", "--patience", "6", "--selection-split", "0.1")
        return search_arguments(self._csv, self.place, "--models", MODELS, *quick, "--json")

    def has_begun(self) -> bool:
        return (self.place / "journal.jsonl").exists()

    def steps(self) -> int:
        return len(steps_on_record(self.place)) if self.has_begun() else 0

    def is_committing(self) -> bool:
        return committing(self.place / "work" / "checkpoints")

    def is_finishing(self) -> bool:
        return any((self.place / "models").glob(".*.draft"))

    def phase(self, pid: int) -> str:
        if (self.place / "result.json").exists():
            return "ending"
        if self.is_finishing():
            return "saving a model"
        if self.steps() == self.total:
            return "export"
        if not workers_of(pid):
            return "opening"
        if self.is_committing():
            return "committing a checkpoint"
        return "zero-shot steps" if self.steps() < 3 else "training steps"

    def check(self, *, alive: bool) -> None:
        if not self.has_begun():
            return
        content = (self.place / "journal.jsonl").read_bytes()
        assert content.startswith(self._recorded)
        self._recorded = content[: content.rfind(b"\n") + 1]
        if not self._recorded:
            return
        read_journal(self.place / "journal.jsonl")
        done = steps_on_record(self.place)
        assert len(set(done)) == len(done)
        if any((self.place / "curves").glob("*.parquet")):
            rows = [(row["model"], row["step"]) for row in read_curves(self.place / "curves").to_pylist()]
            assert alive or set(rows) <= set(done)
        if not alive:
            self._check_what_a_person_sees()

    def _check_what_a_person_sees(self) -> None:
        for path in (self.place / "models").glob("[!.]*"):
            digest = model_digest(path)
            assert self._models.setdefault(path.name, digest) == digest
        if (self.place / "result.json").exists():
            json.loads((self.place / "result.json").read_text())
        if (self.place / "report.html").exists():
            assert (self.place / "report.html").read_text().rstrip().endswith("</html>")

    def outcome(self) -> Any:
        result = json.loads((self.place / "result.json").read_text())
        return {
            "result": without_times(result),
            "steps": steps_on_record(self.place),
            "curves": row_facts(read_curves(self.place / "curves").to_pylist()),
            "models": {path.name: model_digest(path) for path in (self.place / "models").glob("[!.]*")},
        }


class CampaignSite:
    """A campaign of three candidates on two datasets, several steps at once."""

    each = 1 + 1 + 4
    total = 6 * each

    def __init__(self, datasets: str, cwd: Path, place: Path, *, scratch: Path | None = None) -> None:
        cwd.mkdir(exist_ok=True)
        self.cwd, self.place, self._datasets = cwd, place, datasets
        self.written: tuple[Path, ...] = (cwd, place) if scratch is None else (cwd, place, scratch)
        self._seen: dict[tuple[str, str, int, int], dict[str, Any]] = {}

    @property
    def arguments(self) -> list[str]:
        quick = ("--landmarks", "2", "--max-epochs", "4", "--patience", "4")
        return campaign_arguments(self._datasets, MODELS, self.place, *quick, "--json")

    def has_begun(self) -> bool:
        return (self.place / ".lamps" / "campaign.json").exists()

    def steps(self) -> int:
        whole = len(list(self.place.glob("[!.]*.parquet")))
        return whole * self.each + len(list(self.place.glob("[!.]*/step-*.parquet")))

    def is_committing(self) -> bool:
        return any(committing(work / "checkpoints") for work in (self.place / ".lamps" / "work").glob("*"))

    def is_finishing(self) -> bool:
        return any(self.place.glob(".compacting-*")) or any(self.place.glob(".old-*"))

    def phase(self, pid: int) -> str:
        if self.is_finishing():
            return "compacting"
        if self.steps() >= self.total:
            return "ending"
        if not workers_of(pid):
            return "opening"
        if self.is_committing():
            return "committing a checkpoint"
        return "zero-shot steps" if self.steps() < 6 else "training steps"

    def check(self, *, alive: bool) -> None:
        if not any(self.place.rglob("*.parquet")) or (self.steps() == 0 and not self._seen):
            return
        rows = {key_of(row): row for row in read_curves(self.place).to_pylist()}  # twice is an error of it
        for key, row in self._seen.items():
            assert rows[key] == row  # to the last digit of what a clock said
        self._seen = rows

    def outcome(self) -> Any:
        hidden = {path.name.split("-")[0] for path in self.place.glob(".*-*") if path.is_dir()}
        return {
            "curves": row_facts(read_curves(self.place).to_pylist()),
            "left over": [name for name in hidden if name in {".old", ".compacting"}],
            "folders": sorted(path.name for path in self.place.iterdir() if not path.name.startswith(".")),
            "report": (self.place / ".lamps" / "report.html").read_text().rstrip()[-7:],
        }

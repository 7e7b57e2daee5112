"""The record, in a curves folder, of how its curves were made, so that all further ones are made alike.

`CURVES/.lamps/campaign.json` holds the settings, how each dataset was asked for, which rows that gave and
what was said of them, and which files each model has. Does not read curves and runs nothing.
"""

from __future__ import annotations

import dataclasses
import json
import uuid
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lamps_core.curves.schema import CurveKey
from lamps_core.errors import BadInput
from lamps_core.files import json_object
from lamps_core.models.folder import folder_fingerprint
from lamps_core.settings import FineTuningSettings
from lamps_core.storage import HIDDEN, is_there, put_whole, storage_failures, storage_path
from lamps_core.text.dataset import DatasetRequest
from lamps_core.versions import version_trouble

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence

    from lamps_core.models.candidates import Candidate
    from lamps_core.text.dataset import TextDataset

VERSION = 1


@dataclass(frozen=True)
class RecordedDataset:
    """A dataset as a campaign read it.

    Attributes:
        request: how it was asked for, with its seed.
        fingerprint: of the rows that this gave.
        notices: what was said of them.
    """

    request: DatasetRequest
    fingerprint: str
    notices: tuple[str, ...] = ()


@dataclass
class CampaignRecord:
    """What `campaign.json` holds.

    Attributes:
        id: drawn once: names the campaign's folders in a shared work folder or a host's scratch folder.
        settings: the fields of `FineTuningSettings` that all curves share.
        work: the work folder last asked for, None for the one beside the curves.
        datasets: (name, seed) -> how it was read.
        models: name -> fingerprint of its files, None for a hub id.
        again: curves that are being made a second time: their rows from their checkpoint on are of the first attempt.
    """

    id: str
    settings: dict[str, Any]
    work: str | None
    datasets: dict[tuple[str, int], RecordedDataset]
    models: dict[str, str | None]
    again: frozenset[CurveKey] = frozenset()

    @classmethod
    def new(cls, settings: FineTuningSettings) -> CampaignRecord:
        """The first record of a folder."""
        return cls(uuid.uuid4().hex[:12], shared_settings(settings), None, {}, {})


def shared_settings(settings: FineTuningSettings) -> dict[str, Any]:
    """What all curves of a folder have in common; the seed is part of a curve's name."""
    return {name: value for name, value in asdict(settings).items() if name != "seed"}


def read_record(curves: str) -> CampaignRecord | None:
    """The record in a curves folder; None where there is none.

    Raises:
        BadInput: it is damaged or of another version.
        StorageFailed: it cannot be read.
    """
    path = storage_path(curves) / HIDDEN / "campaign.json"
    with storage_failures(curves):
        if not is_there(path):
            return None
        content = path.read_bytes()
    try:
        told = json_object(content)
        if told["version"] != VERSION:
            raise BadInput(version_trouble(path, told["version"], VERSION, "choose another --curves"))
        FineTuningSettings(**told["settings"])  # known by name, each
        datasets = {
            (entry["name"], int(entry["request"]["seed"])): RecordedDataset(
                DatasetRequest(
                    **{**entry["request"], "input_columns": tuple(entry["request"]["input_columns"])}
                ),
                entry["fingerprint"],
                tuple(map(str, entry.get("notices", ()))),
            )
            for entry in told["datasets"]
        }
        again = frozenset(CurveKey(name, model, int(seed)) for name, model, seed in told.get("again", []))
        return CampaignRecord(told["id"], told["settings"], told["work"], datasets, told["models"], again)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise BadInput(f"{path} is damaged ({error}): restore it, or choose another --curves") from None


def write_record(curves: str, record: CampaignRecord) -> None:
    """Write `campaign.json`, whole or not at all."""
    told = {
        "version": VERSION,
        "id": record.id,
        "settings": record.settings,
        "work": record.work,
        "datasets": [
            {"name": name, **asdict(dataset)} for (name, _), dataset in sorted(record.datasets.items())
        ],
        "models": record.models,
        "again": sorted(record.again),
    }
    path = storage_path(curves) / HIDDEN / "campaign.json"
    put_whole(path, (json.dumps(told, indent=2, ensure_ascii=False) + "\n").encode())


def joined(
    record: CampaignRecord,
    *,
    settings: FineTuningSettings,
    datasets: Sequence[tuple[DatasetRequest, TextDataset]],
    candidates: Sequence[Candidate],
    measured: Collection[str] = (),
    work: str | None = None,
) -> CampaignRecord:
    """The record with what a run adds to it.

    Args:
        record: of the folder.
        settings: that the run asks for.
        datasets: each as it was asked for, and as it was read.
        candidates: of the run.
        measured: models of which a step is on record: one that never got so far may have been mended.
        work: the work folder asked for; None for the one on record.

    Raises:
        BadInput: the run would make curves that cannot stand beside those that are there: other settings, other
            rows under a dataset's name, another model under a model's name.
    """
    wanted = shared_settings(settings)
    for name, value in wanted.items():
        was = record.settings.get(name)
        if was != value:
            option = "--" + name.replace("_", "-")
            made = f"without {option}" if was is None else f"with {option} {was}"
            given = "without it" if value is None else value
            raise BadInput(
                f"the curves folder was made {made}, not {given}: use the same, or choose another --curves"
            )
    result = dataclasses.replace(record, datasets=dict(record.datasets), models=dict(record.models))
    if work:
        result.work = str(storage_path(work))  # absolute: the next run may start elsewhere
    for request, dataset in datasets:
        key = (dataset.name, request.seed)
        known = record.datasets.get(key)
        if known is not None and known.fingerprint != dataset.fingerprint:
            raise BadInput(
                f"dataset {dataset.name} has other rows than when the curves folder was begun (its files, columns "
                "or --max-train-rows changed): restore them, or choose another --curves"
            )
        result.datasets[key] = RecordedDataset(_from_anywhere(request), dataset.fingerprint, dataset.notices)
    for candidate in candidates:
        files = folder_fingerprint(Path(candidate.location)) if candidate.kind != "hub" else None
        if candidate.name in measured and record.models.get(candidate.name, files) != files:
            raise BadInput(
                f"model {candidate.name} at {candidate.location} has other files than the one of that name in the "
                "curves folder: rename one, or choose another --curves"
            )
        result.models[candidate.name] = files
    return result


def dataset_notices(datasets: Iterable[tuple[str, Sequence[str]]]) -> list[str]:
    """What was said of datasets as they were read, under their names.

    Args:
        datasets: name and notices of each; one that was read with several seeds may stand there more than once.
    """
    return list(dict.fromkeys(f"{name}: {notice}" for name, notices in datasets for notice in notices))


def _from_anywhere(request: DatasetRequest) -> DatasetRequest:
    """The request with absolute paths: a candidate may be added from another working directory."""
    tested = request.test_dataset
    return dataclasses.replace(
        request, dataset=_absolute(request.dataset), test_dataset=tested and _absolute(tested)
    )


def _absolute(dataset: str) -> str:
    path = Path(dataset).expanduser()
    return str(path.absolute()) if path.exists() else dataset

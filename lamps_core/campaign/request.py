"""What a campaign is asked for, and whether its folder and its datasets can be used; nothing is written.

Does not know what is done already, what it costs, nor how it is run.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from lamps_core.campaign.folder import read_record
from lamps_core.curves.reader import curve_files
from lamps_core.errors import BadInput
from lamps_core.files import refuse_unwritable, usable_folder
from lamps_core.prices import GPU_HOUR_PRICE
from lamps_core.search.journal import JOURNAL
from lamps_core.settings import FineTuningSettings
from lamps_core.storage import HIDDEN, check_store, is_local, is_there, refuse_blank, storage_path

if TYPE_CHECKING:
    from pathlib import Path

    from lamps_core.text.requests import NamedRequest


@dataclass(frozen=True, kw_only=True)
class CampaignRequest:
    """A campaign as asked for.

    Attributes:
        curves: the folder of the meta-dataset, a path or an fsspec URL.
        datasets: to fine-tune on; None takes every dataset on record in the folder.
        models: what `--models` takes.
        settings: how candidates are fine-tuned.
        work: a folder or fsspec URL for checkpoints and prepared data; None is beside the curves.
        retry_failed: try pairs again that failed for a lasting reason, too.
        gpu_hour_price: dollars.
        track: names of experiment trackers that are told the curves.
    """

    curves: str
    datasets: tuple[NamedRequest, ...] | None
    models: str
    settings: FineTuningSettings = field(default_factory=FineTuningSettings)
    work: str | None = None
    retry_failed: bool = False
    gpu_hour_price: float = GPU_HOUR_PRICE
    track: tuple[str, ...] = ()


def of_record(request: CampaignRequest) -> CampaignRequest:
    """The request with settings and work folder from the record, for one more candidate of a meta-dataset.

    Raises:
        BadInput: the folder cannot be used, is not there, or does not say how its curves were made.
    """
    folder = asked_folder(request.curves)
    check_store(folder, "--curves")
    if not is_there(folder):
        raise BadInput(f"--curves {request.curves}: there is no such folder")
    record = read_record(request.curves)
    if record is None:
        _refuse_those_of_a_search(folder, request.curves)
        raise BadInput(
            f"{request.curves} does not say how its curves were made: "
            f"add the model with lamps campaign --datasets ... --curves {request.curves}"
        )
    settings = FineTuningSettings(**record.settings)
    return dataclasses.replace(request, settings=settings, work=request.work or record.work)


def asked_folder(curves: str) -> Any:
    """What `--curves` names: a folder of this host, absolute, or one of an object store.

    Raises:
        BadInput: it names nothing, or no storage that is known.
    """
    refuse_blank(curves, "--curves", "runs/curves")
    return storage_path(curves)


def checked_folder(curves: str) -> Any:
    """The curves folder, if it can be one.

    Raises:
        BadInput: it is a file, cannot be written, or holds something else.
    """
    folder = asked_folder(curves)
    if not is_local(folder):
        check_store(folder, "--curves")
        return folder
    with usable_folder(folder, f"--curves {curves}"):
        if folder.is_dir() and not (folder / HIDDEN / "campaign.json").is_file():
            _refuse_other_things(folder, curves)
    return folder


def _refuse_other_things(folder: Path, curves: str) -> None:
    """Refuse a folder that no campaign began, if it holds more than curves, or those of a search that may go on."""
    _refuse_those_of_a_search(folder, curves)
    shown = [path for path in sorted(folder.iterdir()) if not path.name.startswith(".")]
    found = curve_files(folder)
    strange = [path for path in shown if path.is_file() and path not in found]
    if strange or (shown and not found):
        raise BadInput(
            f"--curves {curves} is not empty and holds more than curves ({(strange or shown)[0].name}): "
            "name a new folder"
        )


def _refuse_those_of_a_search(folder: Any, curves: str) -> None:
    if (folder.parent / JOURNAL).exists():
        raise BadInput(f"--curves {curves} holds the curves of a search: copy them, or name a new folder")


def check_work(work: str, curves: Any) -> None:
    """Refuse a work folder that cannot be written, or lies among the curves: readers would take its files for curves.

    Args:
        work: as it was given.
        curves: the curves folder.

    Raises:
        BadInput: it is the curves folder, or in it, or cannot be written.
    """
    folder = storage_path(work)
    check_store(folder, "--work")
    try:
        place, among = folder.resolve(), curves.resolve()
        if is_local(folder):
            refuse_unwritable(folder, f"--work {work}")
    except OSError as error:
        raise BadInput(f"--work {work} cannot be used: {error.strerror or error}") from error
    if among in (place, *place.parents) and place.relative_to(among).parts[:1] != (HIDDEN,):
        raise BadInput(
            f"--work {work} is in the folder of the curves: leave --work out, or name another folder"
        )

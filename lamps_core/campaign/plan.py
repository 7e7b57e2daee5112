"""What a campaign would run, on what, and what that costs: decided before anything is downloaded or trained.

Owns how many devices each pair gets, its expected time, and whether there is room on disk. Reads no curves and
runs nothing.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from lamps_core.campaign.cost import (
    WEIGHT_BYTES,
    DiskNeed,
    Speed,
    dataset_size,
    disk_need,
    expected_seconds,
    speed_of,
)
from lamps_core.errors import BadInput
from lamps_core.hub.access import hub_cache
from lamps_core.models.fit import DoesNotFit, devices_needed
from lamps_core.models.size import cached_folder, candidate_sizes

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from lamps_core.campaign.schedule import Pair
    from lamps_core.curves.schema import CurveKey
    from lamps_core.curves.store import CurveState
    from lamps_core.host.machine import Machine
    from lamps_core.models.candidates import Candidate
    from lamps_core.models.size import CandidateSize
    from lamps_core.settings import FineTuningSettings
    from lamps_core.text.dataset import TextDataset


@dataclass(frozen=True)
class CampaignPlan:
    """What is to be run.

    Attributes:
        asked: curves that were asked for.
        pairs: those to run, in no order, with devices and expected seconds.
        unfit: pairs that fit nowhere, with the reason.
        speed: that the times come from.
        disk: room needed.
        machine: what it was made for.
        gpu_hour_price: dollars.
    """

    asked: int
    pairs: tuple[Pair, ...]
    unfit: tuple[tuple[Pair, str], ...]
    speed: Speed
    disk: DiskNeed
    machine: Machine
    gpu_hour_price: float

    @property
    def device_hours(self) -> float:
        """Over all devices."""
        return sum(pair.expected_seconds * pair.gpus for pair in self.pairs) / 3600

    @property
    def wall_hours(self) -> float:
        """From start to end: the work shared among the slots, but no less than the longest pair."""
        longest = max((pair.expected_seconds for pair in self.pairs), default=0.0) / 3600
        return max(longest, self.device_hours / max(1, self.machine.slots))

    @property
    def dollars(self) -> float | None:
        """Of the GPU hours; None on a CPU."""
        return self.device_hours * self.gpu_hour_price if self.machine.cuda else None

    def cost(self) -> dict[str, Any]:
        """What it costs on GPUs, as plain data."""
        return {
            "device": self.machine.name,
            "gpu_hours": self.device_hours if self.machine.cuda else 0.0,
            "dollars": self.dollars,
            "gpu_hour_price": self.gpu_hour_price,
            "speed_from_steps": self.speed.measured_steps,
            "does_not_fit": [{**pair.key._asdict(), "reason": reason} for pair, reason in self.unfit],
        }

    def as_dict(self) -> dict[str, Any]:
        """As plain data, the longest pair first."""
        longest_first = sorted(self.pairs, key=lambda pair: (-pair.expected_seconds, pair.key))
        return self.cost() | {
            "asked": self.asked,
            "done": self.asked - len(self.pairs) - len(self.unfit),
            "to_run": [
                {
                    **pair.key._asdict(),
                    "next_step": pair.next_step,
                    "gpus": pair.gpus if self.machine.cuda else 0,
                    "hours": pair.expected_seconds / 3600,
                }
                for pair in longest_first
            ],
            "slots": self.machine.slots,
            "device_hours": self.device_hours,
            "wall_hours": self.wall_hours,
            "disk_bytes": {"downloads": self.disk.downloads, "checkpoints": self.disk.checkpoints},
        }

    def check_disk(self, work: Path | None) -> None:
        """Refuse to begin a campaign for which the disk is too small.

        Args:
            work: where checkpoints go; None for an object store.

        Raises:
            BadInput: says how much is needed where, and how much is free.
        """
        shortage = self.disk_shortage(work)
        if shortage is not None:
            raise BadInput(shortage)

    def disk_shortage(self, work: Path | None) -> str | None:
        """How much is needed where and how much is free; None if there is room.

        Args:
            work: where checkpoints go; None for an object store.
        """
        needs = [(work, self.disk.checkpoints, "checkpoints", "--work")] if work else []
        if self.disk.downloads:
            needs.append((hub_cache(), self.disk.downloads, "downloaded models", "HF_HOME"))
        by_disk: dict[int, list[tuple[Path, int, str, str]]] = {}
        for place, size, what, option in needs:
            existing = next(parent for parent in (place, *place.parents) if parent.exists())
            by_disk.setdefault(existing.stat().st_dev, []).append((existing, size, what, option))
        for found in by_disk.values():
            place, needed = found[0][0], sum(size for _, size, _, _ in found)
            free = shutil.disk_usage(place).free
            if needed > free:
                what = " and ".join(what for _, _, what, _ in found)
                options = " or ".join(option for _, _, _, option in found)
                return (
                    f"{what} need about {gigabytes(needed)}, and the disk of {place} has {gigabytes(free)} free: "
                    f"point {options} at a larger disk, or give fewer or smaller models"
                )
        return None


def gigabytes(count: float) -> str:
    """A number of bytes for a person.

    >>> gigabytes(2.5e12), gigabytes(41_000_000)
    ('2,500 GB', '0.041 GB')
    """
    value = count / 1e9
    return f"{value:,.0f} GB" if value >= 10 else f"{value:.2g} GB"


@dataclass(frozen=True)
class Scope:
    """What a plan is made of, besides the pairs that are missing.

    Attributes:
        asked: curves that were asked for, the complete ones included.
        candidates: by name.
        datasets: by name.
        states: the curves that are there, which tell the speed.
        settings: how candidates are fine-tuned.
        gpu_hour_price: dollars.
    """

    asked: int
    candidates: Mapping[str, Candidate]
    datasets: Mapping[str, TextDataset]
    states: Mapping[CurveKey, CurveState]
    settings: FineTuningSettings
    gpu_hour_price: float


def make_plan(pairs: Sequence[Pair], scope: Scope, machine: Machine) -> CampaignPlan:
    """Give each pair its devices and its expected time; set aside those that fit nowhere.

    Args:
        pairs: what is missing.
        scope: what was asked for and what is there.
        machine: what it would run on.
    """
    settings = scope.settings
    wanted = {pair.key.model for pair in pairs}
    sizes = candidate_sizes([found for name, found in scope.candidates.items() if name in wanted])
    lengths = {
        name: dataset_size(dataset, max_length=settings.max_length)
        for name, dataset in scope.datasets.items()
    }
    speed = speed_of(scope.states, lengths, settings, cuda=machine.cuda)
    fitting, unfit = [], []
    for pair in pairs:
        parameters = sizes[pair.key.model].parameters
        try:
            pair.gpus = devices_needed(
                parameters,
                device_memory_bytes=machine.device_memory_bytes,
                most=machine.devices_of_a_host,
            )
        except DoesNotFit as error:
            unfit.append((pair, f"{error}{_shared(machine)}"))
            continue
        length = lengths[pair.key.dataset]
        pair.expected_seconds = expected_seconds(pair, length, parameters, settings, speed)
        fitting.append(pair)
    disk = disk_need(
        [sizes[pair.key.model].parameters for pair in fitting],
        downloads=[
            _download_bytes(sizes[name])
            for name in {pair.key.model for pair in fitting}
            if _to_be_downloaded(scope.candidates[name])
        ],
        slots=machine.slots,
    )
    return CampaignPlan(scope.asked, tuple(fitting), tuple(unfit), speed, disk, machine, scope.gpu_hour_price)


def _shared(machine: Machine) -> str:
    """The end of a line about a candidate that does not fit: why a step has less than a whole device."""
    if machine.sharing == 1:
        return ""
    return (
        f"; {machine.sharing} steps at once share a device: with fewer (--parallel, or the resource GPU of a Dask "
        "worker) each has more"
    )


def _download_bytes(size: CandidateSize) -> int:
    return size.weight_bytes or WEIGHT_BYTES * (size.parameters or 0)


def _to_be_downloaded(candidate: Candidate) -> bool:
    return candidate.kind == "hub" and cached_folder(candidate.location, candidate.revision) is None

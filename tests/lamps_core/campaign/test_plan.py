"""What a campaign would run, on how many devices, and whether there is room for it."""

from __future__ import annotations

import dataclasses
import shutil
from typing import TYPE_CHECKING

import pytest

from lamps_core.campaign.cost import DiskNeed, Speed
from lamps_core.campaign.plan import CampaignPlan, Scope, make_plan
from lamps_core.campaign.schedule import Pair
from lamps_core.curves.schema import CurveKey
from lamps_core.errors import BadInput
from lamps_core.host.machine import Machine
from lamps_core.models.candidates import Candidate
from lamps_core.settings import FineTuningSettings
from lamps_core.text.dataset import DatasetRequest, load_text_dataset

if TYPE_CHECKING:
    from pathlib import Path

GIBIBYTE = 2**30
A100 = Machine(8, 40 * GIBIBYTE, 2, cuda=True, name="A100")
NAMES = ("FacebookAI/roberta-base", "Qwen/Qwen2.5-3B", "meta-llama/Llama-3.1-8B")  # of 0.1, 3 and 8 billion


@pytest.fixture
def scope(topics_csv: Path) -> Scope:
    dataset = load_text_dataset(DatasetRequest(str(topics_csv), ("phrase",), "topic"))
    candidates = {name: Candidate(name, "hub", name, None, None) for name in NAMES}
    return Scope(len(NAMES), candidates, {"topics": dataset}, {}, FineTuningSettings(), 3.67)


def plan_of(scope: Scope, machine: Machine = A100) -> CampaignPlan:
    return make_plan([Pair(CurveKey("topics", name, 0)) for name in NAMES], scope, machine)


def test_a_candidate_gets_as_many_devices_as_it_needs_and_one_too_large_is_set_aside(scope: Scope) -> None:
    plan = plan_of(scope)
    assert {pair.key.model: pair.gpus for pair in plan.pairs} == {NAMES[0]: 1, NAMES[1]: 2}
    ((pair, reason),) = plan.unfit
    assert pair.key.model == NAMES[2]
    assert "does not fit this cluster" in reason
    assert plan.as_dict()["does_not_fit"][0]["model"] == NAMES[2]
    larger = plan_of(scope, dataclasses.replace(A100, devices_of_a_host=8))
    assert {pair.key.model: pair.gpus for pair in larger.pairs}[NAMES[2]] == 4


def test_a_candidate_that_fits_a_device_only_alone_is_set_aside_where_steps_share_it(scope: Scope) -> None:
    shared = dataclasses.replace(A100, device_memory_bytes=20 * GIBIBYTE, sharing=2)
    unfit = {pair.key.model: reason for pair, reason in plan_of(scope, shared).unfit}
    assert unfit.keys() == {NAMES[1], NAMES[2]}
    assert (
        "devices of 20 GiB (0.9 of it usable); 2 steps at once share a device: with fewer (--parallel"
        in (unfit[NAMES[1]])
    )


def test_the_cost_is_of_every_device_that_a_pair_takes(scope: Scope) -> None:
    plan = plan_of(scope)
    hours = sum(pair.expected_seconds * pair.gpus for pair in plan.pairs) / 3600
    assert plan.device_hours == pytest.approx(hours)
    assert plan.dollars == pytest.approx(3.67 * hours)
    assert plan.wall_hours == pytest.approx(max(pair.expected_seconds for pair in plan.pairs) / 3600)
    on_cpu = plan_of(scope, Machine(2, 500 * GIBIBYTE, 1, cuda=False, name="cpu"))
    assert on_cpu.dollars is None


def test_disk_counts_each_download_once_and_the_largest_checkpoints(scope: Scope) -> None:
    disk = plan_of(scope).disk
    assert 4 * 3.1e9 < disk.downloads < 4 * 3.4e9
    assert 24 * 3.1e9 < disk.checkpoints < 24 * 3.4e9


def needing(downloads: int, checkpoints: int) -> CampaignPlan:
    speed = Speed(1.0, {}, 1.0, 1.0, 0)
    return CampaignPlan(1, (), (), speed, DiskNeed(downloads, checkpoints), A100, 3.67)


def test_what_must_run_out_of_disk_is_not_begun(tmp_path: Path) -> None:
    free = shutil.disk_usage(tmp_path).free
    needing(0, free // 2).check_disk(tmp_path / "not" / "there" / "yet")
    assert needing(0, free // 2).disk_shortage(tmp_path) is None
    with pytest.raises(
        BadInput, match=r"checkpoints need about .* has .* free: point --work at a larger disk"
    ):
        needing(0, free * 2).check_disk(tmp_path)


def test_downloads_and_checkpoints_of_one_disk_are_added_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    part = int(shutil.disk_usage(tmp_path).free * 0.7)
    needing(part, 0).check_disk(tmp_path)
    needing(0, part).check_disk(tmp_path)
    with pytest.raises(BadInput, match="checkpoints and downloaded models need"):
        needing(part, part).check_disk(tmp_path)


def test_an_object_store_has_room(tmp_path: Path) -> None:
    needing(0, 10**18).check_disk(None)

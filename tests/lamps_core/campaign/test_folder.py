"""What a curves folder says of how its curves were made, and who may write into it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from lamps_core.campaign.folder import CampaignRecord, joined, read_record, write_record
from lamps_core.errors import BadInput, StorageFailed
from lamps_core.models.candidates import resolve_candidates
from lamps_core.settings import FineTuningSettings
from lamps_core.text.dataset import DatasetRequest, load_text_dataset

if TYPE_CHECKING:
    from pathlib import Path

    from lamps_core.text.dataset import TextDataset

SETTINGS = FineTuningSettings(landmarks=2)


@pytest.fixture
def asked(topics_csv: Path) -> list[tuple[DatasetRequest, TextDataset]]:
    request = DatasetRequest(str(topics_csv), ("phrase",), "topic")
    return [(request, load_text_dataset(request))]


@pytest.fixture
def record(asked: list[tuple[DatasetRequest, TextDataset]]) -> CampaignRecord:
    new = CampaignRecord.new(SETTINGS)
    return joined(new, settings=SETTINGS, datasets=asked, candidates=resolve_candidates("zoo/bert-tiny"))


def test_a_record_is_read_as_it_was_written(tmp_path: Path, record: CampaignRecord) -> None:
    assert read_record(str(tmp_path)) is None
    write_record(str(tmp_path), record)
    assert read_record(str(tmp_path)) == record


def test_the_same_run_adds_nothing(
    record: CampaignRecord, asked: list[tuple[DatasetRequest, TextDataset]]
) -> None:
    candidates = resolve_candidates("zoo/bert-tiny")
    assert joined(record, settings=SETTINGS, datasets=asked, candidates=candidates) == record


def test_another_seed_is_another_curve_and_not_another_campaign(
    record: CampaignRecord, topics_csv: Path
) -> None:
    request = DatasetRequest(str(topics_csv), ("phrase",), "topic", seed=5)
    settings = FineTuningSettings(landmarks=2, seed=5)
    grown = joined(record, settings=settings, datasets=[(request, load_text_dataset(request))], candidates=[])
    assert sorted(grown.datasets) == [("topics", 0), ("topics", 5)]


def test_paths_on_record_lead_to_the_same_place_from_anywhere(
    topics_csv: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(topics_csv.parent)
    request = DatasetRequest(topics_csv.name, ("phrase",), "topic")
    dataset = load_text_dataset(request)
    begun = CampaignRecord.new(FineTuningSettings())
    record = joined(
        begun, settings=FineTuningSettings(), work="work", datasets=[(request, dataset)], candidates=[]
    )
    monkeypatch.chdir(tmp_path)
    (recorded,) = record.datasets.values()
    assert load_text_dataset(recorded.request).fingerprint == dataset.fingerprint
    assert record.work == str(topics_csv.parent / "work")


def test_other_settings_are_refused_by_name(record: CampaignRecord) -> None:
    with pytest.raises(BadInput, match="--max-epochs 10, not 4"):
        joined(record, settings=FineTuningSettings(landmarks=2, max_epochs=4), datasets=[], candidates=[])


def test_a_setting_that_was_left_out_is_told_as_such(record: CampaignRecord) -> None:
    settings = FineTuningSettings(landmarks=2, learning_rate=0.001)
    with pytest.raises(BadInput, match=r"made without --learning-rate, not 0\.001"):
        joined(record, settings=settings, datasets=[], candidates=[])
    given = CampaignRecord.new(settings)
    with pytest.raises(BadInput, match=r"made with --learning-rate 0\.001, not without it"):
        joined(given, settings=SETTINGS, datasets=[], candidates=[])


def test_other_rows_under_a_name_are_refused(record: CampaignRecord, topics_csv: Path) -> None:
    capped = DatasetRequest(str(topics_csv), ("phrase",), "topic", max_train_rows=20)
    with pytest.raises(BadInput, match="topics has other rows"):
        joined(record, settings=SETTINGS, datasets=[(capped, load_text_dataset(capped))], candidates=[])


def test_another_model_under_a_name_is_refused(record: CampaignRecord) -> None:
    other = CampaignRecord(record.id, record.settings, None, {}, {"zoo/bert-tiny": "of other files"})
    found = resolve_candidates("zoo/bert-tiny")
    with pytest.raises(BadInput, match=r"zoo/bert-tiny at .* has other files"):
        joined(other, settings=SETTINGS, datasets=[], candidates=found, measured=["zoo/bert-tiny"])


@pytest.mark.parametrize(
    "content",
    [
        "", "{", "[]", "{}", '{"version": 99}', '{"version": 1, "id": 3}',
        '{"version": 1, "id": "a", "settings": {"no_such": 1}, "work": null, "datasets": [], "models": {}}',
        '{"version": 1, "id": "a", "settings": [], "work": null, "datasets": [], "models": {}}',
    ],
)  # fmt: skip
def test_a_damaged_record_is_refused_with_its_path(tmp_path: Path, content: str) -> None:
    path = tmp_path / ".lamps" / "campaign.json"
    path.parent.mkdir()
    path.write_text(content)
    with pytest.raises(BadInput, match=r"campaign\.json"):
        read_record(str(tmp_path))


def test_a_record_holds_no_more_than_it_says(tmp_path: Path, record: CampaignRecord) -> None:
    write_record(str(tmp_path), record)
    told = json.loads((tmp_path / ".lamps" / "campaign.json").read_text())
    assert sorted(told) == ["again", "datasets", "id", "models", "settings", "version", "work"]


def test_a_store_that_does_not_answer_is_no_folder_without_a_campaign(silent_store: str) -> None:
    with pytest.raises(StorageFailed, match=silent_store):
        read_record(silent_store)

"""What the code of earlier commits wrote is read by today's.

Of `tests/data/version-1`, `search` was left by a search at commit 49bd6be: its journal has no `started` and no
`model_files`. `campaign` is what a campaign at 1535b09 left, whose Parquet files name no version, and `policies` are
of that commit too.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from lamps_core.campaign.request import CampaignRequest
from lamps_core.campaign.survey import CampaignSurvey
from lamps_core.curves.reader import curves_by_key, read_curves
from lamps_core.curves.schema import VERSION_KEY, write_curve
from lamps_core.curves.store import CurveStore
from lamps_core.errors import BadInput
from lamps_core.host.machine import Machine
from lamps_core.objectives import DEFAULT_OBJECTIVES, parse_objectives
from lamps_core.policies.loading import load_policy
from lamps_core.policy_file import read_policy
from lamps_core.search.algorithm import Outcome, Search
from lamps_core.search.budget import parse_budget
from lamps_core.search.record import read_search
from lamps_core.search.run import SearchRun
from lamps_core.settings import FineTuningSettings
from lamps_core.text.requests import dataset_requests
from tests.campaigns import write_datasets
from tests.searches import MODELS, STEPS_EACH, quick_request

VERSION_1 = Path(__file__).parents[1] / "data" / "version-1"
OLD = VERSION_1 / "search"
ZERO_SHOT = {
    "train_seconds": 0.0, "parameters": 4000, "complete": False, "step_seconds": 0.5, "flops_per_token": 8000.0,
    "train_tokens": 900,
}  # fmt: skip
STEPS = STEPS_EACH * len(MODELS.split(","))


def topics(folder: Path) -> Path:
    """The dataset of the old search."""
    rows = [("a storm", "weather") if row % 2 else ("soup with bread", "food") for row in range(120)]
    lines = [f"{text} {row},{topic}\n" for row, (text, topic) in enumerate(rows)]
    (folder / "topics.csv").write_text("phrase,topic\n" + "".join(lines))
    return folder / "topics.csv"


def test_curves_of_an_older_version_are_read() -> None:
    curves = curves_by_key(read_curves(OLD / "curves"))
    assert [key.model for key in curves] == MODELS.split(",")
    assert all(curve.complete and len(curve.table) == STEPS_EACH for curve in curves.values())


def test_a_finished_and_an_unfinished_search_of_an_older_version_are_read(tmp_path: Path) -> None:
    shutil.copytree(OLD, tmp_path / "out")
    finished = read_search(tmp_path / "out")
    (tmp_path / "out" / "result.json").unlink()
    unfinished = read_search(tmp_path / "out")
    assert (finished.finished, unfinished.finished) == (True, False)
    assert {one.name for one in finished.candidates} == {one.name for one in unfinished.candidates}
    assert len(unfinished.outcomes) == STEPS


def test_a_search_of_an_older_version_goes_on_where_it_was(tmp_path: Path) -> None:
    shutil.copytree(OLD, tmp_path / "out")
    journal = tmp_path / "out" / "journal.jsonl"
    header, *events = journal.read_text().splitlines(keepends=True)
    journal.write_text(header + "".join(events[:5]))
    run = SearchRun(quick_request(topics(tmp_path), tmp_path / "out"))
    try:
        assert run.search.steps == 5
        assert run.search.candidates[MODELS.split(",")[1]].next_step == 1
    finally:
        run.close()


def test_a_campaign_of_an_older_version_is_added_to(tmp_path: Path) -> None:
    curves = tmp_path / "curves"
    shutil.copytree(VERSION_1 / "campaign", curves)
    datasets = dataset_requests(
        write_datasets(tmp_path), input_col="phrase", target_col="topic", max_train_rows=None, seed=0
    )
    settings = FineTuningSettings(landmarks=2, max_epochs=2)
    request = CampaignRequest(
        curves=str(curves), datasets=tuple(datasets), models="zoo/gpt2-tiny", settings=settings
    )
    survey = CampaignSurvey(request)  # refuses other rows and other settings than the record's
    plan = survey.plan(Machine(1, 2**36, 1, cuda=False, name="cpu"))
    assert sorted(pair.key.dataset for pair in plan.pairs) == ["first", "second"]
    states = CurveStore(curves).states()
    assert {(key.dataset, key.model, state.complete) for key, state in states.items()} == {
        ("first", "zoo/bert-tiny", True),
        ("second", "zoo/bert-tiny", True),
    }


def test_a_universal_policy_of_an_older_version_is_refused_with_the_way_out() -> None:
    """It had another network; nothing of it can be used."""
    with pytest.raises(
        BadInput, match=r"this version's universal policy: train it again, or use the one that"
    ):
        load_policy(str(VERSION_1 / "policies" / "universal.zip"))


@pytest.mark.parametrize("name", ["forecast", "distral"])
def test_a_policy_of_an_older_version_decides(name: str) -> None:
    path = VERSION_1 / "policies" / f"{name}.zip"
    card = read_policy(path).card
    objectives = parse_objectives(",".join(card.objectives) or DEFAULT_OBJECTIVES)
    names = card.candidates or ("zoo/bert-tiny", "zoo/gpt2-tiny")
    policy = load_policy(str(path), objectives=objectives, candidates=names)
    search = Search(names, policy=policy, objectives=objectives, budget=parse_budget(None))
    for place, _ in enumerate(names):  # the zero-shot steps, then the policy's first choice
        action = search.ask()
        assert action is not None
        row = ZERO_SHOT | {"test_loss": 1.0 + place}
        search.tell(Outcome(kind="step", candidate=action.candidate, step=0, seconds=1.0, record=row))
    chosen = search.ask()
    assert chosen is not None
    assert (chosen.candidate in names, chosen.step) == (True, 1)


def test_curves_of_a_later_version_are_refused(tmp_path: Path) -> None:
    table = pq.read_table(VERSION_1 / "campaign" / file_of("first"))
    pq.write_table(table.replace_schema_metadata({VERSION_KEY: b"2"}), tmp_path / "later.parquet")
    with pytest.raises(
        BadInput, match=r"later\.parquet was written by a later version of LAMPS: upgrade LAMPS"
    ):
        read_curves(tmp_path)


def test_curves_name_their_version(tmp_path: Path) -> None:
    write_curve(tmp_path, read_curves(VERSION_1 / "campaign" / file_of("first")).to_pylist())
    (written,) = tmp_path.glob("*.parquet")
    assert pq.read_schema(written).metadata[VERSION_KEY] == b"1"


def file_of(dataset: str) -> str:
    (file,) = (VERSION_1 / "campaign").glob(f"{dataset}*.parquet")
    return file.name

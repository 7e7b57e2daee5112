"""A campaign on disk, its steps run by a plain loop in the place of the flow."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lamps_core.campaign.folder import read_record
from lamps_core.campaign.request import CampaignRequest, of_record
from lamps_core.campaign.run import CampaignRun
from lamps_core.campaign.step import run_and_keep
from lamps_core.campaign.survey import CampaignSurvey
from lamps_core.curves.schema import CURVE_SCHEMA, CurveKey
from lamps_core.curves.store import CurveStore
from lamps_core.errors import BadInput, CandidateFailed, StorageFailed
from lamps_core.files import DRAFT_SECONDS, draft_beside
from lamps_core.host.machine import Machine
from lamps_core.models.zoo import materialise
from lamps_core.search.journal import JOURNAL
from lamps_core.text.dataset import DatasetRequest
from lamps_core.text.requests import NamedRequest
from lamps_core.workers.execution import Execution
from lamps_core.workers.pool import DeviceSlot
from tests.campaigns import facts
from tests.meta_datasets import curve_rows, write_meta_dataset
from tests.pages import Page
from tests.searches import BETTER, QUICK, STEPS_EACH, TINY
from tests.tracker_records import in_single_precision, mlflow_client, tensorboard_scalars

CPU = Machine(1, 2**36, 1, cuda=False, name="cpu")
TOPICS = CurveKey("topics", TINY, 0)


def request_of(csv: Path, curves: Path, models: str = TINY, **more: Any) -> CampaignRequest:
    data = NamedRequest(None, DatasetRequest(str(csv), ("phrase",), "topic", max_train_rows=40))
    return CampaignRequest(curves=str(curves), datasets=(data,), models=models, settings=QUICK, **more)


def run_steps(request: CampaignRequest, *, limit: int | None = None, machine: Machine = CPU) -> CampaignRun:
    """Run the campaign, or the next steps of it, one after the other."""
    run = CampaignRun(request)
    execution = Execution([DeviceSlot(None, 1)])
    try:
        with run.opened(machine):
            while run.steps != limit and (started := run.ask(1)) is not None:
                pair, step, keep = started
                try:
                    run.tell(pair, run_and_keep(step, keep, execution.run_step))
                except CandidateFailed as error:
                    run.tell_failed(pair, str(error))
    finally:
        execution.close()
    return run


NOTICES = [  # of the data of `request_of`
    "topics: there is no test split: 48 of 240 training rows are reserved, stratified, as the test split",
    "topics: train: 40 of 192 rows used, stratified, as --max-train-rows asks",
    "topics: the evaluation split has 48 rows only: accuracies less than 0.14 apart can differ by chance alone",
]


def left_in_words(request: CampaignRequest) -> str:
    """What a run says that opens the campaign and is stopped before its first step."""
    run = CampaignRun(request)
    with run.opened(CPU) as plan:
        return run.survey.left_in_words(plan)


def test_a_campaign_goes_on_from_the_step_it_was_stopped_at(topics_csv: Path, tmp_path: Path) -> None:
    request = request_of(topics_csv, tmp_path / "curves")
    assert run_steps(request, limit=2).steps == 2
    assert run_steps(request).steps == STEPS_EACH - 2
    assert run_steps(request).steps == 0
    run_steps(request_of(topics_csv, tmp_path / "whole"))
    assert facts(tmp_path / "curves") == facts(tmp_path / "whole")


def test_what_is_said_of_a_dataset_is_told_by_every_run_once_and_shown_on_the_page(
    topics_csv: Path, tmp_path: Path
) -> None:
    curves = tmp_path / "curves"
    request = request_of(topics_csv, curves)
    assert CampaignSurvey(request).plan_in_full(CPU)["notices"] == NOTICES
    told = run_steps(request, limit=1).finish()
    assert told["notices"] == NOTICES
    assert [notice for notice in NOTICES if notice in Page(Path(told["report"])).text] == NOTICES
    (data,) = request.datasets or ()
    other_seed = NamedRequest(None, dataclasses.replace(data.request, seed=1))
    both = dataclasses.replace(request, datasets=(data, other_seed))
    assert CampaignSurvey(both).notices == NOTICES
    prepared = of_record(dataclasses.replace(request_of(tmp_path / "gone.csv", curves), datasets=None))
    assert CampaignSurvey(prepared).notices == NOTICES


def test_a_campaign_in_a_store_is_planned_and_has_no_trackers(topics_csv: Path, tmp_path: Path) -> None:
    curves = f"memory://{tmp_path.name}/curves"
    request = dataclasses.replace(request_of(topics_csv, tmp_path), curves=curves)
    assert len(CampaignSurvey(request).plan(CPU).pairs) == 1
    with pytest.raises(BadInput, match="--track keeps its files beside the curves"):
        CampaignRun(dataclasses.replace(request, track=("tensorboard",)))


def test_a_step_that_was_committed_and_lost_its_row_is_not_trained_again(
    topics_csv: Path, tmp_path: Path
) -> None:
    request = request_of(topics_csv, tmp_path / "curves")
    run_steps(request, limit=2)
    before = CurveStore(tmp_path / "curves").states()[TOPICS].rows
    next((tmp_path / "curves").glob("*/step-0001.parquet")).unlink()
    run_steps(request, limit=1)
    assert (
        CurveStore(tmp_path / "curves").states()[TOPICS].rows == before
    )  # its times too: it is the same run


def test_a_curve_without_its_checkpoint_is_made_again_and_that_is_said(
    topics_csv: Path, tmp_path: Path
) -> None:
    request = request_of(topics_csv, tmp_path / "curves")
    assert left_in_words(request) == "1 curve to run"
    run_steps(request, limit=3)
    work = tmp_path / "curves" / ".lamps" / "work"
    shutil.rmtree(work)
    assert left_in_words(request) == f"1 curve to run, 1 again from step 0: {work} lacks their checkpoints"
    assert run_steps(request).steps == STEPS_EACH


@pytest.mark.parametrize("row_lost", [False, True])
def test_a_curve_that_is_made_again_goes_on_where_it_was_stopped(
    topics_csv: Path, tmp_path: Path, row_lost: bool
) -> None:
    curves = tmp_path / "curves"
    request = request_of(topics_csv, curves)
    run_steps(request, limit=3)
    before = [row["created_at"] for row in CurveStore(curves).states()[TOPICS].rows]
    shutil.rmtree(curves / ".lamps" / "work")
    run_steps(request, limit=2)
    made = CurveStore(curves).states()[TOPICS].rows[:2]
    old = next(curves.glob("*/step-0002.parquet")).read_bytes()
    run_steps(request, limit=2)
    if row_lost:  # killed as the checkpoint was there, and the row was that of the curve that was given up
        next(curves.glob("*/step-0002.parquet")).write_bytes(old)
    assert run_steps(request).steps == 2  # one told again from its checkpoint, and the last
    rows = CurveStore(curves).states()[TOPICS].rows
    assert (len(rows), rows[:2]) == (STEPS_EACH, made)
    assert min(row["created_at"] for row in rows) > max(before)


def test_a_curve_that_is_made_again_is_told_to_trackers_as_a_run_of_its_own(
    topics_csv: Path, tmp_path: Path
) -> None:
    request = request_of(topics_csv, tmp_path / "curves", track=("mlflow", "tensorboard"))
    run_steps(request, limit=3)
    before = CurveStore(tmp_path / "curves").states()[TOPICS].rows
    shutil.rmtree(tmp_path / "curves" / ".lamps" / "work")
    assert run_steps(request).result()["notices"] == NOTICES
    rows = CurveStore(tmp_path / "curves").states()[TOPICS].rows
    trackers = tmp_path / "curves" / ".lamps" / "trackers"
    client = mlflow_client(trackers)
    runs = client.search_runs([client.get_experiment_by_name("lamps-topics").experiment_id])
    found = [
        [one.value for one in client.get_metric_history(run.info.run_id, "train_seconds")] for run in runs
    ]
    assert sorted(found) == sorted([[row["train_seconds"] for row in curve] for curve in (before, rows)])
    scalars = tensorboard_scalars(
        trackers / "tensorboard" / "lamps-topics" / "zoo--bert-tiny", "train_seconds"
    )
    assert scalars == in_single_precision([(row["step"], row["train_seconds"]) for row in rows])


def test_a_campaign_stopped_before_its_first_row_goes_on(topics_csv: Path, tmp_path: Path) -> None:
    request = request_of(topics_csv, tmp_path / "curves")
    assert run_steps(request, limit=0).steps == 0  # its folder holds prepared data, as Parquet, and no row
    assert run_steps(request, limit=1).steps == 1


def test_what_a_stopped_run_completed_is_one_file_as_soon_as_the_next_one_begins(
    topics_csv: Path, tmp_path: Path
) -> None:
    run_steps(request_of(topics_csv, tmp_path / "curves"))
    (whole,) = (tmp_path / "curves").glob("*.parquet")
    before, rows = facts(tmp_path / "curves"), pq.read_table(whole).to_pylist()
    whole.unlink()
    store = CurveStore(tmp_path / "curves")
    for row in rows:
        store.append(row)
    with CampaignRun(request_of(topics_csv, tmp_path / "curves", models=f"{TINY},{BETTER}")).opened(CPU):
        assert whole.is_file()
        assert not whole.with_suffix("").exists()
        assert facts(tmp_path / "curves") == before


def test_tokens_are_kept_for_curves_that_are_left_and_no_longer(topics_csv: Path, tmp_path: Path) -> None:
    request = request_of(topics_csv, tmp_path / "curves")
    tokens = tmp_path / "curves" / ".lamps" / "work" / "topics-s0" / "tokens"
    run_steps(request, limit=2)
    run_steps(request, limit=0)
    assert len(list(tokens.iterdir())) == 2
    run_steps(request)
    assert not tokens.exists()
    tokens.mkdir()  # of a run that was killed after its last row
    run_steps(request, limit=0)
    assert not tokens.exists()


def test_drafts_that_killed_workers_left_go_and_those_of_late_ones_stay(
    topics_csv: Path, tmp_path: Path
) -> None:
    request = request_of(topics_csv, tmp_path / "curves", work=str(tmp_path / "work"))
    run_steps(request, limit=1)
    (tokens,) = (tmp_path / "work").glob("*/topics-s0/tokens")
    old, fresh = (draft_beside(tokens / "key") for _ in range(2))
    for draft in (old, fresh):
        draft.mkdir()
        (draft / "values.npy").touch()
    past = old.stat().st_mtime - DRAFT_SECONDS - 1
    os.utime(old, (past, past))
    run_steps(request, limit=0)
    assert (old.exists(), fresh.exists()) == (False, True)


def test_a_checkpoint_that_is_ahead_of_its_rows_is_not_taken(topics_csv: Path, tmp_path: Path) -> None:
    request = request_of(topics_csv, tmp_path / "curves")
    run_steps(request, limit=3)
    shutil.rmtree(next((tmp_path / "curves").glob("topics--*")))
    assert run_steps(request).steps == STEPS_EACH


def test_what_fits_nowhere_is_recorded_and_judged_anew_on_another_machine(
    topics_csv: Path, tmp_path: Path
) -> None:
    request = request_of(topics_csv, tmp_path / "curves", models=f"{TINY},{BETTER}")
    small = Machine(1, 2**20, 1, cuda=False, name="cpu")
    run = run_steps(request, machine=small)
    assert (run.steps, len(run.result()["failed"])) == (0, 2)
    state = CurveStore(tmp_path / "curves").states()[TOPICS]
    assert state.failure is not None
    assert "does not fit" in state.failure["error"]
    assert run_steps(request).result()["failed"] == []


def test_a_passing_failure_is_tried_again_and_a_lasting_one_only_when_asked(
    topics_csv: Path, tmp_path: Path
) -> None:
    request = request_of(topics_csv, tmp_path / "curves")
    for attempts, tried in ((3, True), (None, False)):
        run = CampaignRun(request)
        with run.opened(CPU):
            started = run.ask(1)
            assert started is not None
            run.tell_failed(started[0], "killed by SIGKILL", attempts=attempts)
        assert (CampaignSurvey(request).plan(CPU).pairs != ()) is tried
    again = request_of(topics_csv, tmp_path / "curves", retry_failed=True)
    assert run_steps(again).result()["failed"] == []
    assert CurveStore(tmp_path / "curves").states()[TOPICS].failure is None


def test_a_damaged_model_that_was_mended_is_tried_again_and_a_measured_one_stays_as_it_was(
    topics_csv: Path, tmp_path: Path
) -> None:
    model = tmp_path / "mine"
    shutil.copytree(materialise(TINY), model)
    whole = (model / "model.safetensors").read_bytes()
    (model / "model.safetensors").write_bytes(whole[:1000])
    request = request_of(topics_csv, tmp_path / "curves", f"{model},{TINY}")
    assert [row["model"] for row in run_steps(request).result()["failed"]] == ["mine"]

    (model / "model.safetensors").write_bytes(whole)
    run = run_steps(request)
    assert run.result()["failed"] == []
    assert run.steps == STEPS_EACH
    assert run_steps(request).steps == 0

    (model / "config.json").write_text((model / "config.json").read_text() + " ")
    with pytest.raises(BadInput, match=r"model mine at .* has other files"):
        CampaignSurvey(request)


def test_a_curve_that_cannot_be_made_again_is_on_record_as_failed_and_keeps_its_rows(
    topics_csv: Path, tmp_path: Path
) -> None:
    request = request_of(topics_csv, tmp_path / "curves")
    run_steps(request, limit=3)
    before = CurveStore(tmp_path / "curves").states()[TOPICS].rows
    shutil.rmtree(tmp_path / "curves" / ".lamps" / "work")
    run = CampaignRun(request)
    with run.opened(CPU):
        started = run.ask(1)
        assert started is not None
        run.tell_failed(started[0], "the model is gone")
    state = CurveStore(tmp_path / "curves").states()[TOPICS]
    assert state.rows == before
    assert state.failure is not None
    assert state.failure["step"] == 3  # a step that is on record has not failed
    assert state.failure["error"] == "the model is gone (at step 0 of the curve made again)"
    assert CampaignSurvey(request).plan(CPU).pairs == ()
    assert run_steps(dataclasses.replace(request, retry_failed=True)).steps == STEPS_EACH
    assert CurveStore(tmp_path / "curves").states()[TOPICS].failure is None


def test_a_checkpoint_of_a_complete_curve_that_a_killed_run_left_is_deleted(
    topics_csv: Path, tmp_path: Path
) -> None:
    request = request_of(topics_csv, tmp_path / "curves")
    run_steps(request, limit=STEPS_EACH - 1)
    killed = CampaignRun(request)
    execution = Execution([DeviceSlot(None, 1)])
    with contextlib.suppress(KeyboardInterrupt), killed.opened(CPU):
        started = killed.ask(1)
        assert started is not None
        assert run_and_keep(started[1], started[2], execution.run_step)["complete"]
        raise KeyboardInterrupt
    execution.close()
    assert list((tmp_path / "curves").rglob("model.safetensors"))
    assert run_steps(request).steps == 0
    assert not list((tmp_path / "curves").rglob("model.safetensors"))


def test_a_fingerprint_takes_settings_and_datasets_from_the_record(topics_csv: Path, tmp_path: Path) -> None:
    run_steps(request_of(topics_csv, tmp_path / "curves"))
    asked = CampaignRequest(curves=str(tmp_path / "curves"), datasets=None, models=BETTER)
    added = of_record(asked)
    assert added.settings.landmarks == QUICK.landmarks
    assert run_steps(added).steps == STEPS_EACH
    with pytest.raises(BadInput, match=r"--curves .*/other: there is no such folder"):
        of_record(CampaignRequest(curves=str(tmp_path / "other"), datasets=None, models=BETTER))
    (tmp_path / "other").mkdir()
    with pytest.raises(BadInput, match="does not say how its curves were made"):
        of_record(CampaignRequest(curves=str(tmp_path / "other"), datasets=None, models=BETTER))


def test_a_fingerprint_of_a_folder_of_two_seeds_adds_a_curve_to_each(
    topics_csv: Path, tmp_path: Path
) -> None:
    for seed in (0, 1):
        data = DatasetRequest(str(topics_csv), ("phrase",), "topic", max_train_rows=40, seed=seed)
        asked = CampaignRequest(
            curves=str(tmp_path / "curves"),
            datasets=(NamedRequest(None, data),),
            models=TINY,
            settings=dataclasses.replace(QUICK, seed=seed),
        )
        assert run_steps(asked).steps == STEPS_EACH
    added = of_record(CampaignRequest(curves=str(tmp_path / "curves"), datasets=None, models=BETTER))
    run = CampaignRun(added)
    execution = Execution([DeviceSlot(None, 1)] * 2)
    with ThreadPoolExecutor(2) as threads, run.opened(dataclasses.replace(CPU, slots=2)):
        while not run.schedule.done:  # both seeds' steps of a number at once
            asked_for = [started for _ in range(2) if (started := run.ask(2)) is not None]
            assert {pair.key.seed for pair, _, _ in asked_for} == {0, 1}
            assert len({step.key for _, step, _ in asked_for}) == 2
            records = list(threads.map(lambda it: run_and_keep(it[1], it[2], execution.run_step), asked_for))
            for (pair, _, _), record in zip(asked_for, records, strict=True):
                run.tell(pair, record)
    execution.close()
    assert execution.running == {}
    states = CurveStore(tmp_path / "curves").states()
    assert {(key.model, key.seed): len(state.rows) for key, state in states.items()} == {
        (model, seed): STEPS_EACH for model in (TINY, BETTER) for seed in (0, 1)
    }
    first, second = (states[CurveKey("topics", BETTER, seed)].rows for seed in (0, 1))
    assert all(one["test_loss"] != other["test_loss"] for one, other in zip(first, second, strict=True))


def test_what_another_run_put_on_record_while_this_one_made_ready_stays_there(
    topics_csv: Path, tmp_path: Path
) -> None:
    run_steps(request_of(topics_csv, tmp_path / "curves"), limit=0)
    late = CampaignRun(request_of(topics_csv, tmp_path / "curves", models=BETTER))
    run_steps(request_of(topics_csv, tmp_path / "curves", models="zoo/albert-tiny"), limit=0)
    with late.opened(CPU):
        pass
    record = read_record(str(tmp_path / "curves"))
    assert record is not None
    assert set(record.models) == {TINY, BETTER, "zoo/albert-tiny"}


def test_two_runs_that_begin_a_folder_are_not_mixed_up(topics_csv: Path, tmp_path: Path) -> None:
    late = CampaignRun(request_of(topics_csv, tmp_path / "curves"))
    run_steps(request_of(topics_csv, tmp_path / "curves"), limit=1)
    with pytest.raises(BadInput, match=r"another lamps run began .*curves meanwhile: run again"):
        late.opened(CPU).__enter__()
    assert run_steps(request_of(topics_csv, tmp_path / "curves")).steps == STEPS_EACH - 1


def test_work_lies_where_the_option_said_last(topics_csv: Path, tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    run_steps(request_of(topics_csv, tmp_path / "curves", work=str(first)), limit=1)
    assert list(first.rglob("record.json"))
    assert not (tmp_path / "curves" / ".lamps" / "work").exists()
    shutil.move(first, second)
    assert run_steps(request_of(topics_csv, tmp_path / "curves", work=str(second)), limit=1).steps == 1
    assert run_steps(request_of(topics_csv, tmp_path / "curves")).steps == STEPS_EACH - 2
    assert not first.exists()


def test_another_work_folder_is_refused_while_the_one_before_has_what_curves_go_on_from(
    topics_csv: Path, tmp_path: Path
) -> None:
    run_steps(request_of(topics_csv, tmp_path / "curves"), limit=2)
    elsewhere = request_of(topics_csv, tmp_path / "curves", models="zoo/luke-tiny", work=str(tmp_path / "w"))
    with pytest.raises(
        BadInput, match=r"is in .*/curves/\.lamps/work and not in .*/w/[0-9a-f]+: leave --work"
    ):
        CampaignRun(elsewhere)
    shutil.rmtree(tmp_path / "curves" / ".lamps" / "work")
    CampaignRun(elsewhere)


def test_a_work_folder_that_cannot_be_used_is_refused_and_leaves_nothing(
    topics_csv: Path, tmp_path: Path
) -> None:
    for work, told in ((topics_csv / "work", "is a file"), (tmp_path / ("x" * 300), "File name too long")):
        with pytest.raises(BadInput, match=f"--work .*{told}"):
            CampaignRun(request_of(topics_csv, tmp_path / "curves", work=str(work)))
    assert not (tmp_path / "curves").exists()


def test_a_work_folder_that_turns_out_unusable_is_not_on_record(topics_csv: Path, tmp_path: Path) -> None:
    run = CampaignRun(request_of(topics_csv, tmp_path / "curves", work=str(tmp_path / "work")))
    (tmp_path / "work").write_text("a file, meanwhile")
    with pytest.raises(StorageFailed, match="work"), run.opened(CPU):
        pass
    assert read_record(str(tmp_path / "curves")) is None
    assert run_steps(request_of(topics_csv, tmp_path / "curves"), limit=1).steps == 1


@pytest.mark.parametrize("work", ["curves", "curves/work", "other/../curves/work"])
def test_work_among_the_curves_is_refused(topics_csv: Path, tmp_path: Path, work: str) -> None:
    with pytest.raises(BadInput, match=r"--work .* is in the folder of the curves"):
        CampaignRun(request_of(topics_csv, tmp_path / "curves", work=str(tmp_path / work)))
    assert not (tmp_path / "curves").exists()


def test_work_may_be_named_where_it_is_by_itself(topics_csv: Path, tmp_path: Path) -> None:
    CampaignRun(
        request_of(topics_csv, tmp_path / "curves", work=str(tmp_path / "curves" / ".lamps" / "work"))
    )


def test_curves_of_others_are_added_to_and_those_that_are_complete_count(
    topics_csv: Path, tmp_path: Path
) -> None:
    run_steps(request_of(topics_csv, tmp_path / "first"))
    rows = CurveStore(tmp_path / "first").states()[TOPICS].rows
    curves = write_meta_dataset(
        tmp_path / "curves", list(rows)
    )  # as a search leaves them, or a colleague sends them
    run = run_steps(request_of(topics_csv, curves, models=f"{TINY},{BETTER}"))
    assert run.steps == STEPS_EACH
    assert run.result()["notices"] == [
        *NOTICES,
        f"{curves} holds curves that no campaign made there: they are not made again",
    ]
    assert {key.model: state.complete for key, state in CurveStore(curves).states().items()} == {
        TINY: True,
        BETTER: True,
    }
    assert CurveStore(curves).states()[TOPICS].rows == rows


def test_one_more_model_says_which_datasets_it_cannot_be_added_to(topics_csv: Path, tmp_path: Path) -> None:
    curves = tmp_path / "curves"
    run_steps(request_of(topics_csv, curves))
    rows = curve_rows("elsewhere", TINY, losses=[2.0, 1.0])
    pq.write_table(pa.Table.from_pylist(rows, schema=CURVE_SCHEMA), curves / "more.parquet")
    request = of_record(dataclasses.replace(request_of(topics_csv, curves, models=BETTER), datasets=None))
    assert CampaignSurvey(request).notices == [
        *NOTICES,
        "nothing says how elsewhere was read: add the model to it with lamps campaign --datasets",
    ]


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"source": "simulated"}, "holds simulated curves of topics: keep measured ones in another folder"),
        (
            {"source": "measured", "complete": False},
            "holds a curve of zoo/bert-tiny on topics that is not complete and that no",
        ),
    ],
)
def test_curves_of_others_that_cannot_stand_beside_measured_ones_are_refused(
    topics_csv: Path, tmp_path: Path, changes: dict[str, Any], says: str
) -> None:
    rows = [row | changes for row in curve_rows("topics", TINY, losses=[2.0, 1.0])]
    curves = write_meta_dataset(tmp_path / "curves", rows)
    with pytest.raises(BadInput, match=says):
        CampaignRun(request_of(topics_csv, curves))
    assert not (curves / ".lamps").exists()


def test_the_curves_of_a_search_are_left_to_it(topics_csv: Path, tmp_path: Path) -> None:
    curves = write_meta_dataset(tmp_path / "search" / "curves", curve_rows("topics", TINY, losses=[2.0, 1.0]))
    (tmp_path / "search" / JOURNAL).touch()
    with pytest.raises(
        BadInput, match="curves holds the curves of a search: copy them, or name a new folder"
    ):
        CampaignRun(request_of(topics_csv, curves))


def test_curves_below_a_file_are_refused(topics_csv: Path, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"topics\.csv is a file"):
        CampaignRun(request_of(topics_csv, topics_csv / "curves"))


def test_a_file_that_cannot_be_read_is_named_once(tmp_path: Path) -> None:
    path = tmp_path / "topics.csv"
    path.touch()
    with pytest.raises(BadInput) as refused:
        CampaignRun(request_of(path, tmp_path / "curves"))
    assert str(refused.value) == f"{path}: the file is empty"


def test_a_host_with_a_scratch_folder_takes_over_from_one_without_and_back(
    topics_csv: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    request = request_of(topics_csv, tmp_path / "curves")
    run_steps(request, limit=1)
    monkeypatch.setenv("LAMPS_SCRATCH", str(tmp_path / "scratch"))
    run_steps(request, limit=1)
    monkeypatch.setenv("LAMPS_SCRATCH", str(tmp_path / "another"))
    run_steps(request, limit=1)
    monkeypatch.delenv("LAMPS_SCRATCH")
    assert run_steps(request).steps == 1
    run_steps(request_of(topics_csv, tmp_path / "whole"))
    assert facts(tmp_path / "curves") == facts(tmp_path / "whole")


def test_a_campaign_that_ends_leaves_nothing_in_its_hosts_scratch_folder(
    topics_csv: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LAMPS_SCRATCH", str(tmp_path / "scratch"))
    request = request_of(topics_csv, tmp_path / "curves")
    run_steps(request, limit=2)
    assert list((tmp_path / "scratch").rglob("rows-*.parquet"))
    run_steps(request)
    assert list((tmp_path / "scratch").iterdir()) == []


@pytest.mark.parametrize("curves", ["http://127.0.0.1:9/curves", "github://a/b", "dask://x"])
def test_curves_where_none_can_be_kept_are_refused(topics_csv: Path, tmp_path: Path, curves: str) -> None:
    with pytest.raises(BadInput, match=f"--curves {curves}.* cannot be used"):
        CampaignRun(dataclasses.replace(request_of(topics_csv, tmp_path), curves=curves))

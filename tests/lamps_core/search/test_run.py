"""A search on disk, with real workers and no Prefect."""

from __future__ import annotations

import dataclasses
import html
import json
import math
import shutil
from typing import TYPE_CHECKING, Any

import pyarrow.dataset
import pytest
import torch

from lamps_cli.tables import print_search
from lamps_core.curves.reader import curves_by_key, read_curves
from lamps_core.errors import BadInput, StorageFailed
from lamps_core.files import draft_beside
from lamps_core.models.zoo import materialise, zoo_entry
from lamps_core.objectives import parse_objectives
from lamps_core.policies.stopping import STOP_BELOW
from lamps_core.policy_file import read_policy, write_policy
from lamps_core.progress import SearchProgress, listener
from lamps_core.publishing.front_card import model_card
from lamps_core.reports.writer import write_report
from lamps_core.search.algorithm import Outcome
from lamps_core.search.budget import parse_budget
from lamps_core.search.history import history
from lamps_core.search.record import read_search
from lamps_core.search.run import SearchRun
from lamps_core.search.standing import describe
from lamps_core.settings import DEFAULT_LEARNING_RATE, FineTuningSettings
from lamps_core.text.dataset import load_text_dataset
from lamps_core.workers import execution
from tests.searches import (
    BETTER,
    OBJECTIVES,
    STEPS_EACH,
    TINY,
    forecasting_policy,
    journal_events,
    nan_model,
    quick_request,
    run_steps,
    run_to_the_end,
    steps_on_record,
    truncated_model,
    without_times,
)
from tests.small_disk import full, mounted

if TYPE_CHECKING:
    from pathlib import Path

    from lamps_core.search.request import SearchRequest
    from lamps_core.text.dataset import TextSplit

TOPICS = ["food", "music", "weather"]


@pytest.fixture(scope="module")
def undisturbed(
    topics_csv: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[SearchRequest, dict[str, Any]]:
    """A search run to its end in one go."""
    request = quick_request(topics_csv, tmp_path_factory.mktemp("undisturbed") / "out")
    return request, run_to_the_end(request)


@pytest.fixture(scope="module")
def selecting(
    topics_csv: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[SearchRequest, dict[str, Any]]:
    """A search that decides on a tenth of the training rows, so that the test split is kept for the end."""
    out = tmp_path_factory.mktemp("selecting") / "out"
    request = quick_request(topics_csv, out, selection_split="0.1")
    return request, run_to_the_end(request)


def plain_loss(folder: Path, split: TextSplit, names: tuple[str, ...]) -> float:
    """Mean cross-entropy in nats, one text at a time, by nothing but transformers and torch."""
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForSequenceClassification.from_pretrained(folder).eval()
    losses = []
    for text, label in zip(split.texts, split.labels.tolist(), strict=True):
        with torch.no_grad():
            logits = model(**tokenizer(text, truncation=True, return_tensors="pt")).logits[0].double()
        losses.append(-torch.log_softmax(logits, dim=0)[model.config.label2id[names[label]]].item())
    return math.fsum(losses) / len(losses)


# --- what a search leaves ------------------------------------------------------------------------------------


def test_the_result_on_disk_is_the_one_returned_and_holds_what_is_promised(
    undisturbed: tuple[SearchRequest, dict[str, Any]],
) -> None:
    request, result = undisturbed
    assert json.loads((request.out / "result.json").read_text(encoding="utf-8")) == result
    promised = {
        "dataset", "objectives", "reference", "hypervolume", "spent_seconds", "budget", "steps", "policy",
        "front", "candidates", "failed",
    }  # fmt: skip
    assert promised <= set(result)
    assert result["dataset"] == "topics"
    assert result["objectives"] == OBJECTIVES.split(",")
    assert result["policy"] == "cheapest"
    assert result["steps"] == 2 * STEPS_EACH
    assert result["failed"] == []
    assert result["labels"] == TOPICS
    assert result["rows"] == {"train": 192, "evaluation": 48}
    assert [row["model"] for row in result["candidates"]] == [TINY, BETTER]
    for row in result["candidates"]:
        assert row["complete"]
        assert row["steps"] == STEPS_EACH
    for row in result["front"]:
        assert {"model", "test_loss", "train_seconds", "accuracy", "path", "parameters"} <= set(row)
        assert (request.out / row["path"]).is_dir()


def test_the_front_is_sorted_and_its_numbers_are_those_of_the_last_step(
    undisturbed: tuple[SearchRequest, dict[str, Any]],
) -> None:
    request, result = undisturbed
    assert [row["model"] for row in result["front"]] == [BETTER, TINY]
    last = {e["candidate"]: e["record"] for e in journal_events(request.out) if e["event"] == "outcome"}
    for row in result["front"]:
        for column in ("test_loss", "accuracy", "macro_f1", "parameters"):
            assert row[column] == last[row["model"]][column]
    assert 0 < result["front"][0]["test_loss"] < result["front"][1]["test_loss"]
    assert (request.out / "report.html").stat().st_size > 1000


def test_the_result_says_the_rate_that_each_candidate_was_trained_with(
    topics_csv: Path, tmp_path: Path
) -> None:
    shutil.copytree(materialise(TINY), tmp_path / "mine")
    request = quick_request(topics_csv, tmp_path / "out", models=f"{TINY},{tmp_path / 'mine'}")
    result = run_to_the_end(request)
    rates = {TINY: zoo_entry(TINY).learning_rate, "mine": DEFAULT_LEARNING_RATE}
    assert {row["model"]: row["learning_rate"] for row in result["candidates"]} == rates
    assert result["front"]
    assert all(row["learning_rate"] == rates[row["model"]] for row in result["front"])
    assert result["config"]["learning_rate"] is None  # what was asked for


def test_spent_is_the_sum_of_every_steps_seconds(undisturbed: tuple[SearchRequest, dict[str, Any]]) -> None:
    request, result = undisturbed
    table = read_curves(request.out / "curves")
    assert result["spent_seconds"] == pytest.approx(sum(table["step_seconds"].to_pylist()))
    for row in result["candidates"]:
        mine = [r["train_seconds"] for r in table.to_pylist() if r["model"] == row["model"]]
        assert row["train_seconds"] == pytest.approx(sum(mine))


def test_the_curves_are_a_meta_dataset_for_our_reader_for_pyarrow_and_for_datasets(
    undisturbed: tuple[SearchRequest, dict[str, Any]], tmp_path: Path
) -> None:
    import datasets

    folder = undisturbed[0].out / "curves"
    curves = curves_by_key(read_curves(folder))
    assert {key.model for key in curves} == {TINY, BETTER}
    for curve in curves.values():
        assert curve.complete
        assert curve.column("step").tolist() == [0, 1, 2, 3]
        assert curve.column("train_rows").tolist() == [0, 96, 192, 192]
        assert curve.column("train_seconds")[0] == 0
        assert (curve.column("train_seconds")[1:] > 0).all()
        assert (curve.column("step_seconds") >= curve.column("train_seconds")).all()
    loaded = datasets.load_dataset("parquet", data_dir=str(folder), cache_dir=str(tmp_path), split="train")
    assert len(loaded) == 2 * STEPS_EACH
    assert pyarrow.dataset.dataset(folder).count_rows() == 2 * STEPS_EACH


def test_a_front_model_loads_with_transformers_alone_and_gives_the_loss_in_the_result(
    undisturbed: tuple[SearchRequest, dict[str, Any]],
) -> None:
    request, result = undisturbed
    data = load_text_dataset(request.data)
    for row in result["front"]:
        again = plain_loss(request.out / row["path"], data.evaluation, data.label_names)
        assert again == pytest.approx(row["test_loss"], abs=1e-4)
        config = json.loads((request.out / row["path"] / "config.json").read_text())
        assert config["id2label"] == {"0": "food", "1": "music", "2": "weather"}
        assert config["label2id"] == {"food": 0, "music": 1, "weather": 2}


def test_no_file_of_a_search_is_a_pickle(undisturbed: tuple[SearchRequest, dict[str, Any]]) -> None:
    suffixes = {path.suffix for path in undisturbed[0].out.rglob("*") if path.is_file()}
    assert not suffixes & {".pkl", ".pickle", ".bin", ".pt", ".pth", ".ckpt"}


# --- stopped and gone on with ----------------------------------------------------------------------------------


@pytest.mark.parametrize("stops", [[1], [3, 1], [5], [2, 2, 2]])
def test_a_search_stopped_after_some_steps_ends_as_if_it_had_not_been(
    topics_csv: Path, tmp_path: Path, undisturbed: tuple[SearchRequest, dict[str, Any]], stops: list[int]
) -> None:
    request = quick_request(topics_csv, tmp_path / "out")
    for steps in stops:
        with SearchRun(request) as run:
            assert run_steps(run, limit=steps) == steps
    assert not (request.out / "result.json").exists()
    result = run_to_the_end(request)
    assert without_times(result) == without_times(undisturbed[1])
    assert steps_on_record(request.out) == steps_on_record(undisturbed[0].out)
    created = read_curves(request.out / "curves")["created_at"].to_pylist()
    assert len(set(created)) == 2 * STEPS_EACH


def test_a_finished_search_run_again_runs_nothing_starts_no_process_and_says_the_same(
    topics_csv: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    request = quick_request(topics_csv, tmp_path / "out", models=TINY)
    first = run_to_the_end(request)
    journal = (request.out / "journal.jsonl").read_bytes()
    weights = request.out / first["front"][0]["path"] / "model.safetensors"
    saved = weights.stat().st_ino
    started: list[str] = []
    monkeypatch.setattr(execution, "start_fork_server", lambda: started.append("for a step"))
    assert run_to_the_end(request) == first
    assert (request.out / "journal.jsonl").read_bytes() == journal
    assert weights.stat().st_ino == saved
    assert not started
    shutil.rmtree(weights.parent)  # a model to export is a reason to start one
    assert run_to_the_end(request) == first
    assert started


def test_a_larger_budget_goes_on_where_the_smaller_one_ended(
    topics_csv: Path, tmp_path: Path, undisturbed: tuple[SearchRequest, dict[str, Any]]
) -> None:
    out = tmp_path / "out"
    whole = steps_on_record(undisturbed[0].out)
    for budget, steps in (("3steps", 3), ("6steps", 6), ("6steps", 6), ("4steps", 6), ("4steps", 6)):
        result = run_to_the_end(quick_request(topics_csv, out, budget=parse_budget(budget)))
        assert steps_on_record(out) == whole[:steps]
        assert (result["steps"], result["budget"]) == (steps, budget)
        spent = [told for told in result["notices"] if told.startswith("no step was run: 6 steps and ")]
        assert len(spent) == (budget == "4steps")
        assert all(told.endswith("and --budget 4steps allows no more") for told in spent)
    assert [row["model"] for row in result["front"]] == [TINY]
    result = run_to_the_end(quick_request(topics_csv, out))
    assert steps_on_record(out) == whole
    assert without_times(result) == without_times(undisturbed[1])


def test_a_budget_in_seconds_cuts_the_step_it_ends_in_and_counts_its_seconds(
    topics_csv: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    result = run_to_the_end(quick_request(topics_csv, out, models=TINY, budget=parse_budget("0.01s")))
    (cut,) = journal_events(out)
    assert (cut["kind"], cut["record"]) == ("cut", None)
    assert result["spent_seconds"] == cut["seconds"] >= 0.01
    assert (result["steps"], result["reference"], result["front"]) == (0, None, [])
    result = run_to_the_end(quick_request(topics_csv, out, models=TINY))
    assert steps_on_record(out) == [(TINY, step) for step in range(STEPS_EACH)]
    assert result["spent_seconds"] == pytest.approx(sum(e["seconds"] for e in journal_events(out)))


def test_a_step_that_was_committed_but_not_recorded_is_not_run_again(
    topics_csv: Path, tmp_path: Path
) -> None:
    request = quick_request(topics_csv, tmp_path / "out", models=TINY)
    with SearchRun(request) as run:
        run_steps(run, limit=1)
        started = run.ask()
        assert started is not None
        lost = run.execution.run_step(
            started[1]
        )  # the answer comes, and the search dies before it records it
    run_to_the_end(request)
    recorded = [event["record"] for event in journal_events(request.out)]
    assert recorded[1]["created_at"] == lost["created_at"]
    assert len(recorded) == STEPS_EACH


def test_a_step_that_does_not_follow_is_a_damaged_line(topics_csv: Path, tmp_path: Path) -> None:
    request = quick_request(topics_csv, tmp_path / "out", models=TINY)
    SearchRun(request).close()
    with (request.out / "journal.jsonl").open("a") as journal:
        journal.write(json.dumps({"event": "begun", "candidate": TINY, "step": 3}) + "\n")
    with pytest.raises(BadInput, match=r"line 2 is damaged \(.*step 3 of .* cannot have begun"):
        SearchRun(request)


def test_a_curve_file_that_was_lost_is_written_again_from_the_journal(
    topics_csv: Path, tmp_path: Path
) -> None:
    request = quick_request(topics_csv, tmp_path / "out", models=TINY)
    run_to_the_end(request)
    before = read_curves(request.out / "curves")
    for path in (request.out / "curves").iterdir():
        path.unlink()
    run_to_the_end(request)
    assert read_curves(request.out / "curves").equals(before)


def test_drafts_of_a_search_that_was_killed_are_gone_and_hidden_files_of_others_stay(
    topics_csv: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    run_to_the_end(quick_request(topics_csv, out, models=TINY, budget=parse_budget("1steps")))
    names = (".result.json", "curves/.a.parquet", "work/tokens/.train")
    *files, folder = (out / f"{name}.{'0f' * 16}" for name in names)
    for file in files:
        file.write_text("{")
    folder.mkdir()
    (folder / "values.npy").write_text("")
    (out / ".notes.of.mine").write_text("ours")
    SearchRun(quick_request(topics_csv, out, models=TINY)).close()
    assert not any(draft.exists() for draft in (*files, folder))
    assert (out / ".notes.of.mine").read_text() == "ours"


def test_a_result_that_tells_of_fewer_steps_is_gone_as_soon_as_there_is_one_more(
    topics_csv: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    run_to_the_end(quick_request(topics_csv, out, models=TINY, budget=parse_budget("1steps")))
    assert (out / "result.json").exists()
    with SearchRun(quick_request(topics_csv, out, models=TINY)) as run:
        run_steps(run, limit=1)
        assert not (out / "result.json").exists()


def test_a_model_that_the_front_has_outgrown_is_dropped_with_its_weights(
    topics_csv: Path, tmp_path: Path
) -> None:
    out, objectives = tmp_path / "out", parse_objectives("test_loss")
    budget = parse_budget(f"{STEPS_EACH + 1}steps")
    first = run_to_the_end(quick_request(topics_csv, out, objectives=objectives, budget=budget))
    assert [row["model"] for row in first["front"]] == [TINY]
    assert [path.name for path in (out / "models").iterdir()] == ["zoo--bert-tiny"]
    (out / "models" / "mine").mkdir()  # whatever a user put there
    second = run_to_the_end(quick_request(topics_csv, out, objectives=objectives))
    assert [row["model"] for row in second["front"]] == [BETTER]
    assert {path.name for path in (out / "models").iterdir()} == {"zoo--gpt2-tiny", "mine"}
    weights = {path.parts[-3] for path in (out / "work" / "checkpoints").rglob("model.safetensors")}
    assert weights == {"zoo--gpt2-tiny"}


def test_a_half_saved_model_that_a_crash_left_is_replaced(topics_csv: Path, tmp_path: Path) -> None:
    request = quick_request(topics_csv, tmp_path / "out", models=TINY)
    with SearchRun(request) as run:
        run_steps(run)
        draft = draft_beside(request.out / "models" / "zoo--bert-tiny")
        draft.mkdir(parents=True)
        (draft / "config.json").write_text("{")
    result = run_to_the_end(request)
    assert [path.name for path in (request.out / "models").iterdir()] == ["zoo--bert-tiny"]
    assert (request.out / result["front"][0]["path"] / "model.safetensors").is_file()


def test_a_page_that_cannot_be_written_is_no_bad_input_and_the_result_is_there(
    topics_csv: Path, tmp_path: Path
) -> None:
    request = quick_request(topics_csv, tmp_path / "out", models=TINY)
    with SearchRun(request) as run:
        run_steps(run)
        (request.out / "report.html" / "in the way").mkdir(parents=True)
        with pytest.raises(StorageFailed, match=r"report\.html: Is a directory"):
            run.finish()
    assert json.loads((request.out / "result.json").read_text())["front"]


def test_two_steps_at_once_end_in_the_same_candidates_and_front(
    topics_csv: Path, tmp_path: Path, undisturbed: tuple[SearchRequest, dict[str, Any]]
) -> None:
    request = quick_request(topics_csv, tmp_path / "out", parallel=2)
    with SearchRun(request) as run:
        while (first := run.ask()) is not None:
            second = run.ask()
            assert run.ask() is None  # both slots are taken
            for started in (second, first):
                if started is not None:
                    action, asked = started
                    record = run.execution.run_step(asked)
                    run.tell(
                        Outcome(
                            kind="step",
                            candidate=action.candidate,
                            step=action.step,
                            seconds=1.0,
                            record=record,
                        )
                    )
        for export in run.exports():
            run.exported(export.last.name, run.execution.export(export))
        result = run.finish()
    same = ("front", "candidates", "hypervolume", "reference", "steps")
    assert {key: without_times(result[key]) for key in same} == {
        key: without_times(undisturbed[1][key]) for key in same
    }


# --- decided on a part of the training rows -----------------------------------------------------------------------


def test_decisions_are_on_the_selection_rows_and_the_front_is_told_the_test_loss(
    selecting: tuple[SearchRequest, dict[str, Any]],
) -> None:
    request, result = selecting
    assert result["selection"] == "validation (0.1 of the training rows)"
    assert result["rows"] == {"train": 173, "evaluation": 19, "test": 48}
    data = load_text_dataset(request.data)
    assert data.test is not None
    candidates = {row["model"]: row for row in result["candidates"]}
    for row in result["front"]:
        folder = request.out / row["path"]
        assert row["selection_loss"] == candidates[row["model"]]["test_loss"]
        assert plain_loss(folder, data.evaluation, data.label_names) == pytest.approx(
            row["selection_loss"], abs=1e-4
        )
        assert plain_loss(folder, data.test, data.label_names) == pytest.approx(row["test_loss"], abs=1e-4)
        assert row["selection_loss"] != row["test_loss"]
    losses = [row["selection_loss"] for row in result["front"]]
    assert losses == sorted(losses)


def test_a_split_called_test_that_only_selects_is_told_as_that_everywhere(
    topics_csv: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = tmp_path / "data"
    data.mkdir()
    for split in ("train", "test"):
        shutil.copy(topics_csv, data / f"{split}.csv")
    request = quick_request(data, tmp_path / "out", selection_split="test", models=TINY)
    request = dataclasses.replace(
        request, data=dataclasses.replace(request.data, test_dataset=str(topics_csv))
    )
    result = run_to_the_end(request)
    print_search(result, request.out)
    assert "decided on: the split called 'test'" in capsys.readouterr().out
    search = read_search(request.out)
    told = {"card": model_card("me/tiny", search.front[0], search, base=None).decode()}
    told["report"] = html.unescape(write_report(request.out).read_text())
    (request.out / "result.json").unlink()
    told["report of the journal"] = html.unescape(write_report(request.out).read_text())
    for teller, text in told.items():
        assert "the split called 'test'" in text, teller
        assert "compared on the test split" not in text, teller
        assert "made on the test split" not in text, teller
    assert read_search(request.out).front[0]["selection_loss"] == result["front"][0]["selection_loss"]


def test_the_test_split_is_measured_once_for_each_front_model_however_often_it_is_resumed(
    selecting: tuple[SearchRequest, dict[str, Any]],
) -> None:
    request, result = selecting
    assert run_to_the_end(request) == result
    lost = request.out / result["front"][0]["path"]
    shutil.rmtree(lost)
    assert run_to_the_end(request) == result
    assert (lost / "model.safetensors").is_file()
    tested = [event["candidate"] for event in journal_events(request.out) if event["event"] == "tested"]
    assert sorted(tested) == sorted(row["model"] for row in result["front"])


# --- candidates that cannot be fine-tuned --------------------------------------------------------------------------


def test_broken_candidates_are_recorded_failures_and_the_search_goes_on(
    topics_csv: Path, tmp_path: Path
) -> None:
    broken, poisoned = truncated_model(tmp_path / "broken"), nan_model(tmp_path / "poisoned")
    request = quick_request(topics_csv, tmp_path / "out", models=f"{broken},{TINY},{poisoned}")
    result = run_to_the_end(request)
    failed = {row["model"]: row for row in result["failed"]}
    assert set(failed) == {"broken", "poisoned"}
    assert {row["step"] for row in failed.values()} == {0}
    assert "cannot be loaded" in failed["broken"]["error"]
    assert (
        "not a finite number" in failed["poisoned"]["error"] or "nan" in failed["poisoned"]["error"].lower()
    )
    assert [row["model"] for row in result["front"]] == [TINY]
    assert result["steps"] == STEPS_EACH + 2
    kinds = [(event["candidate"], event["kind"]) for event in journal_events(request.out)]
    assert kinds.count(("broken", "failed")) == kinds.count(("poisoned", "failed")) == 1
    assert run_to_the_end(request) == result


def test_a_candidate_that_the_hub_did_not_give_is_tried_anew_by_the_next_run_and_by_the_one_after_a_death(
    topics_csv: Path, tmp_path: Path
) -> None:
    request = quick_request(topics_csv, tmp_path / "out", models=TINY)
    with SearchRun(request) as run:
        action, _ = run.ask() or pytest.fail("nothing to do")
        silent = Outcome(
            kind="failed", candidate=TINY, step=action.step, seconds=2.5, error="no answer", passing=True
        )
        run.tell(silent)
        assert run.ask() is None
        assert [row["error"] for row in run.finish()["failed"]] == ["no answer"]
    with SearchRun(request) as run:
        assert run_steps(run, 1) == 1
        assert read_search(request.out).failed == ()
    result = run_to_the_end(request)
    assert result["failed"] == []
    assert [row["steps"] for row in result["candidates"]] == [STEPS_EACH]
    assert result["lost_seconds"] >= 2.5


def test_a_complete_candidate_beyond_its_bound_is_no_reference_point(
    topics_csv: Path, tmp_path: Path
) -> None:
    objectives = parse_objectives(OBJECTIVES, bounds=["test_loss=1e-9"])
    result = run_to_the_end(quick_request(topics_csv, tmp_path / "out", models=TINY, objectives=objectives))
    assert (result["front"], result["hypervolume"]) == ([], 0.0)
    assert not [notice for notice in result["notices"] if "hypervolume" in notice]


def test_a_candidate_past_its_bound_is_said_to_be_stopped_and_is_not_on_the_front(
    topics_csv: Path, tmp_path: Path
) -> None:
    objectives = parse_objectives(OBJECTIVES, bounds=["parameters=100000"])
    result = run_to_the_end(quick_request(topics_csv, tmp_path / "out", objectives=objectives))
    rows = {row["model"]: row for row in result["candidates"]}
    assert rows[BETTER]["stopped"] == "beyond a bound"
    assert rows[BETTER]["beyond"] == ["parameters"]
    assert "beyond" not in rows[TINY]
    assert rows[BETTER]["steps"] == 1
    assert "stopped" not in rows[TINY]
    assert [row["model"] for row in result["front"]] == [TINY]
    assert result["bounds"] == [None, 100000.0]
    assert result["reference"][1] == 100000.0


def test_where_all_are_equal_in_an_objective_the_others_decide_and_the_result_says_so(
    topics_csv: Path, tmp_path: Path
) -> None:
    objectives = parse_objectives("parameters,batch_size")
    result = run_to_the_end(quick_request(topics_csv, tmp_path / "out", objectives=objectives))
    assert [row["model"] for row in result["front"]] == [TINY]
    assert result["hypervolume"] == 0.0
    told = "all complete candidates have batch_size 32: it decides nothing, and the hypervolume is 0"
    assert told in result["notices"]


# --- what is refused -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"models": f"{BETTER},{TINY}"}, "holds another search .models was"),
        (
            {"settings": FineTuningSettings(landmarks=2, max_epochs=3)},
            "holds another search .max_epochs was [0-9]+, now 3.:",
        ),
        ({"objectives": parse_objectives("test_loss")}, "holds another search .objectives was"),
        (
            {"objectives": parse_objectives(OBJECTIVES, bounds=["test_loss=9"])},
            'holds another search .bounds was {}, now {"test_loss": 9.0}.:',
        ),
        ({"policy": "zigzag"}, "holds another search .policy was"),
        ({"selection_split": "0.1"}, "holds another search .selection was"),
        ({"max_train_rows": 40}, "holds another search .the rows of its dataset are others"),
    ],
)
def test_a_folder_of_another_search_is_refused_and_left_as_it_was(
    topics_csv: Path,
    undisturbed: tuple[SearchRequest, dict[str, Any]],
    change: dict[str, Any],
    said: str,
) -> None:
    out = undisturbed[0].out
    before = {path: path.stat().st_mtime_ns for path in out.rglob("*")}
    with pytest.raises(BadInput, match=said):
        SearchRun(quick_request(topics_csv, out, **change))
    assert {path: path.stat().st_mtime_ns for path in out.rglob("*")} == before


def test_a_damaged_model_that_was_mended_is_tried_again_and_a_measured_one_stays_as_it_was(
    topics_csv: Path, tmp_path: Path
) -> None:
    broken = nan_model(tmp_path / "broken")
    request = quick_request(topics_csv, tmp_path / "out", models=f"{TINY},{broken}")
    assert [row["model"] for row in run_to_the_end(request)["failed"]] == ["broken"]
    shutil.rmtree(broken)
    shutil.copytree(materialise("zoo/gpt2-tiny"), broken)
    result = run_to_the_end(request)
    assert result["failed"] == []
    assert all(row["complete"] for row in result["candidates"])
    assert run_to_the_end(request) == result
    shutil.rmtree(broken)
    shutil.copytree(materialise(TINY), broken)
    with pytest.raises(BadInput, match="the files of the model broken are others"):
        SearchRun(request)


def test_nothing_is_left_of_the_old_files_of_a_model_whose_step_was_never_told(
    topics_csv: Path, tmp_path: Path
) -> None:
    mine = shutil.copytree(materialise("zoo/gpt2-tiny"), tmp_path / "mine")
    request = quick_request(topics_csv, tmp_path / "out", models=str(mine))
    with SearchRun(request) as run:
        _, asked = run.ask() or pytest.fail("nothing to do")
        run.execution.run_step(asked)  # committed as a checkpoint; the journal does not know
    shutil.rmtree(mine)
    shutil.copytree(materialise(TINY), mine)
    run_to_the_end(request)
    rows = pyarrow.dataset.dataset(request.out / "curves").to_table()
    assert len(set(rows["parameters"].to_pylist())) == 1


def test_a_candidate_that_failed_for_good_is_tried_again_where_that_is_asked_for(
    topics_csv: Path, tmp_path: Path
) -> None:
    request = quick_request(topics_csv, tmp_path / "out", models=TINY)
    with SearchRun(request) as run:
        action, _ = run.ask() or pytest.fail("nothing to do")
        run.tell(Outcome(kind="failed", candidate=TINY, step=action.step, seconds=2.5, error="out of memory"))
    assert run_to_the_end(request)["failed"][0]["error"] == "out of memory"
    result = run_to_the_end(dataclasses.replace(request, retry_failed=True))
    assert (result["failed"], result["lost_seconds"]) == ([], 2.5)
    assert run_to_the_end(request) == result


def test_dollars_at_another_price_are_another_search(topics_csv: Path, tmp_path: Path) -> None:
    def request(price: float) -> SearchRequest:
        dollars = parse_objectives("test_loss,dollars", gpu_hour_price=price)
        return quick_request(topics_csv, tmp_path / "out", objectives=dollars)

    SearchRun(request(1.0)).close()
    SearchRun(request(1.0)).close()
    with pytest.raises(BadInput, match=r"holds another search .gpu_hour_price was 1.0, now 2.0"):
        SearchRun(request(2.0))


def test_another_model_in_a_folder_of_the_same_name_is_refused(topics_csv: Path, tmp_path: Path) -> None:
    for place, candidate in (("one", "zoo/bert-tiny"), ("two", "zoo/gpt2-tiny")):
        shutil.copytree(materialise(candidate), tmp_path / place / "mine")
    first = quick_request(topics_csv, tmp_path / "out", models=str(tmp_path / "one" / "mine"))
    with SearchRun(first) as run:
        run_steps(run, 1)
    swapped = quick_request(topics_csv, tmp_path / "out", models=str(tmp_path / "two" / "mine"))
    with pytest.raises(BadInput, match=r"holds another search .the files of the model mine are others"):
        SearchRun(swapped)
    (tmp_path / "one").rename(tmp_path / "moved")
    moved = quick_request(topics_csv, tmp_path / "out", models=str(tmp_path / "moved" / "mine"))
    SearchRun(moved).close()


def test_a_second_search_in_a_folder_in_use_is_refused(topics_csv: Path, tmp_path: Path) -> None:
    request = quick_request(topics_csv, tmp_path / "out", models=TINY)
    first = SearchRun(request)
    try:
        with pytest.raises(BadInput, match="in use by another lamps run"):
            SearchRun(request)
    finally:
        first.close()
    SearchRun(request).close()


def test_a_full_disk_ends_a_search_in_one_line_wherever_it_runs_full(
    topics_csv: Path, tmp_path: Path
) -> None:
    with mounted(tmp_path / "disk", megabytes=6) as disk:
        request = quick_request(topics_csv, disk / "out", models=TINY)
        with SearchRun(request) as run:
            action, asked = run.ask() or pytest.fail("there is a first step")
            record = run.execution.run_step(asked)
            step = Outcome(kind="step", candidate=TINY, step=action.step, seconds=1.0, record=record)
            with full(disk), pytest.raises(StorageFailed, match=f"^{disk}.*: mend it and run again$"):
                run.tell(step)
        with full(disk), pytest.raises(StorageFailed, match=f"^{disk}.*: mend it and run again$"):
            SearchRun(request)
        assert run_to_the_end(request)["steps"] == STEPS_EACH


@pytest.mark.parametrize("parallel", [0, -1])
def test_fewer_than_one_step_at_once_is_refused(topics_csv: Path, tmp_path: Path, parallel: int) -> None:
    with pytest.raises(BadInput, match="--parallel must be at least 1"):
        SearchRun(quick_request(topics_csv, tmp_path / "out", parallel=parallel))
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("seconds", [0.0, -1.0, math.nan])
def test_a_step_timeout_that_no_step_could_meet_is_refused(
    topics_csv: Path, tmp_path: Path, seconds: float
) -> None:
    with pytest.raises(BadInput, match="--step-timeout must be more than zero"):
        SearchRun(quick_request(topics_csv, tmp_path / "out", step_timeout_seconds=seconds))
    assert not (tmp_path / "out").exists()


# --- what people see --------------------------------------------------------------------------------------------------


def test_whoever_listens_is_told_how_the_search_stands(topics_csv: Path, tmp_path: Path) -> None:
    told: list[SearchProgress] = []
    token = listener.set(told.append)
    try:
        run_to_the_end(
            quick_request(topics_csv, tmp_path / "out", models=TINY, budget=parse_budget("4steps"))
        )
    finally:
        listener.reset(token)
    messages = list(dict.fromkeys(event.message for event in told if event.message))
    assert len(messages) == STEPS_EACH
    assert messages[-1].endswith("(complete)")
    assert {step.phase for event in told for step in event.running} == {"load", "train", "evaluate", "save"}
    last = told[-1]
    assert (last.steps_done, last.complete, last.failed, last.candidates) == (4, 1, 0, 1)
    assert (last.budget_share, last.budget_text, last.dataset) == (1.0, "4steps", "topics")
    assert [row["model"] for row in last.front] == [TINY]
    spent = [event.spent_seconds for event in told]
    assert spent[-1] > 0


def test_a_listener_that_breaks_does_not_stop_the_search(topics_csv: Path, tmp_path: Path) -> None:
    def broken(_: SearchProgress) -> None:
        raise RuntimeError("no terminal")

    token = listener.set(broken)
    try:
        result = run_to_the_end(
            quick_request(topics_csv, tmp_path / "out", models=TINY, budget=parse_budget("2steps"))
        )
    finally:
        listener.reset(token)
    assert result["steps"] == 2


def test_an_outcome_is_described_in_one_line() -> None:
    record = {"test_loss": 0.51234, "complete": True}
    step = Outcome(kind="step", candidate="a", step=3, seconds=1.26, record=record)
    assert describe(step) == "a step 3: loss 0.5123 after 1.3 s (complete)"
    failed = Outcome(kind="failed", candidate="a", step=0, seconds=1.0, error="broken")
    assert describe(failed) == "a step 0 failed: broken"
    assert (
        describe(Outcome(kind="cut", candidate="a", step=2, seconds=1.0))
        == "a step 2 stopped: the budget is spent"
    )


# --- a trained policy ----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def trained_policy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Learned from made-up curves of the candidates of a quick search, on which the larger one is always worse."""
    return forecasting_policy(tmp_path_factory.mktemp("trained"))


def test_a_trained_policy_searches_and_resumes_and_another_of_its_name_is_another_search(
    topics_csv: Path, tmp_path: Path, trained_policy: Path
) -> None:
    policy = tmp_path / "mine.zip"
    shutil.copy(trained_policy, policy)
    request = quick_request(topics_csv, tmp_path / "out", policy=str(policy))
    with SearchRun(request) as run:
        assert run_steps(run, 3) == 3
    result = run_to_the_end(request)
    assert result["policy"] == "mine"
    assert all(row["complete"] for row in result["candidates"])
    file = read_policy(policy)
    bent = {name: array + 0.5 for name, array in file.weights.items()}
    write_policy(policy, dataclasses.replace(file, weights=bent))
    with pytest.raises(BadInput, match="the weights of its policy are others"):
        SearchRun(request)


def test_two_steps_at_once_by_forecasts_go_on_after_a_death_and_run_no_finished_step_again(
    topics_csv: Path, tmp_path: Path, trained_policy: Path
) -> None:
    request = quick_request(topics_csv, tmp_path / "out", policy=str(trained_policy), parallel=2)
    with SearchRun(request) as run:
        run_steps(run, 2)  # both are evaluated
        first, second = run.ask(), run.ask()
        assert first is not None
        assert second is not None
        assert run.ask() is None
        assert run.search.observation().pending.all()
        assert not run.search.observation().mask.any()
        # The search dies with both in flight: one is committed, and nobody was told.
        lost = run.execution.run_step(second[1])
    result = run_to_the_end(request)
    done = steps_on_record(request.out)
    assert len(done) == len(set(done)) == result["steps"] == 2 * STEPS_EACH
    (kept,) = (
        event["record"]
        for event in journal_events(request.out)
        if (event["candidate"], event["step"]) == (second[0].candidate, second[0].step)
    )
    assert kept["created_at"] == lost["created_at"]


def test_a_policy_that_does_not_know_a_candidate_or_an_objective_is_refused_before_anything_runs(
    topics_csv: Path, tmp_path: Path, trained_policy: Path
) -> None:
    for changes, named in (
        ({"models": f"{TINY},zoo/bert-small"}, "does not know the candidate zoo/bert-small"),
        ({"objectives": parse_objectives("test_loss")}, "is for the objectives"),
        ({"policy": str(tmp_path / "none.zip")}, "there is no such policy"),
    ):
        with pytest.raises(BadInput, match=named):
            SearchRun(
                quick_request(topics_csv, tmp_path / "out", **({"policy": str(trained_policy)} | changes))
            )
        assert not (tmp_path / "out").exists()


# --- knowing when to stop --------------------------------------------------------------------------------------

AT_ONCE = "100000000%/h"  # more than anybody expects: the search stops as soon as one candidate is complete


def test_a_search_stops_when_little_is_expected_and_goes_on_with_another_budget(
    topics_csv: Path, tmp_path: Path, trained_policy: Path
) -> None:
    out, told = tmp_path / "out", list[SearchProgress]()

    def asked(budget: str | None, stop_below: str = STOP_BELOW) -> SearchRequest:
        limit = parse_budget(budget, stop_below=stop_below)
        return quick_request(topics_csv, out, policy=str(trained_policy), budget=limit)

    token = listener.set(told.append)
    try:
        first = run_to_the_end(asked("auto", stop_below=AT_ONCE))
    finally:
        listener.reset(token)
    assert [row["complete"] for row in first["candidates"]].count(True) == 1
    assert (first["budget"], first["stop_below"]) == ("auto", AT_ONCE)
    assert first["stopped"] == "less than 100000000 % more hypervolume was expected in an hour of steps"
    assert first["expected_gain"] > 0.0
    assert first["expected_gain_per_hour"] == pytest.approx(
        3600 * first["expected_gain"] / first["expected_gain_seconds"]
    )
    assert "The search stopped by itself: less than" in (out / "report.html").read_text()
    words = [progress.expected for progress in told]
    assert words[0] == ""  # not every candidate was evaluated
    assert "more hypervolume in the next" in words[-1]
    steps = steps_on_record(out)
    again = run_to_the_end(asked("auto", stop_below=AT_ONCE))
    assert steps_on_record(out) == steps
    assert again["stopped"] == first["stopped"]
    limited = run_to_the_end(asked(f"auto,{len(steps) + 1}steps", stop_below="0.0000001%/h"))
    assert limited["steps"] == len(steps) + 1
    assert limited["stopped"] is None
    last = run_to_the_end(asked(None))
    assert all(row["complete"] for row in last["candidates"])
    assert (last["expected_gain"], last["budget"]) == (0.0, "unlimited")
    assert "stopped" not in last


@pytest.mark.parametrize("slots", [1, 2])
def test_a_search_that_would_stop_first_takes_in_what_it_had_in_flight_when_it_was_killed(
    topics_csv: Path, tmp_path: Path, trained_policy: Path, slots: int
) -> None:
    def asked(parallel: int) -> SearchRequest:
        budget = parse_budget("auto", stop_below=AT_ONCE)
        return quick_request(
            topics_csv, tmp_path / "out", policy=str(trained_policy), budget=budget, parallel=parallel
        )

    with SearchRun(asked(2)) as run:
        run_steps(run, 2)  # both are evaluated
        first, second = run.ask(), run.ask()
        assert second is not None
        while first is not None:  # until the one is complete: the other is in flight all the while
            action, step = first
            record = run.execution.run_step(step)
            name, number = action.candidate, action.step
            run.tell(Outcome(kind="step", candidate=name, step=number, seconds=1.0, record=record))
            first = run.ask()
        assert [state.complete for state in run.search.candidates.values()].count(True) == 1
        assert run.search.running == 1
        lost = run.execution.run_step(second[1])  # committed, and the search dies before it records it
    steps = steps_on_record(tmp_path / "out")
    with SearchRun(asked(slots)) as run:
        assert run_steps(run) == 1
    assert steps_on_record(tmp_path / "out") == [*steps, (second[0].candidate, second[0].step)]
    assert journal_events(tmp_path / "out")[-1]["record"]["created_at"] == lost["created_at"]
    with SearchRun(asked(slots)) as run:
        assert run.ask() is None


def test_what_is_still_to_be_won_is_told_whatever_policy_decides(
    undisturbed: tuple[SearchRequest, dict[str, Any]],
) -> None:
    """By the universal policy, where the search's own does not forecast."""
    request, result = undisturbed
    assert request.policy == "cheapest"
    assert result["expected_gain"] >= 0.0
    assert result["expected_gain_per_hour"] is not None


def test_the_history_of_a_search_rises_to_its_hypervolume_and_ends_with_what_was_spent(
    undisturbed: tuple[SearchRequest, dict[str, Any]],
) -> None:
    request, result = undisturbed
    moments = history(read_search(request.out))
    assert len(moments) == result["steps"]
    volumes = [moment.hypervolume for moment in moments]
    assert volumes == sorted(volumes)
    assert volumes[-1] == pytest.approx(result["hypervolume"])
    assert moments[-1].spent_seconds == pytest.approx(result["spent_seconds"])
    assert [moment.candidate for moment in moments if moment.completed] == [TINY, BETTER]


def test_an_interrupted_search_tells_how_its_last_run_was_started(topics_csv: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    command = f"lamps search --out {out} --budget 2h"
    first = quick_request(topics_csv, out, budget=parse_budget("2h"), command=command, gpu_hour_price=7200.0)
    with SearchRun(first) as run:
        run_steps(run, 1)
    found = read_search(out)
    assert (found.finished, found.steps) == (False, 1)
    assert {key: found.result[key] for key in ("budget", "parallel", "command")} == {
        "budget": "2h",
        "parallel": 1,
        "command": command,
    }
    page = write_report(out).read_text()
    assert "of a budget of 2 h" in page
    assert command in page
    assert "at $7,200.00 a GPU hour" in page
    later = dataclasses.replace(first, budget=parse_budget("40steps"))
    for _ in range(2):  # what has not changed is not told again
        with SearchRun(later):
            pass
    lines = [json.loads(line) for line in (out / "journal.jsonl").read_text().splitlines()]
    assert [line["budget"] for line in lines if line.get("event") == "started"] == ["2h", "40steps"]
    assert read_search(out).result["budget"] == "40steps"

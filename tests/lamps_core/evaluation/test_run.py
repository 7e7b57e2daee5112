"""What an evaluation asks for, keeps and refuses; trained methods and policies among them."""

from __future__ import annotations

import json
import re
import shutil
import threading
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from lamps_core.errors import BadInput, LampsError
from lamps_core.evaluation.request import EvaluationRequest
from lamps_core.evaluation.run import PARTS, EvaluationRun
from lamps_core.evaluation.summary import hours_told, mean_oracle_seconds
from lamps_core.evaluation.unit import TrainingLimits, run_unit
from lamps_core.meta_dataset import read_tasks
from lamps_core.objectives import parse_objectives
from lamps_core.policies.loading import UNIVERSAL
from lamps_core.policies.trained import LOADERS
from lamps_core.policy_file import objectives_of, read_policy, write_policy
from lamps_core.policy_training import algorithms
from lamps_core.policy_training.train import Training, TrainingRequest
from lamps_core.policy_training.training_run import TENSORBOARD, TrainingRun
from lamps_core.progress import EvaluationProgress, listening
from lamps_core.reports.page import page_script
from lamps_core.reports.writer import write_report
from tests.meta_datasets import curve_rows, family_rows, with_energy, write_file, write_meta_dataset
from tests.pages import HOSTILE, Page
from tests.static_order import STATIC_ORDER, load, train

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lamps_core.policy_file import PolicyFile
    from lamps_core.task import Task

OBJECTIVES = parse_objectives()
DATASETS = 3


@pytest.fixture(scope="module")
def curves(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_meta_dataset(tmp_path_factory.mktemp("curves"), family_rows(DATASETS, 8))


@pytest.fixture
def static_order(monkeypatch: pytest.MonkeyPatch) -> None:
    """The one algorithm there is."""
    universal = algorithms.algorithm(UNIVERSAL)  # loads the policy that ships
    known = {STATIC_ORDER.name: STATIC_ORDER, UNIVERSAL: universal}
    monkeypatch.setattr(algorithms, "algorithms", lambda: known)
    monkeypatch.setitem(LOADERS, STATIC_ORDER.name, load)


def request(curves: Path, out: Path, **changes: Any) -> EvaluationRequest:
    asked: dict[str, Any] = {"methods": ("cheapest", "blind"), "repeats": 2, "objectives": OBJECTIVES}
    return EvaluationRequest(curves=curves, out=out, **(asked | changes))


def work(run: EvaluationRun, limit: int | None = None) -> int:
    """What the flow does without its Prefect and its processes; returns how many units were done."""
    done = 0
    while (limit is None or done < limit) and (started := run.ask()) is not None:
        key, unit = started
        try:
            run.tell(key, run_unit(run.tasks, unit, folder=run.training_folder(key)))
        except LampsError as error:
            run.tell_failed(key, str(error))
        done += 1
    return done


def finished(asked: EvaluationRequest) -> dict[str, Any]:
    run = EvaluationRun(asked)
    with run.opened():
        work(run)
        return run.finish(run.result())


def rows_of(result: dict[str, Any], method: str) -> list[dict[str, Any]]:
    return [row for row in result["folds"] if row["method"] == method]


def test_an_evaluation_is_resumed_and_comes_to_the_same(curves: Path, tmp_path: Path) -> None:
    whole = finished(request(curves, tmp_path / "whole"))
    run = EvaluationRun(request(curves, tmp_path / "parts"))
    with run.opened():
        assert work(run, limit=4) == 4
    run = EvaluationRun(request(curves, tmp_path / "parts"))
    with run.opened():
        assert len(run.parts) == 4
        assert work(run) == 3 * DATASETS - 4  # the Oracle is always there
        again = run.finish(run.result())
    assert without_place(again) == without_place(whole)
    written = [(tmp_path / name / "evaluation.json").read_text() for name in ("whole", "parts")]
    assert written[0] == written[1]


def without_place(result: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in result.items() if name != "report"}


def test_the_result_holds_the_contracts_keys_and_measures_against_an_oracle_that_nobody_asked_for(
    curves: Path, tmp_path: Path
) -> None:
    result = finished(request(curves, tmp_path / "out"))
    assert {row["method"] for row in result["folds"]} == {"cheapest", "blind"}
    assert len(result["folds"]) == 2 * 2 * DATASETS
    for row in result["folds"]:
        assert {"dataset", "method", "repeat", "seconds_to", "exhaustive_seconds", "regret_auc"} <= set(row)
        assert set(row["seconds_to"]) == {"0.9", "0.98", "0.999", "1.0"}
        assert 0 < row["oracle_seconds_to_0.98"] <= row["seconds_to"]["1.0"]
    page = Page(tmp_path / "out" / "report.html").text
    for seconds in mean_oracle_seconds(result["folds"]).values():
        assert hours_told(seconds / 3600) in page
    oracle = finished(request(curves, tmp_path / "oracle", methods=("oracle",)))
    assert [row["oracle_ratio_at_0.98"] for row in oracle["summary"]] == [pytest.approx(1.0)]


def test_more_methods_and_repeats_do_only_what_is_missing(curves: Path, tmp_path: Path) -> None:
    finished(request(curves, tmp_path / "out"))
    run = EvaluationRun(request(curves, tmp_path / "out", methods=("cheapest", "blind", "zigzag")))
    with run.opened():
        assert work(run) == DATASETS
        assert {row["method"] for row in run.finish(run.result())["summary"]} == {
            "cheapest",
            "blind",
            "zigzag",
        }


def test_other_curves_and_other_objectives_are_refused_in_the_same_folder(
    curves: Path, tmp_path: Path
) -> None:
    finished(request(curves, tmp_path / "out"))
    other = write_meta_dataset(tmp_path / "other", family_rows(DATASETS, 8, seed=1))
    with pytest.raises(BadInput, match="holds an evaluation of other curves: choose another --out"):
        EvaluationRun(request(other, tmp_path / "out"))
    larger = [row | {"parameters": 2 * row["parameters"]} for row in family_rows(DATASETS, 8)]
    sized = write_meta_dataset(tmp_path / "sized", larger)
    with pytest.raises(BadInput, match="holds an evaluation of other curves: choose another --out"):
        EvaluationRun(request(sized, tmp_path / "out"))
    bounded = parse_objectives(bounds=["train_seconds=1e6"])
    with pytest.raises(BadInput, match="holds an evaluation of other objectives"):
        EvaluationRun(request(curves, tmp_path / "out", objectives=bounded))
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").touch()
    with pytest.raises(BadInput, match="is not empty and holds no evaluation"):
        EvaluationRun(request(curves, tmp_path / "mine"))


@pytest.mark.parametrize("content", [b"", b'{"rows": [', b"[]", b'{"rows": []}', b"\xff", b"[" * 100_000])
def test_a_unit_of_which_the_record_is_damaged_is_done_again(
    curves: Path, tmp_path: Path, content: bytes
) -> None:
    asked = request(curves, tmp_path / "out", methods=("cheapest",), repeats=1)
    whole = finished(asked)
    run = EvaluationRun(asked)
    (tmp_path / "out" / PARTS / f"{next(iter(run.units))}.json").write_bytes(content)
    events: list[EvaluationProgress] = []
    with listening(events.append), run.opened():
        assert work(run) == 1
        assert run.finish(run.result()) == whole
    assert events[0].message == "5 of 6 units on record; 1 damaged record done again"


def test_two_runs_never_share_a_folder(curves: Path, tmp_path: Path) -> None:
    first, second = (EvaluationRun(request(curves, tmp_path / "out")) for _ in range(2))
    with first.opened(), pytest.raises(BadInput, match="in use by another lamps run"), second.opened():
        pass


# --- trained methods and policies -----------------------------------------------------------------------------------


@pytest.mark.usefixtures("static_order")
def test_a_trained_method_never_sees_the_dataset_it_is_judged_on(tmp_path: Path) -> None:
    """On two datasets that agree in nothing, what is learned on the one is the worst on the other."""
    losses = {"a": 0.2, "b": 0.6, "c": 1.0}
    rows = []
    for dataset, found in (("first", losses), ("second", dict(zip("abc", [1.0, 0.6, 0.2], strict=True)))):
        for model, loss in found.items():
            rows += curve_rows(dataset, model, losses=[2.0, loss + 0.1, loss])
    folder = write_meta_dataset(tmp_path / "curves", rows)
    asked = request(
        folder, tmp_path / "out", methods=("static-order",), objectives=parse_objectives("test_loss")
    )
    result = finished(asked)
    told = rows_of(result, "static-order")
    assert [(row["dataset"], row["repeat"]) for row in told] == [
        ("first", 0), ("first", 1), ("second", 0), ("second", 1),
    ]  # fmt: skip
    # The best loss alone is the front; it comes last.
    assert [row["seconds_to"]["0.98"] for row in told] == [row["exhaustive_seconds"] for row in told]
    assert [(line["dataset"], line["repeat"]) for line in result["rewards"]] == [
        ("first", 0), ("first", 1), ("second", 0), ("second", 1),
    ]  # fmt: skip
    assert [line["normalised_reward"][0] for line in result["rewards"]] == [
        0.0,
        1.0,
        0.0,
        1.0,
    ]  # seed = repeat


@pytest.mark.usefixtures("static_order")
def test_a_training_takes_no_limit_that_it_has_no_use_for_and_leaves_no_thread_behind(
    curves: Path, tmp_path: Path
) -> None:
    asked = request(curves, tmp_path / "out", methods=("static-order",))
    run = EvaluationRun(asked)
    (unit, *_) = (one for one in run.units.values() if one.contender.kind == "trained")
    before = set(threading.enumerate())
    limited = replace(unit, limits=TrainingLimits(seconds=1.0, steps=1))
    assert run_unit(run.tasks, limited, folder=tmp_path / "training")["rows"]
    assert (tmp_path / "training" / TENSORBOARD).is_dir()
    assert set(threading.enumerate()) <= before


@pytest.mark.usefixtures("static_order")
def test_rewards_that_a_training_told_become_figure_5_which_else_says_that_there_are_none(
    curves: Path, tmp_path: Path
) -> None:
    finished(request(curves, tmp_path / "out", methods=("static-order", "cheapest")))
    figure = tmp_path / "out" / "figure-5.svg"
    assert "Environment steps" in figure.read_text()
    page = Page(tmp_path / "out" / "report.html")
    assert page.count("svg") == 3
    assert "Reward while training" in page.text
    finished(request(curves, tmp_path / "out", methods=("cheapest",)))
    assert "No method was trained by reinforcement" in figure.read_text()
    assert Page(tmp_path / "out" / "report.html").count("svg") == 2


@pytest.mark.usefixtures("static_order")
def test_a_policy_is_judged_on_what_it_has_not_seen(curves: Path, tmp_path: Path) -> None:
    tasks = read_tasks(curves, OBJECTIVES)
    write_policy(tmp_path / "mine.zip", train(tasks[:2], seed=0, run=TrainingRun()))
    policies = (str(tmp_path / "mine.zip"),)
    result = finished(request(curves, tmp_path / "out", policies=policies))
    told = rows_of(result, "mine")
    assert [row.get("seen", False) for row in told] == [True] * 4 + [False] * 2
    assert all("seen" not in row for row in rows_of(result, "cheapest"))
    (summary,) = [row for row in result["summary"] if row["method"] == "mine"]
    assert (summary["datasets"], summary["seen"], summary["unseen"]["datasets"]) == (3, False, 1)
    saved = [1 - row["seconds_to"]["0.98"] / row["exhaustive_seconds"] for row in told]
    assert summary["reduction_at_0.98"] == pytest.approx(sum(saved) / len(saved))
    assert summary["unseen"]["reduction_at_0.98"] == pytest.approx(saved[-1])
    assert result["notices"] == [
        "mine was trained on dataset-0, dataset-1, or on data of the same name: it is also judged without"
    ]
    assert any(line.startswith("mine is ") and "of 1 dataset" in line for line in result["words"])


@pytest.mark.usefixtures("static_order")
def test_a_policy_named_like_a_method_or_another_goes_by_its_path(curves: Path, tmp_path: Path) -> None:
    file = train(read_tasks(curves, OBJECTIVES), seed=0, run=TrainingRun())
    paths = [tmp_path / "one" / "policy.zip", tmp_path / "two" / "policy.zip", tmp_path / "cheapest"]
    for path in paths:
        path.parent.mkdir(exist_ok=True)
        write_policy(path, file)
    run = EvaluationRun(request(curves, tmp_path / "out", policies=tuple(map(str, paths))))
    names = [one.name for one in run.contenders]
    assert names == ["cheapest", "blind", "policy", str(paths[1]), str(paths[2])]
    assert "says nothing of new ones" in run.notices[0].replace("its figures say", "says")


@pytest.mark.usefixtures("static_order")
def test_each_contender_has_a_name_of_its_own_where_a_folder_here_is_called_like_a_method(
    curves: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write_policy(Path("cheapest"), train(read_tasks(curves, OBJECTIVES), seed=0, run=TrainingRun()))
    policies = ("cheapest", "./cheapest", str(tmp_path / "cheapest"))
    run = EvaluationRun(request(curves, tmp_path / "out", policies=policies))
    assert [one.name for one in run.contenders] == ["cheapest", "blind", str(tmp_path / "cheapest")]


@pytest.mark.usefixtures("static_order")
def test_a_policy_may_be_a_method_by_its_name_as_in_a_search(curves: Path, tmp_path: Path) -> None:
    run = EvaluationRun(request(curves, tmp_path / "out", policies=("zigzag", UNIVERSAL, "cheapest")))
    assert [one.name for one in run.contenders] == ["cheapest", "blind", "zigzag", UNIVERSAL]
    alone = write_meta_dataset(tmp_path / "alone", family_rows(1, 8))
    with pytest.raises(BadInput, match=r"^--policy portfolio: it learns from other datasets"):
        EvaluationRun(request(alone, tmp_path / "out", policies=("portfolio",)))


@pytest.mark.usefixtures("static_order")
def test_a_policy_that_does_not_fit_is_refused_before_anything_is_written(
    curves: Path, tmp_path: Path
) -> None:
    tasks = read_tasks(curves, OBJECTIVES)
    write_policy(tmp_path / "p", train(tasks, seed=0, run=TrainingRun()))
    more = write_meta_dataset(tmp_path / "more", family_rows(DATASETS, 9))
    with pytest.raises(BadInput, match="does not know the candidate candidate-08"):
        EvaluationRun(request(more, tmp_path / "out", policies=(str(tmp_path / "p"),)))
    assert read_policy(tmp_path / "p").card.candidates[-1] == "candidate-07"
    assert not (tmp_path / "out").exists()


def test_a_failed_unit_leaves_the_others_and_is_tried_again(
    curves: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def with_dataset_0(tasks: Sequence[Task], **rest: Any) -> PolicyFile:
        if "dataset-0" not in {task.dataset for task in tasks}:
            raise BadInput("nothing to learn from")
        return train(tasks, **rest)

    fussy = replace(STATIC_ORDER, learn=with_dataset_0)
    monkeypatch.setattr(algorithms, "algorithms", lambda: {fussy.name: fussy})
    monkeypatch.setitem(LOADERS, fussy.name, load)
    asked = request(curves, tmp_path / "out", methods=("static-order", "cheapest"), repeats=1)
    run = EvaluationRun(asked)
    with run.opened():
        work(run)
        with pytest.raises(
            LampsError,
            match="1 of 9 units failed; the first, static-order on dataset-0: nothing to learn from",
        ):
            run.finish(run.result())
    written = json.loads((tmp_path / "out" / "evaluation.json").read_text())
    assert [row["dataset"] for row in rows_of(written, "static-order")] == ["dataset-1", "dataset-2"]
    assert len(written["failed"]) == 1
    assert "Some methods failed" in Page(tmp_path / "out" / "report.html").text
    again = EvaluationRun(asked)
    with again.opened():
        assert work(again) == 1


# --- few and odd curves ----------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("static_order")
def test_with_one_dataset_what_learns_is_left_out_aloud_and_refused_where_it_was_named(
    tmp_path: Path,
) -> None:
    curves = write_meta_dataset(tmp_path / "curves", family_rows(1, 6))
    run = EvaluationRun(request(curves, tmp_path / "out", methods=("all",)))
    names = {one.name for one in run.contenders}
    assert {"cheapest", UNIVERSAL} <= names
    assert not names & {"portfolio", "static-order"}
    assert len(run.notices) == 2
    assert run.notices[0].startswith("portfolio is left out: it learns from other datasets")
    for name in ("portfolio", "static-order"):
        with pytest.raises(BadInput, match=f"--methods {name}: it learns from other datasets"):
            EvaluationRun(request(curves, tmp_path / "out", methods=(name,)))


def test_an_unfinished_dataset_is_left_out_aloud_and_changes_nothing_else(
    curves: Path, tmp_path: Path
) -> None:
    rows = family_rows(DATASETS, 8) + curve_rows("begun", "candidate-00", losses=[2.0, 1.0])
    begun = write_meta_dataset(tmp_path / "curves", rows)
    result = finished(request(begun, tmp_path / "out"))
    (notice,) = result["notices"]
    assert notice.startswith(
        "dataset 'begun', seed 0 is left out: one complete candidate spans no hypervolume"
    )
    assert notice in " ".join(Page(tmp_path / "out" / "report.html").text.split())
    assert [row["dataset"] for row in result["datasets"]] == [f"dataset-{index}" for index in range(DATASETS)]
    run = EvaluationRun(request(curves, tmp_path / "out"))  # of the curves without it
    with run.opened():
        assert work(run) == 0


def test_a_policy_for_a_number_that_is_in_no_schema_is_trained_and_judged(tmp_path: Path) -> None:
    objectives = parse_objectives("test_loss,energy_joules", bounds=["energy_joules=1e9"], recorded=True)
    curves = write_file(tmp_path / "curves.parquet", with_energy(family_rows(DATASETS, 8)))
    training = Training(TrainingRequest(curves=curves, out=tmp_path / "policy.zip", objectives=objectives))
    with training.opened():
        assert training.run()["objectives"] == ["test_loss", "energy_joules"]
    card = read_policy(tmp_path / "policy.zip").card
    assert objectives_of(card, place="policy") == objectives
    asked = request(
        curves,
        tmp_path / "out",
        objectives=objectives,
        policies=(str(tmp_path / "policy.zip"),),
        methods=("untrained", UNIVERSAL),
        repeats=1,
    )
    result = finished(asked)
    assert (result["objectives"], result["bounds"]) == (["test_loss", "energy_joules"], [None, 1e9])
    assert {"policy", "cheapest", "ehvi", UNIVERSAL} <= {row["method"] for row in result["folds"]}
    assert all(row["seconds_to"]["1.0"] is not None for row in result["folds"])
    assert result["meta_dataset"] == card.meta_dataset


def test_missing_pairs_and_curves_of_unequal_length_are_evaluated(tmp_path: Path) -> None:
    rows = family_rows(3, 9, steps=3) + [
        row | {"dataset": "longer"} for row in family_rows(1, 7, seed=5, steps=8)
    ]
    kept = [row for row in rows if (row["dataset"], row["model"]) != ("dataset-1", "candidate-03")]
    curves = write_meta_dataset(tmp_path / "curves", kept)
    result = finished(request(curves, tmp_path / "out", methods=("untrained",), repeats=1))
    assert {row["dataset"] for row in result["folds"]} == {"dataset-0", "dataset-1", "dataset-2", "longer"}
    assert all(row["seconds_to"]["1.0"] is not None for row in result["folds"])


@pytest.mark.parametrize("method", ["forecast", "ppo"])
def test_a_candidate_of_one_dataset_alone_is_evaluated_there_too(tmp_path: Path, method: str) -> None:
    """No training without that dataset can know it: it is taken after all others."""
    rows = [
        row
        for row in family_rows(3, 6)
        if row["model"] != "candidate-05" or row["dataset"] == "dataset-0"
        if row["model"] != "candidate-04" or row["dataset"] == "dataset-1"
    ]
    rows = [row | {"test_loss": 0.01} if row["model"] == "candidate-05" else row for row in rows]
    curves = write_meta_dataset(tmp_path / "curves", rows)
    limits = TrainingLimits(steps=64 if method == "ppo" else None)
    result = finished(request(curves, tmp_path / "out", methods=(method,), repeats=1, limits=limits))
    assert not result["failed"]
    reached = {row["dataset"]: row for row in rows_of(result, method)}
    assert set(reached) == {"dataset-0", "dataset-1", "dataset-2"}
    # It is on the front of that dataset, so that nothing is reached before everything else has run.
    seconds = reached["dataset-0"]["seconds_to"]["1.0"]
    assert seconds == pytest.approx(reached["dataset-0"]["exhaustive_seconds"])


def test_curves_that_cost_nothing_are_refused_by_name(tmp_path: Path) -> None:
    rows = [row | {"step_seconds": 0.0} for row in family_rows(1, 4)]
    curves = write_meta_dataset(tmp_path / "curves", rows)
    with pytest.raises(
        BadInput, match=r"dataset 'dataset-0', seed 0: its step_seconds are all 0, .*: record what"
    ):
        EvaluationRun(request(curves, tmp_path / "out"))


@pytest.mark.parametrize(
    ("factors", "reason"),
    [
        ({"step_seconds": 0.0}, "its step_seconds are all 0"),
        ({"train_seconds": 1e306}, "its numbers are too large"),
        ({"test_loss": 1e200, "train_seconds": 1e200}, "its numbers are too large"),
    ],
)
def test_a_dataset_that_cannot_be_counted_with_is_left_out_and_told_where_it_is_missed(
    tmp_path: Path, factors: dict[str, float], reason: str
) -> None:
    rows = family_rows(2, 4)
    for row in rows:
        if row["dataset"] == "dataset-0":
            row |= {name: factor * row[name] for name, factor in factors.items()}
    curves = write_meta_dataset(tmp_path / "curves", rows)
    run = EvaluationRun(request(curves, tmp_path / "out"))
    assert {task.dataset for task in run.tasks} == {"dataset-1"}
    assert [notice.partition(": ")[0] for notice in run.notices] == [
        "dataset 'dataset-0', seed 0 is left out"
    ]
    assert reason in run.notices[0]
    with pytest.raises(
        BadInput, match=rf"--methods portfolio: .*; dataset 'dataset-0', seed 0 is left out: {reason}"
    ):
        EvaluationRun(request(curves, tmp_path / "other", methods=("portfolio",)))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"repeats": 0}, "--repeats must be at least 1, not 0"),
        ({"repeats": 10**9}, "--repeats must be at most 10000"),
        ({"parallel": 0}, "--parallel must be at least 1"),
        ({"parallel": 10**9}, "--parallel must be at most"),
    ],
)
def test_numbers_that_no_machine_can_do_are_refused(
    curves: Path, tmp_path: Path, changes: dict[str, int], message: str
) -> None:
    with pytest.raises(BadInput, match=message):
        EvaluationRun(request(curves, tmp_path / "out", **changes))


# --- the page --------------------------------------------------------------------------------------------------------


def test_the_page_is_made_again_from_the_result_alone_and_holds_nothing_hostile(tmp_path: Path) -> None:
    rows = [
        row | {"dataset": HOSTILE + row["dataset"], "model": HOSTILE + row["model"]}
        for row in family_rows(2, 5)
    ]
    curves = write_meta_dataset(tmp_path / "curves", rows)
    out = tmp_path / "out"
    finished(request(curves, out, methods=("untrained",)))
    before = {path.name: path.read_bytes() for path in out.iterdir() if path.is_file()}
    assert set(before) == {"evaluation.json", "report.html", "figure-3.svg", "figure-4.svg", "figure-5.svg"}
    shutil.rmtree(out / ".parts")
    assert write_report(out) == out / "report.html"
    assert {path.name: path.read_bytes() for path in out.iterdir()} == before
    page = Page(out / "report.html")
    assert page.scripts[1:] == [page_script()]
    assert not set(page.text) & {"\u202e", "\x1b"}
    source = before["report.html"].decode()
    targets = set(re.findall(r"url\(#([^)]+)\)", source)) | set(re.findall(r'href="#([^"]+)"', source))
    ids = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    assert targets <= set(ids)


def test_a_damaged_result_is_refused_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "evaluation.json").write_text('{"folds": [')
    with pytest.raises(BadInput, match="cannot be read"):
        write_report(tmp_path)
    (tmp_path / "evaluation.json").write_text('{"folds": []}')
    with pytest.raises(BadInput, match="does not hold an evaluation"):
        write_report(tmp_path)

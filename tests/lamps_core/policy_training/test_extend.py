"""One more candidate for a trained policy: what is kept, learned and refused, what full retraining would change."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from lamps_core.errors import BadInput, LampsError
from lamps_core.fingerprints import curves_fingerprint, objectives_fingerprint
from lamps_core.meta_dataset import read_tasks
from lamps_core.objectives import parse_objectives
from lamps_core.policies.known_first import KnownFirst
from lamps_core.policies.loading import UNIVERSAL, shipped_policy
from lamps_core.policies.pool import PoolPolicy
from lamps_core.policies.trained import load_policy_file
from lamps_core.policy_file import PolicyFile, objectives_of, read_policy, write_policy
from lamps_core.policy_training.algorithms import algorithm
from lamps_core.policy_training.extend import Extension, ExtensionRequest
from lamps_core.policy_training.forecast import extend, when_complete
from lamps_core.policy_training.pool_training import grown
from lamps_core.policy_training.training_run import TrainingRun
from lamps_core.replay import ReplayedSearch, replay
from tests.meta_datasets import curve_rows, family_rows, write_meta_dataset

if TYPE_CHECKING:
    from lamps_core.task import Task

NEW = "candidate-03"
QUICK = {"epochs": 1, "episodes_each": 2, "rollout_steps": 16}


@dataclasses.dataclass(frozen=True)
class Made:
    """Curves with and without the new candidate, and policies trained without."""

    rows: list[dict[str, Any]]
    curves: Path
    tasks: tuple[Task, ...]
    known: tuple[Task, ...]
    forecast: PolicyFile
    ppo: PolicyFile


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    folder = tmp_path_factory.mktemp("curves")
    rows = family_rows(4, 8, seed=2)
    objectives = parse_objectives()
    curves = write_meta_dataset(folder / "all", rows)
    fewer = write_meta_dataset(folder / "fewer", [row for row in rows if row["model"] != NEW])
    known = read_tasks(fewer, objectives)
    return Made(
        rows,
        curves,
        read_tasks(curves, objectives),
        known,
        algorithm("forecast").train(known, seed=0, run=TrainingRun()),
        algorithm("ppo").train(known, seed=0, run=TrainingRun(steps=200, settings=QUICK)),
    )


def request(made: Made, policy: Path, **changes: Any) -> ExtensionRequest:
    asked: dict[str, Any] = {"policy": policy, "curves": made.curves, "candidates": (NEW,)}
    return ExtensionRequest(**(asked | changes))


def saved(path: Path, file: PolicyFile) -> Path:
    write_policy(path, file)
    return path


def test_a_dataset_of_some_candidates_is_as_if_there_had_been_no_others(made: Made) -> None:
    names = {name for name in made.tasks[0].candidates if name != NEW}
    assert curves_fingerprint([task.of(names) for task in made.tasks]) == curves_fingerprint(made.known)


@dataclasses.dataclass(frozen=True)
class Extended:
    """A forecast that was extended to another place, and one retrained in full."""

    told: dict[str, Any]
    old: Path
    new: Path
    full: PolicyFile


@pytest.fixture(scope="module")
def extended(made: Made, tmp_path_factory: pytest.TempPathFactory) -> Extended:
    folder = tmp_path_factory.mktemp("extended")
    old = saved(folder / "policy.zip", made.forecast)
    told = Extension(request(made, old, out=folder / "wider")).run()
    full = algorithm("forecast").train(made.tasks, seed=0, run=TrainingRun())
    return Extended(told, old, folder / "wider", full)


def test_a_forecast_keeps_all_that_it_learned_and_places_the_newcomer_where_full_training_would(
    made: Made, extended: Extended
) -> None:
    file = read_policy(extended.new)
    assert file.card.candidates == (*made.forecast.card.candidates, NEW)
    assert file.card.meta_dataset == objectives_fingerprint(made.tasks)
    for name, before in made.forecast.weights.items():
        after = file.weights[name]
        np.testing.assert_array_equal(after[: len(before)] if after.shape != before.shape else after, before)
    place = extended.full.card.candidates.index(NEW)
    for number in ("test_loss", "curve_seconds"):
        ours, theirs = file.weights[f"{number}.effect"][-1], extended.full.weights[f"{number}.effect"]
        assert np.abs(ours - theirs[place]).max() < 0.35 * theirs.std(axis=0).max(), number
    assert extended.told["added"] == [NEW]


def test_bounds_that_a_policy_was_trained_with_hold_for_its_extension_and_the_full_retraining(
    tmp_path: Path,
) -> None:
    curves = write_meta_dataset(tmp_path / "curves", family_rows(3, 6, seed=2))
    quickest = np.sort(read_tasks(curves, parse_objectives())[0].final[:, 1])
    most = float(quickest[3:5].mean())  # four are played to their end
    objectives = parse_objectives(bounds=[f"train_seconds={most!r}"])
    tasks = read_tasks(curves, objectives)
    known = [task.of(set(task.candidates) - {NEW}) for task in tasks]
    before = algorithm("forecast").train(known, seed=0, run=TrainingRun())
    policy = saved(tmp_path / "policy.zip", before)
    told = Extension(ExtensionRequest(policy=policy, curves=curves, candidates=(NEW,))).run()
    after = read_policy(policy)
    for name, weights in extend(before, tasks, NEW).weights.items():
        np.testing.assert_array_equal(after.weights[name], weights)
    full = algorithm("forecast").train(tasks, seed=0, run=TrainingRun())
    retrained = load_policy_file(full, name="forecast")
    assert [row["retrained"] for row in told["in_sample"]] == [
        replay(task, retrained).seconds_to(0.98) for task in tasks
    ]
    assert objectives_of(after.card, place="policy") == objectives
    assert after.card.settings["bounds"] == {"train_seconds": most}


def test_what_full_retraining_changes_is_the_difference_of_the_two_forecasts(
    made: Made, extended: Extended
) -> None:
    file, full = read_policy(extended.new), extended.full
    ours, theirs = (when_complete(one, made.tasks)["test_loss"] for one in (file, full))
    apart = [
        abs(ours[task, file.card.candidates.index(name)] - theirs[task, index])
        for task in range(len(made.tasks))
        for index, name in enumerate(full.card.candidates)
    ]
    change = extended.told["change"]["test_loss"]
    assert change["absolute"] == pytest.approx(np.mean(apart))
    assert 0.0 < change["relative_of_the_new"] < 0.3


def test_searches_are_timed_by_the_old_the_extended_and_the_retrained_policy(
    made: Made, extended: Extended
) -> None:
    rows = extended.told["in_sample"]
    assert [row["dataset"] for row in rows] == [task.dataset for task in made.tasks]
    for task, row in zip(made.tasks, rows, strict=True):
        for name, file in (("extended", read_policy(extended.new)), ("retrained", extended.full)):
            policy = load_policy_file(file, name="forecast")
            assert row[name] == replay(task, policy).seconds_to(0.98)
        old = load_policy_file(made.forecast, name="forecast")
        assert row["before"] == replay(task, KnownFirst(old, made.forecast.card.candidates)).seconds_to(0.98)
    assert "in-sample" in extended.told["words"][1]


def test_another_place_leaves_the_old_policy_as_it_was(made: Made, extended: Extended) -> None:
    assert extended.told["policy"] == str(extended.new)
    assert read_policy(extended.old).digest() == made.forecast.digest()
    with pytest.raises(BadInput, match="there is a policy already"):
        Extension(request(made, extended.old, out=extended.new))


def test_a_folder_is_replaced_keeps_its_other_files_and_can_be_extended_again(
    made: Made, extended: Extended, tmp_path: Path
) -> None:
    policy = saved(tmp_path / "policy", read_policy(extended.new))
    (policy / "notes.txt").write_text("ours")
    told = Extension(request(made, policy)).run()
    assert told["added"] == []
    assert told["words"] == [f"the policy knows {NEW} already"]
    assert read_policy(policy).digest() == read_policy(extended.new).digest()
    again = [row | {"model": "newest"} for row in made.rows if row["model"] == NEW]
    curves = write_meta_dataset(tmp_path / "curves", made.rows + again)
    Extension(request(made, policy, curves=curves, candidates=("newest",))).run()
    assert read_policy(policy).card.candidates[-2:] == (NEW, "newest")
    assert (policy / "notes.txt").read_text() == "ours"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["curves", "policy"]


def test_a_grown_network_decides_among_the_known_as_before(made: Made) -> None:
    wider = grown(made.ppo, tuple(sorted((*made.ppo.card.candidates, NEW))))
    policies = [PoolPolicy(file, name="ppo") for file in (made.ppo, wider)]
    search = ReplayedSearch(made.known[0])
    for _ in range(6):
        first, second = (policy.select(search.observation()) for policy in policies)
        assert first == second
        search.step(first)


def test_ppo_goes_on_from_what_it_knows_and_says_what_full_retraining_costs(
    made: Made, tmp_path: Path
) -> None:
    policy = saved(tmp_path / "policy.zip", made.ppo)
    told = Extension(request(made, policy, steps=200)).run()
    extended = read_policy(policy)
    assert set(extended.card.candidates) == {*made.ppo.card.candidates, NEW}
    assert "bounds" not in extended.card.settings
    before = made.ppo.card.settings["environment_steps"]
    assert extended.card.settings["environment_steps"] >= before + 200
    assert extended.card.settings["epochs"] == QUICK["epochs"]
    assert f"not done: {before:,} environment steps, about" in told["words"][0]
    assert "retrained" not in told["in_sample"][0]


def test_ppo_is_retrained_in_full_where_that_is_asked_for(made: Made, tmp_path: Path) -> None:
    policy = saved(tmp_path / "policy.zip", made.ppo)
    told = Extension(request(made, policy, steps=200, full=True)).run()
    assert {"before", "extended", "retrained"} <= set(told["in_sample"][0])


def test_a_universal_policy_needs_no_training(made: Made, tmp_path: Path) -> None:
    policy = saved(tmp_path / "policy.zip", read_policy(shipped_policy(UNIVERSAL)))
    before = policy.read_bytes()
    told = Extension(request(made, policy)).run()
    assert told["added"] == []
    assert "universal" in told["words"][0]
    assert policy.read_bytes() == before


def test_the_one_that_ships_is_known_by_its_name(made: Made) -> None:
    told = Extension(request(made, Path(UNIVERSAL))).run()
    assert (told["policy"], told["added"]) == (UNIVERSAL, [])
    assert "needs no training" in told["words"][0]


@pytest.mark.parametrize("kind", ["pool", "universal"])
def test_a_policy_that_learns_nothing_is_written_to_the_other_place_all_the_same(
    made: Made, extended: Extended, tmp_path: Path, kind: str
) -> None:
    file = read_policy(extended.new if kind == "pool" else shipped_policy(UNIVERSAL))
    policy, other = saved(tmp_path / "policy.zip", file), tmp_path / "other.zip"
    told = Extension(request(made, policy, out=other)).run()
    assert (told["policy"], told["added"]) == (str(other), [])
    assert read_policy(other).digest() == read_policy(policy).digest()
    with pytest.raises(BadInput, match="is there already"):
        Extension(request(made, policy, out=other))


@pytest.mark.parametrize(
    ("card", "changes", "complaint"),
    [
        ({"datasets": ("dataset-0", "elsewhere")}, {}, "was trained on the dataset elsewhere, which"),
        ({"meta_dataset": "0" * 16}, {}, "was trained on other curves than those of"),
        ({"objectives": ("accuracy",)}, {}, "accuracy is null in a complete row"),
        ({"algorithm": "guess"}, {}, "no such algorithm"),
        ({"settings": {"bounds": [20]}}, {}, "does not say what the policy was trained for"),
        ({"settings": {"bounds": {"accuracy": 0.9}}}, {}, "'accuracy=0.9' is on no objective"),
        ({"settings": {"gpu_hour_price": None}}, {}, "does not say what the policy was trained for"),
        ({}, {"steps": 10}, "--steps is for distral, ppo, not for forecast: leave it out"),
        ({"kind": "universal", "algorithm": "universal"}, {"steps": 10}, "not for universal: leave it out"),
        ({}, {"steps": 0}, "--steps must be at least 1"),
    ],
)
def test_what_does_not_fit_is_refused_before_anything_runs(
    made: Made, tmp_path: Path, card: dict[str, Any], changes: dict[str, Any], complaint: str
) -> None:
    file = PolicyFile(dataclasses.replace(made.forecast.card, **card), made.forecast.weights)
    policy = saved(tmp_path / "policy.zip", file)
    with pytest.raises(BadInput, match=complaint):
        Extension(request(made, policy, **changes))


def test_weights_of_another_shape_are_refused_before_any_curve_is_made(made: Made, tmp_path: Path) -> None:
    weights = {**made.forecast.weights, "test_loss.effect": np.zeros((2, 2))}
    assert weights.keys() == made.forecast.weights.keys()
    policy = saved(tmp_path / "policy.zip", PolicyFile(made.forecast.card, weights))
    with pytest.raises(BadInput, match=r"policy\.zip: its weights.*test_loss.*: train it again$"):
        Extension(request(made, policy))


def test_a_dataset_begun_since_then_keeps_no_candidate_from_being_added(made: Made, tmp_path: Path) -> None:
    begun = curve_rows("begun", NEW, losses=[2.0, 1.0], complete=False)
    curves = write_meta_dataset(tmp_path / "curves", made.rows + begun)
    policy = saved(tmp_path / "policy.zip", made.forecast)
    assert Extension(request(made, policy, curves=curves)).run()["added"] == [NEW]


def test_a_policy_for_what_no_step_measures_is_refused_before_any_curve_is_made(
    made: Made, tmp_path: Path
) -> None:
    card = dataclasses.replace(made.ppo.card, objectives=("test_loss", "energy_joules"))
    policy = saved(tmp_path / "policy.zip", PolicyFile(card, made.ppo.weights))
    with pytest.raises(BadInput, match="no fine-tuning measures its objective energy_joules: train it again"):
        Extension(request(made, policy))


def test_a_seed_that_the_new_candidate_makes_usable_is_no_other_curves(made: Made, tmp_path: Path) -> None:
    thin = [row | {"seed": 1} for row in made.rows if row["model"] in {"candidate-00", NEW}]
    thin = [row for row in thin if row["dataset"] == "dataset-0"]
    curves = write_meta_dataset(tmp_path / "curves", made.rows + thin)
    policy = saved(tmp_path / "policy.zip", made.forecast)
    extension = Extension(request(made, policy, curves=curves))
    assert extension.run()["added"] == [NEW]
    usable = read_tasks(curves, parse_objectives())
    assert len(usable) == len(made.tasks) + 1
    assert read_policy(policy).card.meta_dataset == objectives_fingerprint(usable)


def test_a_candidate_that_is_complete_nowhere_teaches_nothing(made: Made, tmp_path: Path) -> None:
    rows = [
        row | {"complete": row["complete"] and row["model"] != NEW}
        for row in made.rows
        if row["model"] != NEW or row["step"] < 3
    ]
    curves = write_meta_dataset(tmp_path / "curves", rows)
    policy = saved(tmp_path / "policy.zip", made.forecast)
    with pytest.raises(LampsError, match="complete on no dataset"):
        Extension(request(made, policy, curves=curves)).run()
    assert read_policy(policy).digest() == made.forecast.digest()

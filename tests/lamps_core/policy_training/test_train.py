"""From a folder of curves to a policy on disk, without Prefect."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lamps_core.errors import BadInput
from lamps_core.meta_dataset import read_tasks
from lamps_core.objectives import parse_objectives
from lamps_core.policies.trained import LOADERS, load_policy_file
from lamps_core.policy_file import CARD, PolicyFile, read_policy, write_policy
from lamps_core.policy_training import training_run
from lamps_core.policy_training.algorithms import algorithms
from lamps_core.policy_training.train import REQUEST, Training, TrainingRequest
from lamps_core.progress import TrainingProgress, listening
from lamps_core.replay import ReplayedSearch, replay
from tests.meta_datasets import curve_rows, family_rows, write_failures, write_meta_dataset

QUICK = {"rollout_steps": 16, "episodes_each": 2, "epochs": 2, "minibatch_size": 32, "widths": [8]}


@pytest.fixture(scope="module")
def curves(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_meta_dataset(tmp_path_factory.mktemp("curves"), family_rows(4, 6))


def asked(curves: Path, out: Path, **changes: Any) -> TrainingRequest:
    request = TrainingRequest(curves=curves, out=out, algorithm="distral", steps=200, settings=QUICK)
    return replace(request, **changes)


def trained(request: TrainingRequest) -> dict[str, Any]:
    training = Training(request)
    with training.opened():
        return training.run()


@pytest.fixture(scope="module")
def policy(curves: Path, tmp_path_factory: pytest.TempPathFactory) -> PolicyFile:
    out = tmp_path_factory.mktemp("policy") / "policy.zip"
    trained(asked(curves, out, exclude=("dataset-2",)))
    return read_policy(out)


@pytest.mark.parametrize("name", ["distral", "ppo"])
def test_a_policy_is_written_searches_and_leaves_nothing_beside_it(
    curves: Path, tmp_path: Path, name: str
) -> None:
    events: list[TrainingProgress] = []
    with listening(events.append):
        told = trained(asked(curves, tmp_path / "policy", algorithm=name))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["policy"]
    assert (told["algorithm"], told["kind"], told["candidates"]) == (name, "pool", 6)
    assert told["datasets"] == [f"dataset-{index}" for index in range(4)]
    assert 0.0 <= told["validation_score"] <= 1.0
    assert [event.share_done for event in events] == sorted(event.share_done for event in events)
    assert events[-1].share_done == 1.0
    assert events[-1].datasets == 4
    loaded = load_policy_file(read_policy(tmp_path / "policy"), name="mine")
    assert loaded.name == "mine"
    for task in read_tasks(curves, parse_objectives()):
        assert replay(task, loaded).share[-1] == pytest.approx(1.0)


def test_datasets_can_be_left_out(policy: PolicyFile) -> None:
    assert policy.card.datasets == ("dataset-0", "dataset-1", "dataset-3")


@pytest.fixture(scope="module")
def begun(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Curves of which those of one dataset were begun, and none is complete."""
    rows = [*family_rows(2, 4), *curve_rows("begun", "candidate-00", losses=[2.0, 1.0], complete=False)]
    return write_meta_dataset(tmp_path_factory.mktemp("begun"), rows)


def test_a_dataset_that_cannot_be_trained_on_is_left_out_aloud_unless_it_is_the_only_one(
    begun: Path, tmp_path: Path
) -> None:
    request = TrainingRequest(curves=begun, out=tmp_path / "policy")
    result = trained(request)
    assert result["datasets"] == ["dataset-0", "dataset-1"]
    (notice,) = result["notices"]
    assert notice.startswith("dataset 'begun', seed 0 is left out: no curve is complete")
    request = replace(request, out=tmp_path / "other")
    asked_for = Training(replace(request, exclude=("begun",)))
    assert ([task.dataset for task in asked_for.tasks], asked_for.notices) == (["dataset-0", "dataset-1"], [])
    with pytest.raises(BadInput, match="dataset 'begun', seed 0: no curve is complete"):
        Training(replace(request, exclude=("dataset-0", "dataset-1")))
    with pytest.raises(BadInput, match=r"no such dataset; .* \(there are begun, dataset-0, dataset-1\)"):
        Training(replace(request, exclude=("began",)))


def test_curves_of_several_sources_are_learned_from_aloud(tmp_path: Path) -> None:
    rows = family_rows(2, 4)
    rows = [row | {"source": "measured" if row["dataset"] == "dataset-0" else "simulated"} for row in rows]
    request = TrainingRequest(curves=write_meta_dataset(tmp_path / "curves", rows), out=tmp_path / "policy")
    assert trained(request)["notices"] == ["the curves of dataset-0 are measured, of dataset-1 simulated"]


def test_where_every_candidate_failed_no_dataset_that_is_left_out_is_blamed(tmp_path: Path) -> None:
    failed = write_failures(tmp_path / "curves", ["a"])
    for exclude in ((), ("d",)):
        with pytest.raises(BadInput, match="holds no curve"):
            Training(TrainingRequest(curves=failed, out=tmp_path / "policy", exclude=exclude))


def test_a_loaded_policy_takes_its_candidates_in_any_order(policy: PolicyFile, curves: Path) -> None:
    loaded = load_policy_file(policy, name="mine")
    search = ReplayedSearch(read_tasks(curves, parse_objectives())[0])
    generator = np.random.default_rng(0)
    for _ in range(12):
        seen = search.observation()
        order = generator.permutation(6).tolist()
        chosen = loaded.select(seen)
        assert order[loaded.select(seen.of(order))] == chosen
        search.step(chosen)


def test_a_loaded_policy_takes_some_of_its_candidates(policy: PolicyFile, curves: Path) -> None:
    loaded = load_policy_file(policy, name="mine")
    seen = ReplayedSearch(read_tasks(curves, parse_objectives())[0]).observation()
    few = seen.of([4, 1])
    assert loaded.select(few) in {0, 1}
    assert loaded.select(replace(few, mask=np.array([False, True]))) == 1
    with pytest.raises(BadInput, match="does not know the candidate other"):
        loaded.select(replace(few, names=("other", seen.names[1])))


def test_deciding_needs_no_torch(policy: PolicyFile, curves: Path, tmp_path: Path) -> None:
    write_policy(tmp_path / "policy", policy)
    code = f"""
import sys
from pathlib import Path
from lamps_core.policies.trained import load_policy_file
from lamps_core.policy_file import read_policy
load_policy_file(read_policy(Path({str(tmp_path / "policy")!r})), name="mine")
sys.exit("torch" in sys.modules)
"""
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"network": {"kind": "mlp", "widths": [9]}}, "layer_0.bias is \\(8,\\)"),
        ({"network": {"kind": "mlp", "widths": [8, 8]}}, "layer_1.bias is \\(6,\\)"),
        ({"network": {"kind": "mlp"}}, "none of a pool policy's"),
        ({"network": {"kind": "mlp", "widths": [0]}}, "not numbers of units"),
        ({"kind": "universal"}, "none of a pool policy's"),
        ({"objectives": ("test_loss",)}, "layer_0.weight is"),
    ],
)
def test_weights_of_another_network_are_refused(
    policy: PolicyFile, change: dict[str, Any], said: str
) -> None:
    with pytest.raises(BadInput, match=said):
        load_policy_file(replace(policy, card=replace(policy.card, **change)), name="mine")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"exclude": ("dataset_2",)}, "no such dataset; did you mean dataset-2\\?"),
        ({"exclude": tuple(f"dataset-{index}" for index in range(4))}, "leaves no dataset"),
        ({"algorithm": "distrall"}, "did you mean distral\\?"),
        ({"steps": 0}, "--steps must be at least 1"),
        ({"seconds": float("nan")}, "--seconds must be more than zero"),
        ({"seconds": 0.0}, "--seconds must be more than zero"),
        ({"seed": -1}, "--seed must be between 0 and 2147483647, not -1"),
        ({"settings": {"gamma": 1.0}}, "--set gamma=...: there is no such setting"),
        ({"objectives": parse_objectives("accuracy")}, "accuracy is null"),
    ],
)
def test_what_cannot_be_used_is_refused(
    curves: Path, tmp_path: Path, change: dict[str, Any], said: str
) -> None:
    with pytest.raises(BadInput, match=said):
        trained(asked(curves, tmp_path / "policy", **change))
    assert list(tmp_path.iterdir()) == []


NOWHERE = Path("nowhere")
BOUNDED = parse_objectives(bounds=["train_seconds=9"])


@pytest.mark.parametrize(
    ("name", "option", "said"),
    [
        ("universal", {"steps": 1}, "--steps is for distral, ppo, not for universal: leave it out"),
        (
            "universal",
            {"seconds": 0.01},
            "--seconds is for forecast, distral, ppo, not for universal: leave it out",
        ),
        ("universal", {"warm_start": NOWHERE}, "--warm-start is for distral, ppo, not for universal"),
        ("universal", {"objectives": BOUNDED}, "--bound is for forecast, distral, ppo, not for universal"),
        ("forecast", {"steps": 1}, "--steps is for distral, ppo, not for forecast: leave it out"),
        ("forecast", {"warm_start": NOWHERE}, "--warm-start is for distral, ppo, not for forecast"),
        ("forecast", {"settings": {"epochs": 3}}, "--set is for distral, ppo, universal, not for forecast"),
    ],
)
def test_an_option_that_would_make_no_difference_is_refused_before_anything_is_read(
    tmp_path: Path, name: str, option: dict[str, Any], said: str
) -> None:
    with pytest.raises(BadInput, match=said):
        Training(TrainingRequest(curves=NOWHERE, out=tmp_path / "policy", algorithm=name, **option))


def test_a_place_that_is_taken_is_left_alone(curves: Path, tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "thesis.tex").write_text("")
    (tmp_path / "policy.zip").write_text("")
    for name, said in (("folder", "holds something else"), ("policy.zip", "is there already")):
        with pytest.raises(BadInput, match=said):
            Training(asked(curves, tmp_path / name))
    with pytest.raises(BadInput, match="cannot be written"):
        Training(asked(curves, tmp_path / "policy.zip" / "policy"))


def interrupted(request: TrainingRequest) -> None:
    """A training that was given up at some time after its first checkpoint."""

    def interrupt(event: TrainingProgress) -> None:
        if event.share_done > 0.6:
            raise KeyboardInterrupt

    training = Training(request)
    with pytest.raises(KeyboardInterrupt), listening(interrupt), training.opened():
        training.run()


def test_an_interrupted_training_goes_on_only_as_it_was_asked_for(
    curves: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(training_run, "CHECKPOINT_SECONDS", 0.0)
    request = asked(curves, tmp_path / "policy")
    interrupted(request)
    assert not (tmp_path / "policy").exists()
    larger = [row | {"parameters": 2 * row["parameters"]} for row in family_rows(4, 6)]
    sized = write_meta_dataset(tmp_path / "sized", larger)
    changes: tuple[dict[str, Any], ...] = (
        {"seed": 1}, {"algorithm": "ppo"}, {"exclude": ("dataset-1",)}, {"settings": {}}, {"curves": sized}
    )  # fmt: skip
    for change in changes:
        with pytest.raises(BadInput, match="interrupted training with other"):
            Training(replace(request, **change))
    assert trained(replace(request, steps=300))["settings"]["environment_steps"] >= 300
    assert sorted(path.name for path in tmp_path.iterdir()) == ["policy", "sized"]


def test_an_interrupted_training_goes_on_only_from_the_policy_that_it_began_with(
    curves: Path, policy: PolicyFile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(training_run, "CHECKPOINT_SECONDS", 0.0)
    other = {name: array + 1 for name, array in policy.weights.items()}
    write_policy(tmp_path / "first.zip", policy)
    write_policy(tmp_path / "other.zip", replace(policy, weights=other))
    request = asked(curves, tmp_path / "policy", warm_start=tmp_path / "first.zip")
    interrupted(request)
    with pytest.raises(BadInput, match="interrupted training with other warm start"):
        Training(replace(request, warm_start=tmp_path / "other.zip"))
    (tmp_path / "first.zip").rename(tmp_path / "moved.zip")
    trained(replace(request, warm_start=tmp_path / "moved.zip"))


@pytest.mark.parametrize("told", ["", "{", "[]", None])
def test_an_interrupted_training_that_lost_its_request_says_what_to_delete(
    curves: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, told: str | None
) -> None:
    monkeypatch.setattr(training_run, "CHECKPOINT_SECONDS", 0.0)
    request = asked(curves, tmp_path / "policy")
    interrupted(request)
    folder = tmp_path / ".policy.training"
    (folder / REQUEST).unlink()
    if told is not None:
        (folder / REQUEST).write_text(told)
    with pytest.raises(BadInput, match=rf"{REQUEST}.* delete the folder {folder}, or choose another --out$"):
        Training(request)


def test_two_trainings_of_one_policy_do_not_mix(curves: Path, tmp_path: Path) -> None:
    request = asked(curves, tmp_path / "policy")
    with (
        Training(request).opened(),
        pytest.raises(BadInput, match=rf"^--out {request.out} is in use by another"),
        Training(request).opened(),
    ):
        pass


def test_a_training_that_another_one_overtook_leaves_the_policy_as_it_is(
    curves: Path, tmp_path: Path
) -> None:
    first, second = Training(asked(curves, tmp_path / "policy")), Training(asked(curves, tmp_path / "policy"))
    with first.opened():
        first.run()
    written = (tmp_path / "policy" / CARD).read_bytes()
    with pytest.raises(BadInput, match="there is a policy already"), second.opened():
        pass
    assert (tmp_path / "policy" / CARD).read_bytes() == written
    assert [path.name for path in tmp_path.iterdir()] == ["policy"]


def test_the_algorithms_are_known_by_name() -> None:
    assert {"distral", "ppo"} <= set(algorithms())
    assert all(one.name == name and one.about for name, one in algorithms().items())


def test_every_algorithm_has_what_reads_its_policies() -> None:
    assert set(LOADERS) == set(algorithms())

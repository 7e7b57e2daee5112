from __future__ import annotations

import json
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lamps_core.errors import BadInput
from lamps_core.policy_training import training_run
from lamps_core.policy_training.pool_training import train_distral, train_ppo
from lamps_core.policy_training.task_batch import candidates_of
from lamps_core.policy_training.training_run import BEST, CHECKPOINT, TENSORBOARD, TrainingRun
from lamps_core.policy_training.validation import Validation, speed, split_tasks
from lamps_core.replay import replay
from tests.meta_datasets import family_tasks

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from lamps_core.policies.protocol import Observation
    from lamps_core.policy_training.batched_search import BatchedSearch
    from lamps_core.task import IntArray

QUICK = {"rollout_steps": 16, "episodes_each": 2, "epochs": 2, "minibatch_size": 32, "widths": [8]}
ROUND = 16 * 2 * 4  # steps of a rollout on four of five datasets


class KilledError(Exception):
    """In the place of a kill: what is not on disk by now is lost."""


@pytest.mark.parametrize("train", [train_ppo, train_distral])
def test_a_training_that_was_killed_goes_on_where_its_checkpoint_is(
    train: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(training_run, "CHECKPOINT_SECONDS", 0.0)
    tasks, seen = family_tasks(5, 6), []

    def tell(_: float, scalars: Mapping[str, float]) -> None:
        seen.append(scalars["environment_steps"])
        if len(seen) == 3:
            raise KilledError

    first = TrainingRun(steps=5 * ROUND, settings=QUICK, folder=tmp_path, tell=tell)
    with pytest.raises(KilledError):
        train(tasks, seed=0, run=first)  # type: ignore[operator]
    assert seen == [ROUND, 2 * ROUND, 3 * ROUND]
    state, counters = TrainingRun(folder=tmp_path).restored() or ({}, {})
    assert counters["environment_steps"] == 2 * ROUND
    assert all(tensor.isfinite().all() for tensor in state.values())
    kept = state["policy.weights"]
    again = TrainingRun(steps=5 * ROUND, settings=QUICK, folder=tmp_path)
    again.tell = lambda _, scalars: seen.append(scalars["environment_steps"])
    file = train(tasks, seed=0, run=again)  # type: ignore[operator]
    assert seen[3:] == [3 * ROUND, 4 * ROUND, 5 * ROUND]
    assert file.card.settings["environment_steps"] == 5 * ROUND
    assert again.best_score is not None
    assert (kept != (TrainingRun(folder=tmp_path).restored() or ({}, {}))[0]["policy.weights"]).any()


def test_the_same_seed_gives_the_same_policy_and_another_one_does_not() -> None:
    tasks = family_tasks(2, 6)
    files = [
        train_distral(tasks, seed=seed, run=TrainingRun(steps=100, settings=QUICK)) for seed in (0, 0, 1)
    ]
    same, equal, other = ({name: array.tolist() for name, array in file.weights.items()} for file in files)
    assert same == equal
    assert same != other


def test_time_that_is_up_ends_a_training_and_counts_over_its_runs(tmp_path: Path) -> None:
    run = TrainingRun(seconds=1000.0, folder=tmp_path)
    run.started -= 400.0
    assert not run.out_of_time()
    assert run.share_done(1, 1_000_000) == pytest.approx(0.4, abs=0.01)
    run.save({"a": torch.zeros(1)}, {})
    later = TrainingRun(seconds=1000.0, folder=tmp_path)
    later.restored()
    assert later.spent_seconds() == pytest.approx(400.0, abs=5.0)
    later.started -= 600.0
    assert later.out_of_time()


def test_the_best_weights_are_kept_and_a_score_that_does_not_rise_ends_the_training(tmp_path: Path) -> None:
    run = TrainingRun(folder=tmp_path, patience=2)
    told = [run.judge(score, {"w": np.array([score])}) for score in (0.1, 0.5, 0.4, 0.3)]
    assert told == [True, True, True, False]
    run.save({}, {"n": 1})
    later = TrainingRun(folder=tmp_path, patience=2)
    assert later.restored() == ({}, {"n": 1})
    assert later.best_score == 0.5
    assert (later.best_weights or {})["w"].tolist() == [0.5]
    assert not later.judge(0.2, {"w": np.array([0.2])})


def test_an_early_end_is_told_and_stays_one(tmp_path: Path) -> None:
    run = TrainingRun(steps=100 * ROUND, settings=QUICK, folder=tmp_path, patience=1)
    file = train_ppo(family_tasks(5, 6), seed=0, run=run)
    steps = file.card.settings["environment_steps"]
    assert steps < 100 * ROUND
    again = TrainingRun(steps=100 * ROUND, settings=QUICK, folder=tmp_path, patience=1)
    assert train_ppo(family_tasks(5, 6), seed=0, run=again).card.settings["environment_steps"] == steps


def test_scalars_are_written_for_tensorboard(tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    run = TrainingRun(steps=2 * ROUND, settings=QUICK, folder=tmp_path)
    train_distral(family_tasks(5, 6), seed=0, run=run)
    run.close()
    events = EventAccumulator(str(tmp_path / TENSORBOARD)).Reload()
    named = {"environment_steps", "normalised_reward", "policy_loss", "value_loss", "entropy", "kl"}
    assert named <= set(events.Tags()["scalars"])
    assert [event.step for event in events.Scalars("kl")] == [ROUND, 2 * ROUND]


def test_without_a_folder_nothing_is_kept() -> None:
    run = TrainingRun()
    run.save({"a": torch.zeros(1)}, {})
    assert run.restored() is None
    assert not run.checkpoint_due()


@pytest.mark.parametrize("content", [b"", b"not safetensors", None])
def test_a_damaged_checkpoint_is_refused_by_name(tmp_path: Path, content: bytes | None) -> None:
    run = TrainingRun(folder=tmp_path)
    run.save({"a": torch.zeros(3)}, {})
    whole = (tmp_path / CHECKPOINT).read_bytes()
    (tmp_path / CHECKPOINT).write_bytes(whole[:-4] if content is None else content)
    with pytest.raises(BadInput, match=f"{CHECKPOINT}: is no checkpoint"):
        TrainingRun(folder=tmp_path).restored()


def test_a_checkpoint_of_another_network_is_refused(tmp_path: Path) -> None:
    train_ppo(family_tasks(2, 6), seed=0, run=TrainingRun(steps=10, settings=QUICK, folder=tmp_path))
    with pytest.raises(BadInput, match="of another network"):
        train_ppo(family_tasks(2, 7), seed=0, run=TrainingRun(steps=10, settings=QUICK, folder=tmp_path))


def test_a_checkpoint_holds_no_pickle(tmp_path: Path) -> None:
    train_ppo(family_tasks(5, 6), seed=0, run=TrainingRun(steps=10, settings=QUICK, folder=tmp_path))
    for name in (CHECKPOINT, BEST):
        content = (tmp_path / name).read_bytes()
        header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
        assert {one["dtype"] for key, one in header.items() if key != "__metadata__"} <= {"F32", "U8"}


def test_a_training_that_begins_with_a_policy_begins_with_its_weights() -> None:
    tasks = family_tasks(2, 6)
    first = train_distral(tasks, seed=0, run=TrainingRun(steps=100, settings=QUICK))
    run = TrainingRun(steps=100, settings={**QUICK, "learning_rate": 0.0}, warm_start=first)
    again = train_ppo(tasks, seed=5, run=run)
    for name, array in first.weights.items():
        np.testing.assert_array_equal(again.weights[name], array)
    with pytest.raises(BadInput, match="the policy by distral has other candidates"):
        train_ppo(family_tasks(2, 7), seed=0, run=TrainingRun(steps=1, settings=QUICK, warm_start=first))


def test_a_share_of_the_datasets_is_kept_out_where_there_are_four() -> None:
    three, four = family_tasks(3, 4), family_tasks(4, 4)
    assert split_tasks(three, seed=0) == (list(three), [])
    training, judging = split_tasks(four, seed=0)
    assert (len(training), len(judging)) == (3, 1)
    assert {task.dataset for task in training} & {task.dataset for task in judging} == set()


class LastFirst:
    """Chooses the last candidate that may be chosen."""

    name = "last first"

    def select(self, observation: Observation) -> int:
        return int(np.flatnonzero(observation.mask)[-1])


@settings(max_examples=8)
@given(st.integers(0, 20))
def test_the_score_is_that_of_replayed_searches(seed: int) -> None:
    tasks = family_tasks(2, 5, seed=seed)

    def last(search: BatchedSearch) -> IntArray:
        mask = search.mask()
        return np.where(mask.any(axis=1), mask.shape[1] - 1 - mask[:, ::-1].argmax(axis=1), 0)

    expected = []
    for task in tasks:
        told = replay(task, LastFirst())
        expected.append(speed(told.spent_seconds, told.share, task.exhaustive_seconds))
    assert Validation(tasks, candidates_of(tasks)).score(last) == pytest.approx(np.mean(expected))

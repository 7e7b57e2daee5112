from __future__ import annotations

import itertools
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lamps_core.errors import BadInput
from lamps_core.fingerprints import curves_fingerprint
from lamps_core.meta_dataset import read_tasks
from lamps_core.objectives import parse_objectives
from lamps_core.policies.loading import POLICIES, load_policy
from lamps_core.policy_training.batched_search import BatchedSearch
from lamps_core.policy_training.task_batch import candidates_of, stack
from lamps_core.replay import ReplayedSearch, replay, zero_shot_clock
from tests.meta_datasets import (
    curve_rows,
    family_rows,
    made_task,
    with_energy,
    write_failures,
    write_file,
    write_meta_dataset,
)

if TYPE_CHECKING:
    from pathlib import Path

    from lamps_core.policies.protocol import Observation, Policy
    from lamps_core.task import Task

OBJECTIVES = parse_objectives()


def brute_hypervolume(points: np.ndarray, reference: np.ndarray) -> float:
    """Two objectives: the sum of the steps of a staircase."""
    total, ceiling = 0.0, float(reference[1])
    for first, second in sorted(map(tuple, points)):
        if second < ceiling and first < reference[0]:
            total += (reference[0] - first) * (ceiling - second)
            ceiling = second
    return total


def test_what_is_spent_and_reached_is_counted_by_hand(tmp_path: Path) -> None:
    write_meta_dataset(
        tmp_path,
        [
            *curve_rows("d", "a", losses=[2.0, 1.0, 0.8], train=[0.0, 1.0, 1.0], step=[0.5, 2.0, 2.0]),
            *curve_rows("d", "b", losses=[2.0, 0.5, 0.2], train=[0.0, 10.0, 10.0], step=[1.5, 20.0, 20.0]),
            *curve_rows("d", "c", losses=[2.0, 1.9, 1.8], train=[0.0, 20.0, 20.0], step=[1.0, 30.0, 30.0]),
        ],
    )
    (task,) = read_tasks(tmp_path, OBJECTIVES)
    assert task.candidates == ("a", "b", "c")
    assert task.final.tolist() == [[0.8, 2.0], [0.2, 20.0], [1.8, 40.0]]
    assert task.reference.tolist() == pytest.approx([1.8 + 0.16, 40.0 + 3.8])
    assert task.on_front.tolist() == [True, True, False]
    assert task.exhaustive_seconds == 3.0 + 4.0 + 40.0 + 60.0
    told = replay(task, load_policy("cheapest"))  # a, then b
    whole = brute_hypervolume(task.final, task.reference)
    first = brute_hypervolume(task.final[[0]], task.reference)
    assert told.share[0] == 0.0
    assert told.share[1] == pytest.approx(first / whole)
    assert told.spent_seconds.tolist() == [3.0, 7.0, 47.0]
    assert told.share[-1] == pytest.approx(1.0)
    assert told.seconds_to(0.0) == 3.0
    assert told.seconds_to(1.0) == told.spent_seconds[-1]


@given(made_task(), st.sampled_from(["cheapest", "zigzag", "blind"]))
def test_every_policy_ends_with_all_of_the_hypervolume_and_at_most_the_exhaustive_cost(
    task: Task, name: str
) -> None:
    told = replay(task, load_policy(name))
    assert told.share[-1] == pytest.approx(1.0)
    assert (np.diff(told.share) > -1e-12).all()
    assert (np.diff(told.spent_seconds) >= 0).all()
    assert told.total_seconds <= task.exhaustive_seconds * (1 + 1e-9)
    assert told.spent_seconds[0] == pytest.approx(task.zero_shot_seconds)


@dataclass
class Watched:
    """A policy that keeps what it was shown and what it chose."""

    policy: Policy
    seen: list[tuple[Observation, int]] = field(default_factory=list)

    @property
    def name(self) -> str:
        return self.policy.name

    def select(self, observation: Observation) -> int:
        chosen = self.policy.select(observation)
        self.seen.append((observation, chosen))
        return chosen


@given(made_task(), st.sampled_from(list(POLICIES)))
def test_one_device_is_one_step_after_another_to_the_last_bit(task: Task, name: str) -> None:
    policy = load_policy(name, objectives=task.objectives)
    told, search = replay(task, policy), ReplayedSearch(task)
    assert told.spent_seconds[0] == task.zero_shot_seconds
    clock = [search.spent_seconds]
    for _ in range(told.steps):
        search.step(policy.select(search.observation()))
        clock.append(search.spent_seconds)
    assert set(told.spent_seconds.tolist()) <= set(clock)
    assert told.total_seconds == clock[-1]


@given(made_task(), st.sampled_from(list(POLICIES)), st.integers(2, 9))
def test_with_many_devices_no_candidate_runs_twice_at_once_and_no_device_waits(
    task: Task, name: str, devices: int
) -> None:
    policy = Watched(load_policy(name, objectives=task.objectives))
    told = replay(task, policy, devices=devices)
    assert told.share[-1] == pytest.approx(1.0)
    assert (np.diff(told.spent_seconds) >= 0).all()
    for observation, chosen in policy.seen:
        assert not (observation.mask & observation.pending).any()
        assert not (observation.complete & observation.pending).any()
        assert observation.pending.sum() < devices
        assert observation.mask[chosen]
    # Nobody is asked while a device is busy with what another could do: each asking but the last of a moment is
    # followed by one that sees the step it began.
    for (before, chosen), (after, _) in itertools.pairwise(policy.seen):
        if before.steps.tolist() == after.steps.tolist():
            assert after.pending[chosen]
            assert after.decision == before.decision + 1


@given(made_task(), st.integers(1, 9))
def test_no_number_of_devices_is_sooner_than_the_longest_curve_that_is_needed(
    task: Task, devices: int
) -> None:
    told = replay(task, load_policy("cheapest"), devices=devices)
    start = zero_shot_clock(task, devices)
    assert start <= task.zero_shot_seconds * (1 + 1e-12)
    assert start >= task.zero_shot_seconds / devices * (1 - 1e-12)
    front = task.on_front
    alone = [i for i in np.flatnonzero(front) if (task.final[front] == task.final[i]).all(axis=1).sum() == 1]
    if told.share[0] < 1.0 and alone:
        assert told.spent_seconds[-1] >= (start + task.curve_seconds[alone].max()) * (1 - 1e-12)


def test_the_clock_of_two_devices_is_counted_by_hand(tmp_path: Path) -> None:
    write_meta_dataset(
        tmp_path,
        [
            *curve_rows("d", "a", losses=[2.0, 1.0, 0.8], train=[0.0, 1.0, 1.0], step=[0.5, 2.0, 2.0]),
            *curve_rows("d", "b", losses=[2.0, 0.5, 0.2], train=[0.0, 10.0, 10.0], step=[1.5, 20.0, 20.0]),
            *curve_rows("d", "c", losses=[2.0, 1.9, 1.8], train=[0.0, 20.0, 20.0], step=[1.0, 30.0, 30.0]),
        ],
    )
    (task,) = read_tasks(tmp_path, OBJECTIVES)
    told = replay(task, load_policy("cheapest"), devices=2)
    # Evaluated: a and then c on one device, b on the other, both until 1.5. Then a to 3.5 and 5.5 beside b to 21.5
    # and 41.5; where a was, c begins at 5.5 and would be done at 65.5.
    assert told.spent_seconds.tolist() == [1.5, 5.5, 41.5]
    assert told.share[-1] == pytest.approx(1.0)
    assert (told.steps, told.total_seconds) == (5, 3.0 + 4.0 + 40.0 + 30.0)
    assert replay(task, load_policy("cheapest"), devices=3).spent_seconds.tolist() == [1.5, 5.5, 41.5]


@given(st.lists(made_task(), min_size=1, max_size=4), st.data())
def test_hundreds_of_searches_at_once_are_as_many_single_ones(tasks: list[Task], data: st.DataObject) -> None:
    batch = stack(tasks)
    place = [[candidates_of(tasks).index(name) for name in task.candidates] for task in tasks]
    which = np.array(data.draw(st.lists(st.integers(0, len(tasks) - 1), min_size=1, max_size=5)))
    together = BatchedSearch(batch, len(which))
    together.restart(np.arange(len(which)), which)
    singles = [ReplayedSearch(tasks[index]) for index in which]
    generator = np.random.default_rng(data.draw(st.integers(0, 99)))
    while True:
        mask = together.mask()
        for single, index, seen in zip(singles, which, mask, strict=True):
            assert seen[place[index]].tolist() == single.mask.tolist()
            assert seen.sum() == single.mask.sum()  # what a task lacks can never be chosen
        if not mask.any(axis=1).all():
            break
        chosen = np.array([generator.choice(np.flatnonzero(seen)) for seen in mask])
        together.step(chosen)
        for search, (single, index) in enumerate(zip(singles, which, strict=True)):
            single.step(place[index].index(chosen[search]))
            assert together.spent_seconds[search] == pytest.approx(single.spent_seconds)
            assert together.complete[search][place[index]].tolist() == single.complete.tolist()
            observed = single.observation()
            np.testing.assert_array_equal(together.values()[search][place[index]], observed.objectives)
            left = tasks[index].on_front & ~single.complete
            assert together.left[search] == left.sum()


def test_a_growing_cost_past_its_bound_ends_a_candidate(tmp_path: Path) -> None:
    write_meta_dataset(
        tmp_path,
        [
            *curve_rows("d", "a", losses=[2.0, 1.0, 0.8], train=[0.0, 1.0, 1.0]),
            *curve_rows("d", "b", losses=[2.0, 1.0, 0.2], train=[0.0, 9.0, 9.0]),
            *curve_rows("d", "c", losses=[2.0, 1.0, 0.9], train=[0.0, 0.5, 1.0]),
        ],
    )
    (task,) = read_tasks(tmp_path, parse_objectives(bounds=["train_seconds=5"]))
    assert task.playable_rows.tolist() == [3, 2, 3]
    assert task.on_front.tolist() == [True, False, True]
    search = ReplayedSearch(task)
    search.step(1)
    assert search.mask.tolist() == [True, False, True]
    assert stack([task]).rows.tolist() == [[3, 2, 3]]


def test_a_curve_that_never_completes_costs_and_gains_nothing(tmp_path: Path) -> None:
    write_meta_dataset(
        tmp_path,
        [
            *curve_rows("d", "a", losses=[2.0, 1.0, 0.8], train=[0.0, 1.0, 1.0]),
            *curve_rows("d", "b", losses=[2.0, 0.1, 0.01], train=[0.0, 1.0, 1.0], complete=False),
            *curve_rows("d", "c", losses=[2.0, 1.0, 0.9], train=[0.0, 0.5, 1.0]),
        ],
    )
    (task,) = read_tasks(tmp_path, OBJECTIVES)
    assert task.on_front.tolist() == [True, False, True]
    assert np.isnan(task.final[1]).all()
    told = replay(task, load_policy("zigzag"))
    assert told.share[-1] == pytest.approx(1.0)


def test_an_epoch_of_a_curve_that_broke_off_costs_what_all_rows_would(tmp_path: Path) -> None:
    rows = []
    for model, operations, seen in (
        ("a", 3.0, (0, 2, 4, 8, 8)),
        ("b", 5.0, (0, 2, 4, 8)),
        ("c", 50.0, (0, 2)),
    ):
        whole = len(seen) == 5 or model == "b"
        curve = curve_rows("d", model, losses=[2.0, 1.0, 0.9, 0.8, 0.7][: len(seen)], complete=whole)
        rows += [
            row | {"train_rows": count, "train_flops": operations * count}
            for row, count in zip(curve, seen, strict=True)
        ]
    (task,) = read_tasks(write_meta_dataset(tmp_path / "known", rows), OBJECTIVES)
    assert task.epoch_cost.tolist() == [24.0, 40.0, 400.0]
    unknown = [row | {"train_rows": None} for row in rows]
    (task,) = read_tasks(write_meta_dataset(tmp_path / "unknown", unknown), OBJECTIVES)
    assert task.epoch_cost.tolist() == task.parameters.tolist()


@pytest.mark.parametrize(
    ("rows", "objectives", "said"),
    [
        (curve_rows("d", "a", losses=[2.0, 1.0], complete=False), OBJECTIVES, "no curve is complete"),
        (
            curve_rows("d", "a", losses=[2.0, 1.0]),
            OBJECTIVES,
            "one complete candidate spans no hypervolume: complete others",
        ),
        (
            curve_rows("d", "a", losses=[2.0, 1.0], train=[0.0, 0.0])
            + curve_rows("d", "b", losses=[2.0, 0.9], train=[0.0, 0.0]),
            OBJECTIVES,
            r"its 2 complete candidates span no hypervolume \(all have train_seconds 0\)",
        ),
        (
            curve_rows("d", "a", losses=[2.0, 1.0]),
            parse_objectives(bounds=["test_loss=0.1"]),
            r"no complete candidate is within the bounds \(test_loss=0.1\): widen them",
        ),
        (
            curve_rows("d", "a", losses=[2.0, 1.0]),
            parse_objectives("test_loss,accuracy"),
            "model 'a', step 1: accuracy is null",
        ),
        (
            curve_rows("d", "a", losses=[2.0, 1.0])
            + curve_rows("d", "b", losses=[2.0, 1.0], source="measured"),
            OBJECTIVES,
            "measured and simulated",
        ),
    ],
)
def test_curves_that_cannot_be_searched_are_refused_by_name(
    tmp_path: Path, rows: list[dict[str, object]], objectives: tuple[object, ...], said: str
) -> None:
    write_meta_dataset(tmp_path, rows)
    with pytest.raises(BadInput, match=said):
        read_tasks(tmp_path, objectives)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("seen", "landmarks"),
    [
        ((0, 2, 4, 8, 8), 3),
        ((None, 8, 8, 8, 8), 1),
        ((0, None, 4, 8, 8), 8),  # as by default where rows are unknown
    ],
)
def test_a_replay_tells_after_which_step_each_is_an_epoch_as_a_search_does(
    tmp_path: Path, seen: tuple[int | None, ...], landmarks: int
) -> None:
    rows = [
        row | {"train_rows": count}
        for model, end in (("a", 0.7), ("b", 0.6))
        for row, count in zip(curve_rows("d", model, losses=[2.0, 1.0, 0.9, 0.8, end]), seen, strict=True)
    ]
    rows += [
        row | {"train_rows": row["step"]} for row in curve_rows("d", "c", losses=[2.0, 1.0], complete=False)
    ]
    (task,) = read_tasks(
        write_meta_dataset(tmp_path, rows), parse_objectives(bounds=["test_loss=3", "train_seconds=1e9"])
    )
    assert ReplayedSearch(task).observation().landmarks == landmarks


@pytest.mark.parametrize(
    ("thin", "bounds", "said"),
    [
        (
            curve_rows("thin", "a", losses=[2.0, 1.0], complete=False),
            [],
            "no curve is complete: at least two",
        ),
        (curve_rows("thin", "a", losses=[2.0, 1.0]), [], "one complete candidate spans no hypervolume"),
        (
            curve_rows("thin", "a", losses=[9.0, 8.0]),
            ["test_loss=3"],
            "no complete candidate is within the bounds (test_loss=3): widen them",
        ),
    ],
)
def test_a_dataset_or_a_seed_with_nothing_to_search_is_left_out_aloud_where_there_are_others(
    tmp_path: Path, thin: list[dict[str, Any]], bounds: list[str], said: str
) -> None:
    rows = family_rows(2, 4)
    another_seed = [row | {"dataset": "dataset-0", "seed": 1} for row in thin]
    write_meta_dataset(tmp_path, rows + thin + another_seed)
    notices: list[str] = []
    found = read_tasks(tmp_path, parse_objectives(bounds=bounds), left_out=notices.append)
    assert [(task.dataset, task.seed) for task in found] == [("dataset-0", 0), ("dataset-1", 0)]
    assert [notice.partition(said)[0] for notice in notices] == [
        "dataset 'dataset-0', seed 1 is left out: ",
        "dataset 'thin', seed 0 is left out: ",
    ]
    whole = read_tasks(write_meta_dataset(tmp_path / "whole", rows), parse_objectives(bounds=bounds))
    assert curves_fingerprint(found) == curves_fingerprint(whole)


def test_a_dataset_with_nothing_to_search_may_mix_no_sources_either(tmp_path: Path) -> None:
    mixed = curve_rows("thin", "a", losses=[2.0], complete=False)
    mixed += curve_rows("thin", "b", losses=[2.0], complete=False, source="measured")
    with pytest.raises(BadInput, match="dataset 'thin', seed 0: holds measured and simulated curves"):
        read_tasks(write_meta_dataset(tmp_path, family_rows(1, 4) + mixed), OBJECTIVES)


@pytest.mark.parametrize(
    ("objective", "said"),
    [
        ("cpu_seconds", "step 0: cpu_seconds is null, and an objective that is summed over a complete curve"),
        ("peak_memory_bytes", "step 0: peak_memory_bytes is null, and an objective that is the most over a"),
        ("accuracy", "step 2: accuracy is null in a complete row, and an objective"),
    ],
)
def test_the_step_at_which_an_objective_is_null_is_named(tmp_path: Path, objective: str, said: str) -> None:
    rows = curve_rows("d", "a", losses=[2.0, 1.5, 1.0]) + curve_rows("d", "b", losses=[2.0, 1.0, 0.9])
    null_at = 2 if objective == "accuracy" else 0
    told = [{**row, objective: None if row["step"] == null_at else 7} for row in rows]
    with pytest.raises(BadInput, match=f"model 'a', {said}"):
        read_tasks(write_meta_dataset(tmp_path, told), parse_objectives(f"test_loss,{objective}"))


ENERGY = parse_objectives("test_loss,energy_joules", recorded=True)


def test_a_number_that_is_in_no_schema_is_an_objective(tmp_path: Path) -> None:
    rows = with_energy(family_rows(1, 4))
    (task,) = read_tasks(write_file(tmp_path / "curves.parquet", rows), ENERGY)
    ends = [row["energy_joules"] for row in rows if row["complete"]]
    assert task.final[:, 1].tolist() == ends
    without = write_meta_dataset(tmp_path / "without", family_rows(1, 4))
    (other,) = read_tasks(without, OBJECTIVES)
    assert curves_fingerprint([task]) != curves_fingerprint([other])


def test_a_file_without_the_number_has_nulls_of_it(tmp_path: Path) -> None:
    write_file(tmp_path / "a.parquet", with_energy(family_rows(1, 4)))
    write_file(tmp_path / "b.parquet", curve_rows("other", "a", losses=[2.0, 1.0]))
    with pytest.raises(BadInput, match=r"dataset 'other'.*step 1: energy_joules is null in a complete row"):
        read_tasks(tmp_path, ENERGY)


@pytest.mark.parametrize(
    ("word", "said"),
    [
        (
            "speed",
            "'speed' cannot be an objective (did you mean eval_rows_per_second?): choose from test_loss,",
        ),
        (
            "Energy-Joules",
            "'Energy-Joules' cannot be an objective (did you mean energy_joules?): choose from",
        ),
        ("city", "'city' cannot be an objective: choose from"),
    ],
)
def test_a_word_that_is_no_number_of_the_curves_is_refused_with_those_that_are(
    tmp_path: Path, word: str, said: str
) -> None:
    write_file(tmp_path / "a.parquet", [row | {"city": None} for row in with_energy(family_rows(1, 4))])
    with pytest.raises(BadInput) as refused:
        read_tasks(tmp_path, parse_objectives(word, recorded=True))
    assert str(refused.value).startswith(said)
    assert str(refused.value).endswith("gpus, dollars, energy_joules")


@pytest.mark.parametrize("failed", [True, False])
def test_a_place_without_a_curve_is_refused_by_its_name(tmp_path: Path, failed: bool) -> None:
    write_failures(tmp_path, ["a", "b"] if failed else [])
    with pytest.raises(BadInput, match=rf"{tmp_path}: holds no curve: every row is of status failed"):
        read_tasks(tmp_path, OBJECTIVES)

"""Curves of kinds that somebody made up who knew none of ours."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import pytest

from benchmarks import universal
from benchmarks.curve_kinds import write_datasets
from benchmarks.foreign_curves import KINDS, LEFT_OUT, power_laws
from benchmarks.foreign_paper_curves import paper_models
from lamps_core.meta_dataset import read_tasks
from lamps_core.objectives import parse_objectives
from lamps_core.registry import registered_models

if TYPE_CHECKING:
    from pathlib import Path


class Draw(NamedTuple):
    """What the writer's own program drew, added up over all rows."""

    datasets: int
    candidates: int
    rows: int
    losses: float
    train_seconds: float
    step_seconds: float


WRITERS = {
    "power-laws": Draw(5, 30, 3369, 3540.4648302766227, 5284532.869086488, 5990470.1067952225),
    "families": Draw(4, 70, 5431, 6384.121509052277, 1011039.098779346, 1216481.7652310182),
    "late-learners": Draw(5, 30, 3340, 5086.212931715719, 5921390.132, 6677936.987833333),
    "long-fronts": Draw(4, 70, 5695, 10858.411906108633, 6278340.976638536, 7131615.137256702),
    "paper-like": Draw(4, 70, 6338, 9300.456906254602, 1816264.486710954, 2152816.8498420725),
    "sizeless": Draw(6, 30, 3691, 4140.202360923356, 107298.40815050194, 144940.06334430384),
    "few-rows": Draw(4, 70, 4814, 4139.996287108314, 83648.14052, 120294.09751004566),
}


def written(kind: str, folder: Path, seed: int) -> dict[str, bytes]:
    write_datasets(KINDS[kind](seed), folder)
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.parametrize("kind", KINDS)
def test_without_a_seed_a_kind_is_what_its_writer_drew(kind: str) -> None:
    rows = [row for dataset in KINDS[kind](0) for row in dataset]
    names = {row["dataset"] for row in rows}
    assert not names & LEFT_OUT
    counts = (len(names), len({row["model"] for row in rows}), len(rows))
    assert counts == WRITERS[kind][:3]
    sums = [
        math.fsum(row[column] for row in rows) for column in ("test_loss", "train_seconds", "step_seconds")
    ]
    assert sums == pytest.approx(WRITERS[kind][3:], rel=1e-9)


@pytest.mark.parametrize("kind", KINDS)
def test_curves_are_whole_and_the_same_for_a_seed_alone(kind: str, tmp_path: Path) -> None:
    first = written(kind, tmp_path / "first", 4)
    assert written(kind, tmp_path / "again", 4) == first
    other = written(kind, tmp_path / "other", 5)
    assert other.keys() == first.keys()
    assert all(other[name] != first[name] for name in first)
    tasks = read_tasks(tmp_path / "first", parse_objectives())
    assert len(tasks) == WRITERS[kind].datasets
    for task in tasks:
        assert len(set(task.candidates)) == WRITERS[kind].candidates
        assert task.complete.all()
        assert 1 <= task.on_front.sum() < WRITERS[kind].candidates


def test_two_models_of_a_maker_that_are_of_one_size_have_names_of_their_own() -> None:
    rows = next(power_laws(9))
    assert sum(row["complete"] for row in rows) == len({row["model"] for row in rows}) == 30


def test_sizes_of_the_papers_models_are_about_those_of_the_registry() -> None:
    for model in paper_models():
        if model.family not in {"LUKE", "Llama"}:
            assert model.parameters == pytest.approx(registered_models()[model.name].parameters, rel=0.1)


def test_universal_takes_every_kind_by_its_name() -> None:
    assert universal.KINDS.keys() >= KINDS.keys()
    tasks = universal.curves_of("sizeless", 0)
    assert [task.dataset for task in tasks] == sorted(rows[0]["dataset"] for rows in KINDS["sizeless"](0))

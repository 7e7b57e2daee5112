"""What tells one meta-dataset from another."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import numpy as np
import pytest

from lamps_core.fingerprints import curves_fingerprint, objectives_fingerprint
from tests.meta_datasets import family_tasks

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from lamps_core.task import Task

TASKS = family_tasks(2, 4)
ARRAYS = [
    one.name for one in dataclasses.fields(TASKS[0]) if isinstance(getattr(TASKS[0], one.name), np.ndarray)
]


def changed(name: str) -> list[Task]:
    """The tasks, the last number of one array of the first another."""
    array = getattr(TASKS[0], name).copy()
    array[(-1,) * array.ndim] = 1 - array[(-1,) * array.ndim]
    return [dataclasses.replace(TASKS[0], **{name: array}), *TASKS[1:]]


@pytest.mark.parametrize("name", ARRAYS)
def test_that_of_the_curves_changes_with_every_array_of_a_task(name: str) -> None:
    assert curves_fingerprint(changed(name)) != curves_fingerprint(TASKS)


@pytest.mark.parametrize("name", ARRAYS)
def test_that_of_the_objectives_is_of_what_is_known_along_the_curves_alone(name: str) -> None:
    of_curves = name not in {"losses", "parameters", "epoch_cost"}
    assert (objectives_fingerprint(changed(name)) != objectives_fingerprint(TASKS)) == of_curves


@pytest.mark.parametrize("fingerprint", [curves_fingerprint, objectives_fingerprint])
def test_the_order_of_the_tasks_says_nothing_and_their_names_do(
    fingerprint: Callable[[Sequence[Task]], str],
) -> None:
    assert fingerprint(TASKS[::-1]) == fingerprint(TASKS)
    assert fingerprint([dataclasses.replace(TASKS[0], dataset="other"), *TASKS[1:]]) != fingerprint(TASKS)


def test_a_number_that_is_not_known_is_not_0() -> None:
    losses = np.where(np.arange(TASKS[0].losses.shape[1]) == 0, np.nan, TASKS[0].losses)
    unknown, nothing = (dataclasses.replace(TASKS[0], losses=one) for one in (losses, np.nan_to_num(losses)))
    assert curves_fingerprint([unknown]) != curves_fingerprint([nothing])

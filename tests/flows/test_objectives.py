"""Objectives, bounds and the price of a GPU hour mean the same to every flow that takes them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from flows.evaluate import evaluation_request
from flows.search import search_request
from flows.train_policy import training_request
from lamps_core.errors import BadInput
from lamps_core.objectives import parse_objectives

if TYPE_CHECKING:
    from collections.abc import Callable

NEEDED: dict[Callable[..., Any], dict[str, Any]] = {
    search_request: {"dataset": "reviews.csv", "input_col": "text", "target_col": "label", "out": "out"},
    evaluation_request: {"curves": "curves", "out": "out"},
    training_request: {"curves": "curves", "out": "out"},
}


@pytest.mark.parametrize("request_of", list(NEEDED), ids=lambda one: one.__name__)
def test_a_flow_takes_objectives_with_bounds_in_natural_units_and_dollars_at_its_price(
    request_of: Callable[..., Any],
) -> None:
    asked = request_of(
        **NEEDED[request_of],
        objectives="accuracy,dollars,peak_memory_bytes",
        bounds=" accuracy=0.9, dollars=5,",
        gpu_hour_price=2.0,
    )
    bounds = ["accuracy=0.9", "dollars=5"]
    wanted = parse_objectives("accuracy,dollars,peak_memory_bytes", bounds=bounds, gpu_hour_price=2.0)
    assert asked.objectives == wanted


def test_a_search_takes_no_objective_that_its_steps_do_not_measure() -> None:
    with pytest.raises(BadInput, match=r"'memory' cannot be an objective .did you mean peak_memory_bytes"):
        search_request(**NEEDED[search_request], objectives="memory")

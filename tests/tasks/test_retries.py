"""What Prefect is told to try again."""

from __future__ import annotations

import pytest
from prefect import task

from lamps_core.errors import (
    BadInput,
    BudgetSpent,
    CandidateFailed,
    HubFailed,
    Interrupted,
    LampsError,
    WorkerDied,
)
from tasks.retries import RETRIED, retries_after


@pytest.mark.parametrize(
    ("error", "tries"),
    [
        (WorkerDied("killed by SIGKILL"), 3),
        (HubFailed("the hub answered 503"), 10),
        (OSError("Input/output error"), 3),
        (RuntimeError("anything else"), 3),
        (CandidateFailed("cannot be loaded"), 1),
        (BudgetSpent("the budget ran out"), 1),
        (Interrupted("the run is being shut down"), 1),
        (BadInput("no such column"), 1),
        (LampsError("anything of ours"), 1),
    ],
)
def test_only_what_may_go_well_the_next_time_is_tried_again(
    on_the_server: None, error: Exception, tries: int
) -> None:
    tried = []

    @task(**RETRIED | {"retry_delay_seconds": 0})
    def fails() -> None:
        tried.append(error)
        raise error

    with pytest.raises(type(error)):
        fails()
    assert len(tried) == tries == retries_after(error) + 1

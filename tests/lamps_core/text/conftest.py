from __future__ import annotations

import pytest

from lamps_core.text import dataset


@pytest.fixture(autouse=True)
def few_measured(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """No split is called small here, unless a test is about that."""
    if "few_rows_noted" not in request.fixturenames:
        monkeypatch.setattr(dataset, "FEW_MEASURED", 0)


@pytest.fixture
def few_rows_noted() -> None:
    """A test that has this is told of small splits, as users are."""

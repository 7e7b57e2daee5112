from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.prefect_server import prefect_url
from tests.warm_lamps import WarmLamps

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["prefect_url"]


@pytest.fixture(scope="session")
def warm_lamps() -> Iterator[WarmLamps]:
    with WarmLamps(fork_server=True) as warm:
        yield warm

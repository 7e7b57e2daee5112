"""What tests share that run flows and tasks in this process."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from prefect.settings import PREFECT_API_URL, PREFECT_HOME, temporary_settings

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="module")
def on_the_server(prefect_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """This process is a client of the server, with a home of its own."""
    home = tmp_path_factory.mktemp("prefect-client")
    with temporary_settings({PREFECT_API_URL: prefect_url, PREFECT_HOME: home}):
        yield

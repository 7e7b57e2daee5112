from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from prefect.settings import PREFECT_API_URL, PREFECT_HOME, temporary_settings

from tests.prefect_server import prefect_url

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["prefect_url"]


@pytest.fixture(scope="module")
def on_the_server(prefect_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """This process is a client of the server, with a home of its own."""
    home = tmp_path_factory.mktemp("prefect-client")
    with temporary_settings({PREFECT_API_URL: prefect_url, PREFECT_HOME: home}):
        yield

from __future__ import annotations

from tests.prefect_client import on_the_server
from tests.prefect_server import prefect_url

__all__ = ["on_the_server", "prefect_url"]

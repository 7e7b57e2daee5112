from __future__ import annotations

from tests.prefect_server import prefect_url

__all__ = ["prefect_url"]

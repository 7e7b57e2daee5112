from __future__ import annotations

from tests.prefect_server import prefect_url as prefect_url

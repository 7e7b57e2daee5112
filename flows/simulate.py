"""The simulate flow: simulated learning curves, as `lamps simulate` writes them.

The flow's parameters are the form a person fills in in the Prefect UI, so they are flat and described.
"""

from __future__ import annotations

from typing import Any

from prefect import flow

from lamps_core.simulation import curves
from lamps_core.storage import given_path


@flow(name="simulate", flow_run_name="simulate {out}", persist_result=False)
def simulate(out: str, seed: int = 0) -> dict[str, Any]:
    """Write simulated curves of the paper's 70 candidates on its nine datasets; nothing in them is measured.

    Args:
        out: Folder for the curves, new or empty; an absolute path.
        seed: Of all chance: the same seed, the same curves.

    Returns:
        Where the curves are, and how many of what.

    Raises:
        BadInput: the folder holds something or cannot be made, or the seed is none.
        StorageFailed: it cannot be written.
    """
    return curves.simulate(given_path(out, "--out", "runs/simulated"), seed=seed)

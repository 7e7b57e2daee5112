"""Secrets of a run, read from Prefect when they are needed: the hub token, for gated models.

The name of a Secret block travels to whoever runs a step, its value never does: each process reads it for itself,
once a flow run, and keeps it in its environment only.
"""

from __future__ import annotations

import os
import threading

from lamps_core.errors import BadInput

DEFAULT_BLOCK = "hf-token"
VARIABLE = "HF_TOKEN"

# (block, flow run) -> what it holds, None where there is none.
_read: dict[tuple[str, str | None], str | None] = {}
_reading = threading.Lock()


def choose_hub_token(block: str | None) -> str | None:
    """Find the block that a flow run's steps take the hub token from, and use it in this process, too.

    Args:
        block: its name; None takes `hf-token` if there is such a block.

    Returns:
        The block's name; None where there is none.

    Raises:
        BadInput: a named block is not there.
    """
    chosen = block or DEFAULT_BLOCK
    if _value_of(chosen) is None:
        if block:
            raise BadInput(
                f"there is no Prefect Secret block {block}: make it with "
                f"Secret(value=...).save({block!r}), or leave it out and set {VARIABLE}"
            )
        return None
    use_hub_token(chosen)
    return chosen


def use_hub_token(block: str | None) -> None:
    """Set `HF_TOKEN` for this process and those it starts, unless its environment came with one.

    Args:
        block: as `choose_hub_token` gave it; None takes away what an earlier run's block put there.
    """
    now = os.environ.get(VARIABLE)
    if now and now not in _read.values():
        return
    token = _value_of(block) if block else None
    if token is not None:
        os.environ[VARIABLE] = token
    elif now:
        del os.environ[VARIABLE]


def _value_of(block: str) -> str | None:
    """What a Secret block holds, asked of the server once a flow run."""
    from prefect.blocks.system import Secret
    from prefect.runtime import flow_run

    with _reading:
        key = (block, flow_run.id)
        if key not in _read:
            try:
                _read[key] = str(Secret.load(block, _sync=True).get())
            except ValueError:  # there is none of this name
                _read[key] = None
        return _read[key]

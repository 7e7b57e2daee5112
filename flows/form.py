"""What the parameters of all flows share: a flow's signature is the form that a person fills in in the Prefect UI.

Prefect takes the words beside each field from the flow's docstring, and checks what was typed against the types.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

Positive = Annotated[int, Field(ge=1)]
Price = Annotated[float, Field(gt=0)]


def comma_separated(text: str | None) -> tuple[str, ...]:
    """What stands between the commas of a field; a cleared field is an empty text."""
    return tuple(part.strip() for part in (text or "").split(",") if part.strip())

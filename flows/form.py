"""What the parameters of all flows share: a flow's signature is the form that a person fills in in the Prefect UI.

Prefect takes the words beside each field from the flow's docstring, and checks what was typed against the types.
"""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field

if TYPE_CHECKING:
    from collections.abc import Mapping

    from prefect import Flow

Positive = Annotated[int, Field(ge=1)]
Price = Annotated[float, Field(gt=0)]

# Fields of every form that fine-tunes, as `FineTuningSettings` calls them.
FINE_TUNING = (
    "seed",
    "learning_rate",
    "batch_size",
    "landmarks",
    "patience",
    "max_epochs",
    "max_length",
    "precision",
)


def comma_separated(text: str | None) -> tuple[str, ...]:
    """What stands between the commas of a field; a cleared field is an empty text."""
    return tuple(part.strip() for part in (text or "").split(",") if part.strip())


def defaults_of(flow: Flow[..., Any]) -> dict[str, Any]:
    """What a flow takes for each parameter that may be left out."""
    parameters = inspect.signature(flow.fn).parameters.values()
    return {one.name: one.default for one in parameters if one.default is not one.empty}


def filled_in(flow: Flow[..., Any], typed: Mapping[str, Any]) -> dict[str, Any]:
    """A form's parameters; a field that was cleared, an empty text, means what it would if it were left out.

    Args:
        flow: of the form.
        typed: its parameters.
    """
    defaults = defaults_of(flow)
    return {name: defaults.get(name, value) if value == "" else value for name, value in typed.items()}

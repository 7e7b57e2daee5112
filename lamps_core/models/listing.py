"""The models that have names of their own: those of the registry and of the zoo, as rows.

Whether the hub gives one and whether it fits this machine is asked by `check_models` alone (`availability`).
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from lamps_core.errors import BadInput
from lamps_core.quantities import UNKNOWN
from lamps_core.registry import registered_models

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lamps_core.models.availability import Availability


MODEL_COLUMNS = ("name", "family", "parameters", "languages", "licence", "gated")
CHECK_COLUMNS = ("", "name", "hub", "this machine")


@dataclass(frozen=True)
class ModelRow:
    """A model as it is listed.

    Attributes:
        name: hub id or zoo name.
        family: as the paper groups it; the architecture of a zoo candidate.
        parameters: None for a zoo candidate that cannot be built here.
        languages: none for the zoo, whose weights are random.
        licence: as the hub names it.
        gated: whether its licence must be accepted on the hub first.
        zoo: whether it needs no hub.
    """

    name: str
    family: str
    parameters: int | None
    languages: tuple[str, ...]
    licence: str
    gated: bool
    zoo: bool

    def as_dict(self) -> dict[str, Any]:
        """The row as plain data."""
        return dataclasses.asdict(self)

    def cells(self) -> tuple[str, ...]:
        """The row in words: a cell for each of `MODEL_COLUMNS`."""
        return (
            self.name,
            self.family,
            UNKNOWN if self.parameters is None else f"{self.parameters:,}",
            ", ".join(self.languages) or UNKNOWN,
            self.licence,
            "gated" if self.gated else "",
        )


@dataclass(frozen=True)
class CheckedModel:
    """A model as it is listed, and what was found of it.

    Attributes:
        model: as listed.
        hub: whether the hub gives it to this user.
        fit: whether it fits this machine.
    """

    model: ModelRow
    hub: Availability
    fit: Availability

    @property
    def usable(self) -> bool | None:
        """Whether it can be fine-tuned here; None where that is not known."""
        answers = (self.hub.ok, self.fit.ok)
        return False if False in answers else None if None in answers else True

    def as_dict(self) -> dict[str, Any]:
        """The row as plain data, with both answers."""
        answers = {"hub": dataclasses.asdict(self.hub), "fit": dataclasses.asdict(self.fit)}
        return self.model.as_dict() | answers

    def cells(self) -> tuple[str, ...]:
        """The row in words: a cell for each of `CHECK_COLUMNS`, the first whether it can be used."""
        usable = {True: "ok", False: "no", None: "?"}[self.usable]
        return (usable, self.model.name, self.hub.found, self.fit.found)


def listed_models() -> list[ModelRow]:
    """The models of the registry, then the zoo, which is built where it is not yet."""
    rows = [
        ModelRow(
            model.id, model.family, model.parameters, model.languages, model.licence, model.gated, zoo=False
        )
        for model in registered_models().values()
    ]
    return [*rows, *_zoo_rows()]


def check_models(rows: Sequence[ModelRow]) -> list[CheckedModel]:
    """Ask the hub for each, for seconds at most, and whether it fits this machine."""
    from lamps_core.host.devices import devices_here
    from lamps_core.models.availability import Availability, ask_hub, fit_here

    devices = devices_here()
    answers = ask_hub(row.name for row in rows if not row.zoo)
    here = Availability(True, "zoo: needs no hub")
    return [
        CheckedModel(row, hub=answers.get(row.name, here), fit=fit_here(row.parameters, devices))
        for row in rows
    ]


def _zoo_rows() -> list[ModelRow]:
    from lamps_core.models.zoo import zoo_entry, zoo_names

    return [
        ModelRow(name, zoo_entry(name).model_type, _zoo_parameters(name), (), "apache-2.0", False, zoo=True)
        for name in zoo_names()
    ]


def _zoo_parameters(name: str) -> int | None:
    from lamps_core.models.size import folder_size
    from lamps_core.models.zoo import materialise

    try:
        return folder_size(materialise(name)).parameters
    except BadInput:  # a cache that cannot be written is no reason to list nothing
        return None

"""The command of a search as strangers may read it: it asks for the same, and names no path or token of its user.

Options are let through by a list of those that hold numbers, columns and words of LAMPS alone; datasets, models and
policies are written by their names.
"""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING

from lamps_core.candidates import presets
from lamps_core.hub_ids import hub_id

if TYPE_CHECKING:
    from collections.abc import Sequence

_AS_GIVEN = frozenset(
    {
        "--input-col", "--target-col", "--budget", "--stop-below", "--gpu-hour-price", "--objectives", "--bound",
        "--selection-split", "--max-train-rows", "--template", "--parallel", "--seed", "--learning-rate",
        "--batch-size", "--landmarks", "--patience", "--max-epochs", "--max-length", "--precision",
    }
)  # fmt: skip
_A_PLACE = frozenset({"--policy", "--test-dataset"})


def public_command(command: str | None, *, dataset: str, candidates: Sequence[str]) -> str | None:
    """A search's command for its card; None where it was started by no command.

    Args:
        command: as the journal and the result tell it.
        dataset: its name, free of paths.
        candidates: their names, free of paths.
    """
    words = _words(command)
    if words[:2] != ["lamps", "search"]:
        return None
    told = ["lamps", "search"]
    for option, value in _options(words[2:]):
        if option in _AS_GIVEN:
            told += [option, value]
        elif option in _A_PLACE:
            told += [option, value if hub_id(value) else Path(value).name]
        elif option == "--dataset":
            told += [option, dataset]
        elif option == "--models":
            told += [option, value if value in presets() else ",".join(candidates)]
    return shlex.join([*told, "--out", "runs/search"])


def _words(command: str | None) -> list[str]:
    try:
        return shlex.split(command or "")
    except ValueError:  # an open quotation
        return []


def _options(words: Sequence[str]) -> list[tuple[str, str]]:
    """(option, value), of `--option value` and `--option=value`; an option alone has an empty value."""
    told: list[tuple[str, str]] = []
    for word in words:
        if word.startswith("--"):
            option, equals, value = word.partition("=")
            told.append((option, value if equals else ""))
        elif told and not told[-1][1]:
            told[-1] = (told[-1][0], word)
    return told

"""The command of a search as strangers may read it: it asks for the same, and names no path or token of its user.

Options are let through by a list of those that hold numbers, columns and words of LAMPS alone; datasets, models and
policies are written by their names.
"""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING

from lamps_core.models.candidates import presets

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_AS_GIVEN = frozenset(
    {
        "--input-col", "--target-col", "--budget", "--stop-below", "--gpu-hour-price", "--objectives", "--bound",
        "--selection-split", "--max-train-rows", "--template", "--parallel", "--seed", "--learning-rate",
        "--batch-size", "--landmarks", "--patience", "--max-epochs", "--max-length", "--precision",
    }
)  # fmt: skip
_ALONE = frozenset({"--json", "--retry-failed"})  # the options without a value


def public_command(
    command: str | None, *, dataset: str, candidates: Sequence[str], policy_of_hub: bool
) -> str | None:
    """A search's command for its card; None where it was started by no command.

    Args:
        command: as the journal and the result tell it.
        dataset: its name, free of paths.
        candidates: their names, free of paths.
        policy_of_hub: whether the search found its policy on the hub. Of any other policy, and of a test dataset, only
            the last part is kept, since it may be a path on the machine of the search.
    """
    words = _words(command)
    if words[:2] != ["lamps", "search"]:
        return None
    told = ["lamps", "search"]
    for option, value in _options(words[2:]):
        if option in _AS_GIVEN:
            told += [option, value]
        elif option in {"--policy", "--test-dataset"}:
            of_hub = option == "--policy" and policy_of_hub
            told += [option, value if of_hub else Path(value).name]
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


def _options(words: Sequence[str]) -> Iterator[tuple[str, str]]:
    """(option, value), of `--option value` and `--option=value`; a value may begin with dashes, too."""
    left = iter(words)
    for word in left:
        option, equals, value = word.partition("=")
        if option.startswith("--") and option not in _ALONE:
            yield option, value if equals else next(left, "")

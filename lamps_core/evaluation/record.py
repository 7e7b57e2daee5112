"""`evaluation.json`: how it is written, and read back for a report.

One fold row a line, so that people and line tools can read it. NaN and infinity are refused both ways.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from lamps_core.errors import BadInput
from lamps_core.files import json_object, write_atomically

if TYPE_CHECKING:
    from pathlib import Path

RESULT = "evaluation.json"
_LINES = ("folds", "summary", "rewards", "datasets", "methods")  # lists of which each item is a line
_NEEDED = (
    "folds",
    "summary",
    "words",
    "rewards",
    "methods",
    "datasets",
    "gpu_hour_price",
    "notices",
    "failed",
)


def write_evaluation(path: Path, result: dict[str, Any]) -> None:
    """Write it, whole or not at all.

    Raises:
        ValueError: a number is NaN or infinite.
    """
    parts = []
    for name, value in result.items():
        if name in _LINES and value:
            lines = ",\n".join(f"  {_text(item)}" for item in value)
            parts.append(f"{_text(name)}: [\n{lines}\n]")
        else:
            parts.append(f"{_text(name)}: {_text(value)}")
    write_atomically(path, ("{\n" + ",\n".join(parts) + "\n}\n").encode())


def _text(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, allow_nan=False)


def is_evaluation(folder: Path) -> bool:
    """Whether a folder is one of an evaluation that ended."""
    return (folder / RESULT).is_file()


def read_evaluation(folder: Path) -> dict[str, Any]:
    """What `evaluation.json` holds.

    Raises:
        BadInput: it cannot be read, or is not one of LAMPS.
    """
    path = folder / RESULT
    try:
        result = json_object(path.read_bytes())
    except (ValueError, OSError) as error:
        raise BadInput(f"{path} cannot be read ({error}): run lamps evaluate again") from error
    if any(name not in result for name in _NEEDED) or not result["folds"]:
        raise BadInput(f"{path} does not hold an evaluation: run lamps evaluate again")
    return result

"""Where the data files that ship with LAMPS lie, and where it keeps what it can make again.

The former are in the installed package, else in the checkout.
"""

from __future__ import annotations

import os
from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent
SHIPPED = "shipped"  # what `--curves` calls the recorded curves of `data/curves.md`


def data_path(name: str) -> Path:
    """The place of a data file or folder.

    Args:
        name: relative to the data folder, as in `"zoo.yaml"` or `"zoo/bpe"`.

    Raises:
        FileNotFoundError: neither the package nor a checkout around it holds the file.
    """
    for folder in (_PACKAGE / "data", _PACKAGE.parent / "data"):
        path = folder / name
        if path.exists():
            return path
    raise FileNotFoundError(f"data file {name} is missing: reinstall lamps, or restore data/ in the checkout")


def cache_folder() -> Path:
    """Where LAMPS keeps what it can make again: `$LAMPS_CACHE`, else `lamps` in the user's cache folder."""
    if own := os.environ.get("LAMPS_CACHE"):
        return Path(own).expanduser().absolute()
    shared = os.environ.get("XDG_CACHE_HOME")
    return (Path(shared) if shared else Path.home() / ".cache") / "lamps"

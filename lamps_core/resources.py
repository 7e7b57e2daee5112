"""Where the data files that ship with LAMPS lie: in the installed package, else in the checkout."""

from __future__ import annotations

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

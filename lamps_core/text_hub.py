"""Datasets of the Hugging Face hub as tables.

Owns what `org/name:config` means and how `datasets.load_dataset` is asked. Loading scripts are never run: the
library refuses them. Types are the library's own: it reads "NA" in a CSV on the hub as missing.
"""

from __future__ import annotations

import re
from typing import Any

from lamps_core.errors import BadInput
from lamps_core.text_files import SplitSource, concatenate

# Without a slash, the library would take a name such as "csv" for a reader and look for files where we stand.
_HUB_ID = re.compile(r"(?P<repository>[^:]*/[^:]+)(?::(?P<configs>[^:]+))?")


def open_hub(dataset: str) -> SplitSource:
    """Open `org/name`, `org/name:config`, `org/name:config1+config2` or `org/name:*` (all configurations).

    Rows of several configurations are concatenated, split by split, over the splits that all of them have.
    Reads through the library's cache, so a dataset loaded before works offline.

    Raises:
        BadInput: not an id, unknown, gated, unreachable, or the configurations do not go together.
    """
    match = _HUB_ID.fullmatch(dataset)
    if match is None:
        raise BadInput(f"{dataset!r} is no file, no folder and no hub id such as org/name or org/name:config")
    loaded = _load(match["repository"], match["configs"])
    first, *others = loaded.values()
    splits = tuple(split for split in first if all(split in other for other in others))
    if not splits:
        raise BadInput(f"{dataset}: its configurations share no split; name those that do, as org/name:a+b")
    return SplitSource(
        name=dataset,
        splits=splits,
        read=lambda split: concatenate(
            {config: _table(parts[split]) for config, parts in loaded.items()}, dataset=dataset
        ),
    )


def _load(repository: str, configs: str | None) -> dict[str, Any]:
    """Configuration -> `datasets.DatasetDict`."""
    # Imported here: it takes seconds, and local files do not need it.
    import datasets
    import httpx

    try:
        names: list[str | None] = [None] if configs is None else list(configs.split("+"))
        if configs == "*":
            names = list(datasets.get_dataset_config_names(repository))
        return {name or "default": datasets.load_dataset(repository, name) for name in names}
    except (OSError, ValueError, RuntimeError, datasets.exceptions.DatasetsError, httpx.HTTPError) as error:
        reason = " ".join(str(error).split())[:300] or type(error).__name__
        raise BadInput(
            f"dataset {repository!r} is no local file or folder and does not load from the hub ({reason}); "
            "check the name, the network and, if it is gated, your login"
        ) from error


def _table(split: Any) -> Any:
    return split.with_format("arrow")[:].replace_schema_metadata(split.features.arrow_schema.metadata)

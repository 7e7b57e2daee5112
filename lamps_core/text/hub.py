"""Datasets of the Hugging Face hub as tables.

Owns what `org/name:config` means and how `datasets.load_dataset` is asked. Loading scripts are never run: the
library refuses them. Types are the library's own: it reads "NA" in a CSV on the hub as missing.
"""

from __future__ import annotations

import contextlib
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lamps_core.errors import BadInput, without_credentials
from lamps_core.hub.access import HUB_TIMEOUT_SECONDS, of_the_hub
from lamps_core.text.files import SplitSource, concatenate

if TYPE_CHECKING:
    from collections.abc import Iterator

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

    trouble = _hub_trouble(repository)
    try:
        with _cache_only() if trouble else contextlib.nullcontext():
            return _load_configurations(repository, configs)
    except Exception as error:
        of_the_library = (OSError, ValueError, RuntimeError, datasets.exceptions.DatasetsError)
        if not (isinstance(error, of_the_library) or of_the_hub(error)):
            raise
        reason = without_credentials(" ".join(str(error).split()))[:300] or type(error).__name__
        raise BadInput(trouble or _does_not_load(repository, reason)) from error


def _load_configurations(repository: str, configs: str | None) -> dict[str, Any]:
    import datasets

    names: list[str | None] = [None] if configs is None else list(configs.split("+"))
    if configs == "*":
        names = list(datasets.get_dataset_config_names(repository))
    return {name or "default": datasets.load_dataset(repository, name) for name in names}


def _hub_trouble(repository: str) -> str | None:
    """Why the hub will not give this dataset, as an error for the user; None if it may, or is not to be asked.

    Asked once and briefly: `load_dataset` tries a hub that is not there for half a minute, with warnings.
    """
    from huggingface_hub import HfApi, is_offline_mode
    from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError

    if is_offline_mode() or Path(repository).is_dir():
        return None
    api = HfApi()
    try:
        if api.dataset_info(repository, timeout=HUB_TIMEOUT_SECONDS).gated:
            api.auth_check(repository, repo_type="dataset")
    except GatedRepoError:
        return (
            f"dataset {repository!r} is gated: accept its licence on its page of the hub and set HF_TOKEN to a "
            "token of the account that did"
        )
    except RepositoryNotFoundError:
        return _does_not_load(repository, "it is not there, or private")
    except Exception as error:  # whatever the client's transport raises, or a proxy's page that is no JSON
        return _does_not_load(
            repository, f"{without_credentials(api.endpoint)} cannot be asked: {type(error).__name__}"
        )
    return None


def _does_not_load(repository: str, reason: str) -> str:
    return (
        f"dataset {repository!r} is no local file or folder and does not load from the hub ({reason}); "
        "check the name, the network and, if it is gated, your login"
    )


@contextlib.contextmanager
def _cache_only() -> Iterator[None]:
    """Offline mode for a while: both libraries read it from the environment once, when they are imported."""
    import datasets
    import huggingface_hub

    modes: tuple[Any, ...] = (datasets.config, huggingface_hub.constants)
    before = [mode.HF_HUB_OFFLINE for mode in modes]
    try:
        for mode in modes:
            mode.HF_HUB_OFFLINE = True
        yield
    finally:
        for mode, was in zip(modes, before, strict=True):
            mode.HF_HUB_OFFLINE = was


def _table(split: Any) -> Any:
    return split.with_format("arrow")[:].replace_schema_metadata(split.features.arrow_schema.metadata)

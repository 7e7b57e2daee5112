"""Curves and policies by name: a path where there is one, else a repository of the hub, read through its cache.

Owns which files of a repository are asked for, and how large they may be; what is in them is checked by whoever reads
them, as of any file. A revision that is a commit is not asked for again once it is in the cache.
"""

from __future__ import annotations

import contextlib
import difflib
from dataclasses import dataclass, replace
from fnmatch import fnmatch
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from lamps_core.errors import BadInput, HubFailed
from lamps_core.hub.access import HUB_TIMEOUT_SECONDS, hub_api, hub_error, quiet_hub
from lamps_core.hub.ids import HubId, hub_id
from lamps_core.policy_file import CARD, MOST_BYTES, WEIGHTS
from lamps_core.resources import SHIPPED, data_path
from lamps_core.storage import given_path

if TYPE_CHECKING:
    from huggingface_hub import HfApi

MOST_CURVES_BYTES = 4 * 2**30  # 70 models on nine datasets are 2 MB


@dataclass(frozen=True)
class Wanted:
    """What is asked of a repository.

    Attributes:
        option: that named it.
        noun: what it should be.
        example: of a path to one.
        repo_type: of the hub.
        patterns: of the files.
        most_bytes: of all of them together.
    """

    option: str
    noun: str
    example: str
    repo_type: Literal["model", "dataset"]
    patterns: tuple[str, ...]
    most_bytes: int


CURVES = Wanted(
    "--curves", "file or folder of curves", "runs/curves", "dataset", ("*.parquet",), MOST_CURVES_BYTES
)
POLICY = Wanted("--policy", "policy", "runs/policy.zip", "model", (CARD, WEIGHTS), sum(MOST_BYTES.values()))


@dataclass(frozen=True)
class Found:
    """Where something lies on this machine.

    Attributes:
        path: of it.
        name: for people: a path's own, or the repository's id.
        commit: of the repository; None of a path.
    """

    path: Path
    name: str
    commit: str | None


def curves_to_read(name: str) -> Path:
    """The folder that `--curves` means where curves are only read: `shipped`, a path, or `org/name[@revision]`.

    The name is taken for the shipped curves even where a folder is called so: write `./shipped` for the folder.

    Raises:
        FileNotFoundError: as `data_path`.
        BadInput: nothing is named, or the hub does not give it, and it is not in the cache.
    """
    return data_path("curves") if name.strip() == SHIPPED else find(name, CURVES).path


def find(name: str, wanted: Wanted = POLICY) -> Found:
    """Where a name leads: an existing path, else a repository of the hub, which is fetched; any other path as it is.

    Raises:
        BadInput: it looks like a misspelt path, or neither the hub nor its cache has the repository.
    """
    asked = hub_id(name)
    if asked is None:
        path = given_path(name, wanted.option, wanted.example)
        return Found(path, path.resolve().stem, None)
    _refuse_misspelt_path(asked, wanted)
    folder = _snapshot(asked, wanted)
    return Found(folder, asked.repository, folder.name)


def _refuse_misspelt_path(asked: HubId, wanted: Wanted) -> None:
    """What is nearly a path that is there is not asked of the hub, where a stranger may own that name."""
    folder, name = asked.repository.split("/")
    here: dict[str, str] = {}
    if asked.revision is None:
        with contextlib.suppress(OSError):  # no folder, or one that cannot be read
            for path in sorted(Path(folder).iterdir()):
                here |= {path.stem: path.name, path.name: path.name}
    close = difflib.get_close_matches(name, here, n=1, cutoff=0.8)
    if close:
        raise BadInput(
            f"{wanted.option} {asked}: there is no such {wanted.noun} here; did you mean {folder}/{here[close[0]]}? "
            f"(The hub's repository is {asked}@main.)"
        )


def at_commit(name: str, commit: str) -> str:
    """A repository's name pinned to a commit, so that later pushes change nothing; a path as it is."""
    asked = hub_id(name)
    return name if asked is None else str(replace(asked, revision=commit))


def _snapshot(asked: HubId, wanted: Wanted) -> Path:
    """The folder of the cache in which a repository's files are."""
    from huggingface_hub import is_offline_mode
    from huggingface_hub.errors import LocalEntryNotFoundError

    api = hub_api()
    what = f"{wanted.option} {asked}: there is no such {wanted.noun} here, and as a repository of the hub"
    trouble: Exception | None = None
    if asked.pinned:
        with contextlib.suppress(LocalEntryNotFoundError):
            return _fetched(asked, wanted, cached=True)
    if not is_offline_mode():
        try:
            _check_size(api, asked, wanted, what)
            return _fetched(asked, wanted, cached=False)
        except BadInput:
            raise
        except Exception as error:
            trouble = hub_error(error, what, api.endpoint)
            if not isinstance(trouble, HubFailed):
                raise trouble from None
    try:
        return _fetched(asked, wanted, cached=True)
    except LocalEntryNotFoundError:
        off = f"{what}: it is not in the cache, and the hub is switched off here (HF_HUB_OFFLINE)"
        raise BadInput(
            f"{trouble}; nor is it in the cache: check the name and the network" if trouble else off
        ) from None


def _check_size(api: HfApi, asked: HubId, wanted: Wanted, what: str) -> None:
    """Refuse what is not the thing that was asked for, or is too large for one, before anything is downloaded."""
    info: Any = api.repo_info(
        asked.repository,
        repo_type=wanted.repo_type,
        revision=asked.revision,
        timeout=HUB_TIMEOUT_SECONDS,
        files_metadata=True,
    )
    files = info.siblings or []
    sizes = [file.size or 0 for file in files if any(fnmatch(file.rfilename, one) for one in wanted.patterns)]
    if not sizes:
        raise BadInput(f"{what}: it has no {' or '.join(wanted.patterns)}")
    if sum(sizes) > wanted.most_bytes:
        raise BadInput(
            f"{what}: it is too large: {sum(sizes):,} bytes, and more than {wanted.most_bytes:,} are not fetched"
        )


def _fetched(asked: HubId, wanted: Wanted, *, cached: bool) -> Path:
    """The folder of a commit, with the files that are wanted of it.

    Raises:
        LocalEntryNotFoundError: `cached`, and it is not in the cache, or without them.
    """
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import LocalEntryNotFoundError

    with quiet_hub():
        folder = Path(
            snapshot_download(
                asked.repository,
                repo_type=wanted.repo_type,
                revision=asked.revision,
                allow_patterns=list(wanted.patterns),
                local_files_only=cached,
                library_name="lamps",
            )
        )
    # The folder may be there for the sake of another file, such as the card.
    if cached and not all(_holds(folder, pattern) for pattern in wanted.patterns):
        raise LocalEntryNotFoundError(f"{folder} holds no {' or '.join(wanted.patterns)}")
    return folder


def _holds(folder: Path, pattern: str) -> bool:
    files = (path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    return any(fnmatch(name, pattern) for name in files)

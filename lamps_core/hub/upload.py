"""Files into a repository of the hub, by one commit: all of them are there, or none.

Owns that repositories are private unless asked otherwise, and that nothing is overwritten that LAMPS did not push.
Does not know what the files are.
"""

from __future__ import annotations

from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import yaml

from lamps_core.errors import BadInput, LampsError, without_credentials
from lamps_core.hub.access import hub_api, hub_error, quiet_hub

if TYPE_CHECKING:
    from collections.abc import Mapping

    from huggingface_hub import HfApi

README = "README.md"
_OF_THE_HUB = frozenset({".gitattributes"})  # which every new repository comes with


@dataclass(frozen=True, kw_only=True)
class Upload:
    """What one repository is to hold.

    Attributes:
        repository: `org/name`.
        repo_type: of the hub.
        tag: of its card, by which a later push recognises the repository as one of LAMPS.
        files: by path in the repository; bytes, or a file on disk.
        replaces: patterns of names: files of the repository that match one and are not in `files` are deleted.
        message: of the commit.
    """

    repository: str
    repo_type: Literal["model", "dataset"]
    tag: str
    files: Mapping[str, bytes | Path]
    replaces: tuple[str, ...]
    message: str


@dataclass(frozen=True, kw_only=True)
class Pushed:
    """What came of an upload.

    Attributes:
        repository: `org/name`.
        repo_type: of the hub.
        revision: the branch.
        commit: that holds the files.
        private: whether only its owners see it.
        url: of its page.
    """

    repository: str
    repo_type: str
    revision: str
    commit: str
    private: bool
    url: str


def upload(asked: Upload, *, public: bool = False, revision: str | None = None) -> Pushed:
    """Bring files to the hub; where they are there already, nothing is changed.

    Args:
        asked: the repository and its files.
        public: make a new repository that everybody sees; one that is there stays as visible as it is.
        revision: a branch, made where there is none; None is the default one.

    Raises:
        BadInput: the repository holds something else, or the token may not write to it.
        HubFailed: the hub cannot be reached or failed; nothing was changed but that an empty repository may be there.
    """
    api, kind = hub_api(), asked.repo_type
    what = f"push to {asked.repository}"
    try:
        with quiet_hub():
            api.create_repo(asked.repository, repo_type=kind, private=not public, exist_ok=True)
            found, is_there = _branch(api, asked, revision)
            there = {file.rfilename for file in found.siblings or []} - _OF_THE_HUB
            _refuse_others(api, asked, there, found)
            if revision is not None and not is_there:
                api.create_branch(asked.repository, repo_type=kind, branch=revision, exist_ok=True)
            commit = api.create_commit(
                asked.repository,
                operations=_operations(asked, there),
                commit_message=asked.message,
                repo_type=kind,
                revision=revision,
                parent_commit=found.sha,
            )
    except LampsError:
        raise
    except Exception as error:
        raise hub_error(error, what, api.endpoint) from None
    return Pushed(
        repository=asked.repository,
        repo_type=kind,
        revision=revision or "main",
        commit=commit.oid,
        private=bool(found.private),
        url=f"{without_credentials(api.endpoint)}/{'datasets/' * (kind == 'dataset')}{asked.repository}",
    )


def _branch(api: HfApi, asked: Upload, revision: str | None) -> tuple[Any, bool]:
    """What the hub says of a branch, or of the default one that it would be made from; and whether it is there."""
    from huggingface_hub.errors import RevisionNotFoundError

    try:
        return api.repo_info(asked.repository, repo_type=asked.repo_type, revision=revision), True
    except RevisionNotFoundError:
        return api.repo_info(asked.repository, repo_type=asked.repo_type), False


def _refuse_others(api: HfApi, asked: Upload, there: set[str], found: Any) -> None:
    """Whatever LAMPS did not push there is somebody's work."""
    if (
        there
        and asked.tag not in (found.tags or [])
        and asked.tag not in _tags_of_branch(api, asked, there, found)
    ):
        raise BadInput(
            f"push to {asked.repository}: it holds something that LAMPS did not push there (no tag {asked.tag} on its "
            "card): name another repository"
        )


def _tags_of_branch(api: HfApi, asked: Upload, there: set[str], found: Any) -> list[str]:
    """What the card of this very commit says: the hub's own tags may be those of the default branch."""
    from huggingface_hub import RepoCard

    if README not in there:
        return []
    path = api.hf_hub_download(asked.repository, README, repo_type=asked.repo_type, revision=found.sha)
    try:
        told = RepoCard(Path(path).read_text(encoding="utf-8", errors="replace")).data.get("tags")
    except (ValueError, TypeError, yaml.YAMLError):  # no card of ours
        return []
    return told if isinstance(told, list) else []


def _operations(asked: Upload, there: set[str]) -> list[Any]:
    from huggingface_hub import CommitOperationAdd, CommitOperationDelete

    stale = sorted(
        name
        for name in there - set(asked.files)
        if "/" not in name and any(fnmatch(name, pattern) for pattern in asked.replaces)
    )
    return [
        *(
            CommitOperationAdd(path_in_repo=name, path_or_fileobj=content)
            for name, content in sorted(asked.files.items())
        ),
        *(CommitOperationDelete(path_in_repo=name) for name in stale),
    ]

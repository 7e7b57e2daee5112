"""Names of the Hugging Face hub: what `org/name[@revision]` means where a path could stand, and where a push may go.

Owns the spelling alone: asks nobody.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lamps_core.errors import BadInput

if TYPE_CHECKING:
    from collections.abc import Iterable

LONGEST_NAME = 96  # of a repository, without its name space
_SHORTEST_ROOM = 24  # that a front leaves for the names of its candidates
_ID = re.compile(
    r"(?P<repository>[A-Za-z0-9_][\w.-]*/[A-Za-z0-9_][\w.-]*)(?:@(?P<revision>[^@\s]+))?", re.ASCII
)
_COMMIT = re.compile(r"[0-9a-f]{40}")


@dataclass(frozen=True)
class HubId:
    """A repository of the hub as a user names it.

    Attributes:
        repository: `org/name`.
        revision: a branch, a tag or a commit; None is the default branch.
    """

    repository: str
    revision: str | None

    @property
    def pinned(self) -> bool:
        """Whether the revision is a commit, of which the content never changes."""
        return self.revision is not None and _COMMIT.fullmatch(self.revision) is not None

    def __str__(self) -> str:
        return self.repository if self.revision is None else f"{self.repository}@{self.revision}"


def hub_id(text: str) -> HubId | None:
    """The repository that a text names; None where the text is an existing path, or can only be a path.

    >>> hub_id("org/curves@v1"), hub_id("./org/curves"), hub_id("runs/a/b"), hub_id("org/policy.zip")
    (HubId(repository='org/curves', revision='v1'), None, None, None)
    """
    match = _ID.fullmatch(text.strip())
    if match is None or not _is_legal(match["repository"]):
        return None
    path = text.strip()
    if Path(path).suffix.lower() in {".zip", ".parquet"} or Path(path).exists():
        return None
    return HubId(match["repository"], match["revision"])


def check_repository(text: str, option: str) -> None:
    """Refuse what cannot be the name of a repository that is pushed to.

    Args:
        text: as given.
        option: that it was given by.

    Raises:
        BadInput: it cannot be one; says what such a name looks like.
    """
    match = _ID.fullmatch(text)
    if match is None or match["revision"] or not _is_legal(text):
        raise BadInput(
            f"{option} {text!r} names no repository of the hub: write it like my-name/reviews, of letters, digits, "
            f"-, _ and ., at most {LONGEST_NAME} characters behind the /"
        )


def _is_legal(repository: str) -> bool:
    from huggingface_hub import utils
    from huggingface_hub.errors import HFValidationError

    hub: Any = utils
    try:
        hub.validate_repo_id(repository)
    except HFValidationError:
        return False
    return True


def front_repositories(target: str, candidates: Iterable[str]) -> dict[str, str]:
    """The repository of each candidate's model: `TARGET-<candidate>`.

    It depends on the candidates of the search alone, not on the front, so that it is the same at every push.

    Args:
        target: `org/name`.
        candidates: all of the search, by name.

    Raises:
        BadInput: the target leaves no room for their names.

    >>> front_repositories("me/reviews", ["zoo/bert-tiny", "org/model@v1"])
    {'zoo/bert-tiny': 'me/reviews-zoo-bert-tiny', 'org/model@v1': 'me/reviews-org-model-v1'}
    """
    room = LONGEST_NAME - len(target.partition("/")[2]) - 1
    if room < _SHORTEST_ROOM:
        raise BadInput(
            f"{target} leaves no room for the names of the candidates, which are added to it: give one of "
            f"{LONGEST_NAME - _SHORTEST_ROOM - 1} characters or fewer behind the /"
        )
    names = list(candidates)
    plain = {name: _plain(name) for name in names}
    taken = [text.lower() for text in plain.values()]
    repositories = {}
    for name, text in plain.items():
        alone = text and len(text) <= room and taken.count(text.lower()) == 1
        told = hashlib.sha256(name.encode()).hexdigest()[:8]
        parts = [text] if alone else [text[: room - len(told) - 1].rstrip("-."), told]
        repositories[name] = "-".join([target, *filter(None, parts)])
    return repositories


def _plain(name: str) -> str:
    """A candidate's name in letters that a repository may have; empty where no such name is left."""
    text = re.sub(r"[^A-Za-z0-9_.]+", "-", name)
    text = re.sub(r"\.{2,}", ".", text).strip("-.")
    return "" if text.endswith(".git") else text

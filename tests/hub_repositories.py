"""What the stand-in for the hub keeps: accounts, and repositories with branches and commits."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, field
from typing import Any

import yaml

LARGE = (".safetensors", ".parquet")  # what the hub keeps as LFS objects
COMMIT = re.compile(r"[0-9a-f]{40}")


@dataclass(frozen=True)
class Account:
    """Whom a token is of.

    Attributes:
        name: its own name space.
        organisations: others that it may write to.
        role: of the token.
    """

    name: str
    organisations: tuple[str, ...] = ()
    role: str = "write"

    def may_write(self, repository: str) -> bool:
        return self.role != "read" and repository.partition("/")[0] in {self.name, *self.organisations}


@dataclass
class Repository:
    """What lies at an id.

    Attributes:
        private: whether only its owners see it.
        commits: files by path, by commit.
        branches: commit by name.
    """

    private: bool
    commits: dict[str, dict[str, bytes]] = field(default_factory=dict)
    branches: dict[str, str] = field(default_factory=dict)

    def commit(self, branch: str, files: dict[str, bytes]) -> str:
        told = hashlib.sha1(f"{len(self.commits)} {branch}".encode(), usedforsecurity=False)
        for name, content in sorted(files.items()):
            told.update(name.encode() + content)
        self.commits[told.hexdigest()] = files
        self.branches[branch] = told.hexdigest()
        return told.hexdigest()

    def at(self, revision: str) -> str | None:
        known = revision if COMMIT.fullmatch(revision) and revision in self.commits else None
        return known or self.branches.get(revision)

    def files(self, revision: str = "main") -> dict[str, bytes]:
        return self.commits[self.branches[revision]]

    def card(self, revision: str = "main") -> dict[str, Any]:
        """The metadata on top of the README."""
        _, _, rest = self.files(revision).get("README.md", b"").decode(errors="replace").partition("---\n")
        try:
            return yaml.safe_load(rest.partition("\n---")[0]) or {}
        except yaml.YAMLError:
            return {}

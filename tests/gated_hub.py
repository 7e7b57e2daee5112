"""A stand-in for the hub that gives one gated model's files, and only to whoever shows the right token."""

from __future__ import annotations

import contextlib
import hashlib
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tests.local_hub import serving

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.local_hub import Request

COMMIT = "c" * 40


@dataclass
class GatedHub:
    """Serves `folder` as the model `repository`.

    Attributes:
        given: files that were given to whoever had the token.
        refused: how often somebody came without it.
    """

    folder: Path
    repository: str
    token: str
    endpoint: str = ""
    given: list[str] = field(default_factory=list)
    refused: int = 0

    def answer(self, request: Request) -> tuple[int, dict[str, str], bytes]:
        path = request.path
        about = f"/api/models/{self.repository}"
        if path == about or path.startswith(f"{about}/revision/"):
            files = [{"rfilename": file.name} for file in sorted(self.folder.iterdir())]
            body = {"_id": "1", "id": self.repository, "sha": COMMIT, "gated": "manual", "siblings": files}
            return 200, {"Content-Type": "application/json"}, json.dumps(body).encode()
        if request.authorization != f"Bearer {self.token}":
            self.refused += 1
            return 401, {"X-Error-Code": "GatedRepo", "X-Error-Message": "gated"}, b""
        file = self.folder / path.rpartition("/")[2]
        if not path.startswith(f"/{self.repository}/resolve/") or not file.is_file():
            return 404, {"X-Error-Code": "EntryNotFound"}, b""
        content = file.read_bytes()
        self.given.append(file.name)
        return 200, {"ETag": f'"{hashlib.sha256(content).hexdigest()}"', "X-Repo-Commit": COMMIT}, content


@contextlib.contextmanager
def serve_gated_model(folder: Path, repository: str, token: str) -> Iterator[GatedHub]:
    hub = GatedHub(folder, repository, token)

    with serving(hub.answer) as hub.endpoint:
        yield hub

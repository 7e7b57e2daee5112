"""A stand-in for the hub that gives one gated model's files, and only to whoever shows the right token."""

from __future__ import annotations

import contextlib
import hashlib
import json
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

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

    def answer(self, path: str, authorization: str) -> tuple[int, dict[str, str], bytes]:
        about = f"/api/models/{self.repository}"
        if path == about or path.startswith(f"{about}/revision/"):
            files = [{"rfilename": file.name} for file in sorted(self.folder.iterdir())]
            body = {"_id": "1", "id": self.repository, "sha": COMMIT, "gated": "manual", "siblings": files}
            return 200, {"Content-Type": "application/json"}, json.dumps(body).encode()
        if authorization != f"Bearer {self.token}":
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

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            path = self.path.partition("?")[0]
            status, headers, body = hub.answer(path, self.headers.get("Authorization", ""))
            with contextlib.suppress(ConnectionError):
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                if self.command == "GET":
                    self.wfile.write(body)

        do_HEAD = do_GET  # noqa: N815 - the name that http.server looks for

        def log_message(self, format: str, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    hub.endpoint = f"http://127.0.0.1:{server.server_port}"
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()

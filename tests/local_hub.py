"""A stand-in for the hub on this machine, and a user of it: a process of its own with an empty home."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    Response = tuple[int, dict[str, str], bytes]  # status, headers, content


HELD_SECONDS = 300.0  # longer than whatever waits for a slow answer
COMPLETE = ("config.json", "tokenizer.json", "model.safetensors")


def model_folder(parent: Path, name: str, files: tuple[str, ...] = COMPLETE) -> Path:
    """A folder with the names of a model's files."""
    folder = parent / name
    folder.mkdir(parents=True)
    for file in files:
        (folder / file).write_text("{}")
    return folder


@dataclass(frozen=True)
class Request:
    """What a server is asked.

    Attributes:
        method: of HTTP, in capitals.
        path: as it was sent, without what follows a question mark.
        query: what follows it.
        authorization: the header, empty where there is none.
        body: as it came.
    """

    method: str
    path: str
    query: str
    authorization: str
    body: bytes


@dataclass
class Hub:
    """Answers what is asked of the hub about models: `GET /api/models/ID[/revision/REVISION][/auth-check]`.

    Attributes:
        answers: by path below `/api/models/`, the status, the headers and the body.
        asked: such paths, without what follows a question mark.
        held: answers to ids that begin with `slow/` wait until it is set.
    """

    answers: dict[str, tuple[int, dict[str, str], Any]] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    held: threading.Event = field(default_factory=threading.Event)
    endpoint: str = ""

    def add(self, path: str, files: tuple[str, ...] = COMPLETE, **more: Any) -> None:
        siblings = [{"rfilename": file} for file in files]
        body = {"_id": "1", "id": path, "sha": "f" * 40, "private": False, "siblings": siblings, "tags": []}
        self.answers[path] = (200, {}, body | more)

    def refuse(self, path: str) -> None:
        """As the hub refuses a gated model."""
        self.answers[path] = (403, {"X-Error-Code": "GatedRepo"}, {"error": "gated"})

    def answer(self, path: str) -> tuple[int, dict[str, str], Any]:
        self.asked.append(path)
        if path.startswith("slow/"):
            self.held.wait(HELD_SECONDS)
        return self.answers.get(path, (404, {"X-Error-Code": "RepoNotFound"}, {"error": "not found"}))


@contextlib.contextmanager
def serve_hub() -> Iterator[Hub]:
    hub = Hub()

    def answer(request: Request) -> Response:
        status, headers, body = hub.answer(request.path.removeprefix("/api/models/"))
        return status, headers, body if isinstance(body, bytes) else json.dumps(body).encode()

    with serving(answer) as hub.endpoint:
        try:
            yield hub
        finally:
            hub.held.set()


@contextlib.contextmanager
def serving(answer: Callable[[Request], Response]) -> Iterator[str]:
    """An HTTP server; yields its address.

    Args:
        answer: what is sent for a request; the content is left out where only the head was asked for.
    """

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            path, _, query = self.path.partition("?")
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            request = Request(self.command, path, query, self.headers.get("Authorization", ""), body)
            status, headers, content = answer(request)
            with contextlib.suppress(ConnectionError):  # the client may have given up
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(content)

        # The names that http.server looks for.
        do_HEAD = do_POST = do_PUT = do_GET  # noqa: N815

        def log_message(self, format: str, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


@dataclass(frozen=True)
class HubUser:
    """A user with an empty home: the hub's client reads its settings once, when it is imported."""

    home: Path

    def start(self, code: str, *arguments: str, **environment: str) -> subprocess.Popen[str]:
        """Run Python code in a process of its own."""
        kept = {
            name: value for name, value in os.environ.items() if not name.startswith(("HF_", "TRANSFORMERS_"))
        }
        own = {"HF_HOME": str(self.home / "hf"), "NO_PROXY": "*", "no_proxy": "*"}
        return subprocess.Popen(
            [sys.executable, "-c", code, *arguments],
            env={**kept, **own, **environment},
            stdout=subprocess.PIPE,
            text=True,
        )

    def ask(self, code: str, *arguments: str, **environment: str) -> Any:
        """What the code printed, as JSON."""
        process = self.start(code, *arguments, **environment)
        output, _ = process.communicate(timeout=180)
        assert process.returncode == 0
        return json.loads(output)

    def cache(self, repository: str, files: tuple[str, ...] = COMPLETE) -> Path:
        """Lay a snapshot where the hub client keeps what it downloaded."""
        folder = self.home / "hf" / "hub" / ("models--" + repository.replace("/", "--"))
        snapshot = model_folder(folder / "snapshots", "a" * 40, files)
        (folder / "refs").mkdir()
        (folder / "refs" / "main").write_text("a" * 40)
        return snapshot

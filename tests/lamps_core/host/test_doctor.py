from __future__ import annotations

import re
import socket
import threading
import time
import tomllib
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from lamps_core.host import doctor
from lamps_core.host.doctor import Check, run_checks
from lamps_core.host.reachability import ask

if TYPE_CHECKING:
    from collections.abc import Iterator

SECRET = "hf_thisIsASecret"


class Handler(BaseHTTPRequestHandler):
    """Answers /api/health alone."""

    def do_GET(self) -> None:
        self.send_response(200 if self.path == "/api/health" else 404)
        self.end_headers()

    def do_HEAD(self) -> None:
        self.do_GET()

    def log_message(self, format: str, *args: object) -> None:
        pass


@contextmanager
def http_server() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield f"127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.fixture
def closed() -> Iterator[str]:
    """An address that refuses: bound by nobody who listens."""
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        yield f"127.0.0.1:{holder.getsockname()[1]}"


@pytest.fixture(autouse=True)
def plain_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, closed: str) -> None:
    for name in ("PREFECT_API_URL", "HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    for name, value in hub_places(tmp_path / "hub").items():
        monkeypatch.setattr(f"huggingface_hub.constants.{name}", value)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    monkeypatch.setenv("LAMPS_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("HF_ENDPOINT", f"http://{closed}")


def hub_places(home: Path) -> dict[str, str]:
    """Where the hub's client, which reads its environment but once, keeps what it has."""
    places = {"HF_HUB_CACHE": "hub", "HF_TOKEN_PATH": "token", "HF_STORED_TOKENS_PATH": "stored_tokens"}
    return {name: str(home / place) for name, place in places.items()}


def named(checks: list[Check], name: str) -> Check:
    return next(check for check in checks if check.name == name)


def test_every_check_answers_in_one_line_says_how_to_mend_what_fails_and_makes_nothing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "torch.py").write_text("raise RuntimeError")  # data may lie there: nothing of it is run
    checks = run_checks(None)
    assert [path.name for path in tmp_path.iterdir()] == ["torch.py"]
    assert len({check.name for check in checks}) == len(checks) == 10
    for check in checks:
        assert check.found
        assert "\n" not in check.found + check.mend
        assert bool(check.mend) == (check.ok is not True)
    assert named(checks, "Python").ok is True
    assert "CPU cores" in named(checks, "Devices").found
    assert str(tmp_path / "cache") in named(checks, "Disk: LAMPS cache").found


def test_a_prefect_server_that_answers_is_found() -> None:
    with http_server() as address:
        assert doctor._prefect_server(f"http://{address}/api").ok is True
        wrong = doctor._prefect_server(f"http://{address}/wrong")
    assert wrong.ok is False
    assert "status 404" in wrong.found


def test_a_prefect_server_that_is_not_there_is_named_with_the_mend(closed: str) -> None:
    check = doctor._prefect_server(f"http://{closed}/api")
    assert check.ok is False
    assert closed in check.found
    assert "prefect server start" in check.mend


def test_no_prefect_address_is_fine() -> None:
    assert doctor._prefect_server(None).ok is True


def test_the_hub_out_of_reach_or_switched_off_is_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    assert doctor._hub().ok is None
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    assert "HF_HUB_OFFLINE" in doctor._hub().found


def test_a_hub_that_answers_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    with http_server() as address:
        monkeypatch.setenv("HF_ENDPOINT", f"http://{address}/api/health")
        assert doctor._hub().ok is True


def test_a_token_is_found_and_never_shown(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert doctor._hub_token().ok is None
    (tmp_path / "hub").mkdir()
    (tmp_path / "hub" / "token").write_text(SECRET)
    assert doctor._hub_token().ok is True
    monkeypatch.setenv("HF_TOKEN", SECRET)
    monkeypatch.setenv("HF_ENDPOINT", f"ftp://user:{SECRET}@127.0.0.1:1")
    assert SECRET not in repr(run_checks(f"http://user:{SECRET}@127.0.0.1:1/api?key={SECRET}"))


def test_an_address_that_makes_no_sense_is_an_answer_and_no_error() -> None:
    for url in ("", "nonsense", "http://[", "http://a:b:c", "file:///etc/passwd", "http://127.0.0.1:99999/"):
        reached, answer = ask(url, method="GET")
        assert reached is False
        assert answer


def test_a_server_that_takes_the_call_and_says_nothing_costs_seconds_only(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("lamps_core.host.reachability._TIMEOUT_SECONDS", 0.05)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        reached, answer = ask(f"http://127.0.0.1:{silent.getsockname()[1]}/health", method="GET")
    assert reached is False
    assert "does not answer" in answer


def test_a_check_that_hangs_or_breaks_is_reported_as_unknown() -> None:
    release = threading.Event()

    def hanging() -> Check:
        release.wait(300)
        return Check("slow", True, "late", "")

    def breaking() -> Check:
        raise RuntimeError("ill")

    started = time.monotonic()
    waiting = doctor._start("slow", hanging, 0.05, started), doctor._start("broken", breaking, 60.0, started)
    slow, broken = (finish() for finish in waiting)
    assert not release.is_set()  # neither was waited for to its end
    release.set()
    assert (slow.ok, broken.ok) == (None, None)
    assert "no answer" in slow.found
    assert "RuntimeError: ill" in broken.found


def test_fastapi_too_new_for_prefect_3_8_is_named_with_the_pin(monkeypatch: pytest.MonkeyPatch) -> None:
    installed = {**doctor.LEAST_VERSIONS, "prefect": "3.8.8", "fastapi": "0.155.1"}
    monkeypatch.setattr(doctor, "_version", installed.get)
    check = doctor._packages()
    assert check.ok is False
    assert "fastapi<0.151" in check.mend
    installed["prefect"] = "3.9.0"
    assert doctor._packages().ok is True
    installed["torch"] = "2.1.0+cu121"
    assert "torch>=" in doctor._packages().mend
    del installed["torch"]
    assert "missing: torch" in doctor._packages().found


def test_the_least_versions_are_those_the_package_asks_for() -> None:
    root = Path(__file__).parents[3]
    wanted = tomllib.loads((root / "pyproject.toml").read_text())["project"]["dependencies"]
    for name, least in doctor.LEAST_VERSIONS.items():
        assert any(re.match(rf"{name}>={re.escape(least)}(,|$)", line) for line in wanted), name


def test_a_place_that_is_no_folder_cannot_be_written_to(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    check = doctor._disk("Disk: output", tmp_path / "file" / "below")
    assert check.ok is False
    assert "--out" in check.mend

"""The server a command talks to: found, started, waited for, and gone when the command is."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import pytest
from prefect.settings import PREFECT_API_URL, PREFECT_HOME, get_current_settings, temporary_settings

from lamps_cli import server
from lamps_cli.server import QUIET, prefect_server, quieten_prefect, read_hub_token
from lamps_core.errors import BadInput, LampsError
from tests.lamps_command import environment, family, lamps, start_lamps, wait_for_end
from tests.prefect_server import PrefectServer
from tests.searches import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def no_server_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A user who has set nothing, with a Prefect home of their own."""
    for name in [name for name in os.environ if name.startswith("PREFECT_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PREFECT_API_URL", "")  # so that what a temporary server sets is taken back
    monkeypatch.delenv("PREFECT_API_URL")
    monkeypatch.setenv("PREFECT_HOME", str(tmp_path))
    with temporary_settings({PREFECT_HOME: tmp_path}, restore_defaults={PREFECT_API_URL}):
        assert get_current_settings().api.url is None
        yield


def raises(said: str) -> pytest.RaisesExc[LampsError]:
    return pytest.raises(LampsError, match=said)


def servers() -> list[psutil.Process]:
    """Temporary servers that this process has started."""
    return [child for child in psutil.Process().children() if "lamps_cli.server_process" in child.cmdline()]


@pytest.mark.parametrize("form", ["{}", "{}/", "http://ada:secret@{}"])
def test_a_server_that_the_user_has_set_is_used_and_none_is_started(prefect_url: str, form: str) -> None:
    before = servers()
    url = form.format(prefect_url.removeprefix("http://") if "@" in form else prefect_url)
    with temporary_settings({PREFECT_API_URL: url}), prefect_server() as wait_until_ready:
        wait_until_ready()
        assert servers() == before
    with urllib.request.urlopen(f"{prefect_url}/health", timeout=60) as answer:
        assert answer.status == 200  # it is the user's: it lives on


@pytest.mark.slow
def test_a_server_that_does_not_answer_is_an_error_that_says_what_to_do() -> None:
    with socket.socket() as holder:  # bound, and not listening: it refuses
        holder.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{holder.getsockname()[1]}/api"
        said = f"no Prefect server answers at {url}: start it, or correct PREFECT_API_URL"
        with temporary_settings({PREFECT_API_URL: url}), prefect_server() as wait_until_ready, raises(said):
            wait_until_ready()


def test_what_answers_in_another_protocol_than_http_is_no_server(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "ANSWER_SECONDS", 0.0)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=greet, args=(listening,))
        thread.start()
        url = f"http://127.0.0.1:{listening.getsockname()[1]}/api"
        said = f"no Prefect server answers at {url}: start it, or correct PREFECT_API_URL"
        with temporary_settings({PREFECT_API_URL: url}), prefect_server() as wait, raises(said):
            wait()
        thread.join()


def greet(listening: socket.socket) -> None:
    """Take one connection, and say what no server of the web says."""
    connection, _ = listening.accept()
    with connection:
        connection.recv(4096)
        connection.sendall(b"+PONG\r\n")


@pytest.mark.parametrize(
    "url",
    [
        "foo",
        "127.0.0.1:4200",
        "file:///etc",
        "http:///api",
        "http://h:port/api",
        "http://a b/api",
        "http://a..b/api",
    ],
)
def test_a_setting_that_is_no_address_is_bad_input(url: str) -> None:
    with temporary_settings({PREFECT_API_URL: url}):
        for use in (lambda: prefect_server().__enter__(), lambda: read_hub_token(None)):
            with pytest.raises(
                BadInput, match=f"^PREFECT_API_URL must be like http://HOST:4200/api, not {url}$"
            ):
                use()


@pytest.fixture
def behind_a_proxy(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A user whose proxy does not answer, which is right for one host alone."""
    for name in ("http_proxy", "HTTP_PROXY", "NO_PROXY"):
        monkeypatch.setenv(name, "")
    monkeypatch.setenv("no_proxy", "mirror.example")
    with socket.socket() as holder:  # bound, and not listening: it refuses
        holder.bind(("127.0.0.1", 0))
        monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{holder.getsockname()[1]}")
        yield


@pytest.mark.usefixtures("behind_a_proxy")
def test_a_server_on_this_machine_is_asked_without_the_proxy(
    prefect_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "ANSWER_SECONDS", 0.0)
    with temporary_settings({PREFECT_API_URL: prefect_url}), prefect_server() as wait_until_ready:
        wait_until_ready()
    with temporary_settings({PREFECT_API_URL: prefect_url}), prefect_server():  # once is enough
        assert os.environ["no_proxy"] == os.environ["NO_PROXY"] == "mirror.example,127.0.0.1,localhost"


def test_proxies_that_are_used_for_nothing_are_left_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "*")  # which means all only where it stands alone
    with temporary_settings({PREFECT_API_URL: "http://127.0.0.1:9/api"}), prefect_server():
        assert os.environ["no_proxy"] == "*"


@pytest.mark.usefixtures("no_server_set", "behind_a_proxy")
def test_a_temporary_server_knows_of_no_proxy_between_us() -> None:
    before = set(servers())
    with prefect_server():
        (started,) = set(servers()) - before
        assert started.environ()["no_proxy"] == "mirror.example,127.0.0.1,localhost"


@pytest.mark.usefixtures("no_server_set")
def test_a_temporary_server_that_takes_too_long_is_not_the_users_to_mend(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(server, "STARTUP_SECONDS", 0.0)
    with (
        prefect_server() as wait_until_ready,
        raises("the temporary Prefect server did not start: see lamps doctor"),
    ):
        wait_until_ready()


@pytest.mark.usefixtures("no_server_set")
def test_a_temporary_server_is_stopped_when_the_block_ends_before_it_was_ready() -> None:
    before = set(servers())
    with prefect_server():
        (started,) = set(servers()) - before
    wait_for_end([started])


@pytest.mark.usefixtures("no_server_set")
def test_a_temporary_server_that_cannot_start_is_an_error_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PREFECT_SERVER_DATABASE_CONNECTION_URL", "nonsense://nowhere")
    with prefect_server() as wait_until_ready, raises("did not start: see lamps doctor"):
        wait_until_ready()


@pytest.mark.slow
@pytest.mark.usefixtures("no_server_set")
def test_a_temporary_server_answers_and_is_what_this_process_talks_to(
    capfd: pytest.CaptureFixture[str],
) -> None:
    before = set(servers())
    with prefect_server() as wait_until_ready:
        (started,) = set(servers()) - before
        wait_until_ready()
        url = os.environ["PREFECT_API_URL"]
        with urllib.request.urlopen(f"{url}/health", timeout=60) as answer:
            assert answer.status == 200
        assert os.getsid(started.pid) == started.pid  # a Ctrl-C in our terminal is not its own
        assert listens_on(started) == {"127.0.0.1"}
    wait_for_end([started])
    said = capfd.readouterr()
    assert (said.out, said.err) == ("", "waiting for a temporary Prefect server ...\n")


def test_a_temporary_server_ends_with_a_command_that_is_killed(tmp_path: Path) -> None:
    code = (
        "from lamps_cli.server import prefect_server\n"
        "with prefect_server():\n"
        "    print('started', flush=True)\n"
        "    input()\n"
    )
    command = subprocess.Popen(
        [sys.executable, "-c", code],
        env=environment(tmp_path, None),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert command.stdout is not None
    assert command.stdout.readline() == "started\n"
    processes = family(command.pid)
    assert len(processes) == 2
    # Long after it has asked to die with its parent, which it does first.
    eventually(lambda: "_sqlite3" in mapped_files(processes[1].pid), what="the server's start")
    command.kill()
    command.communicate()
    wait_for_end(processes)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_campaign_goes_on_without_its_server_and_one_that_stays_away_is_told_at_the_end(
    topics_csv: Path, tmp_path: Path
) -> None:
    (tmp_path / "server").mkdir()
    mine = PrefectServer(tmp_path / "server")
    mine.start()
    arguments = ("campaign", "--datasets", str(topics_csv), "--input-col", "phrase", "--target-col", "topic")
    more = ("--models", "zoo-small", "--curves", "curves", "--landmarks", "2", "--max-epochs", "2")
    try:
        command = start_lamps(*arguments, *more, cwd=tmp_path, prefect_url=mine.url)
        eventually(lambda: list(tmp_path.glob("curves/*/step-*.parquet")), what="a first row")
        mine.kill()
        assert command.wait(timeout=400) == 1
        told = (tmp_path / "stderr").read_text().splitlines()
        assert told[-1].startswith(f"lamps: the Prefect server at {mine.url} does not answer any more")
        assert "EventsWorker" not in "".join(told)
        mine.start()
        again = lamps(*arguments, *more, cwd=tmp_path, prefect_url=mine.url)
    finally:
        mine.kill()
    assert again.returncode == 0
    assert "\n4 of 4 curves complete, 0 failed; 0 steps run" in again.stdout


def listens_on(process: psutil.Process) -> set[str]:
    """The addresses at which a process and its children take connections."""
    sockets = [one for each in family(process.pid) for one in each.net_connections("inet")]
    return {one.laddr.ip for one in sockets if one.status == psutil.CONN_LISTEN}


def mapped_files(pid: int) -> str:
    """The libraries that a process has loaded."""
    return Path(f"/proc/{pid}/maps").read_text(encoding="utf-8")


def test_prefect_is_quiet_unless_the_user_wants_it_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in QUIET:
        monkeypatch.setenv(name, "set")
        monkeypatch.delenv(name)
    monkeypatch.setenv("PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL", "DEBUG")
    quieten_prefect()
    assert os.environ["PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL"] == "DEBUG"
    assert os.environ["PREFECT_SERVER_ANALYTICS_ENABLED"] == "false"
    assert os.environ["DO_NOT_TRACK"] == "1"

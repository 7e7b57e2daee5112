from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

import pytest
from rich.text import Text

from lamps_cli import flow_run
from lamps_cli.flow_run import run_flow
from lamps_cli.live import View
from lamps_core.errors import BadInput
from lamps_core.progress import listener, publish

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

VIEW = View(lambda event, _: Text(event), lambda _, event, __: [Text(f"seen: {event}")])


@pytest.fixture
def done(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What was done, in order, with a server that only says so."""
    done: list[str] = []

    @contextlib.contextmanager
    def server(*, cluster: str | None = None) -> Iterator[Callable[[], None]]:
        done.append(f"server for {cluster}")
        try:
            yield lambda: done.append("wait")
        finally:
            done.append("stop")

    monkeypatch.setattr(flow_run, "prefect_server", server)
    return done


def test_input_is_checked_before_the_wait_for_the_server(done: list[str]) -> None:
    def flow(**parameters: Any) -> dict[str, Any]:
        done.append("flow")
        return parameters

    told = run_flow(flow, {"a": 1}, check=lambda: done.append("check"), view=VIEW, cluster="tcp://head:1")
    assert told == {"a": 1}
    assert done == ["server for tcp://head:1", "check", "wait", "flow", "stop"]


def test_bad_input_ends_the_server_before_anything_is_waited_for(done: list[str]) -> None:
    def check() -> None:
        raise BadInput("no such file")

    with pytest.raises(BadInput, match="no such file"):
        run_flow(dict, {}, check=check, view=VIEW)
    assert done == ["server for None", "stop"]


@pytest.mark.usefixtures("done")
def test_events_of_the_flow_are_shown_on_stderr(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("CI", "1")

    def flow() -> dict[str, Any]:
        publish("half done")  # type: ignore[arg-type]
        return {}

    run_flow(flow, {}, check=lambda: None, view=VIEW)
    out, err = capsys.readouterr()
    assert (out, err) == ("", "seen: half done\n")
    assert listener.get() is None

"""A user of the stand-in hub: this process, with an empty cache and a token."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import huggingface_hub.constants
import pytest

from lamps_core.publishing.push import push_uploads, uploads_of
from tests.hub_server import TOKEN, serve_hub_server

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from lamps_core.hub.upload import Pushed
    from tests.hub_server import HubServer


def push(
    place: Path | str, target: str, *, public: bool = False, revision: str | None = None
) -> list[Pushed]:
    """What `lamps push` does."""
    return push_uploads(uploads_of(str(place), target), public=public, revision=revision)


def use_hub(monkeypatch: pytest.MonkeyPatch, hub: HubServer, home: Path, token: str | None = TOKEN) -> None:
    """Make this process a user of the hub, with an empty cache: its client read its settings when it was imported."""
    monkeypatch.setenv("NO_PROXY", "*")
    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.delenv("HF_TOKEN", raising=False)
    monkeypatch.delenv("HUGGING_FACE_HUB_TOKEN", raising=False)
    if token is not None:
        monkeypatch.setenv("HF_TOKEN", token)
    settings = {
        "ENDPOINT": hub.endpoint,
        "HUGGINGFACE_CO_URL_TEMPLATE": hub.endpoint + "/{repo_id}/resolve/{revision}/{filename}",
        "HF_HUB_CACHE": str(home / "hub"),
        "HF_TOKEN_PATH": str(home / "token"),
        "HF_HUB_OFFLINE": False,
        "HF_HUB_DISABLE_XET": True,
    }
    for name, value in settings.items():
        monkeypatch.setattr(huggingface_hub.constants, name, value)
    if kept := sys.modules.get("transformers.utils.hub"):  # a client of its own, of an earlier test's hub
        monkeypatch.setattr(kept, "_hf_api", None, raising=False)
    huggingface_hub.close_session()


@pytest.fixture
def used_hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[HubServer]:
    """An empty hub, and this process as its user; a module calls it `hub` by an assignment."""
    with serve_hub_server() as server:
        use_hub(monkeypatch, server, tmp_path / "home")
        yield server

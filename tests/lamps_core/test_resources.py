from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from lamps_core.resources import cache_folder, data_path

if TYPE_CHECKING:
    from pathlib import Path


def test_the_cache_folder_follows_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("LAMPS_CACHE", raising=False)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache_folder() == tmp_path / ".cache" / "lamps"
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert cache_folder() == tmp_path / "xdg" / "lamps"
    monkeypatch.setenv("LAMPS_CACHE", str(tmp_path / "own"))
    assert cache_folder() == tmp_path / "own"


def test_a_data_file_that_is_missing_says_so() -> None:
    with pytest.raises(FileNotFoundError, match=r"nosuch\.yaml is missing"):
        data_path("nosuch.yaml")

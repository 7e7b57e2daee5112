from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from lamps_core.errors import BadInput
from lamps_core.locks import held, held_if_free, locked

if TYPE_CHECKING:
    from pathlib import Path


def test_a_lock_that_others_share_is_free_once_none_holds_it(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    with held(path, with_others=True), held(path, with_others=True), held_if_free(path) as free:
        assert not free
    with held_if_free(path) as free:
        assert free


def test_a_second_run_on_a_folder_is_refused_until_the_first_has_ended(tmp_path: Path) -> None:
    with locked(str(tmp_path)), pytest.raises(BadInput, match="in use by another"), locked(str(tmp_path)):
        pass
    with locked(str(tmp_path)):
        pass

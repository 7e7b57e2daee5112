"""What the search flow keeps of a front of which not every model can be saved; without a server."""

from __future__ import annotations

from functools import partial
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import pytest

from flows.search import _export_front
from lamps_core.errors import CandidateFailed

if TYPE_CHECKING:
    from lamps_core.search.run import SearchRun


def test_what_was_saved_is_noted_though_another_model_could_not_be(monkeypatch: pytest.MonkeyPatch) -> None:
    noted: dict[str, Any] = {}
    asked = [SimpleNamespace(last=SimpleNamespace(name=name)) for name in ("gone", "good")]
    run = SimpleNamespace(exports=lambda: asked, drop_result=lambda: None, exported=noted.__setitem__)

    def measured(name: str) -> dict[str, Any]:
        if name == "gone":
            raise CandidateFailed("its checkpoint is gone")
        return {"test_loss": 0.5}

    def submit(request: Any) -> Any:
        return SimpleNamespace(result=partial(measured, request.last.name))

    monkeypatch.setattr("flows.search.export_model", SimpleNamespace(submit=submit))
    with pytest.raises(CandidateFailed, match="its checkpoint is gone"):
        _export_front(cast("SearchRun", run))
    assert noted == {"good": {"test_loss": 0.5}}

"""What the hub refuses, and what is refused before it is asked: each in one line, and nothing is lost."""

from __future__ import annotations

import base64
import pickle
import threading
from typing import TYPE_CHECKING

import huggingface_hub.constants
import pytest
from huggingface_hub import HfApi

from lamps_core.errors import BadInput, HubFailed, LampsError, PushFailed
from lamps_core.hub.access import check_push, hub_error, passing_fault
from lamps_core.hub.download import find
from lamps_core.policies.loading import shipped_policy
from tests.dask_cluster import free_port
from tests.hub_repositories import Account
from tests.hub_server import TOKEN, HubServer
from tests.hub_user import push, used_hub
from tests.meta_datasets import family_rows, write_meta_dataset

if TYPE_CHECKING:
    from pathlib import Path

hub = used_hub


@pytest.fixture
def curves(tmp_path: Path) -> Path:
    return write_meta_dataset(tmp_path / "curves", family_rows(3, 4, steps=3))


@pytest.mark.parametrize(
    "readme", [b"my thesis", b"---\n{[\n---\n", b"---\n- a\n---\n", b"---\ntags: lamps-curves\n---\n\xff"]
)
def test_somebody_elses_work_is_not_written_over(hub: HubServer, curves: Path, readme: bytes) -> None:
    before = hub.add("dataset", "ada/precious", {"README.md": readme, "data.csv": b"1"}).branches["main"]
    with pytest.raises(BadInput, match="holds something that LAMPS did not push there"):
        push(curves, "ada/precious")
    with pytest.raises(BadInput, match="holds something that LAMPS did not push there"):
        push(curves, "ada/precious", revision="v2")
    assert hub.dataset("ada/precious").branches == {"main": before}


def test_a_repository_of_somebody_else_is_refused_in_one_line(hub: HubServer, curves: Path) -> None:
    hub.add("dataset", "eve/curves", {})
    with pytest.raises(BadInput, match="push to eve/curves: the token may not do that"):
        push(curves, "eve/curves")
    hub.accounts.clear()
    with pytest.raises(BadInput, match="does not know the token"):
        push(curves, "ada/curves")


@pytest.mark.parametrize(
    "failing", [("POST", "/api/repos/create", 500), ("POST", "/commit/", 503), ("GET", "/api/models", 502)]
)
def test_a_hub_that_fails_midway_can_be_asked_again_and_nothing_is_half_there(
    hub: HubServer, failing: tuple[str, str, int]
) -> None:
    hub.failing.append(failing)
    with pytest.raises(HubFailed, match=f"push to ada/policy: {hub.endpoint} answered {failing[2]}"):
        push(shipped_policy("pool"), "ada/policy")
    if ("model", "ada/policy") in hub.repositories:
        assert set(hub.model("ada/policy").files()) == {".gitattributes"}
    push(shipped_policy("pool"), "ada/policy")
    assert "weights.safetensors" in hub.model("ada/policy").files()


def test_an_upload_refused_by_the_storage_names_the_hub_not_the_client(hub: HubServer) -> None:
    hub.failing.append(("POST", "info/lfs/objects/batch", 403))
    with pytest.raises(BadInput, match="push to ada/policy: the token may not do that"):
        push(shipped_policy("pool"), "ada/policy")


def test_a_mirror_without_xet_storage_is_told_how_to_do_without(
    hub: HubServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_DISABLE_XET", False)
    with pytest.raises(HubFailed, match="a mirror without Xet storage needs HF_HUB_DISABLE_XET=1"):
        push(shipped_policy("pool"), "ada/policy")


def test_a_change_at_the_same_time_is_not_lost(hub: HubServer) -> None:
    hub.failing.append(("POST", "/commit/", 412))
    with pytest.raises(HubFailed, match="somebody else changed it at the same time"):
        push(shipped_policy("pool"), "ada/policy")


# --- Before anything runs


def test_a_push_that_cannot_succeed_is_refused_before_anything_runs(
    hub: HubServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    check_push("ada/reviews")
    check_push("team/reviews")
    with pytest.raises(
        BadInput, match=r"the token is of ada, who does not belong to eve: name one of ada/\.\.\., team"
    ):
        check_push("eve/reviews")
    with pytest.raises(BadInput, match="names no repository"):
        check_push("reviews")
    with pytest.raises(BadInput, match="leaves no room"):
        check_push(f"ada/{'x' * 90}", of_a_front=True)
    hub.accounts[TOKEN] = Account("ada", role="read")
    with pytest.raises(BadInput, match="the token may only read"):
        check_push("ada/reviews")
    hub.accounts.clear()
    with pytest.raises(BadInput, match="does not know the token"):
        check_push("ada/reviews")
    for status in (404, 429):  # nobody who could tell, or would: what the push meets will show
        hub.down = status
        check_push("ada/reviews")
    hub.down = 503
    with pytest.raises(HubFailed, match="answered 503"):
        check_push("ada/reviews")
    monkeypatch.delenv("HF_TOKEN")
    with pytest.raises(BadInput, match="there is no token of the hub: set HF_TOKEN"):
        check_push("ada/reviews")
    check_push("ada/reviews", needs_token=False)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(BadInput, match="switched off here"):
        check_push("ada/reviews", needs_token=False)
    assert hub.written() == []


def test_a_hub_that_takes_its_time_is_not_waited_for_without_end(
    hub: HubServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lamps_core.hub.access.HUB_TIMEOUT_SECONDS", 0.2)
    monkeypatch.setattr("lamps_core.hub.download.HUB_TIMEOUT_SECONDS", 0.2)
    hub.held = threading.Event()
    try:
        with pytest.raises(HubFailed, match=r"does not answer, or broke off \(ReadTimeout\)"):
            check_push("ada/reviews")
        with pytest.raises(BadInput, match=r"broke off \(ReadTimeout\); nor is it in the cache"):
            find("ada/policy")
    finally:
        hub.held.set()


def test_no_error_tells_the_token(hub: HubServer) -> None:
    for status in (400, 401, 403, 404, 409, 429, 500):
        hub.down = status
        with pytest.raises(LampsError) as told:
            push(shipped_policy("pool"), "ada/policy")
        assert TOKEN not in str(told.value)
        assert "\n" not in str(told.value)


def test_a_password_in_the_address_of_a_mirror_is_not_told(
    hub: HubServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        huggingface_hub.constants, "ENDPOINT", hub.endpoint.replace("//", "//ada:mirror-secret@")
    )
    hub.accounts["Basic " + base64.b64encode(b"ada:mirror-secret").decode()] = Account("ada")
    (pushed,) = push(shipped_policy("pool"), "ada/policy")
    assert pushed.url == f"{hub.endpoint}/ada/policy"
    for status in (400, 403, 404, 412, 500):
        hub.down = status
        with pytest.raises(LampsError, match=f"{hub.endpoint} ") as told:
            push(shipped_policy("pool"), "ada/policy")
        assert "secret" not in str(told.value)


def test_a_file_of_this_machine_that_cannot_be_read_is_not_the_hubs_failure(tmp_path: Path) -> None:
    model = tmp_path / "model.safetensors"
    with pytest.raises(OSError, match="No such file") as missing:
        model.read_bytes()
    wrapped = RuntimeError("Error while uploading")  # as the client does it in the threads of an upload
    wrapped.__cause__ = missing.value
    for error in (missing.value, wrapped):
        told = hub_error(error, "push to ada/best", "https://hub.example")
        assert isinstance(told, BadInput)
        assert str(told) == f"push to ada/best: {model} cannot be used (No such file or directory)"


def error_of_asking(endpoint: str) -> Exception:
    try:
        HfApi(endpoint).model_info("ada/bert")
    except Exception as error:
        return error
    raise AssertionError("it answered")


def test_a_hub_that_fails_or_is_silent_may_be_asked_again_whatever_a_library_made_of_it(
    hub: HubServer,
) -> None:
    told: dict[int, HubFailed | None] = {}
    for hub.down in (401, 403, 404, 429, 500, 503):
        error = ValueError("the configuration does not load")
        error.__cause__ = error_of_asking(hub.endpoint)
        told[hub.down] = passing_fault(error, "the model cannot be loaded")
    assert {status for status, fault in told.items() if fault} == {429, 500, 503}
    assert str(told[429]) == f"the model cannot be loaded: {hub.endpoint} answered 429"
    silent = error_of_asking(f"http://127.0.0.1:{free_port()}")
    in_xet = (
        "Task error: File reconstruction error: CAS Client Error: Request middleware error: error sending"
    )
    for cause in (silent, RuntimeError(in_xet)):
        wrapped = OSError("We couldn't connect to the hub to load the files")
        wrapped.__context__ = cause
        fault = passing_fault(wrapped, "the model cannot be loaded")
        assert f"does not answer, or broke off ({type(cause).__name__}" in str(fault)
    assert passing_fault(OSError("model.safetensors is damaged"), "the model cannot be loaded") is None


def test_a_failed_push_comes_back_from_another_process_with_its_result() -> None:
    failed = pickle.loads(pickle.dumps(PushFailed("the hub is down", {"front": []})))
    assert (str(failed), failed.result) == ("the hub is down", {"front": []})

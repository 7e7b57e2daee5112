from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from lamps_core.host.devices import Devices
from lamps_core.models.availability import Availability, fit_here
from lamps_core.models.candidates import HUB_THREADS
from tests.local_hub import Hub, HubUser

if TYPE_CHECKING:
    from pathlib import Path

GIB = 2**30
CPU = Devices((), 16 * GIB, "cpu")
ASK = """
import dataclasses, json, sys
from lamps_core.models.availability import ask_hub
names, limit_seconds = json.loads(sys.argv[1])
answers = ask_hub(names, limit_seconds=limit_seconds)
print(json.dumps({name: dataclasses.astuple(answer) for name, answer in answers.items()}))
"""
GPUS = Devices(("0", "1", "2", "3"), 40 * GIB, "some GPU")


@pytest.mark.parametrize(
    ("parameters", "devices", "expected"),
    [
        (110_000_000, CPU, Availability(True, "fits")),
        (110_000_000, GPUS, Availability(True, "fits")),
        (7_500_000_000, GPUS, Availability(True, "fits on 4 devices")),
        (None, GPUS, Availability(None, "size not known")),
    ],
)
def test_what_fits_says_on_how_many_devices(
    parameters: int | None, devices: Devices, expected: Availability
) -> None:
    assert fit_here(parameters, devices) == expected


def test_what_is_too_big_says_so_with_figures() -> None:
    answer = fit_here(7_500_000_000, CPU)
    assert answer.ok is False
    assert answer.found.startswith("too big: needs about 120 GiB, there is at most 1 device of 16 GiB")


# --- The hub


@pytest.fixture
def user(tmp_path: Path) -> HubUser:
    return HubUser(tmp_path)


def asked(
    user: HubUser, *names: str, limit_seconds: float = 20.0, **environment: Any
) -> dict[str, list[object]]:
    """[ok, found] of each name."""
    answers: dict[str, list[object]] = user.ask(ASK, json.dumps([names, limit_seconds]), **environment)
    assert list(answers) == list(dict.fromkeys(names))
    return answers


def test_the_hub_is_asked_for_each_and_gated_ones_for_the_right_to_load_them(hub: Hub, user: HubUser) -> None:
    hub.add("some/open")
    hub.add("some/pickle", ("config.json", "tokenizer.json", "pytorch_model.bin"))
    hub.add("some/granted", gated="manual")
    hub.answers["some/granted/auth-check"] = (200, {}, {})
    hub.add("some/denied", gated="auto")
    hub.refuse("some/denied/auth-check")
    hub.refuse("some/hidden")
    hub.answers["some/broken"] = (503, {}, {})
    hub.answers["some/portal"] = (200, {}, b"<html>please log in</html>")
    names = ("open", "pickle", "granted", "denied", "hidden", "nosuch", "broken", "portal", "open")
    answers = asked(user, *(f"some/{name}" for name in names), HF_ENDPOINT=hub.endpoint)
    gated = [False, "gated: accept its licence on the hub and set HF_TOKEN"]
    assert answers == {
        "some/open": [True, "reachable"],
        "some/pickle": [None, "reachable; no safetensors weights on its main branch"],
        "some/granted": [True, "gated, open to this token"],
        "some/denied": gated,
        "some/hidden": gated,
        "some/nosuch": [False, "not on the hub, or private"],
        "some/broken": [None, "the hub answers with status 503"],
        "some/portal": [None, "hub not reachable"],
    }
    assert not list(user.home.rglob("*.safetensors"))


def test_a_hub_that_keeps_silent_is_given_up_in_time(hub: Hub, user: HubUser) -> None:
    names = [f"slow/model-{number}" for number in range(3 * HUB_THREADS)]
    answers = asked(user, *names, limit_seconds=0.5, HF_ENDPOINT=hub.endpoint)
    assert answers == {name: [None, "hub not reachable"] for name in names}
    assert len(hub.asked) <= HUB_THREADS


def test_what_was_answered_in_time_is_kept(hub: Hub, user: HubUser) -> None:
    hub.add("some/open")
    answers = asked(user, "some/open", "slow/model", HF_ENDPOINT=hub.endpoint)
    assert answers == {"some/open": [True, "reachable"], "slow/model": [None, "hub not reachable"]}


@pytest.mark.parametrize(
    ("environment", "found"),
    [
        ({"HF_ENDPOINT": "http://127.0.0.1:9"}, "hub not reachable"),
        ({"HF_HUB_OFFLINE": "1"}, "hub not reachable: HF_HUB_OFFLINE is set"),
    ],
    ids=["no hub", "offline"],
)
def test_without_a_hub_each_says_so_and_whether_the_cache_has_it(
    environment: dict[str, Any], found: str, user: HubUser
) -> None:
    user.cache("some/cached")
    answers = asked(user, "some/model", "some/cached", "other/model", **environment)
    assert answers == {
        "some/model": [None, found],
        "some/cached": [True, f"{found}, but the cache has it"],
        "other/model": [None, found],
    }

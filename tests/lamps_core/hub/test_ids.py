from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from huggingface_hub.utils._validators import validate_repo_id
from hypothesis import given
from hypothesis import strategies as st

from lamps_core.errors import BadInput
from lamps_core.hub.ids import HubId, check_repository, front_repositories, hub_id

if TYPE_CHECKING:
    from pathlib import Path


@given(
    st.lists(
        st.text(st.characters(codec="utf-8"), min_size=1, max_size=150), min_size=1, max_size=8, unique=True
    ),
    st.from_regex(r"[a-z0-9]{1,12}/[a-z0-9]{1,70}", fullmatch=True),
)
def test_every_candidate_of_any_name_gets_a_legal_repository_of_its_own(
    names: list[str], target: str
) -> None:
    repositories = front_repositories(target, names)
    assert list(repositories) == names
    for repository in repositories.values():
        validate_repo_id(repository)
        assert repository.startswith(f"{target}-")
    assert len({repository.lower() for repository in repositories.values()}) == len(names)


def test_names_that_would_meet_in_one_repository_are_told_apart() -> None:
    first, second = front_repositories("me/x", ["a/b-c", "a-b/c"]).values()
    assert first != second
    assert first.startswith("me/x-a-b-c-")


def test_a_target_without_room_for_candidates_is_refused() -> None:
    with pytest.raises(BadInput, match="leaves no room"):
        front_repositories(f"me/{'x' * 80}", ["zoo/bert-tiny"])


def test_what_is_there_as_a_path_is_no_hub_id(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert hub_id("org/curves@v1") == HubId("org/curves", "v1")
    (tmp_path / "org/curves").mkdir(parents=True)
    assert hub_id("org/curves") is None
    assert hub_id("org/curves@v1") is not None


@pytest.mark.parametrize(
    "text", ["/abs/path", "../org", "~/x", "name", "a/b/c", "org/p.zip", "org/a--b", "org/", ""]
)
def test_what_can_be_nothing_but_a_path_is_no_hub_id(text: str) -> None:
    assert hub_id(text) is None


@pytest.mark.parametrize(
    "text",
    ["reviews", "me/re views", "me/reviews@main", "me/a..b", "/x", f"me/{'x' * 97}", "", "me/reviews.git"],
)
def test_what_names_no_repository_is_refused_with_the_option(text: str) -> None:
    with pytest.raises(BadInput, match=r"--push-to-hub .* names no repository of the hub"):
        check_repository(text, "--push-to-hub")

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lamps_core.errors import BadInput
from lamps_core.models.candidates import Candidate, presets, resolve_candidates
from lamps_core.models.zoo import zoo_entry, zoo_names
from lamps_core.registry import registered_models
from tests.local_hub import Hub, HubUser, model_folder, serve_hub

if TYPE_CHECKING:
    from collections.abc import Iterator

NAMES = ("alpha", "beta", "gamma", "delta")


@pytest.fixture(scope="module")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> Path:
    shelf = tmp_path_factory.mktemp("models")
    for name in NAMES:
        model_folder(shelf, name)
    return shelf


# --- Local folders, zoo names, presets and list files


def test_a_local_folder_is_named_by_its_own_name_and_lies_at_an_absolute_path(
    shelf: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = [Candidate("alpha", "local", str(shelf / "alpha"), None, None)]
    monkeypatch.chdir(shelf)
    for spelling in ("alpha", "./alpha", "alpha/", f"{shelf}/beta/../alpha"):
        assert resolve_candidates(spelling) == expected
    monkeypatch.chdir(shelf / "alpha")
    assert resolve_candidates(".") == expected


@given(chosen=st.lists(st.sampled_from(NAMES), min_size=1))
def test_order_is_kept_and_repeats_are_dropped_in_a_list_and_in_a_file(
    chosen: list[str], tmp_path_factory: pytest.TempPathFactory, shelf: Path
) -> None:
    paths = [str(shelf / name) for name in chosen]
    list_file = tmp_path_factory.mktemp("list") / "models.txt"
    list_file.write_text(
        "# my models\n\n" + "\n".join(f"  {path}  # why" for path in paths), encoding="utf-8-sig"
    )
    from_list = resolve_candidates(" , ".join(paths) + ",")
    assert [candidate.name for candidate in from_list] == list(dict.fromkeys(chosen))
    assert resolve_candidates(str(list_file)) == from_list


def test_a_zoo_name_is_built_and_carries_the_learning_rate_of_the_zoo(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LAMPS_CACHE", str(tmp_path))
    (candidate,) = resolve_candidates("zoo/bert-tiny")
    folder = Path(candidate.location)
    assert (folder / "model.safetensors").is_file()
    assert folder.is_relative_to(tmp_path)
    rate = zoo_entry("zoo/bert-tiny").learning_rate
    assert candidate == Candidate("zoo/bert-tiny", "zoo", str(folder), rate, None)


def test_presets_may_stand_beside_other_entries_and_overlap(shelf: Path) -> None:
    small = presets()["zoo-small"].models
    resolved = resolve_candidates(f"{shelf}/beta,zoo-small,{small[0]},zoo")
    names = [candidate.name for candidate in resolved]
    others = [name for name in zoo_names() if name not in small]
    assert names == ["beta", *small, *others]


def test_presets_hold_what_they_say() -> None:
    assert presets()["zoo"].models == zoo_names()
    assert set(presets()["zoo-small"].models) < set(zoo_names())
    assert presets()["paper"].models == tuple(registered_models())
    assert not {model for preset in presets().values() for model in preset.models} & presets().keys()


def test_a_folder_called_like_a_zoo_candidate_is_reached_by_a_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine = model_folder(tmp_path, "zoo/bert-tiny")
    monkeypatch.chdir(tmp_path)
    (candidate,) = resolve_candidates("./zoo/bert-tiny")
    assert candidate == Candidate("bert-tiny", "local", str(mine), None, None)


def test_two_folders_of_one_name_are_refused(shelf: Path, tmp_path: Path) -> None:
    other = model_folder(tmp_path, "alpha")
    with pytest.raises(BadInput, match=f"called alpha.*{other}.*rename one folder"):
        resolve_candidates(f"{shelf}/alpha,{other}")


@pytest.mark.parametrize("nothing", ["", " ", ",", " , ,"])
def test_nothing_given_is_refused_with_what_could_be_given(nothing: str) -> None:
    with pytest.raises(BadInput, match=r"no model given.*preset \(zoo, zoo-small, paper\)"):
        resolve_candidates(nothing)


def test_a_list_file_of_comments_alone_is_nothing_given(tmp_path: Path) -> None:
    (tmp_path / "models.txt").write_text("# later\n\n")
    with pytest.raises(BadInput, match="no model given"):
        resolve_candidates(str(tmp_path / "models.txt"))


@pytest.mark.parametrize(
    "tokenizer",
    [
        ("tokenizer.json",),
        ("tokenizer_config.json", "vocab.json"),
        ("vocab.txt",),
        ("vocab.json", "merges.txt"),
        ("spiece.model",),
        ("sentencepiece.bpe.model",),
        ("tokenizer.model",),
    ],
)
def test_every_common_form_of_tokenizer_is_enough(tokenizer: tuple[str, ...], tmp_path: Path) -> None:
    folder = model_folder(tmp_path, "mine", ("config.json", "model.safetensors", *tokenizer))
    assert [candidate.name for candidate in resolve_candidates(str(folder))] == ["mine"]


def test_sharded_weights_are_weights(tmp_path: Path) -> None:
    shards = ("model-00001-of-00002.safetensors", "model.safetensors.index.json")
    folder = model_folder(tmp_path, "large", ("config.json", "tokenizer.json", *shards))
    assert [candidate.name for candidate in resolve_candidates(str(folder))] == ["large"]


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ((), "has no config.json"),
        (("tokenizer.json", "model.safetensors"), "has no config.json"),
        (("config.json", "model.safetensors"), "has no tokenizer"),
        (("config.json", "model.safetensors", "tokenizer_config.json"), "has no tokenizer"),
        (("config.json", "model.safetensors", "merges.txt"), "has no tokenizer"),
        (("config.json", "tokenizer.json"), "has no safetensors weights"),
        (
            ("config.json", "tokenizer.json", "pytorch_model.bin"),
            r"has its weights as \.bin only.*use_safetensors=False",
        ),
        (("config.json", "tokenizer.json", "adapter_model.safetensors"), "has no safetensors weights"),
    ],
)
def test_a_folder_that_lacks_something_is_refused_by_name(
    files: tuple[str, ...], message: str, tmp_path: Path
) -> None:
    folder = model_folder(tmp_path, "mine", files)
    with pytest.raises(BadInput, match=f"{folder} {message}") as caught:
        resolve_candidates(str(folder))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("path", ["./nosuch", "/nosuch/model", "~nosuchuser/model", "a/b/c", "../x"])
def test_a_path_without_a_folder_is_refused_without_asking_the_hub(path: str) -> None:
    with pytest.raises(BadInput, match="is not there: no such folder"):
        resolve_candidates(path)


def test_an_unknown_zoo_name_is_refused_with_close_ones() -> None:
    with pytest.raises(BadInput, match=r"zoo/brt-tiny is not in the zoo.*did you mean.*zoo/bert-tiny"):
        resolve_candidates("zoo/brt-tiny")


def test_a_zoo_name_like_no_other_is_refused_with_the_closest() -> None:
    with pytest.raises(BadInput) as caught:
        resolve_candidates("zoo/0")
    assert "zoo/0 is not in the zoo (did you mean " in str(caught.value)
    assert sum(name in str(caught.value) for name in zoo_names()) >= 1


@pytest.mark.parametrize(
    ("lines", "first_bad"),
    [
        (["text,label", "hello,0"], "text,label is no preset"),
        (["# models", "zoo/bert-tiny", "zoo/brt-tiny", "./nosuch"], "zoo/brt-tiny is not in the zoo"),
        (["a/b/" + "long " * 99], "long.{0,5}\\.\\.\\. is not there"),
    ],
)
def test_a_file_that_is_no_list_of_models_is_named_with_its_first_bad_line(
    lines: list[str], first_bad: str, tmp_path: Path
) -> None:
    path = tmp_path / "five.csv"
    path.write_text("\n".join(lines))
    with pytest.raises(
        BadInput, match=f"five.csv was read as a list of models, one a line, .*: .*{first_bad}"
    ) as caught:
        resolve_candidates(str(path))
    assert "\n" not in str(caught.value)


def test_a_relative_folder_in_a_file_is_relative_to_the_file(
    shelf: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine = model_folder(tmp_path / "lists", "mine")
    decoy = model_folder(tmp_path, "mine")
    (tmp_path / "lists" / "models.txt").write_text(
        f"mine\n./mine/\n../lists/mine\n{shelf}/alpha\nzoo/bert-tiny\n"
    )
    for directory, spelling in (
        (tmp_path, "lists/models.txt"),
        (tmp_path / "lists", "models.txt"),
        (shelf, str(tmp_path / "lists" / "models.txt")),
    ):
        monkeypatch.chdir(directory)
        resolved = resolve_candidates(spelling)
        assert [candidate.name for candidate in resolved] == ["mine", "alpha", "zoo/bert-tiny"]
        assert resolved[0].location == str(mine) != str(decoy)


@pytest.mark.parametrize("line", ["./mine", "mine"])
def test_a_folder_that_lies_where_the_command_runs_but_not_beside_the_file_is_told_where_it_was_looked_for(
    line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model_folder(tmp_path, "mine")
    (tmp_path / "lists").mkdir()
    (tmp_path / "lists" / "models.txt").write_text(line)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(BadInput, match=f"folders as from {tmp_path / 'lists'}: {line} is "):
        resolve_candidates("lists/models.txt")


def test_a_file_inside_a_list_and_a_binary_file_are_refused(shelf: Path, tmp_path: Path) -> None:
    weights = tmp_path / "model.safetensors"
    weights.write_bytes(bytes(range(128, 256)))
    with pytest.raises(BadInput, match="is not a list of models"):
        resolve_candidates(str(weights))
    with pytest.raises(BadInput, match="is a file: give the model's folder"):
        resolve_candidates(f"{shelf}/alpha,{weights}")


def test_a_list_longer_than_a_file_name_may_be_is_a_list(shelf: Path) -> None:
    models = ",".join([str(shelf / "alpha")] * 2000)
    assert len(resolve_candidates(models)) == 1


# --- The hub: the real client in a process of its own, against a server on this machine


@pytest.fixture
def hub() -> Iterator[Hub]:
    with serve_hub() as hub:
        yield hub


RESOLVE = """
import dataclasses, json, sys
from lamps_core.models.candidates import resolve_candidates
from lamps_core.errors import BadInput
try:
    print(json.dumps([dataclasses.asdict(c) for c in resolve_candidates(sys.argv[1])]), flush=True)
except BadInput as error:
    print(json.dumps(str(error)), flush=True)
"""


@dataclass(frozen=True)
class Client:
    """A user with an empty home, asking a hub."""

    user: HubUser

    def start(self, models: str, **environment: str) -> subprocess.Popen[str]:
        return self.user.start(RESOLVE, models, **environment)

    def resolve(self, models: str, **environment: str) -> Any:
        """The candidates as dictionaries, or the text of the error."""
        return self.user.ask(RESOLVE, models, **environment)

    def error(self, models: str, **environment: str) -> str:
        answer = self.resolve(models, **environment)
        assert isinstance(answer, str), answer
        assert "\n" not in answer
        return answer


@pytest.fixture
def client(tmp_path: Path) -> Client:
    return Client(HubUser(tmp_path))


def test_hub_ids_are_checked_by_their_listing_and_downloaded_not_at_all(hub: Hub, client: Client) -> None:
    hub.add("bert-base-uncased")
    hub.add("some/model/revision/refs%2Fpr%2F1")
    hub.refuse("meta/gated")
    ids = "bert-base-uncased,some/model@refs/pr/1,meta/gated"
    resolved = client.resolve(ids, HF_ENDPOINT=hub.endpoint)
    assert [Candidate(**candidate) for candidate in resolved] == [
        Candidate("bert-base-uncased", "hub", "bert-base-uncased", None, None),
        Candidate("some/model@refs/pr/1", "hub", "some/model", None, "refs/pr/1"),
        Candidate("meta/gated", "hub", "meta/gated", None, None),
    ]
    assert sorted(path for path in hub.asked if not path.startswith("/api/")) == sorted(hub.answers)
    assert not list(client.user.home.rglob("*.safetensors"))


@pytest.mark.parametrize(
    ("models", "expected"),
    [
        ("some/nosuch", ["some/nosuch is no preset", "not on the hub", "HF_TOKEN"]),
        ("bert-tny", ["bert-tny is no preset (zoo, zoo-small, paper)", "did you mean zoo/bert-tiny"]),
        ("some/model@nosuch", ["some/model has no revision nosuch"]),
        ("some/model@", ["no revision after the @"]),
        ("some/notokenizer", ["some/notokenizer has no tokenizer"]),
        ("not a legal id!", ["not a legal id!", "no legal hub id"]),
        ("some/portal", ["cannot be asked", "HF_ENDPOINT"]),
        ("some/broken", ["cannot be asked (HfHubHTTPError)"]),
    ],
)
def test_a_hub_model_that_cannot_be_used_is_refused(
    models: str, expected: list[str], hub: Hub, client: Client
) -> None:
    hub.add("some/notokenizer", ("config.json", "model.safetensors"))
    hub.answers["some/model/revision/nosuch"] = (404, {"X-Error-Code": "RevisionNotFound"}, {})
    hub.answers["some/portal"] = (200, {}, b"<html>please log in</html>")
    hub.answers["some/broken"] = (503, {}, {})
    error = client.error(models, HF_ENDPOINT=hub.endpoint)
    assert [part for part in expected if part not in error] == []


def test_without_a_hub_the_error_names_what_else_it_could_have_been(client: Client) -> None:
    for environment in ({"HF_HUB_OFFLINE": "1"}, {"HF_ENDPOINT": "http://127.0.0.1:9"}):
        error = client.error("nosuchpreset", **environment)
        for part in ("nosuchpreset is no preset (zoo, zoo-small, paper), zoo name or local folder",
                     "not in the hub cache", "cannot be asked", "HF_ENDPOINT", "HF_HUB_OFFLINE"):  # fmt: skip
            assert part in error


def test_a_cached_model_needs_no_hub_and_an_incomplete_one_does(client: Client) -> None:
    client.user.cache("some/cached")
    client.user.cache("some/partial", ("config.json",))
    (resolved,) = client.resolve("some/cached", HF_HUB_OFFLINE="1")
    assert resolved["name"] == "some/cached"
    assert "some/partial is no preset" in client.error("some/cached,some/partial", HF_HUB_OFFLINE="1")


def test_one_bad_model_ends_the_check_while_others_still_wait(hub: Hub, client: Client) -> None:
    slow = [f"slow/model-{number}" for number in range(40)]
    process = client.start(",".join(["some/nosuch", *slow]), HF_ENDPOINT=hub.endpoint)
    assert process.stdout is not None
    error = process.stdout.readline()
    assert "some/nosuch is no preset" in error
    assert not hub.held.is_set()
    assert len(hub.asked) < 20
    hub.held.set()
    process.communicate(timeout=180)
    assert process.returncode == 0


def test_importing_candidates_imports_no_heavy_library() -> None:
    heavy = {"torch", "transformers", "huggingface_hub"}
    code = f"import sys, lamps_core.models.candidates; print({heavy} & sys.modules.keys())"
    output = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert output.stdout.strip() == "set()"

"""What is pushed, and how it comes back: the hub's own client against a server on this machine."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow.parquet
import pytest
import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from lamps_core.curves.reader import read_curves
from lamps_core.errors import BadInput
from lamps_core.fine_tuning.pretrained import load_model, load_tokenizer
from lamps_core.hub.download import curves_to_read, find
from lamps_core.models.candidates import resolve_candidates
from lamps_core.policies.loading import load_policy, shipped_policy
from lamps_core.policy_file import read_policy, write_policy
from lamps_core.publishing.push import uploads_of
from lamps_core.settings import FineTuningSettings
from tests.hub_server import TOKEN
from tests.hub_user import push, used_hub
from tests.meta_datasets import family_rows, write_failures, write_meta_dataset
from tests.searches import BETTER, TINY, quick_request, run_to_the_end

if TYPE_CHECKING:
    from tests.hub_server import HubServer

hub = used_hub

FRONT = {TINY: "ada/topics-zoo-bert-tiny", BETTER: "ada/topics-zoo-gpt2-tiny"}
TEXTS = ["rain and a cloud", "the old cheese", "violin song", ""]


@pytest.fixture(scope="module")
def searched(tmp_path_factory: pytest.TempPathFactory, topics_csv: Path) -> Path:
    """The folder of a small finished search, with a front of two."""
    out = tmp_path_factory.mktemp("searched") / "out"
    command = (
        f"lamps search --dataset {topics_csv} --input-col phrase --target-col topic --models {TINY},{BETTER} "
        f"--hub-token-block adas-block --out {out}"
    )
    settings = FineTuningSettings(landmarks=1, max_epochs=1)
    result = run_to_the_end(replace(quick_request(topics_csv, out, settings=settings), command=command))
    assert {row["model"] for row in result["front"]} == set(FRONT)
    return out


def logits(location: str) -> torch.Tensor:
    tokenizer = AutoTokenizer.from_pretrained(location)
    model = AutoModelForSequenceClassification.from_pretrained(location)
    with torch.inference_mode():
        return model(**tokenizer(TEXTS[:3], return_tensors="pt", padding=True)).logits


# --- Fronts


def test_every_front_model_is_a_private_repository_that_transformers_loads_alike(
    hub: HubServer, searched: Path
) -> None:
    pushed = push(searched, "ada/topics")
    assert {one.repository for one in pushed} == set(FRONT.values())
    assert all(one.private for one in pushed)
    for row in json.loads((searched / "result.json").read_text())["front"]:
        repository = FRONT[row["model"]]
        assert hub.model(repository).private
        assert torch.equal(logits(repository), logits(str(searched / row["path"])))
        config = json.loads(hub.model(repository).files()["config.json"])
        assert set(config["id2label"].values()) == {"food", "music", "weather"}


@pytest.mark.slow
def test_a_front_model_is_a_candidate_of_the_next_search(hub: HubServer, searched: Path) -> None:
    push(searched / "models/zoo--bert-tiny", "ada/best")
    (candidate,) = resolve_candidates("ada/best")
    assert (candidate.kind, candidate.location) == ("hub", "ada/best")
    tokenizer = load_tokenizer(candidate.location, revision=None, max_length=32)
    labels = ("food", "music", "weather")
    pad = tokenizer.pad_token_id
    model = load_model(candidate.location, revision=None, label_names=labels, pad_token_id=pad, seed=0)
    pushed = AutoModelForSequenceClassification.from_pretrained(searched / "models/zoo--bert-tiny")
    assert torch.equal(model.classifier.weight, pushed.classifier.weight)  # its head goes on with it


def test_nothing_but_weights_configuration_tokenizer_and_card_is_pushed(
    hub: HubServer, searched: Path, tmp_path: Path, topics_csv: Path
) -> None:
    out = tmp_path / "copy"
    shutil.copytree(searched, out)
    for name in ("notes.txt", "optimizer.safetensors.bak", "train.csv", "pytorch_model.bin", ".env"):
        (out / "models/zoo--bert-tiny" / name).write_text("secret")
    push(out, "ada/topics")
    for repository in FRONT.values():
        names = set(hub.model(repository).files()) - {".gitattributes"}
        assert names == {
            "README.md", "config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json",
        }  # fmt: skip
        told = json.loads(hub.model(repository).files()["tokenizer_config.json"])
        assert not {"name_or_path", "is_local", "local_files_only"} & set(told)
    texts = [line.partition(",")[0] for line in topics_csv.read_text().splitlines()[1:]]
    everything = b"".join(content for one in FRONT.values() for content in hub.model(one).files().values())
    for word in (str(searched), str(topics_csv), str(tmp_path), "adas-block", TOKEN, *texts):
        assert word.encode() not in everything


@pytest.mark.parametrize("content", ["[]", "[" * 100_000, "{"])
def test_a_damaged_configuration_is_refused_before_anything_is_pushed(
    hub: HubServer, searched: Path, tmp_path: Path, content: str
) -> None:
    out = tmp_path / "copy"
    shutil.copytree(searched, out)
    (out / "models/zoo--bert-tiny/tokenizer_config.json").write_text(content)
    with pytest.raises(BadInput, match=r"tokenizer_config.json is damaged .*: run the search again"):
        uploads_of(str(out), "ada/damaged")
    assert hub.written() == []


def test_the_card_names_the_search_its_numbers_and_the_rest_of_the_front(
    hub: HubServer, searched: Path
) -> None:
    push(searched, "ada/topics")
    result = json.loads((searched / "result.json").read_text())
    for row in result["front"]:
        repository = hub.model(FRONT[row["model"]])
        card, text = repository.card(), repository.files()["README.md"].decode()
        assert card["pipeline_tag"] == "text-classification"
        assert card["library_name"] == "transformers"
        assert "base_model" not in card  # the zoo is not on the hub
        (index,) = card["model-index"]
        metrics = {one["type"]: one["value"] for one in index["results"][0]["metrics"]}
        assert metrics == {"accuracy": row["accuracy"], "f1": row["macro_f1"], "loss": row["test_loss"]}
        said = [
            "| dataset | `topics`",
            f"`{result['lamps_version']}`",
            "| policy | `cheapest` |",
            "`test_loss`, `parameters`",
            f"**`{row['model']}`**",
            f"learning rate {row['learning_rate']}",
            f'model="{FRONT[row["model"]]}", truncation=True)',
            f"{row['test_loss']:.4f}",
            "lamps search --dataset topics --input-col phrase",
            "2, of which 2 complete and 0 failed",
            "compared on the test split",
        ]
        assert [words for words in said if words not in text] == []
        for other in result["front"]:
            assert other["model"] in text


def test_a_candidate_of_the_hub_is_the_base_model_on_its_card(
    hub: HubServer, searched: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    shutil.copytree(searched, out)
    for name in ("journal.jsonl", "result.json"):
        path = out / name
        path.write_text(path.read_text().replace(TINY, "bert-org/bert-tiny@v1"))
    lines = (out / "journal.jsonl").read_text().splitlines()
    header = json.loads(lines[0])
    del header["model_files"]["bert-org/bert-tiny@v1"]
    (out / "journal.jsonl").write_text("\n".join([json.dumps(header), *lines[1:], ""]))
    shutil.rmtree(out / "curves")
    push(out, "ada/topics")
    assert hub.model("ada/topics-bert-org-bert-tiny-v1").card()["base_model"] == "bert-org/bert-tiny"
    assert "base_model" not in hub.model(FRONT[BETTER]).card()


def test_one_front_model_goes_to_the_repository_that_is_named(hub: HubServer, searched: Path) -> None:
    (pushed,) = push(searched / "models/zoo--bert-tiny", "team/best", public=True)
    assert (pushed.repository, pushed.private) == ("team/best", False)
    assert pushed.url == f"{hub.endpoint}/team/best"
    assert "one of 2 models on the front" in hub.model("team/best").files()["README.md"].decode()


def test_what_is_no_finished_search_or_has_no_record_is_not_pushed(
    hub: HubServer, searched: Path, tmp_path: Path
) -> None:
    alone = tmp_path / "alone/models/zoo--bert-tiny"
    shutil.copytree(searched / "models/zoo--bert-tiny", alone)
    with pytest.raises(BadInput, match="no front model in the folder of a search"):
        uploads_of(str(alone), "ada/x")
    unfinished = tmp_path / "unfinished"
    shutil.copytree(searched, unfinished)
    (unfinished / "result.json").unlink()
    with pytest.raises(BadInput, match="is not finished: run its command again, then push"):
        uploads_of(str(unfinished), "ada/x")
    torn = tmp_path / "torn"
    shutil.copytree(searched, torn)
    (torn / "models/zoo--bert-tiny/model.safetensors").unlink()
    with pytest.raises(BadInput, match="has no safetensors weights"):
        uploads_of(str(torn), "ada/x")
    assert hub.written() == []


def test_a_second_push_of_the_same_changes_nothing_and_another_replaces_what_is_stale(
    hub: HubServer, searched: Path
) -> None:
    model = searched / "models/zoo--bert-tiny"
    (first,) = push(model, "ada/best")
    (again,) = push(model, "ada/best")
    assert again.commit == first.commit
    repository = hub.model("ada/best")
    stale = {**repository.files(), "model-00001-of-00002.safetensors": b"old", "handler.py": b"mine"}
    repository.commit("main", stale)
    push(model, "ada/best")
    assert "model-00001-of-00002.safetensors" not in repository.files()
    assert repository.files()["handler.py"] == b"mine"


def test_a_branch_is_pushed_to_and_loaded_by_its_name(hub: HubServer, searched: Path) -> None:
    (pushed,) = push(searched / "models/zoo--bert-tiny", "ada/best", revision="candidate")
    (again,) = push(searched / "models/zoo--bert-tiny", "ada/best", revision="candidate")
    assert (pushed.revision, again.commit) == ("candidate", pushed.commit)
    repository = hub.model("ada/best")
    assert "model.safetensors" in repository.files("candidate")
    assert "model.safetensors" not in repository.files("main")


# --- Curves and policies


@pytest.fixture(scope="module")
def curves(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_meta_dataset(tmp_path_factory.mktemp("meta") / "curves", family_rows(3, 4, steps=3))


def test_curves_come_back_equal_with_a_card_that_says_what_is_simulated(hub: HubServer, curves: Path) -> None:
    (pushed,) = push(curves, "ada/curves")
    assert (pushed.repo_type, pushed.url) == ("dataset", f"{hub.endpoint}/datasets/ada/curves")
    assert read_curves(curves_to_read("ada/curves")).equals(read_curves(curves))
    repository = hub.dataset("ada/curves")
    assert set(repository.files()) == {".gitattributes", "README.md", "curves.parquet"}
    assert repository.card()["configs"][0]["data_files"] == [{"split": "train", "path": "curves.parquet"}]
    text = repository.files()["README.md"].decode()
    assert "12 curves **simulated**" in text
    assert "lamps evaluate --curves ada/curves" in text


def test_failed_rows_and_their_words_stay_at_home(hub: HubServer, curves: Path, tmp_path: Path) -> None:
    folder = tmp_path / "curves"
    shutil.copytree(curves, folder)
    failed = {
        "dataset": ["d"],
        "model": ["m"],
        "seed": [0],
        "step": [0],
        "source": ["measured"],
        "status": ["failed"],
    }
    schema = read_curves(curves).schema
    columns = {name: failed.get(name, [None]) for name in schema.names} | {
        "error": ["/home/ada/model is broken"]
    }
    nullable = pyarrow.schema([field.with_nullable(True) for field in schema])
    pyarrow.parquet.write_table(pyarrow.table(columns, schema=nullable), folder / "failed.parquet")
    push(folder, "ada/curves")
    assert read_curves(curves_to_read("ada/curves")).equals(read_curves(curves))
    assert b"/home/ada" not in hub.dataset("ada/curves").files()["curves.parquet"]


def test_a_model_named_by_a_path_is_not_shown_to_the_hub(hub: HubServer, tmp_path: Path) -> None:
    rows = [row | {"model": f"/home/ada/{row['model']}"} for row in family_rows(2, 2, steps=2)]
    with pytest.raises(BadInput, match="is a path of this machine: rename it"):
        uploads_of(str(write_meta_dataset(tmp_path / "curves", rows)), "ada/curves")


@pytest.mark.parametrize("failed", [True, False])
def test_curves_that_all_failed_do_not_take_the_place_of_good_ones(tmp_path: Path, failed: bool) -> None:
    place = write_failures(tmp_path / "curves", ["a", "b"] if failed else [])
    with pytest.raises(BadInput, match=rf"{place}: holds no curve: every row is of status failed"):
        uploads_of(str(place), "ada/curves")


def test_a_policy_comes_back_equal_from_a_folder_or_a_zip(hub: HubServer, tmp_path: Path) -> None:
    zipped = shipped_policy("pool")
    write_policy(tmp_path / "folder", read_policy(zipped))
    (first,) = push(zipped, "ada/policy")
    (second,) = push(tmp_path / "folder", "ada/policy")
    assert first.commit == second.commit
    found = find("ada/policy")
    assert (found.name, found.commit) == ("ada/policy", first.commit)
    assert read_policy(found.path).digest() == read_policy(zipped).digest()
    names = read_policy(zipped).card.candidates
    assert load_policy("ada/policy", candidates=names).name == "ada/policy"
    assert hub.model("ada/policy").card()["tags"] == ["lamps", "lamps-policy"]


def test_a_local_path_wins_over_the_hub(
    hub: HubServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copytree(shipped_policy("pool").parent, tmp_path / "ada/policy")
    assert find("ada/policy").path == Path("ada/policy")
    assert hub.asked == []

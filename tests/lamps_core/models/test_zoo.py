from __future__ import annotations

import hashlib
import itertools
import json
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from lamps_core.errors import BadInput
from lamps_core.models import zoo
from lamps_core.models.zoo import materialise, zoo_entry, zoo_names
from lamps_core.resources import data_path

PAPER_FAMILIES = {"bert", "gpt2", "roberta", "opt", "llama", "distilbert", "albert", "luke", "qwen2"}
SHORT = "How far is it?"
LONG = "Who wrote the very long book about the history of Denmark, and in what year did it appear?"


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("a connection was tried")

    monkeypatch.setattr(socket.socket, "connect", refuse)


def load(folder: Path) -> tuple[Any, Any]:
    """The tokenizer, and the model with a head so wide that other texts give plainly other logits."""
    tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
    torch.manual_seed(0)
    model = AutoModelForSequenceClassification.from_pretrained(
        folder, num_labels=3, use_safetensors=True, trust_remote_code=False
    ).eval()
    head = getattr(model, "score", None) or model.classifier
    weights = getattr(head, "out_proj", head).weight
    torch.nn.init.normal_(weights, std=10.0)
    return tokenizer, model


def logits(model: Any, batch: Any) -> torch.Tensor:
    with torch.inference_mode():
        output = model(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"])
    result: torch.Tensor = output.logits
    return result


def digests(folder: Path) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.iterdir()}


@pytest.mark.parametrize("name", zoo_names())
@pytest.mark.usefixtures("no_network")
def test_a_text_has_the_same_finite_logits_alone_and_in_a_padded_batch(name: str, cache: Path) -> None:
    tokenizer, model = load(materialise(name, cache=cache))
    batch = tokenizer([SHORT, LONG], padding=True, return_tensors="pt")
    together = logits(model, batch)
    alone = logits(model, tokenizer([SHORT], return_tensors="pt"))
    assert batch["attention_mask"][0].tolist() == sorted(batch["attention_mask"][0].tolist(), reverse=True)
    assert together.isfinite().all()
    assert (together[0] - together[1]).abs().max() > 1e-2
    assert (together[0] - alone[0]).abs().max() < 1e-4


@pytest.mark.parametrize("name", zoo_names())
def test_the_longest_text_fills_128_tokens_and_fits_the_model(name: str, cache: Path) -> None:
    tokenizer, model = load(materialise(name, cache=cache))
    batch = tokenizer([LONG * 20], truncation=True, return_tensors="pt")
    assert batch["input_ids"].shape == (1, 128)
    assert logits(model, batch).isfinite().all()


@pytest.mark.parametrize("name", zoo_names())
def test_tokenizer_and_model_agree_on_vocabulary_and_special_tokens(name: str, cache: Path) -> None:
    tokenizer, model = load(materialise(name, cache=cache))
    assert type(tokenizer).__name__ == zoo_entry(name).tokenizer.class_name
    assert len(tokenizer) == model.config.vocab_size
    assert tokenizer.pad_token_id == model.config.pad_token_id
    assert tokenizer.padding_side == "right"
    assert tokenizer.decode(tokenizer(SHORT)["input_ids"], skip_special_tokens=True).lower() == SHORT.lower()


def test_parameters_spread_over_more_than_a_decade_between_50_thousand_and_5_million(cache: Path) -> None:
    sizes = sorted(
        sum(parameter.numel() for parameter in load(materialise(name, cache=cache))[1].parameters())
        for name in zoo_names()
    )
    assert sizes[0] >= 50_000
    assert sizes[-1] <= 5_000_000
    assert sizes[-1] / sizes[0] > 20
    assert all(larger / smaller < 2.5 for smaller, larger in itertools.pairwise(sizes))


def test_the_families_of_the_paper_are_there() -> None:
    assert {zoo_entry(name).model_type for name in zoo_names()} == PAPER_FAMILIES


def test_two_builds_have_the_same_bytes_and_leave_nothing_beside_them(cache: Path, tmp_path: Path) -> None:
    for name in zoo_names():
        first, second = materialise(name, cache=cache), materialise(name, cache=tmp_path)
        assert first.relative_to(cache) == second.relative_to(tmp_path)
        assert digests(first) == digests(second)
        assert [path.name for path in second.parent.iterdir()] == [second.name]


def test_a_built_candidate_is_returned_as_it_is(tmp_path: Path) -> None:
    folder = materialise("zoo/bert-tiny", cache=tmp_path)
    before = {path: path.stat().st_mtime_ns for path in folder.iterdir()}
    assert materialise("zoo/bert-tiny", cache=tmp_path) == folder
    assert {path: path.stat().st_mtime_ns for path in folder.iterdir()} == before


def test_building_leaves_the_random_state_of_the_caller_alone(tmp_path: Path) -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    materialise("zoo/bert-tiny", cache=tmp_path)
    assert torch.equal(torch.rand(3), expected)


def test_the_folder_holds_the_body_without_a_classification_head(cache: Path) -> None:
    from safetensors import safe_open

    for name in zoo_names():
        with safe_open(materialise(name, cache=cache) / "model.safetensors", framework="pt") as weights:
            assert not [key for key in weights.keys() if "classifier" in key or "score" in key]  # noqa: SIM118


def test_a_build_that_another_overtook_keeps_what_the_other_published(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    build, published = zoo._build, []

    def overtaken(entry: zoo.ZooEntry, folder: Path) -> None:
        monkeypatch.setattr(zoo, "_build", build)
        published.append(materialise("zoo/bert-tiny", cache=tmp_path).stat().st_ino)
        build(entry, folder)

    monkeypatch.setattr(zoo, "_build", overtaken)
    folder = materialise("zoo/bert-tiny", cache=tmp_path)
    assert published == [folder.stat().st_ino]
    assert [path.name for path in folder.parent.iterdir()] == ["bert-tiny"]


@pytest.mark.slow
def test_two_processes_may_build_the_same_candidate_at_once(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from lamps_core.models.zoo import materialise; sys.stdin.readline();"
        "import torch, transformers; print('ready', flush=True); sys.stdin.readline();"
        "print(materialise('zoo/bert-tiny', cache=Path(sys.argv[1])))"
    )
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", code, str(tmp_path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(2)
    ]
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("load\n")
        process.stdin.flush()
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    folders = {process.communicate("build\n", timeout=180)[0].strip() for process in processes}
    assert [process.returncode for process in processes] == [0, 0]
    (folder,) = map(Path, folders)
    assert [path.name for path in folder.parent.iterdir()] == ["bert-tiny"]
    load(folder)


def test_a_cache_that_cannot_be_written_is_bad_input_that_names_the_mend(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(BadInput, match="set LAMPS_CACHE"):
        materialise("zoo/bert-tiny", cache=tmp_path / "file")


def test_an_unknown_name_lists_the_zoo() -> None:
    with pytest.raises(BadInput, match="zoo/bert-huge is not in the zoo, which holds zoo/bert-tiny"):
        zoo_entry("zoo/bert-huge")


def test_importing_the_zoo_imports_neither_torch_nor_transformers() -> None:
    used = "from lamps_core.models.zoo import zoo_entry, zoo_names; zoo_entry(zoo_names()[0]).fingerprint"
    code = f"import sys; {used}; print({{'torch', 'transformers'}} & sys.modules.keys())"
    output = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert output.stdout.strip() == "set()"


def test_the_vocabularies_have_their_special_tokens_where_the_families_expect_them() -> None:
    bpe = json.loads(data_path("zoo/bpe/vocab.json").read_text(encoding="utf-8"))
    wordpiece = data_path("zoo/wordpiece/vocab.txt").read_text(encoding="utf-8").splitlines()
    assert (bpe["<s>"], bpe["<pad>"], bpe["</s>"]) == (0, 1, 2)
    assert wordpiece[:5] == ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    assert len(set(wordpiece)) == len(wordpiece) == len(bpe) == 4096

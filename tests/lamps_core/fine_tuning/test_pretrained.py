from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file
from transformers import AutoConfig, AutoModel, AutoModelForSequenceClassification, AutoTokenizer

from lamps_core.errors import CandidateFailed, HubFailed, typed_line
from lamps_core.fine_tuning.pretrained import (
    READ_AT_END,
    is_out_of_memory,
    load_model,
    load_tokenizer,
    refuse_damaged,
    usable_length,
)
from lamps_core.models.zoo import materialise
from tests.encoder_decoders import bart, t5
from tests.hub_user import used_hub

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.hub_server import HubServer

hub = used_hub

LABELS = ("food", "music", "weather")
TRIES_OF_A_FILE = 3  # by transformers, at most
POSITIONS_END = [
    "bert",
    "roberta",
    "distilbert",
    "albert",
    "gpt2",
    "opt",
    "luke",
]  # Llama's and Qwen2's do not


def model_in(folder: Path, *, labels: tuple[str, ...] = LABELS, seed: int = 0) -> Any:
    return load_model(str(folder), revision=None, label_names=labels, pad_token_id=1, seed=seed)


def tokenizer_in(folder: Path, *, max_length: int = 512) -> Any:
    return load_tokenizer(str(folder), revision=None, max_length=max_length)


def same_weights(first: Any, second: Any) -> dict[str, bool]:
    other = second.state_dict()
    return {name: torch.equal(weight, other[name]) for name, weight in first.state_dict().items()}


# --- The tokenizer -----------------------------------------------------------------------------------------


def test_a_tokenizer_without_padding_pads_with_its_end_token(edited: Callable[..., Path]) -> None:
    folder = edited("zoo/gpt2-tiny", file="tokenizer_config.json", pad_token=None)
    assert AutoTokenizer.from_pretrained(folder).pad_token_id is None
    tokenizer = tokenizer_in(folder)
    assert tokenizer.pad_token_id == tokenizer.eos_token_id is not None


def test_a_model_whose_tokenizer_had_no_padding_classifies_a_batch(edited: Callable[..., Path]) -> None:
    folder = edited("zoo/gpt2-tiny", file="tokenizer_config.json", pad_token=None)
    tokenizer = tokenizer_in(folder)
    model = load_model(
        str(folder), revision=None, label_names=LABELS, pad_token_id=tokenizer.pad_token_id, seed=0
    ).eval()
    texts = ["rain", "a very old song with a drum"]
    with torch.inference_mode():
        together = model(**tokenizer(texts, padding=True, return_tensors="pt")).logits
        alone = [model(**tokenizer(text, return_tensors="pt")).logits[0] for text in texts]
    torch.testing.assert_close(together, torch.stack(alone), atol=1e-5, rtol=0)


@pytest.mark.parametrize(("family", "special"), [("bert", 2), ("gpt2", 0), ("luke", 2)])
def test_a_length_with_no_room_beside_the_special_tokens_is_a_failure_with_the_least_one(
    family: str, special: int
) -> None:
    folder = materialise(f"zoo/{family}-tiny")
    kept = tokenizer_in(folder, max_length=special + 1)("a very old song", truncation=True)["input_ids"]
    assert len(kept) == special + 1
    for too_short in range(1, special + 1):
        with pytest.raises(
            CandidateFailed, match=f"of {too_short} tokens .* {special + 1} or more are needed"
        ):
            tokenizer_in(folder, max_length=too_short)


@pytest.mark.parametrize("family", POSITIONS_END)
def test_the_usable_length_is_the_longest_text_that_the_model_takes(
    edited: Callable[..., Path], family: str
) -> None:
    folder = edited(f"zoo/{family}-tiny", file="tokenizer_config.json", model_max_length=None)
    tokenizer = tokenizer_in(folder, max_length=100_000)
    longest = tokenizer.model_max_length
    model = model_in(folder).eval()
    token = tokenizer("rain")["input_ids"][1 if family != "gpt2" else 0]

    def classify(length: int) -> None:
        ids = torch.full((1, length), token)
        model(input_ids=ids, attention_mask=torch.ones_like(ids))

    classify(longest)
    with pytest.raises((IndexError, RuntimeError)):
        classify(longest + 1)


@pytest.mark.parametrize(
    ("model_type", "said_by_tokenizer", "asked", "usable"),
    [
        ("roberta", 10**30, 512, 128),
        ("bert", 10**30, 512, 130),
        ("bert", 100, 512, 100),
        ("bert", 100, 20, 20),
        ("roberta", 100, 512, 100),
        ("xlnet", 10**30, 512, 512),
    ],
)
def test_the_usable_length_is_the_least_of_what_model_tokenizer_and_user_say(
    model_type: str, said_by_tokenizer: int, asked: int, usable: int
) -> None:
    sizes = {} if model_type == "xlnet" else {"max_position_embeddings": 130}
    config = AutoConfig.for_model(model_type, **sizes)
    tokenizer = AutoTokenizer.from_pretrained(materialise("zoo/bert-tiny"))
    tokenizer.model_max_length = said_by_tokenizer
    assert usable_length(config, tokenizer, asked) == usable


@pytest.mark.parametrize("family", ["bert", "gpt2", "llama"])
def test_padding_goes_to_the_right(edited: Callable[..., Path], family: str) -> None:
    folder = edited(f"zoo/{family}-tiny", file="tokenizer_config.json", padding_side="left")
    assert tokenizer_in(folder).padding_side == "right"


def test_padding_goes_to_the_left_for_xlnet_as_its_saved_tokenizer_does(edited: Callable[..., Path]) -> None:
    folder = edited("zoo/bert-tiny", file="tokenizer_config.json", padding_side=None)
    transformers.XLNetConfig(vocab_size=4096, d_model=8, n_layer=1, n_head=1, d_inner=8).save_pretrained(
        folder
    )
    tokenizer = tokenizer_in(folder)
    assert tokenizer.padding_side == "left"
    tokenizer.save_pretrained(folder)
    assert AutoTokenizer.from_pretrained(folder).padding_side == "left"


MARKED_UP = ["rain", "</s>", "was <s>old price</s> now", "</s> </s>x</</s>s>"]


@pytest.mark.parametrize("family", [bart, t5])
def test_the_end_token_is_not_found_in_a_text_where_the_head_reads_at_it(
    family: Callable[[Path], Path], tmp_path: Path
) -> None:
    folder = family(tmp_path / "model")
    plain = AutoTokenizer.from_pretrained(folder)
    assert max(ids.count(plain.eos_token_id) for ids in plain(MARKED_UP)["input_ids"]) > 1
    tokenizer = tokenizer_in(folder)
    rows = tokenizer(MARKED_UP)["input_ids"]
    assert [ids.count(tokenizer.eos_token_id) for ids in rows] == [1] * len(MARKED_UP)
    assert {ids[-1] for ids in rows} == {plain.eos_token_id}
    unmarked = ["rain and wind", "", "a < b"]
    assert tokenizer(unmarked)["input_ids"] == plain(unmarked)["input_ids"]
    tokenizer.save_pretrained(folder)
    saved = AutoTokenizer.from_pretrained(folder)
    assert saved(MARKED_UP)["input_ids"] == rows
    assert saved.model_max_length == tokenizer.model_max_length


@pytest.mark.parametrize("family", ["bert", "roberta", "gpt2"])
def test_other_models_find_their_special_tokens_in_a_text(family: str) -> None:
    tokenizer = tokenizer_in(materialise(f"zoo/{family}-tiny"))
    token = tokenizer.sep_token or tokenizer.eos_token
    assert (
        tokenizer.convert_tokens_to_ids(token)
        in tokenizer(f"a{token}b", add_special_tokens=False)["input_ids"]
    )


def test_the_models_whose_heads_read_at_the_end_token_are_those_of_transformers() -> None:
    code = Path(transformers.__file__).parent / "models"
    reading = {
        path.parent.name
        for path in code.glob("*/modeling_*.py")
        if "must have the same number of <eos> tokens" in path.read_text(encoding="utf-8")
    }
    assert reading == READ_AT_END


# --- The model ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("family", ["bert", "gpt2", "roberta", "distilbert"])
def test_the_head_is_drawn_from_the_seed_and_the_body_from_the_file(family: str) -> None:
    folder = materialise(f"zoo/{family}-tiny")
    first, again, other = (model_in(folder, seed=seed) for seed in (3, 3, 4))
    assert all(same_weights(first, again).values())
    body = AutoModel.from_pretrained(folder).state_dict()
    prefix = f"{first.base_model_prefix}."
    told = same_weights(first, other)
    assert {name for name, same in told.items() if not same} == {
        name for name in told if not name.startswith(prefix) and name.endswith("weight")
    }
    for name, weight in first.state_dict().items():
        if name.startswith(prefix):
            assert torch.equal(weight, body[name.removeprefix(prefix)])


def test_labels_and_padding_are_in_the_config(tmp_path: Path) -> None:
    model = model_in(materialise("zoo/gpt2-tiny"))
    model.save_pretrained(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    assert config["id2label"] == {"0": "food", "1": "music", "2": "weather"}
    assert config["pad_token_id"] == 1
    assert config["problem_type"] == "single_label_classification"


def test_one_label_alone_is_no_regression() -> None:
    model = model_in(materialise("zoo/bert-tiny"), labels=("only",))
    ids = torch.tensor([[2, 5, 3]])
    assert model(input_ids=ids, labels=torch.tensor([0])).loss.item() == 0.0  # of one class, all is certain


def test_weights_in_bf16_are_loaded_as_fp32(tmp_path: Path) -> None:
    folder = tmp_path / "bf16"
    shutil.copytree(materialise("zoo/bert-tiny"), folder)
    AutoModel.from_pretrained(folder, dtype=torch.bfloat16).save_pretrained(folder)
    stored = load_file(folder / "model.safetensors")
    assert {weight.dtype for weight in stored.values()} == {torch.bfloat16}
    model = model_in(folder)
    assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}
    name = "embeddings.word_embeddings.weight"
    assert torch.equal(model.bert.state_dict()[name], stored[name].float())


def test_a_head_for_other_classes_gives_way_to_a_new_one(tmp_path: Path) -> None:
    folder = tmp_path / "five"
    shutil.copytree(materialise("zoo/bert-tiny"), folder)
    AutoModelForSequenceClassification.from_pretrained(folder, num_labels=5).save_pretrained(folder)
    model = model_in(folder, seed=3)
    assert model.classifier.weight.shape == (3, 16)
    assert torch.isfinite(model.classifier.weight).all()
    assert torch.equal(model.classifier.weight, model_in(folder, seed=3).classifier.weight)


def test_a_checkpoint_of_these_classes_keeps_its_head(tmp_path: Path) -> None:
    first = model_in(materialise("zoo/bert-tiny"), seed=3)
    first.save_pretrained(tmp_path)
    assert all(same_weights(first, model_in(tmp_path, seed=4)).values())


@pytest.mark.parametrize("family", ["bert", "distilbert", "llama"])
def test_weights_begin_at_whole_cache_lines_wherever_they_lay_in_the_file(family: str) -> None:
    model = model_in(materialise(f"zoo/{family}-tiny"))
    assert {parameter.data_ptr() % 64 for parameter in model.parameters()} == {0}


# --- What is refused ---------------------------------------------------------------------------------------


def test_a_folder_with_pickled_weights_only_is_refused(edited: Callable[..., Path]) -> None:
    folder = edited("zoo/bert-tiny")
    torch.save(load_file(folder / "model.safetensors"), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()
    with pytest.raises(CandidateFailed, match=r"cannot be loaded: .*safetensors"):
        model_in(folder)


@pytest.mark.parametrize("kept_bytes", [0, 4, 200])
def test_damaged_weights_are_refused(edited: Callable[..., Path], kept_bytes: int) -> None:
    file = edited("zoo/bert-tiny") / "model.safetensors"
    file.write_bytes(file.read_bytes()[:kept_bytes])
    with pytest.raises(
        CandidateFailed, match=r"the model cannot be loaded: its folder has a model\.safetensors that"
    ):
        refuse_damaged(str(file.parent))
    with pytest.raises(CandidateFailed, match="the model cannot be loaded: SafetensorError"):
        model_in(file.parent)


@pytest.mark.parametrize(
    ("config", "reason"),
    [
        ({"num_attention_heads": 3}, "not a multiple"),
        ({"hidden_act": "nope"}, "nope"),
        ({"model_type": "nope"}, "nope"),
        ({"hidden_size": "wide"}, "hidden_size"),
        ({"vocab_size": 10}, "bert.embeddings.word_embeddings.weight has not the shape"),
    ],
)
def test_a_config_that_does_not_fit_is_refused_with_the_reason(
    edited: Callable[..., Path], config: dict[str, Any], reason: str
) -> None:
    with pytest.raises(CandidateFailed, match=reason) as refused:
        model_in(edited("zoo/bert-tiny", **config))
    assert "\n" not in str(refused.value)


def test_weights_of_another_architecture_are_refused(edited: Callable[..., Path]) -> None:
    folder = edited("zoo/bert-tiny")
    foreign = {f"other.{name}": weight for name, weight in load_file(folder / "model.safetensors").items()}
    save_file(foreign, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(CandidateFailed, match=r"\d+ of its \d+ weights are not in its file"):
        model_in(folder)


def test_a_checkpoint_that_lacks_a_part_of_the_body_is_refused_and_not_filled_at_random(
    edited: Callable[..., Path],
) -> None:
    folder = edited("zoo/bert-tiny")
    weights = load_file(folder / "model.safetensors")
    lost = next(name for name in sorted(weights) if "word_embeddings" in name)
    kept = {name: weight for name, weight in weights.items() if name != lost}
    save_file(kept, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(CandidateFailed, match=r"1 of its \d+ weights are not in its file, .*word_embeddings"):
        model_in(folder)


def test_a_folder_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CandidateFailed, match="the tokenizer or configuration cannot be loaded"):
        tokenizer_in(tmp_path / "gone")
    with pytest.raises(CandidateFailed, match="the model cannot be loaded"):
        model_in(tmp_path / "gone")


def test_a_damaged_tokenizer_is_refused(edited: Callable[..., Path]) -> None:
    folder = edited("zoo/bert-tiny")
    (folder / "tokenizer.json").write_text("{")
    with pytest.raises(CandidateFailed, match="the tokenizer or configuration cannot be loaded"):
        tokenizer_in(folder)


@pytest.mark.parametrize("model_type", ["bert", "of-its-own"])
def test_code_in_a_candidates_folder_is_never_run(edited: Callable[..., Path], model_type: str) -> None:
    modules = {
        "AutoConfig": "own.OwnConfig",
        "AutoModel": "own.OwnModel",
        "AutoModelForSequenceClassification": "own.OwnModel",
        "AutoTokenizer": ["own.OwnTokenizer", "own.OwnTokenizer"],
    }
    folder = edited("zoo/bert-tiny", auto_map=modules, model_type=model_type)
    told = json.loads((folder / "tokenizer_config.json").read_text())
    (folder / "tokenizer_config.json").write_text(
        json.dumps(told | {"auto_map": {"AutoTokenizer": modules["AutoTokenizer"]}})
    )
    trace = folder / "it-ran"
    (folder / "own.py").write_text(f"open({str(trace)!r}, 'w')\nraise SystemExit('it ran')\n")
    for load in (tokenizer_in, model_in):
        try:
            load(folder)
        except CandidateFailed:
            assert model_type == "of-its-own"
    assert not trace.exists()


# --- The hub -----------------------------------------------------------------------------------------------


@pytest.fixture
def on_the_hub(hub: HubServer) -> HubServer:
    files = {path.name: path.read_bytes() for path in materialise("zoo/bert-tiny").iterdir()}
    hub.add("model", "ada/bert", files)
    return hub


def load_from_the_hub() -> None:
    load_tokenizer("ada/bert", revision=None, max_length=32)
    load_model("ada/bert", revision=None, label_names=LABELS, pad_token_id=1, seed=0)


@pytest.mark.parametrize(
    ("file", "what"),
    [
        ("/config.json", "tokenizer or configuration"),
        ("/tokenizer.json", "tokenizer or configuration"),
        ("/model.safetensors", "model"),
    ],
)
@pytest.mark.parametrize("status", [500, 503])
def test_a_hub_that_fails_while_a_model_loads_may_be_asked_again(
    on_the_hub: HubServer, file: str, what: str, status: int
) -> None:
    on_the_hub.failing += TRIES_OF_A_FILE * [("GET", file, status)]
    with pytest.raises(HubFailed) as failed:
        load_from_the_hub()
    assert str(failed.value) == f"the {what} cannot be loaded: {on_the_hub.endpoint} answered {status}"
    on_the_hub.failing.clear()
    load_from_the_hub()


def test_what_the_hub_refuses_is_a_failure_of_the_candidate(on_the_hub: HubServer) -> None:
    with pytest.raises(CandidateFailed, match=r"cannot be loaded: .*not a valid model identifier"):
        load_tokenizer("ada/none", revision=None, max_length=32)
    on_the_hub.failing += TRIES_OF_A_FILE * [("GET", "/config.json", 403)]
    with pytest.raises(CandidateFailed, match=r"cannot be loaded: OSError: .*Forbidden"):
        load_from_the_hub()


# --- Memory ------------------------------------------------------------------------------------------------


def test_a_real_failure_to_allocate_is_told_from_other_errors() -> None:
    with pytest.raises(RuntimeError) as ran_out:
        torch.empty(2**60, dtype=torch.uint8)
    assert is_out_of_memory(ran_out.value)
    with pytest.raises(RuntimeError) as mismatch:
        torch.ones(2, 3) @ torch.ones(2, 3)
    assert not is_out_of_memory(mismatch.value)
    assert is_out_of_memory(MemoryError())
    assert is_out_of_memory(torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 MiB"))
    assert is_out_of_memory(
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate`")
    )


def test_memory_that_runs_out_while_loading_is_told_as_such(edited: Callable[..., Path]) -> None:
    folder = edited("zoo/bert-tiny", vocab_size=10**13)
    with pytest.raises(RuntimeError) as ran_out:
        model_in(folder)
    assert is_out_of_memory(ran_out.value)


def test_a_mirrors_password_is_in_no_reason_of_a_failure() -> None:
    told = typed_line(OSError("We couldn't connect to 'http://ada:s3cret@mirror.example' to load the files"))
    assert "mirror.example" in told
    assert "s3cret" not in told

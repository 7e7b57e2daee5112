"""A pretrained model and its tokenizer, loaded safely for classification.

Owns the traps of `transformers`: padding tokens, padding side, usable length, dtype, the new head. Loads
safetensors only and never runs a model's own code. Knows nothing of training.
"""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
import transformers
from tokenizers import normalizers
from transformers import (
    AutoConfig,
    AutoModelForSequenceClassification,
    AutoTokenizer,
    PreTrainedTokenizerFast,
)

from lamps_core.errors import CandidateFailed, typed_line
from lamps_core.hub.access import passing_fault
from lamps_core.models.folder import weights_flaw

if TYPE_CHECKING:
    from collections.abc import Sequence

UNKNOWN_LENGTH = 1_000_000  # transformers writes 1e30 where a tokenizer does not say its longest text
# Their positions begin after the padding id, so that many of the table are out of reach.
OFFSET_POSITIONS = frozenset(
    {"roberta", "xlm-roberta", "xlm-roberta-xl", "roberta-prelayernorm", "camembert", "luke", "mpnet",
     "longformer", "data2vec-text", "xmod", "ibert", "esm"}
)  # fmt: skip
LEFT_PADDED = frozenset({"xlnet"})
# Their heads read the state at the end token, of which every row must hold as many: one in a text is never meant.
READ_AT_END = frozenset({"bart", "bigbird_pegasus", "mbart", "mt5", "mvp", "plbart", "t5", "umt5"})
# What training gives a model. Its saved tokenizer gives it no more: GPT-2 adds an embedding for token types.
MODEL_INPUTS = ("input_ids", "attention_mask")
# An error of these types, or one of these libraries' own, while a model loads is about that model.
LOADING_ERRORS = (OSError, ValueError, KeyError, RuntimeError, ImportError, TypeError, AttributeError)
LOADING_LIBRARIES = frozenset({"builtins", "huggingface_hub", "safetensors", "safetensors_rust"})


def load_tokenizer(location: str, *, revision: str | None, max_length: int) -> Any:
    """The tokenizer, padded as its model needs and cut to what the model can take.

    Saved, it makes of a text what it makes here.

    Args:
        location: a local folder or a hub id.
        revision: of a hub id.
        max_length: the longest text asked for, in tokens.

    Raises:
        CandidateFailed: it cannot be loaded, with the library's reason, or leaves no room for a text.
        HubFailed: the hub failed or gave no answer.
    """
    tokenizer, config = _loaded(
        lambda: _tokenizer_and_config(location, revision), "tokenizer or configuration"
    )
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token or tokenizer.unk_token
    if tokenizer.pad_token_id is None:
        raise CandidateFailed(f"the tokenizer of {location} has no padding, end or unknown token")
    tokenizer.model_max_length = length = usable_length(config, tokenizer, max_length)
    special = tokenizer.num_special_tokens_to_add()
    if length <= special:  # the library would not cut at all
        raise CandidateFailed(
            f"of {length} tokens (--max-length, or what the model takes) the tokenizer's own {special} leave none for "
            f"a text: {special + 1} or more are needed"
        )
    return tokenizer


def _tokenizer_and_config(location: str, revision: str | None) -> tuple[Any, Any]:
    config = AutoConfig.from_pretrained(location, revision=revision, trust_remote_code=False)
    read_at_end = config.model_type in READ_AT_END
    options: dict[str, Any] = {  # set here, not after: else they are not saved
        "model_input_names": list(MODEL_INPUTS),
        "padding_side": "left" if config.model_type in LEFT_PADDED else "right",
    }
    if read_at_end:
        options["split_special_tokens"] = True
    tokenizer = AutoTokenizer.from_pretrained(location, revision=revision, trust_remote_code=False, **options)
    return (_blind_to_its_end(tokenizer) if read_at_end else tokenizer), config


def _blind_to_its_end(tokenizer: Any) -> Any:
    """The same tokenizer, to which the name of its end token in a text is characters like others.

    `split_special_tokens` is enough for BPE. A Unigram model (T5's) has the name among its pieces: there, a space is
    set into it, by the rules for all texts. The classes of `transformers` make those rules anew as they load, but
    for the one that takes a saved tokenizer as it is.
    """
    end = tokenizer.eos_token
    found = tokenizer(end, add_special_tokens=False)["input_ids"] if end else []
    if not tokenizer.is_fast or tokenizer.eos_token_id not in found:
        return tokenizer
    backend = tokenizer.backend_tokenizer
    rules = [backend.normalizer] if backend.normalizer is not None else []
    backend.normalizer = normalizers.Sequence([*rules, normalizers.Replace(end, f"{end[0]} {end[1:]}")])
    return PreTrainedTokenizerFast(
        tokenizer_object=backend,
        split_special_tokens=True,
        model_input_names=tokenizer.model_input_names,
        model_max_length=tokenizer.model_max_length,
        padding_side=tokenizer.padding_side,
        truncation_side=tokenizer.truncation_side,
        **tokenizer.special_tokens_map,
    )


def refuse_damaged(location: str) -> None:
    """Look at the weights of a candidate's own folder before they are loaded; of a hub id nothing is here to be seen.

    Raises:
        CandidateFailed: they are cut short or lack a shard; how to mend that.
    """
    if flaw := weights_flaw(Path(location)):
        raise CandidateFailed(f"the model cannot be loaded: its folder {flaw}")


def usable_length(config: Any, tokenizer: Any, max_length: int) -> int:
    """The most tokens of a text that the model can take, at most `max_length`."""
    limits = [max_length]
    positions = getattr(config, "max_position_embeddings", None)
    if isinstance(positions, int) and positions > 0:
        offset = (config.pad_token_id or 0) + 1 if config.model_type in OFFSET_POSITIONS else 0
        limits.append(positions - offset)
    if tokenizer.model_max_length < UNKNOWN_LENGTH:
        limits.append(int(tokenizer.model_max_length))
    return min(limits)


def load_model(
    location: str, *, revision: str | None, label_names: Sequence[str], pad_token_id: int, seed: int
) -> Any:
    """The model with a classification head for these labels, in fp32 on the CPU.

    The head, where the checkpoint has none that fits, is drawn from `seed`. Weights are fp32 whatever the
    checkpoint holds: bf16 weights at a fine-tuning rate hardly move.

    Raises:
        CandidateFailed: it cannot be loaded, with the library's reason, or its weights are of another model.
        HubFailed: the hub failed or gave no answer.
    """
    transformers.set_seed(seed)
    names = dict(enumerate(label_names))
    model, report = _loaded(
        lambda: AutoModelForSequenceClassification.from_pretrained(
            location,
            revision=revision,
            num_labels=len(names),
            id2label=names,
            label2id={name: index for index, name in names.items()},
            problem_type="single_label_classification",
            dtype=torch.float32,
            trust_remote_code=False,
            use_safetensors=True,
            ignore_mismatched_sizes=True,
            output_loading_info=True,
        ),
        "model",
    )
    _refuse_random_body(model, report)
    _align(model)
    model.config.pad_token_id = pad_token_id
    return model


def _align(model: Any) -> None:
    """Move the weights out of the mapped file, where they begin at any byte.

    Matrix products on a CPU round by the alignment of what they multiply: the same weights from another file
    gave another loss (1e-8).
    """
    for tensor in itertools.chain(model.parameters(), model.buffers()):
        tensor.data = tensor.data.clone()


def _refuse_random_body(model: Any, report: dict[str, Any]) -> None:
    """`ignore_mismatched_sizes` is for the head: it would draw a body that does not fit at random, too."""
    prefix = f"{model.base_model_prefix}."
    body = {name for name, _ in model.named_parameters() if name.startswith(prefix)}
    unfit = sorted(body & {name for name, *_ in report["mismatched_keys"]})
    if unfit:
        raise CandidateFailed(f"the model cannot be loaded: {unfit[0]} has not the shape its config says")
    missing = sorted(name for name in body & set(report["missing_keys"]) if "pooler" not in name)
    if missing:
        raise CandidateFailed(
            f"the model cannot be loaded: {len(missing)} of its {len(body)} weights are not in its file, "
            f"{missing[0]} first"
        )


def _loaded(load: Any, what: str) -> Any:
    try:
        return load()
    except Exception as error:
        if is_out_of_memory(error):
            raise
        told = f"the {what} cannot be loaded"
        passing = passing_fault(error, told)
        if passing is not None:
            raise passing from error
        if not isinstance(error, LOADING_ERRORS) and _library(error) not in LOADING_LIBRARIES:
            raise
        gated = "gated repo" in str(error).lower() or type(error).__name__ == "GatedRepoError"
        mend = "; accept its licence on the hub and set HF_TOKEN" if gated else ""
        raise CandidateFailed(f"{told}: {typed_line(error)}{mend}") from error


def _library(error: Exception) -> str:
    return type(error).__module__.partition(".")[0]


OUT_OF_MEMORY_SIGNS = (
    "out of memory",
    "can't allocate memory",
    "cannot allocate memory",
    "not enough memory",
    "cublas_status_alloc_failed",
    "cudnn_status_not_supported. this error may appear if you passed in a non-contiguous",
)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error of torch, CUDA or the operating system says that memory ran out."""
    if isinstance(error, MemoryError | torch.cuda.OutOfMemoryError):
        return True
    return any(sign in str(error).lower() for sign in OUT_OF_MEMORY_SIGNS)

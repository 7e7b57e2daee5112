"""Tiny encoder-decoders whose classification heads read the state at the end token, with random weights."""

from __future__ import annotations

from typing import TYPE_CHECKING

from transformers import AutoTokenizer, BartConfig, BartModel, T5Config, T5Model, T5Tokenizer

from lamps_core.models.zoo import materialise

if TYPE_CHECKING:
    from pathlib import Path

LETTERS = "</>abcdefghijklmnopqrstuvwxyz"


def bart(folder: Path) -> Path:
    """BART with a byte-level BPE tokenizer."""
    tokenizer = AutoTokenizer.from_pretrained(materialise("zoo/roberta-tiny"))
    tokenizer.save_pretrained(folder)
    heads = {"encoder_attention_heads": 2, "decoder_attention_heads": 2}
    layers = {"encoder_layers": 1, "decoder_layers": 1, "encoder_ffn_dim": 32, "decoder_ffn_dim": 32}
    sizes = {"vocab_size": len(tokenizer), "d_model": 16, "max_position_embeddings": 128, "dropout": 0.0}
    BartModel(BartConfig(**sizes, **heads, **layers)).save_pretrained(folder)
    return folder


def t5(folder: Path) -> Path:
    """T5 with a Unigram tokenizer of letters; its name for the end token is one of its pieces, as in the real one."""
    pieces = [("\u2581", -2.0), *((letter, -3.0) for letter in LETTERS)]
    tokenizer = T5Tokenizer(vocab=[("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), *pieces], extra_ids=4)
    tokenizer.save_pretrained(folder)
    sizes = {
        "vocab_size": len(tokenizer),
        "d_model": 16,
        "d_kv": 8,
        "d_ff": 32,
        "num_layers": 1,
        "num_heads": 2,
    }
    T5Model(T5Config(**sizes, dropout_rate=0.0, decoder_start_token_id=0)).save_pretrained(folder)
    return folder

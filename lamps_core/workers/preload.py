"""What the fork server imports once, so that a worker forked from it is ready at once.

Loads one tiny model through the same calls as a real one: most of their cost is paid at the first use.
Runs on one thread and touches no GPU: a process that has started either cannot be forked safely. Where torch knows
accelerators it takes no step of training either: the first backward pass looks for them, and where it finds one, no
process that is forked from this one can train.
"""

from __future__ import annotations

import gc
import importlib
import os
import tempfile

os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
# Threads that spin while they wait made a tiny model 40 times slower beside other work (docs/log.md).
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import torch

torch.set_num_threads(1)

FAMILIES = (
    "albert", "bert", "distilbert", "gpt2", "llama", "luke", "opt", "qwen2", "roberta", "xlm_roberta",
)  # fmt: skip


def warm_up() -> None:
    """Import what a landmark step uses, and load and run one tiny model."""
    import transformers
    from transformers import BertConfig, BertForSequenceClassification

    transformers.utils.logging.disable_progress_bar()
    importlib.import_module("lamps_core.fine_tuning.landmark_step")
    for family in FAMILIES:
        importlib.import_module(f"transformers.models.{family}.modeling_{family}")
    from lamps_core.fine_tuning.pretrained import load_model

    sizes = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1, "intermediate_size": 8}
    with tempfile.TemporaryDirectory(prefix="lamps-preload-") as folder:
        BertForSequenceClassification(BertConfig(vocab_size=8, **sizes)).save_pretrained(folder)
        model = load_model(folder, revision=None, label_names=("a", "b"), pad_token_id=0, seed=0)
    loss = model(torch.zeros((1, 2), dtype=torch.long)).logits.sum()
    # Of this build of torch: no device is touched to tell.
    if torch.accelerator.current_accelerator() is None:
        loss.backward()
        torch.optim.AdamW(model.parameters(), fused=True).step()
    # What is imported by now never becomes garbage. Searched for it, each worker wrote to all of its pages once.
    del model, loss
    gc.collect()
    gc.freeze()


warm_up()

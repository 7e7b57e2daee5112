from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
import transformers
from accelerate.state import AcceleratorState
from hypothesis import given
from hypothesis import strategies as st
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from lamps_core.errors import CandidateFailed
from lamps_core.fine_tuning.pretrained import load_model, load_tokenizer
from lamps_core.fine_tuning.tokens import TokenisedSplit, tokenise
from lamps_core.fine_tuning.training import (
    FineTune,
    evaluate,
    evaluation_batches,
    forward_flops_per_token,
    macro_f1,
    resolve_precision,
    start_fine_tune,
    train_epoch,
    update_batches,
)
from lamps_core.models.zoo import materialise
from lamps_core.settings import FineTuningSettings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from lamps_core.text.dataset import TextDataset, TextSplit

SETTINGS = FineTuningSettings(learning_rate=5e-3, batch_size=8, max_length=32, seed=7, precision="fp32")
FAMILIES = ["bert", "roberta", "distilbert", "albert", "gpt2", "opt", "llama", "qwen2", "luke"]


def load(
    folder: Path, texts: TextSplit, settings: FineTuningSettings = SETTINGS
) -> tuple[FineTune, TokenisedSplit]:
    """A fresh fine-tune of the candidate in a folder, and the texts as its tokens."""
    tokenizer = load_tokenizer(str(folder), revision=None, max_length=settings.max_length)
    split = tokenise(texts.texts, texts.labels, tokenizer, max_length=tokenizer.model_max_length)
    model = load_model(
        str(folder),
        revision=None,
        label_names=("food", "music", "weather"),
        pad_token_id=tokenizer.pad_token_id,
        seed=settings.seed,
    )
    return start_fine_tune(model, settings), split


def rows_of(split: TokenisedSplit) -> np.ndarray:
    return np.arange(len(split))


def plain_loss(folder: Path, weights: dict[str, Any], texts: TextSplit) -> float:
    """The loss as a user of transformers alone would measure it: one batch, the tokenizer's own padding."""
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForSequenceClassification.from_pretrained(folder, num_labels=3).eval()
    model.load_state_dict(weights)
    batch = tokenizer(list(texts.texts), padding=True, truncation=True, max_length=32, return_tensors="pt")
    with torch.inference_mode():
        logits = model(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"]).logits
    return float(torch.nn.functional.cross_entropy(logits, torch.from_numpy(texts.labels)))


def largest_difference(first: FineTune, second: FineTune) -> float:
    other = second.model.state_dict()
    return max(float((weight - other[name]).abs().max()) for name, weight in first.model.state_dict().items())


# --- The update --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("family", ["bert", "gpt2", "luke"])
def test_without_dropout_the_micro_batch_changes_nothing_but_rounding(
    still: Callable[[str], Path], topics_dataset: TextDataset, family: str
) -> None:
    folder = still(f"zoo/{family}-tiny")
    losses, afterwards = [], []
    settings = dataclasses.replace(SETTINGS, learning_rate=1e-3)
    for rows in (8, 3, 1):
        tune, split = load(folder, topics_dataset.train, settings)
        tune.micro_batch_size = rows
        losses.append(train_epoch(tune, split, rows_of(split), settings, step=2))
        afterwards.append(evaluate(tune, split).loss)
    assert losses == pytest.approx([losses[0]] * 3, abs=1e-6)
    assert afterwards == pytest.approx([afterwards[0]] * 3, abs=1e-5)


@pytest.mark.parametrize("family", ["roberta", "opt"])
def test_an_epoch_is_that_of_a_plain_loop_of_torch(
    still: Callable[[str], Path], topics_dataset: TextDataset, family: str
) -> None:
    folder, texts = still(f"zoo/{family}-tiny"), topics_dataset.train
    settings = dataclasses.replace(SETTINGS, learning_rate=1e-3, max_grad_norm=0.5)
    tune, split = load(folder, texts, settings)
    tune.micro_batch_size = 3
    model = AutoModelForSequenceClassification.from_pretrained(folder, num_labels=3).train()
    model.load_state_dict(tune.model.state_dict())
    tokenizer = AutoTokenizer.from_pretrained(folder)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=0.0)
    losses = []
    for rows in update_batches(rows_of(split), settings, 3):
        batch = tokenizer([texts.texts[row] for row in rows], padding=True, return_tensors="pt")
        logits = model(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"]).logits
        loss = torch.nn.functional.cross_entropy(logits, torch.from_numpy(texts.labels[rows]))
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 0.5)
        optimizer.step()
        losses.append(float(loss.detach()))
    assert train_epoch(tune, split, rows_of(split), settings, step=3) == pytest.approx(
        np.mean(losses), abs=1e-5
    )
    plain = model.state_dict()
    for name, weight in tune.model.state_dict().items():
        torch.testing.assert_close(weight, plain[name], atol=1e-4, rtol=0)


def test_a_few_epochs_teach_a_tiny_model_the_topics(topics_dataset: TextDataset) -> None:
    tune, split = load(materialise("zoo/gpt2-tiny"), topics_dataset.train)
    before = evaluate(tune, split)
    for step in range(1, 9):
        train_epoch(tune, split, rows_of(split), SETTINGS, step=step)
    after = evaluate(tune, split)
    assert after.loss < before.loss / 2
    assert after.accuracy > 0.9


def test_an_epoch_over_no_rows_changes_nothing(topics_dataset: TextDataset) -> None:
    tune, split = load(materialise("zoo/bert-tiny"), topics_dataset.train)
    fresh, _ = load(materialise("zoo/bert-tiny"), topics_dataset.train)
    assert train_epoch(tune, split, np.array([], dtype=np.int64), SETTINGS, step=1) == 0.0
    assert largest_difference(tune, fresh) == 0.0


def test_dropout_is_drawn_anew_in_each_step_and_from_the_seed(topics_dataset: TextDataset) -> None:
    def first_loss(seed: int, step: int) -> float:
        settings = dataclasses.replace(
            SETTINGS, batch_size=64
        )  # one update: the loss is of untrained weights
        tune, split = load(materialise("zoo/bert-tiny"), topics_dataset.train)
        return train_epoch(tune, split, rows_of(split), dataclasses.replace(settings, seed=seed), step=step)

    assert first_loss(7, 1) == first_loss(7, 1)
    assert len({first_loss(7, 1), first_loss(7, 2), first_loss(8, 1)}) == 3


def test_progress_counts_the_updates(topics_dataset: TextDataset) -> None:
    tune, split = load(materialise("zoo/bert-tiny"), topics_dataset.train)
    told: list[tuple[int, int]] = []
    train_epoch(
        tune, split, rows_of(split)[:20], SETTINGS, step=1, progress=lambda *count: told.append(count)
    )
    assert told == [(0, 3), (1, 3), (2, 3)]


def test_a_loss_that_is_no_number_fails_the_candidate(topics_dataset: TextDataset) -> None:
    tune, split = load(materialise("zoo/bert-tiny"), topics_dataset.train)
    with torch.no_grad():
        tune.model.classifier.weight.fill_(float("nan"))
    with pytest.raises(
        CandidateFailed,
        match="evaluation loss is nan: the weights are no numbers, or --learning-rate is too high",
    ):
        evaluate(tune, split)
    with pytest.raises(CandidateFailed, match="training loss of step 2 is nan: try a lower --learning-rate"):
        train_epoch(tune, split, rows_of(split), SETTINGS, step=2)


def test_the_rate_is_the_papers_where_none_is_set(topics_dataset: TextDataset) -> None:
    settings = dataclasses.replace(SETTINGS, learning_rate=None)
    tune, _ = load(materialise("zoo/bert-tiny"), topics_dataset.train, settings)
    group = tune.optimizer.state_dict()["param_groups"][0]
    assert (group["lr"], group["weight_decay"]) == (7e-6, 0.0)


# --- The evaluation ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("family", FAMILIES)
def test_the_evaluation_loss_is_that_of_plain_transformers_however_it_is_batched(
    topics_dataset: TextDataset, family: str
) -> None:
    folder, texts = materialise(f"zoo/{family}-tiny"), topics_dataset.evaluation
    tune, split = load(folder, texts)
    expected = plain_loss(folder, tune.model.state_dict(), texts)
    for tokens_in_batch in (1, 50, 100_000):  # a row alone needs no padding at all
        tune.evaluation_tokens = tokens_in_batch
        assert evaluate(tune, split).loss == pytest.approx(expected, abs=1e-5)


def test_the_evaluation_does_not_depend_on_the_order_of_rows(topics_dataset: TextDataset) -> None:
    folder, texts = materialise("zoo/opt-tiny"), topics_dataset.evaluation
    tune, split = load(folder, texts)
    shuffled = texts.take(np.random.default_rng(0).permutation(len(texts)))
    _, other = load(folder, shuffled)
    assert not np.array_equal(other.labels, split.labels)
    first, second = evaluate(tune, split), evaluate(tune, other)
    assert second.loss == pytest.approx(first.loss, abs=1e-6)
    assert (second.accuracy, second.macro_f1) == (first.accuracy, first.macro_f1)


def test_padding_to_the_left_does_not_show_in_xlnets_loss(
    edited: Callable[..., Path], topics_dataset: TextDataset
) -> None:
    folder = edited("zoo/bert-tiny")
    config = transformers.XLNetConfig(vocab_size=4096, d_model=16, n_layer=2, n_head=2, d_inner=32)
    torch.manual_seed(0)
    transformers.XLNetModel(config).save_pretrained(folder)
    tune, split = load(folder, topics_dataset.evaluation)
    with torch.no_grad():
        tune.model.logits_proj.weight.mul_(50)  # so that a trace of padding would show
    losses = []
    for tokens_in_batch in (1, 100_000):
        tune.evaluation_tokens = tokens_in_batch
        losses.append(evaluate(tune, split).loss)
    assert losses[1] == pytest.approx(losses[0], abs=1e-5)
    tune.pad_left = False
    assert abs(evaluate(tune, split).loss - losses[0]) > 1e-3


def test_accuracy_counts_the_likeliest_class(topics_dataset: TextDataset) -> None:
    texts = topics_dataset.evaluation
    tune, split = load(materialise("zoo/bert-tiny"), texts)
    with torch.no_grad():
        tune.model.classifier.weight.zero_()
        tune.model.classifier.bias.copy_(torch.tensor([0.0, 5.0, 0.0]))  # whatever the text, class 1
    result = evaluate(tune, split)
    share = float(np.mean(texts.labels == 1))
    certain = 5.0 - np.log(np.exp(5.0) + 2)
    assert result.accuracy == share
    assert result.macro_f1 == pytest.approx(2 * share / (share + 1) / 3)
    assert result.loss == pytest.approx(-certain + (1 - share) * 5.0, abs=1e-6)


def test_evaluation_leaves_the_weights_alone(topics_dataset: TextDataset) -> None:
    tune, split = load(materialise("zoo/bert-tiny"), topics_dataset.train)
    fresh, _ = load(materialise("zoo/bert-tiny"), topics_dataset.train)
    assert evaluate(tune, split) == evaluate(tune, split)
    assert largest_difference(tune, fresh) == 0.0


def test_an_evaluation_that_runs_out_of_memory_goes_on_in_smaller_batches(
    topics_dataset: TextDataset,
) -> None:
    tune, split = load(materialise("zoo/bert-tiny"), topics_dataset.evaluation)
    expected = evaluate(tune, split)
    evaluated_rows = 0

    def short_of_memory(_: Any, __: Any, inputs: dict[str, torch.Tensor]) -> None:
        nonlocal evaluated_rows
        if inputs["input_ids"].numel() > 64:
            torch.empty(2**60, dtype=torch.uint8)
        evaluated_rows += len(inputs["input_ids"])

    tune.model.register_forward_pre_hook(short_of_memory, with_kwargs=True)
    result = evaluate(tune, split)
    assert result.loss == pytest.approx(expected.loss, abs=1e-6)
    assert (result.accuracy, result.macro_f1) == (expected.accuracy, expected.macro_f1)
    assert evaluated_rows == len(split)


def test_an_evaluation_of_which_no_row_fits_raises_the_error_itself(topics_dataset: TextDataset) -> None:
    tune, split = load(materialise("zoo/bert-tiny"), topics_dataset.evaluation)
    tune.model.register_forward_pre_hook(lambda *_: torch.empty(2**60, dtype=torch.uint8))
    with pytest.raises(RuntimeError, match="can't allocate memory"):
        evaluate(tune, split)


@given(st.lists(st.integers(1, 600), min_size=1, max_size=200), st.integers(1, 5000))
def test_evaluation_batches_hold_every_row_once_and_no_more_tokens_than_told(
    row_lengths: list[int], tokens: int
) -> None:
    lengths = np.array(row_lengths)
    batches = list(evaluation_batches(lengths, tokens))
    assert sorted(np.concatenate(batches).tolist()) == list(range(len(lengths)))
    for batch in batches:
        assert len(batch) == 1 or len(batch) * lengths[batch].max() <= tokens
    longest_of_each = [int(lengths[batch].max()) for batch in batches]
    assert longest_of_each == sorted(longest_of_each, reverse=True)


def f1_by_counting(labels: list[int], predictions: list[int]) -> float:
    """Precision and recall of each class that occurs, by loops."""
    scores = []
    for kind in sorted(set(labels) | set(predictions)):
        pairs = list(zip(labels, predictions, strict=True))
        hits = sum(1 for label, said in pairs if label == kind and said == kind)
        precision = hits / predictions.count(kind) if kind in predictions else 0.0
        recall = hits / labels.count(kind) if kind in labels else 0.0
        scores.append(2 * precision * recall / (precision + recall) if hits else 0.0)
    return sum(scores) / len(scores)


@given(st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6)), min_size=1, max_size=60))
def test_macro_f1_is_that_of_counting_class_by_class(pairs: list[tuple[int, int]]) -> None:
    labels, predictions = [pair[0] for pair in pairs], [pair[1] for pair in pairs]
    assert macro_f1(np.array(labels), np.array(predictions)) == pytest.approx(
        f1_by_counting(labels, predictions)
    )


# --- Batches, precision, cost ------------------------------------------------------------------------------


@given(
    rows=st.lists(st.integers(0, 10**6), unique=True, max_size=100),
    batch_size=st.integers(1, 40),
    seed=st.integers(0, 2**31 - 1),
    step=st.integers(1, 20),
)
def test_update_batches_hold_every_row_once_and_are_full_but_for_the_last(
    rows: list[int], batch_size: int, seed: int, step: int
) -> None:
    settings = FineTuningSettings(batch_size=batch_size, seed=seed)
    batches = [batch.tolist() for batch in update_batches(np.array(rows, dtype=np.int64), settings, step)]
    assert sorted(row for batch in batches for row in batch) == sorted(rows)
    assert all(len(batch) == batch_size for batch in batches[:-1])
    assert all(batches)
    again = [batch.tolist() for batch in update_batches(np.array(rows, dtype=np.int64), settings, step)]
    assert again == batches


def test_each_step_and_each_seed_has_its_own_order() -> None:
    def order(seed: int, step: int) -> tuple[int, ...]:
        settings = FineTuningSettings(seed=seed)
        return tuple(np.concatenate(list(update_batches(np.arange(100), settings, step))).tolist())

    assert len({order(seed, step) for seed in range(3) for step in range(1, 4)}) == 9


@pytest.mark.parametrize(("wanted", "cuda", "precision"), [("fp32", True, "fp32"), ("bf16", False, "bf16")])
def test_a_precision_that_is_asked_for_is_taken(wanted: str, cuda: bool, precision: str) -> None:
    assert resolve_precision(wanted, cuda=cuda) == precision


def test_auto_is_fp32_on_a_cpu() -> None:
    assert resolve_precision("auto", cuda=False) == "fp32"


@pytest.fixture
def other_precision() -> Iterator[None]:
    """A process has one precision: forget this one's before and after."""
    AcceleratorState._reset_state()
    yield
    AcceleratorState._reset_state()


@pytest.mark.usefixtures("other_precision")
def test_in_bf16_the_weights_and_the_loss_stay_fp32(topics_dataset: TextDataset) -> None:
    exact, split = load(materialise("zoo/bert-tiny"), topics_dataset.evaluation)
    exact_loss = evaluate(exact, split).loss
    AcceleratorState._reset_state()
    settings = dataclasses.replace(SETTINGS, precision="bf16")
    tune, _ = load(materialise("zoo/bert-tiny"), topics_dataset.evaluation, settings)
    rough_loss = evaluate(tune, split).loss
    assert rough_loss == pytest.approx(exact_loss, abs=0.02)
    assert rough_loss != exact_loss
    train_epoch(tune, split, rows_of(split), settings, step=1)
    assert {parameter.dtype for parameter in tune.model.parameters()} == {torch.float32}


@pytest.mark.parametrize("family", ["deberta", "deberta-v2"])
def test_the_cost_of_a_token_is_counted_where_a_module_is_given_a_parameter(
    topics_dataset: TextDataset, edited: Callable[..., Path], family: str
) -> None:
    folder = edited("zoo/bert-tiny", file="tokenizer_config.json")
    config = transformers.AutoConfig.for_model(
        family,
        vocab_size=4096,
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=32,
        type_vocab_size=0,
        relative_attention=True,
        position_buckets=16,
        pos_att_type=["p2c", "c2p"],
    )
    transformers.AutoModel.from_config(config).save_pretrained(folder)
    tune, split = load(folder, topics_dataset.evaluation)
    before = evaluate(tune, split).loss
    assert forward_flops_per_token(tune, split) > 2 * (4 * 16 * 16 + 2 * 16 * 32)
    train_epoch(tune, split, rows_of(split), SETTINGS, step=1)
    assert evaluate(tune, split).loss != before  # what is learned still is


def test_the_cost_of_a_token_counts_the_matrix_products(topics_dataset: TextDataset) -> None:
    tune, split = load(materialise("zoo/bert-mini"), topics_dataset.evaluation)
    width, inner, layers, classes = 64, 256, 2, 3
    length = int(np.sort(split.lengths)[len(split) // 2])
    projections = 2 * layers * (4 * width * width + 2 * width * inner)
    attention = 2 * layers * 2 * length * width
    head = 2 * (width * width + width * classes) / length  # of the first token alone
    assert forward_flops_per_token(tune, split) == pytest.approx(projections + attention + head, rel=1e-6)

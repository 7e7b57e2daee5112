from __future__ import annotations

import dataclasses
import shutil
import time
from typing import TYPE_CHECKING, Any

import pyarrow.compute as pc
import pytest
import torch
from safetensors.torch import load_file
from tokenizers import processors
from transformers import AutoConfig, AutoModel, AutoModelForSequenceClassification, AutoTokenizer, pipeline

from lamps_core.curves.reader import read_curves
from lamps_core.curves.schema import write_curve
from lamps_core.errors import CandidateFailed
from lamps_core.fine_tuning import pretrained, training
from lamps_core.fine_tuning.checkpoint import newest_checkpoint
from lamps_core.fine_tuning.landmark_step import CandidateRun
from lamps_core.fine_tuning.optimizer_state import OPTIMIZER
from lamps_core.fine_tuning.steps import ExportRequest
from lamps_core.models.zoo import materialise
from lamps_core.settings import FineTuningSettings
from lamps_core.text.dataset import DatasetRequest, load_text_dataset
from tests.encoder_decoders import bart, t5
from tests.flushes import Flushes
from tests.lamps_core.conftest import Topics

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from lamps_core.fine_tuning.checkpoint import Checkpoint
    from lamps_core.text.dataset import TextDataset, TextSplit

FAMILIES = ["bert", "distilbert", "roberta", "albert", "gpt2", "opt", "llama", "luke"]


class Run:
    """A candidate in this process, its curve so far and what it told of its progress."""

    def __init__(self, topics: Topics, **asked: Any) -> None:
        self.topics, self.asked = topics, asked
        self.records: list[dict[str, Any]] = []
        self.told: list[tuple[str, int, int]] = []
        self.restart()

    def restart(self) -> None:
        """Forget all but what is on disk, as a new worker does."""
        self.candidate = CandidateRun(threads=1, progress=lambda *told: self.told.append(told))

    @property
    def losses(self) -> tuple[float, ...]:
        return tuple(record["test_loss"] for record in self.records)

    def step(self, **changed: Any) -> dict[str, Any]:
        request = self.topics.request(len(self.records), self.losses, **{**self.asked, **changed})
        self.records.append(self.candidate.step(request, time.monotonic()))
        return self.records[-1]

    def steps(self, count: int) -> tuple[float, ...]:
        for _ in range(count):
            self.step()
        return self.losses

    @property
    def newest(self) -> Checkpoint:
        found = newest_checkpoint(self.topics.request(**self.asked).checkpoint_folder)
        assert found is not None
        return found

    @property
    def weights(self) -> dict[str, torch.Tensor]:
        return load_file(self.newest.folder / "model.safetensors")

    @property
    def phases(self) -> set[str]:
        return {phase for phase, _, _ in self.told}


def equal_bits(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> bool:
    return first.keys() == second.keys() and all(torch.equal(second[name], first[name]) for name in first)


# --- Warm and cold -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("family", FAMILIES)
def test_a_curve_of_fresh_workers_is_bit_by_bit_that_of_one_warm_worker(
    new_topics: Callable[..., Topics], family: str
) -> None:
    candidate = f"zoo/{family}-tiny"
    warm, cold = (Run(new_topics(name), candidate=candidate, micro_batch_size=3) for name in ("warm", "cold"))
    warm.steps(5)
    for _ in range(5):
        cold.restart()
        cold.step()
    assert cold.losses == warm.losses
    assert len(set(warm.losses)) == 5
    assert equal_bits(cold.weights, warm.weights)
    optimizers = [load_file(run.newest.folder / OPTIMIZER) for run in (cold, warm)]
    assert equal_bits(*optimizers)
    assert [told for told in warm.told if told[0] == "load"] == [("load", 0, 0)]
    assert [told for told in cold.told if told[0] == "load"] == [("load", 0, 0)] * 5


@pytest.mark.parametrize("made_anew", [{"learning_rate": 1e-5}, {"seed": 1}], ids=["rate", "seed"])
def test_a_worker_still_warm_of_a_curve_that_was_made_anew_elsewhere_goes_on_with_the_new_one(
    new_topics: Callable[..., Topics], made_anew: dict[str, Any]
) -> None:
    topics = new_topics("work")
    warm = Run(topics, learning_rate=1e-2)
    warm.steps(2)
    shutil.rmtree(topics.request().checkpoint_folder)
    other = Run(topics, **made_anew)
    other.steps(2)
    shutil.copytree(topics.work, new_topics("copy").work, dirs_exist_ok=True)
    cold = Run(Topics(topics.work.with_name("copy"), topics.dataset), **made_anew)
    cold.records, warm.records, warm.asked = other.records[:], other.records[:], made_anew
    assert warm.step()["test_loss"] == cold.step()["test_loss"]
    assert equal_bits(warm.weights, cold.weights)
    assert [told for told in warm.told if told[0] == "load"] == [("load", 0, 0)] * 2


def test_a_step_that_failed_leaves_nothing_to_go_on_with(
    new_topics: Callable[..., Topics], monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, run = Run(new_topics("whole")), Run(new_topics("work"))
    whole.steps(3)
    run.steps(2)
    evaluate = training.evaluate
    monkeypatch.setattr(training, "evaluate", lambda *_, **__: torch.ones(2, 3) @ torch.ones(2, 3))
    with pytest.raises(RuntimeError, match="cannot be multiplied"):
        run.step()
    monkeypatch.setattr(training, "evaluate", evaluate)
    run.step()
    assert run.losses == whole.losses
    assert [told for told in run.told if told[0] == "load"] == [("load", 0, 0)] * 2


def test_another_seed_is_another_curve(new_topics: Callable[..., Topics]) -> None:
    first, other = Run(new_topics("first")), Run(new_topics("other"), seed=8)
    assert not set(first.steps(3)) & set(other.steps(3))


def test_a_run_learns_the_topics(topics: Topics) -> None:
    run = Run(topics, candidate="zoo/gpt2-tiny")
    losses = run.steps(7)
    assert losses[-1] < losses[0] / 2
    assert run.records[-1]["accuracy"] > 0.8


# --- What a record says ------------------------------------------------------------------------------------


def test_the_records_are_a_curve(topics: Topics, tmp_path: Path) -> None:
    run = Run(topics)
    run.steps(5)
    write_curve(tmp_path / "curves", [record | {"dataset": "topics"} for record in run.records])
    table = read_curves(tmp_path / "curves")
    assert table["test_loss"].to_pylist() == list(run.losses)
    assert table["train_rows"].to_pylist() == [0, 10, 20, 40, 40]
    nulls = {name for name in table.column_names if pc.any(pc.is_null(table[name])).as_py()}
    assert nulls <= {"status", "error"}


def test_a_record_says_what_was_asked_and_what_it_took(topics: Topics) -> None:
    run = Run(topics, candidate="zoo/bert-tiny", micro_batch_size=4)
    zero, first, second = (run.step() for _ in range(3))
    for step, record in enumerate((zero, first, second)):
        assert (record["model"], record["seed"], record["step"]) == ("zoo/bert-tiny", 7, step)
        assert (record["batch_size"], record["micro_batch_size"]) == (8, 4)
        assert record["dataset_fingerprint"] == topics.dataset.fingerprint
        assert 0 <= record["train_seconds"] <= record["step_seconds"]
        assert record["cpu_seconds"] > 0
    weights = run.weights
    assert zero["parameters"] == second["parameters"] == sum(weight.numel() for weight in weights.values())
    assert (zero["train_seconds"], zero["train_flops"]) == (0.0, 0.0)
    assert 0 < first["train_flops"] < second["train_flops"]


def test_the_seconds_of_a_step_begin_when_it_was_sent(topics: Topics) -> None:
    run = CandidateRun(threads=1, progress=lambda *_: None)
    sent_long_ago = time.monotonic() - 100
    assert run.step(topics.request(), sent_long_ago)["step_seconds"] > 100


def test_landmarks_of_no_rows_are_steps_that_train_nothing(topics: Topics) -> None:
    run = Run(topics, landmarks=8)
    losses = run.steps(5)
    assert [record["train_rows"] for record in run.records] == [0, 0, 0, 1, 2]
    assert losses[0] == losses[1] == losses[2]
    assert losses[3] != losses[2]


def test_a_curve_of_a_loss_that_rises_or_of_all_its_epochs_is_complete(topics: Topics) -> None:
    run = Run(topics, landmarks=2, patience=1, max_epochs=3)
    settings = FineTuningSettings(landmarks=2, patience=1, max_epochs=3)
    while not run.records or not run.records[-1]["complete"]:
        run.step()
        assert run.records[-1]["complete"] == settings.is_complete(list(run.losses))
    assert 4 <= len(run.records) <= 5


def test_the_optimiser_is_kept_until_the_candidate_is_complete(topics: Topics) -> None:
    run = Run(topics, landmarks=1, max_epochs=2)
    run.steps(2)
    assert (run.newest.folder / OPTIMIZER).is_file()
    assert run.step()["complete"]
    assert run.newest.has_model
    assert not (run.newest.folder / OPTIMIZER).exists()


def test_a_fresh_worker_finds_the_tokens_of_the_first(topics: Topics) -> None:
    def entries() -> dict[Path, int]:
        return {path: path.stat().st_mtime_ns for path in (topics.work / "tokens").iterdir()}

    run = Run(topics)
    run.step()
    made = entries()
    assert len(made) == 2  # the rows to train on, and those to evaluate on
    for rows in (topics.work / "data").glob("rows-*.parquet"):
        rows.unlink()  # nobody reads the texts again
    run.restart()
    run.step()
    assert entries() == made


# --- Checkpoints -------------------------------------------------------------------------------------------


def test_a_committed_step_that_is_asked_for_again_is_told_and_not_run(topics: Topics) -> None:
    run = Run(topics)
    run.steps(3)
    last = run.records.pop()
    weights = run.weights
    run.restart()
    run.told.clear()
    assert run.step() == last
    assert run.told == []
    assert equal_bits(run.weights, weights)


def test_a_step_of_which_only_a_draft_was_left_is_run_as_ever(new_topics: Callable[..., Topics]) -> None:
    whole, killed = Run(new_topics("whole")), Run(new_topics("killed"))
    whole.steps(3)
    killed.steps(2)
    draft = killed.newest.folder.with_name(".draft-0002")
    draft.mkdir()
    (draft / "model.safetensors").write_bytes(b"half of it")
    killed.restart()
    killed.step()
    assert killed.losses == whole.losses
    assert [path.name for path in draft.parent.iterdir()] == ["step-0002"]


@pytest.mark.parametrize("next_step", [False, True], ids=["the-step-again", "the-step-after"])
@pytest.mark.parametrize("changed", [{"learning_rate": 1e-4}, {"seed": 1}], ids=["rate", "seed"])
def test_a_checkpoint_of_other_settings_is_refused(
    topics: Topics, changed: dict[str, Any], next_step: bool
) -> None:
    run = Run(topics)
    run.steps(2)
    if not next_step:
        run.records.pop()
    run.restart()
    with pytest.raises(CandidateFailed, match="step-0001 belongs to another run"):
        run.step(**changed)


@pytest.mark.parametrize("next_step", [False, True], ids=["the-step-again", "the-step-after"])
def test_a_checkpoint_of_other_data_is_refused(
    topics: Topics, new_topics: Callable[..., Topics], topics_csv: Path, next_step: bool
) -> None:
    asked = DatasetRequest(str(topics_csv), ("phrase",), "topic", max_train_rows=41)
    run = Run(topics)
    run.steps(2)
    if not next_step:
        run.records.pop()
    run.restart()
    run.topics = new_topics("work", load_text_dataset(asked))
    with pytest.raises(CandidateFailed, match="step-0001 belongs to another run"):
        run.step()


def test_another_micro_batch_goes_on_with_the_same_checkpoint(topics: Topics) -> None:
    run = Run(topics)
    run.steps(2)
    run.restart()
    record = run.step(micro_batch_size=2)
    assert (record["step"], record["micro_batch_size"]) == (2, 2)


def test_a_step_before_the_newest_is_refused(topics: Topics) -> None:
    run = Run(topics)
    run.steps(3)
    run.restart()
    run.records = run.records[:1]
    with pytest.raises(CandidateFailed, match="step-0002 belongs to another run"):
        run.step()


def test_a_step_whose_weights_are_gone_fails(topics: Topics) -> None:
    run = Run(topics)
    run.records = [{"test_loss": 1.1}, {"test_loss": 1.0}]
    with pytest.raises(CandidateFailed, match="the checkpoint after step 1 is gone"):
        run.step()


# --- Memory ------------------------------------------------------------------------------------------------


class ShortMemory:
    """Lets a training pass over more than `rows` rows ask torch for more memory than there is."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.rows = 1000
        self.passes_before = 0  # that still find memory, as where a long text comes late
        self.tried: list[int] = []
        load_model = pretrained.load_model

        def load(*args: Any, **options: Any) -> Any:
            model = load_model(*args, **options)
            model.register_forward_pre_hook(self._allocate, with_kwargs=True)
            return model

        monkeypatch.setattr(pretrained, "load_model", load)

    def _allocate(self, model: Any, _: Any, inputs: dict[str, torch.Tensor]) -> None:
        if not model.training:
            return
        self.tried.append(len(inputs["input_ids"]))
        if self.tried[-1] > self.rows and len(self.tried) > self.passes_before:
            torch.empty(2**60, dtype=torch.uint8)


@pytest.fixture
def memory(monkeypatch: pytest.MonkeyPatch) -> ShortMemory:
    return ShortMemory(monkeypatch)


def test_where_memory_runs_out_the_micro_batch_is_halved_and_the_curve_is_the_same(
    new_topics: Callable[..., Topics], memory: ShortMemory, still: Callable[[str], Path]
) -> None:
    location = still("zoo/roberta-tiny")
    ample, short = (Run(new_topics(name), location=location) for name in ("ample", "short"))
    ample.steps(4)
    memory.rows = 3
    short.steps(4)
    assert short.losses == pytest.approx(ample.losses, abs=1e-4)
    assert [record["micro_batch_size"] for record in short.records] == [8, 2, 2, 2]
    assert {record["batch_size"] for record in short.records} == {8}


def test_a_step_that_runs_out_of_memory_half_way_begins_anew(
    new_topics: Callable[..., Topics], memory: ShortMemory, still: Callable[[str], Path]
) -> None:
    location = still("zoo/roberta-tiny")
    ample, short = (Run(new_topics(name), location=location) for name in ("ample", "short"))
    ample.steps(4)
    short.steps(3)
    memory.tried.clear()
    memory.rows, memory.passes_before = 4, 3
    short.step()
    assert memory.tried[:5] == [8, 8, 8, 8, 4]
    assert short.records[3]["micro_batch_size"] == 4
    assert short.losses == pytest.approx(ample.losses, abs=1e-4)


def test_a_fresh_worker_begins_with_the_micro_batch_that_was_found(
    topics: Topics, memory: ShortMemory
) -> None:
    memory.rows = 2
    run = Run(topics)
    run.steps(2)
    memory.tried.clear()
    run.restart()
    run.step()
    assert max(memory.tried) == 2


def test_a_candidate_of_which_no_row_fits_fails(topics: Topics, memory: ShortMemory) -> None:
    memory.rows = 0
    run = Run(topics)
    run.step()
    with pytest.raises(
        CandidateFailed, match=r"out of memory with one row at a time: RuntimeError: .*memory"
    ):
        run.step()
    assert memory.tried == [8, 4, 2, 1]


def test_another_error_of_torch_is_no_lack_of_memory(topics: Topics, monkeypatch: pytest.MonkeyPatch) -> None:
    load_model = pretrained.load_model

    def broken(*args: Any, **options: Any) -> Any:
        model = load_model(*args, **options)
        model.register_forward_pre_hook(lambda *_: torch.ones(2, 3) @ torch.ones(2, 3))
        return model

    monkeypatch.setattr(pretrained, "load_model", broken)
    with pytest.raises(RuntimeError, match="cannot be multiplied"):
        Run(topics).step()


# --- The export --------------------------------------------------------------------------------------------


def export(run: Run, target: Path, *, evaluate_test: bool = False) -> dict[str, Any]:
    last = run.topics.request(len(run.records) - 1, run.losses[:-1], **run.asked)
    candidate = CandidateRun(threads=1, progress=lambda *_: None)
    return candidate.export(ExportRequest(last=last, target=str(target), evaluate_test=evaluate_test))


def test_an_exported_model_is_a_plain_folder_of_transformers_with_the_recorded_loss_on_disk_before_it_is_seen(
    topics: Topics, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = Run(topics, candidate="zoo/gpt2-tiny", landmarks=1, max_epochs=2)
    run.steps(3)
    target = tmp_path / "export" / "model"
    target.parent.mkdir()
    flushes = Flushes(monkeypatch)
    assert export(run, target) == {}
    assert [path.name for path in target.parent.iterdir()] == ["model"]
    assert flushes.missing(target) == []
    assert loss_on_disk(target, topics) == pytest.approx(run.losses[-1], abs=1e-5)
    config = AutoConfig.from_pretrained(target)
    assert config.id2label == dict(enumerate(topics.dataset.label_names))


def loss_on_disk(folder: Path, topics: Topics) -> float:
    """The evaluation loss of an exported model, given all that its tokenizer makes of the texts."""
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForSequenceClassification.from_pretrained(folder).eval()
    rows = topics.dataset.evaluation
    with torch.inference_mode():
        told = tokenizer(list(rows.texts), padding=True, truncation=True, return_tensors="pt")
        logits = model(**told).logits
    return float(torch.nn.functional.cross_entropy(logits, torch.from_numpy(rows.labels)))


def typed_tokens(folder: Path, family: str) -> Path:
    """A model whose tokenizer gives it token types, as XLNet's a third one for the token at the end."""
    tokenizer = AutoTokenizer.from_pretrained(
        materialise("zoo/gpt2-tiny"), model_input_names=["input_ids", "token_type_ids", "attention_mask"]
    )
    if family == "xlnet":
        tokenizer.backend_tokenizer.post_processor = processors.TemplateProcessing(
            single=f"$A:0 {tokenizer.eos_token}:2",
            special_tokens=[(tokenizer.eos_token, tokenizer.eos_token_id)],
        )
    tokenizer.save_pretrained(folder)
    sizes = {
        "bert": {
            "hidden_size": 16,
            "num_hidden_layers": 1,
            "num_attention_heads": 2,
            "intermediate_size": 32,
        },
        "gpt2": {"n_embd": 16, "n_layer": 1, "n_head": 2},
        "xlnet": {"d_model": 16, "n_layer": 1, "n_head": 2, "d_inner": 32},
    }
    config = AutoConfig.for_model(family, vocab_size=4096, initializer_range=0.5, **sizes[family])
    AutoModel.from_config(config).save_pretrained(folder)
    return folder


@pytest.mark.parametrize("family", ["bert", "gpt2", "xlnet"])
def test_an_exported_model_has_the_recorded_loss_where_its_tokenizer_gave_token_types(
    family: str, topics: Topics, tmp_path: Path
) -> None:
    location = typed_tokens(tmp_path / "mine", family)
    run = Run(topics, candidate="mine", location=location, landmarks=1, max_epochs=1)
    run.steps(2)
    export(run, tmp_path / "model")
    assert loss_on_disk(tmp_path / "model", topics) == pytest.approx(run.losses[-1], abs=1e-5)


@pytest.mark.parametrize("family", [bart, t5])
def test_texts_that_hold_an_end_token_are_learned_and_read_again_by_a_model_that_reads_at_it(
    family: Callable[[Path], Path],
    new_topics: Callable[..., Topics],
    topics_dataset: TextDataset,
    tmp_path: Path,
) -> None:
    def marked(split: TextSplit) -> TextSplit:
        texts = [f"<s>{text}</s> now" if row % 3 else text for row, text in enumerate(split.texts)]
        return dataclasses.replace(split, texts=tuple(texts))

    dataset = dataclasses.replace(
        topics_dataset, train=marked(topics_dataset.train), evaluation=marked(topics_dataset.evaluation)
    )
    topics = new_topics("marked", dataset)
    location = family(tmp_path / "mine")
    run = Run(topics, candidate="mine", location=location, landmarks=1, max_epochs=1)
    run.steps(2)
    export(run, tmp_path / "model")
    assert loss_on_disk(tmp_path / "model", topics) == pytest.approx(run.losses[-1], abs=1e-5)


def test_a_text_longer_than_was_trained_with_is_cut_by_a_pipeline_that_truncates(
    topics: Topics, edited: Callable[..., Path], tmp_path: Path
) -> None:
    location = edited("zoo/bert-tiny", file="tokenizer_config.json", model_max_length=None)
    run = Run(topics, location=location, landmarks=1, max_epochs=1)
    run.steps(2)
    export(run, tmp_path / "model")
    classify = pipeline("text-classification", model=str(tmp_path / "model"), truncation=True)
    assert classify.tokenizer.model_max_length == topics.request().settings["max_length"]
    (long,) = classify("rain " * 500)
    (cut,) = classify("rain " * 200)
    assert long == cut


def test_an_export_replaces_an_older_one_and_measures_the_held_out_rows_where_asked(
    new_topics: Callable[..., Topics], topics_csv: Path, tmp_path: Path
) -> None:
    asked = DatasetRequest(str(topics_csv), ("phrase",), "topic", selection_split="0.2", max_train_rows=40)
    dataset = load_text_dataset(asked)
    assert dataset.test is not None
    run = Run(new_topics("held-out", dataset), candidate="zoo/gpt2-tiny", landmarks=1, max_epochs=2)
    run.steps(3)
    target = tmp_path / "model"
    target.mkdir()
    (target / "stale.txt").write_text("")
    measured = export(run, target, evaluate_test=True)
    assert set(measured) == {"test_loss", "accuracy", "macro_f1"}
    assert measured["test_loss"] != run.losses[-1]
    correct = measured["accuracy"] * len(dataset.test)
    assert correct == pytest.approx(round(correct))
    assert not (target / "stale.txt").exists()
    first = {path.name: path.read_bytes() for path in target.iterdir()}
    assert (
        export(run, target, evaluate_test=True) == measured
    )  # as a resumed search does, from the tokens of the first
    assert {path.name: path.read_bytes() for path in target.iterdir()} == first


def test_a_candidate_without_trained_weights_is_not_exported(topics: Topics, tmp_path: Path) -> None:
    run = Run(topics)
    run.step()
    with pytest.raises(
        CandidateFailed, match=r"the checkpoint of zoo/bert-tiny is gone from .*start with another --out"
    ):
        export(run, tmp_path / "model")
    assert not (tmp_path / "model").exists()

from __future__ import annotations

import pytest

from lamps_core.registry import registered_datasets, registered_models
from lamps_core.text.columns import choose_layout
from lamps_core.text.hub import _HUB_ID

PAPER_NAMES = (
    "trec", "clickbait", "20_newsgroups", "amazon_cell_phone", "hate_speech", "mmlu", "patent", "emotion", "cola",
)  # fmt: skip


def test_the_models_of_the_paper_are_registered_with_their_families() -> None:
    models = registered_models().values()
    families: dict[str, int] = {}
    for model in models:
        families[model.family] = families.get(model.family, 0) + 1
    assert len(models) == 70
    assert families == {
        "BERT": 14, "GPT": 4, "RoBERTa": 8, "OPT": 5, "Llama": 4, "DistilBERT": 8, "ALBERT": 8, "LUKE": 12,
        "DeepSeek": 3, "Qwen": 4,
    }  # fmt: skip


def test_registered_models_are_complete_and_of_the_sizes_their_names_say() -> None:
    for model in registered_models().values():
        assert model.languages, model.id
        assert model.licence, model.id
        assert model.gated == model.id.startswith("meta-llama/")
        assert 10_000_000 < model.parameters < 9_000_000_000
    named = {"opt-125m": 0.125, "opt-1.3b": 1.3, "opt-6.7b": 6.7, "Qwen2.5-7B": 7.07, "Llama-3.2-1B": 1.24}
    for model in registered_models().values():
        billions = named.get(model.id.partition("/")[2])
        if billions is not None:
            assert model.parameters == pytest.approx(1e9 * billions, rel=0.05)


def test_the_datasets_of_the_paper_are_registered_and_ask_for_what_can_be_asked() -> None:
    assert tuple(registered_datasets()) == PAPER_NAMES
    for dataset in registered_datasets().values():
        assert _HUB_ID.fullmatch(dataset.dataset), dataset.name
        choose_layout(
            [*dataset.input_columns, dataset.target_column],
            inputs=dataset.input_columns,
            target=dataset.target_column,
            template=dataset.template,
        )
        assert dataset.about
        assert dataset.licence
        assert dataset.fetched is False

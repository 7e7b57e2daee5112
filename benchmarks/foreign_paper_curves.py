"""Three kinds of `foreign_curves`, of the paper's 70 models: `families`, `paper-like`, `few-rows`.

Names, families and languages are the registry's. Sizes are what the writer of these kinds took them for: within a tenth
of the registry's, but for those of LUKE and Llama.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from benchmarks.curve_kinds import Corpus, Course, curve_rows
from lamps_core.registry import registered_models

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from benchmarks.curve_kinds import Rows
    from lamps_core.task import FloatArray

SIZE_IN_NAME = re.compile(r"(\d+(?:\.\d+)?)(b|m)(?![a-z])")
# Parameters by a part of the name, the first that fits, where the name itself tells none.
SIZES = {
    "albert-xxlarge": 223e6,
    "albert-xlarge": 59e6,
    "albert-large": 18e6,
    "albert-base": 11.7e6,
    "distilbert-base-multilingual": 135e6,
    "distilroberta": 82e6,
    "distilgpt2": 82e6,
    "distilbert": 66e6,
    "gpt2-xl": 1558e6,
    "gpt2-large": 774e6,
    "gpt2-medium": 355e6,
    "gpt2": 124e6,
    "mluke-large-lite": 561e6,
    "mluke-large": 868e6,
    "mluke-base-lite": 279e6,
    "mluke-base": 586e6,
    "luke-japanese-base-lite": 134e6,
    "luke-japanese-base": 560e6,
    "luke-japanese-large-lite": 414e6,
    "luke-japanese-large": 840e6,
    "luke-large-lite": 356e6,
    "luke-base-lite": 125e6,
    "luke-large": 484e6,
    "luke-base": 274e6,
    "xlm-roberta-large": 560e6,
    "xlm-roberta-base": 278e6,
    "roberta-large": 355e6,
    "roberta-base": 125e6,
    "multilingual": 172e6,
    "bert-large": 335e6,
    "chinese": 102e6,
    "bert-base": 110e6,
}
# Parameters that work on a token, where they are not all: ALBERT shares layers; LUKE and XLM-RoBERTa hold tables.
ALBERT_COMPUTE = {"albert-xx": 1700e6, "albert-xl": 680e6, "albert-la": 300e6, "albert-ba": 86e6}
LARGE_COMPUTE, BASE_COMPUTE, DISTILBERT_COMPUTE = 303e6, 86e6, 43e6
DECODERS = {"GPT", "OPT", "Llama", "DeepSeek", "Qwen"}
FLOPS_A_TOKEN, PEAK_FLOPS = 6, 312e12  # of a parameter; of an A100

FAMILY_SKILLS = {
    "BERT": 0.0,
    "GPT": 0.12,
    "RoBERTa": -0.18,
    "OPT": 0.02,
    "Llama": -0.15,
    "DistilBERT": 0.06,
    "ALBERT": 0.0,
    "LUKE": -0.08,
    "DeepSeek": -0.02,
    "Qwen": -0.12,
}
TASTES = 4  # dimensions
FAMILY_CORPORA = (
    Corpus("fancyzhx/ag_news", 120_000, 4, tokens=55, floor=0.2),
    Corpus("dair-ai/emotion", 16_000, 6, tokens=22, floor=0.15),
    Corpus("nyu-mll/cola", 8_551, 2, tokens=11, floor=0.55),
    Corpus("SetFit/20_newsgroups", 11_314, 20, tokens=300, floor=0.3),
    Corpus("tweet_eval/hate", 9_000, 2, tokens=30, floor=0.6),
    Corpus("banking77", 10_003, 77, tokens=16, floor=0.1),
)

MMLU = "cais/mmlu"
PAPER_CORPORA = (
    Corpus("trec", 5_452, 6, tokens=12, floor=0.05),
    Corpus("clickbait", 25_600, 2, tokens=15, floor=0.03),
    Corpus("20newsgroups", 15_000, 20, tokens=380, floor=0.25),
    Corpus("amazon-cellphone", 63_000, 5, tokens=120, floor=0.5),
    Corpus(MMLU, 99_000, 4, tokens=130, floor=0.55),
    Corpus("cola", 8_551, 2, tokens=11, floor=0.5),
)

FEW_ROWS = {  # rows to test on
    Corpus("clinic/notes", 240, 2, floor=0.35): 60,
    Corpus("startup/leads", 700, 3, floor=0.35): 175,
    Corpus("museum/tags", 1_500, 11, floor=0.35): 375,
    Corpus("ngo/reports", 3_000, 5, floor=0.35): 600,
    Corpus("law/holdings", 1_000, 2, floor=0.35): 300,
}


@dataclass(frozen=True)
class Model:
    """One of the paper's.

    Attributes:
        name: hub id.
        family: as the paper groups it.
        parameters: as many.
        compute: parameters that work on a token.
        not_english: whether it is for one language that is not English.
    """

    name: str
    family: str
    parameters: int
    compute: float
    not_english: bool


def paper_models() -> list[Model]:
    """All 70, in the order of the registry."""
    models = []
    for one in registered_models().values():
        size = _parameters(one.id.lower())
        languages = set(one.languages) - {"multilingual"}
        not_english = bool(languages) and "en" not in languages
        models.append(Model(one.id, one.family, size, _compute(one.id.lower(), size), not_english))
    return models


def _parameters(name: str) -> int:
    told = SIZE_IN_NAME.search(name)
    if told:
        return int(float(told[1]) * (1e9 if told[2] == "b" else 1e6))
    return int(next(size for part, size in SIZES.items() if part in name))


def _compute(name: str, parameters: int) -> float:
    for part, compute in ALBERT_COMPUTE.items():
        if part in name:
            return compute
    if "luke" in name or "xlm-roberta" in name:
        return LARGE_COMPUTE if "large" in name else BASE_COMPUTE
    return DISTILBERT_COMPUTE if "distilbert" in name else parameters


def families(seed: int) -> Iterator[Rows]:
    """The rows of each dataset of `families`."""
    chance = np.random.default_rng(202 + seed)
    models = paper_models()
    tastes = {one: chance.normal(0, 1, TASTES) for one in sorted({model.family for model in models})}
    skills = {one.name: FAMILY_SKILLS[one.family] + chance.normal(0, 0.12) for one in models}
    tastes |= {one.name: chance.normal(0, 1, TASTES) * 0.5 for one in models}
    for corpus in FAMILY_CORPORA:
        yield _families(corpus, models, skills, tastes, chance)


def _families(
    corpus: Corpus,
    models: Sequence[Model],
    skills: Mapping[str, float],
    tastes: Mapping[str, FloatArray],
    chance: np.random.Generator,
) -> Rows:
    """The rows of a dataset; tastes are of families and of models."""
    guess, landmarks, test_rows = corpus.guess, corpus.landmarks(least=8), max(400, corpus.rows // 5)
    asked, of_size = chance.normal(0, 1, TASTES), chance.uniform(0.05, 0.16)

    def course(model: Model) -> Course:
        parameters = model.parameters
        quality = skills[model.name] - of_size * math.log(parameters / 1.1e8)
        quality += 0.13 * float(tastes[model.family] @ asked) / 2
        quality += 0.1 * float(tastes[model.name] @ asked) / 2
        quality += chance.normal(0, 0.05)
        if model.not_english:
            quality += chance.uniform(0.25, 0.6)
        floor = min(guess * 0.97, corpus.floor * guess * math.exp(quality))
        power = chance.uniform(0.7, 1.2) * math.exp(-0.3 * quality)
        scale = corpus.rows * 0.06 * math.exp(0.8 * quality + chance.normal(0, 0.25))
        zero_shot = guess * (1 + abs(chance.normal(0, 0.08)) + 0.05 * math.log10(parameters / 1e7))
        overfits, best_epoch = chance.uniform(0.005, 0.05), int(chance.integers(3, 8))
        flops = PEAK_FLOPS * 0.3 * min(1, 0.35 + 0.1 * math.log10(model.compute / 1e7))
        devices = 1 if parameters < 3e9 else 1.6
        second = devices * (0.0008 + FLOPS_A_TOKEN * model.compute * corpus.tokens / flops)
        loading = 3 + parameters * 2 / 9e8 + chance.uniform(0, 2)

        def loss(seen: int, epoch: int) -> float:
            law = floor + (guess - floor) / (1 + (seen / scale) ** power)
            return law * (1 + overfits * max(0, epoch - best_epoch)) * math.exp(chance.normal(0, 0.012))

        def seconds(rows: int) -> tuple[float, float]:
            clock = math.exp(chance.normal(0, 0.04))
            train, saving = second * rows * clock, parameters * 2 / 7e8 if rows else 0.0
            return train, train + loading + second / 3 * test_rows * clock + saving

        return Course(landmarks, zero_shot, loss, seconds, epochs=15)

    return [row for one in models for row in curve_rows(corpus.name, one.name, one.parameters, course(one))]


def paper_like(seed: int) -> Iterator[Rows]:
    """The rows of each dataset of `paper-like`."""
    chance = np.random.default_rng(505 + seed)
    models = paper_models()
    skills = {one.name: chance.normal(0, 0.15) for one in models}
    for corpus in PAPER_CORPORA:
        yield _paper_like(corpus, models, skills, chance)


def _paper_like(
    corpus: Corpus, models: Sequence[Model], skills: Mapping[str, float], chance: np.random.Generator
) -> Rows:
    guess, landmarks, test_rows = corpus.guess, corpus.landmarks(least=2), corpus.rows // 5
    decodes = float(chance.choice([-0.25, 0.0, 0.2], p=[0.4, 0.3, 0.3]))  # what a decoder is worse by, here
    if corpus.name == MMLU:
        decodes = -0.5

    def quality_of(model: Model) -> float:
        """What its floor is worse by, in the logarithm."""
        quality = skills[model.name] - 0.22 * math.log10(model.parameters / 1e8)
        quality += decodes if model.family in DECODERS else 0
        quality += 0.5 if model.not_english else 0
        quality += chance.normal(0, 0.12)
        quality -= 0.2 if "albert-xx" in model.name else 0
        return quality + (0.55 if corpus.name == MMLU and model.parameters < 9e8 else 0)

    def course(model: Model) -> Course:
        quality, size = quality_of(model), max(0, math.log10(model.parameters / 1e8))
        fails = chance.random() < (0.06 if "large" in model.name or "xl" in model.name else 0.01)
        floor = guess * 0.98 if fails else min(guess * 0.99, corpus.floor * guess * math.exp(quality))
        zero_shot = guess * (1.05 + 0.35 * size * chance.uniform(0.4, 1.2))
        scale = corpus.rows * 0.15 * (1 + 0.5 * size) * math.exp(chance.normal(0, 0.3))
        power = 0.9 + 0.35 * size * chance.uniform(0.6, 1.4)
        best_epoch, overfits = int(chance.integers(2, 9)), chance.uniform(0.01, 0.06)
        decoder = 1.35 if model.family in DECODERS else 1
        second = 1.2e-3 + FLOPS_A_TOKEN * model.compute * corpus.tokens / (PEAK_FLOPS * 0.25) * decoder
        loading = 4 + 2 * model.parameters / 1e9 * chance.uniform(0.8, 1.5)

        def loss(seen: int, epoch: int) -> float:
            law = floor + (zero_shot - floor) / (1 + (seen / scale) ** power)
            return law * (1 + overfits * max(0, epoch - best_epoch)) * math.exp(chance.normal(0, 0.01))

        def seconds(rows: int) -> tuple[float, float]:
            train = second * rows * chance.uniform(0.95, 1.1)
            return train, train + loading + second * 0.33 * test_rows

        return Course(landmarks, zero_shot, loss, seconds, epochs=30)

    return [row for one in models for row in curve_rows(corpus.name, one.name, one.parameters, course(one))]


def few_rows(seed: int) -> Iterator[Rows]:
    """The rows of each dataset of `few-rows`."""
    chance = np.random.default_rng(707 + seed)
    models = paper_models()
    skills: dict[str, float] = {}
    for corpus, test_rows in FEW_ROWS.items():
        yield _few_rows((corpus, test_rows), models, skills, chance)


def _few_rows(
    tested: tuple[Corpus, int], models: Sequence[Model], skills: dict[str, float], chance: np.random.Generator
) -> Rows:
    """The rows of a dataset; a family that is met for the first time gets its skill."""
    corpus, test_rows = tested
    guess, landmarks, few = corpus.guess, corpus.landmarks(least=4), chance.uniform(0.5, 1.5)

    def course(model: Model) -> Course:
        skill = skills.setdefault(model.family, chance.normal(0, 0.15))  # drawn for each model, kept once
        quality = skill - 0.1 * math.log(model.parameters / 1e8) + chance.normal(0, 0.15)
        quality += 0.35 if model.not_english else 0
        floor = guess * min(0.97, corpus.floor * math.exp(quality))
        scale = 400 * few * math.exp(quality)
        loading = 2 + model.parameters * 2 / 8e8 + chance.exponential(1)
        second = 2e-3 + model.compute * 2e-11

        def loss(seen: int, epoch: int) -> float:
            law = floor + (guess - floor) / (1 + (seen / scale) ** 1.2)
            return law * (1 + 0.03 * max(0, epoch - 6)) + abs(chance.normal(0, 0.25 / math.sqrt(test_rows)))

        def seconds(rows: int) -> tuple[float, float]:
            train = second * rows
            return train + 0.2 * (rows > 0), train + loading + second * 0.3 * test_rows

        return Course(landmarks, guess * chance.uniform(1, 1.4), loss, seconds, epochs=20)

    return [row for one in models for row in curve_rows(corpus.name, one.name, one.parameters, course(one))]

"""Meta-datasets of seven kinds that somebody made up who had read only the contract and the paper.

Who wrote them had seen neither the code nor the other benchmarks. All names, laws and ranges are guesses; every row
says `source = simulated`. Steps are landmarks, then full epochs until the loss was no better three times.

Of models that nobody has (here):

- `power-laws`, 30 on 5 datasets: a floor that falls with the size, a power law in the rows, seconds proportional to the
  parameters, noise of 1 %.
- `late-learners`, 30 on 5: at chance until the model has seen the rows that it needs, then a sigmoid in their log.
- `long-fronts`, 70 on 4: small ones are good for their cost, so that trade-offs are many; later epochs overfit.
- `sizeless`, 30 on 6: losses have nothing to do with the parameters, and only half with the model.

Of the paper's 70 models, on 4 datasets each (`foreign_paper_curves`):

- `families`: each family and each model has skills, and a taste for some datasets; seconds like an A100's.
- `paper-like`: what the paper tells. Large ones begin worse and end better, decoders are good or bad, epochs are many.
- `few-rows`: 240 to 3,000 of them: loading is most of the seconds, landmarks are few and the test loss is noisy.

Seed 0 is their writer's draw; `sizeless` was drawn a second time, by seed 10.

    python -m benchmarks.foreign_curves KIND --out DIR [--seed S]
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from benchmarks.curve_kinds import Corpus, Course, curve_rows, steady, write_kind
from benchmarks.foreign_paper_curves import families, few_rows, paper_like

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from benchmarks.curve_kinds import Kind, Rows

# Drawn, so that the others keep their numbers, and left out: searches over all of them would take long.
LEFT_OUT = {"dair-ai/emotion", "tweet_eval/hate", "clickbait", "cola", "startup/leads"}

PLAIN_MAKERS = ["northlab", "tessera", "openlm", "kiteai"]
PLAIN_CORPORA = (
    Corpus("acme/tickets", 12_000, 12),
    Corpus("acme/spam", 5_500, 2),
    Corpus("agency/news-topics", 120_000, 4),
    Corpus("agency/stars", 60_000, 5),
    Corpus("acme/intents", 20_000, 60),
)

LATE_FAMILIES = {"vega": -2.0, "orion": 0.0, "lyra": 1.0, "draco": 2.0, "cetus": -1.0, "hydra": 0.5}
LATE_SIZES = (30_000_000, 110_000_000, 340_000_000, 1_100_000_000, 3_000_000_000)
LATE_CORPORA = (
    Corpus("lex/contracts", 60_000, 9),
    Corpus("lex/clauses", 14_000, 100),
    Corpus("med/triage", 7_000, 4),
    Corpus("med/entail", 180_000, 3),
    Corpus("shop/returns", 30_000, 7),
)

FRONT_FAMILIES = {
    "minilm": 0.9,
    "tinybert": 0.95,
    "electra": 0.92,
    "deberta-v3": 0.8,
    "ernie": 1.0,
    "pythia": 1.12,
    "smollm": 0.9,
}
FRONT_SIZES = (4e6, 1.1e7, 2.2e7, 3.3e7, 6.6e7, 1.1e8, 1.8e8, 3.3e8, 7e8, 1.6e9)
FRONT_CORPORA = (
    Corpus("glue/qnli", 104_000, 2),
    Corpus("yelp/full", 50_000, 5),
    Corpus("dbpedia/l3", 40_000, 219),
    Corpus("trec/fine", 5_452, 47),
)

SIZELESS_NAMES = ("amber", "basalt", "coral", "dune", "ember", "flint")
SIZELESS_VARIANTS = ("base", "v2", "chat", "mini", "pro")
SIZELESS_CORPORA = (
    Corpus("city/complaints", 25_000, 15),
    Corpus("city/permits", 9_000, 3),
    Corpus("bank/fraud-text", 70_000, 2),
    Corpus("edu/essays", 13_000, 6),
    Corpus("edu/forum", 40_000, 10),
    Corpus("gov/letters", 3_000, 8),
)


@dataclass(frozen=True)
class Model:
    """A model that nobody has.

    Attributes:
        name: of the candidate.
        parameters: as many.
        loss: what a kind takes its losses by: a threshold in doublings, a factor, a standard score.
        speed: what a kind takes its seconds by: a factor.
    """

    name: str
    parameters: int
    loss: float = 0.0
    speed: float = 1.0


def power_laws(seed: int) -> Iterator[Rows]:
    """The rows of each dataset of `power-laws`."""
    chance = np.random.default_rng(101 + seed)
    middles = np.linspace(math.log(1.2e7), math.log(3e9), 30)
    sizes = np.exp(middles + chance.normal(0, 0.15, 30)).astype(int).tolist()
    models: dict[str, Model] = {}
    for size in sizes:
        name = f"{chance.choice(PLAIN_MAKERS)}/plain-{size / 1e6:.0f}m"
        while name in models:  # under no seed of the writer's
            name += "-v2"
        models[name] = Model(name, size)
    for corpus in PLAIN_CORPORA:
        yield _plain(corpus, list(models.values()), chance)


def _plain(corpus: Corpus, models: Sequence[Model], chance: np.random.Generator) -> Rows:
    guess, landmarks = corpus.guess, corpus.landmarks(least=4)
    level, of_size = chance.uniform(0.15, 0.5) * guess, chance.uniform(0.08, 0.2)
    of_rows, scale = chance.uniform(0.3, 0.6), corpus.rows / chance.uniform(50, 400)

    def course(model: Model) -> Course:
        floor = level * (model.parameters / 1e8) ** -of_size * math.exp(chance.normal(0, 0.06))
        zero_shot = guess * chance.uniform(1.0, 1.12)
        power = of_rows * math.exp(chance.normal(0, 0.08))
        second = model.parameters * 4e-11 * 3

        def loss(seen: int, _: int) -> float:
            law = floor + (guess - floor) * (1 + seen / scale) ** -power
            return law * math.exp(chance.normal(0, 0.01))

        return Course(landmarks, zero_shot, loss, steady(second, 0.0, second * 0.3 * 0.2 * corpus.rows))

    return [row for one in models for row in curve_rows(corpus.name, one.name, one.parameters, course(one))]


def late_learners(seed: int) -> Iterator[Rows]:
    """The rows of each dataset of `late-learners`."""
    chance = np.random.default_rng(303 + seed)
    models = [
        Model(
            f"{family}-ai/{family}-{size / 1e6:.0f}M",
            size,
            loss=10 + 0.6 * chance.normal() + 0.8 * math.log10(size / 1e8) + later,
        )
        for family, later in LATE_FAMILIES.items()
        for size in LATE_SIZES
    ]
    for corpus in LATE_CORPORA:
        yield _late(corpus, models, chance)


def _late(corpus: Corpus, models: Sequence[Model], chance: np.random.Generator) -> Rows:
    guess, landmarks = corpus.guess, corpus.landmarks(least=1)
    hard, level = chance.normal(1, 1.2), chance.uniform(0.2, 0.55)

    def course(model: Model) -> Course:
        threshold = model.loss + hard + chance.normal(0, 0.5)  # doublings of the rows seen
        slope = chance.uniform(1.0, 2.2)
        floor = level * guess * (model.parameters / 1e8) ** -0.11 * math.exp(chance.normal(0, 0.1))
        second, loading = 2e-4 + model.parameters * 1.5e-11 * 6, 2 + model.parameters / 6e8

        def loss(seen: int, _: int) -> float:
            law = floor + (guess - floor) / (1 + math.exp(slope * (math.log2(seen + 1) - threshold)))
            return law * math.exp(chance.normal(0, 0.008))

        zero_shot = guess * chance.uniform(1, 1.25)
        seconds = steady(second, loading, 0.3 * second * 0.15 * corpus.rows)
        return Course(landmarks, zero_shot, loss, seconds, epochs=12)

    return [row for one in models for row in curve_rows(corpus.name, one.name, one.parameters, course(one))]


def long_fronts(seed: int) -> Iterator[Rows]:
    """The rows of each dataset of `long-fronts`."""
    chance = np.random.default_rng(404 + seed)
    models = []
    for family, factor in FRONT_FAMILIES.items():
        for place, size in enumerate(FRONT_SIZES):
            name = f"{family}-hub/{family}-{size * chance.uniform(0.9, 1.1) / 1e6:.0f}m-v{place % 3 + 1}"
            loss = factor * math.exp(chance.normal(0, 0.05))
            models.append(Model(name, int(size * chance.uniform(0.8, 1.2)), loss))
    for corpus in FRONT_CORPORA:
        yield _long(corpus, models, chance)


def _long(corpus: Corpus, models: Sequence[Model], chance: np.random.Generator) -> Rows:
    guess, landmarks = corpus.guess, corpus.landmarks(least=2)
    low, high = (0.12 * guess, 0.75 * guess) if corpus.classes > 2 else (0.2 * guess, 0.85 * guess)
    smallest, largest = math.log(3e6), math.log(2e9)

    def course(model: Model) -> Course:
        share = (math.log(model.parameters) - smallest) / (largest - smallest)
        # A front that is nearly a line in the logarithm of the cost.
        floor = (high + (low - high) * share**0.8) * model.loss * math.exp(chance.normal(0, 0.05))
        scale, power = corpus.rows / chance.uniform(6, 40), chance.uniform(0.8, 1.3)
        best_epoch = 1 + int(chance.integers(1, 5))
        overfits = chance.uniform(0.03, 0.12) * (0.6 + share)
        second = 3e-4 + model.parameters * 2e-10 * chance.uniform(0.8, 1.3)

        def loss(seen: int, epoch: int) -> float:
            law = floor + (guess - floor) / (1 + (seen / scale) ** power)
            return law * (1 + overfits * max(0, epoch - best_epoch)) * math.exp(chance.normal(0, 0.01))

        zero_shot = guess * (1 + chance.exponential(0.05))
        evaluating = second * 0.3 * min(corpus.rows * 0.2, 10_000)
        seconds = steady(second, 1.5 + model.parameters / 1e9, evaluating)
        return Course(landmarks, zero_shot, loss, seconds, epochs=20)

    return [row for one in models for row in curve_rows(corpus.name, one.name, one.parameters, course(one))]


def sizeless(seed: int) -> Iterator[Rows]:
    """The rows of each dataset of `sizeless`."""
    chance = np.random.default_rng(606 + seed)
    models = [
        Model(
            f"user{chance.integers(1, 99)}/{name}-{variant}",
            int(math.exp(chance.uniform(math.log(2e7), math.log(4e9)))),
            loss=chance.normal(),
            speed=math.exp(chance.normal(0, 0.7)),
        )
        for name in SIZELESS_NAMES
        for variant in SIZELESS_VARIANTS
    ]
    for corpus in SIZELESS_CORPORA:
        yield _sizeless(corpus, models, chance)


def _sizeless(corpus: Corpus, models: Sequence[Model], chance: np.random.Generator) -> Rows:
    guess, landmarks, level = corpus.guess, corpus.landmarks(least=1), chance.uniform(0.25, 0.6)

    def course(model: Model) -> Course:
        quality = 0.7 * model.loss + 0.7 * chance.normal()
        floor = guess * min(0.95, level * math.exp(0.25 * quality))
        own = math.exp(chance.normal(0, 0.1))
        second = 1.5e-3 * model.speed * (model.parameters / 1e8) ** 0.3 * own
        scale, loading = corpus.rows / chance.uniform(5, 60), chance.uniform(2, 8)

        def loss(seen: int, _: int) -> float:
            law = floor + (guess - floor) * math.exp(-((seen / scale) ** 0.6))
            return law * math.exp(chance.normal(0, 0.015))

        zero_shot = guess * chance.uniform(1, 1.3)
        seconds = steady(second, loading, second * 0.3 * 0.2 * corpus.rows)
        return Course(landmarks, zero_shot, loss, seconds, epochs=8)

    return [row for one in models for row in curve_rows(corpus.name, one.name, one.parameters, course(one))]


def _kept(kind: Kind) -> Kind:
    return lambda seed: (rows for rows in kind(seed) if rows[0]["dataset"] not in LEFT_OUT)


KINDS: dict[str, Kind] = {
    "power-laws": power_laws,
    "families": _kept(families),
    "late-learners": late_learners,
    "long-fronts": long_fronts,
    "paper-like": _kept(paper_like),
    "sizeless": sizeless,
    "few-rows": _kept(few_rows),
}

if __name__ == "__main__":
    write_kind(__doc__, KINDS)

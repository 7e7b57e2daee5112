"""The simulated test loss: a rectified scaling law for each pair, with overfitting, noise and failures to learn.

L(D) = E + B / (D_l + D^beta), after Lin et al. 2024, "Selecting Large Language Model to Fine-tune via Rectified
Scaling Law", D the rows seen so far. Docs: `docs/decisions/simulation.md`. Unless a source stands beside it, a
constant is a guess: plausible, not measured. Knows nothing of seconds.
"""

from __future__ import annotations

import math
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from lamps_core.registry import RegisteredModel
    from lamps_core.simulation.facts import Body, SimulatedDataset

REFERENCE_PARAMETERS = 1e8

# --- How good a body is for classification: factors on what it stays above the floor; below 1 is better ----------

# Families at equal size, by what is known of their transfer: RoBERTa and LUKE above BERT (Liu et al. 2019; Yamada et
# al. 2020), distilled below (Sanh et al. 2020), old causal models well below masked ones, R1 distillates below the
# bodies they came from, which are tuned to think aloud.
FAMILY_QUALITY = {
    "BERT": 1.0,
    "DistilBERT": 1.05,
    "ALBERT": 0.9,
    "RoBERTa": 0.75,
    "LUKE": 0.78,
    "GPT": 1.5,
    "OPT": 1.35,
    "Llama": 1.05,
    "Qwen": 1.05,
    "DeepSeek": 1.25,
}
# All nine datasets are English. (factor on the gap, factor on the rows that half of the learning takes)
ENGLISH = (1.0, 1.0)
MOSTLY_ENGLISH = (1.0, 1.0)  # Llama, Qwen: many languages, English most of all
MULTILINGUAL = (1.25, 1.4)
TUNED_TO_ANOTHER = (1.4, 1.6)  # multilingual, then tuned to find names in Dutch, Spanish or German
FOREIGN = (2.2, 2.5)  # of Chinese, German or Japanese alone

# --- How a curve runs ---------------------------------------------------------------------------------------------

HEAD_STD = 0.02  # of the weights of a new head: transformers' `initializer_range`
# Mean square of a unit of what the head reads: below 1 behind a pooler's tanh, above 1 behind a causal model's norm.
READ_POWER = {True: 0.5, False: 2.0}
BETA = 1.3  # of D: a new head learns late, then fast
HEAD_ROWS = 500.0  # rows seen when half of what the random head added to the loss is gone
CAUSAL_ROWS = 1.2  # the last token must first learn to stand for the text
ROWS_EXPONENT = 0.25  # larger bodies need fewer rows: rows go with parameters^-0.25
ROWS_BY_GAP = 0.5  # who learns early ends low (the paper's Figure 2): rows go with gap^0.5
ENTROPY_POWER = 10.0  # how sharply a pair that cannot do the task ends at the entropy of the label
OVERFIT_SHARE = 0.02  # of the floor and gap, gained an epoch past the onset by 1e8 parameters on 1e4 rows
OVERFIT_ONSET = 3.0  # epochs, median
OVERFIT_PARAMETERS, OVERFIT_ROWS = 0.15, 0.3  # exponents: more for large bodies, less for large datasets

# So that losses and accuracies agree as they do in published fine-tunes; from memory.
ACCURACY_EXPONENT = 1.15

# --- Chance: standard deviations of logarithms ----------------------------------------------------------------

CANDIDATE_SD = 0.08  # one candidate against others of its family and size, on every dataset
FAMILY_FACTOR_SD = 0.10  # families by datasets: low rank
CANDIDATE_FACTOR_SD = 0.10  # candidates by datasets: low rank
RANK = 2
PAIR_SD = 0.06  # what is left
ROWS_SD = 0.2
ONSET_SD = 0.4
STEP_SD = 0.005  # of a late step; EARLY_SD is added at step 1 and halves every other step
EARLY_SD = 0.02
ROW_SD = 0.1  # divided by the root of the test rows is added too
# Runs that come to nothing: known of large bodies (Mosbach et al. 2021 for BERT-large), rare for small ones.
FLAT = {"large": 0.02, "small": 0.003}  # share of pairs that stay at the entropy of the label
COLLAPSE = {"large": 0.012, "small": 0.002}  # share that fall back to it in the middle
LARGE_BODY = 3e8  # parameters of the blocks, from which on a body is large
SLOW_ROWS = 12.0  # factor on the rows of the one large causal candidate of each seed that 7e-6 does not suit


@dataclass(frozen=True)
class LossLaw:
    """The loss of one (candidate, dataset) pair, without noise.

    Attributes:
        head: what the logits of a random head add to the loss before training, nats.
        start: zero-shot loss without that, ln C.
        end: E, what it tends to.
        half_rows: rows at which half of start - end is gone; D_l of the law is half_rows^beta.
        overfit: nats gained in each epoch past `onset`.
        onset: full epochs.
        flat_from: step from which on the loss is `entropy`; None where the pair learns.
        entropy: of the label, nats.
    """

    head: float
    start: float
    end: float
    half_rows: float
    overfit: float
    onset: float
    flat_from: int | None
    entropy: float

    def at(self, step: int, rows_seen: float, epochs: float) -> float:
        """The loss after a step.

        Args:
            step: landmark step, 0 is zero-shot.
            rows_seen: D, over all steps so far.
            epochs: full epochs so far.
        """
        if step and self.flat_from is not None and step >= self.flat_from:
            return self.entropy
        law = self.end + (self.start - self.end) / (1 + (rows_seen / self.half_rows) ** BETA)
        head = self.head / (1 + (rows_seen / HEAD_ROWS) ** BETA)
        return law + head + self.overfit * max(0.0, epochs - self.onset)


def generator(seed: int, *names: str) -> np.random.Generator:
    """A random generator for one named thing, so that further candidates or datasets do not change its draws."""
    return np.random.default_rng([seed, *(zlib.crc32(name.encode()) for name in names)])


def slow_candidate(seed: int, bodies: dict[str, Body]) -> str | None:
    """The large causal candidate that the learning rate does not suit; None where there is none."""
    large = sorted(name for name, body in bodies.items() if not body.masked and body.computed >= 1e9)
    return min(large, key=lambda name: float(generator(seed, "slow", name).random()), default=None)


def loss_law(
    model: RegisteredModel, body: Body, dataset: SimulatedDataset, *, seed: int, slow: bool
) -> LossLaw:
    """Draw the law of a pair.

    Args:
        model: the candidate.
        body: its architecture.
        dataset: the task.
        seed: of all chance.
        slow: whether it is the one that the learning rate does not suit.
    """
    # Where layers share their parameters, size counts as half stored, half computed (ALBERT, Lan et al. 2020).
    size = math.sqrt(body.stored * body.computed) / REFERENCE_PARAMETERS
    language_gap, language_rows = _language(model)
    gap = dataset.gap * size**-dataset.size_exponent * FAMILY_QUALITY[model.family] * language_gap
    gap *= math.exp(_affinity(model, dataset, seed))
    chance = generator(seed, "pair", model.id, dataset.name)
    reach = dataset.floor + gap * math.exp(PAIR_SD * chance.standard_normal())
    end = (reach**-ENTROPY_POWER + dataset.entropy**-ENTROPY_POWER) ** (-1 / ENTROPY_POWER)
    half_rows = dataset.half_rows * size**-ROWS_EXPONENT * language_rows * (gap / dataset.gap) ** ROWS_BY_GAP
    half_rows *= (1.0 if body.masked else CAUSAL_ROWS) * (SLOW_ROWS if slow else 1.0)
    half_rows *= math.exp(ROWS_SD * chance.standard_normal())
    overfit = OVERFIT_SHARE * (dataset.floor + dataset.gap)
    overfit *= size**OVERFIT_PARAMETERS * (1e4 / dataset.train_rows) ** OVERFIT_ROWS
    onset = OVERFIT_ONSET * math.exp(ONSET_SD * chance.standard_normal())
    # Whoever has not learnt the data yet cannot have learnt it by heart.
    onset += half_rows / dataset.train_rows
    head, flat_from = _of_random_head(body, dataset, chance), _flat_from(body, chance)
    start = math.log(dataset.classes)
    return LossLaw(head, start, end, half_rows, overfit, onset, flat_from, dataset.entropy)


def noise_sd(step: int, test_rows: int) -> float:
    """Standard deviation of the logarithm of a measured loss: more at early steps and on few test rows."""
    early = EARLY_SD * 2 ** (-(step - 1) / 2) if step else 0.0
    return STEP_SD + early + ROW_SD / math.sqrt(test_rows)


def accuracy_of(loss: float, dataset: SimulatedDataset) -> float:
    """Accuracy by a power law: 1 at a loss of 0, the largest class's share at the entropy of the label.

    >>> from lamps_core.simulation.facts import DATASETS
    >>> accuracy_of(0.0, DATASETS[0]), accuracy_of(1.65, DATASETS[0]), accuracy_of(3.3, DATASETS[0])
    (1.0, 0.23, 0.115)
    """
    if loss >= dataset.entropy:
        return dataset.majority * dataset.entropy / loss
    return 1 - (1 - dataset.majority) * (loss / dataset.entropy) ** ACCURACY_EXPONENT


def _language(model: RegisteredModel) -> tuple[float, float]:
    languages = set(model.languages)
    if "multilingual" in languages:
        if model.family in {"Llama", "Qwen", "DeepSeek"}:
            return MOSTLY_ENGLISH
        return MULTILINGUAL if languages <= {"multilingual", "en"} else TUNED_TO_ANOTHER
    return ENGLISH if "en" in languages else FOREIGN


def _affinity(model: RegisteredModel, dataset: SimulatedDataset, seed: int) -> float:
    """Why the best differs from dataset to dataset: low-rank interactions, logarithm of a factor on the gap."""
    of_dataset = generator(seed, "dataset", dataset.name).standard_normal(2 * RANK) / math.sqrt(RANK)
    of_family = generator(seed, "family", model.family).standard_normal(RANK)
    of_candidate = generator(seed, "candidate", model.id).standard_normal(RANK + 1)
    return float(
        FAMILY_FACTOR_SD * of_family @ of_dataset[:RANK]
        + CANDIDATE_FACTOR_SD * of_candidate[:RANK] @ of_dataset[RANK:]
        + CANDIDATE_SD * of_candidate[RANK]
    )


def _of_random_head(body: Body, dataset: SimulatedDataset, chance: np.random.Generator) -> float:
    """What random logits cost above ln C: half their variance times (1 - 1/C), to second order."""
    variance = HEAD_STD**2 * body.width * READ_POWER[body.masked]
    drawn = variance * math.exp(0.3 * chance.standard_normal())
    return drawn / 2 * (1 - 1 / dataset.classes)


def _flat_from(body: Body, chance: np.random.Generator) -> int | None:
    size = "large" if body.stored >= LARGE_BODY else "small"
    drawn = float(chance.random())
    if drawn < FLAT[size]:
        return 1
    return int(chance.integers(5, 11)) if drawn < FLAT[size] + COLLAPSE[size] else None

"""Random tasks of many kinds, for a policy that must serve meta-datasets nobody has seen.

Augmentation by domain randomisation (Tobin et al. 2017): how candidates differ in cost, how loss depends on size, how
long curves are, how noisy, how many fail, is drawn anew for each task from ranges far wider than those of any one
meta-dataset. Not a simulation of anything; `simulation` is that. All ranges are guesses.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lamps_core.landmarks import landmark_rows
from lamps_core.objectives import parse_objectives
from lamps_core.task import Task

FEWEST, MOST = 8, 90  # candidates
LEAST_LOSS, MOST_LOSS = 1e-4, 1e3
STEADY = 0.4  # of the tasks: learning does not saturate in the rows there are
FREE_EVALUATION = 0.15  # of the tasks: nothing but training takes time


@dataclass(frozen=True)
class _Candidates:
    """Of one task: (m,) families, standardised sizes, parameters and relative cost of an epoch."""

    family: np.ndarray
    size: np.ndarray
    parameters: np.ndarray
    cost: np.ndarray


def random_task(seed: int) -> Task:
    """A task with the objectives test_loss and train_seconds.

    Args:
        seed: another seed is another kind of task.
    """
    chance = np.random.default_rng([seed, 20])
    candidates = _candidates(chance)
    count = len(candidates.size)
    rows_trained, lengths = _schedule(chance, count)
    # Chance of its own: what it was added to stays as it was for each seed.
    losses = _losses(chance, np.random.default_rng([seed, 21]), candidates, rows_trained)
    train, step = _seconds(chance, candidates, rows_trained)
    behind = np.arange(losses.shape[1]) >= lengths[:, None]
    losses, train = np.where(behind, np.nan, losses), np.where(behind, np.nan, train)
    return Task(
        dataset=f"random-{seed}",
        seed=0,
        source="simulated",
        candidates=_names(chance, candidates.family),
        objectives=parse_objectives(),
        rows=lengths,
        complete=np.ones(count, dtype=bool),
        values=np.stack([losses, np.cumsum(train, axis=1)], axis=2),
        losses=losses,
        step_seconds=np.where(behind, 0.0, step),
        parameters=candidates.parameters,
        epoch_cost=candidates.parameters,
    )


def _candidates(chance: np.random.Generator) -> _Candidates:
    count = int(np.exp(chance.uniform(np.log(FEWEST), np.log(MOST))))
    family = np.sort(chance.integers(0, max(1, int(count * chance.uniform(0.05, 0.6))), count))
    deviation = chance.uniform(0.15, 0.8)  # of the decimal logarithm of the parameters
    size = 0.5 * chance.standard_normal(family.max() + 1)[family] + chance.standard_normal(count)
    size = (size - size.mean()) / (size.std() + 1e-9)
    exponent = chance.choice([1.0, 1.0, chance.uniform(0.0, 1.0)])
    scatter = np.exp(chance.uniform(np.log(0.03), np.log(1.0))) * chance.standard_normal(count)
    parameters = np.round(10 ** (chance.uniform(4.0, 9.0) + deviation * size)) + 1.0
    return _Candidates(family, size, parameters, 10 ** (deviation * exponent * size) * np.exp(scatter))


def _names(chance: np.random.Generator, family: np.ndarray) -> tuple[str, ...]:
    """Half of the meta-datasets name their families, the others number their candidates."""
    letters = np.array(list("abcdefghijklmnopqrstuvwxyz"))
    words = ["".join(chance.choice(letters, 7)) for _ in range(family.max() + 1)]
    named = chance.random() < 0.5
    return tuple(f"{words[one] if named else 'candidate'}-{place}" for place, one in enumerate(family))


def _schedule(chance: np.random.Generator, count: int) -> tuple[np.ndarray, np.ndarray]:
    """(L,) share of all rows that each step trains on, and (m,) rows of each curve, the first included."""
    kind = chance.choice(["landmarks", "landmarks", "doubling", "epochs"])
    if kind == "landmarks":
        longest = int(chance.integers(9, 22))
        doubling = landmark_rows(2**10, landmarks=8)
        rows = np.array([0, *doubling, *[2**10] * (longest - 8)]) / 2**10
        lengths = np.where(
            chance.random(count) < chance.uniform(0.0, 1.0),
            chance.integers(min(12, longest), longest + 1, count) + 1,
            longest + 1,
        )
    elif kind == "doubling":
        longest = int(chance.integers(5, 16))
        rows = np.concatenate([[0.0], 2.0 ** np.arange(-longest + 1, 1)])
        lengths = np.full(count, longest + 1)
    else:
        longest = int(np.exp(chance.uniform(np.log(8), np.log(55))))
        rows = np.concatenate([[0.0], np.ones(longest)])
        early = chance.integers(min(6, longest), longest + 1, count) + 1
        lengths = early if chance.random() < 0.3 else np.full(count, longest + 1)
    return rows, np.minimum(lengths, len(rows)).astype(np.int64)


def _losses(
    chance: np.random.Generator, steady: np.random.Generator, candidates: _Candidates, rows: np.ndarray
) -> np.ndarray:
    """(m, L) from a start to an end along a power law of the rows seen, in the logarithm of the loss.

    Args:
        chance: of all that is not `steady`'s.
        steady: whether, and from when on, each doubling of the rows brings as much as the one before.
        candidates: of the task.
        rows: (L,) that each step trains on.
    """
    count, seen = len(candidates.size), np.cumsum(rows)
    unit = np.exp(chance.uniform(np.log(0.02), np.log(0.8)))  # how far ends lie apart
    drop = np.exp(chance.uniform(np.log(0.1), np.log(2.5)))
    end = -drop + unit * _merit(chance, candidates)
    far = (end - end.mean()) / (end.std() + 1e-9)
    tells = chance.choice([0.0, chance.uniform(0.0, 0.9)])  # how much a start tells of the end
    start = tells * far + np.sqrt(1.0 - tells**2) * chance.standard_normal(count)
    start *= unit * np.exp(chance.uniform(np.log(0.05), np.log(8.0)))
    power = chance.uniform(0.2, 1.6) * np.exp(chance.uniform(0.05, 0.4) * chance.standard_normal(count))
    half = np.exp(
        chance.uniform(np.log(0.003), np.log(3.0))
        + chance.uniform(0.1, 0.9) * chance.standard_normal(count)
        + chance.uniform(0.0, 1.0) * far
        - chance.choice([0.0, chance.uniform(-0.3, 0.8)]) * candidates.size
    )
    raised = (seen / half[:, None]) ** power[:, None]
    learned = raised / (1.0 + raised)
    if steady.random() < STEADY:
        begun = steady.uniform(np.log(0.3 * seen[1]), np.log(0.3 * seen[-1]))
        begun = np.exp(begun + steady.uniform(0.1, 0.9) * steady.standard_normal(count))[:, None]
        learned = np.log1p(seen / begun) / np.log1p(seen[-1] / begun)
    curve = start[:, None] + (end - start)[:, None] * learned
    if chance.random() < 0.5:  # the loss itself, not its logarithm, follows the law
        curve = np.log(np.exp(start)[:, None] + (np.exp(end) - np.exp(start))[:, None] * learned)
    if chance.random() < 0.4:  # overfitting
        epochs = np.maximum(seen - chance.uniform(2.0, 5.0), 0.0)
        curve += np.exp(chance.uniform(-5, -2.5, count))[:, None] * epochs
    flat = chance.random(count) < chance.choice(
        [0.0, 0.0, chance.uniform(0.0, 0.3), chance.uniform(0.2, 0.8)]
    )
    never = start[:, None] - drop * chance.choice([0.02, 0.2]) * chance.random((count, 1)) * learned
    curve = np.where(flat[:, None], never, curve)
    if chance.random() < 0.6:
        curve += _strangeness(chance, candidates, seen)
    noise = np.exp(chance.uniform(np.log(0.002), np.log(0.06))) * chance.standard_normal(curve.shape)
    level = chance.uniform(-0.5, 1.5)
    return np.clip(np.exp(level + curve + noise / np.sqrt(1.0 + seen / seen[-1] * 4)), LEAST_LOSS, MOST_LOSS)


def _merit(chance: np.random.Generator, candidates: _Candidates) -> np.ndarray:
    """(m,) how far each candidate's end lies from the others', in units; below 0 is better."""
    count, families = len(candidates.size), candidates.family.max() + 1
    mixed = chance.dirichlet([1.0, 1.0, 2.0, 1.0])  # size, family, candidate, a bend in size
    family = chance.standard_normal(families)
    if chance.random() < 0.3:  # a few families suit the dataset, the others do not
        family = 0.4 * family - 2.0 * (chance.random(families) < chance.uniform(0.1, 0.5))
    bend = np.cos(candidates.size * chance.uniform(0.5, 1.5) + chance.uniform(-1.0, 1.0))
    own = chance.standard_normal(count) if chance.random() < 0.5 else chance.standard_t(4, count)
    terms = np.stack(
        [-candidates.size * np.sign(chance.random() - 0.2), family[candidates.family], own, bend]
    )
    return np.asarray(2.0 * np.sqrt(mixed) @ terms)


def _strangeness(chance: np.random.Generator, candidates: _Candidates, seen: np.ndarray) -> np.ndarray:
    """(m, L) what the form of a dataset costs at first, in logarithms, and a few rows teach: it tells nothing."""
    count, families = len(candidates.size), candidates.family.max() + 1
    family = chance.standard_normal(families)[candidates.family]
    first = np.exp(chance.uniform(np.log(0.05), np.log(1.0))) * np.abs(
        chance.uniform(0.0, 2.0) + chance.uniform(0.2, 1.0) * (family + chance.standard_normal(count))
    )
    if chance.random() < 0.4:
        first += (
            chance.uniform(0.3, 2.5) * (chance.random(families) < chance.uniform(0.0, 0.5))[candidates.family]
        )
    taught = seen[1] * np.exp(
        chance.uniform(np.log(0.02), np.log(1.5)) + chance.uniform(0.0, 0.5) * chance.standard_normal(count)
    )
    return first[:, None] / (1.0 + (seen / taught[:, None]) ** chance.uniform(1.0, 2.5))


def _seconds(
    chance: np.random.Generator, candidates: _Candidates, rows: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """(m, L) of training alone, and of the whole step."""
    epoch = 10 ** chance.uniform(0.0, 3.5) * candidates.cost
    clock = np.exp(chance.uniform(0.01, 0.2) * chance.standard_normal((len(epoch), len(rows))))
    train = epoch[:, None] * rows * clock
    evaluation = epoch * np.exp(chance.uniform(np.log(3e-4), np.log(0.3)))
    fixed = np.median(epoch) * np.exp(chance.uniform(np.log(1e-4), np.log(0.3)))
    beside = evaluation[:, None] * clock + fixed
    return train, train + beside * (chance.random() > FREE_EVALUATION)

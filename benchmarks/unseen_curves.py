"""Meta-datasets of kinds that no shipped policy was trained on, in the required columns alone, `source = imported`.

`networks`: multilayer perceptrons really trained here, on made tabular data, one candidate a configuration, in the
ranges of LCBench (Zimmer, Lindauer and Hutter, "Auto-PyTorch Tabular", 2021; narrower networks, fewer rows). One
step is an epoch; seconds are CPU time of the process.

`language-models`: 30 models of 8 families from 60 million to 7 billion parameters, drawn from the rectified scaling law
L(D) = B / (D_l + D^beta) + E (Lin et al., "Selecting Large Language Model to Fine-tune via Rectified Scaling Law",
2024). Each step doubles the rows; its cost is proportional to the parameters. All ranges are guesses.
`many-language-models`: the same law for 70 models, their families and sizes (16 million to 7 billion) drawn anew.

    python -m benchmarks.unseen_curves networks|language-models|many-language-models --out DIR [--seed S]
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import torch

from benchmarks.curve_kinds import write_kind

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from benchmarks.curve_kinds import Kind, Rows
    from lamps_core.task import FloatArray

Seconds = TypeVar("Seconds", float, "FloatArray")

DATASETS = 8

CONFIGURATIONS, EPOCHS = 40, 20
TRAINED_SHARE = 0.7
MOST_LOSS = 2.0  # in losses of a uniform guess: a network that diverged says no more than that

FAMILIES = {
    "gpt": (124e6, 355e6, 774e6, 1.5e9),
    "opt": (125e6, 350e6, 1.3e9, 2.7e9, 6.7e9),
    "t5": (60e6, 220e6, 770e6, 3e9),
    "mt5": (300e6, 580e6, 1.2e9, 3.7e9),
    "bart": (139e6, 406e6),
    "cerebras": (111e6, 256e6, 590e6, 1.3e9, 2.7e9),
    "pythia": (160e6, 410e6, 1e9, 1.4e9),
    "llama": (6.7e9, 7e9),
}
MANY, LARGEST_FAMILY = 70, 6  # models
LEAST_SIZE, GREATEST_SIZE = 16e6, 7e9
FIRST_ROWS = 200  # of the first step
SECONDS_A_ROW = 0.01  # to train on, for a billion parameters
EVALUATED_ROWS, LOADING_SECONDS = 1000, 5.0
EVALUATION_SHARE = 1 / 3  # of the seconds to train on a row


@dataclass(frozen=True)
class Tabular:
    """A made classification dataset: (n, d) standardised inputs, (n,) classes."""

    name: str
    inputs: torch.Tensor
    classes: torch.Tensor
    count: int


@dataclass(frozen=True)
class Configuration:
    """One candidate: a network and how it is trained."""

    layers: int
    width: int
    learning_rate: float
    batch_size: int
    momentum: float
    weight_decay: float
    dropout: float
    seed: int


def network_rows(seed: int) -> Iterator[Rows]:
    """The rows of each dataset of `networks`."""
    torch.set_num_threads(1)
    chance = np.random.default_rng([seed, 0])
    configurations = [_configuration(chance) for _ in range(CONFIGURATIONS)]
    for place in range(DATASETS):
        data = _tabular(place, np.random.default_rng([seed, 1, place]))
        if place == 0:  # the first training of a process pays for what torch loads late
            list(_epochs(data, configurations[0]))
        yield [
            row | {"dataset": data.name, "model": f"configuration-{number:02d}"}
            for number, configuration in enumerate(configurations)
            for row in _epochs(data, configuration)
        ]


def _tabular(place: int, chance: np.random.Generator) -> Tabular:
    """Gaussian clusters and random teacher networks in turn, some labels at random."""
    rows, columns = int(chance.integers(400, 1000)), int(chance.integers(6, 50))
    count = int(chance.choice([2, 3, 5, 8]))
    if place % 2 == 0:
        kind, (inputs, classes) = "clusters", _clusters(rows, columns, count, chance)
    else:
        kind, (inputs, classes) = "teacher", _taught(rows, columns, count, chance)
    noisy = chance.random(rows) < chance.choice([0.0, 0.05, 0.15, 0.3])
    classes = np.where(noisy, chance.integers(0, count, rows), classes)
    inputs = (inputs - inputs.mean(axis=0)) / (inputs.std(axis=0) + 1e-9)
    return Tabular(
        f"{kind}-{place}", torch.from_numpy(inputs.astype(np.float32)), torch.from_numpy(classes), count
    )


def _clusters(
    rows: int, columns: int, count: int, chance: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Several Gaussian clusters a class, in some of the columns; the others are noise."""
    told = int(chance.integers(3, columns + 1))
    middles = chance.uniform(0.6, 1.6) * chance.standard_normal((count * int(chance.integers(1, 4)), told))
    cluster = chance.integers(0, len(middles), rows)
    inputs = chance.standard_normal((rows, columns))
    inputs[:, :told] += middles[cluster]
    return inputs, cluster % count


def _taught(
    rows: int, columns: int, count: int, chance: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """What a random network with one hidden layer says; its outputs centred, so that no class is empty."""
    inputs = chance.standard_normal((rows, columns))
    hidden = np.tanh(inputs @ chance.standard_normal((columns, 12)) * chance.uniform(0.2, 1.0))
    outputs = hidden @ chance.standard_normal((12, count))
    return inputs, np.argmax(outputs - outputs.mean(axis=0), axis=1)


def _configuration(chance: np.random.Generator) -> Configuration:
    return Configuration(
        layers=int(chance.integers(1, 6)),
        width=int(2 ** chance.uniform(4, 8)),
        learning_rate=float(10 ** chance.uniform(-4, -1)),
        batch_size=int(2 ** chance.uniform(5, 9)),
        momentum=float(chance.uniform(0.1, 0.99)),
        weight_decay=float(10 ** chance.uniform(-5, -1)),
        dropout=float(chance.uniform(0.0, 0.9)),
        seed=int(chance.integers(1_000_000)),
    )


def _epochs(data: Tabular, configuration: Configuration) -> Iterator[dict[str, Any]]:
    """The rows of one curve, but for what names it: evaluated before the first epoch and after each."""
    torch.manual_seed(configuration.seed)
    network = _network(data.inputs.shape[1], data.count, configuration)
    optimizer = torch.optim.SGD(
        network.parameters(),
        configuration.learning_rate,
        momentum=configuration.momentum,
        weight_decay=configuration.weight_decay,
    )
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, EPOCHS)
    cut = int(TRAINED_SHARE * len(data.classes))
    for epoch in range(EPOCHS + 1):
        began = time.process_time()
        if epoch:
            network.train()
            for batch in torch.randperm(cut).split(configuration.batch_size):
                optimizer.zero_grad()
                loss = torch.nn.functional.cross_entropy(network(data.inputs[batch]), data.classes[batch])
                loss.backward()
                optimizer.step()
            schedule.step()
        trained = time.process_time()
        test_loss = _evaluated(network, data, cut)
        ended = time.process_time()
        yield {
            "seed": 0,
            "step": epoch,
            "test_loss": test_loss,
            "train_seconds": trained - began if epoch else 0.0,
            "step_seconds": ended - began,
            "parameters": sum(one.numel() for one in network.parameters()),
            "complete": epoch == EPOCHS,
            "source": "imported",
        }


def _network(columns: int, count: int, configuration: Configuration) -> torch.nn.Sequential:
    """A funnel, as LCBench shapes its networks: each layer narrower than the last, down to the classes."""
    widths = np.linspace(configuration.width, max(count, 8), configuration.layers + 1).astype(int)
    layers: list[torch.nn.Module] = []
    for before, width in zip([columns, *widths[:-2]], widths[:-1], strict=True):
        layers += [
            torch.nn.Linear(int(before), int(width)),
            torch.nn.ReLU(),
            torch.nn.Dropout(configuration.dropout),
        ]
    return torch.nn.Sequential(*layers, torch.nn.Linear(int(widths[-2]), count))


def _evaluated(network: torch.nn.Module, data: Tabular, cut: int) -> float:
    network.eval()
    with torch.inference_mode():
        told = float(torch.nn.functional.cross_entropy(network(data.inputs[cut:]), data.classes[cut:]))
    most = MOST_LOSS * float(np.log(data.count))
    return min(told, most) if np.isfinite(told) else most


def many_language_model_rows(seed: int) -> Iterator[Rows]:
    """The rows of each dataset of `many-language-models`."""
    chance = np.random.default_rng([seed, 3])
    families: dict[str, tuple[float, ...]] = {}
    left = MANY
    while left:
        count = min(left, int(chance.integers(1, LARGEST_FAMILY + 1)))
        sizes = np.unique(np.exp(chance.uniform(np.log(LEAST_SIZE), np.log(GREATEST_SIZE), count)).round(-6))
        word = "".join(chance.choice(list("abcdefghijklmnopqrstuvwxyz"), 6))
        families[word] = tuple(sizes.tolist())
        left -= len(sizes)
    return language_model_rows(seed, families)


def language_model_rows(seed: int, families: Mapping[str, Sequence[float]] = FAMILIES) -> Iterator[Rows]:
    """The rows of each dataset of `language-models`.

    Args:
        seed: of skills and datasets.
        families: the parameters of each one's models.
    """
    chance = np.random.default_rng([seed, 2])
    parameters = np.array([one for sizes in families.values() for one in sizes])
    family = np.repeat(np.arange(len(families)), [len(sizes) for sizes in families.values()])
    names = [f"{one}-{size / 1e6:.0f}m" for one, sizes in families.items() for size in sizes]
    # How good a family and a model are everywhere, in the logarithm of the loss.
    skill = 0.15 * chance.standard_normal(len(families))[family] + 0.07 * chance.standard_normal(len(names))
    for place in range(DATASETS):
        losses, train, step = _scaling(parameters, family, skill, chance)
        yield [
            {
                "dataset": f"corpus-{place}",
                "model": names[one],
                "seed": 0,
                "step": row,
                "test_loss": losses[one, row],
                "train_seconds": train[one, row],
                "step_seconds": step[one, row],
                "parameters": int(parameters[one]),
                "complete": row == losses.shape[1] - 1,
                "source": "imported",
            }
            for one in range(len(names))
            for row in range(losses.shape[1])
        ]


def _scaling(
    parameters: np.ndarray, family: np.ndarray, skill: np.ndarray, chance: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(m, L) losses, seconds of training, seconds of the whole step, on one dataset."""
    count, steps = len(parameters), int(chance.integers(9, 13))
    billions = parameters / 1e9
    level, power = chance.uniform(0.3, 2.0), chance.uniform(0.05, 0.15)  # of a loss that falls with the size
    suits = 0.12 * chance.standard_normal(family.max() + 1)[family] + 0.05 * chance.standard_normal(count)
    floor = level * billions ** (-power / 2) * np.exp(skill + suits)  # E
    beta = chance.uniform(0.25, 0.6) * np.exp(0.15 * chance.standard_normal(count))
    learned_before = np.exp(6.5 + 0.7 * chance.standard_normal(count)) ** beta  # D_l
    drop = 1.5 * level * np.exp(0.6 + 0.3 * chance.standard_normal(count)) * learned_before  # B
    rows = np.array([0.0, *FIRST_ROWS * 2.0 ** np.arange(steps)])
    seen = np.cumsum(rows)
    law = drop[:, None] / (learned_before[:, None] + seen ** beta[:, None]) + floor[:, None]
    losses = law * np.exp(0.0065 * chance.standard_normal(law.shape))
    second = SECONDS_A_ROW * billions * np.exp(0.25 * chance.standard_normal(count))
    train = second[:, None] * rows
    return losses, train, train + beside_training(second)[:, None]


def beside_training(second: Seconds) -> Seconds:
    """Seconds of a step that are not training's.

    Args:
        second: to train on a row, of each model.
    """
    return EVALUATED_ROWS * EVALUATION_SHARE * second + LOADING_SECONDS


KINDS: dict[str, Kind] = {
    "networks": network_rows,
    "language-models": language_model_rows,
    "many-language-models": many_language_model_rows,
}

if __name__ == "__main__":
    write_kind(__doc__, KINDS)

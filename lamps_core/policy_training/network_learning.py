"""Tasks -> a trained `curve_network`: it is shown a search at a random moment, and learns how the curves went on.

Owns the training. Knows nothing of what the forecasts are used for.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import nn

from lamps_core.policies.curve_network import LOOKS, NO_TOKEN, CurveNetwork
from lamps_core.policies.curve_tokens import INPUTS, observed, padded
from lamps_core.policy_file import part_of, prefixed

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from lamps_core.policies.candidate_features import Features
    from lamps_core.policies.curve_network import Answers
    from lamps_core.task import BoolArray, FloatArray, IntArray

LEARNING_RATE, LEAST_RATE, WARM_UP = 2e-3, 1e-5, 200  # AdamW's, its end, and updates until it is reached
WEIGHT_DECAY, MOST_GRADIENT = 1e-3, 1.0
BATCH = 12  # tasks
MOST_CANDIDATES = 72  # of a task: attention grows with their square
FREEDOM, OWN_FREEDOM = 6.0, 4.0  # of Student's t: of all ends together, and of each
FURTHEST = 12.0  # in the network's units, from the median end, that an end counts as
LEVEL_WEIGHT, LOOK_WEIGHT, AFTER_LOOK_WEIGHT = 0.3, 0.5, 0.5  # beside the likelihood of ends
LOOK_LEVEL_WEIGHT = 0.1  # of the level of looks beside their distances to the mean
MOST_NEWS = 3.0  # deviations that count in how much a look tells
LEAST_REST = 1e-3  # of the variance that a look leaves
HALVING = 0.4  # of the examples are states of successive halving; the others are sampled at random
LEAST_ENDS = 2  # still open: fewer have no mean to be apart from


@dataclass(frozen=True)
class TaskCurves:
    """One number of one task, to learn from: the curves of its m candidates.

    Attributes:
        curves: (m,) of the number after each row; NaN where unknown.
        complete: (m,) whose last row is the complete value.
        features: of the candidates.
        grows_with_size: see `curve_tokens.observed`.
    """

    curves: Sequence[FloatArray]
    complete: BoolArray
    features: Features
    grows_with_size: bool


@dataclass(frozen=True)
class Example:
    """A search at some moment, and how its curves went on, in the network's units; NaN where that is unknown.

    Attributes:
        tokens: (m, INPUTS).
        likeness: (m, m).
        ends: (m,) of the curves still open.
        looks: (m, looks) change until the look.
    """

    tokens: FloatArray
    likeness: FloatArray
    ends: FloatArray
    looks: FloatArray


@dataclass(frozen=True)
class Batch:
    """Examples as one batch, padded to the most candidates: arguments of the network, and what it should have said.

    b tasks of at most m candidates; a place without a candidate is NaN in `ends` and `looks`.

    Attributes:
        tokens: (b, m, INPUTS).
        likeness: (b, m, m).
        there: (b, m) 0 where there is a candidate, `NO_TOKEN` where there is none.
        ends: (b, m) of the curves still open; NaN where unknown.
        looks: (b, m, looks) change until the look; NaN where unknown.
    """

    tokens: torch.Tensor
    likeness: torch.Tensor
    there: torch.Tensor
    ends: torch.Tensor
    looks: torch.Tensor


class Learner:
    """One network in training, which can be interrupted after any update and resumed."""

    def __init__(
        self, groups: Sequence[tuple[float, Sequence[TaskCurves]]], *, updates: int, seed: int
    ) -> None:
        """Begin with random weights.

        Args:
            groups: tasks, and how often one of them is drawn, relative to each other; none may be empty.
            updates: of the weights, in all.
            seed: of the weights and of what is drawn.
        """
        self._groups, self._updates, self._seed = groups, updates, seed
        torch.manual_seed(seed)
        self.network = CurveNetwork()
        self._optimiser = torch.optim.AdamW(
            self.network.parameters(), lr=LEARNING_RATE, weight_decay=WEIGHT_DECAY
        )
        self._update = 0

    def learn(
        self,
        *,
        tell: Callable[[float, float], None] | None = None,
        keep: Callable[[Learner], None] | None = None,
    ) -> CurveNetwork:
        """Train to the end.

        Args:
            tell: called with the share that is done, and the mean loss since the last call.
            keep: called after each update.
        """
        losses: list[float] = []
        while self._update < self._updates:
            losses.append(self._step())
            if tell is not None and self._update % max(1, self._updates // 100) == 0:
                tell(self._update / self._updates, float(np.mean(losses)))
                losses.clear()
            if keep is not None:
                keep(self)
        return self.network

    def _step(self) -> float:
        generator = np.random.default_rng([self._seed, self._update])
        batch = batch_of([_drawn(self._groups, generator) for _ in range(BATCH)])
        loss = loss_of(self.network, batch)
        self._optimiser.param_groups[0]["lr"] = _rate(self._update, self._updates)
        self._optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(self.network.parameters(), MOST_GRADIENT)
        self._optimiser.step()
        self._update += 1
        return loss.item()

    def state(self) -> dict[str, torch.Tensor]:
        """All that `restore` needs, by name."""
        state = prefixed("network", self.network.state_dict())
        for place, parameter in enumerate(self.network.parameters()):
            state |= prefixed(f"optimiser.{place}", self._optimiser.state[parameter])
        return state | {"update": torch.tensor(self._update)}

    def restore(self, state: Mapping[str, torch.Tensor]) -> None:
        """Go on from a `state` of a training with the same groups, updates and seed.

        Raises:
            KeyError: a part of the state is missing.
            RuntimeError: its weights do not fit this network.
        """
        self.network.load_state_dict(part_of(state, "network"))
        for place, parameter in enumerate(self.network.parameters()):
            self._optimiser.state[parameter] = part_of(state, f"optimiser.{place}")
        self._update = int(state["update"])


def _rate(update: int, updates: int) -> float:
    """The learning rate: a linear warm-up, then down along a cosine (Loshchilov and Hutter, "SGDR", 2017)."""
    rising = min(1.0, (update + 1) / WARM_UP)
    return LEARNING_RATE * rising * 0.5 * (1.0 + math.cos(math.pi * update / updates)) + LEAST_RATE


def _drawn(groups: Sequence[tuple[float, Sequence[TaskCurves]]], generator: np.random.Generator) -> Example:
    weights = np.array([weight for weight, _ in groups])
    while True:
        tasks = groups[int(generator.choice(len(groups), p=weights / weights.sum()))][1]
        found = example(tasks[int(generator.integers(len(tasks)))], generator)
        if np.isfinite(found.ends).sum() >= LEAST_ENDS:
            return found


def example(task: TaskCurves, generator: np.random.Generator) -> Example:
    """A search over some of the candidates, at some moment, its losses raised to a random power."""
    chosen = _some(len(task.curves), generator)
    power = math.exp(generator.uniform(-0.4, 0.4))
    if task.grows_with_size:  # a power of a cost grows with the size as no cost does
        power = 1.0
    curves = [power * np.asarray(task.curves[place]) for place in chosen]
    features = task.features.of(chosen)
    last = np.array([len(curve) - 1 for curve in curves])
    final = np.array([curve[-1] for curve in curves])
    can_end = task.complete[chosen] & (last > 0)
    if generator.random() < HALVING:
        row, complete = sample_halving_state(curves, can_end, features.size, generator)
    else:
        row, complete = sample_random_state(last, can_end, final, generator)
    begun = [curve[: at + 1] for curve, at in zip(curves, row, strict=True)]
    seen = observed(begun, complete, features, grows_with_size=task.grows_with_size)
    ends = np.where(task.complete[chosen] & ~complete, (final - seen.base) / seen.apart, np.nan)
    if np.isfinite(ends).any():
        middle = np.nanmedian(ends)
        ends = np.clip(ends, middle - FURTHEST, middle + FURTHEST)
    looks = np.full((len(curves), len(LOOKS)), np.nan)
    for place, curve in enumerate(curves):
        further = row[place] + LOOKS
        inside = (further <= last[place]) & ~complete[place]
        looks[place, inside] = (curve[further[inside]] - seen.now[place]) / seen.apart
    return Example(seen.tokens, features.likeness, ends, looks)


def _some(count: int, generator: np.random.Generator) -> IntArray:
    """(k,) places of some of the candidates, often a part of them, in random order."""
    order = generator.permutation(count)
    if count > 6 and generator.random() < 0.7:
        order = order[: int(generator.integers(max(5, count // 3), count + 1))]
    return order[:MOST_CANDIDATES]


def sample_random_state(
    last: IntArray, can_end: BoolArray, final: FloatArray, generator: np.random.Generator
) -> tuple[IntArray, BoolArray]:
    """A random state of a search that runs good candidates further than others, to a random degree.

    Args:
        last: (m,) the last row of each curve.
        can_end: (m,) whose last row is complete, and not the first.
        final: (m,) their numbers.
        generator: of chance.

    Returns:
        (m,) the last row seen of each curve, and (m,) which are complete by then.
    """
    count = len(last)
    rank = (np.argsort(np.argsort(-np.nan_to_num(final, nan=np.inf))) + 0.5) / count  # 1 is the best
    ended = generator.choice([0.0, generator.uniform(0.0, 0.15), generator.uniform(0.0, 0.5)])
    done = _leaning(rank, ended, generator.uniform(-0.3, 1.5), generator) & can_end
    share = generator.choice([0.0, generator.random(), 1.0], p=[0.12, 0.73, 0.15])
    begun = _leaning(rank, share, generator.uniform(0.0, 1.5), generator)
    depth = generator.random(count) ** generator.uniform(0.4, 2.5)
    if generator.random() < 0.3:  # all about as far
        depth = generator.random() + 0.1 * generator.standard_normal(count)
    before_last = np.maximum(last - 1, 0)
    row = np.where(begun, np.clip(np.ceil(depth * before_last), 1, None), 0)
    return np.where(done, last, np.minimum(row, before_last)).astype(np.int64), done


def sample_halving_state(
    curves: Sequence[FloatArray], can_end: BoolArray, size: FloatArray, generator: np.random.Generator
) -> tuple[IntArray, BoolArray]:
    """A random state of a search by successive halving, in which some of the smallest candidates may be complete.

    Args:
        curves: (m,) of the number after each row.
        can_end: (m,) whose last row is complete, and not the first.
        size: (m,) of the candidates.
        generator: of chance.

    Returns:
        As `sample_random_state`.
    """
    count, last = len(curves), np.array([len(curve) - 1 for curve in curves])
    values = padded(curves)
    row = np.zeros(count, dtype=np.int64)
    running = _leaning(-size, generator.choice([generator.random(), 1.0]), 0.3, generator)
    at, keep, going_on = 0, generator.uniform(0.2, 0.8), generator.uniform(0.5, 0.95)
    while running.any():
        at += int(generator.integers(1, 4))
        row[running] = np.minimum(at, last[running])
        if generator.random() > going_on:
            break
        order = np.argsort(
            np.where(running, np.nan_to_num(values[np.arange(count), row], nan=np.inf), np.inf)
        )
        running[order[int(keep * running.sum()) :]] = False
    ended = can_end & (row == last)
    if generator.random() < 0.5:
        ended |= _leaning(-size, generator.uniform(0.0, 0.3), 4.0, generator) & can_end
    if ended.all():
        ended = np.zeros(count, dtype=bool)
    return np.where(ended, last, np.minimum(row, np.maximum(last - 1, 0))), ended


def _leaning(rank: FloatArray, share: float, lean: float, generator: np.random.Generator) -> BoolArray:
    """(m,) a random choice of a share of the candidates; the greater `lean`, the more it prefers those of high rank."""
    order = np.argsort(-(generator.random(len(rank)) + lean * rank))
    chosen = np.zeros(len(rank), dtype=bool)
    chosen[order[: round(share * len(rank))]] = True
    return chosen


def batch_of(examples: Sequence[Example]) -> Batch:
    """Stack examples into one batch, padded to the most candidates."""
    shape = len(examples), max(len(one.tokens) for one in examples)
    tokens = np.zeros((*shape, INPUTS), dtype=np.float32)
    likeness = np.zeros((*shape, shape[1]), dtype=np.float32)
    there = np.full(shape, NO_TOKEN, dtype=np.float32)
    ends = np.full(shape, np.nan, dtype=np.float32)
    looks = np.full((*shape, len(LOOKS)), np.nan, dtype=np.float32)
    for place, one in enumerate(examples):
        count = len(one.tokens)
        tokens[place, :count], there[place, :count] = one.tokens, 0.0
        likeness[place, :count, :count] = one.likeness
        ends[place, :count], looks[place, :count] = one.ends, one.looks
    return Batch(*(torch.from_numpy(one) for one in (tokens, likeness, there, ends, looks)))


def loss_of(network: CurveNetwork, batch: Batch) -> torch.Tensor:
    """Mean loss per open candidate: likelihood of a task's ends jointly and of each end, and losses of the looks.

    The error of the mean end of each task enters with a small weight.
    """
    answers: Answers = network(batch.tokens, batch.likeness, batch.there)
    open_ = torch.isfinite(batch.ends)
    count = open_.sum(dim=1).clamp(min=1)[:, None]
    error = torch.where(open_, batch.ends - answers.mean, 0.0)
    variance = torch.where(open_, answers.own_variance, 1.0)
    shared = answers.shared * open_[..., None]
    together = _joint_surprise(error, variance, shared, open_.sum(dim=1))
    level = error.sum(dim=1, keepdim=True) / count
    distance = torch.where(open_, error - level, 0.0)
    around = answers.shared - shared.sum(dim=1, keepdim=True) / count[..., None]
    news = distance / torch.sqrt(variance + around.square().sum(dim=-1))
    doubt = 0.5 * torch.log(variance + around.square().sum(dim=-1))
    each = _mean_of(doubt + _student_surprise(news), open_)
    level_loss = nn.functional.smooth_l1_loss(level, torch.zeros_like(level))
    looks, ends_after_looks = _look_losses(answers, batch, news.detach(), open_)
    total = together + each + LEVEL_WEIGHT * level_loss
    return total + LOOK_WEIGHT * looks + AFTER_LOOK_WEIGHT * ends_after_looks


def _joint_surprise(
    error: torch.Tensor, variance: torch.Tensor, shared: torch.Tensor, count: torch.Tensor
) -> torch.Tensor:
    """Negative log likelihood, a candidate, under a multivariate Student's t of scale diag(variance) + shared shared'.

    Args:
        error: (b, m) 0 where there is none.
        variance: (b, m) 1 there.
        shared: (b, m, FACTORS) 0 there.
        count: (b,) errors.
    """
    weighted = shared / variance[..., None]
    inner = torch.eye(shared.shape[-1]) + shared.transpose(1, 2) @ weighted
    inner = inner * (1.0 + 1e-4 * torch.eye(shared.shape[-1]))  # float32 has seven digits
    lower = torch.linalg.cholesky(inner)
    half = torch.linalg.solve_triangular(lower, weighted.transpose(1, 2) @ error[..., None], upper=False)
    distance = (error.square() / variance).sum(dim=1) - half.square().sum(dim=(1, 2))
    volume = variance.log().sum(dim=1) + 2.0 * lower.diagonal(dim1=1, dim2=2).log().sum(dim=1)
    tail = 0.5 * (FREEDOM + count) * torch.log1p(distance.clamp(min=0.0) / FREEDOM)
    constant = torch.lgamma((FREEDOM + count) / 2.0) - math.lgamma(FREEDOM / 2.0)
    constant = constant - 0.5 * count * math.log(FREEDOM)
    return (0.5 * volume + tail - constant).sum() / count.sum().clamp(min=1)


def _student_surprise(news: torch.Tensor) -> torch.Tensor:
    return 0.5 * (OWN_FREEDOM + 1.0) * torch.log1p(news.square() / OWN_FREEDOM)


def _mean_of(values: torch.Tensor, where: torch.Tensor) -> torch.Tensor:
    return torch.where(where, values, 0.0).sum() / where.sum().clamp(min=1)


def _look_losses(
    answers: Answers, batch: Batch, news: torch.Tensor, open_: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Negative log likelihoods of the looks, and of the ends given the looks."""
    known = torch.isfinite(batch.looks)
    error = torch.where(known, batch.looks - answers.look_mean, 0.0).clamp(-FURTHEST, FURTHEST)
    mean = error.sum(dim=1, keepdim=True) / known.sum(dim=1, keepdim=True).clamp(min=1)
    seen = torch.where(known, error - mean, 0.0) / answers.log_look_deviation.exp()
    level = nn.functional.smooth_l1_loss(error, torch.zeros_like(error), reduction="none")
    surprise = _mean_of(
        answers.log_look_deviation + _student_surprise(seen) + LOOK_LEVEL_WEIGHT * level, known
    )
    rest = 1.0 - answers.look_correlation.square() + LEAST_REST
    end = news.clamp(-MOST_NEWS, MOST_NEWS)[..., None]
    left = end - answers.look_correlation * seen.detach().clamp(-MOST_NEWS, MOST_NEWS)
    both = known & open_[..., None]
    return surprise, _mean_of(0.5 * rest.log() + 0.5 * left.square() / rest, both)

"""A network over learning curves of any candidates: what a curve's last value will be, given all curves so far.

Where `curve_process` knows its candidates by name, this knows them by their size, by how alike their names are, and by
the rows seen. Each candidate is a token (`curve_tokens`); attention between them, and nothing else, brings them
together (Lee et al., "Set Transformer", 2019), so that their order and number make no difference. It answers in the
units that it is told in: where each curve will end, with a doubt of its own and one shared along a few factors (a
Gaussian neural process: Markou et al., "Practical conditional neural processes via tractable dependent predictions",
2022), and what a look a few rows further on would tell. Curves extrapolated in context by a network trained on made
ones: Adriaensen et al., "Efficient Bayesian learning curve extrapolation using prior-data fitted networks", 2023.

Owns the network and what its answers mean. How it is trained stands in `network_learning`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import nn

from lamps_core.landmarks import LANDMARKS
from lamps_core.policy_training.curve_tokens import INPUTS, observed
from lamps_core.policy_training.one_thread import one_thread

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lamps_core.policy_training.candidate_features import Features
    from lamps_core.task import BoolArray, FloatArray

LOOKS = np.array([1, 2, 4, 8])  # rows further on at which a candidate may be looked at again
FACTORS = 3  # of the doubt that candidates share
WIDTH, HEADS, LAYERS = 64, 4, 3
LEAST_VARIANCE = 1e-3  # of an end
LOG_DOUBT = (-5.0, 3.0)  # bounds of the logarithm of a deviation
MOST_SHARED = 2.0  # along a factor
NO_TOKEN = -1e9  # added to the attention paid to a token that is none
START_DOUBT, START_TOLD = -0.5, 0.5  # before training


@dataclass(frozen=True)
class Forecast:
    """Of the complete values of m candidates, and of what they will have come to LOOKS rows further on.

    Attributes:
        mean: (m,) of the complete value.
        own: (m,) standard deviation of what is each candidate's alone.
        shared: (m, factors) deviation along each factor, FACTORS of each network.
        on_the_way: (m, looks) mean of the number there.
        told: (m, looks) correlation of the number there with the complete value: 1 tells all of it.
    """

    mean: FloatArray
    own: FloatArray
    shared: FloatArray
    on_the_way: FloatArray
    told: FloatArray

    def apart(self, which: BoolArray) -> FloatArray:
        """Deviations of some complete values, less what they have in common."""
        shared = self.shared[which]
        return np.asarray(np.sqrt(self.own[which] ** 2 + np.square(shared - shared.mean(axis=0)).sum(axis=1)))

    def wider(self, factor: float) -> Forecast:
        """The same, with all deviations of complete values multiplied."""
        return replace(self, own=factor * self.own, shared=factor * self.shared)


@dataclass(frozen=True)
class Answers:
    """The network's, for a batch of b tasks of m candidates, in its own units; `shared` as above.

    Attributes:
        mean: (b, m) of the complete value.
        log_own: (b, m) logarithm of its own deviation.
        shared: (b, m, FACTORS).
        on_the_way: (b, m, looks) mean of the change until the look.
        log_look: (b, m, looks) logarithm of its deviation.
        told: (b, m, looks) correlation, between -1 and 1.
    """

    mean: torch.Tensor
    log_own: torch.Tensor
    shared: torch.Tensor
    on_the_way: torch.Tensor
    log_look: torch.Tensor
    told: torch.Tensor

    @property
    def own_variance(self) -> torch.Tensor:
        """(b, m)."""
        return (2.0 * self.log_own).exp() + LEAST_VARIANCE


class CurveNetwork(nn.Module):
    """Tokens of candidates to `Answers`."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Sequential(nn.Linear(INPUTS, WIDTH), nn.GELU(), nn.Linear(WIDTH, WIDTH))
        self.blocks = nn.ModuleList([_Block() for _ in range(LAYERS)])
        last = nn.Linear(WIDTH, 2 + FACTORS + 3 * len(LOOKS))
        nn.init.normal_(last.weight, std=0.01)
        self.answer = nn.Sequential(nn.LayerNorm(WIDTH), last)

    def forward(self, tokens: torch.Tensor, likeness: torch.Tensor, there: torch.Tensor) -> Answers:
        """Answer for a batch.

        Args:
            tokens: (b, m, INPUTS).
            likeness: (b, m, m) of names.
            there: (b, m) 0 where there is a candidate, NO_TOKEN where there is none.
        """
        told = self.embed(tokens)
        for block in self.blocks:
            told = block(told, likeness, there)
        looks = len(LOOKS)
        mean, doubt, shared, way, look, certain = self.answer(told).split(
            [1, 1, FACTORS, looks, looks, looks], dim=-1
        )
        return Answers(
            mean[..., 0],
            (doubt[..., 0] + START_DOUBT).clamp(*LOG_DOUBT),
            MOST_SHARED * torch.tanh(shared),
            way,
            (look + START_DOUBT).clamp(*LOG_DOUBT),
            torch.tanh(certain + START_TOLD),
        )


class _Block(nn.Module):
    """Attention, the more between names that are alike, and two dense layers; each behind a norm."""

    def __init__(self) -> None:
        super().__init__()
        self.before = nn.LayerNorm(WIDTH)
        self.project, self.out = nn.Linear(WIDTH, 3 * WIDTH), nn.Linear(WIDTH, WIDTH)
        self.family = nn.Parameter(torch.zeros(HEADS))
        self.between = nn.LayerNorm(WIDTH)
        self.dense = nn.Sequential(nn.Linear(WIDTH, 2 * WIDTH), nn.GELU(), nn.Linear(2 * WIDTH, WIDTH))

    def forward(self, told: torch.Tensor, likeness: torch.Tensor, there: torch.Tensor) -> torch.Tensor:
        batch, count, _ = told.shape
        asked = self.project(self.before(told)).reshape(batch, count, 3, HEADS, WIDTH // HEADS)
        query, key, value = asked.permute(2, 0, 3, 1, 4)
        paid = likeness[:, None] * self.family[:, None, None] + there[:, None, None, :]
        seen = nn.functional.scaled_dot_product_attention(query, key, value, attn_mask=paid)
        told = told + self.out(seen.transpose(1, 2).reshape(batch, count, WIDTH))
        return told + self.dense(self.between(told))


class CurveForecaster:
    """Networks that were trained alike, asked together for one search at a time.

    What each says is as likely as what another says: where they disagree, none of them knows (Lakshminarayanan, Pritzel
    and Blundell, "Simple and scalable predictive uncertainty estimation using deep ensembles", 2017).
    """

    def __init__(self, members: Sequence[CurveNetwork], *, grows_with_size: bool) -> None:
        """Take the networks, as they are; at least one.

        Args:
            members: that were trained on the same kind of number.
            grows_with_size: see `observed`.
        """
        self._members = [member.eval() for member in members]
        self._grows_with_size = grows_with_size
        self.factors = FACTORS * len(self._members)

    @one_thread()
    @torch.inference_mode()
    def forecast(
        self,
        curves: Sequence[FloatArray],
        complete: BoolArray,
        features: Features,
        landmarks: int = LANDMARKS,
    ) -> Forecast:
        """What the complete values will be, and what looks at further rows would tell of them.

        Args:
            curves: (m,) of the number after each row so far; NaN where unknown.
            complete: (m,) whose last row is the complete value.
            features: of the candidates.
            landmarks: K.
        """
        seen = observed(
            curves, complete, features, grows_with_size=self._grows_with_size, landmarks=landmarks
        )
        asked = _batch_of_one(seen.tokens), _batch_of_one(features.likeness), torch.zeros(1, len(curves))
        answers = [member(*asked) for member in self._members]
        means = np.stack([_only(one.mean) for one in answers])
        apart = means - means.mean(axis=1, keepdims=True)
        variance = np.mean([_only(one.own_variance) for one in answers], axis=0) + apart.var(axis=0)
        shared = np.concatenate([_only(one.shared) for one in answers], axis=1) / np.sqrt(len(answers))
        way = np.mean([_only(one.on_the_way) for one in answers], axis=0)
        return Forecast(
            mean=np.where(complete, seen.now, seen.base + seen.apart * means.mean(axis=0)),
            own=np.where(complete, 0.0, seen.apart * np.sqrt(variance)),
            shared=np.where(complete[:, None], 0.0, seen.apart * shared),
            on_the_way=seen.now[:, None] + seen.apart * way,
            told=np.mean([np.abs(_only(one.told)) for one in answers], axis=0),
        )


def _batch_of_one(values: FloatArray) -> torch.Tensor:
    return torch.from_numpy(values.astype(np.float32))[None]


def _only(values: torch.Tensor) -> FloatArray:
    return np.asarray(values[0].double().numpy())

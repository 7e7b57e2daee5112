"""A network over learning curves of any candidates: what a curve's last value will be, given all curves so far.

Where `curve_process` knows its candidates by name, this knows them by their size, by how alike their names are, and by
the rows seen. Each candidate is a token (`curve_tokens`); candidates influence each other through attention alone (Lee
et al., "Set Transformer", 2019), so that their order and number make no difference. In the relative units of the tokens
it answers

- where each curve will end: a mean, a deviation of the candidate's own, and deviations along a few factors that all
  candidates share (a Gaussian neural process: Markou et al., "Practical conditional neural processes via tractable
  dependent predictions", 2022);
- for a look a few rows further on: the value expected there, and its correlation with the complete value.

Adriaensen et al., "Efficient Bayesian learning curve extrapolation using prior-data fitted networks", 2023, extrapolate
curves in context in the same way, by a network trained on simulated ones.

Owns the network and what its answers mean. How it is trained stands in `network_learning`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import nn

from lamps_core.one_thread import one_thread
from lamps_core.policies.curve_tokens import INPUTS, observed

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lamps_core.policies.candidate_features import Features
    from lamps_core.task import BoolArray, FloatArray

LOOKS = np.array([1, 2, 4, 8])  # rows further on at which a candidate may be looked at again
FACTORS = 3  # of the doubt that candidates share
WIDTH, HEADS, LAYERS = 64, 4, 3
LEAST_VARIANCE = 1e-3  # of an end
LOG_DEVIATION = (-5.0, 3.0)  # bounds of the logarithm of a deviation
MOST_SHARED = 2.0  # along a factor
NO_TOKEN = -1e9  # added to the attention paid to a token that is none
START_LOG_DEVIATION, START_CORRELATION = -0.5, 0.5  # before training


@dataclass(frozen=True)
class Forecast:
    """A forecast of the complete values of m candidates, and of their values LOOKS rows further on.

    Attributes:
        mean: (m,) of the complete value.
        own: (m,) standard deviation of what is each candidate's alone.
        shared: (m, factors) deviation along each factor, FACTORS of each network.
        look_mean: (m, looks) mean of the number there.
        look_correlation: (m, looks) correlation of the number there with the complete value: 1 tells all of it.
    """

    mean: FloatArray
    own: FloatArray
    shared: FloatArray
    look_mean: FloatArray
    look_correlation: FloatArray

    def relative_deviation(self, which: BoolArray) -> FloatArray:
        """(k,) standard deviations of the complete values of k candidates, without what all of them share."""
        shared = self.shared[which]
        return np.asarray(np.sqrt(self.own[which] ** 2 + np.square(shared - shared.mean(axis=0)).sum(axis=1)))

    def scaled(self, factor: float) -> Forecast:
        """The same forecast, with all deviations of complete values multiplied by a factor."""
        return replace(self, own=factor * self.own, shared=factor * self.shared)


@dataclass(frozen=True)
class Answers:
    """The network's, for a batch of b tasks of m candidates, in its own units; `shared` as above.

    Attributes:
        mean: (b, m) of the complete value.
        log_own: (b, m) logarithm of its own deviation.
        shared: (b, m, FACTORS).
        look_mean: (b, m, looks) mean of the change until the look.
        log_look_deviation: (b, m, looks) logarithm of its deviation.
        look_correlation: (b, m, looks) correlation, between -1 and 1.
    """

    mean: torch.Tensor
    log_own: torch.Tensor
    shared: torch.Tensor
    look_mean: torch.Tensor
    log_look_deviation: torch.Tensor
    look_correlation: torch.Tensor

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
        hidden = self.embed(tokens)
        for block in self.blocks:
            hidden = block(hidden, likeness, there)
        looks = len(LOOKS)
        mean, doubt, shared, way, look, certain = self.answer(hidden).split(
            [1, 1, FACTORS, looks, looks, looks], dim=-1
        )
        return Answers(
            mean[..., 0],
            (doubt[..., 0] + START_LOG_DEVIATION).clamp(*LOG_DEVIATION),
            MOST_SHARED * torch.tanh(shared),
            way,
            (look + START_LOG_DEVIATION).clamp(*LOG_DEVIATION),
            torch.tanh(certain + START_CORRELATION),
        )


class _Block(nn.Module):
    """Attention, stronger between names that are alike, and two dense layers; a norm before each of both."""

    def __init__(self) -> None:
        super().__init__()
        self.before = nn.LayerNorm(WIDTH)
        self.project, self.out = nn.Linear(WIDTH, 3 * WIDTH), nn.Linear(WIDTH, WIDTH)
        self.family = nn.Parameter(torch.zeros(HEADS))
        self.between = nn.LayerNorm(WIDTH)
        self.dense = nn.Sequential(nn.Linear(WIDTH, 2 * WIDTH), nn.GELU(), nn.Linear(2 * WIDTH, WIDTH))

    def forward(self, hidden: torch.Tensor, likeness: torch.Tensor, there: torch.Tensor) -> torch.Tensor:
        batch, count, _ = hidden.shape
        asked = self.project(self.before(hidden)).reshape(batch, count, 3, HEADS, WIDTH // HEADS)
        query, key, value = asked.permute(2, 0, 3, 1, 4)
        paid = likeness[:, None] * self.family[:, None, None] + there[:, None, None, :]
        seen = nn.functional.scaled_dot_product_attention(query, key, value, attn_mask=paid)
        hidden = hidden + self.out(seen.transpose(1, 2).reshape(batch, count, WIDTH))
        return hidden + self.dense(self.between(hidden))


class CurveForecaster:
    """Networks that were trained alike, asked together for one search at a time.

    Their forecasts are mixed with equal weights: where they disagree, the deviation grows (Lakshminarayanan, Pritzel
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
    ) -> Forecast:
        """What the complete values will be, and what looks at further rows would tell of them.

        Args:
            curves: (m,) of the number after each row so far; NaN where unknown.
            complete: (m,) whose last row is the complete value.
            features: of the candidates.
        """
        seen = observed(curves, complete, features, grows_with_size=self._grows_with_size)
        asked = _batch_of_one(seen.tokens), _batch_of_one(features.likeness), torch.zeros(1, len(curves))
        answers = [member(*asked) for member in self._members]
        means = np.stack([_only(one.mean) for one in answers])
        apart = means - means.mean(axis=1, keepdims=True)
        variance = np.mean([_only(one.own_variance) for one in answers], axis=0) + apart.var(axis=0)
        shared = np.concatenate([_only(one.shared) for one in answers], axis=1) / np.sqrt(len(answers))
        way = np.mean([_only(one.look_mean) for one in answers], axis=0)
        return Forecast(
            mean=np.where(complete, seen.now, seen.base + seen.apart * means.mean(axis=0)),
            own=np.where(complete, 0.0, seen.apart * np.sqrt(variance)),
            shared=np.where(complete[:, None], 0.0, seen.apart * shared),
            look_mean=seen.now[:, None] + seen.apart * way,
            look_correlation=np.mean([np.abs(_only(one.look_correlation)) for one in answers], axis=0),
        )


def _batch_of_one(values: FloatArray) -> torch.Tensor:
    return torch.from_numpy(values.astype(np.float32))[None]


def _only(values: torch.Tensor) -> FloatArray:
    return np.asarray(values[0].double().numpy())

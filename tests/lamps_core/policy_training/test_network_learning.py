"""How networks learn to forecast curves."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.stats import multivariate_t

from lamps_core.policies.candidate_features import features_of
from lamps_core.policies.curve_network import FACTORS
from lamps_core.policies.universal import LOSSES
from lamps_core.policy_training.network_learning import (
    FREEDOM,
    Learner,
    TaskCurves,
    _joint_surprise,
    batch_of,
    example,
    loss_of,
    sample_halving_state,
    sample_random_state,
)
from lamps_core.policy_training.random_tasks import random_task
from lamps_core.policy_training.universal import task_curves_of


def tasks(count: int = 6) -> list[TaskCurves]:
    """Of random tasks."""
    return [task for seed in range(count) for task in task_curves_of(random_task(seed), LOSSES)]


def test_the_surprise_of_ends_together_is_that_of_a_multivariate_students_t() -> None:
    chance = np.random.default_rng(2)
    error, shared = chance.standard_normal(5), chance.standard_normal((5, FACTORS))
    variance = chance.uniform(0.5, 2.0, 5)
    expected = multivariate_t.logpdf(error, shape=np.diag(variance) + shared @ shared.T, df=FREEDOM)
    # A sixth candidate has no end.
    found = _joint_surprise(
        torch.tensor([[*error, 0.0]]),
        torch.tensor([[*variance, 1.0]]),
        torch.tensor(np.vstack([shared, np.zeros((1, FACTORS))])[None]),
        torch.tensor([5]),
    )
    # Everything but the constant of pi, a candidate.
    assert float(found) == pytest.approx(-expected / 5 - 0.5 * np.log(np.pi), abs=1e-3)


def test_training_makes_forecasts_better() -> None:
    kept = batch_of([example(task, np.random.default_rng(place)) for place, task in enumerate(tasks())])
    shares: list[float] = []
    groups = [(1.0, tasks(30)[6:])]
    before, after = (
        Learner(groups, updates=updates, seed=0).learn(tell=lambda share, _loss: shares.append(share))
        for updates in (1, 50)
    )
    assert loss_of(after, kept).item() < loss_of(before, kept).item() - 0.3
    assert shares[1:] == sorted(shares[1:])
    assert shares[-1] == 1.0


def test_the_same_seed_gives_the_same_weights() -> None:
    first, second = (Learner([(1.0, tasks())], updates=2, seed=3).learn().state_dict() for _ in range(2))
    assert all(torch.equal(first[name], second[name]) for name in first)


LAST, CAN_END = np.array([9, 12, 0, 30, 5, 1]), np.array([True, True, False, True, False, True])


@pytest.mark.parametrize("seed", range(50))
def test_a_search_is_broken_off_before_the_end_of_those_that_are_open(seed: int) -> None:
    falling = [np.linspace(place, 0.0, length + 1) for place, length in enumerate(LAST)]
    for row, done in (
        sample_random_state(LAST, CAN_END, np.arange(6.0), np.random.default_rng(seed)),
        sample_halving_state(falling, CAN_END, np.arange(6.0), np.random.default_rng(seed)),
    ):
        assert (row[done] == LAST[done]).all()
        assert (row[~done] <= np.maximum(LAST[~done] - 1, 0)).all()
        assert (row >= 0).all()
        assert not done[~CAN_END].any()
        assert not done.all()


def test_those_that_did_best_so_far_are_run_on() -> None:
    """Curves that cross: the best of the first rows are the worst in the end."""
    good_first = [np.linspace(place, 19.0 - 2.0 * place, 20) for place in range(20)]
    rows = [
        sample_halving_state(good_first, np.zeros(20, dtype=bool), np.zeros(20), np.random.default_rng(seed))[
            0
        ]
        for seed in range(200)
    ]
    early = np.mean(rows, axis=0)
    assert early[:5].mean() > 1.3 * early[-5:].mean()


def test_an_example_tells_how_its_curves_went_on() -> None:
    task = TaskCurves(
        [np.linspace(1.0, 0.0, 11) + place for place in range(4)],
        np.ones(4, dtype=bool),
        features_of(list("abcd"), np.exp(np.arange(4.0)), np.full(4, np.nan)),
        grows_with_size=False,
    )
    for seed in range(20):
        found = example(task, np.random.default_rng(seed))
        ahead = found.looks[np.isfinite(found.looks).all(axis=1)]
        # A straight line falls by as much with each row.
        assert ahead[:, 1] == pytest.approx(2 * ahead[:, 0])
        assert ahead[:, 3] == pytest.approx(8 * ahead[:, 0])

"""The policy that serves any candidates and objectives."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given, settings

from lamps_core.errors import BadInput
from lamps_core.meta_dataset import read_tasks
from lamps_core.objectives import parse_objectives
from lamps_core.policies.curve_network import FACTORS, Forecast
from lamps_core.policies.loading import UNIVERSAL, load_policy, load_universal, shipped_policy
from lamps_core.policies.ordered import Cheapest
from lamps_core.policies.scenario_draws import (
    BY_CHANCE,
    MOST_DOUBTED,
    SCENARIOS,
    NormalDraws,
    draw_scenarios,
    overconfidence_factor,
)
from lamps_core.policies.scenarios import needed
from lamps_core.policies.trained import load_policy_file
from lamps_core.policies.universal import _best_plan, _Forecasts
from lamps_core.policy_file import PolicyFile, read_policy, write_policy
from lamps_core.policy_training import training_run
from lamps_core.policy_training.algorithms import algorithm
from lamps_core.policy_training.training_run import TrainingRun
from lamps_core.replay import ReplayedSearch, replay
from lamps_core.task import Task
from tests.meta_datasets import curve_rows, family_tasks, made_task, write_meta_dataset
from tests.replays import play_out

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from lamps_core.policies.protocol import Observation

SMALL = {"random_tasks": 2, "simulated_seeds": 0, "members": 2, "loss_updates": 2, "cost_updates": 2}


def sign_flipped(task: Task, order: Sequence[int]) -> Task:
    """The candidates in another order."""
    places = np.array(order)
    return replace(
        task,
        candidates=tuple(task.candidates[place] for place in places),
        **{
            name: getattr(task, name)[places]
            for name in ("rows", "complete", "values", "losses", "step_seconds", "parameters", "epoch_cost")
        },
    )


def chosen_names(task: Task, most: int = 60) -> list[str]:
    """Who gets each step of a search by the shipped policy."""
    policy, search, found = load_universal(task.objectives), ReplayedSearch(task), list[str]()
    while search.mask.any() and len(found) < most:
        place = policy.select(search.observation())
        found.append(task.candidates[place])
        search.step(place)
    return found


def test_the_shipped_policy_says_what_it_is() -> None:
    card = read_policy(shipped_policy(UNIVERSAL)).card
    assert card.kind == "universal"
    assert card.objectives == ()
    assert len(card.datasets) == 9
    assert len(card.candidates) == 22
    assert load_policy(UNIVERSAL).name == UNIVERSAL


def test_the_order_of_candidates_makes_no_difference() -> None:
    task = family_tasks(1, 9)[0]
    order = [4, 8, 0, 2, 6, 1, 3, 5, 7]
    assert chosen_names(sign_flipped(task, order)) == chosen_names(task)


@settings(max_examples=15, deadline=None)
@given(made_task())
def test_it_ends_any_search_by_steps_that_may_be_run(task: Task) -> None:
    play_out(task, load_universal(task.objectives))


@pytest.mark.slow
def test_it_finds_the_front_sooner_than_the_cheapest_first_where_size_says_little() -> None:
    """Thirty candidates, most of them poor: looking at each for a few steps is enough."""
    chance = np.random.default_rng(5)
    count, steps = 30, 9
    floor = np.where(np.arange(count) % 10 == 7, 0.1, 1.0) * np.exp(0.05 * chance.standard_normal(count))
    progress = np.linspace(0.0, 1.0, steps)
    losses = 2.0 * (floor[:, None] / 2.0) ** progress
    train = np.concatenate([np.zeros(1), 2.0 ** np.arange(steps - 1)]) * np.ones((count, 1))
    train *= np.exp(0.2 * chance.standard_normal((count, 1)))
    task = Task(
        dataset="needles",
        seed=0,
        source="simulated",
        candidates=tuple(f"m{place}" for place in range(count)),
        objectives=parse_objectives(),
        rows=np.full(count, steps),
        complete=np.ones(count, dtype=bool),
        values=np.stack([losses, np.cumsum(train, axis=1)], axis=2),
        losses=losses,
        step_seconds=train + 0.1,
        parameters=np.full(count, 1e6),
        epoch_cost=np.full(count, 1e6),
    )
    ours = replay(task, load_universal(task.objectives)).seconds_to(0.9)
    cheapest = replay(task, Cheapest()).seconds_to(0.9)
    assert ours is not None
    assert cheapest is not None
    assert ours < 0.6 * cheapest


class InOrder:
    """Brings one candidate after another to its end: from the first of the list, or from the last."""

    name = "in order"

    def __init__(self, place: int) -> None:
        self._place = place

    def select(self, observation: Observation) -> int:
        return int(np.flatnonzero(observation.mask)[self._place])


def needle_rows(steps: int = 7) -> list[dict[str, Any]]:
    """Nine candidates, of which the one in the middle is far better throughout; three others cost a little less."""
    chance, rows = np.random.default_rng(2), list[dict[str, Any]]()
    for place, size in enumerate([2.1, 0.95, 1.7, 2.4, 1.0, 2.2, 0.94, 0.96, 1.8]):
        first, end = (0.3, 0.05) if place == 4 else (0.6, chance.uniform(0.5, 0.55))
        wrong = end + (first - end) * 0.5 ** np.arange(steps + 1)
        told = curve_rows(
            "needle",
            f"m{place}",
            losses=[2.0 * share for share in wrong],
            train=[0.0] + [size * 2.0**step for step in range(steps)],
        )
        rows += [
            row
            | {"accuracy": 1.0 - share, "macro_f1": 0.99 - share, "parameters": int(1e6 * size), "gpus": 1}
            | {"eval_rows_per_second": 1e3 / size, "peak_memory_bytes": int(1e9 * size)}
            for row, share in zip(told, wrong, strict=True)
        ]
    return rows


@pytest.mark.parametrize(
    "objectives",
    [
        "accuracy,train_seconds",
        "test_loss,parameters",
        "macro_f1,eval_rows_per_second",
        "test_loss,peak_memory_bytes",
        "test_loss,dollars,parameters",
        "test_loss",
    ],
)
def test_one_policy_finds_the_best_of_any_objectives_long_before_the_others_are_run(
    objectives: str, tmp_path: Path
) -> None:
    (task,) = read_tasks(write_meta_dataset(tmp_path, needle_rows()), parse_objectives(objectives))
    ours, *others = (
        replay(task, policy).seconds_to(0.9) or np.inf
        for policy in (load_universal(task.objectives), InOrder(0), InOrder(-1), Cheapest())
    )
    assert ours < 0.5 * min(others)


def test_running_candidates_are_believed_to_end_where_they_are_expected_to() -> None:
    task = family_tasks(1, 6)[0]
    search = ReplayedSearch(task)
    policy = load_universal(task.objectives)
    observation = search.observation()
    first = policy.select(observation)
    pending = np.arange(6) == first
    told = policy.outlook(observation)
    beside = policy.outlook(_with(observation, pending))
    others = ~pending
    assert beside.gain[others].sum() < told.gain[others].sum()
    assert (
        beside.gain[others] <= told.gain[others] + 0.01
    ).all()  # of two that would do, another may be asked
    assert policy.select(_with(observation, pending)) != first


def _with(observation: Observation, pending: np.ndarray) -> Observation:
    return replace(observation, mask=observation.mask & ~pending, pending=pending)


def landmark_task(cost: str, *, overhead: float) -> Task:
    """Eight candidates of 10 rows that double, each step with seconds that are not training's.

    Args:
        cost: the objective beside test_loss.
        overhead: those seconds.
    """
    size = np.exp2(np.arange(8.0))
    train = np.concatenate([np.zeros(1), np.exp2(np.arange(10.0))]) * size[:, None]
    losses = np.random.default_rng(3).uniform(0.3, 1.0, 8)[:, None] + 0.9 ** np.arange(11)
    loss, told = parse_objectives(f"test_loss,{cost}")
    unit = {"dollars": (told.gpu_hour_price or 0.0) / 3600.0, "train_flops": 1e9}.get(cost, 1.0)
    return Task(
        dataset="landmarks",
        seed=0,
        source="simulated",
        candidates=tuple(f"m{place}" for place in range(8)),
        objectives=(loss, told),
        rows=np.full(8, 11),
        complete=np.ones(8, dtype=bool),
        values=np.stack([losses, unit * np.cumsum(train, axis=1)], axis=2),
        losses=losses,
        step_seconds=train + overhead,
        parameters=1e6 * size,
        epoch_cost=1e6 * size,
    )


def test_what_every_step_costs_beside_training_is_not_taken_for_it() -> None:
    """After two of ten rows nearly all seconds were evaluation's and loading's; in the end few are."""
    task = landmark_task("train_seconds", overhead=100.0)
    search, policy = ReplayedSearch(task), load_universal(task.objectives)
    for _ in range(10):
        search.step(0)
    for place in range(1, 8):
        for _ in range(2):
            search.step(place)
    expected = np.exp(policy._all_forecasts(search.observation()).sums[1].mean)
    assert expected[1:] == pytest.approx(task.final[1:, 1], rel=1.0)
    assert (expected[1:] > 0.4 * task.final[1:, 1]).all()


def test_dollars_decide_as_seconds_do_and_operations_nearly() -> None:
    seconds, money, operations = (
        replay(task, load_universal(task.objectives))
        for objective in ("train_seconds", "dollars", "train_flops")
        for task in [landmark_task(objective, overhead=3.0)]
    )
    assert money.spent_seconds == pytest.approx(seconds.spent_seconds)
    assert operations.seconds_to(0.9) == pytest.approx(seconds.seconds_to(0.9), rel=0.5)


def test_a_plan_is_worth_its_best_ratio() -> None:
    """In half of the scenarios one is worth 4 at its end, and a look tells which half it is."""
    good = np.arange(SCENARIOS) < SCENARIOS // 2
    worth = np.stack([np.where(good, 4.0, 0.0), np.ones(SCENARIOS)], axis=1)
    news = np.stack([np.where(good, -1.0, 1.0)] * 2, axis=1)
    one = np.ones((2, 1))
    seen = _Forecasts(
        draw_scenarios(some_forecast(2), NormalDraws.of([f"m{place}" for place in range(2)], FACTORS, 0)),
        {},
        {},
        np.zeros(2),
        4 * one[:, 0],
        one,
        one,
    )
    # Good news alone: 2 gained in 1 + 3 / 2 seconds. And 1 in 4, whatever the news.
    assert _best_plan(worth, news, np.zeros_like(news), seen) == pytest.approx([0.8, 0.25])


def some_forecast(count: int) -> Forecast:
    """Alike for all, in doubt alone and together."""
    return Forecast(
        mean=np.arange(float(count)),
        own=np.full(count, 0.5),
        shared=np.full((count, FACTORS), 2.0),
        look_mean=np.zeros((count, 4)),
        look_correlation=np.full((count, 4), 0.5),
    )


def test_scenarios_are_those_of_the_forecast() -> None:
    told = draw_scenarios(some_forecast(40), NormalDraws.of([f"m{place}" for place in range(40)], FACTORS, 0))
    assert told.ends.mean(axis=0) == pytest.approx(np.arange(40.0), abs=0.3)
    level = (told.ends - told.mean).mean(axis=1)
    assert level.std() == pytest.approx(np.sqrt(FACTORS) * 2.0, rel=0.1)  # what they share
    apart = told.ends - told.mean - level[:, None]
    assert np.quantile(np.abs(apart), 0.5) == pytest.approx(0.5 * 0.674, rel=0.1)  # normal: no wonders
    assert np.abs(apart).max() < 5.0 * 0.5
    assert told.news.std() == pytest.approx(1.0, rel=0.1)


def test_what_is_certain_is_the_same_in_every_scenario() -> None:
    forecast = replace(some_forecast(3), own=np.zeros(3), shared=np.zeros((3, FACTORS)))
    told = draw_scenarios(forecast, NormalDraws.of([f"m{place}" for place in range(3)], FACTORS, 0))
    assert (told.ends == forecast.mean).all()
    assert (told.news == 0.0).all()


def test_where_nothing_seems_missing_the_forecasts_are_doubted() -> None:
    """All are complete but one, which is far behind: it is still run, and it has an index above nothing."""
    task = family_tasks(1, 6)[0]
    search, policy = ReplayedSearch(task), load_universal(task.objectives)
    worst = int(np.nanargmax(task.final[:, 0]))
    for place in range(6):
        while place != worst and not search.complete[place]:
            search.step(place)
    observation = search.observation()
    assert policy.select(observation) == worst
    seen = policy._all_forecasts(observation)
    assert policy._worth(observation, seen, 1.0).max() <= policy._worth(observation, seen, 10.0).max()


def test_scenarios_are_judged_once_where_no_objective_is_a_loss(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The smallest is complete, so that nothing is missing; but parameters are known, and none of it is doubted."""
    judged: list[np.ndarray] = []

    def counted(final: np.ndarray, seconds: np.ndarray, **rest: Any) -> np.ndarray:
        judged.append(needed(final, seconds, **rest))
        return judged[-1]

    monkeypatch.setattr("lamps_core.policies.universal.needed", counted)
    (task,) = read_tasks(write_meta_dataset(tmp_path, needle_rows(2)), parse_objectives("parameters"))
    search, smallest = ReplayedSearch(task), int(np.argmin(task.parameters))
    while not search.complete[smallest]:
        search.step(smallest)
    load_universal(task.objectives).select(search.observation())
    assert [told.max() for told in judged] == [0.0]


# --- training -------------------------------------------------------------------------------------------------


def forecast_of(mean: np.ndarray, own: float | np.ndarray) -> Forecast:
    count = len(mean)
    nothing = np.zeros((count, 0))
    return Forecast(mean, np.full(count, own), np.zeros((count, FACTORS)), nothing, nothing)


def standardised(count: int) -> np.ndarray:
    values = np.random.default_rng(0).standard_normal(count)
    return np.asarray((values - values.mean()) / values.std())


def test_forecasts_that_were_as_wrong_as_they_told_are_not_doubted() -> None:
    first = forecast_of(np.zeros(40), 0.5)
    moved = 0.4 * standardised(40)  # the rest of the doubt, 0.3, is still there
    begun = np.ones(40, dtype=bool)
    assert overconfidence_factor(first, forecast_of(moved, 0.3), begun) == 1.0
    # Nor believed more than they say.
    assert overconfidence_factor(first, forecast_of(moved / 4.0, 0.3), begun) == 1.0
    assert (
        overconfidence_factor(first, forecast_of(moved + 7.0, 0.3), begun) == 1.0
    )  # all moved alike: that decides nothing


@pytest.mark.parametrize(
    ("times", "least", "most"), [(2.0, 1.1, 1.7), (3.0, 1.6, 2.4), (50.0, 2.9, MOST_DOUBTED)]
)
def test_forecasts_that_were_further_off_are_doubted(times: float, least: float, most: float) -> None:
    moved = times * 0.4 * standardised(40)
    told = overconfidence_factor(
        forecast_of(np.zeros(40), 0.5), forecast_of(moved, 0.3), np.ones(40, dtype=bool)
    )
    assert least <= told <= most
    assert told <= times / BY_CHANCE * 1.2


def test_one_surprise_among_few_candidates_is_doubted_less_than_the_same_among_all() -> None:
    first, begun = forecast_of(np.zeros(30), 0.5), np.zeros(30, dtype=bool)
    moved = np.where(np.arange(30) % 2 == 0, 1.0, -1.0)
    doubts = []
    for count in (0, 1, 2, 10, 30):
        begun[:count] = True
        doubts.append(overconfidence_factor(first, forecast_of(np.where(begun, moved, 0.0), 0.2), begun))
    assert doubts[:2] == [1.0, 1.0]  # one candidate cannot be apart from the others
    assert doubts == sorted(doubts)
    assert doubts[-1] > 1.2


@pytest.fixture(scope="module")
def trained() -> PolicyFile:
    """On two small tasks, two random ones, and nothing else."""
    return algorithm(UNIVERSAL).train(family_tasks(2, 6), seed=0, run=TrainingRun(settings=SMALL))


def test_a_trained_one_does_not_fail_on_candidates_it_never_saw(trained: PolicyFile, tmp_path: Path) -> None:
    write_policy(tmp_path / "u.zip", trained)
    names = tuple(f"never/seen-{place}" for place in range(11))
    task = replace(family_tasks(1, 11, seed=8)[0], candidates=names)
    policy = load_policy(str(tmp_path / "u.zip"), candidates=names, objectives=task.objectives)
    play_out(task, policy)


def test_weights_of_another_shape_are_refused(trained: PolicyFile) -> None:
    for name in ("loss.0.embed.0.weight", "cost.1.answer.1.bias"):
        broken = PolicyFile(trained.card, {**trained.weights, name: np.zeros((2, 2))})
        with pytest.raises(BadInput, match="not those of this version's universal policy"):
            load_policy_file(broken, name="broken")
        missing = PolicyFile(trained.card, {k: v for k, v in trained.weights.items() if k != name})
        with pytest.raises(BadInput, match="not those of this version's universal policy"):
            load_policy_file(missing, name="broken")


def test_a_card_of_another_kind_is_refused(trained: PolicyFile) -> None:
    file = PolicyFile(replace(trained.card, kind="pool"), trained.weights)
    with pytest.raises(BadInput, match="broken: its card is of kind pool, and universal trains universal"):
        load_policy_file(file, name="broken")


def test_a_warm_start_is_refused(trained: PolicyFile) -> None:
    run = TrainingRun(settings=SMALL, warm_start=trained)
    with pytest.raises(BadInput, match="--warm-start is for distral, ppo, not for universal"):
        algorithm(UNIVERSAL).train(family_tasks(2, 6), seed=0, run=run)


@pytest.mark.parametrize("broken_off", [1, 3, 6])
def test_a_training_that_is_broken_off_goes_on_to_the_same_weights(
    broken_off: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the first network, between two, and in the last."""
    monkeypatch.setattr(training_run, "CHECKPOINT_SECONDS", 0.0)
    tasks, told = family_tasks(2, 6), list[float]()

    def tell(share: float, _scalars: object) -> None:
        told.append(share)
        if len(told) == broken_off:
            raise KeyboardInterrupt

    first, again = (TrainingRun(settings=SMALL, folder=tmp_path, tell=tell) for _ in range(2))
    with pytest.raises(KeyboardInterrupt):
        algorithm(UNIVERSAL).train(tasks, seed=0, run=first)
    first.close()
    before = len(told)
    found = algorithm(UNIVERSAL).train(tasks, seed=0, run=again).weights
    again.close()
    whole = algorithm(UNIVERSAL).train(tasks, seed=0, run=TrainingRun(settings=SMALL)).weights
    assert {name: value.tobytes() for name, value in found.items()} == {
        name: value.tobytes() for name, value in whole.items()
    }
    assert len(told) - before <= 8 - broken_off + 1  # no more than the update that was not kept is done again

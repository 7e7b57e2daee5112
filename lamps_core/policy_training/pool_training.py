"""The two algorithms whose policy knows its candidates by name, `distral` and `ppo`, from tasks to a policy file.

Owns what is the same for both: the environment of all tasks, rounds of learning, after each of which scalars are
logged, the policy is judged and a checkpoint kept, going on from a checkpoint, and what is written of the weights.
"""

from __future__ import annotations

from dataclasses import asdict, fields, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from stable_baselines3.common.callbacks import BaseCallback

from lamps_core.errors import BadInput
from lamps_core.fingerprints import objectives_fingerprint
from lamps_core.one_thread import one_thread
from lamps_core.policies.pool import NETWORK, PoolNetwork, layer_names
from lamps_core.policy_file import PolicyCard, PolicyFile, trained_for
from lamps_core.policy_training.distral import Distral, DistralSettings
from lamps_core.policy_training.environment import searchable
from lamps_core.policy_training.observation_table import observation_table
from lamps_core.policy_training.ppo import MaskedPPO
from lamps_core.policy_training.ppo_settings import PPOSettings, changed
from lamps_core.policy_training.rewards import OPTIMUM
from lamps_core.policy_training.task_batch import candidates_of
from lamps_core.policy_training.validation import Validation, split_tasks
from lamps_core.policy_training.vector_environment import VectorSearchEnvironment

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lamps_core.policies.pool_layout import PoolLayout
    from lamps_core.policy_training.batched_search import BatchedSearch
    from lamps_core.policy_training.training_run import TrainingRun
    from lamps_core.task import IntArray, Task

STEPS = 2_000_000  # of the environment, unless the run says otherwise


def train_ppo(tasks: Sequence[Task], *, seed: int, run: TrainingRun) -> PolicyFile:
    """One policy for all tasks by PPO; with one task, the paper's single-task training (Appendix C)."""
    return _train(tasks, PPOSettings(), seed=seed, run=run)


def train_distral(tasks: Sequence[Task], *, seed: int, run: TrainingRun) -> PolicyFile:
    """The policy that Distral distils from those of all tasks."""
    return _train(tasks, DistralSettings(), seed=seed, run=run)


def _train(tasks: Sequence[Task], defaults: PPOSettings, *, seed: int, run: TrainingRun) -> PolicyFile:
    settings = changed(defaults, run.settings)
    usable = [task for task in tasks if searchable(task)]
    if not usable:
        raise BadInput("no dataset has anything to search for: each curve on a front has a single row")
    training, judging = split_tasks(usable, seed=seed)
    pool = candidates_of(usable)
    # A value network likes returns of about 1; people are told of 3000.
    environment = VectorSearchEnvironment(
        training,
        episodes_each=settings.episodes_each,
        candidates=pool,
        equation=settings.equation,
        optimum=1.0,
    )
    with one_thread():
        model = _model(environment, settings, tasks=len(training), seed=seed)
        _begin(model, environment.layout, run)
        rounds = Rounds(run, environment.layout, Validation(judging, pool) if judging else None)
        left = rounds.resume(model)
        if left > 0:
            model.learn(left, callback=rounds, reset_num_timesteps=False, log_interval=None)
    return PolicyFile(
        _card(model, tasks, environment.layout, seed=seed), run.best_weights or weights_of(model)
    )


def _model(
    environment: VectorSearchEnvironment, settings: PPOSettings, *, tasks: int, seed: int
) -> MaskedPPO:
    if isinstance(settings, DistralSettings):
        return Distral(environment, settings, seed=seed, tasks=tasks)
    return MaskedPPO(environment, settings, seed=seed)


class Rounds(BaseCallback):
    """What happens between two rounds of learning: scalars are logged, the policy judged, a checkpoint kept."""

    def __init__(self, run: TrainingRun, layout: PoolLayout, validation: Validation | None) -> None:
        """Prepare.

        Args:
            run: takes the scalars, and says when to end.
            layout: of the observations.
            validation: on tasks kept out; None to keep the last weights.
        """
        super().__init__()
        self._run, self._layout, self._validation = run, layout, validation
        self._steps = run.steps if run.steps is not None else STEPS
        self._go_on, self._trained = True, False
        self._table: Any = None

    def resume(self, model: MaskedPPO) -> int:
        """Go on from the last checkpoint; the episodes under way then begin anew.

        Args:
            model: changed in place.

        Returns:
            Steps that are left.

        Raises:
            BadInput: the checkpoint is of another network.
        """
        found = self._run.restored()
        if found is not None:
            state, counters = found
            _restore(model, state)
            model.num_timesteps = int(counters["environment_steps"])
            self._go_on = bool(counters["go_on"])
        return self._steps - model.num_timesteps if self._go_on and not self._run.out_of_time() else 0

    def _on_rollout_start(self) -> None:
        if self._trained:
            self._end_round()
        self._trained = True

    def _on_step(self) -> bool:
        return self._go_on

    def _on_training_end(self) -> None:
        if self._go_on:
            self._end_round()
        self._keep()

    def _end_round(self) -> None:
        model = self._model()
        last = dict(model.scalars)
        scalars = {
            "environment_steps": float(model.num_timesteps),
            "normalised_reward": OPTIMUM * last.pop("earned", 0.0),  # of the last rollout in which one ended
            **last,
        }
        if self._validation is not None:
            weights = weights_of(model)
            scalars["validation_score"] = self._validation.score(self._chooser(weights))
            self._go_on = self._run.judge(scalars["validation_score"], weights)
        self._run.log(self._run.share_done(model.num_timesteps, self._steps), scalars)
        self._go_on = self._go_on and not self._run.out_of_time()
        if self._run.checkpoint_due():
            self._keep()

    def _keep(self) -> None:
        model = self._model()
        self._run.save(
            _state(model),
            {"environment_steps": model.num_timesteps, "go_on": self._go_on or self._run.out_of_time()},
        )

    def _chooser(self, weights: dict[str, np.ndarray]) -> Any:
        """Greedy choices of a policy with these weights."""
        network = PoolNetwork(
            [(weights[weight], weights[bias]) for weight, bias in layer_names(len(weights) // 2)]
        )

        def choose(search: BatchedSearch) -> IntArray:
            if self._table is None:
                self._table = observation_table(self._layout, search.tasks)
            seen = self._table[search.task[:, None], search.row, np.arange(search.row.shape[1])]
            return network.best(seen.reshape(len(seen), -1), search.mask())

        return choose

    def _model(self) -> MaskedPPO:
        model: Any = self.model
        return model


def weights_of(model: MaskedPPO) -> dict[str, np.ndarray]:
    """The layers that decide, named as `policies.pool` reads them."""
    weights: dict[str, np.ndarray] = {}
    for layer, (weight, bias) in zip(model.actor, layer_names(len(model.actor)), strict=True):
        weights[weight] = layer.weight.detach().numpy().copy()
        weights[bias] = layer.bias.detach().numpy().copy()
    return weights


def _begin(model: MaskedPPO, layout: PoolLayout, run: TrainingRun) -> None:
    """Take over the weights of a policy to begin with.

    Raises:
        BadInput: it is of another network, other objectives or another list of candidates.
    """
    if run.warm_start is None:
        return
    card = run.warm_start.card
    own = {"candidates": layout.candidates, "objectives": layout.objectives, "network": _network(model)}
    for what, value in own.items():
        if getattr(card, what) != value:
            raise BadInput(
                f"--warm-start: the policy by {card.algorithm} has other {what} than this training"
            )
    with torch.no_grad():
        for layer, (weight, bias) in zip(model.actor, layer_names(len(model.actor)), strict=True):
            layer.weight.copy_(torch.from_numpy(np.array(run.warm_start.weights[weight])))
            layer.bias.copy_(torch.from_numpy(np.array(run.warm_start.weights[bias])))


def grown(file: PolicyFile, candidates: tuple[str, ...]) -> PolicyFile:
    """The same policy over more candidates, to begin a training with.

    It decides among those that it knows as before: nothing is made yet of what is shown of a new one, whose own logit
    is the mean of theirs.

    Args:
        file: of distral or ppo.
        candidates: in order; those of the file are among them.
    """
    card, weights = file.card, dict(file.weights)
    places = [candidates.index(name) for name in card.candidates]
    names = layer_names(len(weights) // 2)
    (first, _), (last, bias) = names[0], names[-1]
    shown = weights[first].reshape(len(weights[first]), len(card.candidates), -1)
    wider = np.zeros((len(shown), len(candidates), shown.shape[2]), dtype=shown.dtype)
    wider[:, places] = shown
    weights[first] = wider.reshape(len(shown), -1)
    for name in (last, bias):
        more = np.repeat(weights[name].mean(axis=0, keepdims=True), len(candidates), axis=0)
        more[places] = weights[name]
        weights[name] = more
    return PolicyFile(replace(card, candidates=candidates), weights)


def settings_of(card: PolicyCard) -> dict[str, Any]:
    """The hyperparameters on a card, as a run takes them to train alike."""
    known = {one.name for one in fields(DistralSettings if card.algorithm == "distral" else PPOSettings)}
    return {name: value for name, value in card.settings.items() if name in known}


def _state(model: MaskedPPO) -> dict[str, torch.Tensor]:
    """Weights, Adam's moments and the generator, as a checkpoint keeps them."""
    state = {"generator": model.generator.get_state()}
    for name, weights in model.states().items():
        state[f"{name}.weights"] = weights.vector.detach().clone()
        for part, moment in weights.state.items():
            state[f"{name}.adam.{part}"] = moment.clone()
    return state


def _restore(model: MaskedPPO, state: dict[str, torch.Tensor]) -> None:
    model.generator.set_state(state["generator"])
    for name, weights in model.states().items():
        kept = {part: state.get(f"{name}.adam.{part}") for part in weights.state} | {
            "": state.get(f"{name}.weights")
        }
        own = {**weights.state, "": weights.vector}
        for part, into in own.items():
            found = kept[part]
            if found is None or found.shape != into.shape:
                raise BadInput("the checkpoint is of another network: delete it to begin anew")
            into.copy_(found)


def _network(model: MaskedPPO) -> dict[str, Any]:
    return {"kind": NETWORK, "widths": list(model.settings.widths)}


def _card(model: MaskedPPO, tasks: Sequence[Task], layout: PoolLayout, *, seed: int) -> PolicyCard:
    return PolicyCard(
        kind="pool",
        algorithm="distral" if isinstance(model, Distral) else "ppo",
        objectives=layout.objectives,
        candidates=layout.candidates,
        datasets=tuple(sorted({task.dataset for task in tasks})),
        meta_dataset=objectives_fingerprint(tasks),
        network=_network(model),
        settings={
            **asdict(model.settings),
            "seed": seed,
            "environment_steps": model.num_timesteps,
            **trained_for(tasks[0].objectives),
        },
    )

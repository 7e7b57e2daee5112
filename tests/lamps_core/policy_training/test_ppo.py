from __future__ import annotations

import numpy as np
import pytest
import torch
from sb3_contrib import MaskablePPO

from lamps_core.errors import BadInput, LampsError
from lamps_core.policy_training.algorithms import algorithm
from lamps_core.policy_training.distral import DistralSettings
from lamps_core.policy_training.ppo import MaskedPPO
from lamps_core.policy_training.ppo_settings import PPOSettings, changed
from lamps_core.policy_training.training_run import TrainingRun
from lamps_core.policy_training.vector_environment import VectorSearchEnvironment
from tests.meta_datasets import family_tasks

QUICK = PPOSettings(rollout_steps=16, episodes_each=2, epochs=3, minibatch_size=64)


def test_an_update_is_that_of_maskable_ppo_on_the_same_data() -> None:
    tasks = family_tasks(2, 8)
    ours = MaskedPPO(VectorSearchEnvironment(tasks, episodes_each=2, optimum=1.0), QUICK, seed=3)
    theirs = MaskablePPO(
        "MlpPolicy",
        VectorSearchEnvironment(tasks, episodes_each=2, optimum=1.0),
        seed=3,
        device="cpu",
        **QUICK.as_arguments(),
    )
    ours.learn(1)  # one rollout and its training, so that ratios and advantages are not trivial
    theirs.policy.load_state_dict(ours.policy.state_dict())
    _, callback = theirs._setup_learn(64)
    assert theirs.collect_rollouts(theirs.env, callback, theirs.rollout_buffer, QUICK.rollout_steps)
    # All of a rollout is one minibatch here: the order in which samples are drawn is not compared.
    for name in ("observations", "actions", "rewards", "values", "log_probs", "advantages", "returns"):
        setattr(ours.rollout_buffer, name, getattr(theirs.rollout_buffer, name).copy())
    ours.rollout_buffer.action_masks = theirs.rollout_buffer.action_masks.copy()
    # Adam starts anew on both sides.
    ours.weights.forget()
    before = ours.weights.vector.detach().clone()
    ours.train()
    theirs.train()
    for name, tensor in theirs.policy.state_dict().items():
        torch.testing.assert_close(ours.policy.state_dict()[name], tensor, rtol=0.0, atol=1e-6)
    moved = (ours.weights.vector.detach() - before).abs().max()
    assert moved > 2e-4  # three steps of at most 1e-4 each: all were taken


def test_a_rollout_is_what_the_environment_and_the_policy_say() -> None:
    tasks = family_tasks(2, 8)
    model = MaskedPPO(VectorSearchEnvironment(tasks, episodes_each=2, optimum=1.0), QUICK, seed=3)
    replayed = VectorSearchEnvironment(tasks, episodes_each=2, optimum=1.0)
    model.learn(1)
    buffer = model.rollout_buffer
    seen = replayed.reset()
    for step in range(QUICK.rollout_steps):
        np.testing.assert_array_equal(buffer.observations[step], seen)
        np.testing.assert_array_equal(buffer.action_masks[step], replayed.action_masks())
        seen, rewards, _, _ = replayed.step(buffer.actions[step][:, 0].astype(int))
        np.testing.assert_array_equal(buffer.rewards[step], rewards)
    assert model.num_timesteps == QUICK.rollout_steps * 4


def test_actions_are_drawn_with_the_probabilities_of_the_policy() -> None:
    model = MaskedPPO(VectorSearchEnvironment(family_tasks(1, 4), episodes_each=2), QUICK, seed=3)
    with torch.no_grad():
        model.policy.action_net.bias.copy_(torch.tensor([0.0, 1.0, 2.0, 3.0]))
        mask = torch.tensor([[True, True, True, False]]).expand(4000, -1)
        seen = torch.zeros(4000, model.observation_space.shape[0])
        actions, logs, _ = model.act(seen, mask)
    expected = np.exp([0.0, 1.0, 2.0]) / np.exp([0.0, 1.0, 2.0]).sum()
    counted = np.bincount(actions.numpy(), minlength=4)
    assert counted[3] == 0
    # Chi-squared with two degrees of freedom: above 13.8 once in a thousand; the draws are seeded.
    assert ((counted[:3] - 4000 * expected) ** 2 / (4000 * expected)).sum() < 13.8
    np.testing.assert_allclose(logs.exp(), expected[actions.numpy()], rtol=1e-5)


def test_the_defaults_are_those_of_the_paper() -> None:
    told = PPOSettings().as_arguments()
    named = (
        "learning_rate",
        "batch_size",
        "n_epochs",
        "gamma",
        "gae_lambda",
        "clip_range",
        "vf_coef",
        "ent_coef",
    )
    assert [told[name] for name in named] == [1e-4, 256, 15, 0.99, 0.97, 0.2, 0.5, 0.23]


def test_an_unknown_setting_is_refused() -> None:
    with pytest.raises(BadInput, match=r"--set learning_rat=\.\.\.: there is no such setting"):
        changed(PPOSettings(), {"learning_rat": 1.0})
    assert changed(PPOSettings(), {"widths": [8]}).widths == (8,)


def test_settings_are_taken_as_a_user_writes_them() -> None:
    told = changed(
        PPOSettings(), {"epochs": "3", "entropy_coefficient": "0.02", "widths": "32x8", "equation": "5"}
    )
    assert (told.epochs, told.entropy_coefficient, told.widths, told.equation) == (3, 0.02, (32, 8), "5")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"epoch": "3"}, "--set epoch=...: there is no such setting"),
        ({"epochs": "many"}, "--set epochs=many: write it like epochs=15"),
        ({"epochs": "0"}, "must be a finite number above 0"),
        ({"learning_rate": "nan"}, "must be a finite number"),
        ({"widths": "64,64"}, "write it like widths=128x128"),
        ({"equation": "6"}, "is none of 5, 7"),
        ({"discount": "50"}, "must be at most 1"),
        ({"clip_range": "0"}, "must be a finite number above 0"),
        ({"entropy_coefficient": "-1"}, "must be a finite number from 0 on"),
    ],
)
def test_a_setting_that_cannot_be_is_refused_by_name(changes: dict[str, str], said: str) -> None:
    with pytest.raises(BadInput, match=said):
        changed(PPOSettings(), changes)


def test_what_distral_divides_by_is_never_zero() -> None:
    for name, value in (("alpha", "1"), ("entropy_coefficient", "0")):
        with pytest.raises(BadInput, match=f"--set {name}={value}: must be"):
            changed(DistralSettings(), {name: value})


def test_a_training_that_diverges_ends_in_words() -> None:
    run = TrainingRun(steps=4096, settings={"learning_rate": "1e30", "episodes_each": "2", "epochs": "1"})
    with pytest.raises(LampsError, match="the training diverged"):
        algorithm("ppo").train(family_tasks(2, 4), seed=0, run=run)


@pytest.mark.parametrize("equation", ["5", "7"])
def test_either_equation_is_a_reward_to_train_by(equation: str) -> None:
    run = TrainingRun(steps=256, settings={"equation": equation, "episodes_each": "2", "epochs": "1"})
    file = algorithm("ppo").train(family_tasks(2, 4), seed=0, run=run)
    assert file.card.settings["equation"] == equation

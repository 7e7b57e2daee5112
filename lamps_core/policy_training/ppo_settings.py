"""The hyperparameters of PPO, those of Appendix B.2 by default, and how a user changes them."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any, TypeVar, get_args

from lamps_core.errors import BadInput
from lamps_core.policy_training.rewards import Equation

if TYPE_CHECKING:
    from collections.abc import Mapping

Settings = TypeVar("Settings")
# In the metadata of a number, which is above 0 otherwise.
MAY_BE_ZERO = {"zero": True}
AT_MOST_ONE = {"most": 1.0}
BELOW_ONE = {"below": 1.0}


@dataclass(frozen=True, kw_only=True)
class PPOSettings:
    """Hyperparameters. Those of Appendix B.2 are the defaults; it names no others.

    Attributes:
        learning_rate: of Adam.
        minibatch_size: samples in one update.
        epochs: passes over a rollout.
        discount: gamma.
        gae_lambda: of generalised advantage estimation.
        clip_range: of the probability ratio.
        value_coefficient: c_1.
        entropy_coefficient: c_2.
        rollout_steps: of each episode between two trainings.
        episodes_each: at once on each task; with `rollout_steps` 2048 samples of a task, as in stable-baselines3.
        most_gradient_norm: above which a gradient is shortened, as in stable-baselines3.
        widths: hidden units of each layer, of the policy and of the value network alike, as there.
        equation: of the reward, 5 or 7 (`rewards`).
    """

    learning_rate: float = field(default=1e-4, metadata=MAY_BE_ZERO)
    minibatch_size: int = 256
    epochs: int = 15
    discount: float = field(default=0.99, metadata=AT_MOST_ONE)
    gae_lambda: float = field(default=0.97, metadata=AT_MOST_ONE | MAY_BE_ZERO)
    clip_range: float = field(default=0.2, metadata=AT_MOST_ONE)
    value_coefficient: float = field(default=0.5, metadata=MAY_BE_ZERO)
    entropy_coefficient: float = field(default=0.23, metadata=MAY_BE_ZERO)
    rollout_steps: int = 128
    episodes_each: int = 16
    most_gradient_norm: float = 0.5
    widths: tuple[int, ...] = (64, 64)
    equation: Equation = "7"

    def as_arguments(self) -> dict[str, Any]:
        """As MaskablePPO takes them."""
        return {
            "learning_rate": self.learning_rate,
            "batch_size": self.minibatch_size,
            "n_epochs": self.epochs,
            "gamma": self.discount,
            "gae_lambda": self.gae_lambda,
            "clip_range": self.clip_range,
            "vf_coef": self.value_coefficient,
            "ent_coef": self.entropy_coefficient,
            "n_steps": self.rollout_steps,
            "max_grad_norm": self.most_gradient_norm,
            "policy_kwargs": {"net_arch": {"pi": list(self.widths), "vf": list(self.widths)}},
        }


def changed(defaults: Settings, changes: Mapping[str, Any]) -> Settings:
    """Settings with some fields changed.

    Args:
        defaults: what is changed.
        changes: by name: a value, or how a user writes it, such as 0.02 or 128x128.

    Raises:
        BadInput: one that there is not, or that cannot be what it says.

    >>> changed(PPOSettings(), {"epochs": "3", "widths": "32x32", "equation": "5"}).widths
    (32, 32)
    """
    known = {one.name: one for one in fields(defaults)}  # type: ignore[arg-type]
    if unknown := sorted(set(changes) - set(known)):
        raise BadInput(
            f"--set {unknown[0]}=...: there is no such setting (there are {', '.join(sorted(known))})"
        )
    given = {
        name: _setting(name, value, getattr(defaults, name), known[name].metadata)
        for name, value in changes.items()
    }
    return type(defaults)(**{**vars(defaults), **given})


def _setting(name: str, value: Any, default: Any, limits: Mapping[str, Any]) -> Any:
    """A value as the default is one."""
    if isinstance(default, str):
        if str(value) not in get_args(Equation):
            raise BadInput(f"--set {name}={value}: is none of {', '.join(get_args(Equation))}")
        return str(value)
    try:
        if isinstance(default, tuple):
            parts = value.split("x") if isinstance(value, str) else value
            parsed: Any = tuple(int(part) for part in parts)
        else:
            parsed = type(default)(value)
    except (ValueError, TypeError):
        example = "128x128" if isinstance(default, tuple) else default
        raise BadInput(f"--set {name}={value}: write it like {name}={example}") from None
    least = min(parsed, default=0) if isinstance(parsed, tuple) else parsed
    zero_too = "zero" in limits
    if not 0 <= least < math.inf or (least == 0 and not zero_too):
        raise BadInput(
            f"--set {name}={value}: must be a finite number {'from 0 on' if zero_too else 'above 0'}"
        )
    if "most" in limits and parsed > limits["most"]:
        raise BadInput(f"--set {name}={value}: must be at most {limits['most']:g}")
    if "below" in limits and parsed >= limits["below"]:
        raise BadInput(f"--set {name}={value}: must be below {limits['below']:g}")
    return parsed

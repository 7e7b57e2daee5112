"""What an evaluation is asked for, and what is refused before anything is compared."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING

from lamps_core.errors import BadInput
from lamps_core.evaluation.unit import TrainingLimits
from lamps_core.prices import GPU_HOUR_PRICE, check_price
from lamps_core.settings import check_seed
from lamps_core.storage import refuse_url
from lamps_core.workers.pool import check_parallel

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from lamps_core.evaluation.methods import Contender
    from lamps_core.objectives import Objective
    from lamps_core.task import Task


MOST_REPEATS = 10_000


@dataclass(frozen=True, kw_only=True)
class EvaluationRequest:
    """What is compared, on which curves.

    Attributes:
        curves: folder of the meta-dataset.
        out: folder of the results.
        objectives: what is minimised.
        methods: names, `untrained`, `all`; none for every untrained one, the default algorithm and
            the universal policy that ships.
        policies: paths of trained policies, or names of methods.
        repeats: of each fold.
        seed: of repeat 0; repeat r has `seed + r`.
        limits: of a training.
        gpu_hour_price: dollars.
        parallel: units at once; None for one a core.
    """

    curves: Path
    out: Path
    objectives: tuple[Objective, ...]
    methods: tuple[str, ...] = ()
    policies: tuple[str, ...] = ()
    repeats: int = 5
    seed: int = 0
    limits: TrainingLimits = field(default_factory=TrainingLimits)
    gpu_hour_price: float = GPU_HOUR_PRICE
    parallel: int | None = None


def check_request(request: EvaluationRequest) -> None:
    """Refuse what can be seen to be wrong before the curves are read.

    Raises:
        BadInput: names the option and what it may be.
    """
    if request.repeats < 1:
        raise BadInput(f"--repeats must be at least 1, not {request.repeats}")
    if request.repeats > MOST_REPEATS:
        raise BadInput(f"--repeats must be at most {MOST_REPEATS}, not {request.repeats}")
    check_parallel(request.parallel)
    check_seed(request.seed)
    seconds, steps = request.limits.seconds, request.limits.steps
    if seconds is not None and not 0 < seconds < float("inf"):
        raise BadInput(f"--train-seconds must be more than zero, not {seconds:g}")
    if steps is not None and steps < 1:
        raise BadInput(f"--train-steps must be at least 1, not {steps}")
    check_price(request.gpu_hour_price)
    refuse_url(
        request.curves,
        "lamps evaluate reads a folder of this host: copy the curves here first, such as with aws s3 sync",
    )


def check_limits(limits: TrainingLimits, compared: Sequence[Contender]) -> None:
    """Refuse a training limit where no method is trained that takes it.

    Raises:
        BadInput: names the option.
    """
    from lamps_core.policy_training.algorithms import algorithm, takers

    trained = [algorithm(one.name) for one in compared if one.kind == "trained"]
    for option, value in asdict(limits).items():
        if value is not None and not any(option in one.takes for one in trained):
            raise BadInput(
                f"--train-{option} is for {takers(option)}, none of which is compared: leave it out, "
                "or name one with --methods"
            )


def costless(task: Task) -> str | None:
    """Why nothing can be compared on a task whose steps cost nothing; None where they do."""
    if task.exhaustive_seconds > 0.0:
        return None
    return "its step_seconds are all 0, and without costs nothing can be compared: record what its steps took"

"""A policy from a folder of curves to a file: what `lamps train-policy` and its flow do.

Owns what is asked for, what is refused, and where a training that was interrupted goes on: in a hidden folder
beside `out`, which the finished policy leaves no trace of. Knows no algorithm.
"""

from __future__ import annotations

import contextlib
import shutil
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from lamps_core.errors import BadInput, first_line, no_such
from lamps_core.files import json_object, make_folder, refuse_unwritable, write_json
from lamps_core.fingerprints import curves_fingerprint
from lamps_core.locks import locked
from lamps_core.meta_dataset import read_table, tasks_of
from lamps_core.objectives import parse_objectives
from lamps_core.policy_file import CARD, read_policy, write_policy
from lamps_core.policy_training.algorithms import DEFAULT_ALGORITHM, algorithm
from lamps_core.policy_training.training_run import CHECKPOINT, TrainingRun
from lamps_core.progress import TrainingProgress, publish
from lamps_core.report_words import not_measured
from lamps_core.settings import check_seed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from lamps_core.objectives import Objective
    from lamps_core.policy_file import PolicyFile
    from lamps_core.task import Task

REQUEST = "request.json"


@dataclass(frozen=True, kw_only=True)
class TrainingRequest:
    """What is asked for.

    Attributes:
        curves: a folder of curves, or one file of them.
        out: the policy: a folder, or a file that ends in `.zip`.
        algorithm: by name.
        exclude: datasets that are left out, as for a leave-one-out test.
        objectives: to minimise, with their bounds.
        steps: environment steps of distral or ppo; None for the algorithm's default.
        seconds: at most, of distral or ppo; None for no limit.
        seed: of the training.
        warm_start: a policy to begin with, of distral or ppo.
        settings: hyperparameters that differ from the algorithm's defaults.
    """

    curves: Path
    out: Path
    algorithm: str = DEFAULT_ALGORITHM
    exclude: tuple[str, ...] = ()
    objectives: tuple[Objective, ...] = field(default_factory=parse_objectives)
    steps: int | None = None
    seconds: float | None = None
    seed: int = 0
    warm_start: Path | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)


class Training:
    """A training that was checked and can begin, or go on.

    Attributes:
        request: what was asked for.
        tasks: what is trained on.
        notices: what the user is to know of the curves.
        folder: of its checkpoints.
    """

    def __init__(self, request: TrainingRequest) -> None:
        """Read the curves and check everything; nothing is written.

        Raises:
            BadInput: an argument cannot be used.
        """
        self.request = request
        self._algorithm = algorithm(request.algorithm)
        _check_limits(request)
        self._algorithm.check(
            steps=request.steps,
            seconds=request.seconds,
            settings=request.settings,
            warm_start=request.warm_start,
            bounds=[one.column for one in request.objectives if one.bound is not None],
        )
        check_out(request.out)
        self.notices: list[str] = []
        self.tasks = _tasks(request, left_out=self.notices.append)
        sources = {task.dataset: task.source for task in self.tasks}
        if len(set(sources.values())) > 1 and (mixed := not_measured(sources)):
            self.notices.append(mixed)
        self._warm_start = read_policy(request.warm_start) if request.warm_start else None
        self.folder = request.out.absolute().parent / f".{request.out.name}.training"
        self._identity = self._facts()
        self._refuse_another()

    def _refuse_another(self) -> None:
        """Refuse to go on from a training that was asked for differently."""
        if (self.folder / CHECKPOINT).exists():
            _check_same(self.folder, _asked_before(self.folder), self._identity)

    @contextlib.contextmanager
    def opened(self) -> Iterator[None]:
        """Hold the training's folder while the block runs.

        Raises:
            BadInput: another process does, or it cannot be written.
        """
        with contextlib.ExitStack() as stack:
            try:
                make_folder(self.folder)
                stack.enter_context(locked(str(self.folder), named=f"--out {self.request.out}"))
            except OSError as error:
                raise BadInput(f"--out {self.request.out}: {error.strerror or error}") from error
            try:  # now that nobody else can begin or end a training there
                check_out(self.request.out)
                self._refuse_another()
            except BadInput:
                self._forget_what_never_began()
                raise
            write_json(self.folder / REQUEST, self._identity)
            yield

    def _forget_what_never_began(self) -> None:
        """Without a checkpoint nothing was learned, so there is nothing to go on from."""
        if not (self.folder / CHECKPOINT).exists():
            shutil.rmtree(self.folder, ignore_errors=True)

    def run(self) -> dict[str, Any]:
        """Train, or go on, and write the policy; called inside `opened`.

        Returns:
            Where the policy is, what it was trained on, and how good it became.
        """
        run = TrainingRun(
            steps=self.request.steps,
            seconds=self.request.seconds,
            settings=self.request.settings,
            folder=self.folder,
            tell=self._tell,
            warm_start=self._warm_start,
        )
        try:
            policy = self._algorithm.train(self.tasks, seed=self.request.seed, run=run)
        except BadInput:
            self._forget_what_never_began()
            raise
        finally:
            run.close()
        write_policy(self.request.out, policy)
        shutil.rmtree(self.folder, ignore_errors=True)
        return self._result(policy, run)

    def _result(self, policy: PolicyFile, run: TrainingRun) -> dict[str, Any]:
        card = policy.card
        return {
            "policy": str(self.request.out),
            "algorithm": card.algorithm,
            "kind": card.kind,
            "objectives": list(card.objectives),
            "datasets": list(card.datasets),
            "candidates": len(card.candidates),
            "seconds": run.spent_seconds(),
            "validation_score": run.best_score,
            "settings": card.settings,
            "notices": self.notices,
        }

    def _tell(self, share_done: float, scalars: Mapping[str, float]) -> None:
        publish(
            TrainingProgress(
                policy=str(self.request.out),
                algorithm=self.request.algorithm,
                datasets=len({task.dataset for task in self.tasks}),
                share_done=share_done,
                scalars=dict(scalars),
            )
        )

    def _facts(self) -> dict[str, Any]:
        """What must not change between two runs of a training; its length may."""
        return {
            "algorithm": self.request.algorithm,
            # Before the curves, whose fingerprint tells of them: it is the first difference that is told.
            "objectives": [one.identity for one in self.request.objectives],
            "curves": curves_fingerprint(self.tasks),
            "seed": self.request.seed,
            "settings": dict(self.request.settings),
            "warm start": None if self._warm_start is None else self._warm_start.digest(),
        }


def _tasks(request: TrainingRequest, *, left_out: Callable[[str], None]) -> tuple[Task, ...]:
    """The tasks of the datasets that are not excluded; what is wrong with one of the others is no matter.

    Raises:
        BadInput: a dataset to leave out that is not there, or none is left; as `meta_dataset.read_tasks`.
    """
    table, place = read_table(request.curves, request.objectives), str(request.curves)
    known = sorted(table["dataset"].unique().to_pylist())
    for name in request.exclude:
        if name not in known:
            raise no_such("--exclude-dataset", name, "dataset", known)
    left = set(known) - set(request.exclude)
    if not left:
        raise BadInput("--exclude-dataset leaves no dataset to train on")
    return tasks_of(table, request.objectives, place=place, datasets=left, left_out=left_out)


def _check_limits(request: TrainingRequest) -> None:
    if request.steps is not None and request.steps < 1:
        raise BadInput(f"--steps must be at least 1, not {request.steps}")
    if request.seconds is not None and not request.seconds > 0:
        raise BadInput(f"--seconds must be more than zero, not {request.seconds:g}")
    check_seed(request.seed)


def check_out(out: Path) -> None:
    """Refuse a place that holds something, or that cannot be written."""
    if out.is_dir() and (out / CARD).is_file():
        raise BadInput(f"--out {out}: there is a policy already: name another place, or delete it")
    if out.is_dir() and (out.suffix.lower() == ".zip" or any(out.iterdir())):
        raise BadInput(f"--out {out}: is a folder that holds something else: name another place")
    if out.is_file():
        raise BadInput(f"--out {out}: is there already: name another place, or delete it")
    refuse_unwritable(out.absolute().parent, f"--out {out}")


def _asked_before(folder: Path) -> dict[str, Any]:
    """What the interrupted training of a folder was asked for.

    Raises:
        BadInput: that is not on record, such as after a crash of the machine.
    """
    path = folder / REQUEST
    try:
        return json_object(path.read_bytes())
    except (OSError, ValueError) as error:
        raise BadInput(
            f"{path} is missing or damaged ({first_line(error)}): delete the folder {folder}, or choose another --out"
        ) from None


def _check_same(folder: Path, found: dict[str, Any], wanted: dict[str, Any]) -> None:
    """Raise BadInput if the folder holds a training that was asked for differently."""
    for name, value in wanted.items():
        if found.get(name) != value:
            raise BadInput(
                f"{folder} holds an interrupted training with other {name} ({found.get(name)}, now {value}): "
                "give the same, choose another --out, or delete that folder"
            )

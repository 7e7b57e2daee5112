"""What `--methods` and `--policy` mean: the contenders of an evaluation, each by a name of its own.

Owns the names and what is refused before anything runs. Does not replay or train.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from lamps_core.errors import BadInput, no_such
from lamps_core.hub.download import find
from lamps_core.policies.loading import UNIVERSAL, shipped_policy

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lamps_core.hub.download import Found
    from lamps_core.task import Task

Kind = Literal["untrained", "trained", "policy"]
UNTRAINED, ALL = "untrained", "all"  # words of --methods
LEARNERS = frozenset({"portfolio"})  # have no weights, and look at the training datasets all the same


@dataclass(frozen=True, kw_only=True)
class Contender:
    """One method of an evaluation, as plain data.

    Attributes:
        name: in the results.
        kind: `untrained`, made anew for each task; `trained` on the other datasets, in each fold and repeat;
            `policy`, trained before, from a file.
        random: whether its repeats can differ on the same curves.
        about: one line.
        path: of a policy.
        weights: sixteen hex digits that change when the policy does.
        saw: datasets that the policy was trained on.
    """

    name: str
    kind: Kind
    random: bool
    about: str
    path: str = ""
    weights: str = ""
    saw: tuple[str, ...] = ()


def contenders(
    methods: Sequence[str], policies: Sequence[str], tasks: Sequence[Task]
) -> tuple[tuple[Contender, ...], list[str]]:
    """What is compared.

    Args:
        methods: names, `untrained`, `all`; none for every untrained one, the default algorithm and
            the universal policy that ships.
        policies: paths, or `org/name[@revision]` of the hub; a method's name, where nothing lies there, is one
            method more.
        tasks: of the meta-dataset.

    Returns:
        The contenders in order, each once; and what to tell the user.

    Raises:
        BadInput: an unknown name, a policy that cannot be read or does not fit, a method that was asked for by
            its own name and learns from other datasets where there is only one.
    """
    known = _known()
    alone = len({task.dataset for task in tasks}) < 2
    named = [asked for asked in policies if asked in known and not Path(asked).exists()]
    options = dict.fromkeys(methods, "--methods") | dict.fromkeys(named, "--policy")
    found, notices = [], []
    for name in dict.fromkeys([*_names(methods, known), *named]):
        why = _needs_more(known[name], tasks) if alone else None
        if why is None and name == UNIVERSAL:
            shipped = str(shipped_policy(UNIVERSAL))
            found.append(_policy(shipped, find(shipped), tasks, set()))
        elif why is None:
            found.append(known[name])
        elif name in options:
            raise BadInput(f"{options[name]} {name}: {why}")
        else:
            notices.append(f"{name} is left out: {why}")
    taken = {contender.name for contender in found} | (set(known) - {UNIVERSAL})
    for asked, place in _places([one for one in policies if one not in named]):
        found.append(_policy(asked, place, tasks, taken))
        taken.add(found[-1].name)
    if not found:
        raise BadInput("--methods: nothing is left to compare")
    notices += [told for contender in found if (told := _told_of_seen(contender, tasks))]
    return tuple(found), notices


def _known() -> dict[str, Contender]:
    """Every method, untrained and trained."""
    from lamps_core.policies.methods import METHODS
    from lamps_core.policy_training.algorithms import algorithms

    untrained = [
        Contender(name=one.name, kind="untrained", random=one.random, about=one.about)
        for one in METHODS.values()
    ]
    trained = [
        Contender(name=one.name, kind="trained", random=True, about=one.about)
        for one in algorithms().values()
        if one.name != UNIVERSAL
    ]
    shipped = Contender(name=UNIVERSAL, kind="policy", random=False, about="the policy that ships")
    return {one.name: one for one in (*untrained, *trained, shipped)}


def _names(methods: Sequence[str], known: dict[str, Contender]) -> list[str]:
    from lamps_core.policy_training.algorithms import DEFAULT_ALGORITHM

    untrained = [name for name, one in known.items() if one.kind == "untrained"]
    words = {UNTRAINED: untrained, ALL: list(known)}
    names: list[str] = []
    for asked in methods:
        if asked not in words and asked not in known:
            raise no_such("--methods", asked, "method", [*known, *words])
        names += words.get(asked, [asked])
    if not methods:
        names = [*untrained, *(name for name in known if name in {DEFAULT_ALGORITHM, UNIVERSAL})]
    return list(dict.fromkeys(names))


def _needs_more(contender: Contender, tasks: Sequence[Task]) -> str | None:
    """Why a method cannot do with one dataset; None where it can."""
    if contender.kind == "trained" or contender.name in LEARNERS:
        return f"it learns from other datasets, and there is but {tasks[0].dataset}: add curves of another"
    return None


def _places(policies: Sequence[str]) -> list[tuple[str, Found]]:
    """Each policy as it was first asked for, and where it lies; one that was asked for by two paths is one."""
    found: dict[Path, tuple[str, Found]] = {}
    for asked in dict.fromkeys(policies):
        place = find(asked)
        found.setdefault(place.path.resolve(), (asked, place))
    return list(found.values())


def _policy(asked: str, found: Found, tasks: Sequence[Task], taken: set[str]) -> Contender:
    from lamps_core.policies.trained import load_policy_file
    from lamps_core.policy_file import read_policy

    file = read_policy(found.path)
    for task in tasks:
        file.card.check_fits(task.candidates, task.objectives, place=f"--policy {asked}")
    load_policy_file(file, name=asked)  # raises where the weights are another network's
    whole = str(found.path.resolve())
    return Contender(
        # A folder of the current one may be called as a method is, or as what another path ends with.
        name=next(name for name in (found.name, asked, whole) if name not in taken),
        kind="policy",
        random=False,
        about=f"{file.card.kind} policy, trained by {file.card.algorithm} on {len(file.card.datasets)} datasets",
        path=whole,
        weights=file.digest(),
        saw=file.card.datasets,
    )


def _told_of_seen(contender: Contender, tasks: Sequence[Task]) -> str | None:
    datasets = {task.dataset for task in tasks}
    seen = sorted(datasets & set(contender.saw))
    if not seen:
        return None
    if len(seen) == len(datasets):
        return f"{contender.name} was trained on every dataset here: its figures say nothing of new ones"
    return f"{contender.name} was trained on {', '.join(seen)}, or on data of the same name: it is also judged without"

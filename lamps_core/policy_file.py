"""Trained policies on disk: a folder, or a `.zip` of one, with `policy.json` and `weights.safetensors`.

Owns what a policy says of itself, how it is read without trusting it, and which searches it refuses. Knows
nothing of how it was trained or how its weights decide (`policy_training.algorithms`).
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import shutil
import zipfile
import zlib
from dataclasses import asdict, dataclass, field, fields
from typing import TYPE_CHECKING, Any, Literal, TypeVar, get_args

import numpy as np

from lamps_core import __version__
from lamps_core.errors import BadInput, first_line
from lamps_core.files import draft_beside, exchange_folders, json_object, make_folder, write_atomically
from lamps_core.objectives import parse_objectives
from lamps_core.prices import GPU_HOUR_PRICE
from lamps_core.versions import is_later

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from lamps_core.objectives import Objective

Kind = Literal["pool", "universal"]
Array = TypeVar("Array")  # numpy's or torch's
OBSERVATION_VERSION = 1  # what a policy is shown; a policy of another version is refused
CARD, WEIGHTS = "policy.json", "weights.safetensors"
# Among a card's settings: where dollars are an objective, and where one is bounded.
PRICE, BOUNDS = "gpu_hour_price", "bounds"
# Nothing larger is unpacked: the largest policy that LAMPS trains has a few MB.
MOST_BYTES = {CARD: 16 * 2**20, WEIGHTS: 512 * 2**20}
_BROKEN_ZIP = (RuntimeError, NotImplementedError, EOFError, ValueError, zipfile.BadZipFile, zlib.error)


@dataclass(frozen=True, kw_only=True)
class PolicyCard:
    """What a policy says of itself.

    Attributes:
        kind: `pool` knows its candidates by name, `universal` any.
        algorithm: that trained it, as `lamps train-policy --algorithm` names it.
        objectives: columns of the curve schema, in order; none for a universal policy, which takes any.
        candidates: it was trained on.
        datasets: it was trained on.
        meta_dataset: `fingerprints.objectives_fingerprint` of the curves it was trained on.
        network: what the algorithm must know of the network to use its weights.
        settings: it was trained with; among them the price and the bounds of its objectives.
        observation: version of what it is shown.
        lamps_version: that wrote it.
    """

    kind: Kind
    algorithm: str
    objectives: tuple[str, ...]
    candidates: tuple[str, ...]
    datasets: tuple[str, ...]
    meta_dataset: str
    network: dict[str, Any]
    settings: dict[str, Any] = field(default_factory=dict)
    observation: int = OBSERVATION_VERSION
    lamps_version: str = __version__

    def check_kind(self, kind: Kind, *, place: str) -> None:
        """Raise if the card is not of the kind that the algorithm trains.

        Args:
            kind: that the algorithm trains.
            place: what to call the policy.

        Raises:
            BadInput: it is of another kind.
        """
        if self.kind != kind:
            raise BadInput(
                f"{place}: its card is of kind {self.kind}, and {self.algorithm} trains {kind}: train it again"
            )

    def check_fits(self, candidates: Sequence[str], objectives: Sequence[Objective], *, place: str) -> None:
        """Raise if the policy was not made for these candidates or objectives.

        Args:
            candidates: of a search; a pool policy takes any of those that it knows.
            objectives: of a search, in order.
            place: what to call the policy.

        Raises:
            BadInput: naming what does not fit.
        """
        if self.kind == "universal":  # any candidates, any objectives
            return
        columns = tuple(objective.column for objective in objectives)
        if columns != self.objectives:
            raise BadInput(
                f"{place}: is for the objectives {','.join(self.objectives)}, not {','.join(columns)}: "
                f"give --objectives {','.join(self.objectives)}, or train another"
            )
        told, price = self.settings.get(PRICE), priced(objectives).get(PRICE)
        if told is not None and price is not None and told != price:
            raise BadInput(
                f"{place}: was trained for dollars at {told:g} a GPU hour, not {price:g}: "
                f"give --gpu-hour-price {told:g}, or train another"
            )
        unknown = sorted(set(candidates) - set(self.candidates))
        if unknown:
            more = f" and {len(unknown) - 1} more" if len(unknown) > 1 else ""
            raise BadInput(
                f"{place}: does not know the candidate {unknown[0]}{more}: leave it out, or add it with "
                "lamps fingerprint --policy"
            )


@dataclass(frozen=True)
class PolicyFile:
    """A policy as it lies on disk.

    Attributes:
        card: what it says of itself.
        weights: float arrays by name.
    """

    card: PolicyCard
    weights: Mapping[str, np.ndarray]

    def part(self, name: str) -> dict[str, np.ndarray]:
        """The weights of one part; see `part_of`."""
        return part_of(self.weights, name)

    def digest(self) -> str:
        """Sixteen hex digits that change when the card or the weights do."""
        told = hashlib.sha256(repr(self.card).encode())
        for name, array in sorted(self.weights.items()):
            told.update(f"{name}\0{array.dtype}\0{array.shape}\0".encode())
            told.update(array.tobytes())
        return told.hexdigest()[:16]


def prefixed(name: str, weights: Mapping[str, Array]) -> dict[str, Array]:
    """The weights of one part of a policy or checkpoint, with its name as prefix."""
    return {f"{name}.{key}": array for key, array in weights.items()}


def part_of(weights: Mapping[str, Array], name: str) -> dict[str, Array]:
    """The weights of one part, without the prefix that `prefixed` gave them."""
    head = f"{name}."
    return {key.removeprefix(head): array for key, array in weights.items() if key.startswith(head)}


def priced(objectives: Sequence[Objective]) -> dict[str, float]:
    """The price of a GPU hour, for a card's settings; nothing where dollars are no objective."""
    prices = [one.gpu_hour_price for one in objectives if one.gpu_hour_price is not None]
    return {PRICE: prices[0]} if prices else {}


def trained_for(objectives: Sequence[Objective]) -> dict[str, Any]:
    """What a card's settings say of the objectives: their price, and by name their bounds in natural units."""
    bounds = {one.column: one.natural(one.bound) for one in objectives if one.bound is not None}
    return priced(objectives) | ({BOUNDS: bounds} if bounds else {})


def objectives_of(card: PolicyCard, *, place: str) -> tuple[Objective, ...]:
    """The objectives that a policy was trained for; without bounds where an earlier LAMPS wrote its card.

    Args:
        card: of a pool policy.
        place: what to call the policy.

    Raises:
        BadInput: the card does not tell them.
    """
    price, bounds = card.settings.get(PRICE, GPU_HOUR_PRICE), card.settings.get(BOUNDS, {})
    try:
        return parse_objectives(
            ",".join(card.objectives),
            bounds=[f"{column}={float(bound)!r}" for column, bound in bounds.items()],
            gpu_hour_price=float(price),
            recorded=True,
        )
    except (BadInput, TypeError, ValueError, AttributeError) as error:
        raise BadInput(
            f"{place}: {CARD} does not say what the policy was trained for ({error}): train it again"
        ) from None


def write_policy(path: Path, policy: PolicyFile) -> None:
    """Write a policy, whole or not at all.

    Args:
        path: a folder, or a file that ends in `.zip`.
        policy: the same policy gives the same bytes.

    Raises:
        BadInput: the place cannot be written, or is something else.
    """
    parts = policy_parts(policy)
    try:
        if path.suffix.lower() == ".zip":
            write_atomically(path, _zipped(parts))
            return
        make_folder(path)
        # The card comes last: a folder without one is no policy.
        for name in (WEIGHTS, CARD):
            write_atomically(path / name, parts[name])
    except OSError as error:
        raise BadInput(f"{path}: cannot be written: {error.strerror or error}") from error


def policy_parts(policy: PolicyFile) -> dict[str, bytes]:
    """The two files of a policy, by name; the same policy gives the same bytes."""
    from safetensors.numpy import save

    return {
        CARD: (json.dumps(asdict(policy.card), indent=2, allow_nan=False) + "\n").encode(),
        WEIGHTS: save({name: np.ascontiguousarray(array) for name, array in sorted(policy.weights.items())}),
    }


def replace_policy(path: Path, policy: PolicyFile) -> None:
    """Write a policy in the place of one that is there, in one moment; what else a folder holds stays.

    Raises:
        BadInput: the place cannot be written.
    """
    place = path.resolve()  # a link stays a link
    if not place.is_dir():
        write_policy(place, policy)
        return
    draft = draft_beside(place)
    try:
        shutil.copytree(place, draft)
        write_policy(draft, policy)
        exchange_folders(draft, place)
    except OSError as error:
        raise BadInput(f"{path}: cannot be replaced: {error.strerror or error}") from error
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def _zipped(parts: Mapping[str, bytes]) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in parts.items():
            archive.writestr(zipfile.ZipInfo(name), content, zipfile.ZIP_DEFLATED)
    return packed.getvalue()


def read_policy(path: Path) -> PolicyFile:
    """Read a policy; nothing in it is run, and no file but its two is looked at.

    Args:
        path: a folder, or a `.zip`.

    Raises:
        BadInput: there is none, it is broken or too large, or of a version this LAMPS does not read.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load

    if path.exists() and not path.is_file() and not path.is_dir():  # a pipe is waited for without end
        raise BadInput(f"{path}: is neither a folder nor a file: give one that lamps train-policy wrote")
    with contextlib.ExitStack() as stack:
        archive: Any = path
        if path.is_file():
            with contextlib.suppress(OSError):  # which `_part` meets again, and tells
                # Opened once: both parts are of one policy, whatever takes its place meanwhile.
                archive = stack.enter_context(path.open("rb"))
        card = _card(path, _part(path, CARD, archive))
        try:
            weights = load(_part(path, WEIGHTS, archive))
        except (SafetensorError, ValueError, KeyError) as error:
            raise BadInput(f"{path}: {WEIGHTS} is not safetensors: {error}") from None
    for name, array in weights.items():
        if array.dtype.kind != "f" or not np.isfinite(array).all():
            raise BadInput(f"{path}: {WEIGHTS}: {name} is not of finite floating-point numbers")
    return PolicyFile(card, weights)


def _part(path: Path, name: str, archive: Any) -> bytes:
    """The bytes of one of the two files, from the folder or from the archive at that path."""
    try:
        if path.is_dir():
            if (path / name).stat().st_size > MOST_BYTES[name]:
                raise BadInput(f"{path}: {name} is larger than {MOST_BYTES[name]} bytes")
            return (path / name).read_bytes()
        with zipfile.ZipFile(archive) as parts:
            with parts.open(name) as file:
                content = file.read(MOST_BYTES[name] + 1)
            if len(content) > MOST_BYTES[name]:
                raise BadInput(f"{path}: {name} is larger than {MOST_BYTES[name]} bytes")
            return content
    except (FileNotFoundError, KeyError):
        missing = f"has no {name}" if path.exists() else "there is no such policy"
        raise BadInput(f"{path}: {missing}: give a folder or zip that lamps train-policy wrote") from None
    except (*_BROKEN_ZIP, OSError) as error:
        raise BadInput(f"{path}: cannot be read as a policy: {first_line(error)}") from None


def _card(path: Path, text: bytes) -> PolicyCard:
    try:
        told = json_object(text)
    except ValueError as error:
        raise BadInput(f"{path}: {CARD} cannot be read: {error}") from None
    if told.get("observation") != OBSERVATION_VERSION:
        mend = "upgrade LAMPS" if is_later(told.get("observation"), OBSERVATION_VERSION) else "train it again"
        raise BadInput(
            f"{path}: was made for observations of version {told.get('observation')}, and this LAMPS shows "
            f"version {OBSERVATION_VERSION}: {mend}"
        )
    known = {one.name for one in fields(PolicyCard)}
    if odd := sorted(known ^ set(told)):
        raise BadInput(f"{path}: {CARD}: {odd[0]} is {'missing' if odd[0] in known else 'not known'}")
    for name in ("objectives", "candidates", "datasets"):
        value = told[name]
        if not isinstance(value, list) or not all(isinstance(one, str) for one in value):
            raise BadInput(f"{path}: {CARD}: {name} is not a list of names")
        told[name] = tuple(value)
    if told["kind"] not in get_args(Kind):
        raise BadInput(f"{path}: {CARD}: kind {told['kind']!r} is none of {', '.join(get_args(Kind))}")
    for name, kind in (("algorithm", str), ("meta_dataset", str), ("network", dict), ("settings", dict)):
        if not isinstance(told[name], kind):
            raise BadInput(f"{path}: {CARD}: {name} is not {'text' if kind is str else 'an object'}")
    return PolicyCard(**told)

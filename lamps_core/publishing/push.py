"""What `lamps push` may be given, and what of it goes to the hub: names on a list, checked contents, and a card.

A search gives each model of its front a repository of its own, which `transformers` loads by its id; curves become a
dataset repository of one Parquet file; a policy its two files. Nothing else of a folder is looked at: no checkpoint,
journal, log, report or prepared text.
"""

from __future__ import annotations

import json
import shlex
from fnmatch import fnmatch
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from lamps_core.curves.reader import holds_curves, read_curves, refuse_empty
from lamps_core.curves.schema import curves_parquet
from lamps_core.errors import BadInput
from lamps_core.files import json_object
from lamps_core.hub.ids import front_repositories, hub_id
from lamps_core.hub.upload import README, Pushed, Upload, upload
from lamps_core.models.folder import model_flaw
from lamps_core.models.zoo import PREFIX
from lamps_core.policy_file import CARD, policy_parts, read_policy
from lamps_core.publishing.curves_card import CURVES_FILE, CURVES_TAG, curves_card
from lamps_core.publishing.front_card import MODEL_TAG, model_card
from lamps_core.publishing.policy_card import POLICY_TAG, policy_card
from lamps_core.resources import SHIPPED, data_path
from lamps_core.search.journal import JOURNAL, read_journal
from lamps_core.search.record import is_search, read_search
from lamps_core.storage import is_local, storage_path

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from lamps_core.search.record import Row, SearchRecord

MODEL_NAMES = (
    "config.json", "generation_config.json", "model*.safetensors", "model.safetensors.index.json", "tokenizer.json",
    "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json", "vocab.txt", "vocab.json", "merges.txt",
    "entity_vocab.json", "spiece.model", "sentencepiece.bpe.model", "tokenizer.model",
)  # fmt: skip
# What transformers notes of the machine that it saved on.
_OF_THIS_MACHINE = frozenset({"_name_or_path", "name_or_path", "is_local", "local_files_only"})


def push_uploads(
    uploads: Iterable[Upload], *, public: bool = False, revision: str | None = None
) -> list[Pushed]:
    """Bring what `uploads_of` found to the hub, one repository after the other; a second push sends changes only.

    Args:
        uploads: as `uploads_of` gives them.
        public: as `hub.upload.upload`.
        revision: as `hub.upload.upload`.

    Raises:
        BadInput: the hub refuses it.
        HubFailed: the hub cannot be reached or failed; what was pushed by then stays, and is not pushed again.
    """
    return [upload(one, public=public, revision=revision) for one in uploads]


def uploads_of(place: str, target: str) -> list[Upload]:
    """What would be pushed, read and checked; asks no hub.

    Args:
        place: what `lamps search --out`, `lamps campaign --curves` or `lamps train-policy --out` was given, a folder of
            `models/` of a search, or `shipped` for the curves that come with LAMPS.
        target: the repository, `org/name`; of a front, the beginning of the names of its repositories.

    Raises:
        BadInput: it is none of these, not finished or damaged, or not fit to be shown.
    """
    path = data_path("curves") if place.strip() == SHIPPED else storage_path(place)
    if is_local(path):
        if path.suffix.lower() == ".zip" or (path / CARD).is_file():
            return [_policy(path, target)]
        if is_search(path):
            return _front(path, target)
        if (path / "config.json").is_file():
            return [_one_of_a_front(path, target)]
        if path.is_dir() and not holds_curves(path):
            raise BadInput(
                f"{place} holds nothing that can be pushed: give the --out of a search or a policy, the --curves of a "
                "campaign, or a folder in the models/ of a search"
            )
    return [_curves(path, target)]


def push_again(place: str, target: str) -> str:
    """The command that pushes something later, for a message that says the push failed."""
    return f"run {shlex.join(['lamps', 'push', place, target])} to push it"


# --- A front ---------------------------------------------------------------------------------------------


def _front(folder: Path, target: str) -> list[Upload]:
    search = _finished(folder)
    if not search.front:
        raise BadInput(f"{folder}: the search has no front yet: run its command again with a larger --budget")
    repositories = front_repositories(target, (one.name for one in search.candidates))
    return [_model(folder, row, search, repositories[str(row["model"])]) for row in search.front]


def _one_of_a_front(model: Path, target: str) -> Upload:
    folder = model.resolve().parents[1]
    if is_search(folder):
        search = _finished(folder)
        for row in search.front:
            if (folder / str(row["path"])).resolve() == model.resolve():
                return _model(folder, row, search, target)
    raise BadInput(
        f"{model}: is no front model in the folder of a search, so that nothing is known of how it was made: push the "
        "search's folder, or a folder in its models/"
    )


def _finished(folder: Path) -> SearchRecord:
    search = read_search(folder)
    if not search.finished:
        raise BadInput(f"{folder}: the search is not finished: run its command again, then push")
    return search


def _model(folder: Path, row: Row, search: SearchRecord, repository: str) -> Upload:
    model = folder / str(row["path"])
    found = model.iterdir() if model.is_dir() else ()
    files = {path.name: path for path in found if any(fnmatch(path.name, one) for one in MODEL_NAMES)}
    flaw = model_flaw(files)
    if flaw:
        raise BadInput(f"{model} {flaw}")
    card = model_card(repository, row, search, base=_base(folder, str(row["model"])))
    return Upload(
        repository=repository,
        repo_type="model",
        tag=MODEL_TAG,
        files={**{name: _content(path) for name, path in files.items()}, README: card},
        replaces=MODEL_NAMES,
        message=f"Front model of a LAMPS search on {search.dataset}",
    )


def _content(path: Path) -> bytes | Path:
    """A file as it is; of a configuration, what is true on every machine."""
    if path.name not in {"config.json", "tokenizer_config.json"}:
        return path
    try:
        config = json_object(path.read_bytes())
    except ValueError as error:
        raise BadInput(f"{path} is damaged ({error}): run the search again with the same --out") from None
    kept = {name: value for name, value in config.items() if name not in _OF_THIS_MACHINE}
    return (json.dumps(kept, indent=2, ensure_ascii=False) + "\n").encode()


def _base(folder: Path, candidate: str) -> str | None:
    """The hub id that a candidate was loaded by; None of a local folder or a zoo candidate."""
    header: dict[str, Any] = {}
    if (folder / JOURNAL).is_file():
        header, _ = read_journal(folder / JOURNAL)
    files = header.get("model_files")
    of_the_hub = candidate not in files if isinstance(files, dict) else hub_id(candidate) is not None
    return candidate.partition("@")[0] if of_the_hub and not candidate.startswith(PREFIX) else None


# --- Curves and policies ---------------------------------------------------------------------------------


def _curves(path: Any, target: str) -> Upload:
    rows = read_curves(path)
    refuse_empty(rows, path)
    for column in ("dataset", "model"):
        for name in rows[column].unique().to_pylist():
            if name.startswith(("/", "~", "\\")):
                raise BadInput(
                    f"{path}: {column} {name!r} is a path of this machine: rename it before it is pushed"
                )
    rows = rows.set_column(
        rows.schema.get_field_index("error"), "error", pa.nulls(len(rows), rows.schema.field("error").type)
    )
    return Upload(
        repository=target,
        repo_type="dataset",
        tag=CURVES_TAG,
        files={CURVES_FILE: curves_parquet(rows), README: curves_card(target, rows)},
        replaces=("*.parquet",),
        message=f"Learning curves: {len(rows)} rows",
    )


def _policy(path: Path, target: str) -> Upload:
    policy = read_policy(path)
    return Upload(
        repository=target,
        repo_type="model",
        tag=POLICY_TAG,
        files={**policy_parts(policy), README: policy_card(target, policy.card)},
        replaces=(),
        message=f"A {policy.card.algorithm} policy of LAMPS",
    )

"""What `--models` means: a text becomes a list of candidates, each of a kind that can be loaded.

Owns the spelling (hub ids, local folders, zoo names, presets, list files), the stable name of each candidate,
and the checks that can be made before anything is downloaded. Does not know how a model is loaded: what only
loading can show (a gated repository, broken weights) is a failure recorded later. Imports neither torch nor
transformers.
"""

# os.path says no where pathlib raises: a comma list too long for a file name, a user without a home.
# ruff: noqa: PTH100, PTH111, PTH112, PTH113, PTH118, PTH120

from __future__ import annotations

import dataclasses
import difflib
import functools
import os.path
import re
from concurrent import futures
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import yaml

from lamps_core.errors import BadInput, abbreviated, without_credentials
from lamps_core.files import json_object
from lamps_core.hub.access import HUB_TIMEOUT_SECONDS
from lamps_core.models.folder import MODEL_FILES, WEIGHT_FILES, model_flaw
from lamps_core.models.zoo import PREFIX, materialise, zoo_entry, zoo_names
from lamps_core.registry import registered_models
from lamps_core.resources import data_path

if TYPE_CHECKING:
    from collections.abc import Sequence

HUB_THREADS = 8


@dataclass(frozen=True)
class Candidate:
    """A pretrained model that could be fine-tuned.

    Attributes:
        name: stable, free of paths: a zoo name, a folder's own name, or a hub id with its revision if any.
        kind: where it comes from.
        location: an absolute folder, or a hub id.
        learning_rate: the registry's, None where it has none.
        revision: of a hub id; None is the default branch.
    """

    name: str
    kind: Literal["zoo", "local", "hub"]
    location: str
    learning_rate: float | None
    revision: str | None


@dataclass(frozen=True)
class Preset:
    """A named list of models, none of which is a preset.

    Attributes:
        name: what `--models` calls it.
        about: one line for people: what is in it.
        models: as `--models` takes them one by one.
    """

    name: str
    about: str
    models: tuple[str, ...]


@functools.cache
def presets() -> dict[str, Preset]:
    """Every preset by its name: `zoo`, those of `data/presets.yaml`, and `paper`, the models of the registry."""
    listed = yaml.safe_load(data_path("presets.yaml").read_text(encoding="utf-8"))["presets"]
    zoo = Preset("zoo", "every candidate of the zoo: tiny, random weights, no network", zoo_names())
    others = [Preset(name, value["about"], tuple(value["models"])) for name, value in listed.items()]
    models = tuple(registered_models())
    paper = Preset("paper", "the candidates of the paper, up to 8 billion parameters, some gated", models)
    return {preset.name: preset for preset in (zoo, *others, paper)}


def resolve_candidates(models: str, *, trust_registry: bool = False) -> list[Candidate]:
    """The candidates a user means, in the order given, exact duplicates removed.

    A preset or zoo name is taken for that even where a folder is called so: write `./zoo` for the folder.

    Args:
        models: a comma list of hub ids (`id` or `id@revision`), local folders, zoo names and presets; or the
            path of a file with one a line, where `#` begins a comment and a relative folder lies beside the file.
        trust_registry: do not ask the hub for registered models: for a plan, which loads none of them.

    Raises:
        BadInput: nothing is given, a model is unknown or cannot be asked for, it lacks a config, a tokenizer
            or safetensors weights, or two folders have one name.
    """
    path = os.path.expanduser(models.strip())
    if not os.path.isfile(path):
        return _resolve([_candidate(entry, "") for entry in _entries(models.split(","))], trust_registry)
    entries, folder = _entries(_lines(Path(path))), os.path.dirname(os.path.abspath(path))
    try:
        return _resolve([_candidate(entry, folder) for entry in entries], trust_registry)
    except BadInput as error:
        read = f"{path} was read as a list of models, one a line, folders as from {folder}"
        raise BadInput(f"{read}: {error}") from error


def _resolve(named: Sequence[Candidate], trust_registry: bool) -> list[Candidate]:
    candidates = list(dict.fromkeys(named))
    if not candidates:
        raise BadInput(f"no model given: give hub ids, folders, zoo names or a preset ({_preset_names()})")
    _refuse_shared_names(candidates)
    trusted = registered_models() if trust_registry else {}
    _check_on_hub([each for each in candidates if each.kind == "hub" and each.location not in trusted])
    return [_located(candidate) for candidate in candidates]


def _entries(given: Sequence[str]) -> list[str]:
    entries: list[str] = []
    for entry in filter(None, map(str.strip, given)):
        preset = presets().get(entry)
        entries.extend(preset.models if preset else [entry])
    return entries


def _lines(path: Path) -> list[str]:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise BadInput(f"{path} is not a list of models, one a line; for a model, give its folder") from None
    except OSError as error:
        raise BadInput(f"{path} cannot be read: {error.strerror}") from error
    return [re.sub(r"(^|\s)#.*", "", line) for line in text.splitlines()]


def _candidate(entry: str, folder: str) -> Candidate:
    """What one entry means; a relative path is one from `folder`, where empty from the working directory."""
    if entry in zoo_names():
        return Candidate(entry, "zoo", "", zoo_entry(entry).learning_rate, None)
    path = os.path.join(folder, os.path.expanduser(entry))
    if os.path.isdir(path):
        # Links are not resolved: the name is the one the user gave.
        return _local(Path(os.path.abspath(path)))
    if os.path.isfile(path):
        raise BadInput(f"{entry} is a file: give the model's folder, or a list file alone")
    repository, at, revision = entry.partition("@")
    if entry.startswith((".", "/", "~", "\\")) or repository.count("/") > 1:
        raise BadInput(f"{abbreviated(entry)} is not there: no such folder")
    if entry.startswith(PREFIX):
        close = difflib.get_close_matches(entry, zoo_names(), n=3, cutoff=0.0)
        raise BadInput(f"{abbreviated(entry)} is not in the zoo (did you mean {' or '.join(close)}?)")
    if at and not revision:
        raise BadInput(f"{entry} names no revision after the @: give one, or leave out the @")
    _refuse_illegal_id(entry, repository)
    return Candidate(entry, "hub", repository, None, revision or None)


def _refuse_illegal_id(entry: str, repository: str) -> None:
    from huggingface_hub import try_to_load_from_cache
    from huggingface_hub.errors import HFValidationError

    try:
        try_to_load_from_cache(repository, "config.json")
    except HFValidationError:
        raise BadInput(f"{_nothing_else(abbreviated(entry))}, and no legal hub id") from None


def _local(folder: Path) -> Candidate:
    try:
        flaw = model_flaw({path.name for path in folder.iterdir()})
    except OSError as error:
        raise BadInput(f"the model folder {folder} cannot be read: {error.strerror}") from error
    flaw = flaw or _unusable(folder)
    if flaw:
        raise BadInput(f"the model folder {folder} {flaw}")
    return Candidate(folder.name, "local", str(folder), None, None)


def _unusable(folder: Path) -> str | None:
    """What is wrong inside a model folder that has every file, and the mend; None if nothing."""
    for path in folder.iterdir():
        if path.suffix in MODEL_FILES and not path.is_file():
            return f"has a {path.name} that is no file, or a link to nowhere: save the model again"
    try:
        config = json_object((folder / "config.json").read_bytes())
    except (ValueError, OSError):
        return "has a config.json that is no JSON object: save the model again with save_pretrained"
    if "auto_map" in config:
        from transformers.models.auto.configuration_auto import CONFIG_MAPPING_NAMES

        if config.get("model_type") not in CONFIG_MAPPING_NAMES:
            return (
                f"is of type {config.get('model_type')!r}, which needs code of its own, never run here: "
                "give a model of a type that transformers has"
            )
    return None


def _refuse_shared_names(candidates: Sequence[Candidate]) -> None:
    first: dict[str, Candidate] = {}
    for candidate in candidates:
        other = first.setdefault(candidate.name, candidate)
        if other is not candidate:
            raise BadInput(
                f"two models are called {candidate.name}: "
                f"{other.location} and {candidate.location}; rename one folder"
            )


def _located(candidate: Candidate) -> Candidate:
    if candidate.kind != "zoo":
        return candidate
    return dataclasses.replace(candidate, location=str(materialise(candidate.name)))


def _check_on_hub(candidates: Sequence[Candidate]) -> None:
    if not candidates:
        return
    pool = futures.ThreadPoolExecutor(max_workers=HUB_THREADS, thread_name_prefix="hub-check")
    checks = [pool.submit(_check_one_on_hub, candidate) for candidate in candidates]
    try:
        done = futures.wait(checks, return_when=futures.FIRST_EXCEPTION).done
    finally:
        pool.shutdown(wait=False, cancel_futures=True)  # one bad model is enough: the others may time out
    for check in checks:
        if check in done:
            check.result()


def _check_one_on_hub(candidate: Candidate) -> None:
    """Ask the local hub cache, then the hub, for the names of a model's files; download nothing."""
    from huggingface_hub import HfApi
    from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError, RevisionNotFoundError

    name, api = candidate.name, HfApi()
    try:
        if _is_cached(candidate):
            return
        info = api.model_info(candidate.location, revision=candidate.revision, timeout=HUB_TIMEOUT_SECONDS)
    except GatedRepoError:
        return  # it is there: whether this user may load it shows when it is loaded
    except RepositoryNotFoundError:
        raise BadInput(f"{_nothing_else(name)}, and not on the hub (or private: set HF_TOKEN)") from None
    except RevisionNotFoundError:
        raise BadInput(f"{candidate.location} has no revision {candidate.revision} on the hub") from None
    except Exception as error:  # whatever the client's transport raises, or a proxy's page that is no JSON
        raise BadInput(
            f"{_nothing_else(name)}, not in the hub cache, and the hub at {without_credentials(api.endpoint)} "
            f"cannot be asked ({type(error).__name__}): check the network, HF_ENDPOINT and HF_HUB_OFFLINE"
        ) from error
    # Weights that are .bin alone may have a safetensors conversion, which shows when they are loaded: one such
    # model in a long list is a failure of its own, no reason to refuse the list.
    flaw = model_flaw({file.rfilename for file in info.siblings or []} | WEIGHT_FILES)
    if flaw:
        raise BadInput(f"the hub model {name} {flaw}")


def _is_cached(candidate: Candidate) -> bool:
    from huggingface_hub import try_to_load_from_cache

    config = try_to_load_from_cache(candidate.location, "config.json", revision=candidate.revision)
    return (
        isinstance(config, str) and model_flaw({path.name for path in Path(config).parent.iterdir()}) is None
    )


def _nothing_else(name: str) -> str:
    return f"{name} is no preset ({_preset_names()}), zoo name or local folder{_suggestion(name)}"


def _preset_names() -> str:
    return ", ".join(presets())


def _suggestion(name: str) -> str:
    """Names a typing error away from this one, the `zoo/` left out or not."""
    known = {short: full for full in zoo_names() for short in (full, full.removeprefix(PREFIX))}
    known.update({preset: preset for preset in presets()})
    close = dict.fromkeys(known[match] for match in difflib.get_close_matches(name, known, n=4))
    return f" (did you mean {' or '.join(close)}?)" if close else ""

"""How large a candidate is, before anything of it is downloaded or loaded.

Asks the registry, then the files that are there (their headers alone), then the hub. Does not know what the size
is needed for. Imports neither torch nor transformers.
"""

from __future__ import annotations

import math
import threading
from concurrent import futures
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from lamps_core.hub.access import HUB_TIMEOUT_SECONDS
from lamps_core.models.candidates import HUB_THREADS
from lamps_core.models.folder import WEIGHTS, WEIGHTS_INDEX, weight_files
from lamps_core.registry import registered_models

if TYPE_CHECKING:
    from collections.abc import Iterable

    from lamps_core.models.candidates import Candidate


@dataclass(frozen=True)
class CandidateSize:
    """What is known of a candidate's size; None where nobody says.

    Attributes:
        parameters: the registry's count of the body, else of all tensors in the files.
        weight_bytes: of the safetensors files, on this disk or on the hub.
    """

    parameters: int | None
    weight_bytes: int | None


def candidate_sizes(candidates: Iterable[Candidate]) -> dict[str, CandidateSize]:
    """The size of each candidate by its name.

    The hub is asked only for candidates that are neither registered nor in its cache, with a short limit of time,
    and not again once it has failed to answer. Registered ones that are not in the cache have no `weight_bytes`.
    """
    asked = list(candidates)
    here = {candidate.name: _size_here(candidate) for candidate in asked}
    unknown = [
        candidate
        for candidate in asked
        if candidate.kind == "hub" and here[candidate.name].parameters is None
    ]
    return here | _sizes_on_hub(unknown)


def _size_here(candidate: Candidate) -> CandidateSize:
    if candidate.kind != "hub":
        return folder_size(Path(candidate.location))
    cached = cached_folder(candidate.location, candidate.revision)
    in_cache = folder_size(cached) if cached else CandidateSize(None, None)
    registered = registered_models().get(candidate.location)
    return CandidateSize(registered.parameters, in_cache.weight_bytes) if registered else in_cache


def cached_folder(location: str, revision: str | None = None) -> Path | None:
    """Where the hub's cache holds the weights of a model; None where it does not.

    Args:
        location: its hub id.
        revision: None is the default branch.
    """
    from huggingface_hub import try_to_load_from_cache

    for name in (WEIGHTS, WEIGHTS_INDEX):
        path = try_to_load_from_cache(location, name, revision=revision)
        if isinstance(path, str):
            return Path(path).parent
    return None


def folder_size(folder: Path) -> CandidateSize:
    """The size of a model folder, from its safetensors files or the shards that its index names.

    Reads headers alone. Files that are missing or broken make the size unknown: loading them says why.
    """
    from safetensors import SafetensorError, safe_open

    parameters = weight_bytes = 0
    try:
        for path in weight_files(folder):
            weight_bytes += path.stat().st_size
            with safe_open(path, framework="numpy") as tensors:
                parameters += sum(math.prod(tensors.get_slice(name).get_shape()) for name in tensors.keys())  # noqa: SIM118 - not a dictionary
    except (OSError, SafetensorError, ValueError):
        return CandidateSize(None, None)
    return CandidateSize(parameters, weight_bytes)


def _sizes_on_hub(candidates: list[Candidate]) -> dict[str, CandidateSize]:
    if not candidates:
        return {}
    silent = threading.Event()
    pool = futures.ThreadPoolExecutor(max_workers=HUB_THREADS, thread_name_prefix="hub-size")
    with pool:
        sizes = list(pool.map(lambda candidate: _size_on_hub(candidate, silent), candidates))
    return {candidate.name: size for candidate, size in zip(candidates, sizes, strict=True)}


def _size_on_hub(candidate: Candidate, silent: threading.Event) -> CandidateSize:
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError

    if silent.is_set():
        return CandidateSize(None, None)
    try:
        info = HfApi().model_info(
            candidate.location,
            revision=candidate.revision,
            timeout=HUB_TIMEOUT_SECONDS,
            files_metadata=True,
        )
    except HfHubHTTPError:  # it answers, if only that it does not say: gated, unknown, in trouble
        return CandidateSize(None, None)
    except Exception:  # whatever the client's transport raises, offline mode among it
        silent.set()
        return CandidateSize(None, None)
    weights = [
        file.size
        for file in info.siblings or []
        if file.size is not None and "/" not in file.rfilename and _is_weights(file.rfilename)
    ]
    total = info.safetensors.total if info.safetensors else None
    return CandidateSize(total or None, sum(weights) or None)


def _is_weights(name: str) -> bool:
    return name.startswith("model") and name.endswith(".safetensors")

"""Which models could be fine-tuned here: whether the hub gives them to this user, and whether they fit.

Owns the asking, in threads and within seconds whatever the network does; downloads nothing. Does not know how the
answers are shown.
"""

from __future__ import annotations

import queue
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lamps_core.hub.access import HUB_TIMEOUT_SECONDS
from lamps_core.models.candidates import HUB_THREADS
from lamps_core.models.fit import DoesNotFit, devices_needed, memory_figures
from lamps_core.models.folder import WEIGHT_FILES
from lamps_core.models.size import cached_folder

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from lamps_core.host.devices import Devices

LIMIT_SECONDS = 20.0  # for all models together: looking up a host's name knows no limit of its own
NOT_REACHABLE = "hub not reachable"


@dataclass(frozen=True)
class Availability:
    """What came of asking for one model.

    Attributes:
        ok: whether it can be used; None where that is not known.
        found: in a few words.
    """

    ok: bool | None
    found: str


_SILENT = Availability(None, NOT_REACHABLE)


def fit_here(parameters: int | None, devices: Devices) -> Availability:
    """Whether a model of so many parameters can be fine-tuned on these devices."""
    if parameters is None:
        return Availability(None, "size not known")
    memory_bytes, most = devices.memory_bytes, devices.count
    try:
        needed = devices_needed(parameters, device_memory_bytes=memory_bytes, most=most)
    except DoesNotFit:
        figures = memory_figures(parameters, device_memory_bytes=memory_bytes, most=most)
        return Availability(False, f"too big: {figures}")
    return Availability(True, "fits" if needed == 1 else f"fits on {needed} devices")


def ask_hub(names: Iterable[str], *, limit_seconds: float = LIMIT_SECONDS) -> dict[str, Availability]:
    """Ask the hub for models.

    Args:
        names: hub ids.
        limit_seconds: for all of them; those without an answer by then are not reachable.

    Returns:
        One answer a name, in the order given.
    """
    from huggingface_hub import is_offline_mode

    wanted = list(dict.fromkeys(names))
    if is_offline_mode():
        silent = Availability(None, f"{NOT_REACHABLE}: HF_HUB_OFFLINE is set")
        answers: dict[str, Availability] = {}
    else:
        silent, answers = _SILENT, _answers(wanted, time.monotonic() + limit_seconds)
    return {name: _or_cached(name, answers.get(name, silent)) for name in wanted}


def _answers(names: Sequence[str], deadline: float) -> dict[str, Availability]:
    """What came back in time; nothing more is waited for once the first to end got no answer."""
    waiting: queue.SimpleQueue[str] = queue.SimpleQueue()
    finished: queue.SimpleQueue[tuple[str, Availability]] = queue.SimpleQueue()
    given_up = threading.Event()
    for name in names:
        waiting.put(name)

    def work() -> None:
        while not given_up.is_set():
            try:
                name = waiting.get_nowait()
            except queue.Empty:
                return
            finished.put((name, _ask(name)))

    for number in range(min(HUB_THREADS, len(names))):
        # Daemons: one that hangs in the network must not keep the command from ending.
        threading.Thread(target=work, name=f"hub-ask-{number}", daemon=True).start()
    answers: dict[str, Availability] = {}
    while len(answers) < len(names):
        try:
            name, answer = finished.get(timeout=max(0.0, deadline - time.monotonic()))
        except queue.Empty:
            break
        if answer is _SILENT and not answers:
            break
        answers[name] = answer
    given_up.set()
    return answers


def _ask(name: str) -> Availability:
    from huggingface_hub import HfApi
    from huggingface_hub.errors import GatedRepoError, HfHubHTTPError, RepositoryNotFoundError

    api = HfApi()
    try:
        info = api.model_info(name, timeout=HUB_TIMEOUT_SECONDS)
        if info.gated:
            api.auth_check(name)
    except GatedRepoError:
        return Availability(False, "gated: accept its licence on the hub and set HF_TOKEN")
    except RepositoryNotFoundError:
        return Availability(False, "not on the hub, or private")
    except HfHubHTTPError as error:
        return Availability(None, f"the hub answers with status {error.response.status_code}")
    except Exception:  # whatever the client's transport raises, or a proxy's page that is no JSON
        return _SILENT
    found = "gated, open to this token" if info.gated else "reachable"
    if WEIGHT_FILES.isdisjoint(file.rfilename for file in info.siblings or []):
        return Availability(None, f"{found}; no safetensors weights on its main branch")
    return Availability(True, found)


def _or_cached(name: str, answer: Availability) -> Availability:
    if not answer.found.startswith(NOT_REACHABLE):
        return answer
    if cached_folder(name) is not None:
        return Availability(True, f"{answer.found}, but the cache has it")
    return answer

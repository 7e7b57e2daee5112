"""What works on this machine and what does not, each with the one line that mends it.

Owns the checks. Every one of them runs in a thread of its own with a limit of time, so that a dead network
drive or a silent server costs seconds and never the answer; none raises. Knows nothing of how it is shown.
"""

from __future__ import annotations

import importlib.metadata
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from packaging.version import Version

from lamps_core.host import reachability
from lamps_core.host.devices import GPUS_CODE
from lamps_core.hub.access import hub_cache
from lamps_core.resources import cache_folder

if TYPE_CHECKING:
    from collections.abc import Callable

_GIB = 2**30
_LIMIT_SECONDS = 5.0
# The first import of torch reads a gigabyte: from a cold disk it takes longer than any other check.
_DEVICES_LIMIT_SECONDS = 20.0
_LEAST_FREE_MEMORY_BYTES = 4 * _GIB
_LEAST_FREE_DISK_BYTES = 10 * _GIB
# Kept beside the ranges of pyproject.toml by a test: installed packages can be older than what it asks for.
LEAST_VERSIONS = {
    "torch": "2.9",
    "transformers": "5.20",
    "accelerate": "1.15",
    "datasets": "5.2",
    "botorch": "0.18",
    "prefect": "3.8",
    "pyarrow": "23",
}
_DEVICES_CODE = (
    GPUS_CODE
    + """
for index, gpu in enumerate(gpus):
    free, total = torch.cuda.mem_get_info(index)
    bf16 = "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "no bf16"
    print(f"GPU {index}: {gpu.name}, {free / 2**30:.0f} of {total / 2**30:.0f} GiB free, {bf16}")
"""
)


@dataclass(frozen=True)
class Check:
    """One thing looked at.

    Attributes:
        name: what was looked at.
        ok: whether it works; None where it is unknown, or works with a limit worth knowing.
        found: what was seen; never a secret.
        mend: one line that says what to do; empty where nothing needs doing.
    """

    name: str
    ok: bool | None
    found: str
    mend: str


def run_checks(server_url: str | None) -> list[Check]:
    """Look at everything a search needs, all at the same time.

    Args:
        server_url: of the API of the Prefect server that Prefect's settings name; None or empty where they name none.

    Returns:
        One check a thing, in a fixed order. Takes as long as the slowest: seconds, 20 at most.
    """
    checks: list[tuple[str, Callable[[], Check], float]] = [
        ("Python", _python, _LIMIT_SECONDS),
        ("Packages", _packages, _LIMIT_SECONDS),
        ("Devices", _devices, _DEVICES_LIMIT_SECONDS),
        ("Free memory", _memory, _LIMIT_SECONDS),
        ("Disk: output", lambda: _disk("Disk: output", Path.cwd()), _LIMIT_SECONDS),
        ("Disk: LAMPS cache", lambda: _disk("Disk: LAMPS cache", cache_folder()), _LIMIT_SECONDS),
        ("Disk: hub cache", lambda: _disk("Disk: hub cache", hub_cache()), _LIMIT_SECONDS),
        ("Prefect server", lambda: _prefect_server(server_url), _LIMIT_SECONDS),
        ("Hub access", _hub, _LIMIT_SECONDS),
        ("Hub token", _hub_token, _LIMIT_SECONDS),
    ]
    started = time.monotonic()
    waiting = [_start(name, check, limit_seconds, started) for name, check, limit_seconds in checks]
    return [finish() for finish in waiting]


def _start(
    name: str, check: Callable[[], Check], limit_seconds: float, started: float
) -> Callable[[], Check]:
    """Begin a check; the answer waits for it, but no longer than the limit after all were started."""
    answers: list[Check] = []

    def guarded() -> None:
        try:
            answers.append(check())
        except Exception as error:  # a doctor that falls ill himself helps nobody
            found = f"could not be looked at: {type(error).__name__}: {error}"
            answers.append(Check(name, None, found, "report this as a bug if it stays"))

    # A daemon: a check that hangs for ever must not keep the command from ending.
    thread = threading.Thread(target=guarded, name=f"doctor {name}", daemon=True)
    thread.start()

    def finish() -> Check:
        thread.join(max(0.0, started + limit_seconds - time.monotonic()))
        silent = Check(
            name, None, f"no answer within {limit_seconds:.0f} s", "try again on a quieter machine"
        )
        return answers[0] if answers else silent

    return finish


def _python() -> Check:
    found = f"{sys.version_info.major}.{sys.version_info.minor}.{sys.version_info.micro}"
    fine = sys.version_info[:2] >= (3, 11)
    return Check("Python", fine, found, "" if fine else "install Python 3.11 or newer and run make setup")


def _packages() -> Check:
    installed = {name: _version(name) for name in (*LEAST_VERSIONS, "fastapi")}
    missing = [name for name, version in installed.items() if version is None]
    if missing:
        return Check("Packages", False, f"missing: {', '.join(missing)}", f"pip install {' '.join(missing)}")
    found = ", ".join(f"{name} {version}" for name, version in installed.items())
    old = [name for name, least in LEAST_VERSIONS.items() if _below(installed[name], least)]
    if old:
        wanted = " ".join(f"'{name}>={LEAST_VERSIONS[name]}'" for name in old)
        return Check("Packages", False, found, f"pip install {wanted}")
    # prefect 3.8 passes what newer fastapi refuses: its server does not start.
    if _below(installed["prefect"], "3.9") and not _below(installed["fastapi"], "0.151"):
        return Check(
            "Packages", False, found, "prefect 3.8 cannot start a server: pip install 'fastapi<0.151'"
        )
    return Check("Packages", True, found, "")


def _version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def _below(version: str | None, least: str) -> bool:
    return version is None or Version(version) < Version(least)


def _devices() -> Check:
    # In a process of its own: it can be stopped, and this one keeps no hold on a GPU.
    cores = f"{len(os.sched_getaffinity(0))} CPU cores"
    slower = "a GPU is faster; if there is one, install the torch build that fits its driver"
    try:
        answer = subprocess.run(
            [sys.executable, "-P", "-c", _DEVICES_CODE],
            capture_output=True,
            text=True,
            timeout=_DEVICES_LIMIT_SECONDS - 1,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return Check("Devices", None, f"{cores}; torch took too long to start", "run lamps doctor once more")
    if answer.returncode != 0:
        reason = answer.stderr.strip().splitlines()[-1:] or ["no reason given"]
        return Check("Devices", False, f"torch does not start: {reason[0]}", "install torch again")
    found = answer.stdout.strip().splitlines()
    if not found:
        return Check("Devices", None, f"{cores}, no GPU", slower)
    return Check("Devices", True, "; ".join([*found, cores]), "")


def _memory() -> Check:
    from lamps_core.host.memory import host_memory

    memory = host_memory()
    found = f"{memory.available_bytes / _GIB:.1f} of {memory.total_bytes / _GIB:.1f} GiB"
    if memory.available_bytes < _LEAST_FREE_MEMORY_BYTES:
        return Check("Free memory", None, found, "close other programs, or choose small candidates")
    return Check("Free memory", True, found, "")


def _disk(name: str, folder: Path) -> Check:
    there = folder
    while not there.exists() and there != there.parent:
        there = there.parent
    free = shutil.disk_usage(there).free
    found = f"{folder}: {free / _GIB:.1f} GiB free"
    if not there.is_dir() or not _writable(there):
        return Check(name, False, f"{folder}: cannot be written to", _elsewhere(name))
    if free < _LEAST_FREE_DISK_BYTES:
        return Check(name, None, found, f"free some space there, or {_elsewhere(name)}")
    return Check(name, True, found, "")


def _writable(folder: Path) -> bool:
    try:
        with tempfile.TemporaryFile(dir=folder):
            return True
    except OSError:
        return False


def _elsewhere(name: str) -> str:
    variable = {"Disk: LAMPS cache": "LAMPS_CACHE", "Disk: hub cache": "HF_HOME"}.get(name)
    return f"set {variable} to a folder with room" if variable else "give --out a folder with room"


def _prefect_server(url: str | None) -> Check:
    if not url:
        found = "PREFECT_API_URL is not set: each command starts a temporary server, 10 to 30 s"
        return Check("Prefect server", True, found, "")
    reached, answer = reachability.ask(f"{url.rstrip('/')}/health", method="GET")
    mend = "start it (prefect server start), correct PREFECT_API_URL, or unset it for a temporary one"
    return Check("Prefect server", reached, answer, "" if reached else mend)


def _hub() -> Check:
    from huggingface_hub import is_offline_mode

    if is_offline_mode():
        found = "HF_HUB_OFFLINE is set: local folders, the hub's cache and the zoo work"
        return Check("Hub access", None, found, "unset HF_HUB_OFFLINE to download candidates and datasets")
    endpoint = os.environ.get("HF_ENDPOINT") or "https://huggingface.co"
    reached, answer = reachability.ask(endpoint, method="HEAD")
    if reached:
        return Check("Hub access", True, answer, "")
    mend = "check network, proxy and HF_ENDPOINT; local folders and the zoo work without"
    return Check("Hub access", None, answer, mend)


def _hub_token() -> Check:
    from huggingface_hub import get_token

    if not get_token():  # only whether there is one: its value is a secret
        return Check("Hub token", None, "none: public candidates only", "for gated models: hf auth login")
    in_environment = os.environ.get("HF_TOKEN") or os.environ.get("HUGGING_FACE_HUB_TOKEN")
    return Check(
        "Hub token", True, "set in the environment" if in_environment else "stored on this machine", ""
    )

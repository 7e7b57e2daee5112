"""The memory of this host that may be used: all of the machine's, or less in a container or a batch job.

Reads the limits of Linux control groups, version 1 and 2, which the machine's own figures do not show.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

import psutil

if TYPE_CHECKING:
    from collections.abc import Iterator

# Where each version has its groups, and their files for the limit and for what is used.
VERSION_1 = ("sys/fs/cgroup/memory", "memory.limit_in_bytes", "memory.usage_in_bytes")
VERSION_2 = ("sys/fs/cgroup", "memory.max", "memory.current")


@dataclass(frozen=True)
class HostMemory:
    """Main memory, as far as this process may use it.

    Attributes:
        total_bytes: with what others have taken of it.
        available_bytes: left to be taken.
    """

    total_bytes: int
    available_bytes: int


def host_memory(*, root: Path = Path("/")) -> HostMemory:
    """The memory of the machine, or of the tightest control group that this process is in.

    Args:
        root: of the file system.
    """
    machine = psutil.virtual_memory()
    groups = list(_limits(root))
    return HostMemory(
        min([machine.total, *(limit for limit, _ in groups)]),
        min([machine.available, *(max(limit - used, 0) for limit, used in groups)]),
    )


def _limits(root: Path) -> Iterator[tuple[int, int]]:
    """(limit, used) in bytes of each control group around this process that has a limit."""
    for folder, limit, used in _groups(root):
        try:
            yield int((folder / limit).read_text()), int((folder / used).read_text())
        except (OSError, ValueError):  # hidden from this container, or without a limit: the file says "max"
            continue


def _groups(root: Path) -> Iterator[tuple[Path, str, str]]:
    """Folder, name of the limit and name of what is used, of each group around this process.

    Inside a container the path may be the host's, of which only the last group is there, as the root.
    """
    try:
        lines = (root / "proc/self/cgroup").read_text().splitlines()
    except OSError:  # no Linux
        return
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers and "memory" not in controllers.split(","):
            continue
        mount, limit, used = VERSION_1 if controllers else VERSION_2
        inner = PurePosixPath(path.lstrip("/"))
        for group in (inner, *inner.parents):
            yield root / mount / group, limit, used

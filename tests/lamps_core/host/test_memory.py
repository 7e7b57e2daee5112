"""Limits of control groups, in file systems made for it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import psutil
import pytest

from lamps_core.host.memory import host_memory

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

MIB = 2**20
VERSION_2 = "0::/slurm/job_7/step_0"
VERSION_1 = "9:name=systemd:/\n4:cpu,memory:/docker/abc\n0::/"


@pytest.fixture
def root(tmp_path: Path) -> Callable[..., Path]:
    """Makes a file system: what `/proc/self/cgroup` says, and files under `/sys/fs/cgroup`."""

    def make(groups: str, files: dict[str, int | str]) -> Path:
        told = {"proc/self/cgroup": f"{groups}\n"} | {
            f"sys/fs/cgroup/{name}": f"{text}\n" for name, text in files.items()
        }
        for name, text in told.items():
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).write_text(text)
        return tmp_path

    return make


@pytest.mark.parametrize(
    ("groups", "files"),
    [
        (VERSION_2, {"slurm/job_7/memory.max": 64 * MIB, "slurm/job_7/memory.current": 24 * MIB}),
        (  # the tightest of those around it
            VERSION_2,
            {
                "slurm/memory.max": 500 * MIB,
                "slurm/memory.current": 24 * MIB,
                "slurm/job_7/memory.max": "max",
                "slurm/job_7/memory.current": 24 * MIB,
                "slurm/job_7/step_0/memory.max": 64 * MIB,
                "slurm/job_7/step_0/memory.current": 24 * MIB,
            },
        ),
        ("0::/", {"memory.max": 64 * MIB, "memory.current": 24 * MIB}),
        (  # as seen in a container, which has the host's path
            VERSION_1,
            {"memory/memory.limit_in_bytes": 64 * MIB, "memory/memory.usage_in_bytes": 24 * MIB},
        ),
        (
            VERSION_1,
            {
                "memory/memory.limit_in_bytes": 9223372036854771712,
                "memory/memory.usage_in_bytes": 100 * MIB,
                "memory/docker/abc/memory.limit_in_bytes": 64 * MIB,
                "memory/docker/abc/memory.usage_in_bytes": 24 * MIB,
            },
        ),
    ],
)
def test_the_limit_of_a_control_group_is_all_the_memory_there_is(
    root: Callable[..., Path], groups: str, files: dict[str, int | str]
) -> None:
    found = host_memory(root=root(groups, files))
    assert (found.total_bytes, found.available_bytes) == (64 * MIB, 40 * MIB)


@pytest.mark.parametrize(
    ("groups", "files"),
    [
        (VERSION_2, {}),
        (VERSION_2, {"slurm/memory.max": "max", "slurm/memory.current": 2**60}),
        (VERSION_1, {"memory/memory.limit_in_bytes": 9223372036854771712, "memory/memory.usage_in_bytes": 0}),
        ("4:cpu:/abc", {"memory/memory.limit_in_bytes": 64 * MIB, "memory/memory.usage_in_bytes": 0}),
    ],
)
def test_without_a_limit_the_memory_is_the_machines(
    root: Callable[..., Path], groups: str, files: dict[str, int | str]
) -> None:
    assert host_memory(root=root(groups, files)).total_bytes == psutil.virtual_memory().total


def test_where_there_are_no_control_groups_the_memory_is_the_machines(tmp_path: Path) -> None:
    assert host_memory(root=tmp_path).total_bytes == psutil.virtual_memory().total


def test_a_group_beyond_its_limit_has_nothing_left(root: Callable[..., Path]) -> None:
    files = {"memory.max": 64 * MIB, "memory.current": 65 * MIB}
    assert host_memory(root=root("0::/", files)).available_bytes == 0

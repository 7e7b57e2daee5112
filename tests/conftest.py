"""What tests share: no network, a cache of their own, one thread, and a small dataset made on the spot."""

from __future__ import annotations

import csv
import os
from typing import TYPE_CHECKING

import hypothesis
import numpy as np
import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from lamps_core.workers.group import _Process
    from tests.gpu_host import GpuHost

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
os.environ["PREFECT_SERVER_ANALYTICS_ENABLED"] = "false"
os.environ["DO_NOT_TRACK"] = "1"

# A first example may pay for an import, and any for a busy machine: no test times anything. Every run draws other
# examples, so that few do; `make fuzz` asks for many.
hypothesis.settings.register_profile(
    "lamps", deadline=None, max_examples=40, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.register_profile(
    "thorough", parent=hypothesis.settings.get_profile("lamps"), max_examples=500
)
hypothesis.settings.load_profile("lamps")

TOPICS = {
    "weather": ["rain", "cloud", "storm", "sunny", "wind", "snow"],
    "food": ["bread", "soup", "cheese", "apple", "rice", "salt"],
    "music": ["drum", "violin", "chord", "song", "tempo", "choir"],
}
FILLER = ["the", "a", "some", "very", "with", "and", "near", "under", "old", "new"]


@pytest.fixture(scope="session", autouse=True)
def lamps_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Zoo candidates of this test run are built here, once."""
    folder = tmp_path_factory.mktemp("lamps-cache")
    os.environ["LAMPS_CACHE"] = str(folder)
    return folder


def topic_rows(count: int, *, seed: int = 0) -> list[tuple[str, str]]:
    """Sentences that a tiny model learns to sort: three topics, each with words of its own."""
    generator = np.random.default_rng(seed)
    rows = []
    for index in range(count):
        topic = list(TOPICS)[index % len(TOPICS)]
        words = [*generator.choice(TOPICS[topic], 2), *generator.choice(FILLER, generator.integers(2, 8))]
        rows.append((" ".join(generator.permutation(words)), topic))
    return rows


@pytest.fixture(scope="session")
def topics_csv(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A CSV with string labels and column names that are not the usual ones: 240 rows of `phrase,topic`."""
    path = tmp_path_factory.mktemp("data") / "topics.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["phrase", "topic"])
        writer.writerows(topic_rows(240))
    return path


@pytest.fixture
def gpu_host(monkeypatch: pytest.MonkeyPatch) -> Iterator[GpuHost]:
    """Says which GPUs this host has, as far as this process knows."""
    from lamps_core.host.devices import devices_here
    from tests.gpu_host import GpuHost

    yield GpuHost(monkeypatch)
    devices_here.cache_clear()


@pytest.fixture
def unkillable(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[_Process]]:
    """Workers that are to be killed and are not, as if they hung inside the kernel; ended after the test."""
    from lamps_core.workers import group as worker_group
    from lamps_core.workers.group import _Process

    met: list[_Process] = []
    kill = _Process.kill

    def spare(worker: _Process) -> None:
        met.append(worker)

    with monkeypatch.context() as patch:
        patch.setattr(worker_group, "END_SECONDS", 0.2)
        patch.setattr(_Process, "kill", spare)
        yield met
    for each in met:
        kill(each)
        each.process.join()

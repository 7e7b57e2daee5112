"""What a worker process answers when its disk is full or read-only or its model fails, and what it is kept from."""

from __future__ import annotations

import inspect
import json
import re
import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest
from accelerate.utils import environment

from lamps_core.errors import CandidateFailed, StorageFailed
from lamps_core.workers.pool import DeviceSlot, WorkerPool
from lamps_core.workers.worker import RANK_VARIABLES
from tests.encoder_decoders import bart
from tests.lamps_core.conftest import Topics
from tests.small_disk import mounted

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


def test_every_variable_by_which_accelerate_joins_other_processes_is_kept_from_a_worker() -> None:
    read = re.findall(r'"([A-Z0-9_]+)"', inspect.getsource(environment.get_cpu_distributed_information))
    assert {"RANK", "PMI_SIZE"} < set(read) <= set(RANK_VARIABLES)


def test_a_model_that_reads_at_the_token_its_tokenizer_pads_with_fails_with_the_mend(
    topics: Topics, tmp_path: Path, new_pool: Callable[..., WorkerPool]
) -> None:
    folder = bart(tmp_path / "mine")
    told = json.loads((folder / "tokenizer_config.json").read_text()) | {"pad_token": "</s>"}
    (folder / "tokenizer_config.json").write_text(json.dumps(told))
    with pytest.raises(
        CandidateFailed, match=r"<eos> tokens.: .* save the model with a tokenizer that has a padding"
    ):
        new_pool().run_step(topics.request(0, candidate="mine", location=folder))


@pytest.fixture
def on_small_disk(topics: Topics, tmp_path: Path) -> Iterator[Topics]:
    """A work folder alone on a small file system of its own."""
    with mounted(tmp_path / "disk", megabytes=8) as place:
        shutil.copytree(topics.work / "data", place / "work" / "data")
        yield Topics(place / "work", topics.dataset)


def test_a_full_disk_and_a_read_only_one_are_said_and_the_step_goes_on_once_mended(
    on_small_disk: Topics,
) -> None:
    disk = on_small_disk.work.parent
    pool = WorkerPool([DeviceSlot(None, 1)])
    try:
        loss = pool.run_step(on_small_disk.request(0))["test_loss"]
        step = on_small_disk.request(1, losses=(loss,))
        (disk / "filler").write_bytes(b"0" * (shutil.disk_usage(disk).free - 2**16))
        with pytest.raises(StorageFailed, match=f"{disk}.*: No space left on device: mend it"):
            pool.run_step(step)
        subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
        with pytest.raises(StorageFailed, match=f"{disk}.*: Read-only file system: mend it"):
            pool.run_step(step)
        subprocess.run(["mount", "-o", "remount,rw", str(disk)], check=True)
        (disk / "filler").unlink()
        assert pool.run_step(step)["step"] == 1
    finally:
        pool.close()

"""What the tests of fine-tuning share: a small prepared dataset, and requests for landmark steps over it."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
import transformers

from lamps_core.fine_tuning.steps import StepRequest
from lamps_core.models.zoo import materialise
from lamps_core.settings import FineTuningSettings
from lamps_core.text.dataset import DatasetRequest, TextDataset, load_text_dataset
from lamps_core.text.prepared_data import save_prepared
from lamps_core.workers.group import start_fork_server, wait_for_fork_server
from lamps_core.workers.pool import DeviceSlot, WorkerPool
from tests.dask_cluster import free_port
from tests.local_hub import Hub, serve_hub

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

CPU = DeviceSlot(None, threads=1)
SETTINGS = FineTuningSettings(learning_rate=5e-3, batch_size=8, landmarks=3, max_length=32, seed=7)


@dataclass(frozen=True)
class Topics:
    """A work folder with prepared data: 40 rows to train on, 48 to evaluate on, three classes."""

    work: Path
    dataset: TextDataset

    def request(
        self,
        step: int = 0,
        losses: tuple[float, ...] = (),
        *,
        candidate: str = "zoo/bert-tiny",
        location: Path | None = None,
        gpus: int = 1,
        micro_batch_size: int | None = None,
        **settings: Any,
    ) -> StepRequest:
        """A step of a zoo candidate, or of the one in `location`, with some settings changed."""
        return StepRequest(
            name=candidate,
            location=str(location or materialise(candidate)),
            revision=None,
            step=step,
            losses=losses,
            settings=dataclasses.asdict(dataclasses.replace(SETTINGS, **settings)),
            work_folder=str(self.work),
            dataset=self.dataset.name,
            dataset_fingerprint=self.dataset.fingerprint,
            run_id=str(self.work),
            gpus=gpus,
            micro_batch_size=micro_batch_size,
        )


@pytest.fixture(scope="session")
def topics_dataset(topics_csv: Path) -> TextDataset:
    return load_text_dataset(
        DatasetRequest(
            dataset=str(topics_csv), input_columns=("phrase",), target_column="topic", max_train_rows=40
        )
    )


@pytest.fixture
def new_topics(topics_dataset: TextDataset, tmp_path: Path) -> Callable[..., Topics]:
    """Makes work folders, of the same data unless told otherwise."""

    def prepare(name: str, dataset: TextDataset = topics_dataset) -> Topics:
        save_prepared(dataset, tmp_path / name / "data")
        return Topics(tmp_path / name, dataset)

    return prepare


@pytest.fixture
def topics(new_topics: Callable[..., Topics]) -> Topics:
    return new_topics("work")


@pytest.fixture
def new_pool() -> Iterator[Callable[..., WorkerPool]]:
    """Makes pools that are closed at the end; their fork server serves the whole test run."""
    with contextlib.ExitStack() as stack:

        def make(*slots: DeviceSlot) -> WorkerPool:
            pool = WorkerPool(slots or (CPU,))
            stack.callback(pool.close)
            start_fork_server()
            wait_for_fork_server()
            return pool

        yield make


@pytest.fixture
def edited(tmp_path: Path) -> Callable[..., Path]:
    """Makes a copy of a zoo candidate whose config or tokenizer config says something else."""

    def edit(candidate: str, *, file: str = "config.json", **changes: Any) -> Path:
        folder = tmp_path / f"edited-{candidate.replace('/', '-')}"
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(materialise(candidate), folder)
        told = json.loads((folder / file).read_text()) | changes
        (folder / file).write_text(
            json.dumps({key: value for key, value in told.items() if value is not None})
        )
        return folder

    return edit


@pytest.fixture
def hub() -> Iterator[Hub]:
    """A stand-in for the hub."""
    with serve_hub() as hub:
        yield hub


@pytest.fixture
def silent_store(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The URL of a folder in a store that does not answer."""
    s3fs = pytest.importorskip("s3fs")
    told = {"ACCESS_KEY_ID": "a", "SECRET_ACCESS_KEY": "b", "MAX_ATTEMPTS": "1"}
    for name, value in {**told, "ENDPOINT_URL": f"http://127.0.0.1:{free_port()}"}.items():
        monkeypatch.setenv(f"AWS_{name}", value)
    s3fs.S3FileSystem.clear_instance_cache()
    yield "s3://bucket/folder"
    s3fs.S3FileSystem.clear_instance_cache()


@pytest.fixture
def wide_candidate(edited: Callable[..., Path]) -> Path:
    """A BERT whose activations outweigh its weights by far: 32 KB of them a token."""
    folder = edited("zoo/bert-tiny", file="tokenizer_config.json", model_max_length=512)
    sizes = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 4096}
    transformers.BertModel(transformers.BertConfig(vocab_size=4096, **sizes)).save_pretrained(folder)
    return folder


@pytest.fixture
def still(edited: Callable[..., Path]) -> Callable[[str], Path]:
    """Makes a copy of a zoo candidate whose config says no dropout."""

    def without_dropout(candidate: str) -> Path:
        config = json.loads((materialise(candidate) / "config.json").read_text())
        rates = {key: 0.0 for key, value in config.items() if "drop" in key and isinstance(value, float)}
        return edited(candidate, **rates)

    return without_dropout

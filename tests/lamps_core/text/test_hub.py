from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any

import datasets
import pytest

from lamps_core.errors import BadInput
from lamps_core.text.hub import open_hub
from tests.text_datasets import load, write_parquet

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def hub_repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A folder laid out as a hub repository, which `load_dataset` reads by its relative path as by an id."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    card = ["---", "configs:"]
    for config in ("one", "two"):
        card += [f"- config_name: {config}", "  data_files:"]
        for split in ("train", "test"):
            labels = [-1] * 6 if split == "test" else [0, 1] * 3
            write_parquet(
                tmp_path / f"org/name/{config}/{split}.parquet",
                {"text": [f"{config} {split} {row}" for row in range(6)], "label": labels},
                names=["no", "yes"],
            )
            card += [f"  - split: {split}", f"    path: {config}/{split}.parquet"]
    (tmp_path / "org/name/README.md").write_text("\n".join([*card, "---"]))
    return "org/name"


@pytest.mark.parametrize(("configs", "rows"), [("one", 6), ("one+two", 12), ("*", 12)])
def test_hub_configurations_are_concatenated_with_their_class_names(
    hub_repository: str, configs: str, rows: int
) -> None:
    assert open_hub(f"{hub_repository}:{configs}").splits == ("train", "test")
    dataset = load(f"{hub_repository}:{configs}")
    assert dataset.name == f"{hub_repository}:{configs}"
    assert dataset.label_names == ("no", "yes")
    assert len(dataset.train) + len(dataset.evaluation) == rows
    assert f"the test split has no labels: {len(dataset.evaluation)} of {rows} training" in dataset.notices[0]


def test_configurations_offer_the_splits_they_share(hub_repository: str) -> None:
    card = Path(hub_repository) / "README.md"
    shared = card.read_text()
    card.write_text(shared.replace("split: train\n    path: two", "split: extra\n    path: two"))
    assert open_hub(f"{hub_repository}:one+two").splits == ("test",)
    card.write_text(card.read_text().replace("split: test\n    path: two", "split: other\n    path: two"))
    with pytest.raises(BadInput, match="org/name:one\\+two: its configurations share no split"):
        open_hub(f"{hub_repository}:one+two")


def test_an_unknown_configuration_is_refused_with_those_there_are(hub_repository: str) -> None:
    with pytest.raises(BadInput, match=r"'three' not found.*one.*two"):
        open_hub(f"{hub_repository}:three")


def test_a_hub_that_cannot_be_reached_is_bad_input(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(
        BadInput, match=r"'no-such-org/nothing' is no local file.*check the name, the network"
    ):
        load("no-such-org/nothing")


@pytest.mark.parametrize("name", ["csv", "a/b:c:d", ""])
def test_a_name_that_is_no_hub_id_is_refused(name: str) -> None:
    with pytest.raises(BadInput, match="no hub id such as org/name"):
        open_hub(name)


# --- The hub: the real client in a process of its own, against a server on this machine


COMMIT = "0" * 40
ANSWERS: dict[str, tuple[int, dict[str, str], dict[str, Any]]] = {
    "/api/datasets/org/refused": (403, {"X-Error-Code": "GatedRepo"}, {}),
    "/api/datasets/org/forbidden": (200, {}, {"_id": "1", "id": "org/forbidden", "sha": COMMIT}),
    f"/api/datasets/org/forbidden/revision/{COMMIT}": (403, {}, {}),
    "/api/datasets/org/gated": (200, {}, {"_id": "1", "id": "org/gated", "gated": "auto"}),
    "/api/datasets/org/gated/auth-check": (403, {"X-Error-Code": "GatedRepo"}, {}),
}


@pytest.fixture
def endpoint() -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, headers, body = ANSWERS.get(self.path, (404, {"X-Error-Code": "RepoNotFound"}, {}))
            with contextlib.suppress(ConnectionError):
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(json.dumps(body))))
                self.end_headers()
                self.wfile.write(json.dumps(body).encode())

        def do_HEAD(self) -> None:
            self.send_response(404)
            self.send_header("X-Error-Code", "EntryNotFound")
            self.send_header("X-Repo-Commit", COMMIT)
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


OPEN = """
import sys
from lamps_core.errors import BadInput
from lamps_core.text.hub import open_hub
for name in sys.argv[1:]:
    try:
        print(open_hub(name).splits)
    except BadInput as error:
        print(error)
"""


def opened(home: Path, hub: str, *names: str) -> subprocess.CompletedProcess[str]:
    """What a user with this home sees of each dataset: a line each on stdout, and any noise on stderr."""
    kept = {
        name: value for name, value in os.environ.items() if not name.startswith(("HF_", "TRANSFORMERS_"))
    }
    own = {"HF_HOME": str(home), "HF_ENDPOINT": hub, "NO_PROXY": "*", "no_proxy": "*"}
    return subprocess.run(
        [sys.executable, "-c", OPEN, *names],
        env={**kept, **own},
        capture_output=True,
        text=True,
        check=True,
        timeout=180,
    )


def test_a_dataset_the_hub_does_not_give_is_one_line_with_the_mend(tmp_path: Path, endpoint: str) -> None:
    done = opened(tmp_path, endpoint, "org/missing", "org/refused", "org/gated")
    missing, refused, gated = done.stdout.splitlines()
    assert "'org/missing' is no local file or folder" in missing
    assert "(it is not there, or private); check the name" in missing
    for name, line in (("refused", refused), ("gated", gated)):
        assert f"'org/{name}' is gated: accept its licence" in line
        assert "set HF_TOKEN" in line
    assert done.stderr == ""


def test_a_mirrors_password_is_in_no_reason_why_a_dataset_does_not_load(
    tmp_path: Path, endpoint: str
) -> None:
    done = opened(tmp_path, endpoint.replace("//", "//ada:s3cret@"), "org/forbidden")
    assert f"Cannot access content at: {endpoint}/api" in done.stdout
    assert len(done.stdout.splitlines()) == 1
    assert "s3cret" not in done.stdout + done.stderr


def test_an_unreachable_hub_is_asked_once_and_without_noise(tmp_path: Path) -> None:
    done = opened(tmp_path, "http://127.0.0.1:9", "nope/nope")
    assert "'nope/nope' is no local file or folder" in done.stdout
    assert "http://127.0.0.1:9 cannot be asked: ConnectError" in done.stdout
    assert len(done.stdout.splitlines()) == 1
    assert done.stderr == ""


def test_a_dataset_in_the_cache_loads_though_the_hub_is_unreachable(tmp_path: Path) -> None:
    cache = tmp_path / "datasets"
    (tmp_path / "train.csv").write_text("text,label\nx,0\ny,1\n")
    datasets.load_dataset("csv", data_files=str(tmp_path / "train.csv"), cache_dir=str(cache))
    (version,) = (cache / "csv").glob("*/*")
    (cache / "org___name/default").mkdir(parents=True)
    version.rename(cache / "org___name/default" / version.name)
    info = next((cache / "org___name").rglob("dataset_info.json"))
    told = json.loads(info.read_text()) | {"dataset_name": "name", "config_name": "default"}
    info.write_text(json.dumps(told))
    for arrow in info.parent.glob("csv-*.arrow"):
        arrow.rename(arrow.with_name(arrow.name.replace("csv-", "name-")))
    done = opened(tmp_path, "http://127.0.0.1:9", "org/name", "org/other")
    found, other = done.stdout.splitlines()
    assert found == "('train',)"
    assert "'org/other' is no local file or folder" in other
    assert "Retrying" not in done.stderr

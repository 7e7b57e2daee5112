"""A real S3 protocol server on the loopback address: moto's, in a process of its own, with an empty bucket."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any

from tests.campaigns import MEASURED, key_of
from tests.dask_cluster import free_port
from tests.searches import eventually

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType

BUCKET = "meta-dataset"
SECRET = "not-to-be-seen-anywhere"  # what no message may hold


class S3Server:
    """Use as a context manager; `environment` is what a client needs to reach it.

    `strict` has it refuse keys that it does not know, which are all: as an account of somebody else.
    """

    def __init__(self, folder: Path, *, strict: bool = False) -> None:
        self._log = folder / "s3.log"
        self._strict = strict
        self._port = free_port()
        self.url = f"http://127.0.0.1:{self._port}"
        self.environment = {
            "AWS_ENDPOINT_URL": self.url,
            "AWS_ACCESS_KEY_ID": "somebody",
            "AWS_SECRET_ACCESS_KEY": SECRET,
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_CONFIG_FILE": str(folder / "no-config"),
            "AWS_SHARED_CREDENTIALS_FILE": str(folder / "no-credentials"),
        }

    def __enter__(self) -> S3Server:
        unchecked = {"INITIAL_NO_AUTH_ACTION_COUNT": "0"} if self._strict else {}
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(self._port)],
                env=os.environ | unchecked,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        eventually(self._answers, what="the S3 server's start")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.kill()
        self._process.wait()

    def files(self) -> Any:
        """The server as a file system."""
        from s3fs import S3FileSystem

        return S3FileSystem(
            key="somebody",
            secret=SECRET,
            endpoint_url=self.url,
            use_listings_cache=False,
            skip_instance_cache=True,
        )

    def rows(self, curves: str) -> list[dict[str, Any]]:
        """Every row below a folder of the bucket as an outside reader sees it, by key."""
        import pyarrow.dataset

        dataset = pyarrow.dataset.dataset(f"{BUCKET}/{curves}", filesystem=self.files())
        return sorted(dataset.to_table().to_pylist(), key=key_of)

    def facts(self, curves: str) -> list[dict[str, Any]]:
        """Every row, less what a clock or the memory of a process says."""
        return [
            {name: value for name, value in row.items() if name not in MEASURED} for row in self.rows(curves)
        ]

    def _answers(self) -> bool:
        from botocore.exceptions import EndpointConnectionError

        assert self._process.poll() is None, self._log.read_text()
        try:
            self.files().mkdir(BUCKET)
        except FileExistsError:
            return True
        except EndpointConnectionError:
            return False
        except PermissionError:
            assert self._strict
        return True

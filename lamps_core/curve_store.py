"""The curves folder of a campaign: rows appended by many processes at once, failures, compaction.

While a curve grows, each of its rows is a file `<curve>/step-0003.parquet`, whole or not there, whose name is
its key: whoever writes a row again writes nothing new. A complete curve becomes one file `<curve>.parquet`. No
lock is needed to append; one process at a time compacts. What makes rows a curve is said in `curves`.
"""

from __future__ import annotations

import contextlib
import shutil
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq

from lamps_core.curve_reader import curves_by_key, read_curves, read_failures
from lamps_core.curves import CurveKey, curve_file_name, row_parquet
from lamps_core.files import flush
from lamps_core.storage import is_local, put_whole

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

COMPACTING, OLD = ".compacting-", ".old-"
DRAFT_SECONDS = 86_400  # a hidden draft of this age is of a writer that was killed


@dataclass(frozen=True)
class CurveState:
    """What is on record of a curve.

    Attributes:
        rows: one dict a step, step 0 first.
        complete: it met its stopping criterion.
        failure: the failed row, None where there is none.
    """

    rows: tuple[dict[str, Any], ...]
    complete: bool
    failure: dict[str, Any] | None


class CurveStore:
    """A curves folder to be written."""

    def __init__(self, folder: Any) -> None:
        """Take a folder, which need not be there yet.

        Args:
            folder: as `storage_path` gives it.
        """
        self._folder = folder

    def append(self, row: Mapping[str, Any]) -> None:
        """Add the row of a step; one that is there stays as it is.

        Args:
            row: as in `curves.write_curve`.

        Raises:
            BadInput: a value that no row of a curve may have.
            OSError: it cannot be written.
        """
        steps, path = self._places(row)
        if not path.exists() and not self._compacted(steps).exists():
            self._put(path, row)
        self._forget_failure(steps, row)

    def append_anew(self, row: Mapping[str, Any]) -> None:
        """Add the row of a step of a curve that is made again, in place of the one that is there."""
        steps, path = self._places(row)
        self._put(path, row)
        self._forget_failure(steps, row)

    def fail(self, row: Mapping[str, Any]) -> None:
        """Record that a curve cannot go on: a row of status `failed`, in place of an earlier one."""
        steps, _ = self._places(row)
        self._put(steps / "failed.parquet", row)

    def _places(self, row: Mapping[str, Any]) -> tuple[Any, Any]:
        """The folder of a row's curve, and the row's file in it."""
        key = CurveKey(row["dataset"], row["model"], int(row["seed"]))
        steps = self._folder / curve_file_name(key).removesuffix(".parquet")
        return steps, steps / f"step-{int(row['step']):04}.parquet"

    def _compacted(self, steps: Any) -> Any:
        return self._folder / f"{steps.name}.parquet"

    def _put(self, path: Any, row: Mapping[str, Any]) -> None:
        put_whole(path, row_parquet(row, place=path.parent))

    def _forget_failure(self, steps: Any, row: Mapping[str, Any]) -> None:
        failed = steps / "failed.parquet"
        if failed.exists():
            failed.unlink()

    # --- reading ---------------------------------------------------------------------------------------

    def states(self) -> dict[CurveKey, CurveState]:
        """Everything on record, by curve; empty where there is nothing yet.

        Raises:
            BadInput: as `curve_reader.read_curves`.
        """
        if not self._folder.is_dir() or not any(self._folder.rglob("*.parquet")):
            return {}
        found = curves_by_key(read_curves(self._folder))
        failures = {
            CurveKey(row["dataset"], row["model"], row["seed"]): row
            for row in read_failures(self._folder).to_pylist()
        }
        return {
            key: CurveState(
                tuple(found[key].rows()) if key in found else (),
                key in found and found[key].complete,
                failures.get(key),
            )
            for key in {**found, **failures}
        }

    # --- compaction ------------------------------------------------------------------------------------

    def compact(self) -> int:
        """Make each complete curve that is in steps one file; returns how many."""
        done = 0
        for steps in self._step_folders():
            files = sorted(steps.glob("step-*.parquet"))
            if files and _is_complete(files[-1]) and not (steps / "failed.parquet").exists():
                self._compact(steps, files)
                done += 1
        return done

    def _step_folders(self) -> Iterator[Any]:
        if self._folder.is_dir():
            yield from sorted(
                path for path in self._folder.iterdir() if not path.name.startswith(".") and path.is_dir()
            )

    def _compact(self, steps: Any, files: list[Any]) -> None:
        sink = pa.BufferOutputStream()
        pq.write_table(pa.concat_tables(_read(path) for path in files), sink)
        content = sink.getvalue().to_pybytes()
        if not is_local(self._folder):
            # No rename hides a folder of an object store: from its last row back, no reader sees a gap.
            put_whole(self._folder / f"{COMPACTING}{steps.name}.parquet", content)
            for path in reversed(files):
                path.unlink()
            self._finish(steps.name)
            return
        put_whole(self._folder / f"{COMPACTING}{steps.name}.parquet", content)
        # One rename hides all steps, the next shows the curve: no reader sees a row twice or a part of a curve.
        steps.rename(self._folder / f"{OLD}{steps.name}")
        self._finish(steps.name)

    def _finish(self, name: str) -> None:
        """Show a compacted curve whose steps are hidden, then delete them."""
        hidden, shown = self._folder / f"{COMPACTING}{name}.parquet", self._folder / f"{name}.parquet"
        if is_local(self._folder):
            hidden.replace(shown)
            flush(self._folder)
            shutil.rmtree(self._folder / f"{OLD}{name}", ignore_errors=True)
        else:
            put_whole(shown, hidden.read_bytes())
            hidden.unlink()

    def recover(self) -> None:
        """Finish or undo what a killed compaction left; delete drafts of writers killed long ago."""
        if not self._folder.is_dir():
            return
        for hidden in list(self._folder.glob(f"{COMPACTING}*.parquet")):
            name = hidden.name.removeprefix(COMPACTING).removesuffix(".parquet")
            steps = self._folder / name
            if is_local(self._folder) and steps.is_dir():
                hidden.unlink()  # it is made anew
            else:
                for path in sorted(steps.glob("step-*.parquet"), reverse=True):
                    path.unlink()
                self._finish(name)
        if is_local(self._folder):
            for old in list(self._folder.glob(f"{OLD}*")):
                shutil.rmtree(old, ignore_errors=True)
            self._drop_drafts()

    def _drop_drafts(self) -> None:
        now = time.time()
        for folder in (self._folder, *self._step_folders()):
            for draft in folder.glob(".*.parquet.*"):
                with contextlib.suppress(FileNotFoundError):
                    if now - draft.stat().st_mtime > DRAFT_SECONDS:
                        draft.unlink()


def _read(path: Any) -> pa.Table:
    with path.open("rb") as file:
        return pq.read_table(file)


def _is_complete(path: Any) -> bool:
    return bool(_read(path)["complete"][0].as_py())

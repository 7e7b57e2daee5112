"""The curves folder of a campaign: rows appended by many processes at once, failures, compaction.

While a curve grows, each of its rows is a file `<curve>/step-0003.parquet`, whole or not there, whose name is
its key: whoever writes a row again writes nothing new. A complete curve becomes one file `<curve>.parquet`. No
lock is needed to append; one process at a time compacts. What makes rows a curve is said in `schema`.
"""

from __future__ import annotations

import contextlib
import re
import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq

from lamps_core.curves.reader import curve_files, curves_by_key, read_both
from lamps_core.curves.schema import COMPACTING, CurveKey, curve_stem, curves_parquet, row_parquet
from lamps_core.files import (
    DRAFT_SECONDS,
    draft_beside,
    drop_drafts,
    flush,
    make_folder,
    move_into_place,
)
from lamps_core.storage import entries, is_folder, is_local, is_there, put_whole, remove_file

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

FAILED = "failed.parquet"  # in the folder of a curve's steps
OLD = ".old-"  # a folder of steps whose curve is one file


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
            row: as in `schema.write_curve`.

        Raises:
            BadInput: a value that no row of a curve may have.
            OSError: it cannot be written.
        """
        steps, path = self._places(row)
        if not self._on_record(steps, path):
            content = row_parquet(row, place=steps)
            self._forget_failure(steps)  # first: no reader sees the step twice
            self._put(path, content, replace=False)

    def append_anew(self, row: Mapping[str, Any]) -> None:
        """Add the row of a step of a curve that is made again, in place of the one that is there.

        Raises:
            BadInput: a value that no row of a curve may have.
            OSError: it cannot be written.
        """
        steps, path = self._places(row)
        if self._is_compacted(steps):
            return
        content = row_parquet(row, place=steps)
        self._forget_failure(steps)
        if row["complete"]:  # the curve may have ended later the time before: nothing follows a complete row
            for later in _last_first(steps):
                if later.name > path.name:
                    remove_file(later)
        self._put(path, content, replace=True)

    def fail(self, row: Mapping[str, Any]) -> None:
        """Record that a curve cannot go on: a row of status `failed`, in place of an earlier one.

        A step that is on record has not failed, whatever became of another attempt at it: nothing is recorded.

        Raises:
            BadInput: a value that no row of a curve may have.
            OSError: it cannot be written.
        """
        steps, path = self._places(row)
        if not self._on_record(steps, path):
            self._put(steps / FAILED, row_parquet(row, place=steps), replace=True)

    def of_others(self, keys: Iterable[CurveKey]) -> set[CurveKey]:
        """Which of these curves are not under this store's own file names, i.e. were put there by somebody else."""
        names = {
            path.name.removeprefix(COMPACTING).removesuffix(".parquet") for path, _ in entries(self._folder)
        }
        return {key for key in keys if curve_stem(key) not in names}

    def _places(self, row: Mapping[str, Any]) -> tuple[Any, Any]:
        """The folder of a row's curve, and the row's file in it."""
        key = CurveKey(row["dataset"], row["model"], int(row["seed"]))
        steps = self._folder / curve_stem(key)
        return steps, steps / f"step-{int(row['step']):04}.parquet"

    def _on_record(self, steps: Any, path: Any) -> bool:
        # In this order: a step that a compaction hides is in the hidden file before, and in the shown one after.
        return is_there(path) or self._is_compacted(steps)

    def _is_compacted(self, steps: Any) -> bool:
        """Whether a file that holds the whole curve is there, hidden yet or shown."""
        return is_there(self._hidden(steps.name)) or is_there(self._shown(steps.name))

    def _hidden(self, name: str) -> Any:
        return self._folder / f"{COMPACTING}{name}.parquet"

    def _shown(self, name: str) -> Any:
        return self._folder / f"{name}.parquet"

    def _put(self, path: Any, content: bytes, *, replace: bool) -> None:
        """Write a step's file, whole, unless its curve became one file meanwhile."""
        if not is_local(self._folder):
            put_whole(path, content)
            return
        steps = path.parent
        # The draft lies outside, so that a folder of steps that a compaction moves away is not made again.
        draft = draft_beside(self._folder / f"{steps.name}.{path.name}")
        try:
            make_folder(self._folder)
            draft.write_bytes(content)
            flush(draft)
            make_folder(steps)
            if self._is_compacted(steps):
                with contextlib.suppress(OSError):
                    steps.rmdir()  # it is empty if it is the one made above
                return
            move_into_place(draft, path, replace=replace)
            flush(steps)
        except FileNotFoundError:
            if not self._is_compacted(steps):
                raise
        finally:
            draft.unlink(missing_ok=True)

    def _forget_failure(self, steps: Any) -> None:
        remove_file(steps / FAILED)

    # --- reading ---------------------------------------------------------------------------------------

    def states(self) -> dict[CurveKey, CurveState]:
        """Everything on record, by curve; empty where there is nothing yet.

        Raises:
            BadInput: as `reader.read_curves`.
        """
        if not curve_files(self._folder):
            return {}
        curves, failed = read_both(self._folder)
        found = curves_by_key(curves)
        failures = {CurveKey(row["dataset"], row["model"], row["seed"]): row for row in failed.to_pylist()}
        return {
            key: CurveState(
                tuple(found[key].rows()) if key in found else (),
                key in found and found[key].complete,
                failures.get(key),
            )
            for key in {**found, **failures}
        }

    # --- compaction ------------------------------------------------------------------------------------

    def compact(self) -> None:
        """Make each complete curve that is in steps one file.

        All of them are written before the first is shown, so that the file list of another reader is out of date for
        one short moment only.
        """
        names = []
        for steps in self._step_folders():
            files = _last_first(steps)
            if is_there(self._shown(steps.name)):
                self._drop_steps(steps)  # of a writer that came too late
            elif files and _is_complete(files[0]) and not is_there(steps / FAILED):
                self._write_whole(steps.name, files[::-1])
                names.append(steps.name)
        for name in names:
            if is_local(self._folder):
                (self._folder / name).rename(self._old(name))
            self._show(name)
        self._clean(names)

    def _step_folders(self) -> list[Any]:
        return [path for path, is_one in entries(self._folder) if is_one and not path.name.startswith(".")]

    def _write_whole(self, name: str, files: list[Any]) -> None:
        """Write a curve's one file, hidden: from here on nothing is appended, and readers of ours take it."""
        put_whole(self._hidden(name), curves_parquet(pa.concat_tables(_read(path) for path in files)))

    def _old(self, name: str) -> Any:
        return self._folder / f"{OLD}{name}"

    def _show(self, name: str) -> None:
        """Show a compacted curve. Its steps are hidden before: no reader sees a row twice or a part of a curve."""
        hidden, shown = self._hidden(name), self._shown(name)
        if is_local(self._folder):
            hidden.replace(shown)
        else:
            # No rename hides a folder of an object store: from its last row back, no reader sees a gap.
            self._drop_steps(self._folder / name)
            put_whole(shown, hidden.read_bytes())
            remove_file(hidden)

    def _clean(self, names: Sequence[str]) -> None:
        """Delete the hidden steps of curves that are shown whole, once that is on disk."""
        if is_local(self._folder) and names:
            flush(self._folder)
            for name in names:
                shutil.rmtree(self._old(name), ignore_errors=True)
                self._drop_steps(self._folder / name)

    def _drop_steps(self, steps: Any) -> None:
        for path in _last_first(steps):
            remove_file(path)
        if is_local(steps):
            shutil.rmtree(steps, ignore_errors=True)

    def recover(self) -> None:
        """Finish or undo what a killed compaction left; delete drafts of writers killed long ago."""
        for hidden in self._named(COMPACTING):
            name = hidden.name.removeprefix(COMPACTING).removesuffix(".parquet")
            begun = not is_local(self._folder) or is_folder(self._old(name))
            if not begun and is_folder(self._folder / name):
                remove_file(hidden)  # it is made anew
            else:
                self._show(name)
                self._clean([name])
        for steps in self._step_folders():
            if is_there(self._shown(steps.name)):
                self._drop_steps(steps)
        if is_local(self._folder):
            for old in self._named(OLD):
                if is_there(self._shown(old.name.removeprefix(OLD))):
                    shutil.rmtree(old, ignore_errors=True)
            drop_drafts(self._folder, older_than_seconds=DRAFT_SECONDS)

    def _named(self, beginning: str) -> list[Any]:
        return [path for path, _ in entries(self._folder) if path.name.startswith(beginning)]


def _last_first(steps: Any) -> list[Any]:
    """The files of a curve's steps, from the last back: in whatever moment one looks, they leave no gap."""
    return [path for path, _ in reversed(entries(steps)) if re.fullmatch(r"step-.*\.parquet", path.name)]


def _read(path: Any) -> pa.Table:
    with path.open("rb") as file:
        return pq.read_table(file)


def _is_complete(path: Any) -> bool:
    return bool(_read(path)["complete"][0].as_py())

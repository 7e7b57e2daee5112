"""The append-only record of a search: one JSON object a line, each on disk before anything follows from it.

The first line says what search this is. Each line after it is one event; `event` names its kind:

- `started`: a run of the search began, with `budget`, `parallel`, `gpu_hour_price` and `command`. Written once for
  consecutive runs that are alike.
- `begun`: a step was started, of `candidate` and `step`.
- `outcome`: what came of it, the fields of `search.algorithm.Outcome`.
- `replaced`: the new `model_files` of candidates of which no step had succeeded; they are tried again.
- `tested`: `candidate`, a model of the front, was saved and `measured` on the held-out test split, once.

A line cut short by a crash never happened: it is dropped at the next start. One process at a time: the file is locked
while it is open.
"""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

from lamps_core.errors import BadInput, abbreviated
from lamps_core.files import flush, json_object
from lamps_core.locks import lock_if_free
from lamps_core.objectives import sign_flipped
from lamps_core.versions import version_trouble

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

JOURNAL = "journal.jsonl"  # in the folder of a search
VERSION = 1
_DIGESTS = {
    "dataset_fingerprint": "the rows of its dataset are others: changed, or more or fewer of them",
    "policy_weights": "the weights of its policy are others",
}
_LATER_KEYS = frozenset({"model_files"})  # the first journals of version 1 do not tell


class Journal:
    """An open journal; use as a context manager.

    Attributes:
        header: the first line.
        events: the lines after it, oldest first.
        replaced: model files that are others than on record, of candidates of which nothing was measured; whoever
            opens the journal lets go of what is left of the old ones, and appends them as an event.
    """

    def __init__(self, path: Path, header: dict[str, Any]) -> None:
        """Open a journal, or start it.

        Args:
            path: the file.
            header: what search this is; a journal that says otherwise is refused.

        Raises:
            BadInput: in use by another process, of another search, or damaged.
        """
        self._path = path
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)
        try:
            if not lock_if_free(self._file):
                raise BadInput(
                    f"{path.parent} is in use by another lamps run: wait for it, or choose another --out"
                )
            self.header = {"version": VERSION, **header}
            lines = list(_whole_lines(path, self._file))
            self.events = lines[1:]
            self.replaced: dict[str, str] = {}
            if lines:
                self._take_up(lines[0])
            else:
                self._write(self.header)
                flush(path.parent)
        except BaseException:
            os.close(self._file)
            raise

    def _take_up(self, found: dict[str, Any]) -> None:
        """Go on with the search that the first line tells of.

        Raises:
            BadInput: it is another one than the header says.
        """
        found = _with_files_of_now(found, self.events)
        self.replaced = _replaced(found, self.header, self.events)
        if self.replaced:
            found["model_files"] = found["model_files"] | self.replaced
        _same_search(self._path.parent, found, self.header)

    def append(self, event: dict[str, Any]) -> None:
        """Add an event; it is on disk when this returns."""
        self._write(event)
        self.events.append(event)

    def _write(self, event: dict[str, Any]) -> None:
        line = json.dumps(event, allow_nan=False).encode() + b"\n"
        before = os.fstat(self._file).st_size
        try:
            written = os.write(self._file, line)
            if written != len(line):
                raise OSError(
                    f"{self._path}: {written} of {len(line)} bytes were written (is the disk full?)"
                )
            os.fdatasync(self._file)
        except OSError:
            os.ftruncate(self._file, before)  # half a line must not meet the next one
            raise

    def close(self) -> None:
        """Release the lock."""
        os.close(self._file)

    def __enter__(self) -> Journal:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


def read_journal(path: Path) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Header and events of a journal, whoever has it open; a line being written is not seen.

    Raises:
        BadInput: damaged.
    """
    lines = list(_whole_lines(path, None))
    if not lines:
        raise BadInput(f"{path} is empty: there is no search here")
    return lines[0], lines[1:]


def _whole_lines(path: Path, writable: int | None) -> Iterator[dict[str, Any]]:
    """The lines that end; what is behind the last newline is cut off the file where it is writable."""
    content = path.read_bytes()
    end = content.rfind(b"\n") + 1
    if writable is not None and end < len(content):
        os.ftruncate(writable, end)
    for number, line in enumerate(content[:end].splitlines(), start=1):
        try:
            value = json_object(line)
        except ValueError:
            damaged = f"{path}, line {number} is damaged"
            raise BadInput(f"{damaged}: restore it, or start with another --out") from None
        yield value


def _same_search(folder: Path, found: dict[str, Any], wanted: dict[str, Any]) -> None:
    if found.get("version") != VERSION:
        raise BadInput(version_trouble(folder, found.get("version"), VERSION, "choose another --out"))
    untold = _LATER_KEYS - found.keys()
    different = [key for key in wanted if key not in untold and not _same(found.get(key), wanted[key])]
    if different:
        told = _difference(found, wanted, different)
        raise BadInput(f"{folder} holds another search ({told}): choose another --out")


def _with_files_of_now(header: dict[str, Any], events: list[dict[str, Any]]) -> dict[str, Any]:
    """The header with the model files that took the place of others since."""
    files = header.get("model_files")
    if not isinstance(files, dict):
        return header
    for event in events:
        if event.get("event") == "replaced" and isinstance(event.get("model_files"), dict):
            files = files | event["model_files"]
    return header | {"model_files": files}


def _replaced(found: dict[str, Any], wanted: dict[str, Any], events: list[dict[str, Any]]) -> dict[str, str]:
    """Model files that are others now, of candidates of which nothing was measured."""
    measured = {event.get("candidate") for event in events if event.get("record") is not None}
    was, now = found.get("model_files"), wanted.get("model_files")
    if not isinstance(was, dict) or not isinstance(now, dict):
        return {}
    return {name: now[name] for name in was.keys() & now.keys() - measured if was[name] != now[name]}


def _same(was: Any, now: Any) -> bool:
    """Whether two values say the same; what a journal of another version lacks was not set."""
    if isinstance(was, dict) and isinstance(now, dict):
        return all(was.get(name) == now.get(name) for name in {**was, **now})
    return bool(was == now)


def _difference(found: dict[str, Any], wanted: dict[str, Any], different: list[str]) -> str:
    """What tells the two apart, in words: what a person gave before what follows from it."""
    key = min(different, key=lambda name: name in {*_DIGESTS, "model_files"})  # of several, the first
    was, now = found.get(key), wanted[key]
    if key in _DIGESTS:
        return _DIGESTS[key]
    if key == "bounds":
        was, now = _bounds(found), _bounds(wanted)
    elif isinstance(was, dict) and isinstance(now, dict):
        name = next(name for name in {**was, **now} if was.get(name) != now.get(name))
        if key == "model_files":
            return f"the files of the model {name} are others"
        key, was, now = name, was.get(name), now.get(name)
    return f"{key} was {abbreviated(json.dumps(was), 100)}, now {abbreviated(json.dumps(now), 100)}"


def _bounds(header: dict[str, Any]) -> dict[str, float]:
    """As the user gave them."""
    named = zip(header["objectives"], header["bounds"], strict=True)
    return {name: sign_flipped(name, bound) for name, bound in named if bound is not None}

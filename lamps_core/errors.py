"""The one family of errors: each message names the thing that is wrong and how to mend it."""

from __future__ import annotations

import difflib
import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable

_CREDENTIALS = re.compile(r"//[^/\s]*@")  # of a URL


class LampsError(Exception):
    """Base of every error raised on purpose by LAMPS."""


class BadInput(LampsError):
    """What the user gave cannot be used. A command ends with exit code 2 and this one line."""


class CandidateFailed(LampsError):
    """A candidate can never finish this step (not loadable, not a number, out of memory): not retried."""


class ShortOfMemory(LampsError):
    """One of several processes that hold a candidate ran out of memory: all must begin anew, with fewer rows."""

    def __init__(self, reason: str, micro_batch_size: int) -> None:
        """Say what did not fit.

        Args:
            reason: as the library told it.
            micro_batch_size: rows in a pass on each device, that were too many.
        """
        super().__init__(reason, micro_batch_size)  # what a pickled one is made of again
        self.reason, self.micro_batch_size = reason, micro_batch_size

    def __str__(self) -> str:
        return f"out of memory at micro-batch {self.micro_batch_size}: {self.reason}"


class WorkerDied(LampsError):
    """A worker process ended without an answer (killed, crashed): the step may be tried again."""


class BudgetSpent(LampsError):
    """The budget ran out inside a step, which was stopped and left no trace but its seconds."""


class Interrupted(LampsError):
    """The run is being shut down; steps in flight were stopped and are not to be tried again."""


class StorageFailed(LampsError):
    """A disk or a store cannot be written or read: nothing can go on until somebody mends it."""


class HostFailed(LampsError):
    """Processes that cannot be killed hold the devices of a host: nothing can go on until it is started again."""


class HubFailed(LampsError):
    """The hub could not be reached, or failed: it may be asked again."""


class PushFailed(LampsError):
    """What was asked for is done and kept on disk, and only the push to the hub is missing."""

    def __init__(self, reason: str, result: dict[str, Any]) -> None:
        """Say what is missing.

        Args:
            reason: what the hub said, and how to push again.
            result: of the work, as it would have been returned.
        """
        super().__init__(reason, result)  # what a pickled one is made of again
        self.reason, self.result = reason, result

    def __str__(self) -> str:
        return self.reason


def no_such(option: str, name: str, noun: str, known: Iterable[str], *, more: str = "") -> BadInput:
    """The error for an unknown name: it suggests the nearest known one and lists them all.

    >>> print(no_such("--policy", "cheapst", "policy", ["blind", "cheapest"]))
    --policy cheapst: no such policy; did you mean cheapest? (there are blind, cheapest)
    """
    known = list(known)
    near = _nearest(name, known, most=1)
    hint = f"; {near}" if near else ""
    return BadInput(f"{option} {name}: no such {noun}{hint} (there are {', '.join(known)}{more})")


def did_you_mean(name: str, known: Iterable[str], *, most: int = 1) -> str:
    """A suffix for a message about an unknown name: the nearest known ones, or nothing if none is near.

    >>> did_you_mean("lable", ["label", "text"])
    ' (did you mean label?)'
    """
    near = _nearest(name, known, most=most)
    return f" ({near})" if near else ""


def _nearest(name: str, known: Iterable[str], *, most: int) -> str:
    close = difflib.get_close_matches(name, list(known), n=most)
    return f"did you mean {' or '.join(close)}?" if close else ""


def reason_of(error: BaseException) -> str:
    """Why something failed: the message of an error raised on purpose, else the type before it.

    >>> reason_of(WorkerDied("killed by signal 9")), reason_of(KeyError("loss"))
    ('killed by signal 9', "KeyError: 'loss'")
    """
    return str(error) if isinstance(error, LampsError) else f"{type(error).__name__}: {error}"


def first_line(error: BaseException) -> str:
    """What an error of a library says, as one line of at most 300 characters; its type where it says nothing.

    Users and passwords are removed from the URLs in it.
    """
    lines = [line.strip() for line in str(error).strip().splitlines()]
    if not lines:
        return type(error).__name__
    told = " ".join(lines[:2]) if lines[0].endswith(":") else lines[0]
    return without_credentials(told)[:300]


def typed_line(error: BaseException) -> str:
    """The type of an error and the first line of its text, or the type alone where it says nothing."""
    name, line = type(error).__name__, first_line(error)
    return name if line == name else f"{name}: {line}"


def abbreviated(text: str, most: int = 80) -> str:
    """A text as errors show it: what a user gave may be a whole document.

    >>> abbreviated("a long name", most=8)
    'a lon...'
    """
    return text if len(text) <= most else f"{text[: most - 3]}..."


def without_credentials(text: str) -> str:
    """Remove users and passwords from the URLs in a text.

    >>> without_credentials("https://ada:secret@mirror.example/hub does not answer")
    'https://mirror.example/hub does not answer'
    """
    return _CREDENTIALS.sub("//", text)

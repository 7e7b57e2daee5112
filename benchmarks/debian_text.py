"""Two small text-classification datasets of real language that a Debian machine carries.

`packages`: the one-line description of a package -> its section, of the eight most common; from `apt-cache dumpavail`.
`languages`: a message of an installed program -> its language, of eight in Latin letters; from the catalogues (`.mo`)
in /usr/share/locale. The rows depend on what the machine knows and has installed, and are the same for one machine: a
folder that holds them is left as it is.
"""

from __future__ import annotations

import csv
import hashlib
import io
import struct
import subprocess
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

from lamps_core.errors import BadInput
from lamps_core.files import write_atomically

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

DATASETS = ("packages", "languages")
LABELS = 8
LANGUAGES = ("da", "de", "es", "fr", "it", "pl", "pt_BR", "sv")
WORDS_OF_MESSAGE = (4, 40)
_LOCALE = Path("/usr/share/locale")
_MO_MAGIC = 0x950412DE


def write_dataset(name: str, folder: Path, *, train_rows: int, test_rows: int) -> None:
    """Write `train.csv` and `test.csv` of `text,label`, every label in equal parts, unless they are there.

    Args:
        name: one of `DATASETS`.
        folder: to write to.
        train_rows: a multiple of 8.
        test_rows: another one; no text stands in both files.

    Raises:
        BadInput: the machine holds too few texts.
    """
    if (folder / "test.csv").exists():
        return
    texts = _READERS[name]()
    each_train, each_test = train_rows // LABELS, test_rows // LABELS
    short = [label for label, found in texts.items() if len(found) < each_train + each_test]
    if short or len(texts) < LABELS:
        raise BadInput(
            f"{name}: this machine holds too few texts of {', '.join(short) or 'all but a few labels'}"
        )
    folder.mkdir(parents=True, exist_ok=True)
    drawn = {label: sorted(found, key=_draw) for label, found in texts.items()}
    _write(folder / "train.csv", {label: found[:each_train] for label, found in drawn.items()})
    _write(
        folder / "test.csv",
        {label: found[each_train : each_train + each_test] for label, found in drawn.items()},
    )


def _write(path: Path, texts: dict[str, list[str]]) -> None:
    rows = sorted(((text, label) for label, found in texts.items() for text in found), key=_draw_row)
    lines = io.StringIO(newline="")
    writer = csv.writer(lines, lineterminator="\n")
    writer.writerow(("text", "label"))
    writer.writerows(rows)
    write_atomically(path, lines.getvalue().encode())


def _draw_row(row: tuple[str, str]) -> str:
    return _draw(row[0])


def _draw(text: str) -> str:
    """A random order that is the same everywhere."""
    return hashlib.sha256(text.encode()).hexdigest()


def _of_one_label(pairs: Iterator[tuple[str, str]]) -> dict[str, list[str]]:
    """Label -> its texts, each once; one found under two labels tells nothing and is left out."""
    labels: dict[str, set[str]] = {}
    for text, label in pairs:
        labels.setdefault(text, set()).add(label)
    texts: dict[str, list[str]] = {}
    for text, found in labels.items():
        if len(found) == 1:
            texts.setdefault(found.pop(), []).append(text)
    return texts


def _packages() -> dict[str, list[str]]:
    try:
        told = subprocess.run(["apt-cache", "dumpavail"], capture_output=True, check=True, text=True).stdout
    except (OSError, subprocess.CalledProcessError) as error:
        raise BadInput(
            f"packages: apt-cache does not answer ({error}): run this on Debian, after apt-get update"
        ) from error
    texts = _of_one_label(_described(told))
    common = Counter({section: len(found) for section, found in texts.items()}).most_common(LABELS)
    return {section: texts[section] for section, _ in sorted(common)}


def _described(told: str) -> Iterator[tuple[str, str]]:
    """(one-line description, section) of every package."""
    for paragraph in told.split("\n\n"):
        fields = dict(line.split(": ", 1) for line in paragraph.splitlines() if ": " in line[:20])
        if "Description" in fields and "Section" in fields:
            yield " ".join(fields["Description"].split()), fields["Section"]


def _languages() -> dict[str, list[str]]:
    return _of_one_label(
        (message, language)
        for language in LANGUAGES
        for catalogue in sorted((_LOCALE / language / "LC_MESSAGES").glob("*.mo"))
        for message in _messages(catalogue)
    )


def _messages(catalogue: Path) -> Iterator[str]:
    """Translations of a gettext catalogue (GNU gettext manual, "The Format of GNU MO Files") that are sentences."""
    content = catalogue.read_bytes()
    order = "<" if struct.unpack("<I", content[:4])[0] == _MO_MAGIC else ">"
    count, originals, translations = struct.unpack(f"{order}8x3I", content[:20])
    for index in range(1, count):  # the first one is the catalogue's header
        original, translation = (
            _string(content, order, table + 8 * index) for table in (originals, translations)
        )
        words = translation.split()
        if original != translation and WORDS_OF_MESSAGE[0] <= len(words) <= WORDS_OF_MESSAGE[1]:
            yield " ".join(words)


def _string(content: bytes, order: str, entry: int) -> str:
    """The first of a message's plural forms."""
    length, start = struct.unpack(f"{order}2I", content[entry : entry + 8])
    return content[start : start + length].split(b"\0", 1)[0].decode(errors="replace")


_READERS: dict[str, Callable[[], dict[str, list[str]]]] = {"packages": _packages, "languages": _languages}

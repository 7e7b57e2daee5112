"""A real-language dataset that every Python carries: sentences of the standard library's documentation.

Owns which modules make which topic and how docstrings become sentences. Reads source files with `ast` and
imports none of them. The rows differ a little between Python versions and are the same for one version.

    python -m lamps_core.docstrings OUT.csv --rows 3000
"""

from __future__ import annotations

import argparse
import ast
import csv
import hashlib
import io
import re
import sys
import sysconfig
from pathlib import Path
from typing import TYPE_CHECKING

from lamps_core.errors import BadInput
from lamps_core.files import write_atomically

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

# Those that an installation lacks are passed over; pure-Python twins (`_pydecimal`) carry the documentation.
TOPIC_MODULES: dict[str, str] = {
    "concurrency": "asyncio concurrent multiprocessing queue sched selectors subprocess threading",
    "data formats": "base64 configparser csv email html json mailbox pickle plistlib quopri tomllib xml",
    "file system": (
        "_pyio bz2 dbm filecmp fileinput fnmatch genericpath glob gzip linecache lzma ntpath os pathlib "
        "posixpath shelve shutil stat tarfile tempfile zipfile"
    ),
    "networking": (
        "ftplib http imaplib ipaddress poplib smtplib socket socketserver ssl urllib webbrowser wsgiref "
        "xmlrpc"
    ),
    "numbers": (
        "_pydatetime _pydecimal _strptime bisect calendar colorsys datetime fractions heapq numbers random "
        "statistics zoneinfo"
    ),
    "text": "codecs difflib encodings gettext locale pprint re reprlib shlex string textwrap tokenize",
}
DEFAULT_ROWS = 3000
WORDS_OF_SENTENCE = (5, 60)

_DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
# Code, lists and tables are not sentences.
_NOT_PROSE = re.compile(r">>>|\n\s{2,}|^[-*+=|\s]")
_SENTENCE_END = re.compile(r"(?<=[.!?])\s+(?=[A-Z])")


def write_docstrings(path: Path, *, rows: int = DEFAULT_ROWS) -> int:
    """Write a CSV of `text,topic`: sentences of docstrings, six topics in equal parts as far as they go.

    No sentence stands twice, and one found under two topics is left out.

    Args:
        path: the file to write, whole or not at all.
        rows: at most this many; a standard library holds about 7,000.

    Returns:
        The rows written.

    Raises:
        BadInput: fewer rows than topics, or an installation without its sources.
    """
    if rows < len(TOPIC_MODULES):
        raise BadInput(f"--rows must be at least {len(TOPIC_MODULES)}, one a topic, not {rows}")
    chosen = _in_equal_parts(_sentences_by_topic(Path(sysconfig.get_path("stdlib"))), rows=rows)
    lines = io.StringIO(newline="")
    writer = csv.writer(lines, lineterminator="\n")
    writer.writerow(("text", "topic"))
    writer.writerows(chosen)
    write_atomically(path, lines.getvalue().encode())
    return len(chosen)


def _sentences_by_topic(library: Path) -> dict[str, list[str]]:
    topics: dict[str, set[str]] = {}
    for topic, modules in TOPIC_MODULES.items():
        for source in (source for module in modules.split() for source in _sources(library, module)):
            for sentence in _sentences(source):
                topics.setdefault(sentence, set()).add(topic)
    if not topics:
        raise BadInput(f"{library}: this Python carries no sources of its standard library; install them")
    return {
        topic: sorted((text for text, found in topics.items() if found == {topic}), key=_draw)
        for topic in TOPIC_MODULES
    }


def _sources(library: Path, module: str) -> list[Path]:
    package = sorted((library / module).rglob("*.py"))
    return [path for path in (library / f"{module}.py", *package) if path.is_file()]


def _sentences(source: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(source.read_bytes())):
        docstring = ast.get_docstring(node) if isinstance(node, _DOCUMENTED) else None
        for paragraph in re.split(r"\n\s*\n", docstring or ""):
            if not _NOT_PROSE.search(paragraph):
                for sentence in _SENTENCE_END.split(" ".join(paragraph.split())):
                    if WORDS_OF_SENTENCE[0] <= len(sentence.split()) <= WORDS_OF_SENTENCE[1]:
                        yield sentence


def _in_equal_parts(sentences: dict[str, list[str]], *, rows: int) -> list[tuple[str, str]]:
    """Draw from all topics in turn until `rows` are drawn or all are used up; topics end up mixed."""
    rounds = max(len(texts) for texts in sentences.values())
    drawn = [
        (texts[place], topic)
        for place in range(rounds)
        for topic, texts in sentences.items()
        if place < len(texts)
    ]
    return sorted(drawn[:rows], key=lambda row: _draw(row[0]))


def _draw(text: str) -> str:
    """A random order that is the same everywhere."""
    return hashlib.sha256(text.encode()).hexdigest()


def main(arguments: Sequence[str] | None = None) -> int:
    """Run as a command. Exits with 2 on bad input, with one line on stderr."""
    parser = argparse.ArgumentParser(
        prog="python -m lamps_core.docstrings",
        description="Write sentences of the standard library's docstrings with their topics as a CSV.",
    )
    parser.add_argument("path", type=Path, metavar="OUT.csv")
    parser.add_argument("--rows", type=int, default=DEFAULT_ROWS)
    parsed = parser.parse_args(arguments)
    try:
        rows = write_docstrings(parsed.path, rows=parsed.rows)
    except (BadInput, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(f"{rows} sentences of {len(TOPIC_MODULES)} topics in {parsed.path}")
    return 0


if __name__ == "__main__":
    sys.exit(main())

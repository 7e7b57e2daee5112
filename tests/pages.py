"""What tests of a report share: a page read back, and a name that tries everything."""

from __future__ import annotations

from html.parser import HTMLParser
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

HOSTILE = "<script>alert(1)</script>/\"'onload=x&amp;$\\frac{a}{b}$\u202eb\x1b[2J{{7*7}}"
VOID = {"meta", "br", "use", "path", "img", "link", "input", "hr"}


# What an attacker would call a model: it ends the script, and brings another.
INERT = "</script><img src=x onerror=\"document.title='owned'\"><script>document.title='owned'</script><!--"


class Page(HTMLParser):
    """Reads a page: its tags with their attributes, its scripts, and whether each tag that opens is closed in order."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.text = ""
        self.scripts: list[str] = []
        self.open: list[str] = []
        self.feed(path.read_text(encoding="utf-8"))
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, {name: value or "" for name, value in attrs}))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, {name: value or "" for name, value in attrs}))

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open[-1:] == ["script"]:
            self.scripts.append(data)
        elif self.open[-1:] != ["style"]:
            self.text += data

    def count(self, tag: str) -> int:
        return sum(name == tag for name, _ in self.tags)

"""The site is built without a warning, asks nothing of the network, and is searched without a server."""

from __future__ import annotations

import re
import subprocess
import sys
from html.parser import HTMLParser
from typing import TYPE_CHECKING

import pytest

from tests.chromium import needs_chromium, start_chromium
from tests.documented import CHECKOUT
from tests.searches import eventually

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.slow
for _needed in ("sphinx", "furo", "myst_parser"):
    pytest.importorskip(_needed)


def build(source: Path, out: Path) -> subprocess.CompletedProcess[str]:
    """As `make docs` builds."""
    makefile = (CHECKOUT / "Makefile").read_text(encoding="utf-8")
    options = re.search(r"sphinx-build (.*) -c docs -d \S+ \. \S+\n", makefile)
    assert options is not None
    places = ["-c", str(CHECKOUT / "docs"), "-d", str(out.parent / "doctrees"), str(source), str(out)]
    command = [sys.executable, "-m", "sphinx", *options[1].split(), *places]
    return subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("site") / "site"
    done = build(CHECKOUT, out)
    assert (done.returncode, done.stderr) == (0, "")
    return out


class Fetched(HTMLParser):
    """What a browser fetches by itself for a page: the addresses of everything but plain links."""

    def __init__(self) -> None:
        super().__init__()
        self.addresses: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag != "a":
            self.addresses += [
                value or "" for name, value in attrs if name in {"src", "href", "data", "srcset"}
            ]


def test_a_page_fetches_nothing_from_elsewhere(site: Path) -> None:
    pages, sheets = list(site.rglob("*.html")), list(site.rglob("*.css"))
    assert len(pages) > 20
    for page in pages:
        fetched = Fetched()
        fetched.feed(page.read_text(encoding="utf-8"))
        assert [address for address in fetched.addresses if "//" in address] == [], page
    for sheet in sheets:
        text = sheet.read_text(encoding="utf-8")
        assert not re.search(r"""(?:url\(|@import)\s*["']?(?:https?:)?//""", text), sheet


def test_every_page_of_the_checkout_is_on_the_site_but_the_readme(site: Path) -> None:
    """A page in no list of pages would have failed the build."""
    listed = subprocess.run(
        ["git", "ls-files", "--", "*.md"], cwd=CHECKOUT, check=True, capture_output=True, text=True
    ).stdout.split()
    left_out = {name for name in listed if not (site / name).with_suffix(".html").is_file()}
    assert {name for name in left_out if not name.startswith("tests/")} == {"README.md"}


def test_the_reference_shows_docstrings_and_signatures(site: Path) -> None:
    text = re.sub(r"<[^>]+>", "", (site / "docs/reference/data.html").read_text(encoding="utf-8"))
    assert "landmark_rows(rows, *, landmarks=LANDMARKS)" in text.replace(": int", "").replace(" = ", "=")
    assert "floor(|D| / 2^(K-k))" in text


@needs_chromium
def test_the_site_is_searched_from_the_disk(site: Path, tmp_path: Path) -> None:
    browser = start_chromium(tmp_path / "profile")
    try:
        browser.get((site / "index.html").as_uri())
        eventually(lambda: browser.title.startswith("LAMPS"), what="the first page")
        browser.get((site / "search.html").as_uri() + "?q=hypervolume")
        found = "return [...document.querySelectorAll('#search-results li a')].map(link => link.href)"
        eventually(lambda: len(browser.execute_script(found)) > 3, what="results")
        assert any("how-it-works" in link for link in browser.execute_script(found))
    finally:
        browser.quit()


def test_links_that_lead_nowhere_fail_the_build(tmp_path: Path) -> None:
    (tmp_path / "source" / "docs").mkdir(parents=True)
    broken = "[gone](gone.md)\n\n[gone](#no-such-heading)\n\n![gone](gone.svg)\n"
    (tmp_path / "source" / "docs" / "index.md").write_text(f"# Title\n\n{broken}")
    done = build(tmp_path / "source", tmp_path / "out")
    assert done.returncode != 0
    assert [word for word in ("'gone.md'", "no-such-heading", "gone.svg") if word not in done.stderr] == []

"""The page on the architecture knows every module there is, and none that is not."""

from __future__ import annotations

import re

from tests.documented import CHECKOUT

PAGE = CHECKOUT / "docs" / "architecture.md"
PACKAGE = CHECKOUT / "lamps_core"


def named_modules() -> set[str]:
    """Modules of `lamps_core` in the first column of the page's table; `.oracle` is in the package named before it."""
    table = PAGE.read_text(encoding="utf-8").split("## Modules of lamps_core")[1]
    named: set[str] = set()
    package = ""
    for cell in re.findall(r"^\| (`[^|]+) \|", table, flags=re.MULTILINE):
        for name in re.findall(r"`([\w.]+)`", cell):
            whole = package + name if name.startswith(".") else name
            package = whole.rpartition(".")[0]
            named.add(whole)
    return named


def modules() -> set[str]:
    """Modules of `lamps_core` as they are imported from it, without its packages themselves."""
    paths = [path.relative_to(PACKAGE).with_suffix("") for path in PACKAGE.rglob("*.py")]
    return {".".join(path.parts) for path in paths if path.name != "__init__"}


def packages() -> set[str]:
    """Packages of `lamps_core`."""
    return {path.parent.name for path in PACKAGE.glob("*/__init__.py")}


def test_every_module_of_lamps_core_is_named_and_no_other() -> None:
    assert modules() - named_modules() == set()
    assert named_modules() - modules() <= packages()

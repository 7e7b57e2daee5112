"""The page on the architecture knows every module there is, and none that is not."""

from __future__ import annotations

import re

from tests.documented import CHECKOUT

PAGE = CHECKOUT / "docs" / "architecture.md"
PACKAGE = CHECKOUT / "lamps_core"


def named_modules() -> set[str]:
    """Modules of `lamps_core` in the first columns of the page's tables, below the headings of their packages."""
    tables = PAGE.read_text(encoding="utf-8").split("## Modules of lamps_core")[1]
    named: set[str] = set()
    package = ""
    for heading, cell in re.findall(r"^(?:### `(\w+)`|\| (`[^|]+) \|)", tables, flags=re.MULTILINE):
        package = f"{heading}." if heading else package
        named |= {package + name for name in re.findall(r"`(\w+)`", cell)}
    return named


def modules() -> set[str]:
    """Modules of `lamps_core` as they are imported from it, without its packages themselves."""
    paths = [path.relative_to(PACKAGE).with_suffix("") for path in PACKAGE.rglob("*.py")]
    return {".".join(path.parts) for path in paths if path.name != "__init__"}


def test_every_module_of_lamps_core_is_named_and_no_other() -> None:
    assert named_modules() == modules()

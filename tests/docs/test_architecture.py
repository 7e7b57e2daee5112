"""The page on the architecture knows every module there is, and none that is not; imports keep to its order."""

from __future__ import annotations

import ast
import re
from typing import TYPE_CHECKING

from tests.documented import CHECKOUT

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PAGE = CHECKOUT / "docs" / "architecture.md"
PACKAGE = CHECKOUT / "lamps_core"
OF_NONE = {  # what the modules that stand in no package know of those that do
    ("meta_dataset", "curves"), ("objectives", "curves"), ("replay", "policies"), ("tracking", "curves"),
    ("tracking", "workers"),
}  # fmt: skip
WRITE_THEIR_PAGES = {"search.run", "campaign.run", "evaluation.run"}


def named() -> list[tuple[str, list[str]]]:
    """Packages in the order of the page, each with its modules; first, without a name, what stands in none."""
    tables = PAGE.read_text(encoding="utf-8").split("## Modules of lamps_core")[1]
    found: list[tuple[str, list[str]]] = [("", [])]
    for heading, cell in re.findall(r"^(?:### `(\w+)`|\| (`[^|]+) \|)", tables, flags=re.MULTILINE):
        if heading:
            found.append((heading, []))
        else:
            found[-1][1].extend(re.findall(r"`(\w+)`", cell))
    return found


def modules() -> dict[str, Path]:
    """Modules of `lamps_core` as they are imported from it, without its packages themselves."""
    paths = [path for path in PACKAGE.rglob("*.py") if path.name != "__init__.py"]
    return {".".join(path.relative_to(PACKAGE).with_suffix("").parts): path for path in paths}


def imported(code: ast.AST) -> Iterator[str]:
    """What runs when the code runs names of `lamps_core`, in functions, too; what only a type checker reads is none."""
    for node in ast.iter_child_nodes(code):
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            continue
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("lamps_core"):
            module = (node.module or "").removeprefix("lamps_core").removeprefix(".")
            yield from (f"{module}.{name.name}".strip(".") for name in node.names)
        yield from imported(node)


def test_every_module_of_lamps_core_is_named_and_no_other() -> None:
    names = [f"{package}.{module}".strip(".") for package, inside in named() for module in inside]
    assert sorted(names) == sorted(modules())


def test_what_stands_in_no_package_knows_next_to_nothing_of_packages() -> None:
    packages = {package for package, _ in named() if package}
    known = {
        (name, one.split(".")[0])
        for name, path in modules().items()
        if "." not in name
        for one in imported(ast.parse(path.read_text(encoding="utf-8")))
    }
    assert {(name, package) for name, package in known if package in packages} == OF_NONE


def test_a_package_imports_from_those_above_it_on_the_page() -> None:
    order = [package for package, _ in named()]
    upward = {
        (name, package)
        for name, path in modules().items()
        if "." in name
        for one in imported(ast.parse(path.read_text(encoding="utf-8")))
        if (package := one.split(".")[0]) in order and order.index(package) > order.index(name.split(".")[0])
    }
    assert upward == {(name, "reports") for name in WRITE_THEIR_PAGES}


def test_what_flows_has_beside_those_of_commands_is_named() -> None:
    from lamps_cli.main import cli

    commands = {name.replace("-", "_") for name in cli.commands}
    modules = {path.stem for path in (CHECKOUT / "flows").glob("*.py")} - commands - {"__init__"}
    sentence = PAGE.read_text(encoding="utf-8").partition("`flows/` has ")[2].partition("`deployments/`")[0]
    assert set(re.findall(r"`(\w+)` \(", sentence)) == modules

"""How Sphinx makes the site: `make docs`.

The sources are the pages of the whole checkout, so that a link between two of them is right on the site and in the
checkout alike. Nothing is fetched, neither by the build nor by the pages.
"""

from __future__ import annotations

from importlib.metadata import version as installed
from typing import Any

project = "LAMPS"
version = release = installed("lamps")
root_doc = "docs/index"

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
include_patterns = [
    "CHANGELOG.md",
    "benchmarks/README.md",
    "data/**.md",
    "deployments/README.md",
    "docs/**.md",
]
exclude_patterns = [".*", "build", "dist", "runs"]

myst_heading_anchors = 3  # links to headings work as in a checkout's viewer

autodoc_member_order = "bysource"
autodoc_preserve_defaults = True
autodoc_type_aliases = {"Positive": "Positive", "Price": "Price"}  # numbers of the forms, with their limits
add_module_names = False
maximum_signature_line_length = 90
napoleon_numpy_docstring = False
default_role = "literal"  # docstrings mark code by one backtick

html_theme = "furo"
html_title = f"LAMPS {release}"
html_show_copyright = False
html_show_sphinx = False
html_copy_source = False
html_extra_path = ["site-root"]  # a page that leads to the first one


def escape_bars(_app: Any, _what: str, _name: str, _object: Any, _options: Any, lines: list[str]) -> None:
    """`|X|` in a docstring is a number of elements, and no substitution of reStructuredText."""
    lines[:] = [line if line.lstrip().startswith((">>>", "...")) else _escaped(line) for line in lines]


def _escaped(line: str) -> str:
    """The line with every `|` escaped that stands in no code."""
    parts = line.split("`")
    return "`".join(part.replace("|", r"\|") if place % 2 == 0 else part for place, part in enumerate(parts))


def setup(app: Any) -> None:
    """What Sphinx calls."""
    app.connect("autodoc-process-docstring", escape_bars)

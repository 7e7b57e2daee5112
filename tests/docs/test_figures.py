"""The figures of the pages are what the command draws from the curves that ship."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from docs import figures
from tests.commands import check_command

if TYPE_CHECKING:
    from pathlib import Path


def told(svg: Path) -> list[str]:
    """Titles, texts and what a pointer is told: all but where things lie, which hangs on matplotlib's version."""
    return re.findall(r"<(?:title|text|desc)[^>]*>([^<]*)<", svg.read_text(encoding="utf-8"))


def test_the_figures_of_curves_are_those_of_the_shipped_ones(tmp_path: Path) -> None:
    figures.main(["--only", "1,2", "--into", str(tmp_path)])
    for name in ("front", "landmark-curves"):
        shown = told(figures.FOLDER / f"{name}.svg")
        assert len(shown) > 30
        assert shown == told(tmp_path / f"{name}.svg")


def test_the_evaluation_behind_the_others_is_one_that_lamps_takes() -> None:
    check_command([*figures.EVALUATION, "--out", "x"])
    for name, _ in figures.OF_AN_EVALUATION.values():
        shown = (figures.FOLDER / f"{name}.svg").read_text(encoding="utf-8")
        methods = figures.METHODS if name != "reward" else "distral,ppo"
        assert all(f">{method}<" in shown for method in methods.split(","))


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_the_figures_of_an_evaluation_are_drawn(tmp_path: Path) -> None:
    figures.main(["--only", "3,4,5", "--out", str(tmp_path / "out"), "--into", str(tmp_path)])
    for name, _ in figures.OF_AN_EVALUATION.values():
        assert told(tmp_path / f"{name}.svg")

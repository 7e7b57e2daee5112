"""The README's commands do what it says."""

from __future__ import annotations

import csv
import json
import re
import shlex
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.conftest import topic_rows
from tests.lamps_command import lamps

if TYPE_CHECKING:
    from tests.warm_lamps import WarmLamps

README = Path(__file__).parents[2] / "README.md"


def readme_commands() -> list[list[str]]:
    """Every `lamps` line of its shell blocks, continued lines joined."""
    blocks = re.findall(r"```bash\n(.*?)```", README.read_text(encoding="utf-8"), flags=re.DOTALL)
    lines = "\n".join(blocks).replace("\\\n", " ").splitlines()
    return [shlex.split(line, comments=True) for line in lines if line.startswith("lamps ")]


@pytest.fixture(scope="module")
def reviews(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the README's `reviews.csv` and `news.csv`, columns `text,label`."""
    folder = tmp_path_factory.mktemp("readme")
    for seed, name in enumerate(("reviews.csv", "news.csv")):
        with (folder / name).open("w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows([("text", "label"), *topic_rows(160, seed=seed)])
    return folder


def test_the_readmes_commands_are_the_ones_tested_here() -> None:
    assert [command[1] for command in readme_commands()] == [
        "search", "search", "campaign", "report",
    ]  # fmt: skip


def test_the_readmes_commands_run_in_its_order(
    reviews: Path, prefect_url: str, warm_lamps: WarmLamps
) -> None:
    search, hub_search, campaign, report = readme_commands()
    first = lamps(*search[1:], cwd=reviews, prefect_url=prefect_url)
    assert first.returncode == 0, first.stderr
    result = json.loads((reviews / "runs/reviews/result.json").read_text(encoding="utf-8"))
    assert result["front"]
    assert all(
        (reviews / "runs/reviews" / row["path"] / "model.safetensors").is_file() for row in result["front"]
    )

    again = warm_lamps(*search[1:], cwd=reviews, prefect_url=prefect_url)
    assert again.returncode == 0, again.stderr
    assert json.loads((reviews / "runs/reviews/result.json").read_text(encoding="utf-8")) == result

    offline = lamps(*hub_search[1:], cwd=reviews, prefect_url=prefect_url)
    assert offline.returncode == 2
    assert "hub" in offline.stderr
    assert not (reviews / "runs/imdb").exists()

    curves = lamps(*campaign[1:], cwd=reviews, prefect_url=prefect_url)
    assert curves.returncode == 0, curves.stderr
    assert "8 of 8 curves complete" in curves.stdout
    assert lamps(*report[1:], cwd=reviews).stdout.strip() == "runs/curves/.lamps/report.html"
    assert warm_lamps("report", "runs/reviews", cwd=reviews).stdout.strip() == "runs/reviews/report.html"

"""The commands of the README and of the guide do what they say; that they do so from a cold start, other tests show."""

from __future__ import annotations

import csv
import json
from typing import TYPE_CHECKING

import numpy as np
import pytest

from tests.conftest import topic_rows
from tests.documented import CHECKOUT, commands

if TYPE_CHECKING:
    from pathlib import Path

    from tests.warm_lamps import WarmLamps

PAGES = CHECKOUT / "README.md", CHECKOUT / "docs/guide.md"


def told_commands() -> list[list[str]]:
    """Every `lamps` line of their shell blocks."""
    return [words for page in PAGES for words in commands(page) if words[0] == "lamps"]


@pytest.fixture(scope="module")
def reviews(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the README's `reviews.csv` and `news.csv`, columns `text,label`.

    Their labels have nothing to do with their texts, so that curves end early.
    """
    folder = tmp_path_factory.mktemp("readme")
    for seed, name in enumerate(("reviews.csv", "news.csv")):
        texts, labels = zip(*topic_rows(160, seed=seed), strict=True)
        shuffled = np.random.default_rng(seed).permutation(labels)
        with (folder / name).open("w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows([("text", "label"), *zip(texts, shuffled, strict=True)])
    return folder


def test_the_commands_are_the_ones_tested_here() -> None:
    assert [command[1] for command in told_commands()] == [
        "search", "search", "campaign", "report", "train-policy", "evaluate", "search",
    ]  # fmt: skip


SEARCH, HUB_SEARCH, CAMPAIGN, REPORT, TRAINING, EVALUATION, BETTER = (
    command[1:] for command in told_commands()
)


@pytest.fixture(scope="module")
def campaign(reviews: Path, prefect_url: str, warm_lamps: WarmLamps) -> Path:
    """The folder after the README's campaign."""
    curves = warm_lamps(*CAMPAIGN, cwd=reviews, prefect_url=prefect_url)
    assert curves.returncode == 0, curves.stderr
    assert "8 of 8 curves complete" in curves.stdout
    return reviews


def test_the_readmes_searches_run(reviews: Path, prefect_url: str, warm_lamps: WarmLamps) -> None:
    first = warm_lamps(*SEARCH, cwd=reviews, prefect_url=prefect_url)
    assert first.returncode == 0, first.stderr
    result = json.loads((reviews / "runs/reviews/result.json").read_text(encoding="utf-8"))
    assert result["front"]
    assert all(
        (reviews / "runs/reviews" / row["path"] / "model.safetensors").is_file() for row in result["front"]
    )
    assert warm_lamps("report", "runs/reviews", cwd=reviews).stdout.strip() == "runs/reviews/report.html"

    again = warm_lamps(*SEARCH, cwd=reviews, prefect_url=prefect_url)
    assert again.returncode == 0, again.stderr
    assert json.loads((reviews / "runs/reviews/result.json").read_text(encoding="utf-8")) == result

    offline = warm_lamps(*HUB_SEARCH, cwd=reviews, prefect_url=prefect_url)
    assert offline.returncode == 2
    assert "hub" in offline.stderr
    assert not (reviews / "runs/imdb").exists()


def test_the_campaign_is_reported_learned_from_and_searched_with(
    campaign: Path, prefect_url: str, warm_lamps: WarmLamps
) -> None:
    assert warm_lamps(*REPORT, cwd=campaign).stdout.strip() == "runs/curves/.lamps/report.html"
    trained = warm_lamps(*TRAINING, cwd=campaign, prefect_url=prefect_url)
    assert trained.returncode == 0, trained.stderr
    judged = warm_lamps(*EVALUATION, cwd=campaign, prefect_url=prefect_url)
    assert judged.returncode == 0, judged.stderr
    told = json.loads((campaign / "runs/evaluation/evaluation.json").read_text(encoding="utf-8"))
    assert {row["method"] for row in told["summary"]} >= {"oracle", "portfolio", "forecast"}
    searched = warm_lamps(*BETTER, cwd=campaign, prefect_url=prefect_url)
    assert searched.returncode == 0, searched.stderr
    result = json.loads((campaign / "runs/better/result.json").read_text(encoding="utf-8"))
    assert result["policy"] == "policy"
    assert result["front"]

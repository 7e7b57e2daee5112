"""A person fills in the forms of the Prefect UI: a campaign and a search, from the page to the files."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.campaigns import STEPS_EACH, rows_of, write_datasets
from tests.chromium import needs_chromium
from tests.prefect_browser import PrefectBrowser
from tests.prefect_server import WITH_UI, PrefectServer
from tests.prefect_site import PrefectSite
from tests.searches import MODELS, OBJECTIVES, TINY, eventually

if TYPE_CHECKING:
    from collections.abc import Iterator

RUN_SECONDS = 240.0

pytestmark = [
    pytest.mark.slow,
    needs_chromium,
]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrefectSite]:
    """A server with its UI, a process work pool, the checkout's deployments and a worker."""
    server = PrefectServer(tmp_path_factory.mktemp("server"), environment=WITH_UI)
    server.start()
    try:
        with PrefectSite(server.url, tmp_path_factory.mktemp("site")) as site:
            site.start_worker()
            yield site
    finally:
        server.kill()


@pytest.fixture
def browser(site: PrefectSite, tmp_path: Path) -> Iterator[PrefectBrowser]:
    pictures = Path(os.environ.get("LAMPS_SCREENSHOTS") or tmp_path / "pictures")
    with PrefectBrowser(site.url.removesuffix("/api"), tmp_path / "profile", pictures) as browser:
        yield browser


def open_form(browser: PrefectBrowser, name: str) -> None:
    """From the front page to a deployment's form."""
    browser.open()
    browser.click("Deployments")
    browser.click(name)
    browser.click("Run")
    browser.click("Custom run")
    browser.see("Enforce Parameter Schema")  # the end of the form


def submit(site: PrefectSite, browser: PrefectBrowser, name: str) -> None:
    """Send the form, and open the run that came of it."""
    before = runs_of(site, name)
    assert browser.complaints() == {}
    browser.click("Submit")
    browser.picture(f"{name}-submitted")
    started = eventually(lambda: runs_of(site, name) - before, what="a run of what was filled in")
    browser.open(f"/v2/runs/flow-run/{started.pop()}")


def see_completed(browser: PrefectBrowser) -> None:
    """The state beside the name of the run, which is drawn anew when it changes."""
    browser.see_badge("Completed", seconds=RUN_SECONDS)
    browser.see("Finished in state Completed()")  # the steps, in the log, which comes a moment later


def runs_of(site: PrefectSite, name: str) -> set[str]:
    found = site.api("POST", "/flow_runs/filter", {"flows": {"name": {"any_": [name]}}}).json()
    return {run["id"] for run in found}


def test_a_campaign_is_filled_in_submitted_and_seen_to_end(
    site: PrefectSite, browser: PrefectBrowser, tmp_path: Path
) -> None:
    open_form(browser, "campaign")
    schema = site.deployment("campaign")["parameter_openapi_schema"]["properties"]
    assert browser.described() == {name: field["description"] for name, field in schema.items()}
    browser.picture("campaign-empty-form")
    browser.type_into("datasets", write_datasets(tmp_path))
    browser.type_into("models", MODELS)
    browser.type_into("curves", str(tmp_path / "curves"))
    browser.type_into("input_col", "phrase")
    browser.type_into("target_col", "topic")
    browser.type_into("max_train_rows", "60")
    browser.type_into("learning_rate", "0.001")
    browser.type_into("landmarks", "2")
    browser.type_into("max_epochs", "2")
    browser.choose("precision", "fp32")
    browser.picture("campaign-filled-form")
    submit(site, browser, "campaign")
    see_completed(browser)
    browser.picture("campaign-completed")

    rows = rows_of(tmp_path / "curves")
    assert len(rows) == 4 * STEPS_EACH
    assert sum(row["complete"] for row in rows) == 4
    assert max(row["train_rows"] for row in rows) <= 60


def test_a_search_is_filled_in_submitted_and_leaves_a_front(
    site: PrefectSite, browser: PrefectBrowser, tmp_path: Path, topics_csv: Path
) -> None:
    open_form(browser, "search")
    browser.type_into("dataset", str(topics_csv))
    browser.type_into("input_col", "phrase")
    browser.type_into("target_col", "topic")
    browser.type_into("out", str(tmp_path / "out"))
    browser.type_into("models", MODELS)
    browser.type_into("budget", "100steps")
    browser.type_into("objectives", OBJECTIVES)
    browser.type_into("landmarks", "2")
    browser.type_into("max_epochs", "2")
    browser.picture("search-filled-form")
    submit(site, browser, "search")
    see_completed(browser)
    browser.picture("search-completed")

    result = json.loads((tmp_path / "out" / "result.json").read_text())
    assert {row["model"] for row in result["front"]} <= set(MODELS.split(","))
    assert result["front"]
    assert (result["budget"], result["objectives"]) == ("100steps", OBJECTIVES.split(","))


def test_a_form_with_a_gap_or_a_bad_number_is_not_sent_and_says_where(
    site: PrefectSite, browser: PrefectBrowser
) -> None:
    before = site.api("POST", "/flow_runs/count", {}).json()
    open_form(browser, "campaign")
    browser.type_into("models", TINY)
    browser.type_into("landmarks", "0")
    assert browser.complaints() == {"landmarks": "Value must be greater than or equal to 1."}
    browser.type_into("landmarks", "2")
    browser.click("Submit")
    browser.see("required")
    browser.picture("campaign-refused")
    assert site.api("POST", "/flow_runs/count", {}).json() == before

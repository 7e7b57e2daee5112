"""A person reads a report in a real browser: points, brushes, sets bounds, uses the keyboard, a phone, the dark."""

from __future__ import annotations

import itertools
import json
import random
import re
from typing import TYPE_CHECKING, Any

import pytest
from selenium.webdriver.common.keys import Keys

from lamps_core.evaluation.request import EvaluationRequest
from lamps_core.evaluation.run import EvaluationRun
from lamps_core.evaluation.unit import run_unit
from lamps_core.front import feasible, non_dominated
from lamps_core.objectives import parse_objectives
from lamps_core.quantities import number, parameters
from lamps_core.reports.writer import write_report
from lamps_core.search.record import read_search
from tests.chromium import needs_chromium
from tests.dask_cluster import free_port
from tests.lamps_core.reports.test_writer import search_folder
from tests.meta_datasets import family_rows, write_meta_dataset
from tests.pages import INERT
from tests.report_browser import ReportBrowser
from tests.searches import BETTER, TINY, foreign_model, quick_request, run_to_the_end
from tests.simulated_search import BROKEN, REASON, simulated_search

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from lamps_core.search.algorithm import Search

pytestmark = needs_chromium

COMMAND = "lamps search --dataset 'my topics.csv' --input-col phrase --out out"
EXPLORED = "return document.body.classList.contains('explored')"
PICKING = "return document.body.classList.contains('picking')"
GROUND = "return getComputedStyle(document.body).backgroundColor"
ROWS = (
    "return [...document.querySelectorAll('table.all tbody tr')]"
    ".map(row => [...row.cells].map(cell => cell.textContent))"
)


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ReportBrowser]:
    with ReportBrowser(tmp_path_factory.mktemp("profile")) as browser:
        yield browser


@pytest.fixture(scope="module")
def searched(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Search]:
    """The page of a search over 71 candidates and more than a thousand steps: most complete, some not, one failed."""
    folder = tmp_path_factory.mktemp("searched")
    search = simulated_search(folder, policy="zigzag", budget="1100steps", command=COMMAND)
    assert search.steps == 1100
    return write_report(folder), search


@pytest.fixture
def page(searched: tuple[Path, Search]) -> Path:
    return searched[0]


@pytest.fixture(scope="module")
def campaign(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of a campaign on two datasets."""
    return write_report(write_meta_dataset(tmp_path_factory.mktemp("campaign"), family_rows(2, 6)))


@pytest.fixture(scope="module")
def evaluation(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of an evaluation of two orders on two held-out datasets."""
    folder = tmp_path_factory.mktemp("evaluation")
    curves = write_meta_dataset(folder / "curves", family_rows(2, 5))
    asked = EvaluationRequest(
        curves=curves,
        out=folder / "out",
        methods=("cheapest", "zigzag"),
        repeats=1,
        objectives=parse_objectives("test_loss,train_seconds"),
    )
    run = EvaluationRun(asked)
    with run.opened():
        while (started := run.ask()) is not None:
            key, unit = started
            run.tell(key, run_unit(run.tasks, unit, folder=run.training_folder(key)))
        run.finish(run.result())
    return folder / "out" / "report.html"


def shown_front(browser: ReportBrowser) -> list[str]:
    """What the explorer names, which is what the first figure marks."""
    marked = (
        "return document.querySelector('.staircase').closest('svg').querySelectorAll('.point.front').length"
    )
    names = browser.js(
        "return [...document.querySelectorAll('#explorer .chip')].map(chip => chip.textContent)"
    )
    assert browser.js(marked) == len(names)
    return sorted(names)


def front_of(search: Search, names: list[str], bounds: list[float | None]) -> list[str]:
    """By `lamps_core.front`: of these complete candidates, under bounds on loss, seconds and parameters."""
    worth = [search.values(search.candidates[name]) for name in names]
    sizes = [float(search.candidates[name].rows[0]["parameters"]) for name in names]
    limited = [[*point, size] for point, size in zip(worth, sizes, strict=True)]
    within = [index for index, kept in enumerate(feasible(limited, bounds)) if kept] if names else []
    if not within:
        return []
    kept = non_dominated([worth[index] for index in within])
    return sorted(names[index] for index, on_front in zip(within, kept, strict=True) if on_front)


def test_pointing_at_a_mark_names_the_candidate_and_its_numbers(browser: ReportBrowser, page: Path) -> None:
    browser.open(page)
    found = [item for item in read_search(page.parent).candidates if item.on_front]
    assert len(found) > 3
    for number_of_row, item in enumerate(found, start=1):
        mark = f"figure:first-of-type .point[data-candidate='{number_of_row}'] use"
        browser.point_at(browser.all(mark)[0])
        (told,) = browser.texts("#tip")
        assert told.startswith(item.name)
        for column in ("test_loss", "train_seconds"):
            assert number(column, item.objectives[column]) in told
        assert number("accuracy", item.accuracy) in told
        assert parameters(item.parameters) in told
        assert re.search(r"Spent\n.* (s|min), \$[\d.]+", told)
        assert f"{item.steps}, on up to 5,452 rows" in told


def test_a_candidate_pointed_at_is_brought_out_in_every_figure_and_table_and_no_other_is(
    browser: ReportBrowser, page: Path
) -> None:
    browser.open(page)
    row = browser.all("table.all tbody tr")[0]
    browser.point_at(row)
    lit = browser.js(
        "return [...document.querySelectorAll('.lit')].map(found => [found.dataset.candidate, found.tagName])"
    )
    assert {candidate for candidate, _ in lit} == {row.get_attribute("data-candidate")}
    assert sum(tag == "TR" for _, tag in lit) == 2  # of the front, and of all candidates
    figures = "[...document.querySelectorAll('figure')]"
    assert browser.js(f"return {figures}.map(f => f.querySelectorAll('.mark.lit').length)") == [1, 1, 1, 1]


def test_what_is_pointed_at_is_brought_out_on_every_dataset_of_a_campaign_and_of_an_evaluation(
    browser: ReportBrowser, campaign: Path, evaluation: Path
) -> None:
    for path, name in ((campaign, "candidate-05"), (evaluation, "zigzag")):
        browser.open(path)
        row = next(row for row in browser.all("table.picked tbody tr") if name in row.text)
        browser.point_at(row)
        lit = browser.js("return [...document.querySelectorAll('.mark.lit')].map(mark => mark.ariaLabel)")
        assert len(lit) == 4
        assert all(name in told for told in lit)
        browser.point_at(browser.all(".mark.point use")[0])
        assert "Test loss" in browser.texts("#tip")[0] or "Hours" in browser.texts("#tip")[0]


def test_the_front_at_any_time_and_under_any_bounds_is_the_one_that_dominance_gives(
    browser: ReportBrowser, searched: tuple[Path, Search]
) -> None:
    page, search = searched
    browser.open(page)
    outcomes = read_search(page.parent).outcomes
    spent = list(itertools.accumulate(outcome.seconds for outcome in outcomes))
    limits = json.loads(str(browser.js("return document.getElementById('data').textContent")))["limits"]
    assert [limit["title"] for limit in limits] == [
        "Test loss at most", "Training seconds at most", "Parameters at most",
    ]  # fmt: skip
    chance = random.Random(3)
    sizes = set()
    for _ in range(15):
        last = chance.choice([len(spent) - 1, chance.randrange(len(spent))])
        notches = [
            chance.choice([len(one["values"]), chance.randrange(len(one["values"]))]) for one in limits
        ]
        browser.slide(
            spent=spent[last] + 1e-3, **{f"limit_{index}": notch for index, notch in enumerate(notches)}
        )
        bounds = [
            one["values"][notch][0] if notch < len(one["values"]) else None
            for one, notch in zip(limits, notches, strict=True)
        ]
        complete = [one.candidate for one in outcomes[: last + 1] if one.record and one.record["complete"]]
        expected = front_of(search, complete, bounds)
        assert shown_front(browser) == expected
        sizes.add(len(expected))
    assert len(sizes) > 3


def test_brushing_shows_each_candidate_as_it_was_and_reset_brings_back_the_end(
    browser: ReportBrowser, page: Path
) -> None:
    browser.open(page)
    before = browser.js(ROWS)
    outcomes = read_search(page.parent).outcomes
    half = outcomes[: len(outcomes) // 2]
    browser.slide(spent=sum(outcome.seconds for outcome in half) + 1e-3)
    done: dict[str, list[dict[str, Any]]] = {}
    for outcome in half:
        if outcome.record is not None:
            done.setdefault(outcome.candidate, []).append(outcome.record)
    rows = {cells[1]: cells for cells in browser.js(ROWS)}
    assert len(rows) == 71
    assert rows[BROKEN][2] == "failed"
    for name, records in done.items():
        _, _, state, steps, loss, *_ = rows[name]
        assert (steps, loss) == (str(len(records)), number("test_loss", records[-1]["test_loss"]))
        assert (state == "not complete") == (not records[-1]["complete"])
    lengths = browser.js(
        "return [...document.querySelector('svg:has(.curve)').querySelectorAll('.curve:not(.absent)')]"
        ".map(c => [c.dataset.candidate, c.querySelector(':scope > path').getAttribute('d').match(/[ML]/g).length])"
    )
    names = [cells[1] for cells in before]
    assert {names[int(candidate) - 1]: length for candidate, length in lengths} == {
        name: len(records) for name, records in done.items()
    }
    browser.all("#reset")[0].click()
    assert browser.js(EXPLORED) is False
    assert browser.js(ROWS) == before


def test_the_table_says_why_a_candidate_is_not_on_the_front(browser: ReportBrowser, page: Path) -> None:
    browser.open(page)
    search = read_search(page.parent)
    rows = {cells[1]: cells[2] for cells in browser.js(ROWS)}
    front = [item for item in search.candidates if item.on_front]
    assert REASON in rows[BROKEN]
    dominated = [item for item in search.candidates if item.complete and not item.on_front]
    assert len(dominated) > 10
    for item in dominated:
        by = [
            other.name
            for other in front
            if all(other.objectives[name] <= item.objectives[name] for name in search.objectives)
        ]
        assert f"dominated by {by[0]}" in rows[item.name]


@pytest.mark.slow
def test_everything_is_reached_with_the_keyboard_and_the_focus_is_seen(
    browser: ReportBrowser, page: Path
) -> None:
    browser.open(page)
    browser.slide(limit_1=3)  # what there is to reset can be reset
    active = (
        "const at = document.activeElement, ring = at.closest('svg')?.querySelector('.ring:not([visibility=hidden])');"
        "const seen = Boolean(ring) || getComputedStyle(at).outlineStyle !== 'none';"
        "return [at === document.body, `${at.id} ${at.getAttribute('class') ?? ''}`, seen];"
    )
    stops = []
    for _ in range(60):
        browser.press(Keys.TAB)
        at_the_end, name, focus_is_seen = browser.js(active)
        if at_the_end:
            break
        assert focus_is_seen, name
        stops.append(name)
    else:
        pytest.fail("the focus goes round and round")
    for part in (
        "skip",
        "theme",
        "spent",
        "limit-0",
        "chip",
        "reset",
        "mark point",
        "curve",
        " lit",
        "tool",
    ):
        assert any(part in name for name in stops), (part, stops)
    # A figure's marks and a table's rows are one stop, however many there are.
    assert sum("mark" in name for name in stops) == len(browser.all("figure"))


@pytest.mark.slow
def test_arrows_walk_along_a_curve_enter_keeps_a_candidate_and_escape_lets_it_go(
    browser: ReportBrowser, page: Path
) -> None:
    browser.open(page)
    browser.js("document.querySelector('.curve.mark.front').focus()")
    (last,) = browser.texts("#tip")
    browser.press(Keys.ARROW_LEFT)
    (earlier,) = browser.texts("#tip")
    step = re.compile(r"Step\n(\d+)")
    assert int(step.findall(last)[0]) == int(step.findall(earlier)[0]) + 1
    browser.press(Keys.ARROW_DOWN)
    (other,) = browser.texts("#tip")
    name = other.split("\n")[0]
    assert name != last.split("\n")[0]
    browser.press(Keys.ENTER)
    (row,) = browser.all("table.all tr[aria-current=true]")
    assert name in row.text
    browser.js("document.activeElement.blur()")
    assert browser.js(PICKING) is True
    browser.press(Keys.ESCAPE)
    assert browser.all("tr[aria-current=true]") == []
    assert browser.js(PICKING) is False


@pytest.mark.slow
def test_arrows_on_the_slider_go_from_step_to_step(browser: ReportBrowser, page: Path) -> None:
    browser.open(page)
    browser.js("document.getElementById('spent').focus()")
    told = []
    for _ in range(3):
        told.append(browser.js("return document.querySelector('#explorer .said p').textContent"))
        browser.press(Keys.ARROW_LEFT)
    assert [int(text.split()[0].replace(",", "")) for text in told] == [1100, 1099, 1098]


@pytest.mark.slow
def test_dragging_in_the_figure_of_progress_moves_the_slider(browser: ReportBrowser, page: Path) -> None:
    browser.open(page)
    (figure,) = browser.all("svg[data-brush]")
    browser.point_at(figure)
    figure.click()
    spent, whole = browser.js(
        "const s = document.getElementById('spent'); return [Number(s.value), Number(s.max)]"
    )
    assert spent == pytest.approx(whole * (450 - 64) / (880 - 64), rel=0.02)
    assert browser.js(EXPLORED) is True


def test_no_page_complains_asks_the_network_or_is_wider_than_a_phone(
    browser: ReportBrowser, page: Path, campaign: Path, evaluation: Path
) -> None:
    for path in (page, campaign, evaluation):
        browser.open(path, width=360, height=740)
        assert browser.overflow() == 0
        browser.point_at(browser.all(".mark.front use")[0])
        assert browser.texts("#tip") != [""]
        browser.js("document.getElementById('theme').click()")
        assert browser.overflow() == 0
        assert browser.complaints() == []
        assert browser.requested() == [path.as_uri()]


def test_the_pages_policy_forbids_the_network_and_any_script_but_its_own(
    browser: ReportBrowser, page: Path
) -> None:
    browser.open(page)
    refused = browser.driver.execute_async_script(
        "const done = arguments[0], seen = [];"
        "addEventListener('securitypolicyviolation', (event) => {"
        "  seen.push(event.effectiveDirective); if (seen.length === 3) done(seen); });"
        f"fetch('http://127.0.0.1:{free_port()}/').catch(() => 0);"
        f"new Image().src = 'http://127.0.0.1:{free_port()}/a.png';"
        "const script = document.createElement('script'); script.textContent = 'document.title = \"owned\"';"
        "document.body.append(script);"
    )
    assert sorted(directive.removesuffix("-elem") for directive in refused) == [
        "connect-src",
        "img-src",
        "script-src",
    ]
    assert browser.driver.title != "owned"


def test_a_hostile_name_is_text_wherever_it_is_shown(browser: ReportBrowser, tmp_path: Path) -> None:
    browser.open(write_report(search_folder(tmp_path, [INERT, f"{INERT}2", "last"])))
    browser.point_at(browser.all(".mark.point use")[0])
    assert INERT in browser.texts("#tip")[0]
    assert any(INERT in text for text in browser.texts("#explorer .chip"))
    assert browser.all("img, iframe, object") == []
    assert len(browser.all("script")) == 2
    assert browser.driver.title == "made-up · LAMPS"
    assert browser.complaints() == []


@pytest.mark.parametrize("dark", [False, True])
def test_every_text_has_contrast_in_light_and_in_dark(
    browser: ReportBrowser, page: Path, campaign: Path, evaluation: Path, *, dark: bool
) -> None:
    for path in (page, campaign, evaluation):
        browser.open(path, dark=dark)
        found = browser.contrasts()
        assert len(found) > 50
        assert found[0][0] >= 4.5, found[:5]
        assert (browser.js(GROUND) == "rgb(19, 21, 24)") == dark


@pytest.mark.slow
def test_the_readers_choice_of_theme_overrules_the_system_and_is_kept(
    browser: ReportBrowser, page: Path
) -> None:
    browser.open(page)
    light = browser.js(GROUND)
    theme = browser.all("#theme")[0]
    theme.click()
    theme.click()
    assert theme.text == "Theme: dark"
    dark = browser.js(GROUND)
    assert dark != light
    browser.open_again(page)
    assert browser.js(GROUND) == dark
    browser.all("#theme")[0].click()
    assert browser.js(GROUND) == light


@pytest.mark.slow
def test_without_its_script_a_page_still_says_everything(browser: ReportBrowser, page: Path) -> None:
    browser.open(page, script=False)
    (text,) = browser.texts("main")
    assert all(part in text for part in (BROKEN, REASON, COMMAND, "on the front", "dominated by"))
    figures = browser.all("figure svg")
    assert len(figures) == 4
    assert all(figure.is_displayed() for figure in figures)
    assert not any(part.is_displayed() for part in browser.all("#explorer, #theme, #tip, [data-copy]"))


@pytest.mark.slow
def test_the_command_to_run_it_again_is_copied(browser: ReportBrowser, page: Path) -> None:
    browser.open(page)
    browser.command(
        "Browser.grantPermissions", {"permissions": ["clipboardReadWrite", "clipboardSanitizedWrite"]}
    )
    (button,) = browser.all("[data-copy]")
    browser.point_at(button)
    button.click()
    copied = browser.driver.execute_async_script("navigator.clipboard.readText().then(arguments[0])")
    assert copied == COMMAND
    assert button.text == "Copied"


@pytest.mark.slow
def test_nothing_moves_for_who_asked_for_less_motion(browser: ReportBrowser, page: Path) -> None:
    browser.open(page)
    of_all = "[...document.querySelectorAll('main *')].map(e => getComputedStyle(e).transitionDuration)"
    durations = f"return [...new Set({of_all})]"
    assert browser.js(durations) != ["0s"]
    reduced = {"name": "prefers-reduced-motion", "value": "reduce"}
    browser.command("Emulation.setEmulatedMedia", {"features": [reduced]})
    assert browser.js(durations) == ["0s"]


@pytest.mark.slow
def test_on_paper_a_page_is_light_and_has_no_controls(browser: ReportBrowser, page: Path) -> None:
    browser.open(page, dark=True)
    browser.command("Emulation.setEmulatedMedia", {"media": "print"})
    assert not any(part.is_displayed() for part in browser.all("#explorer, .tool"))
    assert browser.js("return getComputedStyle(document.querySelector('h1')).color") == "rgb(31, 35, 40)"
    browser.command("Emulation.setEmulatedMedia", {"media": ""})


@pytest.mark.slow
def test_the_page_of_a_search_that_really_trained_names_numbers_and_follows_its_slider(
    browser: ReportBrowser, topics_csv: Path, tmp_path: Path
) -> None:
    models = f"{TINY},{BETTER},{foreign_model(tmp_path / 'broken')}"
    request = quick_request(topics_csv, tmp_path / "out", models=models, command=COMMAND)
    result = run_to_the_end(request)
    browser.open(tmp_path / "out" / "report.html")
    assert len(result["front"]) == 2
    assert shown_front(browser) == sorted(row["model"] for row in result["front"])
    for mark, row in zip(browser.all("figure:first-of-type .point.front use"), result["front"], strict=True):
        browser.point_at(mark)
        (told,) = browser.texts("#tip")
        assert row["model"] in told
        assert number("test_loss", row["test_loss"]) in told
    browser.slide(spent=0.0)
    assert shown_front(browser) == []
    states = {cells[1]: cells[2] for cells in browser.js(ROWS)}
    assert sorted(states.values()) == ["not complete", "not tried yet", "not tried yet"]
    assert browser.complaints() == []

"""The flows that only write a page or curves, or list something, on a real Prefect server."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from flows.campaign import campaign
from flows.datasets import datasets
from flows.doctor import doctor
from flows.fingerprint import fingerprint
from flows.models import models
from flows.report import report
from flows.simulate import simulate
from lamps_core.curves.reader import read_curves
from lamps_core.errors import BadInput, LampsError
from lamps_core.models.zoo import zoo_names
from lamps_core.registry import registered_datasets, registered_models
from tests.campaigns import write_datasets
from tests.flow_records import FlowRecord, recorded

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

pytestmark = pytest.mark.usefixtures("on_the_server")


def shown(record: FlowRecord, key: str) -> str:
    """The table of a run."""
    (table,) = [artifact.data for artifact in record.artifacts if artifact.key == key]
    assert isinstance(table, str)
    return table


def quick_campaign(folder: Path, datasets: tuple[str, ...]) -> dict[str, Any]:
    """Parameters of a campaign of one model that takes seconds."""
    columns = {"input_col": "phrase", "target_col": "topic"}
    quick = {"landmarks": 2, "max_epochs": 1}
    paths = write_datasets(folder, datasets)
    return {
        "datasets": paths,
        "models": "zoo/bert-tiny",
        "curves": str(folder / "curves"),
        **columns,
        **quick,
    }


def run(flow: Callable[..., Any], *arguments: Any, **parameters: Any) -> tuple[Any, FlowRecord]:
    """What a flow returned, and what the server holds of its run."""
    state = flow(*arguments, **parameters, return_state=True)
    return state.result(), recorded(state.state_details.flow_run_id, tasks=0)


def test_simulated_curves_are_written_once_and_get_a_page(tmp_path: Path) -> None:
    told, record = run(simulate, str(tmp_path / "curves"), seed=3)
    assert record.name == f"simulate {tmp_path / 'curves'}"
    assert told["steps"] == len(read_curves(tmp_path / "curves"))
    with pytest.raises(BadInput, match=r"already holds simulated\.parquet"):
        simulate(str(tmp_path / "curves"))
    page, _ = run(report, str(tmp_path / "curves"))
    assert page == {"report": str(tmp_path / "curves" / ".lamps" / "report.html")}
    with pytest.raises(BadInput, match="holds neither a search nor learning curves"):
        report(str(tmp_path / "nothing"))


def test_models_and_datasets_are_listed_in_a_table_beside_the_run() -> None:
    rows, record = run(models)
    assert [row["name"] for row in rows] == [*registered_models(), *zoo_names()]
    assert "| name | family | parameters | languages | licence | gated |" in shown(record, "lamps-models")
    assert "| zoo/bert-tiny | bert |" in shown(record, "lamps-models")
    rows, record = run(datasets)
    assert [row["name"] for row in rows] == list(registered_datasets())
    assert "| mmlu | cais/mmlu:all |" in shown(record, "lamps-datasets")


def test_checked_models_say_that_the_hub_is_out_of_reach_and_whether_they_fit() -> None:
    rows, record = run(models, check=True)
    found = {row["name"]: row for row in rows}
    assert found["zoo/bert-tiny"]["hub"] == {"ok": True, "found": "zoo: needs no hub"}
    assert found["openai-community/gpt2"]["hub"]["ok"] is None
    assert "| ok | zoo/bert-tiny | zoo: needs no hub | fits |" in shown(record, "lamps-models")


def test_the_doctor_shows_what_he_found_and_fails_where_something_does_not_work(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    rows, record = run(doctor)
    assert {row["ok"] for row in rows} <= {True, None}
    assert "| ok | Python |" in shown(record, "lamps-doctor")
    monkeypatch.setenv("LAMPS_CACHE", "/proc/none")
    with pytest.raises(LampsError, match="does not work: Disk: LAMPS cache"):
        doctor()


def test_a_plan_of_a_campaign_runs_nothing_and_is_a_table_beside_the_run(tmp_path: Path) -> None:
    told, record = run(campaign, **quick_campaign(tmp_path, ("first", "second")), plan=True)
    assert {(row["dataset"], row["model"]) for row in told["to_run"]} == {
        ("first", "zoo/bert-tiny"),
        ("second", "zoo/bert-tiny"),
    }
    assert not list((tmp_path / "curves").rglob("*.parquet"))
    table = shown(record, "lamps-plan")
    assert "- 2 curves asked for: 0 done or failed before, 2 to run" in table
    assert "| zoo/bert-tiny | first | 0 | 0 |" in table


def test_a_fingerprint_is_planned_as_well(tmp_path: Path) -> None:
    campaign(**quick_campaign(tmp_path, ("first",)))
    before = sorted((tmp_path / "curves").rglob("*"))
    told, record = run(fingerprint, "zoo/gpt2-tiny", str(tmp_path / "curves"), plan=True)
    assert [row["model"] for row in told["to_run"]] == ["zoo/gpt2-tiny"]
    assert "| zoo/gpt2-tiny | first |" in shown(record, "lamps-plan")
    assert sorted((tmp_path / "curves").rglob("*")) == before

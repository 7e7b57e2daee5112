"""`prefect deploy --all` of the checkout's prefect.yaml on a real server, as its API tells."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from lamps_cli.main import cli
from tests.prefect_site import CHECKOUT, PrefectSite

if TYPE_CHECKING:
    from collections.abc import Iterator

NEEDED: dict[str, dict[str, Any]] = {
    "campaign": {"datasets": "reviews.csv", "models": "zoo/bert-tiny", "curves": "/tmp/curves"},
    "evaluate": {"curves": "/tmp/curves", "out": "/tmp/out"},
    "fingerprint": {"model": "zoo/bert-tiny", "curves": "/tmp/curves"},
    "push": {"place": "/tmp/out", "target": "org/name"},
    "search": {"dataset": "reviews.csv", "input_col": "text", "target_col": "label", "out": "/tmp/out"},
    "train-policy": {"curves": "/tmp/curves", "out": "/tmp/policy"},
    "report": {"folder": "/tmp/out"},
    "simulate": {"out": "/tmp/out"},
    "models": {},
    "datasets": {},
    "doctor": {},
}
FLOWS = tuple(NEEDED)


@pytest.fixture(scope="module")
def site(prefect_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrefectSite]:
    with PrefectSite(prefect_url, tmp_path_factory.mktemp("site")) as site:
        yield site


def test_every_command_can_be_run_from_the_ui() -> None:
    assert set(cli.commands) == set(FLOWS)


@pytest.mark.parametrize("name", FLOWS)
def test_a_deployment_is_as_the_checkout_says(site: PrefectSite, name: str) -> None:
    found = site.deployment(name)
    module = name.replace("-", "_")
    assert found["entrypoint"] == f"flows/{module}.py:{module}"
    assert found["pull_steps"] == [
        {"prefect.deployments.steps.set_working_directory": {"directory": str(CHECKOUT)}}
    ]
    assert found["work_pool_name"] == "lamps"
    assert set(found["tags"]) == {"lamps", name}
    assert found["description"].endswith(".")
    assert found["enforce_parameter_schema"] is True
    assert found["global_concurrency_limit"]["limit"] == 1
    assert found["concurrency_options"]["collision_strategy"] == "ENQUEUE"
    assert int(found["job_variables"]["env"]["PREFECT_FLOWS_HEARTBEAT_FREQUENCY"]) >= 30


@pytest.mark.parametrize("name", FLOWS)
def test_every_field_of_the_form_says_what_it_is(site: PrefectSite, name: str) -> None:
    schema = site.deployment(name)["parameter_openapi_schema"]
    described = {field: fact.get("description", "") for field, fact in schema["properties"].items()}
    assert [field for field, text in described.items() if len(text) < 15 or not text.endswith(".")] == []
    assert set(schema.get("required", ())) == set(NEEDED[name])
    # What the UI can edit: plain types, choices, and either of them or nothing.
    assert [field for field, fact in schema["properties"].items() if not editable(fact)] == []


def editable(fact: dict[str, Any]) -> bool:
    if "anyOf" in fact:
        kinds = [choice.get("type") for choice in fact["anyOf"]]
        return len(kinds) == 2 and kinds[1] == "null" and kinds[0] in {"string", "integer", "number"}
    return fact["type"] in {"string", "integer", "number", "boolean"}


@pytest.mark.parametrize(
    ("name", "change", "why"),
    [
        ("campaign", {"engine": "cloud"}, "'cloud' is not one of ['local', 'dask']"),
        ("campaign", {"landmarks": "many"}, "'many' is not of type 'integer'"),
        ("campaign", {"landmarks": 0}, "0 is less than the minimum of 1"),
        ("campaign", {"gpu_hour_price": -1}, "-1 is less than or equal to the minimum of 0"),
        ("campaign", {"max_train_rows": 1.5}, "1.5 is not valid"),
        ("fingerprint", {"retry_failed": "perhaps"}, "'perhaps' is not of type 'boolean'"),
        ("evaluate", {"folds": "kfold"}, "'loo' was expected"),
        ("evaluate", {"repeats": 0}, "0 is less than the minimum of 1"),
        ("search", {"precision": "fp8"}, "'fp8' is not one of ['auto', 'fp32', 'bf16']"),
        (
            "train-policy",
            {"algorithm": "sarsa"},
            "'sarsa' is not one of ['forecast', 'distral', 'ppo', 'universal']",
        ),
        ("search", {"max_epochs": None}, "None is not of type 'integer'"),
    ],
)
def test_a_bad_value_is_refused_by_the_name_of_its_field(
    site: PrefectSite, name: str, change: dict[str, Any], why: str
) -> None:
    (field,) = change
    answer = site.submit(name, **(NEEDED[name] | change))
    assert answer.status_code == 409
    assert f"Validation failed for field '{field}'" in answer.json()["detail"]
    assert why in answer.json()["detail"]


@pytest.mark.parametrize("name", [name for name in FLOWS if NEEDED[name]])
def test_what_is_needed_is_asked_for(site: PrefectSite, name: str) -> None:
    answer = site.submit(name)
    assert answer.status_code == 409
    assert "is a required property" in answer.json()["detail"]


def test_the_nightly_campaign_is_off_and_knows_all_that_it_needs(site: PrefectSite) -> None:
    (schedule,) = site.deployment("campaign")["schedules"]
    assert schedule["active"] is False
    assert schedule["schedule"]["cron"] == "0 2 * * *"
    assert set(schedule["parameters"]) == set(NEEDED["campaign"])
    assert all(site.deployment(name)["schedules"] == [] for name in FLOWS if name != "campaign")


def test_deployed_again_nothing_is_there_twice(site: PrefectSite) -> None:
    site.prefect("deploy", "--all")
    lamps = {"deployments": {"tags": {"all_": ["lamps"]}}}
    assert site.api("POST", "/deployments/count", lamps).json() == len(FLOWS)
    assert len(site.deployment("campaign")["schedules"]) == 1

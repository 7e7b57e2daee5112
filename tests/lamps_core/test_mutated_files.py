"""Readers on files whose bytes were changed: a value or `BadInput`, and nothing else.

`make fuzz` runs it for longer: `LAMPS_FUZZ_EXAMPLES` sets how many files of each kind.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lamps_core.campaign.folder import read_record
from lamps_core.curves.reader import read_curves
from lamps_core.errors import BadInput
from lamps_core.objectives import parse_objectives
from lamps_core.policies.stopping import parse_stop_rule
from lamps_core.policy_file import read_policy
from lamps_core.search.budget import parse_budget
from lamps_core.search.record import read_search
from lamps_core.text.files import read_table
from lamps_core.text.requests import dataset_requests
from tests.lamps_core.test_older_versions import OLD
from tests.meta_datasets import curve_rows
from tests.searches import forecasting_policy

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

EXAMPLES = int(os.environ.get("LAMPS_FUZZ_EXAMPLES", "25"))
FUZZ = settings(
    max_examples=EXAMPLES,
    derandomize="LAMPS_FUZZ_EXAMPLES" not in os.environ,  # the fast run is the same every time
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
ROWS = [{"text": f"text {row}", "label": "ham"} for row in range(4)]
CAMPAIGN = {"version": 1, "id": "x", "settings": {}, "work": None, "datasets": [], "models": {"m": None}}
REQUEST = {"dataset": "a.csv", "input_columns": ["text"], "target_column": "label", "seed": 0}


def read_yaml(path: Path) -> None:
    dataset_requests(str(path), input_col=None, target_col=None, max_train_rows=None, seed=0)


def read_campaign(path: Path) -> None:
    read_record(str(path.parents[1]))


def read_search_of(path: Path) -> None:
    read_search(path.parent)


READERS: dict[str, Callable[[Path], object]] = {
    "rows.csv": read_table,
    "rows.jsonl": read_table,
    "rows.json": read_table,
    "rows.parquet": read_table,
    "curve.parquet": read_curves,
    "policy.zip": read_policy,
    "policy/policy.json": lambda path: read_policy(path.parent),
    "policy/weights.safetensors": lambda path: read_policy(path.parent),
    "datasets.yaml": read_yaml,
    "curves/.lamps/campaign.json": read_campaign,
    "unfinished/journal.jsonl": read_search_of,
    "finished/result.json": read_search_of,
}


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a file for each reader."""
    folder = tmp_path_factory.mktemp("sound")
    (folder / "rows.csv").write_text("text,label\n" + "".join(f'"{row["text"]}",ham\n' for row in ROWS))
    (folder / "rows.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in ROWS))
    (folder / "rows.json").write_text(json.dumps(ROWS))
    pq.write_table(pa.Table.from_pylist(ROWS), folder / "rows.parquet")
    pq.write_table(pa.Table.from_pylist(curve_rows("a", "m", losses=[1.0, 0.5])), folder / "curve.parquet")
    shutil.copy(forecasting_policy(folder / "made"), folder / "policy.zip")
    shutil.unpack_archive(folder / "policy.zip", folder / "policy")
    entry = "{path: rows.csv, input_columns: [text], target_column: label}"
    (folder / "datasets.yaml").write_text(f"datasets:\n  reviews: {entry}\n")
    (folder / "curves" / ".lamps").mkdir(parents=True)
    named = [{"name": "a", "request": REQUEST, "fingerprint": "f"}]
    (folder / "curves/.lamps/campaign.json").write_text(json.dumps(CAMPAIGN | {"datasets": named}))
    shutil.copytree(OLD, folder / "finished")
    shutil.copytree(OLD, folder / "unfinished", ignore=shutil.ignore_patterns("result.json"))
    return folder


@st.composite
def mutated(draw: st.DrawFn, content: bytes) -> bytes:
    """Bytes changed, left out, doubled or put in at one to four places."""
    pieces = st.binary(max_size=6) | st.sampled_from(
        [b"null", b"-1", b"1e999", b"NaN", b"[]", b"{}", b'""', b"\n", b"true", b"\xff\xfe", b"9" * 40]
    )
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(content)))
        content = content[:start] + draw(pieces) + content[start + draw(st.integers(0, 12)) :]
    return content


@pytest.mark.parametrize("name", READERS)
@FUZZ
@given(data=st.data())
def test_a_changed_file_gives_a_value_or_is_refused(name: str, sound: Path, data: st.DataObject) -> None:
    path = sound / name
    content = path.read_bytes()
    before = {*sound.rglob("*")}
    try:
        path.write_bytes(data.draw(mutated(content)))
        with contextlib.suppress(BadInput):
            READERS[name](path)
    finally:
        path.write_bytes(content)
    assert {*sound.rglob("*")} == before


@FUZZ
@given(text=st.text(max_size=30) | st.from_regex(r"[-$0-9a-z.,=%/ ]{0,30}", fullmatch=True))
def test_any_text_is_a_budget_an_objective_a_bound_a_threshold_or_is_refused(text: str) -> None:
    readers: tuple[Callable[[], object], ...] = (
        lambda: parse_budget(text),
        lambda: parse_objectives(text),
        lambda: parse_objectives("parameters", bounds=[text]),
        lambda: parse_objectives("parameters", bounds=[f"parameters={text}"]),
        lambda: parse_stop_rule(text),
    )
    for read in readers:
        with contextlib.suppress(BadInput):
            read()

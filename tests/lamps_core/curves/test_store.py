"""A curves folder that many write, and whose writers are killed."""

from __future__ import annotations

import multiprocessing
import os
import shutil
from functools import partial
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow.dataset
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lamps_core.curves.reader import curve_files, read_curves, read_failures
from lamps_core.curves.schema import CurveKey
from lamps_core.curves.store import CurveStore
from lamps_core.errors import BadInput
from lamps_core.files import DRAFT_SECONDS, draft_beside
from lamps_core.storage import storage_path
from tests.curve_writers import (
    LAST,
    compact_until_whole,
    failed,
    key_of,
    killed_at,
    read_until_whole,
    row,
    seen_outside,
    write_curves,
)
from tests.flaky_store import each_failing

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

KEY = CurveKey("trec", "bert", 0)
SPAWN = multiprocessing.get_context("spawn")


@pytest.fixture(params=["local", "memory"])
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Any]:
    """A folder of this host, and one of an object store."""
    if request.param == "local":
        yield tmp_path / "curves"
        return
    place = storage_path(f"memory://{tmp_path.name}/curves")
    yield place
    if place.exists():
        place.fs.rm(place.path, recursive=True)


def losses(store: CurveStore, key: CurveKey = KEY) -> list[float]:
    return [told["test_loss"] for told in store.states()[key].rows]


def known(store: CurveStore) -> dict[CurveKey, tuple[list[float], bool, int | None]]:
    """Losses, completeness and the failed step of each curve: all that can be compared, as NaN cannot."""
    return {
        key: (
            [told["test_loss"] for told in state.rows],
            state.complete,
            None if state.failure is None else state.failure["step"],
        )
        for key, state in store.states().items()
    }


def whole_curve(folder: Any, model: str = "bert", last: int = LAST) -> CurveStore:
    store = CurveStore(folder)
    for step in range(last + 1):
        store.append(row(step, model=model))
    return store


# --- appending -------------------------------------------------------------------------------------------


def test_a_folder_that_is_not_there_has_no_curves(folder: Any) -> None:
    assert CurveStore(folder).states() == {}


def test_hidden_parquet_files_are_no_curves(tmp_path: Path) -> None:
    """A campaign that was stopped before its first row has prepared data in the folder, and nothing else."""
    (tmp_path / ".lamps" / "work").mkdir(parents=True)
    (tmp_path / ".lamps" / "work" / "rows.parquet").write_bytes(b"of a dataset")
    assert CurveStore(tmp_path).states() == {}


def test_a_row_that_is_there_keeps_its_numbers(folder: Any) -> None:
    store = CurveStore(folder)
    store.append(row(0, loss=1.0))
    store.append(row(0, loss=2.0))
    assert losses(store) == [1.0]


def test_a_row_of_a_compacted_curve_keeps_its_numbers(folder: Any) -> None:
    store = whole_curve(folder)
    store.compact()
    assert len(curve_files(folder)) == 1
    store.append(row(2, loss=9.0))
    store.append_anew(row(2, loss=9.0))
    store.fail(failed(2))
    assert losses(store) == [1.0] * (LAST + 1)
    assert [path.name for path in curve_files(folder)] == [f"{curve_files(folder)[0].stem}.parquet"]


def test_a_row_made_anew_takes_the_place_of_the_old_one(folder: Any) -> None:
    store = whole_curve(folder, last=2)
    store.append_anew(row(0, loss=7.0))
    assert losses(store) == [7.0, 1.0, 1.0]


def test_a_curve_made_anew_may_end_earlier_than_it_did(folder: Any) -> None:
    store = whole_curve(folder, last=2)
    for step in range(2):
        store.append_anew(row(step, loss=7.0, complete=step == 1))
    assert losses(store) == [7.0, 7.0]
    assert store.states()[KEY].complete


def test_a_bad_row_is_refused_and_changes_nothing(folder: Any) -> None:
    store = CurveStore(folder)
    store.append(row(0))
    store.fail(failed(1))
    with pytest.raises(BadInput, match="test_loss"):
        store.append(row(1, loss=float("nan")))
    state = store.states()[KEY]
    assert (len(state.rows), state.failure is not None) == (1, True)


def test_a_failure_goes_when_its_step_succeeds(folder: Any) -> None:
    store = CurveStore(folder)
    store.append(row(0))
    store.fail(failed(1))
    state = store.states()[KEY]
    assert state.failure is not None
    assert (state.failure["step"], state.failure["error"]) == (1, "killed")
    store.append(row(1))
    assert store.states()[KEY].failure is None
    assert losses(store) == [1.0, 1.0]


def test_a_step_on_record_cannot_fail(folder: Any) -> None:
    """An attempt that was thought dead kept its row; the others died."""
    store = whole_curve(folder, last=1)
    store.fail(failed(1))
    assert store.states()[KEY].failure is None


def test_a_late_row_of_an_earlier_step_leaves_a_failure_alone(folder: Any) -> None:
    store = whole_curve(folder, last=1)
    store.fail(failed(2))
    store.append(row(1, loss=5.0))
    assert store.states()[KEY].failure is not None


def test_everyone_reads_a_folder_with_failures_and_ours_takes_none_for_a_data_point(tmp_path: Path) -> None:
    from datasets import load_dataset

    folder = tmp_path / "curves"
    store = whole_curve(folder, last=1)
    store.fail(failed(2))
    store.fail(failed(0, model="other"))
    outside = pyarrow.dataset.dataset(folder).to_table().to_pylist()
    assert sorted((told["model"], told["step"], told["status"]) for told in outside if told["status"]) == [
        ("bert", 2, "failed"),
        ("other", 0, "failed"),
    ]
    loaded = load_dataset("parquet", data_dir=str(folder), cache_dir=str(tmp_path / "cache"), split="train")
    assert len(loaded) == len(outside) == 4
    assert read_curves(folder).num_rows == 2
    assert read_failures(folder)["model"].to_pylist() == ["bert", "other"]


NAMES = [
    "bert", "BERT", "org/bert", "org--bert", "../bert", "../../etc/passwd", "/abs/olute", ".hidden", "-dash", "_under",
    "", " ", ".", "..", "..parquet", "model\nline", "naïve/模型", "🤗/🤗", "a" * 300, "a" * 301, "con", "x=y", "a\\b",
    "test", "train-test", "validation/dev",
]  # fmt: skip


def test_no_name_leaves_the_folder_or_meets_another_and_every_reader_sees_it(tmp_path: Path) -> None:
    from datasets import load_dataset

    folder = tmp_path / "in" / "curves"
    store = CurveStore(folder)
    for number, name in enumerate(NAMES):
        store.append(row(0, model=name, loss=float(number)))
        store.append(row(0, model="bert", dataset=f"d{name}", loss=float(number)))
    wanted = {("trec", name, 0, 0): float(number) for number, name in enumerate(NAMES)} | {
        (f"d{name}", "bert", 0, 0): float(number) for number, name in enumerate(NAMES)
    }
    assert seen_outside(folder) == wanted
    assert {key_of(told): told["test_loss"] for told in read_curves(folder).to_pylist()} == wanted
    loaded = load_dataset("parquet", data_dir=str(folder), cache_dir=str(tmp_path / "cache"), split="train")
    assert {key_of(told): told["test_loss"] for told in loaded} == wanted
    assert [path.name for path in tmp_path.iterdir() if path.name != "cache"] == ["in"]
    assert [path.name for path in (tmp_path / "in").iterdir()] == ["curves"]
    names = [path.name for path in folder.iterdir()]
    assert len({name.lower() for name in names}) == len(wanted)


def test_a_store_that_fails_for_a_moment_has_not_lost_a_curve(tmp_path: Path) -> None:
    folder = storage_path(f"memory://{tmp_path.name}/curves")
    store = whole_curve(folder)
    whole_curve(folder, "begun", last=1)
    whole_curve(folder, "failing", last=0).fail(failed(1, model="failing"))
    each_failing(lambda: known(store), told=known(store))
    store.compact()
    each_failing(lambda: known(store), told=known(store))
    folder.fs.rm(folder.path, recursive=True)


def test_a_store_that_fails_for_a_moment_gets_no_failure_beside_the_step(tmp_path: Path) -> None:
    folder = storage_path(f"memory://{tmp_path.name}/curves")
    store = whole_curve(folder, last=1)
    before = known(store)

    def fail() -> dict[CurveKey, Any]:
        store.fail(failed(1))
        return known(store)

    each_failing(fail, told=before)
    whole_curve(folder, "failing", last=0).fail(failed(1, model="failing"))

    def succeed() -> bool:
        store.append(row(1, model="failing"))
        return store.states()[KEY._replace(model="failing")].failure is None

    each_failing(succeed, told=True)
    folder.fs.rm(folder.path, recursive=True)


# --- compaction ------------------------------------------------------------------------------------------


def test_complete_curves_become_one_file_each_and_others_stay(folder: Any) -> None:
    store = whole_curve(folder)
    whole_curve(folder, "begun", last=2)
    whole_curve(folder, "failing", last=1).fail(failed(2, model="failing"))
    before = known(store)
    for _ in range(2):
        store.compact()
        assert known(store) == before
        assert len(curve_files(folder)) == 1 + 3 + 2 + 1


def test_steps_beside_a_compacted_curve_never_replace_it(folder: Any) -> None:
    """A writer that was suspended for longer than the rest of the campaign took."""
    store = whole_curve(folder)
    store.compact()
    (whole,) = curve_files(folder)
    late = CurveStore(folder / "elsewhere")
    late.append(row(LAST, loss=9.0))
    steps = folder / whole.name.removesuffix(".parquet")
    if isinstance(folder, Path):
        shutil.move(folder / "elsewhere" / steps.name, steps)
        shutil.rmtree(folder / "elsewhere")
    else:
        folder.fs.mv((folder / "elsewhere" / steps.name).path, steps.path, recursive=True)
    assert losses(store) == [1.0] * (LAST + 1)
    for mend in (store.compact, store.recover):
        mend()
        assert losses(store) == [1.0] * (LAST + 1)


def test_files_of_others_in_a_folder_that_has_the_name_of_a_file_are_read(tmp_path: Path) -> None:
    whole_curve(tmp_path / "made").compact()
    whole_curve(tmp_path / "made", "gpt").compact()
    first, second = curve_files(tmp_path / "made")
    (tmp_path / "theirs" / "trec").mkdir(parents=True)
    first.rename(tmp_path / "theirs" / "trec.parquet")
    second.rename(tmp_path / "theirs" / "trec" / "part-0.parquet")
    assert read_curves(tmp_path / "theirs").num_rows == 2 * (LAST + 1)


def test_a_writer_that_comes_while_a_curve_is_hidden_adds_nothing(tmp_path: Path) -> None:
    store = whole_curve(tmp_path)
    steps = next(path for path in tmp_path.iterdir() if path.is_dir())
    store.compact()
    whole = tmp_path / f"{steps.name}.parquet"
    hidden = whole.with_name(f".compacting-{whole.name}")
    whole.rename(hidden)  # as it is between the two renames
    assert read_curves(tmp_path).num_rows == LAST + 1
    store.append(row(1, loss=9.0))
    store.append_anew(row(1, loss=9.0))
    assert not steps.exists()
    store.recover()
    assert losses(store) == [1.0] * (LAST + 1)


def test_drafts_of_long_dead_writers_go_and_fresh_ones_stay(tmp_path: Path) -> None:
    store = whole_curve(tmp_path, last=0)
    old, fresh = (draft_beside(tmp_path / "a.step-0000.parquet") for _ in range(2))
    for draft in (old, fresh):
        draft.write_bytes(b"half")
    past = old.stat().st_mtime - DRAFT_SECONDS - 1
    os.utime(old, (past, past))
    store.recover()
    assert (old.exists(), fresh.exists()) == (False, True)


# --- killed at any moment --------------------------------------------------------------------------------


def prepared(folder: Path) -> CurveStore:
    """A curve to be compacted, one under way, and one that failed."""
    store = whole_curve(folder)
    whole_curve(folder, "begun", last=1)
    whole_curve(folder, "failing", last=0).fail(failed(1, model="failing"))
    return store


OPERATIONS: dict[str, Callable[[CurveStore], Any]] = {
    "append": lambda store: store.append(row(2, model="begun")),
    "append the first": lambda store: store.append(row(0, model="new")),
    "append after a failure": lambda store: store.append(row(1, model="failing")),
    "append anew": lambda store: store.append_anew(row(0, model="begun", loss=7.0)),
    "end anew": lambda store: store.append_anew(row(0, model="begun", loss=7.0, complete=True)),
    "fail": lambda store: store.fail(failed(2, model="begun")),
    "compact": lambda store: store.compact(),
}


@pytest.mark.parametrize("name", OPERATIONS)
def test_an_operation_that_is_killed_before_any_of_its_changes_loses_nothing_and_can_be_repeated(
    tmp_path: Path, name: str
) -> None:
    before = known(prepared(tmp_path / "before"))
    untouched = tmp_path / "untouched"
    store = prepared(untouched)
    OPERATIONS[name](store)
    after, outside_after = known(store), seen_outside(untouched)
    for call in count():
        folder = tmp_path / f"killed-{call}"
        store = prepared(folder)
        killed = killed_at(call, partial(OPERATIONS[name], store))
        for recovered in (False, True):
            if recovered:
                store.recover()
            seen_outside(folder)  # no row twice, also before anybody mends
            found = known(store)
            for key, (rows, _, _) in before.items():
                assert len(found[key][0]) >= min(len(rows), len(after[key][0])), (call, key)
        OPERATIONS[name](store)
        assert known(store) == after
        assert seen_outside(folder).keys() == outside_after.keys()
        if not killed:
            break
        shutil.rmtree(folder)
    assert call >= 3


def test_a_recovery_that_is_killed_at_any_moment_is_finished_by_the_next(tmp_path: Path) -> None:
    wanted = known(whole_curve(tmp_path / "wanted"))
    for compaction in count():
        interrupted = tmp_path / f"compaction-{compaction}"
        if not killed_at(compaction, whole_curve(interrupted).compact):
            break
        for call in count():
            folder = tmp_path / f"recovery-{compaction}-{call}"
            shutil.copytree(interrupted, folder)
            killed = killed_at(call, CurveStore(folder).recover)
            assert known(CurveStore(folder)) == wanted
            CurveStore(folder).recover()
            assert known(CurveStore(folder)) == wanted
            assert seen_outside(folder).keys() == {("trec", "bert", 0, step) for step in range(LAST + 1)}
            assert not list(folder.glob(".old-*"))
            if not killed:
                break
    assert compaction > LAST


@settings(max_examples=12, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["append", "anew", "fail", "compact", "recover"]),
            st.sampled_from(["bert", "other"]),
            st.floats(0.0, 9.0),
            st.none() | st.integers(0, 12),
        ),
        max_size=20,
    )
)
def test_any_sequence_of_operations_and_kills_leaves_what_a_dict_would(
    tmp_path_factory: pytest.TempPathFactory, operations: list[tuple[str, str, float, int | None]]
) -> None:
    folder = tmp_path_factory.mktemp("sequence")
    store = CurveStore(folder)
    model: dict[str, list[float]] = {"bert": [], "other": []}
    for name, curve, loss, kill in operations:
        step = len(model[curve])
        if name in {"append", "fail"} and step > LAST:
            continue
        possible: dict[str, Callable[[], Any]] = {
            "append": partial(store.append, row(min(step, LAST), model=curve, loss=loss)),
            "anew": partial(store.append_anew, row(0, model=curve, loss=loss)),
            "fail": partial(store.fail, failed(step, model=curve)),
            "compact": store.compact,
            "recover": store.recover,
        }
        operation = possible[name]
        if name == "anew" and not 0 < step <= LAST:
            continue
        if kill is not None and killed_at(kill, operation):
            store.recover()
            assert_is_the_dict_but_for(store, model, curve if name in {"append", "anew"} else None)
        operation()
        if name == "append":
            model[curve].append(loss)
        if name == "anew":
            model[curve][0] = loss
        assert_is_the_dict_but_for(store, model, None)
    if any(model.values()):
        assert sum(key[1] in model for key in seen_outside(folder)) >= sum(map(len, model.values()))


def assert_is_the_dict_but_for(store: CurveStore, model: dict[str, list[float]], changed: str | None) -> None:
    """The curves are those of the dict; of one, what was being changed may be there or not."""
    states = store.states()
    for name, wanted in model.items():
        state = states.get(CurveKey("trec", name, 0))
        found = [told["test_loss"] for told in state.rows] if state is not None else []
        if name == changed:
            assert found[1 : len(wanted)] == wanted[1:]
            assert len(wanted) <= len(found) <= len(wanted) + 1
        else:
            assert found == wanted


# --- many at once ----------------------------------------------------------------------------------------

MODELS = [f"model-{number}" for number in range(12)]


@pytest.mark.parametrize("compacting", [False, True])
def test_processes_that_write_read_and_compact_at_once_see_and_leave_every_row_once(
    tmp_path: Path, compacting: bool
) -> None:
    folder = tmp_path / "curves"
    CurveStore(folder).append(row(0, model=MODELS[0], loss=0.0))  # so that there is something to read
    ours, theirs = SPAWN.Pipe(duplex=False)
    looked = [SPAWN.Event() for _ in range(LAST)]  # however slow, the reader looks between any two steps
    mixed = [MODELS, MODELS[::-1], MODELS[6:] + MODELS[:6]]
    processes = [
        SPAWN.Process(target=write_curves, args=(str(folder), models, float(number), looked))
        for number, models in enumerate(mixed)
    ]
    reader = SPAWN.Process(target=read_until_whole, args=(str(folder), len(MODELS), looked, theirs))
    if compacting:
        processes.append(SPAWN.Process(target=compact_until_whole, args=(str(folder), len(MODELS))))
    for process in (reader, *processes):
        process.start()
    for process in (*processes, reader):
        process.join()
    assert [process.exitcode for process in (*processes, reader)] == [0] * (len(processes) + 1)
    counted = ours.recv()
    assert counted["ours"] >= LAST + 2
    if not compacting:
        assert counted.get("missed", 0) == 0
    store = CurveStore(folder)
    store.recover()
    wanted = {("trec", model, 0, step) for model in MODELS for step in range(LAST + 1)}
    assert seen_outside(folder).keys() == wanted
    assert {key_of(told) for told in read_curves(folder).to_pylist()} == wanted
    assert len(curve_files(folder)) == (len(MODELS) if compacting else len(wanted))

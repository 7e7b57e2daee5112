"""Learning curves read from Parquet files in any layout of files and folders; what is not a curve is refused.

Owns how files are found, and how a table is cut into curves. Which types can be converted is said in
`columns`, what makes rows a curve in `schema`. Knows nothing of objectives, searches or how the numbers
were measured.
"""

from __future__ import annotations

import contextlib
import os
import stat
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from lamps_core.curves.columns import converted
from lamps_core.curves.schema import (
    COMPACTING,
    CURVE_SCHEMA,
    KEY_COLUMNS,
    STEP_FILE,
    VERSION,
    VERSION_KEY,
    Curve,
    CurveKey,
    CurveRows,
    curve_starts,
)
from lamps_core.errors import BadInput, first_line
from lamps_core.storage import entries, is_folder, is_local, is_there
from lamps_core.versions import version_trouble

if TYPE_CHECKING:
    from collections.abc import Container, Iterator, Mapping, Sequence

PARQUET_SUFFIXES = (".parquet", ".pq", ".parq")
PARQUET_MAGIC = b"PAR1"
LOOKS = 20  # at a folder whose files move while they are read; each look reads only what is new
_REQUIRED_COLUMNS = tuple(field.name for field in CURVE_SCHEMA if not field.nullable)


def read_curves(folder_or_file: Path, *, beside: Sequence[str] = ()) -> pa.Table:
    """Read and check learning curves; failed rows are left out (see `read_failures`).

    Takes files that hold only the required columns, in any order, in nested folders or in partitions
    (`dataset=trec/model=...` below the folder), of types that can be converted (`columns.converted`); other
    columns are left out unless they are asked for, as are files and folders whose name starts with `.` or `_`. NaN
    in an optional column is a null.

    Args:
        folder_or_file: a meta-dataset, or one file of it.
        beside: columns of numbers that are not in the schema; null in the rows of a file without them.

    Returns:
        A table in `CURVE_SCHEMA`, then `beside` as float64, sorted by dataset, model, seed and step.

    Raises:
        BadInput: with the file, the column and the row (counted from 0) of what is wrong: a file that is not
            Parquet, a missing column, a null in a required one, a number below 0 or not finite, a step twice
            (in one file or two), a gap in the steps, rows after a complete one, an unknown source, or two
            sources in one curve.
    """
    numbers = [pa.field(name, pa.float64()) for name in beside]
    schema = pa.schema([*CURVE_SCHEMA, *numbers], metadata=CURVE_SCHEMA.metadata)
    return _curves(_read(folder_or_file, schema), schema)


def numbers_beside(folder_or_file: Path) -> tuple[str, ...]:
    """Names of the numeric columns outside the schema, which `read_curves` reads only on request; sorted.

    Raises:
        BadInput: a file that is not Parquet.
    """
    found: set[str] = set()
    for path in _files_to_read(folder_or_file):
        with contextlib.suppress(FileNotFoundError), _parquet(path) as file:
            found |= {field.name for field in file.schema_arrow if _is_number(field.type)}
    return tuple(sorted(found - set(CURVE_SCHEMA.names)))


def _is_number(kind: pa.DataType) -> bool:
    return pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind)


def read_failures(folder_or_file: Path) -> pa.Table:
    """Read the failed rows of a meta-dataset: which step of which candidate, and why.

    Args:
        folder_or_file: as `read_curves`.

    Returns:
        A table with the columns of `CURVE_SCHEMA`, sorted the same way; any number in it may be null.

    Raises:
        BadInput: a file that is not Parquet, a missing column, or a failed row that does not say which step.
    """
    return _failures(_read(folder_or_file, CURVE_SCHEMA))


def read_both(folder_or_file: Path) -> tuple[pa.Table, pa.Table]:
    """The results of `read_curves` and `read_failures` from one reading of the files."""
    rows = _read(folder_or_file, CURVE_SCHEMA)
    return _curves(rows, CURVE_SCHEMA), _failures(rows)


def _curves(rows: CurveRows, schema: pa.Schema) -> pa.Table:
    curves = rows.where(~rows.failed())
    return curves.check().table.select(schema.names).cast(schema)


def _failures(rows: CurveRows) -> pa.Table:
    failures = rows.where(rows.failed())
    failures.check_present((*KEY_COLUMNS, "step"))
    return failures.sorted().table.select(CURVE_SCHEMA.names)


def curves_by_key(table: pa.Table) -> dict[CurveKey, Curve]:
    """Cut a table into its curves, without copying.

    Args:
        table: as `read_curves` returns it.

    Returns:
        The curves in the table's order.
    """
    cuts = [*np.flatnonzero(curve_starts(table)).tolist(), len(table)]
    curves = {}
    for start, end in pairwise(cuts):
        key = CurveKey(*(table[name][start].as_py() for name in KEY_COLUMNS))
        curves[key] = Curve(key, table.slice(start, end - start))
    return curves


def refuse_empty(table: pa.Table, place: Any) -> None:
    """Refuse a table without a curve, such as of a campaign none of whose candidates could be trained.

    Args:
        table: as `read_curves` returns it.
        place: what to call it.

    Raises:
        BadInput: it has no row.
    """
    if not len(table):
        raise BadInput(
            f"{place}: holds no curve: every row is of status failed, or there is none: "
            "run the campaign with other candidates, or give other curves"
        )


def curve_files(folder: Any) -> tuple[Any, ...]:
    """The Parquet files of a folder that hold curves, sorted; none where there is no folder.

    A curve that is being compacted into one file is found once: as that file from the moment it is whole. Step files
    beside it come from a writer that was too late, and are left out.

    Args:
        folder: as `storage.storage_path` gives it.

    Raises:
        FileNotFoundError: a part of it vanished meanwhile.
    """
    if not is_folder(folder):
        return ()
    found = {path.relative_to(folder).as_posix(): path for path in _parquet_files(folder)}
    whole = [name.removeprefix(COMPACTING) for name in found if name.startswith(COMPACTING)]
    hidden = (*whole, *(f"{name.removesuffix('.parquet')}/" for name in whole))
    return tuple(
        path
        for name, path in sorted(found.items())
        if name.startswith(COMPACTING) or not (name.startswith(hidden) or _came_too_late(name, found))
    )


def holds_curves(folder: Path) -> bool:
    """Whether a folder of this host holds Parquet files.

    Raises:
        BadInput: a part of it cannot be read.
    """
    try:
        return bool(curve_files(folder))
    except OSError as error:
        raise BadInput(f"{error.filename or folder} cannot be read: {error.strerror or error}") from error


def _came_too_late(name: str, found: Container[str]) -> bool:
    """Whether a file is of a step of a curve that is one file already."""
    step = STEP_FILE.fullmatch(name)
    return step is not None and f"{step[1]}.parquet" in found


def _parquet_files(folder: Any) -> Iterator[Any]:
    """Every Parquet file that is not hidden, at any depth, and those that a compaction is about to show."""
    for path in _files_of_a_disk(folder) if is_local(folder) else _files_of_a_store(folder):
        about_to_be_shown = path.parent == folder and path.name.startswith(COMPACTING)
        if (_is_shown(path.name) or about_to_be_shown) and _is_parquet(path):
            yield path


def _files_of_a_disk(folder: Path) -> Iterator[Path]:
    """Every file; links lead to other folders, each once, and not back to one that is found without them."""
    root = os.path.realpath(folder)
    followed: set[str] = set()

    def entered(path: Path) -> bool:
        real = os.path.realpath(path)
        if not path.is_symlink() and real.startswith(f"{root}/"):
            return True
        if real in followed or f"{real}/".startswith(f"{root}/"):
            return False
        followed.add(real)
        return True

    for place, folders, names in os.walk(folder, onerror=_raise, followlinks=True):
        folders[:] = [name for name in sorted(folders) if _is_shown(name) and entered(Path(place) / name)]
        yield from (Path(place) / name for name in names)


def _files_of_a_store(folder: Any) -> Iterator[Any]:
    found = entries(folder)
    shown = [path for path, is_one in found if is_one and _is_shown(path.name)]
    for path in shown:
        yield from _files_of_a_store(path)
    # Its own files last: a curve whose steps were being dropped is one file by now.
    yield from (path for path, is_one in (entries(folder) if shown else found) if not is_one)


def _is_parquet(path: Any) -> bool:
    """By its suffix; without one, as other writers leave it, by its first bytes."""
    if path.suffix:
        return path.suffix.lower() in PARQUET_SUFFIXES
    if is_local(path) and not path.is_file():  # a pipe would never be read to its end
        return False
    try:
        with path.open("rb") as file:
            return bool(file.read(len(PARQUET_MAGIC)) == PARQUET_MAGIC)
    except PermissionError:  # what nobody may read is no curve of his
        return False


def _is_shown(name: str) -> bool:
    return not name.startswith((".", "_"))


def _raise(error: OSError) -> None:
    raise error


def _read(folder_or_file: Any, schema: pa.Schema) -> CurveRows:
    """Every row of every file, as the folder was at one moment: what was listed and is gone is looked for again."""
    tables: dict[Any, pa.Table] = {}
    for _ in range(LOOKS):
        gone: Any = None
        try:
            files = _files_to_read(folder_or_file)
            for path in files:
                if path not in tables:
                    gone = _read_into(tables, path, folder_or_file, schema) or gone
        except FileNotFoundError as error:
            gone = error.filename or folder_or_file
        if gone is None:
            return CurveRows.join([tables[path] for path in files], files)
    raise BadInput(
        f"{gone}: is listed, and not there when it is read: see that nothing else changes the folder"
    )


def _read_into(tables: dict[Any, pa.Table], path: Any, given: Any, schema: pa.Schema) -> Any:
    """Add a file's table; the path if the file is gone."""
    try:
        tables[path] = _read_file(path, given, schema)
    except FileNotFoundError:
        return path
    return None


def _files_to_read(folder_or_file: Any) -> tuple[Any, ...]:
    if not is_folder(folder_or_file):
        if not is_there(folder_or_file):
            raise BadInput(f"{folder_or_file}: there is no such file or folder")
        return (folder_or_file,)
    found = curve_files(folder_or_file)
    if not found:
        raise BadInput(f"{folder_or_file}: holds no Parquet files: name a folder of learning curves")
    return found


def _read_file(path: Any, given: Any, schema: pa.Schema) -> pa.Table:
    """Every column of the schema as its type, of a file of the folder or file given; a null may be anywhere yet."""
    with _parquet(path) as file:
        _check_version(path, file.schema_arrow.metadata or {})
        names = file.schema_arrow.names
        known = [name for name in schema.names if name in names]
        if repeated := [name for name in known if names.count(name) > 1]:
            raise BadInput(f"{path}: column {repeated[0]} is there twice")
        table = file.read(columns=known, use_threads=False)
    found = {name: table[name] for name in known}
    for name, value in _partition(path, given).items():
        found.setdefault(name, pa.chunked_array([pa.repeat(pa.scalar(value, pa.string()), len(table))]))
    if missing := [name for name in _REQUIRED_COLUMNS if name not in found]:
        raise BadInput(f"{path}: required column {', '.join(missing)} is missing")
    columns = {
        field.name: converted(path, found[field.name], field)
        if field.name in found
        else pa.chunked_array([pa.nulls(len(table), field.type)])
        for field in schema
    }
    return pa.table(columns)


def _check_version(path: Any, metadata: Mapping[bytes, bytes]) -> None:
    """Refuse what a later LAMPS wrote; files of other makers, and of LAMPS before there were versions, say nothing."""
    told = metadata.get(VERSION_KEY, b"1")
    found = int(told) if told.isdigit() and len(told) < 10 else None
    if found != VERSION:
        raise BadInput(version_trouble(path, found, VERSION, "name another folder of curves"))


@contextlib.contextmanager
def _parquet(path: Any) -> Iterator[pq.ParquetFile]:
    """A file to read from; BadInput where that cannot be done, unless it is gone."""
    try:
        with _opened(path) as file:
            yield file
    except FileNotFoundError:
        raise
    except (pa.ArrowException, OSError) as error:
        raise BadInput(f"{path}: cannot be read as Parquet: {first_line(error)}") from None


def _opened(path: Any) -> pq.ParquetFile:
    if is_local(path) and not stat.S_ISREG(path.stat().st_mode):  # a pipe is waited for without end
        raise BadInput(f"{path}: is no regular file: remove it from the folder of learning curves")
    # One GET of an object store reads the file whole.
    return pq.ParquetFile(path if is_local(path) else pa.BufferReader(path.read_bytes()))


def _partition(path: Any, given: Any) -> dict[str, str | None]:
    """What the folders below the one given say, as Hive and pyarrow write it: `dataset=trec/model=org%2Fname`.

    Of a file given by itself all folders above it count: nothing tells where its meta-dataset begins.
    """
    inside = path.absolute() if path == given else path.relative_to(given)
    said = (part.partition("=") for part in inside.parent.parts if "=" in part)
    return {
        name: None if value == "__HIVE_DEFAULT_PARTITION__" else unquote(value)
        for name, _, value in said
        if name in CURVE_SCHEMA.names
    }

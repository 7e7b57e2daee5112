"""Join the folders of campaigns into the one file of recorded curves that ships.

A maintainer's script, run by hand when curves are to ship. It owns what may ship: complete, measured curves, every
candidate on every dataset, and no text but names. What makes rows a curve is said in `lamps_core.curves.schema`.

    python data/join_curves.py runs/zoo runs/minilm --out data/curves/measured.parquet
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from lamps_core.curves.reader import curves_by_key, read_both
from lamps_core.curves.schema import CURVE_SCHEMA, CurveRows
from lamps_core.errors import BadInput
from lamps_core.files import write_atomically


def join(folders: list[Path]) -> pa.Table:
    """The curves of several campaigns as one table in `CURVE_SCHEMA`, sorted.

    Raises:
        BadInput: a curve stands in two folders, or one that may not ship: failed, not complete, not measured,
            or one of a grid with holes.
    """
    tables = []
    for folder in folders:
        curves, failed = read_both(folder)
        if len(failed):
            raise BadInput(f"{folder}: holds {len(failed)} failed curves: run its campaign again")
        tables.append(curves)
    joined = (
        CurveRows.join(tables, tuple(folders)).check().table.select(CURVE_SCHEMA.names).cast(CURVE_SCHEMA)
    )
    curves_found = curves_by_key(joined)
    for key, curve in curves_found.items():
        if not curve.complete or curve.source != "measured":
            raise BadInput(f"{key.model} on {key.dataset}: is not complete, or not measured")
    grid = len(joined["dataset"].unique()) * len(joined["model"].unique()) * len(joined["seed"].unique())
    if len(curves_found) != grid:
        raise BadInput(f"there are {len(curves_found)} curves, and {grid} pairs: run the campaigns again")
    return joined


def _parquet(table: pa.Table) -> bytes:
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, compression="zstd", compression_level=19)
    return bytes(sink.getvalue().to_pybytes())


def main() -> int:
    """Write the file; 2 and one line where the folders cannot ship."""
    parser = argparse.ArgumentParser(description="Join campaigns into the one file of curves that ships.")
    parser.add_argument("folders", nargs="+", type=Path)
    parser.add_argument("--out", required=True, type=Path)
    given = parser.parse_args()
    try:
        table = join(given.folders)
        write_atomically(given.out, _parquet(table))
    except BadInput as error:
        print(f"join_curves: {error}", file=sys.stderr)
        return 2
    print(f"{given.out}: {len(table)} rows, {given.out.stat().st_size:,} bytes")
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""The card of a meta-dataset on the hub: what was measured on what, how much of it is simulated, how it is read."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from lamps_core.curves.reader import curves_by_key
from lamps_core.curves.schema import CURVE_SCHEMA
from lamps_core.publishing.cards import TAG, card, code, facts, made_by, names, table

if TYPE_CHECKING:
    import pyarrow as pa

CURVES_TAG = "lamps-curves"
CURVES_FILE = "curves.parquet"


def curves_card(repository: str, rows: pa.Table) -> bytes:
    """The README of a meta-dataset.

    Args:
        repository: it is pushed to.
        rows: as `curves.reader.read_curves` gives them.
    """
    from huggingface_hub import DatasetCardData

    data = DatasetCardData(
        pretty_name=repository.partition("/")[2],
        tags=[TAG, CURVES_TAG],
        configs=[{"config_name": "default", "data_files": [{"split": "train", "path": CURVES_FILE}]}],
    )
    return card(data, _text(repository, rows))


def _text(repository: str, rows: pa.Table) -> list[str]:
    curves = curves_by_key(rows)
    complete = sum(curve.complete for curve in curves.values())
    sources = Counter(curve.source for curve in curves.values())
    datasets = Counter(key.dataset for key in curves)
    return [
        f"# {repository.partition('/')[2]}",
        "",
        f"Learning curves of {len(_distinct(rows, 'model'))} language models, fine-tuned for text classification on "
        f"{len(datasets)} datasets in landmark steps: a meta-dataset of LAMPS. One row a step; numbers and names, no "
        "text of any dataset.",
        "",
        *facts(
            [
                ("curves", f"{len(curves):,}, of which {complete:,} complete"),
                ("rows", f"{len(rows):,}"),
                (
                    "source",
                    ", ".join(f"{count:,} curves **{name}**" for name, count in sorted(sources.items())),
                ),
                ("seeds", names(_distinct(rows, "seed"))),
                ("devices", names(_distinct(rows, "device"))),
                ("number formats", names(_distinct(rows, "dtype"))),
                ("LAMPS", names(_distinct(rows, "lamps_version"))),
            ]
        ),
        "",
        "## Reading it",
        "",
        "```bash",
        f"lamps evaluate --curves {repository} --methods untrained --repeats 1 --out runs/evaluation",
        f"lamps train-policy --curves {repository} --out runs/policy.zip",
        "```",
        "",
        "```python",
        "from datasets import load_dataset",
        "",
        f'curves = load_dataset("{repository}", split="train")',
        "```",
        "",
        "## Datasets and models",
        "",
        *table(
            ["dataset", "curves"], [[code(name), f"{count:,}"] for name, count in sorted(datasets.items())]
        ),
        "",
        f"Models: {names(_distinct(rows, 'model'), most=100)}.",
        "",
        "## Columns",
        "",
        f"{names(field.name for field in CURVE_SCHEMA if not field.nullable)}; where known, "
        f"{names(field.name for field in CURVE_SCHEMA if field.nullable)}. Step 0 is the evaluation before any "
        "training; steps 1 to K train one epoch each on nested subsets that double in size, the later ones on all "
        "rows. Losses are in nats, times in seconds of the device named in the row.",
        "",
        made_by(),
    ]


def _distinct(rows: pa.Table, column: str) -> list[Any]:
    return sorted(value for value in rows[column].unique().to_pylist() if value is not None)

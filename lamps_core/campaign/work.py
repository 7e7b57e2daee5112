"""The work folder of a campaign: prepared datasets, tokens, checkpoints and logs, one folder for each dataset and seed.

On a disk that all hosts share, or in an object store. Knows nothing of what is asked for, nor of curves' rows.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lamps_core.campaign.schedule import Pair
from lamps_core.campaign.shared_work import drop_checkpoint, newest_shared_step, push_data
from lamps_core.files import DRAFT_SECONDS, drop_drafts, safe_name
from lamps_core.storage import entries, is_local
from lamps_core.text.prepared_data import load_prepared, save_prepared

if TYPE_CHECKING:
    from collections.abc import Iterable

    from lamps_core.curves.schema import CurveKey
    from lamps_core.text.dataset import TextDataset


@dataclass(frozen=True)
class CampaignWork:
    """The work folder of one campaign.

    Attributes:
        root: a `Path`, or an fsspec path.
    """

    root: Any

    def folder(self, dataset: str, seed: int) -> Any:
        """The folder of one dataset and seed."""
        return self.root / f"{safe_name(dataset)}-s{seed}"

    def checkpoints(self, key: CurveKey) -> Any:
        """The checkpoint folder of one curve."""
        return self.folder(key.dataset, key.seed) / "checkpoints" / safe_name(key.model)

    def local(self) -> Path | None:
        """A folder on the disk that checkpoints go to; None for an object store."""
        return Path(self.root) if is_local(self.root) else None

    def prepared(self, dataset: str, seed: int) -> TextDataset | None:
        """A dataset as it was prepared; None where it was not, or not on a disk."""
        prepared = self.folder(dataset, seed) / "data"
        there = is_local(prepared) and (prepared / "dataset.json").is_file()
        return load_prepared(Path(prepared)) if there else None

    def prepare(self, dataset: TextDataset, seed: int, *, unwanted: Iterable[str]) -> None:
        """Write a dataset that will be used, and delete what killed runs left behind.

        Args:
            dataset: to write.
            seed: of its rows.
            unwanted: models whose checkpoints nobody asks for: of complete curves, or of files that were mended since.
        """
        folder = self.folder(dataset.name, seed)
        if is_local(folder):
            for part in ("checkpoints", "logs"):
                (folder / part).mkdir(parents=True, exist_ok=True)
            drop_drafts(Path(folder), older_than_seconds=DRAFT_SECONDS)
            save_prepared(dataset, Path(folder) / "data")
        else:
            push_data(dataset, folder)
        spent = {safe_name(model) for model in unwanted}
        for path, _ in entries(folder / "checkpoints"):
            if path.name in spent:
                drop_checkpoint(path)

    def drop_tokens(self, dataset: str, seed: int) -> None:
        """Delete the tokens of a dataset on which no curve is left to run; they can be made again."""
        folder = self.folder(dataset, seed)
        if is_local(folder):
            shutil.rmtree(folder / "tokens", ignore_errors=True)

    def pair(self, key: CurveKey, losses: tuple[float, ...], *, again: bool) -> Pair:
        """The curve as a `Pair`: it goes on from its checkpoint, or from step 0 where that does not fit its rows.

        Args:
            key: of the curve.
            losses: of its rows.
            again: it is being made a second time: rows from its checkpoint on are of the first attempt.
        """
        newest, done = newest_shared_step(self.checkpoints(key)), len(losses)
        if again and newest is not None and newest <= done:
            return Pair(key, losses=losses[:newest], anew=True)
        if not again and (newest in {done, done - 1} or (newest is None and done == 0)):
            return Pair(key, losses=losses)
        return Pair(key, anew=True)

"""The processes that hold one candidate together: which of them this is, and what they tell each other.

Owns the process group and how rows are dealt. A process alone is the first of one: for it nothing here touches
`torch.distributed`, and every sum is its own. Does not know what is computed, nor how weights are spread.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

import torch
import torch.distributed

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy as np

# One may tokenise or write for as long as it takes while the others wait. Whoever dies or hangs is found by the
# supervisor, which kills them all.
PATIENCE = timedelta(days=7)


@dataclass(frozen=True)
class Ranks:
    """This process among those of one candidate.

    Attributes:
        rank: 0 for the first, which alone writes and answers.
        count: of processes, one a device.
    """

    rank: int = 0
    count: int = 1

    @property
    def several(self) -> bool:
        """Whether there are others."""
        return self.count > 1

    @property
    def first(self) -> bool:
        """Whether this one writes and answers."""
        return self.rank == 0

    def passes(self, rows: np.ndarray, size: int) -> Iterator[tuple[np.ndarray, bool]]:
        """This process's rows in passes of at most `size`; every process makes the same number of passes.

        Rows are dealt like cards, so that sorted ones stay of like lengths. A pass of the model is a collective
        act: a process that has no row left takes part with one that does not count.

        Yields:
            rows, and whether they count.
        """
        mine = rows[self.rank :: self.count]
        most = -(-len(rows) // self.count)
        for start in range(0, most, size):
            part = mine[start : start + size]
            yield (part, True) if len(part) else (rows[:1], False)

    def sum(self, tensor: torch.Tensor) -> torch.Tensor:
        """A tensor summed over the processes, in place."""
        if self.several:
            torch.distributed.all_reduce(tensor)
        return tensor

    def total(self, value: float) -> float:
        """A number summed over the processes."""
        return float(self.sum(torch.tensor(value, dtype=torch.float64))) if self.several else value

    def largest(self, value: int) -> int:
        """The largest of the processes' numbers."""
        if not self.several:
            return value
        tensor = torch.tensor(value)
        torch.distributed.all_reduce(tensor, torch.distributed.ReduceOp.MAX)
        return int(tensor)

    def agree(self, value: int) -> int:
        """The first process's number, whatever the others give."""
        return int(self.total(value if self.first else 0))

    def barrier(self) -> None:
        """Return when every process has come here."""
        self.total(0.0)


ALONE = Ranks()


def join_ranks() -> Ranks:
    """Join the processes that the environment tells of; `ALONE` where it tells of none.

    Tensors of a CPU go through gloo, those of a GPU through NCCL.
    """
    count = int(os.environ.get("WORLD_SIZE", "1"))
    if count == 1:
        return ALONE
    cuda = torch.cuda.is_available()
    if cuda:
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    backend = "cpu:gloo,cuda:nccl" if cuda else "cpu:gloo"
    torch.distributed.init_process_group(backend, timeout=PATIENCE)
    return Ranks(int(os.environ["RANK"]), count)

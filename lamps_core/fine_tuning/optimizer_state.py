"""AdamW's state as a safetensors file of whole tensors in a checkpoint, whatever number of devices holds it.

Knows nothing of checkpoints but the folder it is given, nor how a model is spread.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import safetensors.torch

from lamps_core.fine_tuning.sharding import part_like, whole

if TYPE_CHECKING:
    from pathlib import Path

    import torch

OPTIMIZER = "optimizer.safetensors"


def save_optimizer(optimizer: Any, folder: Path | None) -> None:
    """Save AdamW's state as safetensors: whole tensors, named `<parameter index>.<name>`.

    Args:
        optimizer: of the model.
        folder: None in a process that only gives its parts: where several hold a candidate, all call this.
    """
    tensors = {
        f"{index}.{name}": whole(tensor, keep=folder is not None)
        for index, state in optimizer.state_dict()["state"].items()
        for name, tensor in state.items()
    }
    if folder is not None:
        kept = {key: tensor.contiguous() for key, tensor in tensors.items() if tensor is not None}
        safetensors.torch.save_file(kept, str(folder / OPTIMIZER))


def load_optimizer(optimizer: Any, folder: Path) -> None:
    """Give a fresh optimiser of the same model the saved state, or this process's parts of it."""
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    state: dict[int, dict[str, torch.Tensor]] = {}
    for key, tensor in safetensors.torch.load_file(str(folder / OPTIMIZER)).items():
        index, _, name = key.partition(".")
        state.setdefault(int(index), {})[name] = part_like(tensor, parameters[int(index)])
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})

"""A model spread over the devices of several processes (FSDP2, through accelerate), and made whole again.

Owns which pieces are gathered at once, precision and recomputation in a spread model, and the way between whole
tensors and their parts. Knows nothing of training or of files.

Each layer's weights, gradients and moments lie in equal parts on all devices; a layer is gathered when it computes.
"""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import torch
from accelerate import Accelerator, FullyShardedDataParallelPlugin
from accelerate.utils import AutocastKwargs, DistributedType

if TYPE_CHECKING:
    from collections.abc import Iterator


def sharding_accelerator(model: Any, *, mixed_precision: str, cuda: bool) -> Accelerator:
    """The accelerator whose `prepare` spreads this model; the model recomputes activations from here on.

    Precision is that of one device: weights and gathered layers are fp32, the passes run under autocast. FSDP's
    own casts would put norms and sums into bf16 as well, and make a curve depend on the number of devices.

    Activations are recomputed layer by layer in the backward pass where the family can: a candidate is spread
    because it does not fit, and the bf16 copies that autocast makes of gathered weights would otherwise stay until
    then. transformers' own recomputation draws the same dropout again, which accelerate's does not.

    Args:
        model: from `load_model`, on the CPU; it must not be moved before.
        mixed_precision: `no` or `bf16`.
        cuda: whether there are GPUs.
    """
    from torch.distributed.fsdp import MixedPrecisionPolicy

    plugin = FullyShardedDataParallelPlugin(
        fsdp_version=2,
        reshard_after_forward=True,
        auto_wrap_policy="transformer_based_wrap",
        transformer_cls_names_to_wrap=layer_classes(model),
        mixed_precision_policy=MixedPrecisionPolicy(),
        cpu_ram_efficient_loading=False,
        state_dict_type="FULL_STATE_DICT",
    )
    if model.supports_gradient_checkpointing:
        with warnings.catch_warnings():  # of another name, which transformers 5.20 does not know yet
            warnings.simplefilter("ignore", FutureWarning)
            model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
    accelerator = Accelerator(
        mixed_precision=mixed_precision,
        cpu=not cuda,
        fsdp_plugin=plugin,
        # A cast that is cached outlives its layer: the whole model in bf16 on every device.
        kwargs_handlers=[AutocastKwargs(cache_enabled=False)],
    )
    if not cuda:
        _allow_fsdp_on_cpu(accelerator, plugin)
    return accelerator


def _allow_fsdp_on_cpu(accelerator: Accelerator, plugin: FullyShardedDataParallelPlugin) -> None:
    """Say what accelerate says by itself where there are GPUs: several processes with a plugin are FSDP.

    torch's `fully_shard`, to which `prepare` comes down, works on a CPU as on a GPU.
    """
    accelerator.state.distributed_type = DistributedType.FSDP
    accelerator.state.fsdp_plugin = plugin


def layer_classes(model: Any) -> list[str]:
    """Names of the classes of a model's layers: what lies directly in its outermost lists of modules.

    `_no_split_modules` would be the place to look, but it is empty for ALBERT, DistilBERT and XLNet, and names
    halves of a layer for LUKE.
    """
    return sorted({type(layer).__name__ for layer in _layers(model)})


def _layers(module: torch.nn.Module) -> Iterator[torch.nn.Module]:
    for child in module.children():
        if isinstance(child, torch.nn.ModuleList):
            yield from child
        else:
            yield from _layers(child)


def whole_weights(model: Any) -> dict[str, torch.Tensor]:
    """Every weight of a spread model on the CPU of the first process, nothing in the others; all must call it."""
    from torch.distributed.checkpoint.state_dict import StateDictOptions, get_model_state_dict

    options = StateDictOptions(full_state_dict=True, cpu_offload=True)
    weights: dict[str, Any] = get_model_state_dict(model, options=options)
    return weights


def whole(tensor: torch.Tensor, *, keep: bool) -> torch.Tensor | None:
    """A tensor that may be a part, made whole; every process must call it.

    Args:
        tensor: as it lies in a model or optimiser; one that is not spread is returned as it is.
        keep: whether this process wants it: on the CPU, where it was spread.
    """
    from torch.distributed.tensor import DTensor

    if not isinstance(tensor, DTensor):
        return tensor if keep else None
    gathered = tensor.full_tensor()
    return gathered.cpu() if keep else None


def part_like(tensor: torch.Tensor, parameter: torch.Tensor) -> torch.Tensor:
    """This process's part of a whole tensor, spread as `parameter` is; without communication."""
    from torch.distributed.tensor import DTensor, distribute_tensor

    if not isinstance(parameter, DTensor) or tensor.shape != parameter.shape:
        return tensor
    return distribute_tensor(tensor, parameter.device_mesh, parameter.placements, src_data_rank=None)

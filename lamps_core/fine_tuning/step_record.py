"""What a landmark step's record says: facts of the run, and what was measured, under the names of the curves' columns.

Knows nothing of how a step is run.
"""

from __future__ import annotations

import resource
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import torch

from lamps_core import __version__

if TYPE_CHECKING:
    from lamps_core.fine_tuning.steps import StepRequest
    from lamps_core.fine_tuning.training import Evaluation, FineTune
    from lamps_core.settings import FineTuningSettings


def measured(result: Evaluation) -> dict[str, Any]:
    """An evaluation under the names of the curves' columns."""
    return {"test_loss": result.loss, "accuracy": result.accuracy, "macro_f1": result.macro_f1}


def facts(tune: FineTune, request: StepRequest, settings: FineTuningSettings) -> dict[str, Any]:
    """What is known of a step besides what it measured; memory is that of the device that took the most."""
    cuda, ranks = tune.device.type == "cuda", tune.ranks
    peak = tune.peak_bytes if cuda else _peak_resident_bytes()
    cpu = f"cpu x{torch.get_num_threads()}"
    return {
        "model": request.name,
        "seed": settings.seed,
        "step": request.step,
        "parameters": sum(parameter.numel() for parameter in tune.model.parameters()),
        "source": "measured",
        "peak_memory_bytes": ranks.largest(peak),
        "learning_rate": settings.rate_with(None),
        "batch_size": settings.batch_size,
        "micro_batch_size": tune.micro_batch_size,
        "gpus": ranks.count if cuda else 0,
        "device": torch.cuda.get_device_name()
        if cuda
        else f"{ranks.count} x {cpu}"
        if ranks.several
        else cpu,
        "dtype": "bf16" if tune.accelerator.mixed_precision == "bf16" else "fp32",
        "config_hash": settings.config_hash,
        "dataset_fingerprint": request.dataset_fingerprint,
        "lamps_version": __version__,
        "created_at": datetime.now(UTC).isoformat(),
    }


def _peak_resident_bytes() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024

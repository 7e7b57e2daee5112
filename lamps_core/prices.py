"""What training costs: the price of a GPU hour, and dollars by it."""

from __future__ import annotations

import math

from lamps_core.errors import BadInput

GPU_HOUR_PRICE = 3.67  # dollars for an hour of one A100 40 GB, section 6.2 of the paper


def check_price(gpu_hour_price: float) -> None:
    """Refuse a price of a GPU hour that no cost can be counted with.

    Raises:
        BadInput: it is not a finite number more than zero.
    """
    if not (math.isfinite(gpu_hour_price) and gpu_hour_price > 0):
        raise BadInput(f"the price of a GPU hour must be more than zero dollars, not {gpu_hour_price}")


def dollars(train_seconds: float, gpus: int | None, gpu_hour_price: float) -> float:
    """What training costs at the price of a GPU hour.

    Args:
        train_seconds: by the clock.
        gpus: that trained together; one where that is not known, and where a processor did: it is priced as one.
        gpu_hour_price: dollars.

    >>> dollars(1800.0, 4, 3.0), dollars(1800.0, None, 3.0), dollars(1800.0, 0, 3.0)
    (6.0, 1.5, 1.5)
    """
    return train_seconds * max(gpus or 1, 1) * gpu_hour_price / 3600.0

"""A campaign's plan in words, for a terminal and for the page of a server.

Takes what `CampaignSurvey.plan_in_full` gives. Knows nothing of how either shows it.
"""

from __future__ import annotations

from typing import Any

from lamps_core.campaign.plan import gigabytes

PLAN_COLUMNS = ("model", "dataset", "seed", "from step", "GPUs", "about")
NAME_COLUMNS = 2  # of them; the others are numbers


def plan_rows(plan: dict[str, Any]) -> list[tuple[str, ...]]:
    """What is to run, the longest first: a cell for each of `PLAN_COLUMNS`."""
    return [
        (
            row["model"],
            row["dataset"],
            str(row["seed"]),
            str(row["next_step"]),
            str(row["gpus"]),
            _long(row["hours"]),
        )
        for row in plan["to_run"]
    ]


def plan_words(plan: dict[str, Any]) -> list[str]:
    """What is to be known of the datasets, what fits nowhere, how many curves there are, and what they cost."""
    disk = plan["disk_bytes"]
    lines = [
        *(f"note: {notice}" for notice in plan["notices"]),
        *(f"not run: {row['model']} on {row['dataset']}: {row['reason']}" for row in plan["does_not_fit"]),
        f"{plan['asked']} curves asked for: {plan['done']} done or failed before, {len(plan['to_run'])} to run, "
        f"{len(plan['does_not_fit'])} that fit nowhere",
        f"on {plan['slots']} x {plan['device']}: about {_long(plan['wall_hours'])} from start to end, "
        f"{_price(plan)}",
        f"disk: {gigabytes(disk['downloads'])} of downloads, {gigabytes(disk['checkpoints'])} of checkpoints",
    ]
    rented = plan["rented"]
    if rented is not None:
        unfit = f", {len(rented['does_not_fit'])} that fit nowhere" if rented["does_not_fit"] else ""
        lines.insert(-1, f"on rented GPUs ({rented['device']}) instead: about {_price(rented)}{unfit}")
    if plan["disk_shortage"] is not None:
        lines.append(f"no room: {plan['disk_shortage']}")
    return lines


def _price(cost: dict[str, Any]) -> str:
    """GPU or CPU hours, dollars, and how much to believe of them."""
    steps = cost["speed_from_steps"]
    assumed = "from an assumed speed; may be off by several times"
    source = f"from the speed of {steps} recorded steps" if steps else assumed
    if cost["dollars"] is None:
        return f"{_long(cost['device_hours'])} of the CPU ({source})"
    price = f"${cost['dollars']:,.2f} at ${cost['gpu_hour_price']:,.2f} an hour"
    return f"{_long(cost['gpu_hours'])} of GPUs, {price} ({source})"


def _long(hours: float) -> str:
    return f"{hours:,.1f} h" if hours >= 1 else f"{60 * hours:.1f} min"

"""Fold rows -> what each method comes to: means, intervals, dollars, and who wins where, in words.

Owns what a null counts as and which rows count. Pure functions of the rows; knows nothing of files or figures.

A method that never reaches a share counts as one that ran everything: its seconds are those of the exhaustive
search. This holds for the reduction (the contract), the ratio to the Oracle, the hours and who is first.
Rows marked `seen` (a policy on a dataset it was trained on) count in the means (the contract), which are told
without them as well, and not in who is first.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from lamps_core.evaluation.folds import KEY_SHARE
from lamps_core.report_words import counted

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    import numpy.typing as npt

    FloatArray = npt.NDArray[np.float64]

Row = dict[str, Any]
ORACLE = "oracle"
# The one knows the answer; the other is what all are measured against, in an order that is an accident of names.
REFERENCES = frozenset({ORACLE, "exhaustive"})
KEY = str(KEY_SHARE)
ORACLE_SECONDS = f"oracle_seconds_to_{KEY}"  # of a fold row
BARS = ("cheapest", "portfolio")  # that a trained policy has to beat, or it has no users
_LEAST = 1e-9  # of the exhaustive cost: a search that reached everything for nothing has no ratio


def reached_seconds(row: Row) -> float:
    """Seconds to 98 % of the hypervolume; the exhaustive search's where it was never reached."""
    seconds = row["seconds_to"][KEY]
    return float(row["exhaustive_seconds"] if seconds is None else seconds)


def reduction(row: Row) -> float:
    """The share of an exhaustive search's cost that was saved; 0 where 98 % was never reached."""
    return 1.0 - reached_seconds(row) / float(row["exhaustive_seconds"])


def oracle_ratio(rows: Sequence[Row]) -> float | None:
    """Geometric mean of seconds to 98 % over the Oracle's on the same curves; None where the Oracle has no result.

    Seconds below a billionth of an exhaustive search's count as that.
    """
    ratios = []
    for row in rows:
        least = _LEAST * float(row["exhaustive_seconds"])
        oracle = oracle_seconds(row)
        if oracle is not None:
            ratios.append(np.log(max(reached_seconds(row), least) / max(oracle, least)))
    return float(np.exp(np.mean(ratios))) if ratios else None


def oracle_seconds(row: Row) -> float | None:
    """Seconds that the Oracle takes to 98 % on the same curves; the exhaustive search's where it never gets there.

    None where the Oracle failed.
    """
    if ORACLE_SECONDS not in row:
        return None
    seconds = row[ORACLE_SECONDS]
    return float(row["exhaustive_seconds"] if seconds is None else seconds)


def summarise(rows: Sequence[Row], *, gpu_hour_price: float) -> list[Row]:
    """One row a method, in the order in which they first appear.

    Args:
        rows: fold rows, with `oracle_seconds_to_0.98` where the Oracle did not fail.
        gpu_hour_price: dollars.

    Returns:
        The contract's keys; means of the regret, of hours and dollars to 98 %, and of an exhaustive search's
        on the same folds; 95 % intervals over repeats, None where the repeats cannot differ; whether the method
        saw every dataset and, where it saw some, the contract's keys over the others, `unseen`.
    """
    methods = dict.fromkeys(row["method"] for row in rows)
    return [
        _method([row for row in rows if row["method"] == method], method, gpu_hour_price)
        for method in methods
    ]


def _method(rows: Sequence[Row], method: str, price: float) -> Row:
    reductions = _by_repeat(rows, _mean_reduction)
    ratios = [ratio for ratio in _by_repeat(rows, oracle_ratio) if ratio is not None]
    ratio_interval = interval(np.log(ratios))
    unseen = [row for row in rows if not row.get("seen")]
    hours = float(np.mean([reached_seconds(row) for row in rows])) / 3600
    everything = float(np.mean([row["exhaustive_seconds"] for row in rows])) / 3600
    return {
        "method": method,
        "reduction_at_0.98": _mean_reduction(rows),
        "oracle_ratio_at_0.98": oracle_ratio(rows),
        "reduction_interval": _within_one(interval(reductions)),
        "oracle_ratio_interval": [float(np.exp(end)) for end in ratio_interval] if ratio_interval else None,
        "regret_auc": _mean_regret(rows),
        "regret_auc_interval": _within_one(interval(_by_repeat(rows, _mean_regret))),
        "hours_to_0.98": hours,
        "dollars_to_0.98": hours * price,
        "exhaustive_hours": everything,
        "exhaustive_dollars": everything * price,
        "datasets": len({row["dataset"] for row in rows}),
        "never_reached_0.98": sum(row["seconds_to"][KEY] is None for row in rows),
        "seen": not unseen,
        "unseen": {
            "datasets": len({row["dataset"] for row in unseen}),
            "reduction_at_0.98": _mean_reduction(unseen),
            "oracle_ratio_at_0.98": oracle_ratio(unseen),
        }
        if unseen and len(unseen) < len(rows)
        else None,
    }


def _mean_reduction(rows: Sequence[Row]) -> float:
    return float(np.mean([reduction(row) for row in rows]))


def _mean_regret(rows: Sequence[Row]) -> float:
    return float(np.mean([row["regret_auc"] for row in rows]))


def _by_repeat(rows: Sequence[Row], mean: Callable[[Sequence[Row]], Any]) -> list[Any]:
    """Of each repeat, the mean over its folds."""
    repeats = sorted({row["repeat"] for row in rows})
    return [mean([row for row in rows if row["repeat"] == repeat]) for repeat in repeats]


def interval(values: npt.ArrayLike) -> list[float] | None:
    """The 95 % confidence interval of a mean, by Student's t.

    Args:
        values: (r,) one a repeat.

    Returns:
        [low, high]; None where there is one repeat, or all are equal: nothing was random.

    >>> [round(end, 6) for end in interval([1.0, 2.0, 3.0])]
    [-0.484138, 4.484138]
    >>> interval([1.0, 1.0]) is None
    True
    """
    found = np.asarray(values, dtype=np.float64)
    if len(found) < 2 or np.ptp(found) <= 1e-12 * abs(found[0]):
        return None
    from scipy.special import stdtrit

    half = float(stdtrit(len(found) - 1, 0.975) * found.std(ddof=1) / np.sqrt(len(found)))
    return [float(found.mean()) - half, float(found.mean()) + half]


def _within_one(ends: list[float] | None) -> list[float] | None:
    """An interval of something that is never below 0 or above 1, cut there: with two repeats it is wide."""
    return [min(max(end, 0.0), 1.0) for end in ends] if ends else None


def mean_seconds(rows: Iterable[Row]) -> dict[str, dict[str, float]]:
    """Dataset -> method -> seconds to 98 %, the mean over repeats; without the rows that were seen."""
    found: dict[str, dict[str, list[float]]] = {}
    for row in rows:
        if not row.get("seen"):
            found.setdefault(row["dataset"], {}).setdefault(row["method"], []).append(reached_seconds(row))
    return {
        dataset: {method: float(np.mean(seconds)) for method, seconds in methods.items()}
        for dataset, methods in found.items()
    }


def mean_oracle_seconds(rows: Iterable[Row]) -> dict[str, float]:
    """Dataset -> seconds that the Oracle takes to 98 %, the mean over repeats; whether or not it was asked for.

    A dataset on which it failed is left out.
    """
    found: dict[str, dict[int, float]] = {}
    for row in rows:
        seconds = oracle_seconds(row)
        if seconds is not None:
            found.setdefault(row["dataset"], {})[row["repeat"]] = seconds
    return {dataset: float(np.mean(list(repeats.values()))) for dataset, repeats in found.items()}


def first_on(rows: Iterable[Row]) -> dict[str, list[str]]:
    """Method -> the datasets on which no other is faster to 98 %, references apart; ties count for each."""
    wins: dict[str, list[str]] = {}
    for dataset, methods in mean_seconds(rows).items():
        feasible = {method: seconds for method, seconds in methods.items() if method not in REFERENCES}
        if not feasible:
            continue
        best = min(feasible.values())
        for method, seconds in feasible.items():
            wins.setdefault(method, [])
            if seconds <= best * (1.0 + 1e-9):
                wins[method].append(dataset)
    return wins


def in_words(
    rows: Sequence[Row], summary: Sequence[Row], *, learned: Iterable[str], gpu_hour_price: float
) -> list[str]:
    """Who wins where, and for how many dollars.

    Args:
        rows: fold rows.
        summary: of these rows, as `summarise` makes it.
        learned: methods that were trained, on the other datasets or elsewhere.
        gpu_hour_price: dollars.
    """
    told = [_firsts(rows)]
    told += [line for method in learned for line in _against_bars(rows, method)]
    told += [_without_seen(row) for row in summary]
    told += [_dollars(rows, summary, gpu_hour_price)]
    return [line for line in told if line]


def _firsts(rows: Sequence[Row]) -> str:
    datasets = len(mean_seconds(rows))
    wins = sorted(((m, won) for m, won in first_on(rows).items() if won), key=lambda pair: -len(pair[1]))
    parts = [f"{method} on {len(won)} of {datasets} ({', '.join(won)})" for method, won in wins]
    if not parts:
        return ""
    apart = [name for name in dict.fromkeys(row["method"] for row in rows) if name in REFERENCES]
    told = f" ({' and '.join(apart)} apart)" if apart else ""
    return f"First to 98 % of the hypervolume{told}: {'; '.join([*parts, *_left_out(rows)])}."


def _left_out(rows: Sequence[Row]) -> list[str]:
    """Who is not in the race where it was trained."""
    seen: dict[str, set[str]] = {}
    for row in rows:
        if row.get("seen"):
            seen.setdefault(row["method"], set()).add(row["dataset"])
    return [
        f"{method} is left out on the {len(found)} that it was trained on" for method, found in seen.items()
    ]


def _against_bars(rows: Sequence[Row], method: str) -> list[str]:
    means = [methods for methods in mean_seconds(rows).values() if method in methods]
    parts = []
    for bar in BARS:
        both = [methods for methods in means if bar in methods]
        if both:
            faster = sum(methods[method] < methods[bar] for methods in both)
            alike = sum(methods[method] == methods[bar] for methods in both)
            even = f", as fast on {alike}" if alike else ""
            parts.append(f"faster than {bar} on {faster} of {counted(len(both), 'dataset')}{even}")
    return [f"{method} is {' and '.join(parts)}."] if parts else []


def _without_seen(summary: Row) -> str:
    unseen = summary["unseen"]
    if unseen is None:
        return ""
    ratio = unseen["oracle_ratio_at_0.98"]
    times = "" if ratio is None else f", at {ratio:.2f} times the Oracle's time"
    return (
        f"On the {unseen['datasets']} of {counted(summary['datasets'], 'dataset')} that {summary['method']} was not "
        f"trained on, it takes {unseen['reduction_at_0.98']:.1%} less than an exhaustive search{times}."
    )


def _dollars(rows: Sequence[Row], summary: Sequence[Row], price: float) -> str:
    """The paper's sentence (Section 6.2): what the dearest dataset costs, searched whole and by the best method."""
    means = mean_seconds(rows)
    everything = {
        dataset: float(np.mean([row["exhaustive_seconds"] for row in rows if row["dataset"] == dataset]))
        for dataset in means
    }
    feasible = [row for row in summary if row["method"] not in REFERENCES and not row["seen"]]
    if not means or not feasible:
        return ""
    best = max(feasible, key=lambda row: float((row["unseen"] or row)["reduction_at_0.98"]))["method"]
    judged = [dataset for dataset in means if best in means[dataset]]
    if not judged:
        return ""
    dearest = max(judged, key=lambda dataset: everything[dataset])
    whole, reached = everything[dearest] / 3600, means[dearest][best] / 3600
    return (
        f"On {dearest}, the dearest, an exhaustive search takes {hours_told(whole)} h (${whole * price:,.2f} at "
        f"${price:,.2f} an hour); {best}, the quickest on average, reaches 98 % in {hours_told(reached)} h "
        f"(${reached * price:,.2f}, {1.0 - reached / whole:.1%} less)."
    )


def hours_told(hours: float) -> str:
    """Hours with one decimal, or with three significant digits where they are below 100.

    >>> hours_told(2118.66), hours_told(0.0123456)
    ('2,118.7', '0.0123')
    """
    return f"{hours:,.1f}" if hours >= 100 else f"{hours:.3g}"

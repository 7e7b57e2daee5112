"""How what is measured is written for people: its name, its unit, and as many digits as it is worth.

Shared by pages, tables and the live display; imports nothing. Values are in natural units: an accuracy is not turned.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

_TITLES = {
    "test_loss": "Test loss",
    "train_seconds": "Training seconds",
    "accuracy": "Accuracy",
    "macro_f1": "Macro F1",
    "parameters": "Parameters",
    "step_seconds": "Step seconds",
    "eval_rows_per_second": "Rows evaluated per second",
    "peak_memory_bytes": "Peak memory",
    "train_flops": "Training operations",
    "cpu_seconds": "Processor seconds",
    "dollars": "Dollars of training",
}
# On the axis of a figure, whose ticks have no room for a unit: what a value is multiplied by, and the title.
_ON_AXES = {
    "peak_memory_bytes": (1.0 / 2**30, "Peak memory (GiB)"),
    "train_flops": (1e-12, "Training operations (TFLOP)"),
}
UNKNOWN = "–"


def title(name: str) -> str:
    """The name of a quantity, for a heading."""
    return _TITLES.get(name) or name.replace("_", " ").strip().capitalize()


def on_axis(name: str) -> tuple[float, str]:
    """What a value is multiplied by on the axis of a figure, and the axis's title.

    >>> on_axis("peak_memory_bytes")[1], on_axis("accuracy")
    ('Peak memory (GiB)', (1.0, 'Accuracy'))
    """
    return _ON_AXES.get(name, (1.0, title(name)))


def number(name: str, value: Any) -> str:
    """A value with its unit; those of one column align on their decimal points where they are of one size.

    >>> number("accuracy", 0.912), number("peak_memory_bytes", 3 * 2**30), number("parameters", 110_104_890)
    ('91.2 %', '3.00 GiB', '110.1 M')
    >>> number("dollars", 12.5), number("dollars", 0.00042), number("eval_rows_per_second", 2033.03)
    ('$12.50', '$0.00042', '2,033.0')
    """
    if value is None:
        return UNKNOWN
    written = _WRITTEN.get(name)
    if written is not None:
        return written(float(value))
    if name.endswith(("seconds", "per_second")):
        return f"{value:,.1f}"
    if name.endswith("loss"):
        return f"{value:.4f}"
    return f"{int(value):,}" if float(value).is_integer() else f"{value:,.4g}"


def beside_bound(name: str, value: float, bound: float) -> str:
    """A value and its bound as `number` writes them, with more digits where they would read the same, or as 0.

    >>> beside_bound("train_seconds", 1.24, 1.5), beside_bound("train_seconds", 0.0178, 0.0)
    ('1.2, bound 1.5', '0.01780, bound 0')
    >>> beside_bound("train_seconds", 0.1, 0.01)
    '0.1000, bound 0.01'
    """
    digits, zero = 4, number(name, 0.0)
    found = number(name, value), number(name, bound)
    while (found[0] == found[1] and value != bound) or (found[1] == zero and bound != 0.0):
        found = f"{value:#.{digits}g}", f"{bound:.{digits}g}"
        digits += 1
    return ", bound ".join(found)


def parameters(count: int | None) -> str:
    """A number of parameters in thousands, millions or billions."""
    if count is None:
        return UNKNOWN
    return _short(count, ((10**9, "B"), (10**6, "M"), (10**3, "k"))).rstrip()


def _share(share: float) -> str:
    return f"{100 * share:.1f} %"


def _dollars(dollars: float) -> str:
    return f"${dollars:,.2f}" if dollars >= 0.1 or dollars == 0.0 else f"${dollars:.2g}"


def _bytes(count: float) -> str:
    return f"{count / 2**30:,.2f} GiB" if count >= 2**30 / 10 else f"{count / 2**20:,.2f} MiB"


def _operations(count: float) -> str:
    return f"{_short(count, ((10**15, 'P'), (10**12, 'T'), (10**9, 'G'), (10**6, 'M')))}FLOP"


def _short(number: float, sizes: tuple[tuple[int, str], ...]) -> str:
    """A number with one digit behind the point and the letter of its size; a space where it has none.

    >>> _short(2_500_000, ((10**6, "M"), (10**3, "k"))), _short(12, ((10**3, "k"),))
    ('2.5 M', '12 ')
    """
    for size, letter in sizes:
        if number >= size:
            return f"{number / size:,.1f} {letter}"
    return f"{number:,.0f} "


_WRITTEN: dict[str, Callable[[float], str]] = {
    "accuracy": _share,
    "macro_f1": _share,
    "dollars": _dollars,
    "peak_memory_bytes": _bytes,
    "train_flops": _operations,
    "parameters": lambda count: parameters(int(count)),
}

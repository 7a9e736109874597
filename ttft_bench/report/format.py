"""How numbers are written, the same everywhere in a report."""

from __future__ import annotations

from typing import Protocol

MISSING = "–"


class _Quartiles(Protocol):
    @property
    def median(self) -> float: ...
    @property
    def q25(self) -> float: ...
    @property
    def q75(self) -> float: ...


def seconds(value: float | None) -> str:
    """Three digits and the unit that suits them: ``412 µs``, ``3.40 ms``, ``1.25 s``, ``12.5 min``."""
    if value is None:
        return MISSING
    if value == 0:
        return "0 s"
    for limit, factor, unit in ((1e-3, 1e6, "µs"), (1.0, 1e3, "ms"), (600.0, 1.0, "s")):
        if abs(value) < limit:
            return f"{_three_digits(value * factor)} {unit}"
    return f"{value / 60:.1f} min"


def spread(found: _Quartiles | None) -> str:
    """Median and quartiles of seconds: ``1.20 s (1.10 s to 1.31 s)``, or a dash."""
    return MISSING if found is None else f"{seconds(found.median)} ({seconds(found.q25)} to {seconds(found.q75)})"


def _three_digits(value: float) -> str:
    decimals = 0 if abs(value) >= 99.95 else 1 if abs(value) >= 9.995 else 2
    return f"{value:.{decimals}f}"


def tick_seconds(value: float) -> str:
    """As :func:`seconds`, without digits that say nothing: ``5 ms``, ``0.2 s`` becomes ``200 ms``."""
    number, _, unit = seconds(value).partition(" ")
    if "." in number:
        number = number.rstrip("0").rstrip(".")
    return f"{number} {unit}"


def fixed(value: float | None, decimals: int = 2) -> str:
    """A number with fixed decimals, or a dash."""
    return MISSING if value is None else f"{value:.{decimals}f}"


def gap(value: float | None) -> str:
    """A duality gap in one digit (``2``, ``0.005``, ``1e-13``), or a dash for strategies without one."""
    return MISSING if value is None else f"{value:.1g}"


def interval(low: float | None, high: float | None, n: int, decimals: int = 2) -> str:
    """``82.01–93.10``; ``n = 1`` where one prompt admits no interval."""
    if low is None or high is None:
        return f"n = {n}"
    return f"{low:.{decimals}f}–{high:.{decimals}f}"


def plural(count: int, word: str) -> str:
    """``1 prompt``, ``2 prompts``."""
    return f"{count} {word}" if count == 1 else f"{count} {word}s"


__all__ = ["MISSING", "fixed", "gap", "interval", "plural", "seconds", "spread", "tick_seconds"]

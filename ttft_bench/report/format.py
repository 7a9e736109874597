"""How numbers are written, the same everywhere in a report."""

from __future__ import annotations

from typing import Protocol

from ttft_bench.units import MISSING, plural, seconds


class _Quartiles(Protocol):
    @property
    def median(self) -> float: ...
    @property
    def q25(self) -> float: ...
    @property
    def q75(self) -> float: ...


def spread(found: _Quartiles | None) -> str:
    """Median and quartiles of seconds: ``1.20 s (1.10 s to 1.31 s)``, or a dash."""
    return MISSING if found is None else f"{seconds(found.median)} ({seconds(found.q25)} to {seconds(found.q75)})"


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


__all__ = ["MISSING", "fixed", "gap", "interval", "plural", "seconds", "spread", "tick_seconds"]

"""How numbers are written, the same everywhere in a report."""

from __future__ import annotations

import math
from typing import Protocol

from ttft_bench.units import MISSING, plural, seconds

#: Stands for the ends of an interval without width.
NO_SPREAD = "no spread"
#: Ends closer than this, absolutely or relatively, differ by rounding alone.
_ROUNDING = 1e-9


class _Quartiles(Protocol):
    @property
    def median(self) -> float: ...
    @property
    def q25(self) -> float: ...
    @property
    def q75(self) -> float: ...


def spread(found: _Quartiles | None) -> str:
    """Median and quartiles of seconds, ``1.20 s (1.10 s to 1.31 s)``; the median alone if all look alike; or a dash."""
    if found is None:
        return MISSING
    median, low, high = seconds(found.median), seconds(found.q25), seconds(found.q75)
    return median if low == high else f"{median} ({low} to {high})"


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
    return f"n = {n}" if low is None or high is None else bounds(low, high, decimals, "–")


def enough_decimals(low: float, high: float, least: int = 2) -> int | None:
    """As many decimals as tell the ends of an interval apart, ``least`` as a rule; None where nothing does."""
    if math.isclose(low, high, rel_tol=_ROUNDING, abs_tol=_ROUNDING):
        return None
    tried = range(least, least + 20)
    return next((digits for digits in tried if f"{low:z.{digits}f}" != f"{high:z.{digits}f}"), None)


def bounds(low: float, high: float, decimals: int = 2, joint: str = " to ") -> str:
    """``82.01 to 93.10``, never twice the same number: ``99.998 to 100.001``, or ``no spread``."""
    digits = enough_decimals(low, high, decimals)
    return NO_SPREAD if digits is None else f"{low:z.{digits}f}{joint}{high:z.{digits}f}"


def between(low: float, high: float, decimals: int = 2) -> str:
    """A range of what was seen, ``0.81 to 0.93``; the number alone where there is but one."""
    return f"{low:z.{decimals}f}" if enough_decimals(low, high, decimals) is None else bounds(low, high, decimals)


def with_bounds(value: float, low: float, high: float, decimals: int = 2) -> str:
    """``87.54 (76.07 to 97.27)``, all with as many decimals as :func:`bounds` takes."""
    digits = enough_decimals(low, high, decimals)
    return f"{value:z.{decimals if digits is None else digits}f} ({bounds(low, high, decimals)})"


__all__ = [
    "MISSING",
    "NO_SPREAD",
    "between",
    "bounds",
    "enough_decimals",
    "fixed",
    "gap",
    "interval",
    "plural",
    "seconds",
    "spread",
    "tick_seconds",
    "with_bounds",
]

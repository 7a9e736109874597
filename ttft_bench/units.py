"""How seconds and counts are written, the same in a report and on a terminal."""

from __future__ import annotations

#: Stands where there is no number.
MISSING = "–"


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


def _three_digits(value: float) -> str:
    decimals = 0 if abs(value) >= 99.95 else 1 if abs(value) >= 9.995 else 2
    return f"{value:.{decimals}f}"


def plural(count: int, word: str) -> str:
    """``1 prompt``, ``2 prompts``."""
    return f"{count} {word}" if count == 1 else f"{count} {word}s"


__all__ = ["MISSING", "plural", "seconds"]

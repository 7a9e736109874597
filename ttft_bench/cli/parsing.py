"""Parsing of list-like flags."""

from __future__ import annotations

from ttft_bench.errors import UsageError

#: A range of flags longer than this is a slip of the finger.
_LONGEST_RANGE = 1000


def parse_numbers(text: str, what: str) -> tuple[int, ...]:
    """Read ``1,5,10-20`` as ascending whole numbers of at least 1.

    Raises:
        UsageError: naming the part that is not one.
    """
    numbers: set[int] = set()
    for part in text.split(","):
        first, dash, last = part.strip().partition("-")
        if not first.isdecimal() or (dash and not last.isdecimal()):
            raise UsageError(f"{what} {part.strip()!r} is not a whole number of at least 1, or a range such as 10-20")
        low, high = int(first), int(last or first)
        if low < 1 or high < low:
            raise UsageError(f"{what} {part.strip()!r} must be at least 1" + (" and ascending" if dash else ""))
        if high - low > _LONGEST_RANGE:
            raise UsageError(f"{what} {part.strip()!r} is a range of more than {_LONGEST_RANGE} numbers: name fewer")
        numbers.update(range(low, high + 1))
    return tuple(sorted(numbers))


def parse_rates(text: str) -> float | tuple[float, ...]:
    """Read ``1e-5,5e-5`` as learning rates; one alone is a number.

    Raises:
        UsageError: naming the part that is no number.
    """
    rates = []
    for part in text.split(","):
        try:
            rates.append(float(part))
        except ValueError:
            raise UsageError(f"learning rate {part.strip()!r} is not a number") from None
    return rates[0] if len(rates) == 1 else tuple(rates)


def parse_seconds(text: str | None, what: str) -> tuple[float, ...] | None:
    """Parse ``1.75,2.00`` into seconds, ascending; None for nothing.

    Raises:
        UsageError: a part is no number above 0.
    """
    if text is None:
        return None
    try:
        found = tuple(sorted(float(part) for part in text.split(",") if part.strip()))
    except ValueError as error:
        raise UsageError(f"{what} must be seconds such as 1.75,2.00, got {text!r}") from error
    if not found or not all(0 < time < float("inf") for time in found):
        raise UsageError(f"{what} must be seconds above 0 such as 1.75,2.00, got {text!r}")
    return found


def parse_names(text: str | None) -> tuple[str, ...] | None:
    """Split a comma-separated list of names; None stays None."""
    if text is None:
        return None
    return tuple(name.strip() for name in text.split(",") if name.strip())


__all__ = ["parse_names", "parse_numbers", "parse_rates", "parse_seconds"]

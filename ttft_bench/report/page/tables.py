"""Tables of the page as plain data: what a cell shows, the number behind it, and columns that only downloads carry."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from ttft_bench.report import format as fmt
from ttft_bench.report.groups import Estimate
from ttft_bench.report.paired.outcomes import Interval
from ttft_bench.report.stats import Spread
from ttft_bench.text import printable

Kind = Literal["", "control", "frontier"]


@dataclass(frozen=True)
class Column:
    """One column.

    Attributes:
        key: name in downloads, with the unit.
        label: heading.
        is_number: whether it sorts as numbers and stands to the right.
        hidden: whether only downloads carry it.
        help: what it means.
    """

    key: str
    label: str
    is_number: bool = True
    hidden: bool = False
    help: str = ""


@dataclass(frozen=True)
class Cell:
    """One cell: ``shown`` with ``small`` below it; ``value`` is what it sorts by and what downloads carry."""

    shown: str
    value: float | None = None
    small: str = ""
    tone: str = ""


@dataclass(frozen=True)
class Line:
    """One line; ``kind`` is a style: control, frontier or none."""

    cells: tuple[Cell, ...]
    kind: Kind = ""


@dataclass(frozen=True)
class Table:
    """A table that can be sorted."""

    key: str
    caption: str
    columns: tuple[Column, ...]
    lines: tuple[Line, ...]


def text(value: object, limit: int = 200) -> Cell:
    """A cell of words."""
    return Cell(printable(str(value), limit=limit))


def verdict(word: str) -> Cell:
    """A verdict, coloured by its meaning and never by colour alone."""
    return Cell(printable(word, limit=80), tone=tone_of(word))


def tone_of(word: str) -> str:
    """The style of a verdict."""
    return {
        "yes": "good",
        "stands": "good",
        "better": "good",
        "no": "bad",
        "falsified": "bad",
        "worse": "bad",
        "partly": "mixed",
        "equivalent": "mixed",
    }.get(word, "open")


def count(value: int | None) -> Cell:
    """A whole number."""
    return Cell(fmt.MISSING if value is None else str(value), value)


def number(value: float | None, decimals: int = 2) -> Cell:
    """A number with fixed decimals."""
    return Cell(fmt.fixed(value, decimals), value)


def estimate(found: Estimate | Interval | None, decimals: int = 2) -> Cell:
    """A figure with its interval below it, or why there is none."""
    value = found.mean if isinstance(found, Estimate) else None if found is None else found.value
    if found is None or value is None:
        reason = "" if found is None else str(found.outcome) if isinstance(found, Interval) else ""
        return Cell(fmt.MISSING, None, reason)
    if found.low is None or found.high is None:
        n = found.n if isinstance(found, Estimate) else found.n_prompts
        return Cell(fmt.fixed(value, decimals), value, f"n = {n}: no interval")
    digits = fmt.enough_decimals(found.low, found.high, decimals) or decimals
    return Cell(fmt.fixed(value, digits), value, fmt.bounds(found.low, found.high, decimals))


def seconds(found: Spread | None) -> Cell:
    """Median seconds with quartiles below."""
    if found is None:
        return Cell(fmt.MISSING)
    return Cell(fmt.seconds(found.median), found.median, f"{fmt.seconds(found.q25)} – {fmt.seconds(found.q75)}")


def bare(value: float | None) -> Cell:
    """A number that only downloads carry."""
    return Cell("" if value is None else f"{value:.6g}", value)


def table(key: str, caption: str, columns: Sequence[Column], lines: Iterable[Sequence[Cell]]) -> Table:
    """A table of plain lines."""
    return Table(key, caption, tuple(columns), tuple(Line(tuple(cells)) for cells in lines))


__all__ = [
    "Cell",
    "Column",
    "Kind",
    "Line",
    "Table",
    "bare",
    "count",
    "estimate",
    "number",
    "seconds",
    "table",
    "text",
    "tone_of",
    "verdict",
]

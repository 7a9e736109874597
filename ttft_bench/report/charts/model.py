"""A chart as plain data, drawn twice: by plotly in the page (:mod:`.interactive`), by matplotlib (:mod:`.paper`).

Text in here is harmless for a terminal and as it is otherwise: whoever draws it escapes it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

#: Of a band's area: six of them on each other still let lines be seen.
BAND_OPACITY = 0.08

Limits = tuple[float | None, float | None]


@dataclass(frozen=True)
class Axis:
    """One axis.

    Attributes:
        title: what is shown, with its unit.
        scale: how numbers are spread; a place on a category axis is its number, counted from 0 at the top.
        seconds: whether numbers are seconds, written with the unit that suits them.
        categories: names of the places of a category axis; they may repeat.
        ticks: numbers that carry a tick; empty for automatic ones.
        limits: first and last number shown; None for automatic ones.
    """

    title: str
    scale: Literal["linear", "log", "category"] = "linear"
    seconds: bool = False
    categories: tuple[str, ...] = ()
    ticks: tuple[float, ...] = ()
    limits: tuple[float, float] | None = None


@dataclass(frozen=True)
class Look:
    """Appearance: a colour of the palette (or its ink), matplotlib's words for dashes and markers, sizes in points."""

    colour: str
    dash: str = "-"
    marker: str = "o"
    opacity: float = 1.0
    width: float = 1.6
    size: float = 6.0


@dataclass(frozen=True)
class Points:
    """Markers, joined by a line or not.

    Attributes:
        entry: entry of the legend that shows and hides them; empty for none.
        x: places, as many as ``y``.
        y: places.
        look: appearance; an empty marker draws the line alone.
        joined: ``line``, ``stairs`` (a step down at each point), or not at all.
        x_limits: interval of each point along x; empty for none.
        y_limits: interval of each point along y; empty for none.
        labels: a short word beside each point; empty for none.
        hover: lines of text on each point; empty for none.
    """

    entry: str
    x: tuple[float, ...]
    y: tuple[float, ...]
    look: Look
    joined: Literal["", "line", "stairs"] = ""
    x_limits: tuple[Limits, ...] = ()
    y_limits: tuple[Limits, ...] = ()
    labels: tuple[str, ...] = ()
    hover: tuple[tuple[str, ...], ...] = ()


@dataclass(frozen=True)
class Band:
    """The area between two lines."""

    entry: str
    x: tuple[float, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]
    look: Look


@dataclass(frozen=True)
class Bars:
    """Horizontal bars on a category axis; those of one panel are stacked in their order."""

    entry: str
    y: tuple[float, ...]
    widths: tuple[float, ...]
    look: Look
    hover: tuple[tuple[str, ...], ...] = ()


@dataclass(frozen=True)
class Rule:
    """A line across the panel at a value of ``axis``, with its name at one ``end`` and an area around it."""

    axis: Literal["x", "y"]
    at: float
    look: Look
    text: str = ""
    span: tuple[float, float] | None = None
    end: Literal["left", "right"] = "right"


Mark = Points | Band | Bars | Rule


@dataclass(frozen=True)
class Panel:
    """One pair of axes."""

    title: str
    x: Axis
    y: Axis
    marks: tuple[Mark, ...]


@dataclass(frozen=True)
class Entry:
    """One entry of the legend."""

    name: str
    look: Look
    kind: Literal["line", "marker", "area"] = "line"


@dataclass(frozen=True)
class Chart:
    """One figure.

    Attributes:
        key: name of its files, and of its place in the page.
        title: what is shown and which way is better.
        caption: how to read it.
        panels: side by side where there is room; empty where there is nothing to draw.
        legend: what colours, dashes and markers mean.
        missing: why there is nothing to draw.
    """

    key: str
    title: str
    caption: str
    panels: tuple[Panel, ...] = ()
    legend: tuple[Entry, ...] = ()
    missing: str = ""


__all__ = [
    "BAND_OPACITY",
    "Axis",
    "Band",
    "Bars",
    "Chart",
    "Entry",
    "Limits",
    "Look",
    "Mark",
    "Panel",
    "Points",
    "Rule",
]

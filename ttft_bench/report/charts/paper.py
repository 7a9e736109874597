"""Charts as matplotlib's figures, for papers; call inside :func:`ttft_bench.report.figures.drawing_style`."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Sequence
from itertools import accumulate, pairwise
from typing import TYPE_CHECKING, Any

from ttft_bench.report.charts.model import BAND_OPACITY, Axis, Band, Bars, Chart, Entry, Limits, Panel, Points, Rule
from ttft_bench.report.charts.words import wrapped
from ttft_bench.report.figures import INK, LINE_CHARS, label, new_grid
from ttft_bench.report.format import tick_seconds
from ttft_bench.text import printable

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

WIDTH_IN = 8.8
#: A line of the legend or of a title takes this much of the height.
LINE_IN = 0.2
#: Places nearer to each other than this, relative to themselves, are one place.
SAME = 1e-9
#: Room on each side of a single place, relative to it.
ROOM = 0.055


def draw(chart: Chart) -> Figure:
    """The whole figure with title and legend; a sentence where there is nothing to draw."""
    n = max(len(chart.panels), 1)
    has_names = any(panel.y.categories for panel in chart.panels)
    columns = 1 if n == 1 else 2 if has_names or n == 4 else 3
    lines = math.ceil(n / columns)
    # What has room above a panel; names beside it leave less.
    chars = {1: LINE_CHARS, 2: 46 if has_names else 54, 3: 34}[columns]
    title, titles = label(chart.title, 86), [label(panel.title, chars) for panel in chart.panels]
    names = [label(entry.name) for entry in chart.legend]
    ncols = _legend_columns(names)
    taller = _lines(title) - 1 + lines * (max(map(_lines, titles), default=1) - 1) + _legend_lines(names, ncols)
    figure, grid = new_grid(WIDTH_IN, lines * _height(chart) + 0.5 + LINE_IN * taller, lines, columns)
    figure.suptitle(title, x=0.01, ha="left", fontsize=12, fontweight="bold")
    for axes in grid[n:]:
        axes.set_axis_off()
    if chart.panels:
        for axes, panel, said in zip(grid, chart.panels, titles, strict=False):
            _draw_panel(axes, panel, said)
    else:
        grid[0].text(0.5, 0.5, textwrap.fill(chart.missing, 60), ha="center", va="center", transform=grid[0].transAxes)
        grid[0].set_axis_off()
    if chart.legend:
        handles = [_handle(entry, name) for entry, name in zip(chart.legend, names, strict=True)]
        figure.legend(handles=handles, loc="outside lower center", ncols=ncols)
    return figure


def _lines(text: str) -> int:
    return text.count("\n") + 1


def _legend_columns(names: Sequence[str]) -> int:
    """As many columns as have room beside each other."""
    longest = max((len(line) for name in names for line in name.split("\n")), default=0)
    return max(1, min(6, len(names), int(100 / (longest + 6))))


def _legend_lines(names: Sequence[str], ncols: int) -> int:
    """Lines of the tallest column; the first columns are the longer ones, as matplotlib fills them."""
    least, more = divmod(len(names), ncols)
    ends = list(accumulate(least + (place < more) for place in range(ncols)))
    return max(sum(map(_lines, names[start:end])) for start, end in pairwise([0, *ends]))


def _height(chart: Chart) -> float:
    """Inches of one line of panels."""
    if not chart.panels:
        return 2.0
    rows = max(len(panel.y.categories) for panel in chart.panels)
    tallest = max((_lines(_category(name)) for panel in chart.panels for name in panel.y.categories), default=1)
    return 0.9 + max(0.3, 0.14 * tallest + 0.04) * max(rows, 2) if rows else 4.6 if len(chart.panels) == 1 else 2.5


def _category(name: str) -> str:
    return wrapped(printable(name), "\n", 30)


def _draw_panel(axes: Axes, panel: Panel, title: str) -> None:
    if title:
        axes.set_title(title, fontsize=9)
    _prepare(axes, panel.x, "x")
    _prepare(axes, panel.y, "y")
    start: dict[float, float] = {}
    for mark in panel.marks:
        if isinstance(mark, Bars):
            left = [start.get(place, 0.0) for place in mark.y]
            look = mark.look
            axes.barh(mark.y, mark.widths, left=left, height=0.68, color=look.colour, alpha=look.opacity, linewidth=0)
            start |= {place: at + width for place, at, width in zip(mark.y, left, mark.widths, strict=True)}
        elif isinstance(mark, Band):
            axes.fill_between(mark.x, mark.low, mark.high, color=mark.look.colour, alpha=BAND_OPACITY, linewidth=0)
        elif isinstance(mark, Rule):
            _draw_rule(axes, mark)
        else:
            _draw_points(axes, mark)
    _give_room(axes, panel.x, "x")
    _give_room(axes, panel.y, "y")
    axes.grid(True, axis="x" if panel.y.scale == "category" else "both")


def _prepare(axes: Axes, axis: Axis, which: str) -> None:
    from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

    own = axes.xaxis if which == "x" else axes.yaxis
    set_limits = axes.set_xlim if which == "x" else axes.set_ylim
    if axis.title:
        own.set_label_text(axis.title)
    if axis.scale == "category":
        own.set_ticks(range(len(axis.categories)), list(map(_category, axis.categories)))
        own.set_tick_params(length=0, labelsize=8)
        set_limits(len(axis.categories) - 0.5, -0.5)
        return
    if axis.scale == "log":
        (axes.set_xscale if which == "x" else axes.set_yscale)("log")
    if axis.seconds:
        own.set_major_formatter(FuncFormatter(lambda value, _: tick_seconds(value)))
    elif axis.ticks:
        own.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    if axis.ticks:
        own.set_major_locator(FixedLocator(list(axis.ticks)))
        own.set_minor_locator(NullLocator())
    if axis.limits is not None:
        set_limits(*axis.limits)


def _give_room(axes: Axes, axis: Axis, which: str) -> None:
    """Room around marks that stand at one place.

    Matplotlib makes it only for places that are equal to the last bit, and the bars of a point are put through a
    transform and back, which rounds: what is left then is an axis too short to be drawn.
    """
    if axis.scale == "category" or axis.limits is not None:
        return
    low, high = axes.dataLim.intervalx if which == "x" else axes.dataLim.intervaly
    size = max(abs(low), abs(high))
    if math.isfinite(size) and high - low <= SAME * size:
        room = (ROOM * size) or ROOM
        (axes.set_xlim if which == "x" else axes.set_ylim)(low - room, high + room)


def _draw_points(axes: Axes, mark: Points) -> None:
    look = mark.look
    style: dict[str, Any] = {"color": look.colour, "alpha": look.opacity}
    if mark.joined:
        drawn = "steps-post" if mark.joined == "stairs" else "default"
        axes.plot(mark.x, mark.y, linestyle=look.dash, linewidth=look.width, drawstyle=drawn, **style)
    if look.marker and len(mark.x):
        bars: dict[str, Any] = {"xerr": _errors(mark.x, mark.x_limits), "yerr": _errors(mark.y, mark.y_limits)}
        axes.errorbar(
            mark.x,
            mark.y,
            **bars,
            fmt=look.marker,
            markersize=look.size * 0.8,
            linewidth=max(0.8, 0.6 * look.width),
            linestyle="none",
            **style,
        )
    for x, y, text in zip(mark.x, mark.y, mark.labels, strict=False):
        axes.annotate(
            text,
            (x, y),
            xytext=(-4, -4),
            textcoords="offset points",
            ha="right",
            va="top",
            fontsize=8,
            color=INK,
        )


def _errors(places: Sequence[float], bounds: Sequence[Limits]) -> list[list[float]] | None:
    if not bounds:
        return None
    # Rounding may put a mean a hair outside of an interval without width.
    below = [0.0 if low is None else max(at - low, 0.0) for at, (low, _) in zip(places, bounds, strict=True)]
    above = [0.0 if high is None else max(high - at, 0.0) for at, (_, high) in zip(places, bounds, strict=True)]
    return [below, above]


def _draw_rule(axes: Axes, rule: Rule) -> None:
    look = rule.look
    line, area = (axes.axhline, axes.axhspan) if rule.axis == "y" else (axes.axvline, axes.axvspan)
    line(rule.at, color=look.colour, linestyle=look.dash, linewidth=look.width, alpha=look.opacity, zorder=1)
    if rule.span is not None:
        area(*rule.span, color=look.colour, alpha=0.07, linewidth=0, zorder=0)
    if rule.text:
        text = label(rule.text)
        axes.annotate(
            text,
            (1.0 if rule.end == "right" else 0.0, rule.at),
            xycoords=("axes fraction", "data"),
            xytext=(0 if rule.end == "right" else 3, 2),
            textcoords="offset points",
            ha=rule.end,
            va="bottom" if "\n" in text else "baseline",
            fontsize=8,
            alpha=0.9,
        )


def _handle(entry: Entry, name: str) -> Any:
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    look = entry.look
    dash: Any = look.dash
    if entry.kind == "area":
        return Patch(color=look.colour, alpha=look.opacity, label=name, linewidth=0)
    if entry.kind == "marker":
        return Line2D([], [], color=INK, marker=look.marker, linestyle="none", label=name)
    return Line2D([], [], color=look.colour, linestyle=dash, linewidth=2.4, label=name)


__all__ = ["draw"]

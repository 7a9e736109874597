"""Charts as plotly's figures: plain data for the page's script, every text escaped.

Colours are names of the style sheet's variables (``--c0``, ``--ink``, with ``/0.2`` for an opacity), which the script
replaces by the theme's. Plotly reads tags in texts, so ``<``, ``>`` and ``&`` of every text are written as entities.
"""

from __future__ import annotations

import html
import math
from collections.abc import Mapping, Sequence
from typing import Any

from ttft_bench.report.charts.model import (
    BAND_OPACITY,
    Axis,
    Band,
    Bars,
    Chart,
    Limits,
    Look,
    Mark,
    Panel,
    Points,
    Rule,
)
from ttft_bench.report.charts.words import wrapped
from ttft_bench.report.figures import INK
from ttft_bench.report.format import tick_seconds
from ttft_bench.report.palette import COLOURS

Spec = dict[str, Any]

_DASHES = {"-": "solid", "--": "dash", ":": "dot", "-.": "dashdot"}
#: Longest line of a name beside an axis, and of a text at a point.
CATEGORY_CHARS, HOVER_CHARS = 28, 90
SYMBOLS = {"o": "circle", "s": "square", "^": "triangle-up", "D": "diamond", "v": "triangle-down", "P": "cross"}


def panel_specs(chart: Chart) -> list[Spec]:
    """Data and layout of each panel of a chart."""
    # What markers mean has no marks of its own, and may be called like a strategy.
    places = {entry.name: place for place, entry in enumerate(chart.legend) if entry.kind != "marker"}
    return [_spec(panel, places, alone=len(chart.panels) == 1) for panel in chart.panels]


def colour_name(colour: str, opacity: float | None = None) -> str:
    """The style sheet's variable of a colour of the palette."""
    name = "--ink" if colour == INK else f"--c{COLOURS.index(colour)}"
    return name if opacity is None else f"{name}/{opacity:g}"


def _spec(panel: Panel, places: Mapping[str, int], alone: bool) -> Spec:
    shapes, annotations, traces = [], [], []
    for mark in panel.marks:
        if isinstance(mark, Rule):
            shapes += _shapes(mark)
            annotations += _annotations(mark)
        else:
            traces.append(_trace(mark, places.get(mark.entry, -1)))
    rows = [wrapped(name, "\n", CATEGORY_CHARS).count("\n") + 1 for name in panel.y.categories]
    height = 96 + max(34, 6 + 14 * max(rows)) * len(rows) if rows else 460 if alone else 280
    layout = {
        "xaxis": _axis(panel.x),
        "yaxis": _axis(panel.y),
        "shapes": shapes,
        "annotations": annotations,
        "barmode": "stack",
        "height": height,
    }
    return {"data": traces, "layout": layout}


def _axis(axis: Axis) -> Spec:
    found: Spec = {"title": {"text": _escaped(axis.title)}, "automargin": True}
    if axis.scale == "category":
        names = [_escaped(name, CATEGORY_CHARS) for name in axis.categories]
        places = list(range(len(names)))
        return {**found, "tickvals": places, "ticktext": names, "range": [len(names) - 0.5, -0.5]}
    found["type"] = axis.scale
    if axis.seconds:
        found |= {"tickformat": "~s", "ticksuffix": "s"}
    elif axis.scale == "log":
        found |= {"exponentformat": "power", "dtick": 1}
    if axis.ticks:
        written = tick_seconds if axis.seconds else "{:g}".format
        found |= {"tickvals": list(axis.ticks), "ticktext": [written(tick) for tick in axis.ticks]}
    if axis.limits is not None:
        found["range"] = [math.log10(end) if axis.scale == "log" else end for end in axis.limits]
    return found


def _trace(mark: Points | Band | Bars, entry: int) -> Spec:
    # The script finds the traces of a legend's entry by its place.
    common: Spec = {"meta": entry, "name": _escaped(mark.entry), "showlegend": False}
    if isinstance(mark, Band):
        return {
            **common,
            "type": "scatter",
            "mode": "lines",
            "x": [*mark.x, *reversed(mark.x)],
            "y": [*mark.low, *reversed(mark.high)],
            "fill": "toself",
            "fillcolor": colour_name(mark.look.colour, BAND_OPACITY),
            "line": {"width": 0},
            "hoverinfo": "skip",
        }
    if isinstance(mark, Bars):
        return {
            **common,
            "type": "bar",
            "orientation": "h",
            "x": list(mark.widths),
            "y": list(mark.y),
            "width": 0.68,
            "marker": {"color": colour_name(mark.look.colour), "line": {"width": 0}},
            "opacity": mark.look.opacity,
            **_hover(mark),
        }
    return {**common, **_points(mark)}


def _points(mark: Points) -> Spec:
    look = mark.look
    colour = colour_name(look.colour)
    modes = [
        *(["lines"] if mark.joined else []),
        *(["markers"] if look.marker else []),
        *(["text"] if mark.labels else []),
    ]
    found: Spec = {
        "type": "scatter",
        "mode": "+".join(modes) or "none",
        "x": list(mark.x),
        "y": list(mark.y),
        "opacity": look.opacity,
        "line": {"color": colour, "width": look.width, "dash": _DASHES.get(look.dash, "solid")},
        "cliponaxis": True,
        **_hover(mark),
    }
    if mark.joined == "stairs":
        found["line"]["shape"] = "hv"
    if look.marker:
        found["marker"] = {"color": colour, "symbol": SYMBOLS[look.marker], "size": look.size + 1}
    if mark.labels:
        found |= {"text": [_escaped(text) for text in mark.labels], "textposition": "bottom left"}
        found["textfont"] = {"color": "--ink"}
    for name, places, bounds in (("error_x", mark.x, mark.x_limits), ("error_y", mark.y, mark.y_limits)):
        if bounds:
            found[name] = _error_bars(places, bounds, look)
    return found


def _error_bars(places: Sequence[float], bounds: Sequence[Limits], look: Look) -> Spec:
    return {
        "type": "data",
        "symmetric": False,
        "array": [0.0 if high is None else high - at for at, (_, high) in zip(places, bounds, strict=True)],
        "arrayminus": [0.0 if low is None else at - low for at, (low, _) in zip(places, bounds, strict=True)],
        "thickness": max(1.0, look.width * 0.8),
        "width": 0,
        "color": colour_name(look.colour),
    }


def _hover(mark: Mark) -> Spec:
    lines = getattr(mark, "hover", ())
    if not lines:
        return {"hoverinfo": "skip"}
    texts = ["<br>".join(_escaped(line, HOVER_CHARS) for line in own) for own in lines]
    return {"customdata": texts, "hovertemplate": "%{customdata}<extra></extra>"}


def _shapes(rule: Rule) -> list[Spec]:
    along, across = rule.axis, "y" if rule.axis == "x" else "x"
    whole = {f"{across}ref": "paper", f"{across}0": 0, f"{across}1": 1, f"{along}ref": along, "layer": "below"}
    colour = colour_name(rule.look.colour, rule.look.opacity)
    line = {"color": colour, "width": rule.look.width, "dash": _DASHES.get(rule.look.dash, "solid")}
    found: list[Spec] = [{**whole, "type": "line", f"{along}0": rule.at, f"{along}1": rule.at, "line": line}]
    if rule.span is not None:
        low, high = rule.span
        fill = {"fillcolor": colour_name(rule.look.colour, 0.08), "line": {"width": 0}}
        found.insert(0, {**whole, "type": "rect", f"{along}0": low, f"{along}1": high, **fill})
    return found


def _annotations(rule: Rule) -> list[Spec]:
    if not rule.text:
        return []
    x = 1 if rule.end == "right" else 0
    place: Spec = {"x": x, "xref": "paper", "xanchor": rule.end, "y": rule.at, "yref": "y", "yanchor": "bottom"}
    return [{**place, "align": rule.end, "text": _escaped(rule.text), "showarrow": False, "font": {"size": 11}}]


def _escaped(text: str, width: int = 0) -> str:
    # Lines are broken first: an entity must not be torn.
    lines = wrapped(text, "\n", width).split("\n") if width and len(text) > width else [text]
    return "<br>".join(html.escape(line, quote=False) for line in lines)


__all__ = ["SYMBOLS", "Spec", "colour_name", "panel_specs"]
